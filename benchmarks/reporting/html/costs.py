"""Score against cost: training time, memory, parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.analysis.kernel_notes import comparable_speeds, kernel_bound
from benchmarks.reporting.html.figure import (
    ArmStyle,
    Figure,
    Record,
    data,
    layered,
    rounded,
    spec_of,
)
from benchmarks.reporting.html.formatting import direction, metric_name, number, score_texts
from benchmarks.reporting.html.scores import arms_to_draw, scale
from benchmarks.reporting.html.theme import INK, MUTED, PAPER, Looks

MOST_ARMS = 60
MOST_NAMED = 12

COSTS = {
    "train_seconds": ("training time", "training time (s)"),
    "memory_mib": ("memory", "peak memory (MiB)"),
    "parameters": ("parameters", "trainable parameters"),
}

MANYFOLD = 8
"""Costs that differ by more than this factor are drawn on a logarithmic axis."""


def pareto(points: list[tuple[float, float]], higher_is_better: bool) -> list[int]:
    """Return the positions of the points on the Pareto front, by rising cost.

    Args:
        points: cost (lower is better) and score of each.
        higher_is_better: of the score.
    """
    sign = -1.0 if higher_is_better else 1.0
    order = sorted(range(len(points)), key=lambda i: (points[i][0], sign * points[i][1]))
    front: list[int] = []
    for i in order:
        if not front or sign * points[i][1] < sign * points[front[-1]][1]:
            front.append(i)
    return front


class Side(NamedTuple):
    """Position of a label relative to its point, in pixels."""

    align: Literal["left", "right"]
    dx: int
    dy: int


SIDES = [side for dy in (-8, 11, -20, 23) for side in (Side("left", 8, dy), Side("right", -8, dy))]

WIDTH, HEIGHT = 240, 260
"""Size of the drawing area with three figures in a row."""

LETTER, LINE = 6.2, 12

MOST_COVERED = 20
"""Square pixels of other labels and points that a label may cover."""


def placed(
    named: list[Record], points: list[Record], ends: tuple[float, float], is_log: bool
) -> list[tuple[Side, list[Record]]]:
    """Place labels beside their points so that they cover neither labels nor points.

    A label without a free side is omitted.

    Args:
        named: records to label, the most important first.
        points: all records.
        ends: of the score axis.
        is_log: True for a logarithmic cost axis.
    """
    scaled = [math.log(r["at"]) if is_log else r["at"] for r in points]
    least, span = min(scaled), (max(scaled) - min(scaled)) or 1.0
    places = {
        r["arm"]: (
            24 + (WIDTH - 48) * (x - least) / span,
            HEIGHT * (ends[1] - r["score"]) / (ends[1] - ends[0]),
        )
        for r, x in zip(points, scaled, strict=True)
    }
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places.values()]
    found: dict[Side, list[Record]] = {}
    for record in named:
        x, y = places[record["arm"]]
        boxes = {side: _box(x, y, side, LETTER * len(record["arm"])) for side in SIDES}
        covered = {
            side: sum(_overlap(box, other) for other in taken) for side, box in boxes.items()
        }
        best = min(SIDES, key=covered.__getitem__)
        if covered[best] <= MOST_COVERED:
            taken.append(boxes[best])
            found.setdefault(best, []).append(record)
    return list(found.items())


Box = tuple[float, float, float, float]


def _box(x: float, y: float, side: Side, width: float) -> Box:
    """Return the area of a label of this width beside a point."""
    left = x + side.dx if side.align == "left" else x + side.dx - width
    top = y + side.dy - LINE / 2
    return left, top, left + width, top + LINE


def _overlap(a: Box, b: Box) -> float:
    """Return the overlap of two areas, plus what lies outside the drawing area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    outside = max(0.0, -a[0]) + max(0.0, a[2] - WIDTH) + max(0.0, -a[1]) + max(0.0, a[3] - HEIGHT)
    return max(0.0, width) * max(0.0, height) + 10 * outside


@dataclass(frozen=True)
class CostPoints:
    """The arms of a cost figure and the scales of its axes.

    Attributes:
        cost: a key of COSTS.
        candidates: arms that could be drawn, `arms` those inside the axes.
        omitted: sentence on arms beyond the maximum.
        ends: of the score axis.
        points: cost and score of each arm.
        doubtful: times are in doubt, so there is no front.
        is_log: the cost axis is logarithmic.
        zero_at: where a cost of 0 is drawn on a logarithmic axis; 0 where there is none.
    """

    group: Group
    cost: str
    candidates: list[Arm]
    arms: list[Arm]
    omitted: str
    ends: tuple[float, float]
    points: list[tuple[float, float]]
    doubtful: bool
    is_log: bool
    zero_at: float

    @property
    def front(self) -> list[int]:
        """Return the positions of the arms on the Pareto front, by rising cost."""
        return [] if self.doubtful else pareto(self.points, self.group.higher_is_better)

    def records(self) -> list[Record]:
        """Return the data of the chart."""
        return [
            {
                "arm": arm.label,
                "cost": rounded(cost),
                "at": rounded(cost or self.zero_at),
                "score": rounded(score),
                "low": rounded(arm.score.low),
                "high": rounded(arm.score.high),
            }
            for arm, (cost, score) in zip(self.arms, self.points, strict=True)
        ]


def cost_figures(group: Group, looks: Looks, name: str) -> list[Figure]:
    """Plot the score against each cost that is known of at least two networks."""
    selected = (select(group, cost) for cost in COSTS)
    return [_figure(points, looks, name) for points in selected if points is not None]


def select(group: Group, cost: str) -> CostPoints | None:
    """Return the arms to plot against a cost; None with fewer than two networks."""
    candidates, omitted = arms_to_draw(group, MOST_ARMS)
    low, high = scale(group, candidates)
    arms = [
        arm for arm in candidates if _cost(arm, cost) is not None and low <= arm.score.mean <= high
    ]
    if sum(not arm.baseline for arm in arms) < 2:
        return None
    points = [(_cost(arm, cost) or 0.0, arm.score.mean) for arm in arms]
    above = [x for x, _ in points if x > 0]
    is_log = bool(above) and max(above) / min(above) > MANYFOLD
    # A logarithmic axis has no 0: it is drawn one or two powers of ten below the lowest cost.
    has_free = is_log and len(above) < len(points)
    zero_at = 10.0 ** (math.floor(math.log10(min(above))) - 1) if has_free else 0.0
    doubtful = cost == "train_seconds" and any(arm.doubtful_times for arm in arms)
    return CostPoints(
        group, cost, candidates, arms, omitted, (low, high), points, doubtful, is_log, zero_at
    )


def _figure(points: CostPoints, looks: Looks, name: str) -> Figure:
    group, arms, front = points.group, points.arms, points.front
    short, title = COSTS[points.cost]
    records = points.records()
    named = [records[i] for i in reversed(front)]  # the best score first
    named += [r for r in records if r not in named and len(records) <= MOST_NAMED]
    labels = placed(named, records, points.ends, points.is_log)
    on_front = ", ".join(f"{arms[i].label} ({number(points.points[i][0])})" for i in front)
    style = ArmStyle([arm.label for arm in arms], [looks.of(arm) for arm in arms])
    return Figure(
        name=f"{name}-cost-{short.replace(' ', '-')}",
        title=f"Score against {short}",
        caption=_caption(points, sum(len(there) for _, there in labels)) + points.omitted,
        summary=f"{metric_name(group)} against {title}. On the front: {on_front or 'not drawn'}",
        spec=spec_of(_chart(points, records, labels, style), 260),
        header=["arm", title, "score", "on the front"],
        rows=[
            [arm.label, number(cost), score_texts(arm.score)[0], "yes" if i in front else "no"]
            for i, (arm, (cost, _)) in enumerate(zip(arms, points.points, strict=True))
        ],
    )


def _cost_axis(points: CostPoints) -> Any:
    import altair as alt

    axis = alt.Axis(format="~s" if points.cost == "parameters" else ".6~g", tickCount=5)
    if points.zero_at:
        highest = max(cost for cost, _ in points.points)
        powers = range(round(math.log10(points.zero_at)), math.floor(math.log10(highest)) + 1)
        ticks = [10.0**power for power in powers]
        axis = alt.Axis(
            values=ticks[:1] + ticks[-1:0:-2][::-1],
            labelExpr=f"datum.value < {1.5 * points.zero_at} ? '0' : format(datum.value, '~s')",
        )
    kind: Any = {"type": "log", "nice": False} if points.is_log else {"zero": False}
    scale = alt.Scale(**kind, padding=24)
    return alt.X("at:Q", title=COSTS[points.cost][1], axis=axis, scale=scale)


def _chart(
    points: CostPoints,
    records: list[Record],
    labels: list[tuple[Side, list[Record]]],
    style: ArmStyle,
) -> Any:
    import altair as alt

    x = _cost_axis(points)
    ends = alt.Scale(domain=list(points.ends), nice=False, zero=False)
    title = f"{metric_name(points.group)}, {direction(points.group)}"
    y = alt.Y("score:Q", title=title, scale=ends)
    colour = style.encode("color")
    short = COSTS[points.cost][0]
    tips = [alt.Tooltip("arm:N"), alt.Tooltip("score:Q"), alt.Tooltip("cost:Q", title=short)]
    base = alt.Chart(data(records))
    steps = [records[i] | {"place": n} for n, i in enumerate(points.front)]
    return layered(
        alt.Chart(data(steps))
        .mark_line(interpolate="step-after", color=MUTED, strokeWidth=1, strokeDash=[4, 3])
        .encode(x=x, y=y, order="place:Q"),
        base.mark_rule(strokeWidth=1.5, opacity=0.6, clip=True).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour
        ),
        base.mark_point(filled=True, size=90, opacity=1, stroke=PAPER, strokeWidth=1).encode(
            x=x, y=y, color=colour, shape=style.encode("shape"), tooltip=tips
        ),
        *[
            alt.Chart(data(there))
            .mark_text(align=side.align, dx=side.dx, dy=side.dy, color=INK, fontSize=11)
            .encode(x=x, y=y, text="arm:N")
            for side, there in labels
        ],
    )


def _caption(points: CostPoints, labelled: int) -> str:
    short = COSTS[points.cost][0]
    caption = (
        "Dashed line: the arms that no other beats in both (Pareto front); bars: 95 % interval."
    )
    if points.doubtful:
        reason = points.arms[0].doubtful_times
        caption = "No front is drawn, as times are in doubt" + (f": {reason}." if reason else ".")
    if points.cost == "train_seconds" and kernel_bound(comparable_speeds(points.arms)):
        caption += " These times depend on kernels as much as on cells; see the notes."
    if points.zero_at:
        verb = "are" if points.cost == "parameters" else "is"
        caption += f" Arms whose {short} {verb} 0 are at the left edge of the logarithmic scale."
    if labelled < len(points.arms):
        caption += " Labels that would cover others are omitted; the table has all numbers."
    if points.cost == "memory_mib" and any(
        arm.baseline and arm.memory_mib is None for arm in points.candidates
    ):
        caption += " Memory is that of the tensors of a training step: baselines have none."
    low, high = points.ends
    hidden = [arm.label for arm in points.candidates if not low <= arm.score.mean <= high]
    return caption + (f" Beyond the scale: {', '.join(hidden)}." if hidden else "")


def _cost(arm: Arm, cost: str) -> float | None:
    value = getattr(arm, cost)
    return None if value is None else float(value)

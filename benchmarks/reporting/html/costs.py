"""Score against cost: training time, memory, parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import altair as alt

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.analysis.kernel_notes import comparable_speeds, kernel_bound
from benchmarks.reporting.html.figure import Figure, Record, chart, encode, rounded, spec_of
from benchmarks.reporting.html.formatting import (
    metric_and_direction,
    metric_name,
    number,
    score_texts,
)
from benchmarks.reporting.html.scores import arms_to_draw, scale
from benchmarks.reporting.html.theme import INK, MUTED, PAPER, Looks, Style

MOST_ARMS = 60
MOST_NAMED = 12
MANYFOLD = 8  # costs that differ by more than this factor are drawn on a logarithmic axis

COSTS = {
    "train_seconds": ("training time", "training time (s)"),
    "memory_mib": ("memory", "peak memory (MiB)"),
    "parameters": ("parameters", "trainable parameters"),
}

WIDTH, HEIGHT = 240, 260  # of the drawing area with three figures in a row, in pixels
LETTER, LINE = 6.2, 12
MOST_COVERED = 20  # square pixels of other labels and points that a label may cover

Box = tuple[float, float, float, float]


class Side(NamedTuple):
    """Position of a label relative to its point, in pixels."""

    align: Literal["left", "right"]
    dx: int
    dy: int


SIDES = [side for dy in (-8, 11, -20, 23) for side in (Side("left", 8, dy), Side("right", -8, dy))]


def pareto(points: list[tuple[float, float]], higher_is_better: bool) -> list[int]:
    """Return the positions of the points (cost, score) on the Pareto front, by rising cost."""
    sign = -1.0 if higher_is_better else 1.0
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], sign * points[i][1])):
        if not front or sign * points[i][1] < sign * points[front[-1]][1]:
            front.append(i)
    return front


def placed(
    named: list[Record], points: list[Record], ends: tuple[float, float], is_log: bool
) -> list[tuple[Side, list[Record]]]:
    """Place labels beside their points so that they cover neither labels nor points.

    The first labels are placed first; one without a free side is omitted.
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
        label = record["arm"]
        boxes = {side: _box(*places[label], side, LETTER * len(label)) for side in SIDES}
        covered = {side: sum(_overlap(box, b) for b in taken) for side, box in boxes.items()}
        best = min(SIDES, key=covered.__getitem__)
        if covered[best] <= MOST_COVERED:
            taken.append(boxes[best])
            found.setdefault(best, []).append(record)
    return list(found.items())


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
    """The arms of a cost figure and the scales of its axes."""

    group: Group
    cost: str
    candidates: list[Arm]  # that could be drawn; `arms` are those inside the axes
    arms: list[Arm]
    ends: tuple[float, float]  # of the score axis
    points: list[tuple[float, float]]  # cost and score of each arm
    front: list[int]  # positions by rising cost; empty where times are in doubt
    doubtful: bool
    is_log: bool
    zero_at: float  # where a cost of 0 is drawn on a logarithmic axis; 0 where there is none


def cost_figures(group: Group, looks: Looks, name: str) -> list[Figure]:
    """Plot the score against each cost that is known of at least two networks."""
    figures = (_figure(group, cost, looks, name) for cost in COSTS)
    return [figure for figure in figures if figure is not None]


def _select(group: Group, cost: str, candidates: list[Arm]) -> CostPoints | None:
    """Return the arms to plot against a cost; None with fewer than two networks."""
    low, high = scale(group, candidates)
    known = [arm for arm in candidates if getattr(arm, cost) is not None]
    arms = [arm for arm in known if low <= arm.score.mean <= high]
    if sum(not arm.baseline for arm in arms) < 2:
        return None
    points = [(float(getattr(arm, cost)), arm.score.mean) for arm in arms]
    above = [x for x, _ in points if x > 0]
    is_log = bool(above) and max(above) / min(above) > MANYFOLD
    # A logarithmic axis has no 0: it is drawn one or two powers of ten below the lowest cost.
    has_free = is_log and len(above) < len(points)
    zero_at = 10.0 ** (math.floor(math.log10(min(above))) - 1) if has_free else 0.0
    doubtful = cost == "train_seconds" and any(arm.doubtful_times for arm in arms)
    front = [] if doubtful else pareto(points, group.higher_is_better)
    return CostPoints(
        group, cost, candidates, arms, (low, high), points, front, doubtful, is_log, zero_at
    )


def _figure(group: Group, cost: str, looks: Looks, name: str) -> Figure | None:
    candidates, omitted = arms_to_draw(group, MOST_ARMS)
    points = _select(group, cost, candidates)
    if points is None:
        return None
    arms, front = points.arms, points.front
    short, title = COSTS[cost]
    records: list[Record] = [
        {
            "arm": arm.label,
            "cost": rounded(x),
            "at": rounded(x or points.zero_at),
            "score": rounded(score),
            "low": rounded(arm.score.low),
            "high": rounded(arm.score.high),
        }
        for arm, (x, score) in zip(arms, points.points, strict=True)
    ]
    named = [records[i] for i in reversed(front)]  # the best score first
    named += [r for r in records if r not in named and len(records) <= MOST_NAMED]
    labels = placed(named, records, points.ends, points.is_log)
    on_front = ", ".join(f"{arms[i].label} ({number(points.points[i][0])})" for i in front)
    return Figure(
        name=f"{name}-cost-{short.replace(' ', '-')}",
        title=f"Score against {short}",
        caption=_caption(points, sum(len(there) for _, there in labels)) + omitted,
        summary=f"{metric_name(group)} against {title}. On the front: {on_front or 'not drawn'}",
        spec=spec_of(_layers(points, records, labels, looks.style(arms))),
        header=["arm", title, "score", "on the front"],
        rows=[
            [arm.label, number(x), score_texts(arm.score)[0], "yes" if i in front else "no"]
            for i, (arm, (x, _)) in enumerate(zip(arms, points.points, strict=True))
        ],
    )


def _cost_axis(points: CostPoints) -> Any:
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


def _layers(
    points: CostPoints,
    records: list[Record],
    labels: list[tuple[Side, list[Record]]],
    style: Style,
) -> list[Any]:
    x = _cost_axis(points)
    ends = alt.Scale(domain=list(points.ends), nice=False, zero=False)
    y = alt.Y("score:Q", title=metric_and_direction(points.group), scale=ends)
    colour = encode(style, "color")
    tips = ["arm:N", "score:Q", alt.Tooltip("cost:Q", title=COSTS[points.cost][0])]
    base = chart(records).encode(x=x, color=colour)
    steps = [records[i] | {"place": n} for n, i in enumerate(points.front)]
    return [
        chart(steps)
        .mark_line(interpolate="step-after", color=MUTED, strokeWidth=1, strokeDash=[4, 3])
        .encode(x=x, y=y, order="place:Q"),
        base.mark_rule(strokeWidth=1.5, opacity=0.6, clip=True).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=90, opacity=1, stroke=PAPER, strokeWidth=1).encode(
            y=y, shape=encode(style, "shape"), tooltip=tips
        ),
        *[
            chart(there)
            .mark_text(align=side.align, dx=side.dx, dy=side.dy, color=INK, fontSize=11)
            .encode(x=x, y=y, text="arm:N")
            for side, there in labels
        ],
    ]


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

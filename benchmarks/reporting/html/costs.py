"""Quality against what it costs: training time, memory, parameters."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.analysis.kernel_notes import comparable_speeds, kernel_bound
from benchmarks.reporting.html.figure import (
    Figure,
    Record,
    by_label,
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
"""Costs that differ by so many times are drawn on a logarithmic axis."""


def pareto(points: list[tuple[float, float]], higher_is_better: bool) -> list[int]:
    """Places of the points that no other beats in both cost and score, by rising cost.

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
    """Where the name of a point stands, in pixels from it."""

    align: Literal["left", "right"]
    dx: int
    dy: int


SIDES = [side for dy in (-8, 11, -20, 23) for side in (Side("left", 8, dy), Side("right", -8, dy))]

WIDTH, HEIGHT = 240, 260
"""Of the drawing area where three figures stand in a row."""

LETTER, LINE = 6.2, 12

MOST_COVERED = 20
"""Square pixels that a name may cover of others and of points."""


def placed(
    named: list[Record], points: list[Record], ends: tuple[float, float], is_log: bool
) -> list[tuple[Side, list[Record]]]:
    """Share names out over the sides of their points, so that they cover neither names nor points.

    A name that finds no such side is left out.

    Args:
        named: records whose name is to be written, those that matter most first.
        points: all records.
        ends: of the axis of scores.
        is_log: whether the axis of costs is logarithmic.
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
    """The place of a name of that width beside a point."""
    left = x + side.dx if side.align == "left" else x + side.dx - width
    top = y + side.dy - LINE / 2
    return left, top, left + width, top + LINE


def _overlap(a: Box, b: Box) -> float:
    """Area that two places share; outside of the drawing counts as shared too."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    outside = max(0.0, -a[0]) + max(0.0, a[2] - WIDTH) + max(0.0, -a[1]) + max(0.0, a[3] - HEIGHT)
    return max(0.0, width) * max(0.0, height) + 10 * outside


def cost_figures(group: Group, looks: Looks, name: str) -> list[Figure]:
    """Draw the score against each cost that is known of at least two nets."""
    figures = (_figure(group, looks, name, cost) for cost in COSTS)
    return [figure for figure in figures if figure is not None]


def _figure(group: Group, looks: Looks, name: str, cost: str) -> Figure | None:
    import altair as alt

    candidates, left_out = arms_to_draw(group, MOST_ARMS)
    low, high = scale(group, candidates)
    arms = [
        arm for arm in candidates if _cost(arm, cost) is not None and low <= arm.score.mean <= high
    ]
    if sum(not arm.baseline for arm in arms) < 2:
        return None
    short, title = COSTS[cost]
    doubtful = [arm.label for arm in arms if cost == "train_seconds" and arm.doubtful_times]
    points = [(_cost(arm, cost) or 0.0, arm.score.mean) for arm in arms]
    front = [] if doubtful else pareto(points, group.higher_is_better)
    above = [x for x, _ in points if x > 0]
    is_wide = bool(above) and max(above) / min(above) > MANYFOLD
    # A logarithm has no 0: what costs nothing stands where one or two powers of ten less would.
    has_free = is_wide and len(above) < len(points)
    edge = 10.0 ** (math.floor(math.log10(min(above))) - 1) if has_free else 0.0
    records: list[Record] = [
        {
            "arm": arm.label,
            "cost": rounded(x),
            "at": rounded(x or edge),
            "score": rounded(y),
            "low": rounded(arm.score.low),
            "high": rounded(arm.score.high),
        }
        for arm, (x, y) in zip(arms, points, strict=True)
    ]
    on_front = {arms[i].label for i in front}
    labels, all_looks = [arm.label for arm in arms], [looks.of(arm) for arm in arms]
    axis = alt.Axis(format="~s" if cost == "parameters" else ".6~g", tickCount=5)
    if edge:
        powers = range(round(math.log10(edge)), math.floor(math.log10(max(above))) + 1)
        ticks = [10.0**power for power in powers]
        axis = alt.Axis(
            values=ticks[:1] + ticks[-1:0:-2][::-1],
            labelExpr=f"datum.value < {1.5 * edge} ? '0' : format(datum.value, '~s')",
        )
    x = alt.X(
        "at:Q",
        title=title,
        axis=axis,
        scale=alt.Scale(type="log", nice=False, padding=24)
        if is_wide
        else alt.Scale(zero=False, padding=24),
    )
    y = alt.Y(
        "score:Q",
        title=f"{metric_name(group)}, {direction(group)}",
        scale=alt.Scale(domain=[low, high], nice=False, zero=False),
    )
    colour = by_label(labels, all_looks, "color")
    base = alt.Chart(data(records))
    steps = [records[i] | {"place": n} for n, i in enumerate(front)]
    named = [records[i] for i in reversed(front)]  # the best score first
    named += [r for r in records if r not in named and len(records) <= MOST_NAMED]
    sides = placed(named, records, (low, high), is_wide)
    chart = layered(
        alt.Chart(data(steps))
        .mark_line(interpolate="step-after", color=MUTED, strokeWidth=1, strokeDash=[4, 3])
        .encode(x=x, y=y, order="place:Q"),
        base.mark_rule(strokeWidth=1.5, opacity=0.6, clip=True).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour
        ),
        base.mark_point(filled=True, size=90, opacity=1, stroke=PAPER, strokeWidth=1).encode(
            x=x,
            y=y,
            color=colour,
            shape=by_label(labels, all_looks, "shape"),
            tooltip=[
                alt.Tooltip("arm:N"),
                alt.Tooltip("score:Q"),
                alt.Tooltip("cost:Q", title=short),
            ],
        ),
        *[
            alt.Chart(data(there))
            .mark_text(align=side.align, dx=side.dx, dy=side.dy, color=INK, fontSize=11)
            .encode(x=x, y=y, text="arm:N")
            for side, there in sides
        ],
    )
    caption = (
        "Dashed line: the arms that no other beats in both (Pareto front); bars: 95 % interval."
    )
    if doubtful:
        caption = f"No front is drawn, as times are doubtful: {arms[0].doubtful_times or ''}."
        caption = caption.replace(": .", ".")
    if cost == "train_seconds" and kernel_bound(comparable_speeds(arms)):
        caption += " These times depend on kernels as much as on cells: see the notes."
    if edge:
        verb = "are" if cost == "parameters" else "is"
        caption += (
            f" An arm whose {short} {verb} 0 stands at the left edge of the logarithmic scale."
        )
    if sum(len(there) for _, there in sides) < len(records):
        caption += " Names that would cover others are left out; the numbers have all."
    if cost == "memory_mib":
        without = [arm.label for arm in candidates if arm.baseline and arm.memory_mib is None]
        if without:
            caption += " Memory is that of a training step's tensors: baselines have none."
    hidden = [a.label for a in candidates if not low <= a.score.mean <= high]
    if hidden:
        caption += f" Beyond the scale: {', '.join(hidden)}."
    return Figure(
        name=f"{name}-cost-{short.replace(' ', '-')}",
        title=f"Score against {short}",
        caption=caption + left_out,
        summary=f"{metric_name(group)} against {title}. On the front: "
        + (", ".join(f"{arms[i].label} ({number(points[i][0])})" for i in front) or "not drawn"),
        spec=spec_of(chart, 260),
        header=["arm", title, "score", "on the front"],
        rows=[
            [a.label, number(c), score_texts(a.score)[0], "yes" if a.label in on_front else "no"]
            for a, (c, _) in zip(arms, points, strict=True)
        ],
    )


def _cost(arm: Arm, cost: str) -> float | None:
    value = getattr(arm, cost)
    return None if value is None else float(value)

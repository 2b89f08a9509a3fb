"""Figures of test scores: all arms with intervals, and scores by seed."""

from __future__ import annotations

import math
from typing import Any

import altair as alt

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.reporting.answer import nets
from benchmarks.reporting.html.figure import Figure, Record, chart, encode, rounded, spec_of
from benchmarks.reporting.html.formatting import (
    ends,
    metric_and_direction,
    metric_name,
    number,
    plural,
)
from benchmarks.reporting.html.run_files import NO_SEED, seed_name
from benchmarks.reporting.html.theme import INK, MUTED, PAPER, Looks, Style
from benchmarks.reporting.sentences import count_text, direction_text

MOST_ARMS = 30
MOST_PAIRED_ARMS = 12
MOST_SEEDS = 50
FAR = 1.5  # arms further from the best networks than this multiple of their spread are at the edge
SEED_TIPS = ["arm:N", "seed:N", "score:Q"]


def arms_to_draw(group: Group, most: int) -> tuple[list[Arm], str]:
    """Return the best arms, including the best and the naive baseline, and a note on the others."""
    best = group.best_baseline
    drawn = [
        arm
        for place, arm in enumerate(group.arms)
        if place < most or arm is best or arm.label == group.naive
    ]
    left = len(group.arms) - len(drawn)
    return drawn, f" The best {len(drawn)} of {len(group.arms)} arms are drawn." if left else ""


def scale(group: Group, arms: list[Arm]) -> tuple[float, float]:
    """Return the ends of the score axis: networks, best baseline, and arms near them."""
    baseline = group.best_baseline
    core = nets(group)[:MOST_ARMS] + ([baseline] if baseline else [])
    values = [end for arm in core for end in _extent(arm)]
    low, high = min(values), max(values)
    reach = FAR * (high - low)
    near = [v for arm in arms for v in _extent(arm) if low - reach <= v <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.04 * (high - low) or 0.02 * abs(high) or 1.0
    return low - margin, high + margin


def _extent(arm: Arm) -> list[float]:
    """Return the mean, the ends of the interval if there is one, and the scores of the seeds."""
    found = [arm.score.mean, arm.score.low, arm.score.high, *arm.by_seed.values.tolist()]
    return [float(value) for value in found if value is not None and math.isfinite(value)]


def _seed_records(arm: Arm) -> list[Record]:
    scores = arm.by_seed
    return [
        {"arm": arm.label, "seed": seed_name(seed), "score": rounded(float(value))}
        for seed, value in zip(scores.seed_list[:MOST_SEEDS], scores.values, strict=False)
    ]


def score_figure(group: Group, looks: Looks, name: str) -> Figure:
    """Plot the mean, interval and seeds of each arm, with the naive and the best baseline."""
    arms, omitted = arms_to_draw(group, MOST_ARMS)
    low, high = scale(group, arms)
    means, beyond = _mean_records(arms, low, high)
    inside = {record["arm"] for record in means}
    seeds = [r for a in arms if a.label in inside and a.score.n > 1 for r in _seed_records(a)]
    references, caption = _references(group, low, high)
    title = f"{metric_name(group)}, test, {direction_text(group.higher_is_better)}"
    if beyond:
        caption += " A number with an arrow lies beyond the edge."
    x = alt.Scale(domain=[low, high], nice=False, zero=False)
    axis = alt.X("low:Q", scale=x, title=title, axis=alt.Axis(tickCount=6))
    layers = _score_layers(looks.style(arms), means, seeds, beyond, axis)
    return Figure(
        name=f"{name}-scores",
        title="Test score of each arm",
        caption="Large mark: mean; bar: 95 % interval; small dots: seeds." + caption + omitted,
        summary=f"{title}, best first: "
        + "; ".join(
            f"{a.label} {number(a.score.mean)} ({ends(a.score) or 'one run'})" for a in arms
        ),
        spec=spec_of([_reference_layer(references), *layers], height=30 * len(arms)),
        header=["arm", "mean", "95 % interval", "n"],
        rows=[
            [a.label, number(a.score.mean), ends(a.score), count_text(a) or str(a.score.n)]
            for a in arms
        ],
    )


def _mean_records(arms: list[Arm], low: float, high: float) -> tuple[list[Record], list[Record]]:
    """Return the means inside the axis, and those beyond it with their place at the edge."""
    means: list[Record] = []
    beyond: list[Record] = []
    for arm in arms:
        mean = arm.score.mean
        record = {
            "arm": arm.label,
            "mean": rounded(mean),
            "interval": ends(arm.score) or "no seeds",
            "seeds": count_text(arm) or str(arm.score.n),
        }
        if low <= mean <= high:
            if arm.score.low is not None and arm.score.high is not None:
                record |= {"low": rounded(max(low, arm.score.low))}
                record |= {"high": rounded(min(high, arm.score.high))}
            means.append(record)
        else:
            edge = high if mean > high else low
            text = f"{number(mean)} ▸" if mean > high else f"◂ {number(mean)}"
            beyond.append(record | {"edge": rounded(edge), "text": text, "right": mean > high})
    return means, beyond


def _reference_layer(references: list[Record]) -> Any:
    dashes = alt.Scale(domain=["best baseline", "naive"], range=[[6, 3], [2, 3]])
    return (
        chart(references)
        .mark_rule(color=MUTED, strokeWidth=1)
        .encode(
            x="at:Q",
            strokeDash=alt.StrokeDash("what:N", scale=dashes, legend=None),
            tooltip=[alt.Tooltip("what:N", title="line"), alt.Tooltip("at:Q", title="score")],
        )
    )


def _score_layers(
    style: Style, means: list[Record], seeds: list[Record], beyond: list[Record], low: alt.X
) -> list[Any]:
    y = alt.Y("arm:N", sort=list(style), title=None, scale=alt.Scale(domain=list(style)))
    colour = encode(style, "color")
    tips = [
        alt.Tooltip("arm:N", title="arm"),
        alt.Tooltip("mean:Q", title="mean"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("seeds:N", title="n"),
    ]
    marks = chart(means).encode(y=y, color=colour)
    return [
        marks.mark_rule(strokeWidth=2.5).encode(x=low, x2="high:Q"),
        chart(seeds)
        .mark_circle(size=26, opacity=0.55, yOffset=8)
        .encode(y=y, x="score:Q", color=colour, tooltip=SEED_TIPS),
        marks.mark_point(filled=True, size=95, opacity=1, stroke=PAPER, strokeWidth=1.2).encode(
            x="mean:Q", shape=encode(style, "shape"), tooltip=tips
        ),
        *[
            chart([record])
            .mark_text(align="right" if record["right"] else "left", color=INK, fontSize=12)
            .encode(y=y, x="edge:Q", text="text:N", tooltip=tips)
            for record in beyond
        ],
    ]


def _references(group: Group, low: float, high: float) -> tuple[list[Record], str]:
    """Return lines at the naive and at the best baseline, and their sentence for the caption."""
    lines: list[Record] = []
    baseline = group.best_baseline
    naive = next((arm for arm in group.arms if arm.label == group.naive), None)
    caption = ""
    if baseline is not None:
        lines.append({"what": "best baseline", "at": rounded(baseline.score.mean)})
        caption += f" Dashed line: the best baseline, {baseline.label}."
    if naive is not None and naive is not baseline and low <= naive.score.mean <= high:
        lines.append({"what": "naive", "at": rounded(naive.score.mean)})
        caption += f" Dotted line: the naive reference, {naive.label}."
    return lines, caption


def seed_figure(group: Group, looks: Looks, name: str) -> Figure | None:
    """Plot the score of each seed, with a line per seed; None without two arms of several seeds."""
    arms = [arm for arm in nets(group) if len(arm.by_seed.seeds) > 1]
    if len(arms) < 2:
        return None
    style = looks.style(arms[:MOST_PAIRED_ARMS])
    found = [record for arm in arms[:MOST_PAIRED_ARMS] for record in _seed_records(arm)]
    records = [record for record in found if record["seed"] != NO_SEED]
    seeds = sorted({record["seed"] for record in records})
    scores = {(r["arm"], r["seed"]): r["score"] for r in records}
    rest = f" The best {len(style)} of {len(arms)} networks are drawn."
    return Figure(
        name=f"{name}-seeds",
        title="Scores by seed",
        caption="Each line joins the runs of one seed. A paired test detects lines that mostly go "
        "in the same direction; its result is in the table of pairs below."
        + (rest if len(style) < len(arms) else ""),
        summary=f"Test scores of {plural(len(seeds), 'seed')} for each of {', '.join(style)}.",
        spec=spec_of(_seed_layers(group, records, style)),
        header=["seed", *style],
        rows=[[s, *(number(scores.get((label, s))) for label in style)] for s in seeds],
    )


def _seed_layers(group: Group, records: list[Record], style: Style) -> list[Any]:
    angle = 0 if max(map(len, style)) < 14 else -30
    x = alt.X("arm:N", sort=list(style), title=None, axis=alt.Axis(labelAngle=angle))
    y = alt.Y("score:Q", title=metric_and_direction(group), scale=alt.Scale(zero=False))
    base = chart(records).encode(x=x, y=y)
    return [
        base.mark_line(color=MUTED, strokeWidth=1, opacity=0.6).encode(
            detail="seed:N", tooltip=["seed:N"]
        ),
        base.mark_point(filled=True, size=70, opacity=1, stroke=PAPER, strokeWidth=1).encode(
            color=encode(style, "color"), shape=encode(style, "shape"), tooltip=SEED_TIPS
        ),
    ]

"""Figures of test scores: all arms with intervals, and scores by seed."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.reporting.html.figure import (
    ArmStyle,
    Figure,
    Record,
    data,
    layered,
    rounded,
    spec_of,
)
from benchmarks.reporting.html.formatting import (
    direction,
    ends,
    metric_name,
    nets,
    number,
    plural,
)
from benchmarks.reporting.html.run_files import seed_name
from benchmarks.reporting.html.theme import INK, MUTED, PAPER, Looks

MOST_ARMS = 30
MOST_PAIRED_ARMS = 12
MOST_SEEDS = 50

FAR = 1.5
"""Arms further from the best networks than this multiple of their spread are marked at the edge."""


def arms_to_draw(group: Group, most: int) -> tuple[list[Arm], str]:
    """Return the best arms, including the best and the naive baseline, and a note on the others."""
    drawn = group.arms[:most]
    references = [group.best_baseline]
    references += [arm for arm in group.arms if arm.label == group.naive]
    drawn += [arm for arm in references if arm is not None and arm not in drawn]
    drawn = [arm for arm in group.arms if arm in drawn]
    left = len(group.arms) - len(drawn)
    return drawn, f" The best {len(drawn)} of {len(group.arms)} arms are drawn." if left else ""


def scale(group: Group, arms: list[Arm]) -> tuple[float, float]:
    """Return the ends of the score axis: networks, best baseline, and arms near them."""
    baseline = group.best_baseline
    core = nets(group)[:MOST_ARMS] + ([baseline] if baseline else [])
    values = [end for arm in core for end in extent(arm)]
    low, high = min(values), max(values)
    reach = FAR * (high - low)
    near = [v for arm in arms for v in extent(arm) if low - reach <= v <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.04 * (high - low) or 0.02 * abs(high) or 1.0
    return low - margin, high + margin


def extent(arm: Arm) -> list[float]:
    """Return the mean, the ends of the interval if there is one, and the scores of the seeds."""
    found = [arm.score.mean, arm.score.low, arm.score.high, *by_seed(arm).to_list()]
    return [float(value) for value in found if value is not None]


def by_seed(arm: Arm) -> pd.Series[float]:
    """Return one score per seed, the mean where several arms were pooled."""
    return arm.rows.groupby("seed", dropna=False)["score"].mean()


def seed_records(arm: Arm) -> list[Record]:
    """Return the scores of the seeds of an arm."""
    scores = list(by_seed(arm).items())[:MOST_SEEDS]
    return [
        {"arm": arm.label, "seed": seed_name(seed), "score": rounded(float(value))}
        for seed, value in scores
    ]


def score_figure(group: Group, looks: Looks, name: str) -> Figure:
    """Plot the mean, interval and seeds of each arm, with the naive and the best baseline."""
    arms, omitted = arms_to_draw(group, MOST_ARMS)
    ends_of_axis = scale(group, arms)
    means, beyond = _mean_records(arms, *ends_of_axis)
    inside = {record["arm"] for record in means}
    seeds = [r for a in arms if a.label in inside and a.score.n > 1 for r in seed_records(a)]
    references, caption = _references(group, *ends_of_axis)
    style = ArmStyle([arm.label for arm in arms], [looks.of(arm) for arm in arms])
    title = f"{metric_name(group)}, test, {direction(group)}"
    if beyond:
        caption += " A number with an arrow lies beyond the edge."
    return Figure(
        name=f"{name}-scores",
        title="Test score of each arm",
        caption="Large mark: mean; bar: 95 % interval; small dots: seeds." + caption + omitted,
        summary=f"{title}, best first: "
        + "; ".join(
            f"{a.label} {number(a.score.mean)} ({ends(a.score) or 'one run'})" for a in arms
        ),
        spec=spec_of(
            layered(
                _reference_layer(references),
                *_score_layers(style, means, seeds, beyond, ends_of_axis, title),
            ),
            30 * len(arms),
        ),
        header=["arm", "mean", "95 % interval", "n"],
        rows=[
            [arm.label, number(arm.score.mean), ends(arm.score), str(arm.score.n)] for arm in arms
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
            "seeds": arm.score.n,
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
    import altair as alt

    dashes = alt.Scale(domain=["best baseline", "naive"], range=[[6, 3], [2, 3]])
    return (
        alt.Chart(data(references))
        .mark_rule(color=MUTED, strokeWidth=1)
        .encode(
            x=alt.X("at:Q"),
            strokeDash=alt.StrokeDash("what:N", scale=dashes, legend=None),
            tooltip=[alt.Tooltip("what:N", title="line"), alt.Tooltip("at:Q", title="score")],
        )
    )


def _score_layers(
    style: ArmStyle,
    means: list[Record],
    seeds: list[Record],
    beyond: list[Record],
    ends_of_axis: tuple[float, float],
    title: str,
) -> list[Any]:
    import altair as alt

    y = alt.Y("arm:N", sort=style.labels, title=None, scale=alt.Scale(domain=style.labels))
    x = alt.Scale(domain=list(ends_of_axis), nice=False, zero=False)
    colour = style.encode("color")
    tips = [
        alt.Tooltip("arm:N", title="arm"),
        alt.Tooltip("mean:Q", title="mean"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("seeds:Q", title="n"),
    ]
    low = alt.X("low:Q", scale=x, title=title, axis=alt.Axis(tickCount=6))
    marks = alt.Chart(data(means))
    return [
        marks.mark_rule(strokeWidth=2.5).encode(y=y, x=low, x2="high:Q", color=colour),
        alt.Chart(data(seeds))
        .mark_circle(size=26, opacity=0.55, yOffset=8)
        .encode(y=y, x=alt.X("score:Q"), color=colour, tooltip=_seed_tips()),
        marks.mark_point(filled=True, size=95, opacity=1, stroke=PAPER, strokeWidth=1.2).encode(
            y=y, x=alt.X("mean:Q"), color=colour, shape=style.encode("shape"), tooltip=tips
        ),
        *[
            alt.Chart(data([record]))
            .mark_text(align="right" if record["right"] else "left", color=INK, fontSize=12)
            .encode(y=y, x=alt.X("edge:Q"), text="text:N", tooltip=tips)
            for record in beyond
        ],
    ]


def _seed_tips() -> list[Any]:
    import altair as alt

    return [alt.Tooltip("arm:N"), alt.Tooltip("seed:N"), alt.Tooltip("score:Q")]


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
    arms = [arm for arm in nets(group) if arm.score.n > 1]
    if len(arms) < 2:
        return None
    chosen = arms[:MOST_PAIRED_ARMS]
    records = [record for arm in chosen for record in seed_records(arm)]
    style = ArmStyle([arm.label for arm in chosen], [looks.of(arm) for arm in chosen])
    labels = style.labels
    seeds = sorted({record["seed"] for record in records})
    scores = {(r["arm"], r["seed"]): r["score"] for r in records}
    rest = (
        f" The best {len(chosen)} of {len(arms)} networks are drawn." if arms[len(chosen) :] else ""
    )
    return Figure(
        name=f"{name}-seeds",
        title="Scores by seed",
        caption="Each line joins the runs of one seed. A paired test detects lines that mostly go "
        f"in the same direction; its result is in the table of pairs below.{rest}",
        summary=f"Test scores of {plural(len(seeds), 'seed')} for each of {', '.join(labels)}.",
        spec=spec_of(_seed_chart(group, records, style), 260),
        header=["seed", *labels],
        rows=[[s, *(number(scores.get((label, s))) for label in labels)] for s in seeds],
    )


def _seed_chart(group: Group, records: list[Record], style: ArmStyle) -> Any:
    import altair as alt

    angle = 0 if max(map(len, style.labels)) < 14 else -30
    x = alt.X("arm:N", sort=style.labels, title=None, axis=alt.Axis(labelAngle=angle))
    title = f"{metric_name(group)}, {direction(group)}"
    y = alt.Y("score:Q", title=title, scale=alt.Scale(zero=False))
    base = alt.Chart(data(records))
    return layered(
        base.mark_line(color=MUTED, strokeWidth=1, opacity=0.6).encode(
            x=x, y=y, detail="seed:N", tooltip=[alt.Tooltip("seed:N")]
        ),
        base.mark_point(filled=True, size=70, opacity=1, stroke=PAPER, strokeWidth=1).encode(
            x=x,
            y=y,
            color=style.encode("color"),
            shape=style.encode("shape"),
            tooltip=_seed_tips(),
        ),
    )

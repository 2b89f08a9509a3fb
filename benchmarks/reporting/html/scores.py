"""Figures of test scores: every arm with its interval, and seed by seed."""

from __future__ import annotations

import pandas as pd

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.reporting.html.figure import (
    Figure,
    Record,
    by_label,
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
"""An arm further from the best nets than so many times their spread is marked at the edge."""


def arms_to_draw(group: Group, most: int) -> tuple[list[Arm], str]:
    """The best arms, the best baseline and the naive one among them, and what is not drawn."""
    drawn = group.arms[:most]
    references = [group.best_baseline]
    references += [arm for arm in group.arms if arm.label == group.naive]
    drawn += [arm for arm in references if arm is not None and arm not in drawn]
    drawn = [arm for arm in group.arms if arm in drawn]
    left = len(group.arms) - len(drawn)
    return drawn, f" The best {len(drawn)} of {len(group.arms)} arms are drawn." if left else ""


def scale(group: Group, arms: list[Arm]) -> tuple[float, float]:
    """Ends of the score's axis: all nets, the best baseline, and what is not far from them."""
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
    """Mean, ends of the interval if there is one, and the seeds' scores."""
    found = [arm.score.mean, arm.score.low, arm.score.high, *by_seed(arm).to_list()]
    return [float(value) for value in found if value is not None]


def by_seed(arm: Arm) -> pd.Series[float]:
    """One score per seed, their mean where several arms were pooled."""
    return arm.rows.groupby("seed", dropna=False)["score"].mean()


def seed_records(arm: Arm) -> list[Record]:
    """The scores of an arm's seeds."""
    scores = list(by_seed(arm).items())[:MOST_SEEDS]
    return [
        {"arm": arm.label, "seed": seed_name(seed), "score": rounded(float(value))}
        for seed, value in scores
    ]


def score_figure(group: Group, looks: Looks, name: str) -> Figure:
    """Draw each arm's mean, interval and seeds, beside the naive row and the best baseline."""
    import altair as alt

    arms, left_out = arms_to_draw(group, MOST_ARMS)
    low, high = scale(group, arms)
    means: list[Record] = []
    seeds: list[Record] = []
    beyond: list[Record] = []
    for arm in arms:
        mean = arm.score.mean
        record = {
            "arm": arm.label,
            "mean": rounded(mean),
            "interval": ends(arm.score) or "no seeds",
            "seeds": arm.score.n,
        }
        if not low <= mean <= high:
            edge = high if mean > high else low
            text = f"{number(mean)} ▸" if mean > high else f"◂ {number(mean)}"
            beyond.append(record | {"edge": rounded(edge), "text": text, "right": mean > high})
            continue
        if arm.score.low is not None and arm.score.high is not None:
            record |= {"low": rounded(max(low, arm.score.low))}
            record |= {"high": rounded(min(high, arm.score.high))}
        means.append(record)
        if arm.score.n > 1:
            seeds += seed_records(arm)

    labels = [arm.label for arm in arms]
    all_looks = [looks.of(arm) for arm in arms]
    y = alt.Y("arm:N", sort=labels, title=None, scale=alt.Scale(domain=labels))
    title = f"{metric_name(group)}, test, {direction(group)}"
    x = alt.Scale(domain=[low, high], nice=False, zero=False)
    colour = by_label(labels, all_looks, "color")
    tips = [
        alt.Tooltip("arm:N", title="arm"),
        alt.Tooltip("mean:Q", title="mean"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("seeds:Q", title="n"),
    ]
    references, caption = _references(group, low, high)
    chart = layered(
        alt.Chart(data(references))
        .mark_rule(color=MUTED, strokeWidth=1)
        .encode(
            x=alt.X("at:Q"),
            strokeDash=alt.StrokeDash(
                "what:N",
                scale=alt.Scale(domain=["best baseline", "naive"], range=[[6, 3], [2, 3]]),
                legend=None,
            ),
            tooltip=[alt.Tooltip("what:N", title="line"), alt.Tooltip("at:Q", title="score")],
        ),
        alt.Chart(data(means))
        .mark_rule(strokeWidth=2.5)
        .encode(
            y=y,
            x=alt.X("low:Q", scale=x, title=title, axis=alt.Axis(tickCount=6)),
            x2="high:Q",
            color=colour,
        ),
        alt.Chart(data(seeds))
        .mark_circle(size=26, opacity=0.55, yOffset=8)
        .encode(
            y=y,
            x=alt.X("score:Q"),
            color=colour,
            tooltip=[
                alt.Tooltip("arm:N"),
                alt.Tooltip("seed:N"),
                alt.Tooltip("score:Q"),
            ],
        ),
        alt.Chart(data(means))
        .mark_point(filled=True, size=95, opacity=1, stroke=PAPER, strokeWidth=1.2)
        .encode(
            y=y,
            x=alt.X("mean:Q"),
            color=colour,
            shape=by_label(labels, all_looks, "shape"),
            tooltip=tips,
        ),
        *[
            alt.Chart(data([record]))
            .mark_text(align="right" if record["right"] else "left", color=INK, fontSize=12)
            .encode(y=y, x=alt.X("edge:Q"), text="text:N", tooltip=tips)
            for record in beyond
        ],
    )
    if beyond:
        caption += " A number with an arrow lies beyond the edge."
    return Figure(
        name=f"{name}-scores",
        title="Test score of each arm",
        caption="Large mark: mean; bar: 95 % interval; small dots: seeds." + caption + left_out,
        summary=f"{title}, best first: "
        + "; ".join(
            f"{a.label} {number(a.score.mean)} ({ends(a.score) or 'one run'})" for a in arms
        ),
        spec=spec_of(chart, 30 * len(arms)),
        header=["arm", "mean", "95 % interval", "n"],
        rows=[
            [arm.label, number(arm.score.mean), ends(arm.score), str(arm.score.n)] for arm in arms
        ],
    )


def _references(group: Group, low: float, high: float) -> tuple[list[Record], str]:
    """Lines at the naive row and at the best baseline, and what the caption says of them."""
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
    """Draw each seed's score, a line joining the arms at one seed; None without two such arms."""
    import altair as alt

    arms = [arm for arm in nets(group) if arm.score.n > 1]
    if len(arms) < 2:
        return None
    chosen = arms[:MOST_PAIRED_ARMS]
    records: list[Record] = []
    for arm in chosen:
        records += seed_records(arm)
    labels = [arm.label for arm in chosen]
    all_looks = [looks.of(arm) for arm in chosen]
    x = alt.X(
        "arm:N",
        sort=labels,
        title=None,
        axis=alt.Axis(labelAngle=0 if max(map(len, labels)) < 14 else -30),
    )
    y = alt.Y(
        "score:Q", title=f"{metric_name(group)}, {direction(group)}", scale=alt.Scale(zero=False)
    )
    base = alt.Chart(data(records))
    tips = [alt.Tooltip("arm:N"), alt.Tooltip("seed:N"), alt.Tooltip("score:Q")]
    chart = layered(
        base.mark_line(color=MUTED, strokeWidth=1, opacity=0.6).encode(
            x=x, y=y, detail="seed:N", tooltip=[alt.Tooltip("seed:N")]
        ),
        base.mark_point(filled=True, size=70, opacity=1, stroke=PAPER, strokeWidth=1).encode(
            x=x,
            y=y,
            color=by_label(labels, all_looks, "color"),
            shape=by_label(labels, all_looks, "shape"),
            tooltip=tips,
        ),
    )
    named = sorted({record["seed"] for record in records})
    by_place = {(r["arm"], r["seed"]): r["score"] for r in records}
    left = f" The best {len(chosen)} of {len(arms)} nets are drawn." if arms[len(chosen) :] else ""
    return Figure(
        name=f"{name}-seeds",
        title="The same seeds, arm by arm",
        caption="Each line joins the runs of one seed. Lines that mostly go the same way are what "
        f"a paired test counts; the test, in the table of pairs below, decides.{left}",
        summary=f"Test scores of {plural(len(named), 'seed')} for each of {', '.join(labels)}.",
        spec=spec_of(chart, 260),
        header=["seed", *labels],
        rows=[[s, *(number(by_place.get((label, s))) for label in labels)] for s in named],
    )

"""Expected best validation score of a search against the number of trials."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from benchmarks.analysis.comparison import Group
from benchmarks.analysis.statistics.power import expected_best
from benchmarks.reporting.html.figure import Figure, Record, lines, rounded, spec_of
from benchmarks.reporting.html.formatting import metric_and_direction, metric_name, number
from benchmarks.reporting.html.theme import Looks
from benchmarks.results.row import Status

MOST_SEARCHES = 8
MOST_TRIALS = 400
POINTS = 60


def scores_by_search(rows: pd.DataFrame, task: str, metric: str) -> dict[str, list[float]]:
    """Return the validation scores of searches with two or more trials, in their order.

    The name is the model, with the study where a model has several.
    """
    mine = (rows["task"] == task) & (rows["metric"] == metric) & rows["trial"].notna()
    mine &= (
        rows["status"].isin([Status.OK, ""]) & (rows["smoke"] != 1) & np.isfinite(rows["val_score"])
    )
    trials = rows[mine]
    if trials.empty:
        return {}
    keys = trials[["model", "study"]].astype(str).drop_duplicates()
    several = set(keys["model"][keys["model"].duplicated()])
    found = {}
    for (model, study), part in trials.groupby(["model", "study"], observed=True, sort=True):
        name = f"{model} ({study})" if str(model) in several else str(model)
        # A trial that was run again counts once, with its last result.
        last = part.drop_duplicates("trial", keep="last").sort_values("trial")
        if len(last) > 1:
            found[name] = [float(score) for score in last["val_score"]][:MOST_TRIALS]
    return found


def trial_figure(group: Group, rows: pd.DataFrame, looks: Looks, name: str) -> Figure | None:
    """Plot a line per search; None if the tables contain none of this task."""
    searches = scores_by_search(rows, group.task, group.metric)
    if not searches:
        return None
    curves = {label: expected_best(s, group.higher_is_better) for label, s in searches.items()}
    sign = -1.0 if group.higher_is_better else 1.0
    chosen = sorted(curves, key=lambda label: sign * curves[label][-1])[:MOST_SEARCHES]
    # A search has the colour of its model, which other figures use too.
    models = [each if each in looks.models else each.rpartition(" (")[0] for each in chosen]
    style = {
        label: looks.of_search(model, models[:i].count(model))
        for i, (label, model) in enumerate(zip(chosen, models, strict=True))
    }
    records: list[Record] = [
        {"arm": label, "k": int(k), "best": rounded(curves[label][k - 1])}
        for label in chosen
        for n in [len(curves[label])]
        for k in np.unique(np.geomspace(1, n, min(n, POINTS)).round().astype(int))
    ]
    x = alt.X("k:Q", title="number of trials", axis=alt.Axis(tickMinStep=1, format="d"))
    title = f"expected best validation {metric_name(group)}"
    y = alt.Y("best:Q", title=title, scale=alt.Scale(zero=False))
    tips = [
        "arm:N",
        alt.Tooltip("k:Q", title="trials"),
        alt.Tooltip("best:Q", title="expected best"),
    ]
    omitted = len(searches) - len(chosen)
    return Figure(
        name=f"{name}-trials",
        title="Expected best score by number of trials",
        caption="Expected best validation score of a number of trials, drawn in any order from "
        "those that were run (Dodge et al. 2019). If lines cross, the ranking depends on the "
        "number of trials." + (f" {omitted} further searches are not drawn." if omitted else ""),
        summary=f"{metric_and_direction(group)}: "
        + "; ".join(
            f"{label} {number(curves[label][0])} after 1 trial, {number(curves[label][-1])} "
            f"after {len(curves[label])}"
            for label in chosen
        ),
        spec=spec_of(lines(style, records, x, y, tips), chosen),
        header=["search", "trials", "after 1", "after half", "after all"],
        rows=[
            [label, str(len(c)), *(number(c[i]) for i in (0, (len(c) - 1) // 2, -1))]
            for label, c in ((label, curves[label]) for label in chosen)
        ],
    )

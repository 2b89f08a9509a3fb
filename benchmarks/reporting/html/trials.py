"""What tuning brought: the expected best validation score after so many trials of a search."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.analysis.comparison import Group
from benchmarks.analysis.statistics import expected_best
from benchmarks.reporting.html.figure import (
    Figure,
    Record,
    by_label,
    data,
    layered,
    rounded,
    spec_of,
)
from benchmarks.reporting.html.formatting import direction, metric_name, number
from benchmarks.reporting.html.theme import Looks
from benchmarks.results.row import Status

MOST_SEARCHES = 8
MOST_TRIALS = 400
POINTS = 60


def scores_by_search(rows: pd.DataFrame, task: str, metric: str) -> dict[str, list[float]]:
    """Validation scores of each search's trials on a task, in the order they were run.

    Args:
        rows: of the tables, with their documented columns.
        task, metric: those of the group.

    Returns:
        By model, and by study where a model has several; searches with two trials at least.
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
        # A trial that was run again counts once, as it last came out.
        last = part.drop_duplicates("trial", keep="last").sort_values("trial")
        if len(last) > 1:
            found[name] = [float(score) for score in last["val_score"]][:MOST_TRIALS]
    return found


def trial_figure(group: Group, rows: pd.DataFrame, looks: Looks, name: str) -> Figure | None:
    """Draw a line per search; None if the tables hold none of this task."""
    import altair as alt

    searches = scores_by_search(rows, group.task, group.metric)
    if not searches:
        return None
    curves = {label: expected_best(s, group.higher_is_better) for label, s in searches.items()}
    sign = -1.0 if group.higher_is_better else 1.0
    chosen = sorted(curves, key=lambda label: sign * curves[label][-1])[:MOST_SEARCHES]
    # A search has the colour of its model, which is drawn elsewhere too.
    models = [each if each in looks.models else each.rpartition(" (")[0] for each in chosen]
    all_looks = [looks.of_search(m, models[:i].count(m)) for i, m in enumerate(models)]
    records: list[Record] = []
    for label in chosen:
        n = len(curves[label])
        for k in np.unique(np.geomspace(1, n, min(n, POINTS)).round().astype(int)):
            records.append({"arm": label, "k": int(k), "best": rounded(curves[label][k - 1])})
    x = alt.X("k:Q", title="number of trials", axis=alt.Axis(tickMinStep=1, format="d"))
    y = alt.Y(
        "best:Q",
        title=f"expected best validation {metric_name(group)}",
        scale=alt.Scale(zero=False),
    )
    base = alt.Chart(data(records))
    chart = layered(
        base.mark_line().encode(
            x=x,
            y=y,
            color=by_label(chosen, all_looks, "color", legend="stroke"),
            strokeDash=by_label(chosen, all_looks, "strokeDash", legend="stroke"),
        ),
        base.mark_point(size=50, opacity=0, filled=True).encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("arm:N"),
                alt.Tooltip("k:Q", title="trials"),
                alt.Tooltip("best:Q", title="expected best"),
            ],
        ),
    )
    left = len(searches) - len(chosen)
    return Figure(
        name=f"{name}-trials",
        title="What more tuning would bring",
        caption="Expected best validation score of so many trials, drawn in any order from those "
        "that were run (Dodge et al. 2019). Lines that cross say that the winner depends on how "
        "long one tunes." + (f" {left} further searches are not drawn." if left else ""),
        summary=f"{metric_name(group)}, {direction(group)}: "
        + "; ".join(
            f"{label} {number(curves[label][0])} after 1 trial, {number(curves[label][-1])} "
            f"after {len(curves[label])}"
            for label in chosen
        ),
        spec=spec_of(chart, 260, chosen),
        header=["search", "trials", "after 1", "after half", "after all"],
        rows=[
            [
                label,
                str(len(curve)),
                number(curve[0]),
                number(curve[(len(curve) - 1) // 2]),
                number(curve[-1]),
            ]
            for label, curve in ((label, curves[label]) for label in chosen)
        ],
    )

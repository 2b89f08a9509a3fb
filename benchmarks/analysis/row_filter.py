"""Selection of rows: one successful run per arm and seed, and the reasons for the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.analysis.comparison import ExcludedRows
from benchmarks.errors import UserError
from benchmarks.results.row import COLUMNS, Status, columns_where

Mask = NDArray[np.bool_]

GROUP = (
    "task",
    "metric",
    *[name for name in columns_where(comparable=("table", "task", "group")) if name != "smoke"],
)

SETTINGS = (
    "match",
    "match_budget",
    "hidden_size",
    "num_layers",
    "bidirectional",
    "dropout",
    "learning_rate",
    "batch_size",
    "precision",
)  # the most informative first

NEVER_POOLED = ("group", "model_version", "baseline", "match", "match_budget")
BEST_OF = "best of "  # prefix of the key of an arm that is the best trial of a search
EXAMPLES = 3


def filter_rows(
    frame: pd.DataFrame, score: str = "a score"
) -> tuple[pd.DataFrame, list[ExcludedRows]]:
    """Keep one row per arm and seed, sorted, with the columns `group` and `arm_number`."""
    excluded: list[ExcludedRows] = []

    def exclude(frame: pd.DataFrame, mask: Mask, reason: str) -> pd.DataFrame:
        if not mask.any():
            return frame
        first = frame[mask].head(EXAMPLES)
        places = zip(first["run_id"], first["table"], first["line"], strict=True)
        examples = [run_id or f"{table}, row {line}" for run_id, table, line in places]
        excluded.append(ExcludedRows(reason, int(mask.sum()), examples))
        return frame[~mask]

    frame = exclude(frame, repeated_runs(frame), "duplicate rows of a run")
    frame = exclude(frame, (frame["smoke"] == 1).to_numpy(), "smoke tests")
    for status in sorted(set(frame["status"].astype("str")) - {"", Status.OK}):
        mask = (frame["status"] == status).to_numpy()
        frame = exclude(frame, mask, f"runs that ended as {status}")
    frame = exclude(frame, ~np.isfinite(frame["score"].to_numpy()), f"runs without {score}")
    frame = with_net_defaults(frame.assign(says_match=frame["match"] != ""))
    frame = frame.assign(group=group_numbers(frame), arm_key=arm_keys(frame), trials=np.nan)
    frame, not_best = best_trials(frame)
    frame = exclude(frame, not_best, "trials of a search that were not its best by validation")
    frame = frame.assign(arm_number=arm_numbers(frame))
    # Run ids sort by start time; without them the order of the table is the only one.
    frame = frame.sort_values(["arm_number", "seed", "run_id", "line"], kind="stable")
    earlier = frame.duplicated(["arm_number", "seed"], keep="last").to_numpy()
    return exclude(frame, earlier, "earlier runs of the same arm and seed"), excluded


def arm_numbers(frame: pd.DataFrame) -> pd.Series[int]:
    """Return the number of each row's arm; rows of one arm differ only in their seed."""
    columns = ["model", *NEVER_POOLED, "arm_key"]
    return frame.groupby(columns, sort=False, observed=True, dropna=False).ngroup()


def repeated_runs(frame: pd.DataFrame) -> Mask:
    """Return a mask of the rows that repeat the row of a run."""
    named = frame["run_id"] != ""
    again = named & frame.duplicated("run_id", keep=False)
    mask = (named & frame.duplicated("run_id")).to_numpy()
    if not mask.any():
        return mask
    repeated = frame[again]
    by_run = repeated.groupby("run_id", sort=False)
    for name in [name for name in COLUMNS if name in frame and name != "run_id"]:
        # An empty cell is no contradiction: the table may not have the column.
        known = (
            repeated[name].mask(repeated[name] == "") if is_text(frame[name]) else repeated[name]
        )
        differs = known.groupby(repeated["run_id"], sort=False).nunique() > 1
        if differs.any():
            run_id = str(differs.index[int(differs.to_numpy().argmax())])
            tables = " and ".join(sorted(set(by_run.get_group(run_id)["table"].astype("str"))))
            raise UserError(f"{tables}: the run id {run_id} has rows with different {name}")
    return mask


def is_text(column: pd.Series[Any]) -> bool:
    """Return True for a column of text."""
    return not pd.api.types.is_numeric_dtype(column)


def with_net_defaults(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill in the budget and precision of nets in tables from before these columns."""
    return frame.assign(
        match=with_default(frame, "match", "hidden"),
        precision=with_default(frame, "precision", "highest"),
    )


def with_default(frame: pd.DataFrame, column: str, default: str) -> pd.Series[Any]:
    """Return a column with a default in the empty cells of nets."""
    values = frame[column].astype("str")
    return values.mask((values == "") & (frame["baseline"] == ""), default).astype("category")


def group_numbers(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return the number of each row's group; an empty cell equals the only other value."""
    keys = pd.DataFrame(index=frame.index)
    within = frame.groupby(["task", "metric"], sort=False, observed=True).ngroup()
    keys["within"] = within
    for name in GROUP[2:]:
        column = frame[name]
        codes, _ = pd.factorize(column.mask(column == "") if is_text(column) else column)
        known = pd.Series(codes, index=frame.index).where(codes >= 0)
        spread = known.groupby(within).transform("nunique")
        only = known.groupby(within).transform("max")
        keys[name] = known.where(known.notna() | (spread > 1), only).fillna(-1)
    return keys.groupby(list(keys), sort=False).ngroup().to_numpy().astype(np.int64)


def arm_keys(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return the identity of each row's arm: the column `arm`, or the settings.

    A row without the column joins the only arm with its settings, so that foreign tables can be
    compared with tables of rnnbench.
    """
    keys = frame["arm"].astype("str")
    columns = ["task", "model", "baseline", *SETTINGS]
    settings = frame.groupby(columns, sort=False, observed=True, dropna=False).ngroup()
    known = pd.DataFrame({"arm": keys, "settings": settings})[keys != ""].drop_duplicates()
    only = known.drop_duplicates("settings", keep=False).set_index("settings")["arm"].to_dict()
    names = {number: only.get(number, f"settings {number}") for number in settings.unique()}
    return keys.where(keys != "", settings.map(names)).astype("category")


def best_trials(frame: pd.DataFrame) -> tuple[pd.DataFrame, Mask]:
    """Represent each search by runs with the settings of its best trial, or by that trial."""
    is_trial = frame["trial"].notna().to_numpy()
    not_best = is_trial.copy()
    if not is_trial.any():
        return frame, not_best
    frame = frame.assign(arm_key=frame["arm_key"].astype("str"))
    trials = frame[is_trial]
    sign = np.where(trials["own_higher"] == 1, 1.0, -1.0)
    ranked = trials.assign(rank=(trials["val_score"] * sign).fillna(-np.inf))
    ranked = ranked.sort_values("rank", ascending=False, kind="stable")
    searches = ranked.groupby(["group", "model", "study"], sort=False, observed=True)
    best = searches.head(1)
    counts = searches["rank"].transform("size")
    others = frame[~is_trial]
    for place in best.index:
        row, count = frame.loc[place], counts.loc[place]
        again = others.index[
            (others["arm_key"] == row["arm_key"]) & (others["group"] == row["group"])
        ]
        if len(again):
            frame.loc[again, "trials"] = count
        else:
            frame.loc[place, "trials"] = count
            frame.loc[place, "arm_key"] = f"{BEST_OF}{row['study']}"
            not_best[frame.index.get_loc(place)] = False
    return frame, not_best

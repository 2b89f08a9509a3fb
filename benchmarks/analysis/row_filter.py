"""Which rows count: one per arm and seed, ended well, no smoke test; of the others, why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.analysis.comparison import LeftOut
from benchmarks.errors import UserError
from benchmarks.results.row import COLUMNS, columns_where

Mask = NDArray[np.bool_]

GROUP = (
    "task",
    "metric",
    *[name for name in columns_where(comparable=("table", "task", "group")) if name != "smoke"],
)
"""Rows are comparable if these columns are equal; smoke tests are left out before."""

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
)
"""What tells arms of a model apart, in the order in which a reader cares; where a table has no
column `arm` they define it."""

ALWAYS_APART = ("group", "model_version", "baseline", "match", "match_budget")
"""Rows that differ in these are never one arm, however they are pooled."""

BEST_OF = "best of "
"""How the key of an arm begins that stands for a search."""

EXAMPLES = 3


def counted(frame: pd.DataFrame, score: str = "a score") -> tuple[pd.DataFrame, list[LeftOut]]:
    """Keep the rows that count, with new columns: `group` and `arm_number` are equal for one arm.

    Args:
        frame: of `with_score`.
        score: what is compared, in words.

    Returns:
        The rows that count, sorted by arm and seed, and what was left out.

    Raises:
        UserError: a run id stands for two different runs.
    """
    left_out: list[LeftOut] = []

    def leave(frame: pd.DataFrame, mask: Mask, reason: str) -> pd.DataFrame:
        if not mask.any():
            return frame
        left_out.append(LeftOut(reason, int(mask.sum()), examples_of(frame[mask])))
        return frame[~mask]

    frame = leave(frame, copies(frame), "the same run once more")
    frame = leave(frame, (frame["smoke"] == 1).to_numpy(), "smoke tests")
    status = frame["status"].astype("str")
    for word in sorted(set(status) - {"", "ok"}):
        frame = leave(frame, (frame["status"] == word).to_numpy(), f"runs that ended as {word}")
    frame = leave(frame, ~np.isfinite(frame["score"].to_numpy()), f"runs without {score}")
    frame = frame.assign(says_match=frame["match"] != "", match=normal_match(frame))
    frame = frame.assign(precision=said_or(frame, "precision", "highest"))
    frame = frame.assign(group=group_numbers(frame))
    frame = frame.assign(arm_key=arm_keys(frame))
    frame = frame.assign(trials=np.nan)
    frame, idle = best_trials(frame)
    frame = leave(frame, idle, "trials of a search that were not its best by validation")
    frame = frame.assign(arm_number=arm_numbers(frame))
    # Run ids sort by start time; where there are none the table's order is the only one.
    frame = frame.sort_values(["arm_number", "seed", "run_id", "line"], kind="stable")
    earlier = frame.duplicated(["arm_number", "seed"], keep="last").to_numpy()
    return leave(frame, earlier, "earlier runs of the same arm and seed"), left_out


def arm_numbers(frame: pd.DataFrame) -> pd.Series[int]:
    """Number the arms; equal for rows that differ in their seed alone."""
    columns = ["model", *ALWAYS_APART, "arm_key"]
    return frame.groupby(columns, sort=False, observed=True, dropna=False).ngroup()


def examples_of(rows: pd.DataFrame) -> list[str]:
    """Name some rows by their run ids, or by where they stand."""
    first = rows.head(EXAMPLES)
    pairs = zip(first["run_id"], first["table"], first["line"], strict=True)
    return [run_id or f"{table}, row {line}" for run_id, table, line in pairs]


def copies(frame: pd.DataFrame) -> Mask:
    """Mark rows that repeat a run's row.

    Raises:
        UserError: two rows of one run id differ.
    """
    named = frame["run_id"] != ""
    again = named & frame.duplicated("run_id", keep=False)
    mask = (named & frame.duplicated("run_id")).to_numpy()
    if not mask.any():
        return mask
    repeated = frame[again]
    by_run = repeated.groupby("run_id", sort=False)
    for name in [name for name in COLUMNS if name in frame and name != "run_id"]:
        # An empty cell says nothing: the table may lack the column.
        known = (
            repeated[name].mask(repeated[name] == "") if is_text(frame[name]) else repeated[name]
        )
        differs = known.groupby(repeated["run_id"], sort=False).nunique() > 1
        if differs.any():
            run_id = str(differs.index[int(differs.to_numpy().argmax())])
            tables = " and ".join(sorted(set(by_run.get_group(run_id)["table"].astype("str"))))
            raise UserError(f"{tables}: the run id {run_id} stands for rows with different {name}")
    return mask


def is_text(column: pd.Series[Any]) -> bool:
    """Whether a column holds text."""
    return not pd.api.types.is_numeric_dtype(column)


def normal_match(frame: pd.DataFrame) -> pd.Series[Any]:
    """What nets are given alike; a table that does not say it is from before anything else was."""
    return said_or(frame, "match", "hidden")


def said_or(frame: pd.DataFrame, column: str, before: str) -> pd.Series[Any]:
    """What a column says of nets, or what all were before there was the column."""
    said = frame[column].astype("str")
    return said.mask((said == "") & (frame["baseline"] == ""), before).astype("category")


def group_numbers(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Number the groups of comparable rows; what a row does not say is what all others say."""
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


def settings_numbers(frame: pd.DataFrame) -> pd.Series[int]:
    """Number the combinations of model and settings."""
    columns = ["task", "model", "baseline", *SETTINGS]
    return frame.groupby(columns, sort=False, observed=True, dropna=False).ngroup()


def arm_keys(frame: pd.DataFrame) -> pd.Series[Any]:
    """Identify each row's arm: by its column, else by the settings.

    A row without the column joins the only arm that has its settings and the column, so that a
    table from elsewhere goes together with one of ours.
    """
    keys = frame["arm"].astype("str")
    settings = settings_numbers(frame)
    known = pd.DataFrame({"arm": keys, "settings": settings})[keys != ""].drop_duplicates()
    only = known.drop_duplicates("settings", keep=False).set_index("settings")["arm"].to_dict()
    names = {number: only.get(number, f"settings {number}") for number in settings.unique()}
    return keys.where(keys != "", settings.map(names)).astype("category")


def best_trials(frame: pd.DataFrame) -> tuple[pd.DataFrame, Mask]:
    """Let each search's best trial by validation stand for it.

    If its settings were run again outside of the search, with other seeds, those runs stand for it.

    Returns:
        The rows, with the number of trials in column `trials` of those that stand for a search, and
        a mark on the rows that do not count.
    """
    is_trial = frame["trial"].notna().to_numpy()
    idle = is_trial.copy()
    if not is_trial.any():
        return frame, idle
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
            idle[frame.index.get_loc(place)] = False
    return frame, idle

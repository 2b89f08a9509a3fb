"""Selection of rows: the latest run per arm and seed, and the reasons for excluding others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.analysis.comparison import ExcludedRows
from benchmarks.analysis.seed_tests import ROUNDING
from benchmarks.errors import UserError
from benchmarks.results.row import COLUMNS, Status, columns_where

Mask = NDArray[np.bool_]

GROUP = (
    "task",
    "metric",
    *[name for name in columns_where(comparable=("table", "task", "group")) if name != "smoke"],
    "metric_unit",
)

SETTINGS = (
    "match",
    "match_budget",
    "recipe",
    "hidden_size",
    "num_layers",
    "bidirectional",
    "dropout",
    "learning_rate",
    "batch_size",
    "precision",
)  # the most informative first

NEVER_POOLED = ("group", "model_version", "baseline", "match", "match_budget")
FAILURES = tuple(status.value for status in Status if status.is_failure)
STATIC = "static"  # track of a row without one
NO_SCORE = "no score"  # failure of a run that ended with the status ok
UNKNOWN_IF_EMPTY = ("dtype", "deterministic", "tokenization")
NONE_IF_EMPTY = ("init_seed", "order_seed", "split_seed", "pretrain_sha256")
ARM_COLUMNS = (*SETTINGS, *UNKNOWN_IF_EMPTY, *NONE_IF_EMPTY)
FILLED = ("metric", *GROUP[2:], "dataset", "arm", *ARM_COLUMNS, "overrides", "model_version")

BEST_OF = "best of "  # prefix of the key of an arm that is the best trial of a search
EXAMPLES = 3


def filter_rows(
    frame: pd.DataFrame, score: str = "a score"
) -> tuple[pd.DataFrame, list[ExcludedRows]]:
    """Keep the latest row per arm and replicate, sorted, and return the reasons for all others.

    The rows have `group`, `arm_number`, `replicate` and `failure`, which is empty if the run was
    completed. Failed runs are kept to be counted, and are listed among the excluded rows. For
    `changed_from` see `with_changed_scores`.
    """
    excluded: list[ExcludedRows] = []

    def exclude(frame: pd.DataFrame, mask: Mask, reason: str) -> pd.DataFrame:
        if not mask.any():
            return frame
        examples = run_names(frame[mask].head(EXAMPLES))
        excluded.append(ExcludedRows(reason, int(mask.sum()), examples))
        return frame[~mask]

    frame = exclude(with_track(frame), repeated_runs(frame), "duplicate rows of a run")
    frame = exclude(frame, (frame["smoke"] == 1).to_numpy(), "smoke tests")
    is_fixed = (frame["init_seed"].notna() & frame["order_seed"].notna()).to_numpy()
    frame = exclude(frame, is_fixed, "runs of variance components (scripts/variance.py)")
    frame = exclude(frame, untested(frame), "runs without test scores (--metric val_score)")
    ended = frame = frame.assign(failure=failures(frame))
    for status in sorted(set(frame["status"].astype("str")) - {"", Status.OK}):
        mask = (frame["status"] == status).to_numpy()
        frame = exclude(frame, mask, f"runs that ended as {status}")
    frame = exclude(frame, ~np.isfinite(frame["score"].to_numpy()), f"runs without {score}")
    ended = with_known_cells(ended[ended.index.isin(frame.index) | (ended["failure"] != "")])
    ended = with_net_defaults(ended.assign(says_match=ended["match"] != ""))
    ended = with_arm_keys(ended).assign(trials=np.nan)
    frame, not_best = best_trials(ended[ended["failure"] == ""])
    frame = exclude(frame, not_best, "trials of a search that were not its best by validation")
    failed = ended[(ended["failure"] != "") & ended["trial"].isna()]
    frame = pd.concat([frame, failed]).sort_index() if len(failed) else frame
    frame = frame.assign(arm_number=arm_numbers(frame), replicate=replicates(frame))
    # Run ids sort by start time; without them the order of the tables is the only one.
    frame = frame.sort_values(["arm_number", "replicate", "run_id"], kind="stable")
    is_earlier = frame.duplicated(["arm_number", "replicate"], keep="last")
    is_completed = frame["failure"] == ""
    earlier = (is_earlier & is_completed).to_numpy()
    exclude(frame, earlier, "earlier runs of the same arm and seed")
    return with_changed_scores(frame[~is_earlier], frame[earlier]), excluded


def untested(frame: pd.DataFrame) -> Mask:
    """Return a mask of the completed runs of `train.test=false`, unless another score is chosen."""
    scores = frame[["test_score", "val_score", "score"]].notna()
    is_untested = ~scores["test_score"] & scores["val_score"] & ~scores["score"]
    return (is_untested & frame["status"].isin(["", Status.OK])).to_numpy()


def with_changed_scores(latest: pd.DataFrame, earlier: pd.DataFrame) -> pd.DataFrame:
    """Add `changed_from`, its run and epochs: a different earlier score of the arm and seed."""
    keys = ["arm_number", "replicate"]
    found = earlier.merge(latest[[*keys, "score"]], on=keys, suffixes=("", "_latest"))
    is_equal = np.isclose(found["score"], found["score_latest"], rtol=ROUNDING, atol=0)
    found = found[~is_equal].drop_duplicates(keys, keep="last")
    found = found.assign(
        changed_from=found["score"], changed_run=run_names(found), changed_epochs=found["epochs"]
    )
    columns = [*keys, "changed_from", "changed_run", "changed_epochs"]
    return latest.merge(found[columns], on=keys, how="left")


def run_names(rows: pd.DataFrame) -> list[str]:
    """Return the run ids of rows, or their tables and lines."""
    places = zip(rows["run_id"], rows["table"], rows["line"], strict=True)
    return [run_id or f"{table}, row {line}" for run_id, table, line in places]


def failures(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return the failure of each row's run: its status, `NO_SCORE`, or empty if there is none."""
    status = frame["status"].astype("str")
    has_score = np.isfinite(frame[["score", "test_score"]].to_numpy()).any(axis=1)
    found = status.where(status.isin(FAILURES), "")
    return found.mask(status.isin(["", Status.OK]) & ~has_score, NO_SCORE)


def with_known_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill the empty cells of failed runs with the only value of completed runs that agree.

    A run that ended before it was set up has no overrides, and no hidden size that was solved for
    a budget.
    """
    is_failed = frame["failure"] != ""
    is_bare = is_failed & (frame["dtype"] == "")
    unsolved = is_bare & ~frame["match"].isin(["", "hidden"])
    frame = frame.assign(hidden_size=frame["hidden_size"].mask(unsolved))
    keys = ["task", "model", *FILLED]
    same = frame.groupby(keys, sort=False, observed=True, dropna=False).ngroup()
    is_other = is_failed & (frame["arm"] == "") & ~same.isin(same[~is_failed])
    completed = frame[~is_failed].drop_duplicates(keys)
    for _, rows in frame[is_other].groupby(same[is_other], sort=False):
        cells = rows.iloc[0]
        empty = [name for name in FILLED if cells[name] == "" or pd.isna(cells[name])]
        if not is_bare[rows.index[0]] and "overrides" in empty:
            empty.remove("overrides")
        known = [name for name in keys if name not in empty]
        agreeing = completed[(completed[known] == cells[known]).all(axis="columns")]
        for name in empty:
            if agreeing[name].nunique() == 1:
                frame.loc[rows.index, name] = agreeing[name].iloc[0]
    return frame


def replicates(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return the number of each row's replicate: its seed, or its run if a net has no seed.

    Numbers of seeds are in the order of the seeds and before all others.
    """
    codes, seeds = pd.factorize(frame["seed"], sort=True)
    is_net = (frame["baseline"] == "").to_numpy()
    others = len(seeds) + np.where(is_net, 1 + np.arange(len(frame)), 0)
    return np.where(codes >= 0, codes, others).astype(np.int64)


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


def with_track(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill in the track of static rows: an empty cell would equal the only other value."""
    return frame.assign(track=with_default(frame, "track", STATIC))


def with_net_defaults(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill in the recipe, and budget and precision of nets, in tables without these columns."""
    is_net = frame["baseline"] == ""
    return frame.assign(
        match=with_default(frame, "match", "hidden", is_net),
        precision=with_default(frame, "precision", "highest", is_net),
        recipe=with_default(frame, "recipe", "default"),
    )


def with_default(
    frame: pd.DataFrame, column: str, default: str, applies: pd.Series[bool] | bool = True
) -> pd.Series[Any]:
    """Return a column with a default in the empty cells of the rows to which it applies."""
    values = frame[column].astype("str")
    return values.mask((values == "") & applies, default).astype("category")


def group_numbers(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return the number of each row's group; an empty cell equals the only other value."""
    keys = pd.DataFrame(index=frame.index)
    within = frame.groupby(["task", "metric"], sort=False, observed=True).ngroup()
    keys["within"] = within
    for name in GROUP[2:]:
        codes = known_codes(frame[name])
        codes = data_codes(frame, within) if name == "dataset_sha256" else codes
        keys[name] = with_only(codes, within).fillna(-1)
    return keys.groupby(list(keys), sort=False).ngroup().to_numpy().astype(np.int64)


def data_codes(frame: pd.DataFrame, within: pd.Series[int]) -> pd.Series[float]:
    """Return a number for each row's data: its hash, or its name if the hash is unknown.

    A name that occurs with one hash only stands for that hash.
    """
    hashes = known_codes(frame["dataset_sha256"])
    names = with_only(known_codes(frame["dataset"]), within)
    keys = pd.DataFrame({"within": within, "name": names})
    by_name = keys.groupby(["within", "name"], sort=False, dropna=False).ngroup()
    hashes = hashes.where(names.isna(), with_only(hashes, by_name))
    return hashes.fillna(len(frame) + names)


def known_codes(column: pd.Series[Any]) -> pd.Series[float]:
    """Return a number for each value of a column, NaN for empty cells."""
    codes, _ = pd.factorize(column.mask(column == "") if is_text(column) else column)
    return pd.Series(codes, index=column.index).where(codes >= 0)


def with_only(codes: pd.Series[float], within: pd.Series[int]) -> pd.Series[float]:
    """Fill NaN with the only other code `within` the same rows, if there is one only."""
    by = codes.groupby(within)
    return codes.where(codes.notna() | (by.transform("nunique") > 1), by.transform("max"))


def with_arm_keys(frame: pd.DataFrame) -> pd.DataFrame:
    """Add `group` and `arm_key`, which is the column `arm` or a number of the settings.

    A row without the column joins the only arm of its group with its settings, so that foreign
    tables can be compared with tables of rnnbench.
    """
    frame = frame.assign(group=group_numbers(frame), words=override_words(frame))
    models = frame.groupby(["task", "model"], sort=False, observed=True).ngroup()
    codes = {name: known_codes(frame[name]) for name in (*UNKNOWN_IF_EMPTY, *NONE_IF_EMPTY)}
    codes |= {name: with_only(codes[name], models) for name in UNKNOWN_IF_EMPTY}
    coded = {f"{name}_code": each for name, each in codes.items()}
    frame = frame.assign(**coded)
    columns = ["group", "model", "baseline", *SETTINGS, *coded, "words"]
    settings = frame.groupby(columns, sort=False, observed=True, dropna=False).ngroup()
    keys = frame["arm"].astype("str")
    known = pd.DataFrame({"arm": keys, "settings": settings})[keys != ""].drop_duplicates()
    only = known.drop_duplicates("settings", keep=False).set_index("settings")["arm"].to_dict()
    names = {number: only.get(number, f"settings {number}") for number in settings.unique()}
    return frame.assign(arm_key=keys.where(keys != "", settings.map(names)).astype("category"))


def override_words(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return the overrides of each row that no other column contains, in alphabetical order."""
    cells = frame[[*ARM_COLUMNS]]
    rows = zip(frame["overrides"], (cells.notna() & (cells != "")).to_numpy(), strict=True)
    columns = np.array(ARM_COLUMNS)
    found = [" ".join(other_words(text, {*columns[known]})) if text else "" for text, known in rows]
    return pd.Series(found, index=frame.index, dtype="str")


def other_words(overrides: str, columns: Collection[str]) -> list[str]:
    """Return the overrides of a row that are not about these columns, in alphabetical order."""
    keys = {word: word.partition("=")[0].rpartition(".")[2] for word in overrides.split()}
    return sorted(word for word, key in keys.items() if key not in columns)


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

"""Differences between arms besides model and seed: settings, overrides, training and machine."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pandas as pd

from benchmarks.analysis.comparison import Group, Pair
from benchmarks.analysis.ensemble_notes import WORDS
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.labels import cell_text, without_kernel
from benchmarks.analysis.row_filter import ARM_COLUMNS
from benchmarks.results.row import FACTS

COLUMNS = tuple(name for name in ARM_COLUMNS if name not in ("match", "match_budget"))
AMOUNTS = ("epochs", "steps", "train_tokens")  # of training
MACHINE = ("device", "device_name", "threads")
PLANNED_LENGTH = ("train.max_epochs", "train.max_steps")  # overrides that explain other amounts
ROUNDING = 0.01  # largest relative difference of steps and tokens that is not named


@dataclass
class Conditions:
    """What the runs of an arm have in common, by column or override; several values if pooled."""

    model: str
    is_net: bool
    values: dict[str, dict[str, None]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the value of a column or override; empty if it is unknown or does not apply."""
        found = self.values.get(name)
        if found and name in AMOUNTS:
            return " to ".join(sorted({min(found, key=float), max(found, key=float)}, key=float))
        if found:
            return " and ".join(sorted(found))
        applies = name not in FACTS and (self.is_net or name.startswith("task."))
        return "default" if applies else ""


def conditions_of(
    rows: pd.DataFrame, keys: Sequence[str]
) -> dict[tuple[Hashable, ...], Conditions]:
    """Return the conditions of each arm by its values of the columns `keys`."""
    is_timed = rows["match"] == "time"  # threads then decide the amount of training
    devices = rows["device"].astype("str").str.replace(r":\d+$", "", regex=True)
    cells = rows.assign(device=devices, threads=rows["threads"].where(is_timed))
    cells = cells.assign(**amount_texts(rows, keys))
    columns = [*keys, "model", "baseline", "match", *COLUMNS, *AMOUNTS, *MACHINE, "words"]
    found: dict[tuple[Hashable, ...], Conditions] = {}
    for row in cells[columns].drop_duplicates().to_dict("records"):
        key = tuple(row[name] for name in keys)
        arm = found.setdefault(key, Conditions(row["model"], not row["baseline"]))
        for name, text in condition_texts(row):
            arm.values.setdefault(name, {})[text] = None
    return found


def amount_texts(rows: pd.DataFrame, keys: Sequence[str]) -> dict[str, pd.Series[Any]]:
    """Return the amounts of training as text, empty where they are a result.

    They are a result where patience or a budget of time ended the training, and where epochs vary
    by seed in a table that does not contain what ended it.
    """
    epochs = rows.groupby([*keys], sort=False)["epochs"]
    is_result = (rows["stopped_by"] == "patience") | (rows["match"] == "time")
    is_result |= (rows["stopped_by"] == "") & (epochs.transform("min") < epochs.transform("max"))
    amounts = {name: rows[name].mask(is_result) for name in AMOUNTS}
    return {name: each.map("{:.0f}".format).mask(each.isna(), "") for name, each in amounts.items()}


def condition_texts(row: Mapping[Hashable, Any]) -> Iterator[tuple[str, str]]:
    """Yield the known columns and the overrides of a row with their values."""
    for name in COLUMNS if row["baseline"] else (*COLUMNS, *AMOUNTS, *MACHINE):
        is_solved = name == "hidden_size" and row["match"] not in ("", "hidden")
        text = cell_text(row[name])
        is_of_nets = name == "recipe" and row["baseline"]
        if text and not is_solved and not is_of_nets:
            yield name, text
    for word in without_kernel(row["words"]).split():
        name, _, value = word.lstrip("+~").partition("=")
        applies = not row["baseline"] or name.startswith("task.")
        if applies and name not in WORDS:  # a note describes ensembles
            yield name, value or word


def differences(arms: Sequence[Conditions]) -> dict[str, list[str]]:
    """Return the different values of arms by column or override, in the order of the arms."""
    names = dict.fromkeys(name for arm in arms for name in arm.values)
    found = {}
    for name in names:
        texts = list(dict.fromkeys(text for arm in arms if (text := arm.text(name))))
        if len(texts) > 1:
            found[name] = texts
    return {name: texts for name, texts in found.items() if not is_explained(arms, name, found)}


def is_explained(arms: Sequence[Conditions], name: str, found: Mapping[str, Sequence[str]]) -> bool:
    """Return True if the model, another difference or rounding explains a difference."""
    if name == "bidirectional":
        return is_implied(arms, name)
    if name == "device_name":
        return "device" in found
    if name not in AMOUNTS:
        return False
    causes = [*PLANNED_LENGTH, *["epochs"] * (name != "epochs")]
    causes += ["batch_size"] * (name == "steps")
    return any(cause in found for cause in causes) or (
        name != "epochs" and is_near([arm.values.get(name, {}) for arm in arms])
    )


def is_near(amounts: Sequence[Mapping[str, None]]) -> bool:
    """Return True if the ranges of the arms' amounts are equal up to rounding."""
    ranges = [[*map(float, each)] for each in amounts if each]
    return all(
        max(ends) - min(ends) <= ROUNDING * max(ends)
        for ends in ([min(each) for each in ranges], [max(each) for each in ranges])
    )


def is_implied(arms: Sequence[Conditions], name: str) -> bool:
    """Return True if the model decides the value of a column."""
    by_model = sorted((arm.model, arm.text(name)) for arm in arms if arm.text(name))
    return all(a == b or a[0] != b[0] for a, b in pairwise(by_model))


def phrase(found: Mapping[str, Sequence[str]], subject: str = "arms") -> str:
    """Return differences as a phrase; empty if there are none."""
    parts = [f"{name}: {listed(texts)}" for name, texts in found.items()]
    return f"{subject} also differ in {'; '.join(parts)}" if parts else ""


def with_differences(group: Group, rows: pd.DataFrame) -> Group:
    """Add the differences of its arms to a group, and those of two arms to their pair.

    The group does not repeat hidden sizes that its budget names.
    """
    by_number = conditions_of(rows, ["arm_number"])
    known = {arm.label: by_number[(arm.rows["arm_number"].iloc[0],)] for arm in group.arms}
    found = differences(list(known.values()))
    if not group.is_mixed:
        found.pop("hidden_size", None)
    return replace(
        group,
        also_differ=phrase({name: with_arms(name, found[name], known) for name in found}),
        pairs=[replace(pair, differ=pair_differences(pair, known)) for pair in group.pairs],
    )


def with_arms(name: str, texts: Sequence[str], known: Mapping[str, Conditions]) -> list[str]:
    """Return the values of a column or override with their arms, unless the labels name them."""
    arms = {text: [label for label in known if known[label].text(name) == text] for text in texts}
    if all(f"{name}={text}" in label.split() for text in texts for label in arms[text]):
        return list(texts)
    return [f"{text} ({listed(arms[text])})" for text in texts]


def pair_differences(pair: Pair, known: Mapping[str, Conditions]) -> str:
    """Return the differences of the arms of a pair, except those that their labels name."""
    if pair.has_failed_arm:
        return ""
    found = differences([known[pair.a], known[pair.b]])
    words = {*pair.a.split(), *pair.b.split()}
    return phrase({n: v for n, v in found.items() if not {f"{n}={text}" for text in v} <= words})

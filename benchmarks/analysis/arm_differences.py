"""Differences between arms besides model and seed: settings, precision, overrides and epochs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pandas as pd

from benchmarks.analysis.comparison import Group, Pair
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.labels import cell_text, without_kernel
from benchmarks.analysis.row_filter import ARM_COLUMNS
from benchmarks.results.row import FACTS

COLUMNS = tuple(name for name in ARM_COLUMNS if name not in ("match", "match_budget"))
PLANNED_LENGTH = ("train.max_epochs", "train.max_steps")  # overrides that explain other epochs


@dataclass
class Conditions:
    """What the runs of an arm have in common, by column or override; several values if pooled."""

    model: str
    is_net: bool
    values: dict[str, dict[str, None]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the value of a column or override; empty if it is unknown or does not apply."""
        found = self.values.get(name)
        if found:
            return " and ".join(sorted(found)) if name != "epochs" or len(found) == 1 else ""
        applies = name not in FACTS and (self.is_net or name.startswith("task."))
        return "default" if applies else ""


def conditions_of(
    rows: pd.DataFrame, keys: Sequence[str]
) -> dict[tuple[Hashable, ...], Conditions]:
    """Return the conditions of each arm by its values of the columns `keys`.

    The number of epochs is a result where patience or a budget of time ended the training.
    """
    is_result = (rows["stopped_by"] == "patience") | (rows["match"] == "time")
    cells = rows.assign(epochs=rows["epochs"].mask(is_result))
    columns = [*keys, "model", "baseline", "match", *COLUMNS, "epochs", "words"]
    found: dict[tuple[Hashable, ...], Conditions] = {}
    for row in cells[columns].drop_duplicates().to_dict("records"):
        key = tuple(row[name] for name in keys)
        arm = found.setdefault(key, Conditions(row["model"], not row["baseline"]))
        for name, text in condition_texts(row):
            arm.values.setdefault(name, {})[text] = None
    return found


def condition_texts(row: Mapping[Hashable, Any]) -> Iterator[tuple[str, str]]:
    """Yield the known columns and the overrides of a row with their values."""
    for name in (*COLUMNS, "epochs"):
        is_solved = name == "hidden_size" and row["match"] not in ("", "hidden")
        text = cell_text(row[name])
        if text and not is_solved:
            yield name, text
    for word in without_kernel(row["words"]).split():
        name, _, value = word.lstrip("+~").partition("=")
        if not row["baseline"] or name.startswith("task."):
            yield name, value or word


def differences(arms: Sequence[Conditions]) -> dict[str, list[str]]:
    """Return the different values of arms by column or override, in the order of the arms."""
    names = dict.fromkeys(name for arm in arms for name in arm.values)
    found = {}
    for name in names:
        texts = list(dict.fromkeys(text for arm in arms if (text := arm.text(name))))
        if len(texts) > 1 and not (name == "bidirectional" and is_implied(arms, name)):
            found[name] = texts
    if any(name in found for name in PLANNED_LENGTH):
        found.pop("epochs", None)
    return found


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
        also_differ=phrase(found),
        budget=f"{group.budget}; other settings differ" if found else group.budget,
        pairs=[replace(pair, differ=pair_differences(pair, known)) for pair in group.pairs],
    )


def pair_differences(pair: Pair, known: Mapping[str, Conditions]) -> str:
    """Return the differences of the arms of a pair, except those that their labels name."""
    if pair.has_failed_arm:
        return ""
    found = differences([known[pair.a], known[pair.b]])
    words = {*pair.a.split(), *pair.b.split()}
    return phrase({n: v for n, v in found.items() if not {f"{n}={text}" for text in v} <= words})

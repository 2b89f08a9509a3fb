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
from benchmarks.analysis.row_filter import ARM_COLUMNS, NONE_IF_EMPTY
from benchmarks.results.row import FACTS

COLUMNS = tuple(name for name in ARM_COLUMNS if name not in ("match", "match_budget"))
AMOUNTS = ("epochs", "steps", "train_tokens")  # of training
MACHINE = ("device", "device_name", "threads")
PLANNED_LENGTH = ("train.max_epochs", "train.max_steps")  # overrides that explain other amounts
OVERRIDE_OF = {"tokenization": "task.", "pretrain_sha256": "train.pretrain"}  # and explain these
ROUNDING = 0.01  # largest relative difference of steps and tokens that is not named


@dataclass
class Conditions:
    """What the runs of an arm have in common, by column or override; several values if pooled.

    `most_epochs` is that of all runs, `values` has the epochs of those that a limit ended, and of
    those where `is_end_known` is False: the table does not contain what ended them.
    """

    model: str
    is_net: bool
    most_epochs: float
    is_end_known: bool
    values: dict[str, dict[str, None]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the value of a column or override; empty if it is unknown or does not apply."""
        found = self.values.get(name)
        if found and name in AMOUNTS:
            return " to ".join(sorted({min(found, key=float), max(found, key=float)}, key=float))
        if found:
            return " and ".join(sorted(found))
        if name in NONE_IF_EMPTY and self.is_net:
            return "none"
        applies = name not in FACTS and (self.is_net or name.startswith("task."))
        return "default" if applies else ""


def conditions_of(
    rows: pd.DataFrame, keys: Sequence[str]
) -> dict[tuple[Hashable, ...], Conditions]:
    """Return the conditions of each arm by its values of the columns `keys`."""
    is_timed = rows["match"] == "time"  # threads then decide the amount of training
    devices = rows["device"].astype("str").str.replace(r":\d+$", "", regex=True)
    cells = rows.assign(device=devices, threads=rows["threads"].where(is_timed))
    cells = cells.assign(**amount_texts(rows), is_known=rows["stopped_by"] != "")
    by_arm = cells.assign(most=rows["epochs"].fillna(0.0)).groupby([*keys], sort=False)
    cells["most"] = by_arm["most"].transform("max")
    cells["is_known"] = by_arm["is_known"].transform("all")
    columns = [*keys, "model", "baseline", "match", *COLUMNS, *AMOUNTS, *MACHINE, "words"]
    columns += ["most", "is_known"]
    found: dict[tuple[Hashable, ...], Conditions] = {}
    for row in cells[columns].drop_duplicates().to_dict("records"):
        key = tuple(row[name] for name in keys)
        if key not in found:
            ends = row["most"], row["is_known"]
            found[key] = Conditions(row["model"], not row["baseline"], *ends)
        arm = found[key]
        for name, text in condition_texts(row):
            arm.values.setdefault(name, {})[text] = None
    return found


def amount_texts(rows: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """Return the amounts of training as text, empty where patience or a budget of time ended it."""
    is_result = (rows["stopped_by"] == "patience") | (rows["match"] == "time")
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
    arms = with_longer_runs(arms)
    names = dict.fromkeys(name for arm in arms for name in arm.values)
    found = {}
    for name in names:
        texts = list(dict.fromkeys(text for arm in arms if (text := arm.text(name))))
        if len(texts) > 1:
            found[name] = texts
    return {name: texts for name, texts in found.items() if not is_explained(arms, name, found)}


def with_longer_runs(arms: Sequence[Conditions]) -> list[Conditions]:
    """Add the epochs of arms that patience ended after the limit of another arm."""
    known = [arm for arm in arms if arm.is_end_known]
    limits = [float(text) for arm in known for text in arm.values.get("epochs", ())]
    if not limits:
        return [*arms]
    return [
        replace(arm, values={**arm.values, "epochs": {f"{arm.most_epochs:.0f}": None}})
        if "epochs" not in arm.values and arm.most_epochs > min(limits)
        else arm
        for arm in arms
    ]


def is_explained(arms: Sequence[Conditions], name: str, found: Mapping[str, Sequence[str]]) -> bool:
    """Return True if the model, another difference, rounding or patience explains a difference."""
    if name == "bidirectional":
        return is_implied(arms, name)
    if name == "device_name":
        return "device" in found
    if name in OVERRIDE_OF:
        return any(other.startswith(OVERRIDE_OF[name]) for other in found)
    if name not in AMOUNTS:
        return False
    causes = [*PLANNED_LENGTH, *["epochs"] * (name != "epochs")]
    causes += ["batch_size"] * (name == "steps")
    amounts = [arm.values.get(name, {}) for arm in arms]
    is_unsure = any(not arm.is_end_known and len(arm.values.get(name, ())) > 1 for arm in arms)
    may_be_patience = is_unsure and have_overlap(amounts)
    is_rounding = name != "epochs" and is_near(amounts)
    return may_be_patience or is_rounding or any(cause in found for cause in causes)


def is_near(amounts: Sequence[Mapping[str, None]]) -> bool:
    """Return True if the ranges of the arms' amounts are equal up to rounding."""
    return all(max(ends) - min(ends) <= ROUNDING * max(ends) for ends in ends_of(amounts))


def have_overlap(amounts: Sequence[Mapping[str, None]]) -> bool:
    """Return True if the ranges of the arms' amounts have a value in common."""
    lowest, highest = ends_of(amounts)
    return max(lowest) <= min(highest)


def ends_of(amounts: Sequence[Mapping[str, None]]) -> tuple[list[float], list[float]]:
    """Return the smallest and the largest amount of each arm that has any."""
    ranges = [[*map(float, each)] for each in amounts if each]
    return [min(each) for each in ranges], [max(each) for each in ranges]


def is_implied(arms: Sequence[Conditions], name: str) -> bool:
    """Return True if the model decides the value of a column."""
    by_model = sorted((arm.model, arm.text(name)) for arm in arms if arm.text(name))
    return all(a == b or a[0] != b[0] for a, b in pairwise(by_model))


def phrase(found: Mapping[str, Sequence[str]], subject: str = "arms") -> str:
    """Return differences as a phrase; empty if there are none."""
    parts = [f"{name}: {listed(texts)}" for name, texts in found.items()]
    return f"{subject} also differ in {'; '.join(parts)}" if parts else ""


def with_differences(group: Group, rows: pd.DataFrame, by: Sequence[str] = ()) -> Group:
    """Add the differences of its arms to a group, and those of two arms to their pair.

    The group does not repeat the columns `by`, which define its arms, and hidden sizes that its
    budget names.
    """
    by_number = conditions_of(rows, ["arm_number"])
    known = {arm.label: by_number[(arm.rows["arm_number"].iloc[0],)] for arm in group.arms}
    found = differences(list(known.values()))
    found = {name: texts for name, texts in found.items() if name not in by}
    if not group.is_mixed:
        found.pop("hidden_size", None)
    texts = {name: with_arms(name, found[name], known) for name in found}
    return replace(
        group,
        also_differ=phrase(texts),
        differing=tuple(name for name in found if texts[name] != found[name]),
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

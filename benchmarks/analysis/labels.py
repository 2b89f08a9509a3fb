"""Names for arms: the model, and only those settings that tell it from others of its group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from benchmarks.analysis.row_filter import SETTINGS

Cells = Mapping[str, Any]

NAMED = (
    "model",
    "baseline",
    "trials",
    *SETTINGS,
    "model_version",
    "kernel",
    "overrides",
    "study",
    "arm_key",
)
"""Columns that labels are made of."""

KERNEL = "model.kernel="


def labels(arms: Sequence[Cells], by: Sequence[str] = ()) -> list[str]:
    """Name arms, each differently.

    Args:
        arms: one row of each, and its `trials`, if it stands for a search.
        by: the columns whose values make the arms; none if they are what differs but in seed.
    """
    words = [beginning(cells, by) for cells in arms]
    for column in (*SETTINGS, "model_version"):
        for places in alike(words):
            values = [text(arms[place][column]) for place in places]
            if len(set(values)) > 1:
                for place, value in zip(places, values, strict=True):
                    words[place].append(f"{column}={value or 'unknown'}")
    for places in alike(words):
        for place, word in zip(places, kernel_words([arms[p] for p in places]), strict=True):
            words[place] += word
    for places in alike(words):
        chosen = [str(arms[place]["overrides"]).split() for place in places]
        shared = set.intersection(*(set(each) for each in chosen))
        for place, each in zip(places, chosen, strict=True):
            words[place] += [word for word in each if word not in shared]
    for column, name in (("study", "study"), ("arm_key", "arm")):
        for places in alike(words):
            values = [str(arms[place][column])[:12] for place in places]
            if len(set(values)) > 1:
                for place, value in zip(places, values, strict=True):
                    words[place].append(f"{name}={value}")
    for places in alike(words):
        for number, place in enumerate(places, 1):
            words[place].append(f"#{number}")
    return [" ".join(each) for each in words]


def records(firsts: pd.DataFrame, by: Sequence[str]) -> list[dict[str, Any]]:
    """Turn one row of each arm into what `labels` needs of it."""
    columns = dict.fromkeys((*NAMED, *by))
    cells = [firsts[name].tolist() for name in columns]
    return [dict(zip(columns, values, strict=True)) for values in zip(*cells, strict=True)]


def beginning(cells: Cells, by: Sequence[str]) -> list[str]:
    """How a label begins: the model, or the values of the columns that make the arms."""
    if not by or cells["baseline"]:
        tuned = cells["trials"]
        return [str(cells["model"])] + ([f"(best of {tuned:.0f} trials)"] if tuned > 0 else [])
    return [
        text(cells[name]) if name == "model" else f"{name}={text(cells[name]) or 'unknown'}"
        for name in by
    ]


def kernel_words(arms: Sequence[Cells]) -> list[list[str]]:
    """Tell arms apart by the kernel that ran; by the one asked for if that tells more apart."""
    ran = [text(cells["kernel"]) for cells in arms]
    asked = [[w for w in str(a["overrides"]).split() if w.startswith(KERNEL)] for a in arms]
    if len({*map(tuple, asked)}) > len(set(ran)):
        return asked
    return [[f"kernel={name or 'unknown'}"] if len(set(ran)) > 1 else [] for name in ran]


def but_kernel(overrides: str) -> str:
    """The overrides of a row without the kernel asked for, which changes no number but by rounding.

    Args:
        overrides: words between spaces.
    """
    return " ".join(word for word in overrides.split() if not word.startswith(KERNEL))


def alike(words: list[list[str]]) -> Iterator[list[int]]:
    """Give the places of each set of labels that are still the same."""
    sets: dict[tuple[str, ...], list[int]] = {}
    for place, each in enumerate(words):
        sets.setdefault(tuple(each), []).append(place)
    return (places for places in sets.values() if len(places) > 1)


def text(value: object) -> str:
    """Write a cell as short as it can be; nothing for one that is empty."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return str(value)

"""Labels of arms: the model and the settings that distinguish it within its group."""

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
    """Return a distinct label for each arm.

    Args:
        arms: one row of each, with the number of `trials` of a search.
        by: columns whose values define the arms; empty if arms differ in anything but the seed.
    """
    words = [label_start(cells, by) for cells in arms]
    for column in (*SETTINGS, "model_version"):
        values = [cell_text(cells[column]) or "unknown" for cells in arms]
        append_values(words, column, values)
    for places in duplicates(words):
        for place, added in zip(places, kernel_labels([arms[p] for p in places]), strict=True):
            words[place] += added
    for places in duplicates(words):
        chosen = [str(arms[place]["overrides"]).split() for place in places]
        shared = set.intersection(*(set(each) for each in chosen))
        for place, each in zip(places, chosen, strict=True):
            words[place] += [word for word in each if word not in shared]
    for column, name in (("study", "study"), ("arm_key", "arm")):
        append_values(words, name, [str(cells[column])[:12] for cells in arms])
    for places in duplicates(words):
        for number, place in enumerate(places, 1):
            words[place].append(f"#{number}")
    return [" ".join(each) for each in words]


def append_values(words: list[list[str]], name: str, values: Sequence[str]) -> None:
    """Append `name=value` to labels that are still equal, where the values differ."""
    for places in duplicates(words):
        if len({values[place] for place in places}) > 1:
            for place in places:
                words[place].append(f"{name}={values[place]}")


def records(firsts: pd.DataFrame, by: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns that `labels` needs, one dictionary per arm."""
    columns = list(dict.fromkeys((*NAMED, *by)))
    cells = [firsts[name].tolist() for name in columns]
    return [dict(zip(columns, values, strict=True)) for values in zip(*cells, strict=True)]


def label_start(cells: Cells, by: Sequence[str]) -> list[str]:
    """Return the first words of a label: the model, or the values of the columns `by`."""
    if not by or cells["baseline"]:
        tuned = cells["trials"]
        return [str(cells["model"])] + ([f"(best of {tuned:.0f} trials)"] if tuned > 0 else [])
    return [
        cell_text(cells[name])
        if name == "model"
        else f"{name}={cell_text(cells[name]) or 'unknown'}"
        for name in by
    ]


def kernel_labels(arms: Sequence[Cells]) -> list[list[str]]:
    """Return labels by the kernel that ran, or by the requested one if that distinguishes more."""
    ran = [cell_text(cells["kernel"]) for cells in arms]
    requested = [[w for w in str(a["overrides"]).split() if w.startswith(KERNEL)] for a in arms]
    if len({*map(tuple, requested)}) > len(set(ran)):
        return requested
    return [[f"kernel={name or 'unknown'}"] if len(set(ran)) > 1 else [] for name in ran]


def without_kernel(overrides: str) -> str:
    """Return the overrides of a row without the kernel, which changes scores only by rounding."""
    return " ".join(word for word in overrides.split() if not word.startswith(KERNEL))


def duplicates(words: list[list[str]]) -> Iterator[list[int]]:
    """Yield the places of each set of equal labels."""
    sets: dict[tuple[str, ...], list[int]] = {}
    for place, each in enumerate(words):
        sets.setdefault(tuple(each), []).append(place)
    return (places for places in sets.values() if len(places) > 1)


def cell_text(value: object) -> str:
    """Format a cell with at most six digits; empty for a missing number."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return str(value)

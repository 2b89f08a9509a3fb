"""Labels of arms: the model and the settings that distinguish it within its group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from benchmarks.analysis.row_filter import NONE_IF_EMPTY, SETTINGS

KERNEL = "model.kernel="
MEMBERS = "members="  # of an ensemble


def labels(firsts: pd.DataFrame, by: Sequence[str] = ()) -> list[str]:
    """Return a distinct label for each arm."""
    words = label_starts(firsts, by)
    for column in (*SETTINGS, "model_version"):
        append_values(words, column, [cell_text(v) or "unknown" for v in firsts[column].tolist()])
    overrides = [str(text).split() for text in firsts["overrides"].tolist()]
    kernels = [cell_text(value) for value in firsts["kernel"].tolist()]
    for places in duplicates(words):
        requested = [[w for w in overrides[p] if w.startswith(KERNEL)] for p in places]
        ran = [kernels[p] for p in places]
        if len({*map(tuple, requested)}) > len(set(ran)):
            added = requested
        else:
            added = [[f"kernel={name or 'unknown'}"] if len(set(ran)) > 1 else [] for name in ran]
        for place, more in zip(places, added, strict=True):
            words[place] += more
    for places in duplicates(words):
        shared = set.intersection(*(set(overrides[place]) for place in places))
        for place in places:
            words[place] += [word for word in overrides[place] if word not in shared]
    for column in ("study", "dtype", "deterministic", *NONE_IF_EMPTY, "arm_key"):
        name = "arm" if column == "arm_key" else column
        empty = "none" if column in NONE_IF_EMPTY else "unknown"
        append_values(words, name, [cell_text(v)[:12] or empty for v in firsts[column].tolist()])
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


def label_starts(firsts: pd.DataFrame, by: Sequence[str]) -> list[list[str]]:
    """Return the first words of each label: model and members, or values of the columns `by`."""
    starts = []
    columns = {"model", "baseline", "trials", "overrides", *by}
    for cells in firsts[list(columns)].to_dict("records"):
        if by and not cells["baseline"]:
            texts = [(name, cell_text(cells[name])) for name in by]
            starts.append(
                [t if name == "model" else f"{name}={t or 'unknown'}" for name, t in texts]
            )
        else:
            trials = cells["trials"]
            best = [f"(best of {trials:.0f} trials)"] if trials > 0 else []
            words = str(cells["overrides"]).split()
            members = [word for word in words if word.startswith(MEMBERS)]
            starts.append([str(cells["model"]), *members, *best])
    return starts


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

"""Planted differences: how often they are found, how large they then seem, and planned seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.analysis.statistics.common import LEVEL
from benchmarks.analysis.statistics.power import (
    detectable,
    paired_power,
    seeds_for_effect,
    seeds_for_margin,
    t_power,
)
from benchmarks.analysis.statistics.seeds import paired_by_seed, unpaired
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import is_shown, share

SEEDS = (3, 5, 10, 16)


def paired(draws: int) -> list[list[str]]:
    """Measure how often the paired t-test finds planted differences."""
    rng = np.random.default_rng(2)
    cases = [(f"2 sd of the scores, {n} seeds", 2 / np.sqrt(2), n) for n in SEEDS]
    cases.append(("2 sd of the differences, 5 seeds", 2.0, 5))
    for n in SEEDS:
        least = detectable(1 / np.sqrt(n), n - 1) or 0.0
        cases.append((f"detectable, {n} seeds ({least:.2f} sd of the differences)", least, n))
    for effect in (0.8, 1.0, 2.0):
        n = seeds_for_effect(effect, LEVEL) or 0
        for seeds, words in ((n, "planned"), (n - 1, "one fewer")):
            name = f"{effect:.1f} sd of the differences, {seeds} seeds ({words})"
            cases.append((name, effect, seeds))
    rows = []
    for name, effect, n in cases:  # effects in sd of the differences
        arms = rng.normal(size=(draws, 2, n))
        arms[:, 0] += effect * np.sqrt(2)
        hits = [is_shown(paired_by_seed(a, b).p) for a, b in arms]
        rows.append(["paired", name, f"{100 * paired_power(effect, n):.1f}", share(hits)])
    return rows


def welch(draws: int) -> list[list[str]]:
    """Measure how often Welch's t-test finds the difference that is stated as detectable."""
    rng, rows = np.random.default_rng(7), []
    for n in SEEDS:
        error, freedom = np.sqrt(2 / n), 2 * (n - 1)
        least = detectable(error, freedom) or 0.0
        arms = rng.normal(size=(draws, 2, n))
        arms[:, 0] += least
        hits = [is_shown(unpaired(a, b).p) for a, b in arms]
        stated = f"{100 * t_power(least / error, freedom, LEVEL):.1f}"
        name = f"detectable, {n} seeds ({least:.2f} sd of the scores)"
        rows.append(["Welch", name, stated, share(hits)])
    return rows


def exaggeration(draws: int) -> str:
    """Measure the mean of the differences that are shown where the truth is 1 sd."""
    rng, rows = np.random.default_rng(8), []
    for n in (3, 5, 10):
        arms = rng.normal(size=(draws, 2, n))
        arms[:, 0] += 1.0
        found = [paired_by_seed(a, b) for a, b in arms]
        shown = [each.difference for each in found if is_shown(each.p)]
        rows.append([str(n), share([is_shown(each.p) for each in found]), ratio(shown)])
    return markdown_table(["seeds", "shown, %", "mean shown difference / true difference"], rows)


def ratio(values: list[float]) -> str:
    """Return a mean with its standard error."""
    if len(values) < 2:
        return ""
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.2f}"


def planning(draws: int) -> str:
    """Measure how often the range of planned seeds contains the number that is needed."""
    rng, rows = np.random.default_rng(9), []
    needed = seeds_for_effect(1.0, LEVEL)
    assert needed is not None
    for n in (3, 5, 10):
        deviations = rng.normal(size=(draws, n)).std(axis=1, ddof=1)
        ranges = np.array(
            [seeds_for_margin(1.0, float(sd), n - 1) for sd in deviations], dtype=np.float64
        )
        few, many = ranges[:, 0], np.nan_to_num(ranges[:, 1], nan=np.inf)
        middle = f"{np.median(few):.0f} to {np.median(many):.0f}"
        rows.append([str(n), str(needed), middle, share((few <= needed) & (needed <= many))])
    header = ["seeds of the estimate", "needed", "median range", "range contains the needed, %"]
    return markdown_table(header, rows)


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    each = f"{draws:,} draws each"
    rows = [*paired(draws), *welch(draws)]
    header = ["test", "planted difference", "stated, %", "found, %"]
    yield f"Planted differences found, normal scores, {each}", markdown_table(header, rows)
    truth = "a true difference of 1 sd of the scores"
    yield f"Size of the differences shown, at {truth}, {each}", exaggeration(draws)
    yield f"Seeds planned for a margin of 1 sd of the differences, {each}", planning(draws)

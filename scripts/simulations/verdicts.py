"""False differences of the tests over seeds, alone and through `compare`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import NOT_SHOWN
from benchmarks.analysis.selection import Options
from benchmarks.analysis.statistics.common import LEVEL
from benchmarks.analysis.statistics.power import holm, paired_power
from benchmarks.analysis.statistics.seeds import paired_by_seed, unpaired
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import NULLS, PART, Array, is_shown, share

TASKS_AT_ONCE = 25


def false_verdicts(draws: int) -> str:
    """Measure how often a difference is shown between arms of one distribution."""
    rows = []
    for name, draw in NULLS.items():
        for n in (2, 3, 5, 10, 16):
            x = draw(np.random.default_rng(n), (draws, 3, n))
            pairs = [
                [paired_by_seed(arms[i], arms[j]).p for i, j in ((0, 1), (0, 2), (1, 2))]
                for arms in x
            ]
            two = [is_shown(of_three[0]) for of_three in pairs]
            three = [min(holm([1.0 if p is None else p for p in each])) < LEVEL for each in pairs]
            apart = [is_shown(unpaired(arms[0], arms[1]).p) for arms in x]
            alone = [is_shown(paired_by_seed(arms[0], np.zeros(n)).p) for arms in x]
            rows.append([name, str(n), *map(share, (two, three, apart, alone))])
    header = ["scores of both", "seeds", "two arms, %", "three arms, any pair, %"]
    return markdown_table([*header, "without common seeds, %", "against a constant, %"], rows)


def any_difference(scores: Array) -> list[bool]:
    """Return for each task of scores (tasks, arms, seeds) if `compare` shows any difference."""
    names = ("task", "model", "arm", "seed", "metric", "higher_is_better", "test_score")
    judged = []
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(np.array_split(scores, -(-len(scores) // TASKS_AT_ONCE))):
            path = Path(folder) / f"{number}.csv"
            rows = [
                (f"t{task:05}", f"m{arm}", arm, seed, "score", "true", score)
                for (task, arm, seed), score in np.ndenumerate(part)
            ]
            pd.DataFrame(rows, columns=names).to_csv(path, index=False)
            groups = compare([path], Options(items=False)).groups
            assert len(groups) == len(part)
            judged += [any(pair.verdict != NOT_SHOWN for pair in g.pairs) for g in groups]
    return judged


def verdicts(draws: int) -> str:
    """Measure the verdicts of `compare` on equal arms and on a planted difference."""
    rng = np.random.default_rng(1)
    rows = []
    for name, arms, n, planted in (
        ("two arms of one distribution", 2, 5, 0.0),
        ("three arms of one distribution", 3, 5, 0.0),
        ("two arms, 2 sd apart", 2, 5, 2.0),
    ):
        scores = rng.normal(size=(draws, arms, n))
        scores[:, 0] += planted
        stated = 100 * paired_power(planted / np.sqrt(2), n) if planted else 100 * LEVEL
        bound = "" if planted else "at most "
        hits = any_difference(scores)
        rows.append([name, str(n), f"{draws:,}", f"{bound}{stated:.1f}", share(hits)])
    header = ["table", "seeds", "tables", "stated, %", "different, %"]
    return markdown_table(header, rows)


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    few = draws // PART
    each = f"{draws:,} draws each"
    yield f"Differences shown where there are none (5 % allowed), {each}", false_verdicts(draws)
    yield "The same through `compare`, and a planted difference", verdicts(few)

"""Measure on planted data whether the statistics keep what they say.

    python scripts/check_statistics.py                        prints tables, in two or three minutes
    python scripts/check_statistics.py --write docs/method.md puts them into the page
    python scripts/check_statistics.py --draws 500            quicker and rougher

Scores are drawn from known distributions and given to the statistics and to the comparison itself.
The tables count how often the results are right. Draws are seeded and reproducible.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import NOT_SHOWN
from benchmarks.analysis.selection import Options
from benchmarks.analysis.statistics.common import LEVEL
from benchmarks.analysis.statistics.items import (
    block_bootstrap,
    diebold_mariano,
    mcnemar,
    model_confidence_set,
)
from benchmarks.analysis.statistics.power import (
    holm,
    minimum_detectable,
    paired_power,
    seeds_needed,
)
from benchmarks.analysis.statistics.seeds import (
    ENOUGH_PAIRS_TO_PERMUTE,
    interval,
    paired_by_seed,
    unpaired,
)
from benchmarks.errors import UserError
from benchmarks.reporting.doc_blocks import put_between
from benchmarks.reporting.renderers import markdown_table
from benchmarks.system.terminal import print_log_messages

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

MARKS = ("<!-- table: scripts/check_statistics.py -->\n", "<!-- end -->")
DRAWS = 4000
FEWEST_DRAWS = 20
PART = 4  # divisor of the number of draws of slow parts
TASKS_AT_ONCE = 25

DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "skewed (exponential)": lambda rng, size: rng.exponential(size=size) - 1.0,
    "heavy tails (t, 3 degrees)": lambda rng, size: rng.standard_t(3, size=size),
    "one seed in ten fails": lambda rng, size: (
        rng.normal(size=size) - 10.0 * (rng.random(size) < 0.1) + 1.0
    ),
}
"""Distributions with mean 0."""

NULLS = DISTRIBUTIONS | {
    "coarse (steps of one sd)": lambda rng, size: np.round(rng.normal(size=size))
}


def share(hits: list[bool] | NDArray[np.bool_]) -> str:
    """Return a share in per cent with its standard error."""
    part = float(np.mean(hits))
    error = np.sqrt(part * (1 - part) / len(hits))
    return f"{100 * part:.1f} ± {100 * error:.1f}"


def coverage(draws: int) -> str:
    """Measure how often 95 % intervals of a mean contain the true mean."""
    rows = []
    for name, draw in DISTRIBUTIONS.items():
        for n in (3, 5, 10, 20):
            rng = np.random.default_rng(n)
            x = draw(rng, (draws, n))
            students = [interval(each) for each in x]
            hits = [np.array([each.low <= 0 <= each.high for each in students])]  # type: ignore[operator]
            options = {"n_resamples": 1000, "batch": 50, "rng": rng}
            for method in ("percentile", "BCa"):
                resampled = stats.bootstrap((x,), np.mean, axis=1, method=method, **options)
                bounds = resampled.confidence_interval
                hits.append((bounds.low <= 0) & (bounds.high >= 0))
            rows.append([name, str(n), *map(share, hits)])
    header = ["scores", "seeds", "Student's t, %", "percentile bootstrap, %", "BCa bootstrap, %"]
    return markdown_table(header, rows)


def is_shown(p: float | None) -> bool:
    """Return True if a test shows a difference."""
    return p is not None and p < LEVEL


def false_verdicts(draws: int) -> str:
    """Measure how often a difference is shown between arms of one distribution."""
    rows = []
    for name, draw in NULLS.items():
        for n in (2, 3, 5, 10, 16):
            rng = np.random.default_rng(n)
            x = draw(rng, (draws if n < ENOUGH_PAIRS_TO_PERMUTE else draws // PART, 3, n))
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
                (f"t{task:05}", f"m{arm}", arm, seed, "accuracy", "true", score)
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


def power(draws: int) -> str:
    """Measure how often planted differences are found, and the stated power."""
    rng = np.random.default_rng(2)
    cases = [(f"2 sd of the scores, {n} seeds", 2 / np.sqrt(2), n) for n in (3, 5, 10, 16)]
    cases.append(("2 sd of the differences, 5 seeds", 2.0, 5))
    for n in (3, 5, 10, 16):
        least = minimum_detectable(1.0, n) or 0.0
        name = f"minimum detectable, {n} seeds ({least:.2f} sd of the differences)"
        cases.append((name, least, n))
    for effect in (0.8, 1.0, 2.0):
        n = seeds_needed(effect, 1.0) or 0
        for seeds, words in ((n, "needed"), (n - 1, "one fewer")):
            name = f"{effect:.1f} sd of the differences, {seeds} seeds ({words})"
            cases.append((name, effect, seeds))
    rows = []
    for name, effect, n in cases:  # effects in sd of the differences
        arms = rng.normal(size=(draws, 2, n))
        arms[:, 0] += effect * np.sqrt(2)
        hits = [is_shown(paired_by_seed(a, b).p) for a, b in arms]
        rows.append([name, f"{100 * paired_power(effect, n):.1f}", share(hits)])
    return markdown_table(["planted difference", "stated, %", "found, %"], rows)


def items(draws: int) -> str:
    """Measure the false differences of tests over items, and the coverage of the confidence set."""
    rng = np.random.default_rng(3)
    rows = []
    for n in (200, 2000, 25_000):
        hard = rng.beta(8, 2, size=(draws, n)) if n < 25_000 else rng.beta(8, 2, size=(1, n))
        hits = [
            is_shown(mcnemar(rng.random(n) < easy, rng.random(n) < easy).p)
            for easy in np.broadcast_to(hard, (draws, n))
        ]
        rows.append(["McNemar", f"{n:,} reviews of different difficulty", share(hits)])
    for n, tails in ((60, "normal"), (184, "normal"), (184, "heavy-tailed")):
        size = (draws, 2, n)
        errors = rng.normal(size=size) if tails == "normal" else rng.standard_t(4, size=size)
        hits = [is_shown(diebold_mariano(a, b).p) for a, b in errors]
        rows.append(["Diebold-Mariano (HLN)", f"{n} days, {tails} errors", share(hits)])
    for n in (500, 2000):
        for memory in (0.0, 0.5, 0.8):
            d = lfilter([1.0], [1.0, -memory], rng.normal(size=(draws, n + 100)))[:, 100:]
            hits = [
                is_shown(block_bootstrap(each, np.zeros(n), seed).p) for seed, each in enumerate(d)
            ]
            rows.append(["block bootstrap", f"{n:,} steps, autocorrelation {memory}", share(hits)])
    losses = rng.normal(size=(draws // PART, 4, 500)) + np.array([0, 0, 0.1, 0.3])[:, None]
    kept = [model_confidence_set(list(each), seed=s, block=1)[0] for s, each in enumerate(losses)]
    lost = [not {0, 1} <= set(places) for places in kept]
    rows.append(["Model Confidence Set", "4 models, the best 2 equal: one lost", share(lost)])
    return markdown_table(["test", "two equal models, on", "false, %"], rows)


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    few = draws // PART
    each = f"{draws:,} draws each"
    yield f"How often 95 % intervals of an arm contain the true mean, {each}", coverage(draws)
    fewer = f"{each}, {few:,} at {ENOUGH_PAIRS_TO_PERMUTE} seeds"
    yield f"Differences shown where there are none (5 % allowed), {fewer}", false_verdicts(draws)
    yield "The same through `compare`, and a planted difference", verdicts(few)
    yield f"Planted differences found, normal scores, {each}", power(draws)
    yield f"Tests over items of equal models (5 % allowed), {few:,} draws each", items(few)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    chosen = parser.parse_args(arguments)
    print_log_messages()
    try:
        if chosen.draws < FEWEST_DRAWS:
            raise UserError(f"--draws {chosen.draws}: must be at least {FEWEST_DRAWS}")
        if chosen.write is not None:
            put_between(chosen.write, MARKS, "")
        content = ""
        for caption, table in tables(chosen.draws):
            print(f"{caption}:\n\n{table}\n", flush=True)
            content += f"{caption}:\n\n{table}\n\n"
        if chosen.write is not None:
            put_between(chosen.write, MARKS, content)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

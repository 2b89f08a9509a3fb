"""Verdicts for all seeds and all test items, of which those of the runs are samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import special, stats

from benchmarks.analysis.statistics.common import t_quantile
from benchmarks.analysis.statistics.items import block_means
from benchmarks.analysis.statistics.two_level import crossed_test
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import PART, Array, is_shown, share
from scripts.simulations.dependence import autoregression

ITEMS = 184
SPREADS = (  # sd of one run's score by the test items and by the interaction, in sd of the seeds
    (0.0, 0.0),
    (1.0, 0.0),
    (1.0, 1.0),
    (1.0, 3.0),
)
SEEDS = (3, 5, 10)
RESAMPLES = 400
BLOCK = 10
Pair = tuple[Array, Array]


def effects(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    spread: tuple[float, float],
    memory: float,
) -> Array:
    """Return tables (draws, seeds, items) of differences with mean 0 and seeds of sd 1."""
    draws, seeds, items = shape
    of_items, interaction = (sd * np.sqrt(items) for sd in spread)
    tables: Array = (
        rng.normal(size=(draws, seeds, 1))
        + of_items * autoregression(rng, memory, (draws, 1, items))
        + interaction * autoregression(rng, memory, shape)
    )
    return tables


def pigeonhole(table: Array, block: int, rng: np.random.Generator) -> Array:
    """Return means of tables whose seeds, and blocks of items, are resampled (Owen 2007)."""
    seeds = len(table)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
    return np.array([block_means(w @ table, block, 1, rng)[0] for w in weights])


def pigeonhole_is_shown(table: Array, block: int, rng: np.random.Generator) -> tuple[bool, bool]:
    """Return if the 95 % interval excludes 0: of percentiles, and widened for few seeds."""
    mean, means = table.mean(), pigeonhole(table, block, rng)
    seeds = len(table)
    wider = t_quantile(0.975, seeds - 1) / special.ndtri(0.975) * np.sqrt(seeds / (seeds - 1))
    shown = []
    for factor in (1.0, wider):
        low, high = np.quantile(mean + factor * (means - mean), [0.025, 0.975])
        shown.append(not low <= 0 <= high)
    return shown[0], shown[1]


def methods_table(draws: int) -> str:
    """Measure how often a difference is shown where the populations are equal."""
    rng = np.random.default_rng(13)
    rows = []
    for memory in (0.0, 0.5):
        for seeds in SEEDS:
            for spread in SPREADS:
                tables = effects(rng, (draws, seeds, ITEMS), spread, memory)
                block = BLOCK if memory else 1
                boot = np.array([pigeonhole_is_shown(t, block, rng) for t in tables[::PART]])
                rows.append(
                    [
                        "dependent" if memory else "independent",
                        f"{seeds}",
                        f"{spread[0]:g}",
                        f"{spread[1]:g}",
                        share(stats.ttest_1samp(tables.mean(axis=2), 0, axis=1).pvalue < 0.05),
                        share(boot[:, 0]),
                        share(boot[:, 1]),
                        share([is_shown(crossed_test(t, memory > 0).p) for t in tables]),
                    ]
                )
    header = ["items", "seeds", "items, sd", "interaction, sd", "seeds alone, %"]
    header += ["pigeonhole bootstrap, %", "widened, %", "crossed effects (used), %"]
    return markdown_table(header, rows)


def accuracies(rng: np.random.Generator, seeds: int) -> Pair:
    """Return right answers (seeds, items) of two classifiers that are equal on all reviews."""
    items = 1000
    difficulty = rng.normal(1.2, 1.0, size=items)
    arms = [
        difficulty
        + rng.normal(0, 0.06, size=(seeds, 1))
        + rng.normal(0, 0.7, size=items)
        + rng.normal(0, 0.7, size=(seeds, items))
        for _ in range(2)
    ]
    right = [(arm > 0).astype(np.float64) for arm in arms]
    return right[0], right[1]


def rmses(rng: np.random.Generator, seeds: int) -> Pair:
    """Return contributions (seeds, days) to the RMSE of two equal forecasts, heavy-tailed."""
    days = 184
    size = np.exp(autoregression(rng, 0.9, (days,)))  # quiet and agitated days
    truth = size * rng.standard_t(5, size=days)
    arms = []
    for _ in range(2):
        signal = 0.3 * size * rng.normal(size=days)
        own = rng.normal(0, 0.15, size=(seeds, 1)) * signal
        losses = (truth - signal - own - rng.normal(0, 0.1, size=(seeds, days))) ** 2
        score = np.sqrt(losses.mean(axis=1, keepdims=True))
        arms.append(score + (losses - score**2) / (2 * score))
    return arms[0], arms[1]


def perplexities(rng: np.random.Generator, seeds: int) -> Pair:
    """Return contributions (seeds, pieces) to the perplexity of two equal language models."""
    pieces = 500
    text = 1.4 + autoregression(rng, 0.3, (pieces,)) / 5
    arms = []
    for _ in range(2):
        own = rng.normal(0, 0.004, size=(seeds, 1)) + rng.normal(0, 0.05, size=(seeds, pieces))
        losses = text + autoregression(rng, 0.3, (pieces,)) / 8 + own
        score = np.exp(losses.mean(axis=1, keepdims=True))
        arms.append(score * (1 + losses - np.log(score)))
    return arms[0], arms[1]


METRICS: dict[str, tuple[Callable[[np.random.Generator, int], Pair], bool]] = {
    "accuracy, 1,000 reviews": (accuracies, False),
    "RMSE, 184 days": (rmses, True),
    "perplexity, 500 pieces of text": (perplexities, True),
}


def metrics_table(draws: int) -> str:
    """Measure the same for the three metrics, of arms that are exchangeable."""
    rng = np.random.default_rng(14)
    rows = []
    for name, (arms_of, is_sequence) in METRICS.items():
        for seeds in SEEDS:
            tables = [a - b for a, b in (arms_of(rng, seeds) for _ in range(draws))]
            alone = [stats.ttest_1samp(t.mean(axis=1), 0).pvalue < 0.05 for t in tables]
            found = [is_shown(crossed_test(t, is_sequence).p) for t in tables]
            rows.append([name, f"{seeds}", share(alone), share(found)])
    return markdown_table(["metric", "seeds", "seeds alone, %", "seeds and items (used), %"], rows)


def power_table(draws: int) -> str:
    """Measure how often differences between the populations are shown."""
    rng = np.random.default_rng(15)
    rows = []
    for seeds in SEEDS:
        for spread in ((0.0, 0.0), (1.0, 1.0)):
            null = effects(rng, (draws, seeds, ITEMS), spread, 0.0)
            shares = [
                share([is_shown(crossed_test(t + true, False).p) for t in null])
                for true in (2.0, 4.0)
            ]
            rows.append([f"{seeds}", f"{spread[0]:g}", f"{spread[1]:g}", *shares])
    header = ["seeds", "items, sd", "interaction, sd", "true 2 sd, shown %", "true 4 sd, shown %"]
    return markdown_table(header, rows)


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    few = draws // PART
    yield (
        "Two arms that are equal for all seeds and items: differences shown beyond the test items "
        "(5 % allowed), which are the 95 % intervals that miss the true difference. All sd are of "
        "one run's difference, in sd of the seeds; "
        f"{few:,} draws each, {few // PART:,} of the bootstraps",
        methods_table(few),
    )
    yield f"The same for the metrics of the tasks, {few:,} draws each", metrics_table(few)
    yield (
        f"Differences between the populations that are found, {few:,} draws each",
        power_table(few),
    )

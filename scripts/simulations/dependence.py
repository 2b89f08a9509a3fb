"""Tests over items that depend on each other, and their warning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats
from scipy.signal import lfilter

from benchmarks.analysis.statistics.common import Paired
from benchmarks.analysis.statistics.items import block_bootstrap, diebold_mariano
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import PART, Array, is_shown, share

MEMORIES = (0.0, 0.5, 0.8, 0.9, 0.95)
DAYS = (60, 184, 1000)
STEPS = (200, 500, 1000)
BURN_IN = 300


def autoregression(rng: np.random.Generator, memory: float, size: tuple[int, ...]) -> Array:
    """Return series along the last axis with this autocorrelation and long-run variance 1."""
    noise = rng.normal(size=(*size[:-1], size[-1] + BURN_IN))
    series: Array = (1 - memory) * lfilter([1.0], [1.0, -memory], noise)[..., BURN_IN:]
    return series


def forecasts(
    rng: np.random.Generator, memory: float, size: tuple[int, int]
) -> tuple[Array, Array]:
    """Return errors of two forecasts whose squares differ by an autoregression."""
    d = autoregression(rng, memory, size)
    level = np.abs(d).max()
    return np.sqrt(level + d), np.full(size, np.sqrt(level))


def newey_west_is_shown(d: Array) -> bool:
    """Test a mean by Newey and West's variance with the lag 1.3 sqrt(T) of Lazarus et al. (2018).

    The critical values are those of Kiefer and Vogelsang (2005) for a fixed share of lags.
    """
    n = len(d)
    lag = int(1.3 * np.sqrt(n))
    centred = d - d.mean()
    products = [centred[k:] @ centred[: n - k] / n for k in range(lag + 1)]
    variance = products[0] + 2 * sum((1 - k / (lag + 1)) * products[k] for k in range(1, lag + 1))
    b = (lag + 1) / n
    critical = 1.96 + 2.9694 * b + 0.4160 * b**2 - 0.5324 * b**3
    return bool(abs(d.mean()) > critical * np.sqrt(variance / n))


def without_warning(found: list[Paired]) -> list[bool]:
    """Return for each result if it is shown and has no warning."""
    return [is_shown(each.p) and not each.warning for each in found]


def diebold_mariano_table(draws: int) -> str:
    """Measure false differences of forecasts by three variances, and those without a warning."""
    rng = np.random.default_rng(11)
    rows = []
    for n in DAYS:
        for memory in MEMORIES:
            a, b = forecasts(rng, memory, (draws, n))
            d = a**2 - b**2
            found = [diebold_mariano(*errors) for errors in zip(a, b, strict=True)]
            rows.append(
                [
                    f"{n:,}",
                    f"{memory}",
                    share(stats.ttest_1samp(d, 0, axis=1).pvalue < 0.05),
                    share([newey_west_is_shown(each) for each in d]),
                    share([is_shown(each.p) for each in found]),
                    share([bool(each.warning) for each in found]),
                    share(without_warning(found)),
                ]
            )
    header = ["days", "autocorrelation", "independent, %", "Newey-West, %", "cosine (used), %"]
    return markdown_table([*header, "warned, %", "used and not warned, %"], rows)


def bootstrap_table(draws: int) -> str:
    """Measure false differences of the block bootstrap, and those without a warning."""
    rng = np.random.default_rng(12)
    rows = []
    for n in STEPS:
        for memory in MEMORIES:
            d = autoregression(rng, memory, (draws, n))
            found = [block_bootstrap(each, np.zeros(n), seed) for seed, each in enumerate(d)]
            rows.append(
                [
                    f"{n:,}",
                    f"{memory}",
                    share([is_shown(each.p) for each in found]),
                    share([bool(each.warning) for each in found]),
                    share(without_warning(found)),
                ]
            )
    header = ["steps", "autocorrelation", "false, %", "warned, %", "false and not warned, %"]
    return markdown_table(header, rows)


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    few = draws // PART
    yield (
        "Diebold-Mariano test of equal forecasts with dependent errors: false differences by three "
        f"variances (5 % allowed), {draws:,} draws each",
        diebold_mariano_table(draws),
    )
    yield (
        f"Block bootstrap of equal models with dependent losses (5 % allowed), {few:,} draws each",
        bootstrap_table(few),
    )

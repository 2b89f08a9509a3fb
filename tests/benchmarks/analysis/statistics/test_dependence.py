"""Tests over dependent items: the long-run variance, Diebold and Mariano's test, the warning."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter
from statsmodels.tsa.stattools import acf

from benchmarks.analysis.statistics.dependence import (
    autocorrelation,
    cosine_coefficients,
    cosine_terms,
    dependence_warning,
)
from benchmarks.analysis.statistics.items import block_bootstrap, diebold_mariano


def autoregression(memory: float, size: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return series along the last axis with this autocorrelation and long-run variance 1."""
    noise = np.random.default_rng(seed).normal(size=(*size[:-1], size[-1] + 200))
    series: np.ndarray = (1 - memory) * lfilter([1.0], [1.0, -memory], noise)[..., 200:]
    return series


def errors_with(difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return errors of two forecasts whose squares have these differences."""
    level = np.abs(difference).max()
    return np.sqrt(level + difference), np.full(len(difference), np.sqrt(level))


@pytest.mark.parametrize(("n", "terms"), [(3, 0), (4, 1), (60, 6), (184, 12), (1000, 40)])
def test_the_number_of_terms_is_that_of_the_paper(n: int, terms: int) -> None:
    assert cosine_terms(n) == terms


def test_diebold_mariano_by_hand() -> None:
    """The sums of Lazarus, Lewis, Stock and Watson (2018), section 2, one term at a time."""
    d = autoregression(0.5, (184,), seed=3) + 0.1
    found, n = diebold_mariano(*errors_with(d)), 184
    day = np.arange(1, n + 1)
    terms = [np.sqrt(2 / n) * sum(d * np.cos(np.pi * j * (day - 0.5) / n)) for j in range(1, 13)]
    error = np.sqrt(np.mean(np.square(terms)) / n)
    expected = stats.t(12, d.mean(), error)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(d.mean() / error), 12))
    assert (found.low, found.high) == pytest.approx(expected.interval(0.95))
    assert (found.method, found.warning) == ("Diebold-Mariano (EWC)", "")


def test_all_terms_give_the_sample_variance() -> None:
    table = autoregression(0.3, (3, 50))
    squares = (cosine_coefficients(table, 49) ** 2).mean(axis=1)
    np.testing.assert_allclose(squares, table.var(axis=1, ddof=1))


def test_forecasts_that_cannot_be_tested() -> None:
    ramp = np.arange(1000.0)
    assert diebold_mariano([3.0, 1.0, 2.0], [1.0, 2.0, 2.5]).p is None
    assert diebold_mariano(ramp, -ramp).p == 1.0
    with pytest.raises(ValueError, match=r"3 and 2 errors do not pair"):
        diebold_mariano([1, 2, 3], [1, 2])


@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_persistent_errors_rarely_differ(memory: float) -> None:
    """Assuming independence, a fourth of the draws differs at autocorrelation 0.5."""
    draws = autoregression(memory, (1000, 184), seed=1)
    found = [diebold_mariano(*errors_with(d)) for d in draws]
    assert np.mean([each.p is not None and each.p < 0.05 for each in found]) <= 0.075
    assert np.mean([bool(each.warning) for each in found]) <= 0.01


@pytest.mark.parametrize(("memory", "n"), [(0.95, 60), (0.95, 184), (0.97, 1000)])
def test_stronger_dependence_than_the_variance_covers_is_warned_of(memory: float, n: int) -> None:
    draws = autoregression(memory, (400, n), seed=2)
    found = [diebold_mariano(*errors_with(d)) for d in draws]
    is_false = np.array([each.p is not None and each.p < 0.05 for each in found])
    has_warning = np.array([bool(each.warning) for each in found])
    assert is_false.mean() > 0.1
    assert (is_false & ~has_warning).mean() < 0.1


def test_the_warning_states_the_autocorrelation() -> None:
    assert dependence_warning(np.random.default_rng(0).normal(size=184)) == ""
    assert dependence_warning(np.ones(184)) == ""
    text = dependence_warning(np.arange(184.0))
    assert text == "p is too small: autocorrelation 1.00 along 184 items"
    walk = np.cumsum(np.random.default_rng(1).normal(size=1000))
    assert block_bootstrap(walk, np.zeros(1000), draws=20).warning.endswith("along 1,000 items")


def test_the_autocorrelation_is_corrected_for_its_bias() -> None:
    draws = autoregression(0.8, (2000, 60), seed=4)
    found = np.mean([autocorrelation(d) for d in draws])
    plain = np.mean([acf(d, nlags=1)[1] for d in draws])
    assert found == pytest.approx(0.8, abs=0.03)
    assert plain < 0.76

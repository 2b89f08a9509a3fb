"""Detectable differences and planned numbers of seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from benchmarks.analysis.statistics.power import detectable, seeds_for_margin


def power_at(shift: float, freedom: float, alpha: float) -> float:
    bound = stats.t.isf(alpha / 2, freedom)
    other = stats.nct.cdf(-bound, freedom, shift)  # NaN where it underflows
    return float(stats.nct.sf(bound, freedom, shift) + np.nan_to_num(other))


@pytest.mark.parametrize("n", [3, 5, 10, 100])
def test_the_detectable_difference_agrees_with_statsmodels(n: int) -> None:
    paired = TTestPower().solve_power(None, n, 0.05, 0.8)
    assert detectable(2 / np.sqrt(n), n - 1) == pytest.approx(2 * paired, rel=1e-4)
    # Welch's test has twice the degrees of freedom: 3.07 sd for 3 seeds, not 4.62.
    apart = TTestIndPower().solve_power(None, n, 0.05, 0.8)
    assert detectable(np.sqrt(2 / n), 2 * (n - 1)) == pytest.approx(apart, rel=1e-4)


@pytest.mark.parametrize("freedom", [1.3, 2, 4.5, 30])
@pytest.mark.parametrize("alpha", [0.2, 0.002, 0.05 / 435])
def test_the_detectable_difference_has_80_percent_power(freedom: float, alpha: float) -> None:
    """Where statsmodels does not converge."""
    found = detectable(0.5, freedom, alpha)
    assert found is not None
    assert power_at(found / 0.5, freedom, alpha) == pytest.approx(0.8, abs=1e-6)


def test_no_difference_is_detectable_without_a_t_statistic() -> None:
    assert detectable(None, None) is None
    assert detectable(0.0, 4) is None
    assert detectable(1.0, 1.0, 1e-9) is None  # beyond 10,000 standard errors
    assert detectable(1.0, 2.0, 1e-13 / 28) is None


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 28])
@pytest.mark.parametrize(("margin", "n"), [(0.5, 5), (0.5, 20), (2.0, 10), (1.0, 3)])
def test_planned_seeds_are_the_first_that_suffice_over_the_interval_of_the_sd(
    margin: float, n: int, alpha: float
) -> None:
    few, many = seeds_for_margin(margin, 0.8, n - 1, alpha)
    for seeds, part in ((few, 0.975), (many, 0.025)):
        sd = 0.8 * np.sqrt((n - 1) / stats.chi2.ppf(part, n - 1))
        effect = margin / sd
        power = [power_at(effect * n**0.5, n - 1, alpha) for n in range(2, 1001)]
        assert seeds == next((n for n, each in enumerate(power, 2) if each >= 0.8), None)


def test_planned_seeds_depend_on_the_margin_and_not_on_the_observed_difference() -> None:
    assert seeds_for_margin(1.0, 1.0, 9) == (6, 29)
    assert seeds_for_margin(0.01, 1.0, 9) == (None, None)
    for margin, deviation, freedom in ((0.0, 1.0, 4), (1.0, 0.0, 4), (1.0, 1.0, 0)):
        with pytest.raises(ValueError, match="two pairs or more"):
            seeds_for_margin(margin, deviation, freedom)

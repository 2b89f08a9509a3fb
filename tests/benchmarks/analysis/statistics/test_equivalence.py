"""Equivalence within a margin, and effect sizes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW, ttost_paired

from benchmarks.analysis.statistics.common import Paired, at_level
from benchmarks.analysis.statistics.equivalence import LARGE_STATISTIC, effect_size, tost_p
from benchmarks.analysis.statistics.seeds import paired_by_seed, unpaired


def scores(shift: float = 0.0, n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.random.default_rng(4).normal(size=(2, n))
    return a + shift, b


@pytest.mark.parametrize("margin", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("shift", [0.0, 0.7, -5.0])
def test_the_two_one_sided_tests_agree_with_statsmodels(margin: float, shift: float) -> None:
    a, b = scores(shift)
    assert tost_p(paired_by_seed(a, b), margin) == pytest.approx(
        ttost_paired(a, b, -margin, margin)[0]
    )
    apart = CompareMeans(DescrStatsW(a), DescrStatsW(b[:6]))
    expected = apart.ttost_ind(-margin, margin, usevar="unequal")[0]
    assert tost_p(unpaired(a, b[:6]), margin) == pytest.approx(expected)


@pytest.mark.parametrize("margin", [0.5, 1.0, 1.5])
def test_equivalence_is_a_90_percent_interval_within_the_margin(margin: float) -> None:
    for shift in np.linspace(-2, 2, 41):
        found = paired_by_seed(*scores(float(shift)))
        p, interval = tost_p(found, margin), at_level(found, 0.1)
        assert p is not None
        assert interval.low is not None
        assert interval.high is not None
        assert (p < 0.05) == (-margin < interval.low and interval.high < margin)


def test_equal_differences_are_not_tested_and_equal_scores_are_equivalent() -> None:
    equal = paired_by_seed([0.1, 0.2, 0.3], [0.11, 0.21, 0.31])
    assert tost_p(equal, 0.02) is None
    assert tost_p(paired_by_seed([0.1, 0.2], [0.1, 0.2]), 1e-6) == 0.0
    assert effect_size(equal) is None


def test_results_without_a_t_statistic_are_not_tested() -> None:
    one = paired_by_seed([0.8], [0.8])
    assert tost_p(one, 0.1) is None
    assert effect_size(one) is None
    assert tost_p(paired_by_seed([0.8] * 3, [0.8] * 3), 0.1) is None
    with pytest.raises(ValueError, match="above 0"):
        tost_p(one, 0.0)


def test_a_difference_as_large_as_the_margin_is_rarely_equivalent() -> None:
    draws = np.random.default_rng(6).normal(size=(2000, 2, 5)) / np.sqrt(2)
    # Scores that vary always have a p.
    false = [tost_p(paired_by_seed(a + 2, b), 2.0) < 0.05 for a, b in draws]  # type: ignore[operator]
    assert 0.035 <= np.mean(false) <= 0.06
    power = [tost_p(paired_by_seed(a, b), 2.0) < 0.05 for a, b in draws]  # type: ignore[operator]
    assert np.mean(power) > 0.9


@pytest.mark.parametrize("shift", [0.0, 0.7, -2.0, 8.0])
def test_the_interval_of_an_effect_is_that_of_the_noncentral_t(shift: float) -> None:
    """At either end, the observed statistic is the 2.5 % quantile of one side."""
    a, b = scores(shift)
    for found, d in (
        (paired_by_seed(a, b), np.std(a - b, ddof=1)),
        (unpaired(a, b), np.sqrt(a.var(ddof=1) + b.var(ddof=1))),
    ):
        size = effect_size(found)
        assert size is not None
        assert found.error is not None
        assert size.mean == pytest.approx((a.mean() - b.mean()) / d)
        t = found.difference / found.error
        for end, tail in ((size.low, 0.975), (size.high, 0.025)):
            assert end is not None
            assert stats.nct.cdf(t, found.freedom, end * np.sqrt(8)) == pytest.approx(
                tail, abs=1e-4
            )


def test_large_effects_have_an_interval() -> None:
    found = Paired(50.0, None, None, None, 3, "t", deviation=0.5, error=0.5 / 3**0.5, freedom=2)
    size = effect_size(found)
    assert size is not None
    assert size.low is not None
    assert size.high is not None
    assert 0 < size.low < 100 < size.high < 1000


@pytest.mark.parametrize("sign", [1, -1])
def test_the_interval_of_a_large_effect_is_that_of_chi_squared(sign: int) -> None:
    """The exact inversion takes minutes for a large t; just below the bound both agree."""
    noise = np.array([1.0, 2.0, 4.0, 3.0]) - 2.5
    for factor in (0.9, 1.1):
        distance = sign * factor * LARGE_STATISTIC * noise.std(ddof=1) / 2
        found = paired_by_seed(noise + distance, noise * 0)
        effect = effect_size(found)
        assert effect is not None
        share = stats.chi2.ppf([0.025, 0.975], 3) / 3
        bounds = sorted(effect.mean * np.sqrt(share))
        assert [effect.low, effect.high] == pytest.approx(bounds, rel=2e-3)


def test_a_huge_difference_has_an_effect_size() -> None:
    huge = paired_by_seed([123456789.0, 123456889.0, 123456999.0], [5e-9, 6e-9, 5.5e-9])
    effect = effect_size(huge)
    assert effect is not None
    assert np.isfinite([effect.mean, effect.low, effect.high]).all()

"""Arms of which some seeds are common."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.statistics.common import Paired, at_level
from benchmarks.analysis.statistics.items import mcnemar
from benchmarks.analysis.statistics.seeds import (
    by_overlap,
    paired_by_seed,
    partly_paired,
    unpaired,
)


def arms(common: int, only: tuple[int, int], seed: int = 0, shift: float = 0.0) -> list[np.ndarray]:
    """Return scores with a correlation of about 0.9 at common seeds."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=common)
    pairs = [shared + 0.3 * rng.normal(size=common) for _ in range(2)]
    alone = [1.04 * rng.normal(size=size) for size in only]
    return [pairs[0] + shift, pairs[1], alone[0] + shift, alone[1]]


def test_the_variance_is_that_of_the_difference_of_means() -> None:
    """Summed over all pairs of scores: equal within an arm, and at common seeds between arms."""
    common_a, common_b, only_a, only_b = arms(5, (4, 2))
    x, y = np.append(common_a, only_a), np.append(common_b, only_b)
    found = partly_paired(common_a, common_b, only_a, only_b)
    covariance = np.zeros((16, 16))
    covariance[np.arange(9), np.arange(9)] = x.var(ddof=1)
    covariance[np.arange(9, 16), np.arange(9, 16)] = y.var(ddof=1)
    r = stats.pearsonr(common_a, common_b).statistic * x.std(ddof=1) * y.std(ddof=1)
    covariance[np.arange(5), np.arange(9, 14)] = covariance[np.arange(9, 14), np.arange(5)] = r
    weights = np.array([1 / 9] * 9 + [-1 / 7] * 7)
    assert found.difference == pytest.approx(x.mean() - y.mean())
    assert found.error == pytest.approx(np.sqrt(weights @ covariance @ weights))
    welch = stats.ttest_ind(x, y, equal_var=False)
    assert found.freedom == pytest.approx(4 + (welch.df - 4) * 6 / 16)
    assert found.p == pytest.approx(
        2 * stats.t.sf(abs(found.difference / found.error), found.freedom)
    )


def test_it_is_the_paired_test_if_all_seeds_are_common() -> None:
    a, b, *none = arms(6, (0, 0))
    found, expected = partly_paired(a, b, *none), paired_by_seed(a, b)
    assert found.error == pytest.approx(expected.error)
    assert found.deviation == pytest.approx(expected.deviation)
    assert (found.freedom, found.p) == pytest.approx((5, expected.p))


def test_uncorrelated_common_seeds_have_welchs_error() -> None:
    a, b = [1.0, 2.0, 3.0], [1.0, 4.0, 1.0]
    found, welch = partly_paired(a, b, [5.0], [7.0]), unpaired([*a, 5.0], [*b, 7.0])
    assert found.error == pytest.approx(welch.error)
    constant = partly_paired([1.0] * 3, b, [5.0], [7.0])
    assert constant.error == pytest.approx(unpaired([1.0, 1.0, 1.0, 5.0], [*b, 7.0]).error)


@pytest.mark.parametrize(
    ("common", "only", "method"),
    [
        (0, (4, 3), "Welch t"),
        (2, (4, 3), "Welch t"),
        (3, (4, 3), "partly paired t"),
        (3, (0, 7), "partly paired t"),
        (2, (0, 0), "paired t"),
        (5, (0, 0), "paired t"),
        (1, (0, 0), "one pair: no test"),
        (1, (0, 5), "one seed: no test"),
    ],
)
def test_the_number_of_common_seeds_selects_the_test(
    common: int, only: tuple[int, int], method: str
) -> None:
    assert by_overlap(*arms(common, only)).method == method


def test_every_score_counts() -> None:
    common_a, common_b, only_a, only_b = arms(3, (5, 5))
    found = by_overlap(common_a, common_b, only_a, only_b)
    expected = np.append(common_a, only_a).mean() - np.append(common_b, only_b).mean()
    assert found.difference == pytest.approx(expected)


@pytest.mark.parametrize("common", range(11))
def test_a_large_difference_is_shown_whatever_is_common(common: int) -> None:
    """A paired test of two common seeds finds a difference of 5 sd in one table of four."""
    rest = (10 - common, 10 - common)
    p = [by_overlap(*arms(common, rest, seed, shift=5.0)).p for seed in range(20)]
    assert all(each is not None and each < 0.001 for each in p)


@pytest.mark.parametrize(("n", "common"), [(5, 3), (10, 3), (10, 7)])
def test_equal_arms_rarely_differ(n: int, common: int) -> None:
    rest = (n - common, n - common)
    false = [by_overlap(*arms(common, rest, seed)).p < 0.05 for seed in range(1500)]  # type: ignore[operator]
    assert np.mean(false) <= 0.062  # 5 % and two standard errors


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.2])
def test_an_interval_at_another_level(alpha: float) -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 7))
    found = at_level(paired_by_seed(a, b), alpha)
    expected = stats.ttest_rel(a, b).confidence_interval(1 - alpha)
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_an_interval_excludes_zero_exactly_below_its_level() -> None:
    for level in (1e-17, 1e-9, 0.003):
        shift = -stats.t.ppf(level / 2, 3.5)
        for factor, is_excluded in ((1.001, True), (0.999, False)):
            found = Paired(factor * shift, None, None, None, 4, "t", error=1.0, freedom=3.5)
            low = at_level(found, level).low
            assert low is not None
            assert (low > 0) == is_excluded


def test_results_without_a_t_statistic_keep_their_interval() -> None:
    items = mcnemar([1, 1, 0, 1], [1, 0, 0, 0])
    assert items.low is not None
    assert at_level(items, 0.5) == items
    equal = paired_by_seed([0.2, 0.3, 0.4], [0.2, 0.3, 0.4])
    assert equal.p == 1.0
    assert at_level(equal, 0.5) == equal

"""Rates of completion and scores with failures."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.statistics.completion import fisher_p, ranked_with_failures


def test_fishers_test_agrees_with_scipy() -> None:
    for total_a, total_b in ((5, 5), (10, 3), (1, 12), (40, 25)):
        for a, b in product(range(total_a + 1), range(total_b + 1)):
            table = [[a, total_a - a], [b, total_b - b]]
            expected = stats.fisher_exact(table).pvalue
            assert fisher_p(a, total_a, b, total_b) == pytest.approx(expected)


def test_half_of_ten_runs_failed() -> None:
    assert fisher_p(10, 10, 5, 10) == pytest.approx(0.0325, abs=1e-4)
    assert fisher_p(5, 5, 5, 5) == 1.0
    assert fisher_p(2000, 2000, 1980, 2000) < 1e-5


def enumerated_p(values: list[float], m: int) -> float:
    """Return the share of all selections of m values whose rank sum is as far from its mean."""
    ranks = stats.rankdata(values)
    sums = np.array([sum(each) for each in combinations(ranks, m)])
    far = np.abs(sums - sums.mean())
    return float((far >= abs(ranks[:m].sum() - sums.mean()) - 1e-9).mean())


@pytest.mark.parametrize("seed", range(8))
def test_the_exact_distribution_agrees_with_all_selections(seed: int) -> None:
    """With ties between scores and between failures."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(6, size=5).astype(float), rng.integers(6, size=4).astype(float)
    failed_a, failed_b = int(rng.integers(3)), int(rng.integers(4))
    p, better = ranked_with_failures(a, failed_a, b, failed_b, True)
    x, y = [*a, *[-100.0] * failed_a], [*b, *[-100.0] * failed_b]
    assert p == pytest.approx(enumerated_p([*x, *y], len(x)))
    expected = [1.0 if i > j else 0.5 * (i == j) for i, j in product(x, y)]
    assert better == pytest.approx(np.mean(expected))


def test_without_ties_it_is_mann_whitneys() -> None:
    a, b = np.random.default_rng(1).normal(size=20), np.random.default_rng(2).normal(0.6, size=15)
    expected = stats.mannwhitneyu(a, b, method="exact")
    p, better = ranked_with_failures(a, 0, b, 0, True)
    assert (p, better) == pytest.approx((expected.pvalue, expected.statistic / 300))


def test_many_runs_are_tested_by_the_normal_distribution() -> None:
    a, b = np.random.default_rng(3).integers(50, size=(2, 60)).astype(float)
    expected = stats.mannwhitneyu(np.append(a, [-1.0] * 5), b, method="asymptotic")
    assert ranked_with_failures(a, 5, b, 0, True)[0] == pytest.approx(expected.pvalue)
    assert ranked_with_failures([1.0] * 30, 0, [1.0] * 30, 0, True) == (1.0, 0.5)


def test_a_failure_is_worse_than_every_score() -> None:
    """Five of ten diverged, and the other five scores are equal."""
    scores = [0.8, 0.81, 0.82, 0.83, 0.84]
    p, better = ranked_with_failures([*scores, *scores], 0, scores, 5, True)
    assert p == pytest.approx(enumerated_p([*scores * 3, *[0.0] * 5], 10))
    assert better == 0.75
    for higher_is_better in (True, False):
        assert ranked_with_failures([9.0, 9.0], 0, [-9.0], 3, higher_is_better)[1] >= 0.75
    lower = ranked_with_failures([1.0, 2.0, 3.0], 0, [4.0, 5.0], 0, False)
    assert lower[1] == 1.0
    assert ranked_with_failures([], 4, [1.0, 2.0, 3.0], 1, True)[1] == pytest.approx(0.125)
    assert ranked_with_failures([], 3, [], 3, True) == (1.0, 0.5)
    with pytest.raises(ValueError, match="both arms need a run"):
        ranked_with_failures([], 0, [1.0], 0, True)


def test_unequal_completion_is_found_and_equal_completion_is_not() -> None:
    rng = np.random.default_rng(5)
    done = rng.binomial(10, [0.9, 0.9, 0.2], size=(500, 3))
    assert np.mean([fisher_p(a, 10, b, 10) < 0.05 for a, b, _ in done]) <= 0.05
    assert np.mean([fisher_p(a, 10, c, 10) < 0.05 for a, _, c in done]) >= 0.8

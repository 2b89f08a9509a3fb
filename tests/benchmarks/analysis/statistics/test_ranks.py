"""Average ranks over data sets."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.statistics.ranks import friedman, nemenyi_difference


@pytest.mark.parametrize("step", [None, 0.5], ids=["", "ties"])
def test_friedman_agrees_with_scipy(step: float | None) -> None:
    """Iman and Davenport's F of scipy's chi-square."""
    scores = np.random.default_rng(1).normal(size=(8, 4)) + np.arange(4) / 2
    if step:
        scores = np.round(scores / step) * step
    average, statistic, p = friedman(scores, False)
    chi_square = stats.friedmanchisquare(*scores.T).statistic
    expected = 7 * chi_square / (8 * 3 - chi_square)
    assert average == pytest.approx(stats.rankdata(scores, axis=1).mean(axis=0))
    assert statistic == pytest.approx(expected)
    assert p == pytest.approx(stats.f.sf(expected, 3, 21))


def test_rank_1_is_the_best() -> None:
    scores = [[0.9, 0.8, 0.8], [0.7, 0.6, 0.5]]
    assert friedman(scores, True)[0] == pytest.approx([1.0, 2.25, 2.75])
    assert friedman(scores, False)[0] == pytest.approx([3.0, 1.75, 1.25])


@pytest.mark.parametrize(("sets", "arms"), [(3, 3), (5, 2)])
def test_the_same_order_everywhere_has_the_p_of_all_orders(sets: int, arms: int) -> None:
    orders = list(product(permutations(range(arms)), repeat=sets))
    expected = sum(len(set(each)) == 1 for each in orders) / len(orders)
    _, statistic, p = friedman(np.tile(np.arange(arms), (sets, 1)), True)
    assert (statistic, p) == (math.inf, pytest.approx(expected))


def test_equal_scores_have_no_order() -> None:
    assert friedman(np.ones((5, 3)), True)[1:] == (0.0, 1.0)
    for bad in ([[1.0, 2.0]], [[1.0], [2.0]], [[1.0, float("nan")], [2.0, 3.0]]):
        with pytest.raises(ValueError, match="two data sets and two arms"):
            friedman(bad, True)


def test_nemenyis_difference_agrees_with_the_table_of_demsar() -> None:
    """Demšar 2006, table 5a: critical values at 5 % of 2 to 10 arms."""
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    scale = [math.sqrt(arms * (arms + 1) / 6 / 14) for arms in range(2, 11)]
    found = [nemenyi_difference(arms, 14) / s for arms, s in zip(range(2, 11), scale, strict=True)]
    assert found == pytest.approx(published, abs=2e-3)


def test_equal_arms_rarely_differ() -> None:
    tables = np.random.default_rng(2).normal(size=(1000, 6, 4))
    assert np.mean([friedman(each, True)[2] < 0.05 for each in tables]) <= 0.065

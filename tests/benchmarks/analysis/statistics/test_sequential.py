"""Levels of tests that are repeated while seeds are added."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.statistics.sequential import nominal_level, nominal_levels


def test_the_boundaries_are_the_published_ones() -> None:
    """Five equal looks at 5 %, spending of the type of O'Brien and Fleming."""
    bounds = stats.norm.isf(np.array(nominal_levels(5, 0.05, 1)) / 2)
    assert bounds == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)


def test_the_bounds_of_normal_sums_are_crossed_with_the_stated_probability() -> None:
    planned = 8
    steps = np.random.default_rng(0).normal(size=(200_000, planned)).cumsum(axis=1)
    n = np.arange(1, planned + 1)
    p = 2 * stats.norm.sf(np.abs(steps) / np.sqrt(n))
    levels = [nominal_level(int(each), planned, 0.05, 3) for each in n[2:]]
    crossed = np.logical_or.accumulate(p[:, 2:] < levels, axis=1).mean(axis=0)
    spent = 4 * stats.norm.sf(stats.norm.isf(0.0125) / np.sqrt(n[2:] / planned))
    assert crossed == pytest.approx(spent, abs=0.0015)
    assert crossed[-1] == pytest.approx(0.05, abs=0.0015)


@pytest.mark.parametrize(("first", "planned", "plain"), [(3, 10, 0.15), (3, 15, 0.18)])
def test_repeated_t_tests_are_wrong_as_often_as_one(first: int, planned: int, plain: float) -> None:
    """The levels are those of normal statistics: t-tests exceed 5 % by less than 1 %."""
    d = np.random.default_rng(1).normal(size=(20_000, planned))
    looks = range(first, planned + 1)
    p = np.array([stats.ttest_1samp(d[:, :n], 0, axis=1).pvalue for n in looks])
    levels = np.array([nominal_level(n, planned, first=first) for n in looks])[:, None]
    assert (p < 0.05).any(axis=0).mean() > plain
    assert 0.045 <= (p < levels).any(axis=0).mean() <= 0.06


def test_a_single_test_has_the_whole_level() -> None:
    assert nominal_level(7, 7, 0.01, first=7) == pytest.approx(0.01)
    assert nominal_level(2, 2) == pytest.approx(0.05)


@pytest.mark.parametrize(("planned", "alpha"), [(10, 0.05), (100, 0.05), (10, 0.05 / 435)])
def test_levels_rise_and_stay_below_the_total(planned: int, alpha: float) -> None:
    levels = np.array(nominal_levels(planned, alpha, 2))
    assert len(levels) == planned - 1
    assert (np.diff(levels) > 0).all()
    assert levels[0] > 0
    assert levels[-1] < alpha


@pytest.mark.parametrize(
    ("n", "planned", "first"), [(11, 10, 2), (1, 10, 2), (2, 10, 3), (2, 1, 2)]
)
def test_a_look_outside_the_plan_has_no_level(n: int, planned: int, first: int) -> None:
    with pytest.raises(ValueError, match="is not between the first test"):
        nominal_level(n, planned, first=first)

"""Statistics do not depend on the unit of the scores, and do not overflow."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.seed_tests import Scores, difference
from benchmarks.analysis.statistics.common import Interval, unit_of
from benchmarks.analysis.statistics.seeds import (
    deviation,
    interquartile_mean,
    interval,
)

RNG = np.random.default_rng(0)
A, B = RNG.normal(5, 1, 9), RNG.normal(6, 2, 9)
UNITS = [2.0**-900, 2.0**-200, 2.0**200, 2.0**530, 2.0**1015]  # products with these are exact


SEEDS = np.arange(9)
PAIRS = {
    "paired": (Scores(SEEDS, A, False), Scores(SEEDS, B, False)),
    "Welch": (Scores(SEEDS, A, False), Scores(SEEDS + 9, B, False)),
    "overlapping": (Scores(SEEDS, A, False), Scores(SEEDS + 4, B, False)),
    "one-sample": (Scores(SEEDS, A, False), Scores(SEEDS[:0], B[:1], True)),
}


def times(unit: float, scores: Scores) -> Scores:
    return dataclasses.replace(scores, values=unit * scores.values)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", PAIRS)
def test_a_test_scales_with_its_unit(kind: str, unit: float) -> None:
    (plain, reason), (scaled, same) = (
        difference(*pair) for pair in (PAIRS[kind], [times(unit, each) for each in PAIRS[kind]])
    )
    assert plain is not None
    assert scaled is not None
    assert kind.lower() in reason.lower() or kind == "overlapping"
    assert same == reason
    assert (scaled.p, scaled.freedom) == (pytest.approx(plain.p), pytest.approx(plain.freedom))
    for name in ("difference", "low", "high", "deviation", "error"):
        value, found = getattr(plain, name), getattr(scaled, name)
        assert found is None if value is None else found == pytest.approx(unit * value, abs=0)


@pytest.mark.parametrize("unit", UNITS)
def test_an_interval_scales_with_its_unit(unit: float) -> None:
    plain = interval(A)
    assert plain.low is not None
    assert plain.high is not None
    expected = Interval(*(unit * end for end in (plain.mean, plain.low, plain.high)), 9)
    assert interval(unit * A) == expected
    assert deviation(unit * A) == unit * deviation(A)
    middle = interquartile_mean(A)
    assert middle is not None
    assert interquartile_mean(unit * A) == unit * middle


def test_references_of_usual_numbers_are_unchanged() -> None:
    assert interval(A).mean == A.mean()
    assert deviation(A) == A.std(ddof=1)


def test_a_huge_arm_is_compared_with_a_usual_one() -> None:
    found, _ = difference(times(1e304, PAIRS["Welch"][0]), PAIRS["Welch"][1])
    assert found is not None
    assert found.method == "Welch t"
    assert found.difference == pytest.approx(1e304 * A.mean())
    assert found.deviation == pytest.approx(1e304 * A.std(ddof=1))
    assert found.p == pytest.approx(stats.ttest_1samp(A, 0).pvalue)  # the others have no spread


@pytest.mark.parametrize(("size", "unit"), [(0.0, 1), (5.3, 1), (-1e49, 1), (1.7e308, 2.0**1023)])
def test_the_unit_is_near_large_numbers(size: float, unit: float) -> None:
    assert unit_of(np.array([0.0, size])) == unit


def test_an_end_beyond_all_numbers_is_infinite() -> None:
    found = interval([0.1e308, 1.7e308])
    assert (found.mean, found.high) == (pytest.approx(0.9e308), math.inf)

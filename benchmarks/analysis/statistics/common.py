"""Results of the statistics, checks of their arguments, and Student's t distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Vector = NDArray[np.float64]

CONFIDENCE = 0.95
LEVEL = 0.05
SMALLEST, LARGEST = 1e-50, 1e50  # sizes of numbers whose fourth powers are computed as they are
NO_SPREAD = 1e-9  # relative spread below which numbers differ only by rounding


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval, whose ends are None for a single or repeated value."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def times(self, unit: float) -> Interval:
        """Return the interval of numbers that were divided by a unit."""
        return Interval(self.mean * unit, product(self.low, unit), product(self.high, unit), self.n)


@dataclass(frozen=True)
class Paired:
    """The mean difference A - B of pairs, its interval and two-sided p; None for one pair.

    `probability` is that A's score is larger at a seed, ties counted half. `deviation` is the sd of
    the difference of two scores at one seed, or of any two scores if the arms share no seeds; 0 if
    the differences vary only by rounding. `error` is the standard error of `difference` and
    `freedom` the degrees of freedom of Student's t; None for other tests. `warning` is a reason to
    distrust p.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    method: str
    probability: float | None = None
    deviation: float | None = None
    error: float | None = None
    freedom: float | None = None
    warning: str = ""

    def times(self, unit: float) -> Paired:
        """Return the result for numbers that were divided by a unit."""
        return replace(
            self,
            difference=self.difference * unit,
            low=product(self.low, unit),
            high=product(self.high, unit),
            deviation=product(self.deviation, unit),
            error=product(self.error, unit),
        )


def at_level(found: Paired, alpha: float) -> Paired:
    """Return the result with its 1 - alpha interval; unchanged without a t statistic."""
    if not found.error or found.freedom is None:
        return found
    half = half_width(found.error, found.freedom, alpha)
    return replace(found, low=found.difference - half, high=found.difference + half)


def product(value: float | None, unit: float) -> float | None:
    """Return a value in units; None for None."""
    return None if value is None else value * unit


def vector(values: ArrayLike) -> Vector:
    """Return numbers as a vector."""
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    if not len(x) or not np.isfinite(x).all():
        raise ValueError("statistics need at least one number, all of them finite")
    return x


def paired_vectors(a: ArrayLike, b: ArrayLike, name: str) -> tuple[Vector, Vector]:
    """Return two vectors of equal length."""
    x, y = vector(a), vector(b)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} {name} do not pair")
    return x, y


def size_of(*vectors: Vector) -> float:
    """Return the largest absolute value."""
    return max(float(np.abs(each).max()) for each in vectors)


def mean_difference(x: Vector, y: Vector) -> float:
    """Return the difference of two means; 0 if only rounding separates them."""
    found = float(x.mean() - y.mean())
    return found if abs(found) > NO_SPREAD * size_of(x, y) else 0.0


def has_spread(*vectors: Vector) -> bool:
    """Return True if the numbers of a vector differ by more than rounding."""
    return max(float(np.ptp(each)) for each in vectors) > NO_SPREAD * size_of(*vectors)


def unit_of(*vectors: Vector) -> float:
    """Return the unit to compute in: 1, or a power of two near numbers that are large or small.

    The fourth power of a standard deviation, as in Welch's test, then neither overflows nor
    vanishes. Dividing by a power of two is exact.
    """
    size = size_of(*vectors)
    if size == 0 or SMALLEST < size < LARGEST:
        return 1.0
    return math.ldexp(1.0, math.frexp(size)[1] - 1)


def p_without_spread(d: Vector, size: float) -> float | None:
    """Return the two-sided p of equal differences by exchanging signs; None if they vary.

    A t-test would divide by zero. Rounded scores often have equal differences at random. `size` is
    that of the numbers before the difference.
    """
    if np.ptp(d) > NO_SPREAD * size:
        return None
    return 1.0 if abs(d.mean()) <= NO_SPREAD * size else 2.0 ** (1 - len(d))


def t_quantile(part: float, freedom: float) -> float:
    """Return a quantile of Student's t distribution."""
    return float(special.stdtrit(freedom, part))


def two_sided_t(statistic: float, freedom: float) -> float:
    """Return the two-sided p of a t statistic."""
    return 2 * float(special.stdtr(freedom, -abs(statistic)))


def half_width(error: float, freedom: float, alpha: float) -> float:
    """Return half the width of a 1 - alpha interval."""
    # The lower quantile: 1 - alpha / 2 would round to 1 for the levels of early looks.
    return -t_quantile(alpha / 2, freedom) * error


def t_difference(difference: float, error: float, freedom: float, n: int, method: str) -> Paired:
    """Return the result of a t-test of a difference with this standard error."""
    half = half_width(error, freedom, LEVEL)
    p = two_sided_t(difference / error, freedom)
    low, high = difference - half, difference + half
    return Paired(difference, low, high, p, n, method, error=error, freedom=freedom)

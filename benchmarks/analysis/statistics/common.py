"""What all statistics here share: how results look, what counts as a number, Student's t."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Vector = NDArray[np.float64]

CONFIDENCE = 0.95
LEVEL = 0.05

NO_SPREAD = 1e-9
"""Numbers that vary by less than this part of their size differ by rounding alone."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a mean; both ends are None for a single value."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Paired:
    """What seeds or items in pairs say of a difference A - B.

    Attributes:
        difference: mean of A - B.
        low, high: its confidence interval; None if one pair is all there is.
        p: two-sided, of no difference; None likewise.
        n: pairs.
        method: the test.
        probability: that A's score is the larger at a seed, ties counted half.
        deviation: standard deviation of the differences; 0 if rounding is all of it.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    method: str
    probability: float | None = None
    deviation: float | None = None


def vector(values: ArrayLike) -> Vector:
    """Take numbers as a vector.

    Raises:
        ValueError: there is none, or one is not finite.
    """
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    if not len(x) or not np.isfinite(x).all():
        raise ValueError("statistics need at least one number, all of them finite")
    return x


def paired_vectors(a: ArrayLike, b: ArrayLike, what: str) -> tuple[Vector, Vector]:
    """Take two vectors of equal length.

    Raises:
        ValueError: they are not, or one is empty or not finite.
    """
    x, y = vector(a), vector(b)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} {what} do not pair")
    return x, y


def size_of(*vectors: Vector) -> float:
    """Largest of all numbers, signs aside."""
    return max(float(np.abs(each).max()) for each in vectors)


def p_without_spread(d: Vector, size: float) -> float | None:
    """Two-sided p of differences that are all the same; None if they are not.

    They have no spread by which a difference could be measured. Scores in coarse steps give such
    by chance, so that p is that of exchanging signs.

    Args:
        d: (n,) differences.
        size: of the numbers they were computed from.
    """
    if np.ptp(d) > NO_SPREAD * size:
        return None
    return 1.0 if abs(d.mean()) <= NO_SPREAD * size else 2.0 ** (1 - len(d))


def t_quantile(part: float, freedom: float) -> float:
    """Student's t below which this part of its distribution lies."""
    return float(special.stdtrit(freedom, part))


def two_sided_t(statistic: float, freedom: float) -> float:
    """Two-sided p of a t statistic."""
    return 2 * float(special.stdtr(freedom, -abs(statistic)))

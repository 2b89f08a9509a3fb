"""Results of the statistics, checks of their arguments, and Student's t distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Vector = NDArray[np.float64]

CONFIDENCE = 0.95
LEVEL = 0.05
NO_SPREAD = 1e-9  # relative spread below which numbers differ only by rounding


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval, whose ends are None for a single value."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Paired:
    """The mean difference A - B of pairs, its interval and two-sided p; None for one pair.

    `probability` is that A's score is larger at a seed, ties counted half; `deviation` is that of
    the differences, 0 if they differ only by rounding.
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

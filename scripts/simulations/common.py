"""Distributions of simulated scores, and shares of the draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.analysis.statistics.common import LEVEL

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

PART = 4  # divisor of the number of draws of slow parts

DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "skewed (exponential)": lambda rng, size: rng.exponential(size=size) - 1.0,
    "heavy tails (t, 3 degrees)": lambda rng, size: rng.standard_t(3, size=size),
    "one seed in ten fails": lambda rng, size: (
        rng.normal(size=size) - 10.0 * (rng.random(size) < 0.1) + 1.0
    ),
}
"""Distributions with mean 0."""

NULLS = DISTRIBUTIONS | {
    "coarse (steps of one sd)": lambda rng, size: np.round(rng.normal(size=size))
}


def share(hits: Sequence[bool] | NDArray[np.bool_]) -> str:
    """Return a share in per cent with its standard error."""
    part = float(np.mean(hits))
    error = np.sqrt(part * (1 - part) / len(hits))
    return f"{100 * part:.1f} ± {100 * error:.1f}"


def is_shown(p: float | None, level: float = LEVEL) -> bool:
    """Return True if a test shows a difference."""
    return p is not None and p < level


def correlated(
    rng: np.random.Generator, draws: int, n: int, correlation: float
) -> tuple[Array, Array]:
    """Return normal scores (draws, n) of two arms at the same seeds."""
    a, own = rng.normal(size=(2, draws, n))
    return a, correlation * a + np.sqrt(1 - correlation**2) * own

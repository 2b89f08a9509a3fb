"""Dependence of neighbouring items: the long-run variance, and where it cannot be estimated."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from benchmarks.analysis.statistics.common import Vector

TERMS = 0.4  # Lazarus, Lewis, Stock and Watson (2018), which also gives the power 2/3


def cosine_terms(n: int) -> int:
    """Return the number of cosine coefficients of a series that its long-run variance uses."""
    return math.floor(TERMS * math.cbrt(n) ** 2)


def cosine_coefficients(series: NDArray[np.float64], terms: int) -> NDArray[np.float64]:
    """Return the first cosine coefficients along the last axis, without that of the mean.

    The mean of their squares estimates the long-run variance: with few terms for dependent items,
    with all n - 1 terms (then it is the sample variance) for independent ones.
    """
    coefficients: NDArray[np.float64] = fft.dct(series, norm="ortho")[..., 1 : terms + 1]
    return coefficients


def autocorrelation(d: Vector) -> float:
    """Return the correlation of neighbouring values, corrected for its bias (Kendall 1954)."""
    centred = d - d.mean()
    if not centred.any():
        return 0.0
    found = float(centred[1:] @ centred[:-1] / (centred @ centred))
    return min(1.0, found + (1 + 3 * found) / len(d))


def dependence_warning(d: Vector) -> str:
    """Return a warning if a long-run variance is too small, so that p is; empty otherwise.

    Beyond this autocorrelation, false verdicts exceed 10 % in the simulation of docs/method.md.
    """
    found = autocorrelation(d)
    if found <= 1 - len(d) ** (-1 / 3):
        return ""
    return f"p is too small: autocorrelation {found:.2f} along {len(d):,} items"

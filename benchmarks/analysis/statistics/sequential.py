"""Levels of tests that are repeated while seeds are added."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import optimize, special

from benchmarks.analysis.statistics.common import LEVEL, Vector

LEAST = 1e-300  # probability of the earliest looks of many, which would otherwise underflow


def nominal_level(n: int, planned: int, alpha: float = LEVEL, first: int = 2) -> float:
    """Return the level of a two-sided test at n of the planned seeds.

    Every number of seeds from `first` to n may have been tested. A test that is below this level at
    any of them is then false with probability alpha (Lan and DeMets 1983): the level at n spends
    what a spending function of the type of O'Brien and Fleming has released since n - 1. The
    boundary is that of normal statistics; t-tests at its levels are false in 5.4 to 5.8 % for 5 %.
    """
    if not 2 <= first <= n <= planned:
        raise ValueError(f"n = {n} is not between the first test, {first}, and {planned}")
    return nominal_levels(planned, alpha, first)[n - first]


def spent(times: Vector, alpha: float) -> Vector:
    """Return the probability of a false difference that is spent at shares of the seeds."""
    return np.asarray(4 * special.ndtr(special.ndtri(alpha / 4) / np.sqrt(times)))


@lru_cache(maxsize=4096)
def nominal_levels(planned: int, alpha: float, first: int) -> tuple[float, ...]:
    """Return the levels at first, first + 1, ... planned seeds.

    By the recursion of Armitage, McPherson and Rowe (1969): the density of a sum of independent
    steps that has not yet crossed a boundary, on Gauss-Legendre nodes between the boundaries.
    """
    times = np.arange(first, planned + 1) / planned
    released = np.maximum(LEAST, np.diff(spent(times, alpha), prepend=0.0))
    roots, weights = np.polynomial.legendre.leggauss(64 + 12 * math.isqrt(planned))
    step, bound = math.sqrt(1 / planned), float(-special.ndtri(released[0] / 2) * times[0] ** 0.5)
    nodes = bound * roots
    mass = bound * weights * normal_density(nodes, math.sqrt(times[0]))
    levels = [float(released[0])]
    for time, part in zip(times[1:], released[1:], strict=True):
        previous, bound = nodes, boundary(nodes, mass, step, float(part))
        nodes = bound * roots
        mass = bound * weights * (normal_density(nodes[:, None] - previous, step) @ mass)
        levels.append(2 * float(special.ndtr(-bound / math.sqrt(time))))
    return tuple(levels)


def normal_density(x: Vector, sd: float) -> Vector:
    """Return the density of a normal distribution with mean 0."""
    return np.asarray(np.exp(-0.5 * (x / sd) ** 2) / (sd * math.sqrt(2 * math.pi)))


def boundary(nodes: Vector, mass: Vector, step: float, probability: float) -> float:
    """Return the bound that the next sum crosses, on either side, with this probability."""

    def excess(bound: float) -> float:
        crossed = 2 * float(special.ndtr((nodes - bound) / step) @ mass)
        return math.log(max(crossed, LEAST)) - math.log(probability)

    return float(optimize.brentq(excess, 0.0, 1.0 + float(nodes[-1]) + 40 * step))

"""Two levels: seeds and test items as samples of all seeds and all items."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.analysis.statistics.common import (
    NO_SPREAD,
    Paired,
    size_of,
    t_difference,
    unit_of,
)
from benchmarks.analysis.statistics.dependence import (
    cosine_coefficients,
    cosine_terms,
    dependence_warning,
)

FEWEST_SEEDS = 3
METHOD = "seeds x items"


def crossed_test(differences: ArrayLike, is_sequence: bool) -> Paired:
    """Test the mean of differences (seeds, items) for all seeds and all items.

    Seed, item and their interaction have random effects. The variance of the mean is estimated
    from mean squares, its degrees of freedom follow Satterthwaite (1946); `n` is the number of
    seeds. Items of a sequence have the long-run variance of the Diebold-Mariano test.
    """
    table = np.asarray(differences, dtype=np.float64)
    seeds, items = table.shape
    unit = unit_of(table)
    if unit != 1.0:
        return crossed_test(table / unit, is_sequence).times(unit)
    mean = float(table.mean())
    terms = cosine_terms(items) if is_sequence else items - 1
    if seeds < FEWEST_SEEDS or terms < 1:
        return Paired(mean, None, None, None, seeds, f"{METHOD}: too few")
    size = size_of(table)
    if np.ptp(table) <= NO_SPREAD * size:
        p = 1.0 if abs(mean) <= NO_SPREAD * size else None
        return Paired(mean, None, None, p, seeds, "equal differences")
    coefficients = cosine_coefficients(table, terms)
    average = coefficients.mean(axis=0)
    residuals = float(((coefficients - average) ** 2).sum()) / ((seeds - 1) * terms)
    by_seeds = float(table.mean(axis=1).var(ddof=1)) / seeds
    by_items = float((average**2).mean()) / items
    # Both contain the interaction. A variance cannot be smaller than either of them.
    variance = max(by_seeds + by_items - residuals / items / seeds, by_seeds, by_items)
    freedom = variance**2 / (by_seeds**2 / (seeds - 1) + by_items**2 / terms)
    error = math.sqrt(variance)
    warning = dependence_warning(table.mean(axis=0)) if is_sequence else ""
    return replace(t_difference(mean, error, freedom, seeds, METHOD), warning=warning)

"""Methods of the aeon package, compiled when this module is imported.

aeon's functions are compiled at their first call, which takes up to a minute. The import of this
module calls them once, so that no measured time contains their compilation.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from aeon.distances import dtw_pairwise_distance
from aeon.transformations.collection.convolution_based import MiniRocket

if TYPE_CHECKING:
    Numbers = np.ndarray[Any, Any]

MINIMUM_STEPS = 9  # of a series for MiniRocket, the length of its kernels


def dtw_distances(series: Sequence[Numbers], others: Sequence[Numbers]) -> Numbers:
    """Return the distances (series, others) of series (steps, channels) of any lengths."""
    distances: Numbers = dtw_pairwise_distance(columns_first(series), columns_first(others))
    return distances


def columns_first(series: Sequence[Numbers]) -> list[Numbers]:
    """Return series as arrays (channels, steps), as aeon takes them."""
    return [np.ascontiguousarray(values.T) for values in series]


def new_minirocket(seed: int) -> Any:
    """Return a transformer of series (series, channels, steps) to features."""
    return MiniRocket(random_state=seed)


def compile_all() -> None:
    """Call every function once, on series of one and of two channels."""
    for channels in (1, 2):
        example = np.random.default_rng(0).normal(size=(3, channels, 2 * MINIMUM_STEPS))
        unequal = [example[0].T, example[1, :, :MINIMUM_STEPS].T]
        dtw_distances(unequal, unequal)
        new_minirocket(0).fit_transform(example)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the compiler, on casts in aeon
    compile_all()

"""Statistics of a comparison: arrays in, numbers out. No files, no tables, no pictures.

Whatever draws at random takes a seed and repeats. The libraries do the mathematics (scipy, arch);
what is chosen here is which method serves how many seeds, and why. What each number means and when
to distrust it: docs/method.md; how well they keep what they say: scripts/check_statistics.py.

A comparison asks for thousands of these, hence scipy.special where scipy.stats takes a millisecond.
"""

from benchmarks.analysis.statistics.common import CONFIDENCE, LEVEL, Interval, Paired, Vector
from benchmarks.analysis.statistics.items import (
    block_bootstrap,
    diebold_mariano,
    mcnemar,
    model_confidence_set,
)
from benchmarks.analysis.statistics.power import (
    POWER,
    expected_best,
    holm,
    minimum_detectable,
    paired_power,
    seeds_needed,
)
from benchmarks.analysis.statistics.seeds import (
    interquartile_mean,
    interval,
    paired_by_seed,
    sign_flip_p,
    unpaired,
)

__all__ = [
    "CONFIDENCE",
    "LEVEL",
    "POWER",
    "Interval",
    "Paired",
    "Vector",
    "block_bootstrap",
    "diebold_mariano",
    "expected_best",
    "holm",
    "interquartile_mean",
    "interval",
    "mcnemar",
    "minimum_detectable",
    "model_confidence_set",
    "paired_by_seed",
    "paired_power",
    "seeds_needed",
    "sign_flip_p",
    "unpaired",
]

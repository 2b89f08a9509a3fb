"""Statistics of a comparison: functions of arrays, without files or tables.

Random draws take a seed and are reproducible. scipy and arch do the mathematics; this package
chooses the method for the number of seeds. docs/method.md explains each number, and
scripts/check_statistics.py measures coverage and error rates.

A comparison needs thousands of tests, so scipy.special is used instead of scipy.stats and
statsmodels, whose functions take 5 to 1000 times as long. The tests compare the results with both.
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

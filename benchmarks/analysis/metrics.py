"""Metrics of a comparison: columns, their direction and their kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmarks.errors import UserError, nearest
from benchmarks.results.row import columns_where

HIGHER = columns_where(better="higher")
LOWER = columns_where(better="lower")
SHARES = columns_where(section="score", unit="share", better="higher")  # 1 is perfect
TIMES = columns_where(section="time", better=("higher", "lower"))  # comparable on one machine
EXACT = columns_where(kind="exact")  # they follow from the settings, whatever the seed
USUAL_HIGHER = ("accuracy", "acc", "f1", "auc", "auroc", "bleu", "r2")  # last words of names
USUAL_LOWER = ("loss", "nll", "error", "mse", "rmse", "mae", "mape", "perplexity", "ppl")
COSTS = (*TIMES, *columns_where(section="memory"), *EXACT)  # baselines are no reference


@dataclass(frozen=True)
class Metric:
    """The column that arms are compared by; `is_own` is True for the task's own metric."""

    name: str
    higher_is_better: bool
    is_own: bool = True


def plain_name(metric: str) -> str:
    """Return the name of a metric as columns are spelled: `RMSE` is `rmse`."""
    return re.sub(r"[\s-]+", "_", metric.strip().casefold())


def known_direction(metric: str) -> bool | None:
    """Return True if higher values are better by the name of a metric; None if it is unknown.

    `val_loss` and `test_rmse` end with a known name; scikit-learn's `neg_rmse` is the negative.
    """
    name = plain_name(metric)
    if name in HIGHER or name in LOWER:
        return name in HIGHER
    last = name.rpartition("_")[2]
    if name.startswith("neg_") or last not in (*USUAL_HIGHER, *USUAL_LOWER):
        return None
    return last in USUAL_HIGHER


def direction(metric: str) -> bool:
    """Return True if higher values of a column are better."""
    if metric in HIGHER or metric in LOWER:
        return metric in HIGHER
    allowed = (*HIGHER, *LOWER)
    raise UserError(
        f"--metric {metric}: is not a column with a direction{nearest(metric, allowed)}; "
        f"allowed: {', '.join(allowed)}"
    )

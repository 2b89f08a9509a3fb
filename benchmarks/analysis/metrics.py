"""Columns by which arms may be compared, and which way is better."""

from __future__ import annotations

from benchmarks.errors import UserError, nearest
from benchmarks.results.row import Row

SHARES = ("accuracy", "direction_accuracy")
"""Of which 1 is all, whether a table says so or not."""

HIGHER = ("accuracy", "direction_accuracy", "tokens_per_second", "model_flops_utilisation")

SECONDS = (
    "train_seconds",
    "eval_seconds",
    "prepare_seconds",
    "total_seconds",
    "time_to_best_seconds",
)
TIMES = (
    *SECONDS,
    "tokens_per_second",
    "model_flops_utilisation",
    "latency_ms_p50",
    "latency_ms_p95",
)
"""Worth nothing if the runs shared their machine or ran on different ones."""

EXACT = ("parameters", "encoder_parameters", "flops_per_token")
"""Follow from the settings, whatever the seed: a difference is a fact and needs no test."""

COSTS = (
    *SECONDS,
    "tokens_per_second",
    "model_flops_utilisation",
    "latency_ms_p50",
    "latency_ms_p95",
    "peak_memory_mib",
    "peak_rss_mib",
    *EXACT,
)
"""What a score takes: cheaper than a baseline is no achievement of a net."""

LOWER = (
    "val_loss",
    "test_loss",
    "perplexity",
    "bits_per_character",
    "rmse",
    "rmse_over_naive",
    "volatility_rmse",
    "mae",
    "mase",
    *SECONDS,
    "latency_ms_p50",
    "latency_ms_p95",
    "peak_memory_mib",
    "peak_rss_mib",
    *EXACT,
)

PERFECT = {"perplexity": 1.0}
"""What is not 0 where lower is better, for tables that do not say; 1 where higher is better."""


def direction(metric: str) -> bool:
    """Whether higher is better.

    Raises:
        UserError: the column has no better and worse.
    """
    if metric in HIGHER:
        return True
    if metric in LOWER:
        return False
    allowed = (*HIGHER, *LOWER)
    raise UserError(
        f"--metric {metric}: is no column with a better and a worse{nearest(metric, allowed)}; "
        f"allowed: {', '.join(allowed)}"
    )


def unit_of(metric: str) -> str:
    """The unit of a column; empty for one that is not documented."""
    entry = Row.__dataclass_fields__.get(metric)
    return str(entry.metadata["unit"]) if entry else ""


def default_perfect(metric: str, higher_is_better: bool) -> float:
    """The ideal value of a metric whose rows do not say it."""
    return PERFECT.get(metric, 1.0 if higher_is_better else 0.0)


def is_cost(metric: str) -> bool:
    """Whether a column is what a score takes, not a score."""
    return metric in COSTS


def is_time(metric: str) -> bool:
    """Whether a column depends on who else used the machine."""
    return metric in TIMES

"""Undertrained runs: a limit ended the training at its best epoch."""

from __future__ import annotations

from collections.abc import Iterable

LIMITS = {"epochs": "train.max_epochs", "steps": "train.max_steps", "seconds": "train.max_seconds"}
"""Settings that end a training, by the value of the column `stopped_by`."""


def is_undertrained(
    epochs: float | None, best_epoch: float | None, stopped_by: str | None
) -> bool | None:
    """Return True if the validation score was best in the last epoch; None if unknown.

    After `train.patience` epochs without a better score, a run has ended by itself.
    """
    if not epochs or not best_epoch or not stopped_by:
        return None
    return bool(best_epoch == epochs and stopped_by in LIMITS)


def advice(stopped_by: Iterable[str], is_timed: bool = False) -> str:
    """Return what undertrained runs mean, and the settings to raise."""
    names = [LIMITS[each] for each in LIMITS if each in {*stopped_by}]
    if is_timed:
        names = ["match.budget_seconds"]
    return (
        f"the best epoch is the last, so longer training may improve the score; raise "
        f"{' and '.join(names)}"
    )

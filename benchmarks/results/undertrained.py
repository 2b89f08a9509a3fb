"""Undertrained runs: a limit ended the training at its best epoch or before its schedule ended."""

from __future__ import annotations

from collections.abc import Iterable

LIMITS = {"epochs": "train.max_epochs", "steps": "train.max_steps", "seconds": "train.max_seconds"}
"""Settings that end a training, by the value of the column `stopped_by`."""


def is_cut_off(stopped_by: str | None, match: str | None) -> bool:
    """Return True if time ended a training before its schedule, which then counts steps."""
    return stopped_by == "seconds" and match != "time"


def is_undertrained(
    epochs: float | None, best_epoch: float | None, stopped_by: str | None, match: str | None
) -> bool | None:
    """Return True if the run was cut off, or a limit ended it at its best epoch; None if unknown.

    After `train.patience` epochs without a better score, a run has ended by itself.
    """
    if not epochs or not best_epoch or not stopped_by:
        return None
    return is_cut_off(stopped_by, match) or bool(best_epoch == epochs and stopped_by in LIMITS)


def advice(ends: Iterable[tuple[str, str]]) -> str:
    """Return why runs are undertrained, and the settings to raise.

    `ends` has the columns `stopped_by` and `match` of each run.
    """
    found = {*ends}
    is_cut = [is_cut_off(*end) for end in found]
    reasons = ["the best epoch is the last"] * (not all(is_cut))
    reasons += ["the time limit ended the training before its schedule"] * any(is_cut)
    of_time = {("seconds", "time"): "match.budget_seconds"}
    names = [of_time.get(end) or LIMITS.get(end[0], "") for end in found]
    ordered = [each for each in (*LIMITS.values(), *of_time.values()) if each in names]
    return (
        f"{' or '.join(reasons)}, so longer training may improve the score; raise "
        f"{' and '.join(ordered)}"
    )

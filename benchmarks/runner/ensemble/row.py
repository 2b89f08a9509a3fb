"""The row of an ensemble, from those of its members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from benchmarks.results.row import Row, Status, columns_where
from benchmarks.results.store import new_run_id
from benchmarks.runner.ensemble.members import SAME
from benchmarks.system.hashing import short_hash

MODEL = "ensemble"
SETTINGS = columns_where(kind="setting")
SUMS = (
    *("parameters", "encoder_parameters", "flops_per_token", "train_tokens", "train_seconds"),
    *("latency_ms_p50", "latency_ms_p95"),
)
LARGEST = ("concurrent_runs", "load_average", "trained_together")
EQUAL = tuple(
    name
    for name in dict.fromkeys(
        (
            *SAME,
            *columns_where(comparable="noted"),
            *columns_where(section="machine"),
            *("dataset", "split_seed", "data_unit", "tokenization", "test_in_train"),
            *("metric_unit", "higher_is_better", "perfect_score", "margin"),
            *("deterministic", "python_version", "source_sha256"),
        )
    )
    if name not in LARGEST
)
"""Columns that contain the value of all members, or nothing if they differ."""


def new_row(members: Sequence[dict[str, Any]], weighting: str, now: datetime) -> Row:
    """Return the row of an ensemble without its scores.

    Seed and id are those of the first member that has a seed. Settings are those that all networks
    share; a baseline has none.
    """
    networks = [row for row in members if not row.get("baseline")] or members
    seed = next((row["seed"] for row in members if row.get("seed") is not None), None)
    names = sorted(Counter(str(row["model"]) for row in members).items())
    models = "+".join(f"{count}*{name}" if count > 1 else name for name, count in names)
    return Row(
        run_id=new_run_id(MODEL, str(members[0]["task"]), seed or 0, now),
        status=Status.OK,
        **(gathered(EQUAL, members, only) | gathered(SETTINGS, networks, only)),
        **gathered(SUMS, members, sum_of),
        **gathered(LARGEST, members, largest),
        model=MODEL,
        seed=seed,
        members=" ".join(row["run_id"] for row in members),
        arm=short_hash([MODEL, weighting, sorted(str(row.get("arm")) for row in members)]),
        fingerprint=short_hash([MODEL, weighting, sorted(row["run_id"] for row in members)]),
        overrides=" ".join((*common_words(networks), f"members={models} weights={weighting}")),
        starts=1,
        started_at=now.isoformat(timespec="milliseconds"),
    )


def common_words(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the overrides that all rows have, in the order of the first."""
    first, *others = (str(row.get("overrides") or "").split() for row in rows)
    return [word for word in first if all(word in other for other in others)]


def gathered(
    columns: Iterable[str],
    rows: Sequence[dict[str, Any]],
    function: Callable[[list[Any]], Any],
) -> dict[str, Any]:
    """Apply a function to the values of each column."""
    return {name: function([row.get(name) for row in rows]) for name in columns}


def only(values: list[Any]) -> Any:
    """Return the common value, or None."""
    return values[0] if all(value == values[0] for value in values) else None


def sum_of(values: list[Any]) -> Any:
    """Return the sum, or None if a value is unknown."""
    return None if None in values else sum(values)


def largest(values: list[Any]) -> Any:
    """Return the largest known value."""
    return max((value for value in values if value is not None), default=None)

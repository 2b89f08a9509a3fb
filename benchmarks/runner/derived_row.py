"""The row of something that is computed from finished runs, such as an ensemble of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from benchmarks.errors import disk_errors_in_one_line
from benchmarks.results.row import Row, Status, columns_where
from benchmarks.results.run_folder import RunFolder
from benchmarks.results.store import Store, new_run_id
from benchmarks.runner.row_columns import fill_from_test
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.hashing import short_hash
from tasks.base import Split

COMPARABLE = columns_where(comparable=("task", "group", "table"))
SAME = ("task", "dataset_sha256", "split", "metric", *COMPARABLE)
"""Columns that are equal in the rows of all sources, the most informative first."""

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
"""Columns that contain the value of all sources, or nothing if they differ."""

Source = Mapping[str, Any]


def derived_row(
    sources: Sequence[Source],
    networks: Sequence[Source],
    kind: str,
    settings: Sequence[str],
    now: datetime,
) -> Row:
    """Return the row of what is computed from runs, without its scores.

    Seed and id are those of the first source that has a seed.

    Args:
        sources: the rows of the runs.
        networks: the rows whose common settings the row contains.
        kind: of the computation, in the identifier.
        settings: of the computation, which distinguish its arms.
        now: the time of the row.
    """
    seed = next((row["seed"] for row in sources if row.get("seed") is not None), None)
    return Row(
        run_id=new_run_id(kind, str(sources[0]["task"]), seed or 0, now),
        status=Status.OK,
        **(gathered(EQUAL, sources, only) | gathered(SETTINGS, networks, only)),
        **gathered(SUMS, sources, sum_of),
        **gathered(LARGEST, sources, largest),
        seed=seed,
        members=" ".join(row["run_id"] for row in sources),
        arm=short_hash([kind, *settings, sorted(str(row.get("arm")) for row in sources)]),
        fingerprint=short_hash([kind, *settings, sorted(row["run_id"] for row in sources)]),
        starts=1,
        started_at=now.isoformat(timespec="milliseconds"),
    )


@contextmanager
def stored(row: Row, store: Store, command: str) -> Iterator[RunFolder]:
    """Yield the folder of a row for the files of the block; store command and row after it."""
    with disk_errors_in_one_line():
        folder = store.run(row.run_id).create()
        yield folder
        write_atomically(folder.command, f"{command}\n")
        store.write_row(row)
        store.view().update()


def fill_scores(row: Row, found: Mapping[Split, dict[str, float]]) -> None:
    """Copy the metrics of both splits into the row."""
    assert row.metric is not None
    row.val_score, row.val_loss = found["validation"][row.metric], found["validation"]["loss"]
    fill_from_test(row, found["test"])


def gathered(
    columns: Iterable[str],
    rows: Sequence[Source],
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

"""Leases and checkpoints of dead processes are removed once they are not required."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.results.leases import new_lease
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.results.unfinished import clean_up
from benchmarks.system.processes import this_process

DEAD = dataclasses.replace(this_process(), born="before this process")


@pytest.mark.parametrize(
    ("status", "is_dead", "is_removed"),
    [("ok", True, True), ("ok", False, False), ("interrupted", True, False), (None, True, False)],
)
def test_only_ok_runs_of_dead_processes_are_cleaned_up(
    status: str | None, is_dead: bool, is_removed: bool, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    checkpoint = store.run("run").create().checkpoint
    checkpoint.touch()
    if status is not None:
        store.write_row(Row("run", status, fingerprint="f"))
    lease = new_lease("f", "run", {})
    assert store.leases.acquire(dataclasses.replace(lease, process=DEAD) if is_dead else lease)
    clean_up(store, store.index())
    assert checkpoint.exists() == (not is_removed)
    assert (store.leases.read("f") is None) == is_removed

"""Leases and checkpoints of dead processes are removed once they are not required."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.results.leases import Lease, new_lease
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.results.unfinished import clean_up, unfinished_run, unfinished_runs
from benchmarks.system.processes import ProcessIdentity, this_process

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


def test_the_checkpoint_with_the_most_steps_is_resumed_first(tmp_path: Path) -> None:
    """As after two concurrent runs of one configuration that were both interrupted."""
    store = Store(tmp_path)
    runs = {"run-1": ("interrupted", 900), "run-2": ("ok", 950), "run-3": ("interrupted", 806)}
    runs |= {"run-4": ("interrupted", 140), "run-5": ("interrupted", 999)}
    for run_id, (status, steps) in runs.items():
        store.write_row(Row(run_id, status, fingerprint="f", steps=steps))
        if run_id != "run-5":  # interrupted before its first checkpoint
            store.run(run_id).checkpoint.touch()
    lease = dataclasses.replace(new_lease("f", "run-6", {}), process=DEAD, progress={"step": 500})
    store.run("run-6").create().checkpoint.touch()
    assert store.leases.acquire(lease)
    found = unfinished_runs(store, store.index(), ["f"])
    assert found == ["run-3", "run-6", "run-4", "run-5"]
    assert unfinished_run(store, store.index(), ["f"]) == "run-3"
    assert unfinished_runs(store, store.index(), ["f"], since="run-3") == found[1:]


def test_a_run_of_a_live_process_is_not_resumed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for run_id in ("run-1", "run-2"):
        store.write_row(Row(run_id, "interrupted", fingerprint="f"))
    other = ProcessIdentity(host="elsewhere", boot="", pid=1, born="")  # its lease is new
    assert store.leases.acquire(Lease("f.run-2", "run-2", other))
    assert unfinished_runs(store, store.index(), ["f"]) == ["run-1"]
    assert store.leases.acquire(Lease("f", "run-3", other))
    assert unfinished_runs(store, store.index(), ["f"]) == []

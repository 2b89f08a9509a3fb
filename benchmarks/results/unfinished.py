"""Unfinished runs: which one to resume, and the clean-up after killed processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.results.index import Index
from benchmarks.results.leases import Lease, is_same_job
from benchmarks.results.row import Status
from benchmarks.results.store import Store
from benchmarks.system.processes import this_process


def unfinished_run(
    store: Store, index: Index, fingerprints: list[str], since: str = ""
) -> str | None:
    """Return the first of `unfinished_runs`, or None."""
    return next(iter(unfinished_runs(store, index, fingerprints, since)), None)


def unfinished_runs(
    store: Store, index: Index, fingerprints: list[str], since: str = ""
) -> list[str]:
    """Return the ids of unfinished runs after `since`, the one with the most steps first.

    Runs before the last one of status ok are left out. If a live process holds the lease of the
    configuration, there are none.
    """
    me = this_process()
    steps: dict[str, int] = {}
    live: set[str] = set()
    leases = (lease for fingerprint in fingerprints for lease in store.leases.of(fingerprint))
    for lease in leases:
        if lease.run_id <= since:
            continue
        is_mine = lease.process == me or is_same_job(lease.process, me)
        if not is_mine and store.leases.is_live(lease):
            if lease.key in fingerprints:
                return []
            live.add(lease.run_id)
        elif lease.run_id not in index.entries:
            steps[lease.run_id] = steps_saved(store, lease.run_id, lease.progress)
    for entry in sorted(index.of(fingerprints), reverse=True):
        if entry.status == Status.OK or entry.run_id <= since:
            break
        if entry.run_id in live:
            continue
        has_checkpoint = store.run(entry.run_id).checkpoint.exists()
        if entry.status.is_resumable or has_checkpoint:
            steps[entry.run_id] = steps_saved(store, entry.run_id, index.row(entry.run_id) or {})
        elif not steps:
            break  # the last run has failed: the next one is new
    return sorted(steps, key=lambda run_id: (steps[run_id], run_id), reverse=True)


def steps_saved(store: Store, run_id: str, known: Mapping[str, Any]) -> int:
    """Return the steps of a run by its row or the progress in its lease; 0 without checkpoint."""
    steps = known.get("steps") or known.get("step") or 0
    return int(steps) if store.run(run_id).checkpoint.exists() else 0


def release_finished(store: Store, lease: Lease, status: Status) -> None:
    """Release a dead process's lease on a run that has a row; remove the checkpoint if it is ok."""
    if status == Status.OK:
        store.run(lease.run_id).checkpoint.unlink(missing_ok=True)
    store.leases.release(lease)


def clean_up(store: Store, index: Index) -> None:
    """Release the leases of all runs of status ok whose process died before it released them."""
    for lease in store.leases.all():
        entry = index.entries.get(lease.run_id)
        if entry is not None and entry.status == Status.OK and not store.leases.is_live(lease):
            release_finished(store, lease, entry.status)

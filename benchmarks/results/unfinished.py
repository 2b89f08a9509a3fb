"""Unfinished runs: which one to resume, and the clean-up after killed processes."""

from __future__ import annotations

from benchmarks.results.index import Index
from benchmarks.results.leases import Lease, is_same_job
from benchmarks.results.row import Status
from benchmarks.results.store import Store
from benchmarks.system.processes import this_process


def unfinished_run(
    store: Store, index: Index, fingerprints: list[str], since: str = ""
) -> str | None:
    """Return the id of an unfinished run after `since` that no live process works on, or None."""
    me = this_process()
    leases = (lease for fingerprint in fingerprints for lease in store.leases.of(fingerprint))
    for lease in leases:
        if lease.run_id <= since:
            continue
        is_mine = lease.process == me or is_same_job(lease.process, me)
        if not is_mine and store.leases.is_live(lease):
            if lease.key in fingerprints:
                return None
        elif lease.run_id not in index.entries:
            return lease.run_id
    latest = index.latest(fingerprints)
    if latest is None or latest.status == Status.OK or latest.run_id <= since:
        return None
    has_checkpoint = store.run(latest.run_id).checkpoint.exists()
    return latest.run_id if latest.status.is_resumable or has_checkpoint else None


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

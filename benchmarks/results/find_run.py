"""Where a finished run lies, by whatever it is called; a slip is answered without torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.errors import UserError, nearest
from benchmarks.results.row import Status
from benchmarks.results.run_folder import ROW
from benchmarks.results.store import Store

LATEST = "latest"


def find_run(name: str, results: Path) -> Path:
    """Return the folder of a run.

    Args:
        name: its folder, its id, how that begins, or `latest` for the latest that ended well.
        results: the results folder.

    Raises:
        UserError: there is none, or more than one.
    """
    if not name:
        raise UserError(f"RUN is empty (allowed: a run's id, how it begins, its folder, {LATEST})")
    path = Path(name)
    if (path / ROW).is_file():
        return path
    store = Store(results)
    ids = ended(store.runs)
    if is_path(name):
        raise UserError(no_run_at(path, ids))
    if name == LATEST and ids:
        if (found := latest(store, ids)) is None:
            raise UserError(f"{name}: no run in {store.runs} has ended well with a network")
        return store.runs / found
    alike = [run_id for run_id in ids if run_id.startswith(name)]
    if name in alike or len(alike) == 1:
        return store.runs / (name if name in alike else alike[0])
    if alike:
        raise UserError(f"{name}: {len(alike)} runs begin like this, {alike[0]} and {alike[1]}, …")
    for other in (store.runs / name, path):
        if other.exists():
            raise UserError(no_run_at(other, ids))
    if not ids:
        raise UserError(f"{name}: {no_runs_in(store)}")
    hint = nearest(name, [LATEST, *ids])
    if not hint and (found := latest(store, ids)) is not None:
        hint = f" ({LATEST} is {found})"
    raise UserError(f"{name}: there is no such run in {store.runs}{hint}")


def is_path(name: str) -> bool:
    """Whether a name can be nothing but a path."""
    return name in (os.curdir, os.pardir) or any(mark in name for mark in ("/", os.sep))


def ended(folder: Path) -> list[str]:
    """Ids of the runs in a folder that have a row, in order of time."""
    return sorted(path.parent.name for path in folder.glob(f"*/{ROW}"))


def latest(store: Store, ids: Sequence[str]) -> str | None:
    """Which of the runs was the last that ended well with a network."""
    rows = ((run_id, store.row(run_id) or {}) for run_id in reversed(ids))
    return next(
        (i for i, row in rows if row.get("status") == Status.OK and not row["baseline"]), None
    )


def no_runs_in(store: Store) -> str:
    """Say why a results folder has no run, and where there may be some."""
    if ended(store.directory):
        return f"{store.directory} is a folder of runs; use --results {store.directory.parent}"
    if not store.directory.is_dir():
        return f"there is no folder {store.directory} of results (another: --results DIR)"
    return f"there are no runs in {store.runs} (another folder: --results DIR)"


def no_run_at(path: Path, ids: Sequence[str]) -> str:
    """Say why a path leads to no finished run, and what may have been meant.

    Args:
        path: without a row.
        ids: of the runs in the results folder.
    """
    if (path / "runs").is_dir():
        return f"{path}: is a folder of results, not a run's; use {LATEST} --results {path}"
    what = f"has no {ROW}: it is not a run's folder, or its run has not ended"
    if not path.is_dir():
        what = "is a file, not a run's folder" if path.exists() else "there is no such folder"
    if (path.parent / ROW).is_file():
        return f"{path}: {what}; did you mean {path.parent}?"
    inside = ended(path)
    if inside:
        return f"{path}: is a folder of runs; did you mean {path / inside[-1]}?"
    return f"{path}: {what}{nearest(path.name, ended(path.parent) or ids)}"

"""Find the folder of a finished run by its id, a prefix of it, its path, `latest` or `best`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError, nearest
from benchmarks.results.row import Status
from benchmarks.results.run_folder import ROW
from benchmarks.results.store import Store

LATEST, BEST = "latest", "best"
SAME = ("task", "metric", "dataset", "dataset_sha256")  # of runs whose scores `best` compares


def find_run(name: str, results: Path) -> Path:
    """Find the folder of a run by path, id, prefix of the id, `latest` or `best`.

    For the last two the run is printed on standard error, as standard output may be a table.

    Raises:
        UserError: there is no such run.
    """
    if not name:
        raise UserError(
            f"RUN is empty (allowed: a run's id, a prefix of it, its folder, {LATEST}, {BEST})"
        )
    path = Path(name)
    if (path / ROW).is_file():
        return path
    store = Store(results)
    ids = finished_ids(store.runs)
    if name in (os.curdir, os.pardir) or any(mark in name for mark in ("/", os.sep)):
        raise UserError(no_run_at(path, ids))
    if name in (LATEST, BEST) and ids:
        found = best(store, ids) if name == BEST else latest(store, ids)
        if found is None:
            raise UserError(f"{name}: no run of a network in {store.runs} has the status ok")
        print(f"note: {name} is {described(found, store.row(found) or {})}", file=sys.stderr)
        return store.runs / found
    matches = [run_id for run_id in ids if run_id.startswith(name)]
    if name in matches or len(matches) == 1:
        return store.runs / (name if name in matches else matches[0])
    if matches:
        examples = ", ".join(matches[:2])
        raise UserError(f"{name}: {len(matches)} runs have this prefix: {examples}, …")
    for other in (store.runs / name, path):
        if other.exists():
            raise UserError(no_run_at(other, ids))
    if not ids:
        raise UserError(f"{name}: {no_runs_in(store)}")
    hint = nearest(name, [LATEST, BEST, *ids])
    if not hint and (found := latest(store, ids)) is not None:
        hint = f" ({LATEST} is {found})"
    raise UserError(f"{name}: there is no such run in {store.runs}{hint}")


def described(run_id: str, row: Mapping[str, Any]) -> str:
    """Return a run in words: its id, model, data and score."""
    score = row.get("test_score")
    shown = "" if score is None else f", test {row.get('metric')} {score:.4g}"
    return f"{run_id}: {row.get('model')} on {row.get('task')} ({row.get('dataset')}){shown}"


def finished_ids(folder: Path) -> list[str]:
    """Return the ids of the runs in a folder that have a row, ordered by time."""
    return sorted(path.parent.name for path in folder.glob(f"*/{ROW}"))


def latest(store: Store, ids: Sequence[str]) -> str | None:
    """Return the latest of the runs with a network and the status `ok`."""
    return next((run_id for run_id in reversed(ids) if has_network(store.row(run_id) or {})), None)


def best(store: Store, ids: Sequence[str]) -> str | None:
    """Return the network with the best validation score on the task and data of the latest one."""
    rows = {run_id: row for run_id in ids if has_network(row := store.row(run_id) or {})}
    if not rows:
        return None
    last = [*rows][-1]
    same = {
        run_id: row["val_score"] * (1 if row["higher_is_better"] else -1)
        for run_id, row in rows.items()
        if all(row.get(name) == rows[last].get(name) for name in SAME)
        and row.get("val_score") is not None
    }
    return max(same, key=lambda run_id: same[run_id], default=last)


def has_network(row: Mapping[str, Any]) -> bool:
    """Return True for the row of a network, not an ensemble, with the status `ok`."""
    return (
        bool(row) and row["status"] == Status.OK and not row["baseline"] and not row.get("members")
    )


def no_runs_in(store: Store) -> str:
    """Return the message for a results folder without runs."""
    if finished_ids(store.directory):
        return f"{store.directory} is a folder of runs; use --results {store.directory.parent}"
    if not store.directory.is_dir():
        return f"there is no folder {store.directory} of results (another: --results DIR)"
    return f"there are no runs in {store.runs} (another folder: --results DIR)"


def no_run_at(path: Path, ids: Sequence[str]) -> str:
    """Return the message for a path without a row, with the most similar run."""
    if (path / "runs").is_dir():
        return f"{path}: is a results folder, not that of a run; use {LATEST} --results {path}"
    problem = f"has no {ROW}: it is not the folder of a run, or its run has not ended"
    if not path.is_dir():
        is_file = path.exists()
        problem = "is a file, not the folder of a run" if is_file else "there is no such folder"
    if (path.parent / ROW).is_file():
        return f"{path}: {problem}; did you mean {path.parent}?"
    inside = finished_ids(path)
    if inside:
        return f"{path}: is a folder of runs; did you mean {path / inside[-1]}?"
    return f"{path}: {problem}{nearest(path.name, finished_ids(path.parent) or ids)}"

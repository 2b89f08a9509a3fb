"""SIGTERM and SIGINT end runs and sweeps cleanly: checkpoint, `interrupted` row, exit code 130."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.faulty import (
    ALWAYS,
    FaultTable,
    checkpoints,
    ended,
    finished_rows,
    interrupt,
    is_complete,
    places_of,
    rows_of,
    started,
    untrue_lines,
    wrong_results,
)
from tests.helpers.halting import Halt, go_on, wait_until
from tests.helpers.warm import WarmStarts

SIGNALS = ("SIGTERM", "SIGINT")
LONGER = "train.max_epochs=10"


@pytest.mark.parametrize("name", SIGNALS)
def test_a_run_ends_cleanly_and_resumes(
    warm: WarmStarts, small: list[str], faults: FaultTable, tmp_path: Path, name: str
) -> None:
    """From the very step where it ended, though its last checkpoint in training was older."""
    fault, folder = faults(f"{name} of a run"), tmp_path / "results"
    command = [part for part in small if part != ALWAYS]
    command += ["train.max_epochs=50", "train.checkpoint_seconds=0.2"]
    assert warm.run(command, tmp_path / "right").code == 0
    halt = Halt(tmp_path / "halt", cpu_seconds=0.05)  # so that it stops between two checkpoints
    with started([*command, f"results_dir={folder}"], tmp_path, halt=halt) as run:
        halted = halt.wait(run.process)
        interrupt(run.process, name)
        go_on(halted)
        fault.injected += 1
        assert run.end() == 130, run.errors
    ((run_id, row),) = rows_of(folder).items()
    assert (row["status"], row["error"]) == ("interrupted", f"KeyboardInterrupt: {name}")
    assert row["steps"] >= 1
    assert is_complete(folder)
    assert len(checkpoints(folder)) == 1
    assert not list((folder / "running").glob("*.json"))
    assert "Traceback" not in run.errors
    assert "re-running the same command resumes from the checkpoint" in run.errors
    again = warm.run(command, folder)
    assert again.code == 0, again.errors
    assert f"resuming {run_id} from step {row['steps']} of 700" in again.output
    (row,) = rows_of(folder).values()
    assert (row["run_id"], row["status"], row["starts"]) == (run_id, "ok", 2)
    assert is_complete(folder)
    assert not checkpoints(folder)
    fault.nothing_wrong(wrong_results(folder, tmp_path / "right"))


@pytest.mark.parametrize("name", SIGNALS)
def test_a_run_signalled_at_any_step_on_the_disk(
    warm: WarmStarts,
    small: list[str],
    faults: FaultTable,
    tmp_path: Path,
    name: str,
) -> None:
    """In a checkpoint, in the row, in the view: never half of one, and never a traceback."""
    fault = faults(f"{name} of a run, each file-system step")
    command = [*small, "train.max_steps=2"]
    undisturbed = warm.run(command, tmp_path / "right", place=0)
    codes = set()
    for place in places_of(len(undisturbed.calls), short_stride=8):
        folder = tmp_path / f"at-{place}"
        hit = warm.run(command, folder, place=place, act=name)
        codes.add(hit.code)
        fault.injected += 1
        assert "Traceback" not in hit.errors
        assert not list((folder / "running").glob("*.json")) or not rows_of(folder)
        for row in rows_of(folder).values():
            assert row["status"] == ("ok" if hit.code == 0 else "interrupted"), hit.errors
            assert is_complete(folder)
            if row["status"] == "interrupted" and row["steps"]:
                assert len(checkpoints(folder)) == 1
        # Before anything is written, a process may still end by the signal itself.
        assert hit.code in (0, 130) or not list(folder.glob("runs/*")), hit.errors
        last = warm.run(command, folder)
        assert last.code == 0, last.errors
        fault.nothing_wrong(wrong_results(folder, tmp_path / "right"))
        assert finished_rows(folder)
        assert is_complete(folder)
    assert 130 in codes


@pytest.mark.parametrize("name", SIGNALS)
def test_a_local_sweep_ends_cleanly_and_resumes(
    warm: WarmStarts, small: list[str], faults: FaultTable, tmp_path: Path, name: str
) -> None:
    """Those in training are interrupted, those not begun leave nothing; then all of them end."""
    fault, folder = faults(f"{name} of a local sweep"), tmp_path / "results"
    axes = [*small, LONGER, "seed=0,1,2"]
    assert warm.run(["-m", *axes], tmp_path / "right").code == 0
    jobs = ["hydra/launcher=local", "hydra.launcher.jobs=2"]
    command = ["-m", *jobs, *axes, f"results_dir={folder}"]
    halt = Halt(tmp_path / "halt")
    with started(command, tmp_path, halt=halt) as run:
        halted = halt.wait(run.process)
        interrupt(run.process, name)
        go_on(halted)
        fault.injected += 1
        assert run.end() == 130, run.errors
        wait_until(run.no_process_is_left, "the end of every process")
    rows = rows_of(folder)
    cut_short = [key for key, row in rows.items() if row["status"] == "interrupted"]
    assert cut_short
    assert {row["status"] for row in rows.values()} <= {"ok", "interrupted"}
    assert {file.parent.name for file in checkpoints(folder)} <= set(cut_short)
    assert checkpoints(folder)
    assert is_complete(folder)
    assert not list((folder / "running").glob("*.json"))
    assert f"interrupted ({name}); run the same command to resume" in run.errors
    assert "Traceback" not in run.errors + run.output
    before = finished_rows(folder)
    again = ended(command, tmp_path)
    assert "3 of 3 cells: 3 ok" in again.output
    fault.nothing_lost(before, folder)
    assert len(rows_of(folder)) == 3
    assert is_complete(folder)
    fault.nothing_wrong(wrong_results(folder, tmp_path / "right"))


@pytest.mark.parametrize("name", SIGNALS)
def test_a_basic_sweep_signalled_at_any_step_on_the_disk(
    warm: WarmStarts, small: list[str], faults: FaultTable, tmp_path: Path, name: str
) -> None:
    """Within a cell and between two: it ends, and no cell that had not begun has a row."""
    fault = faults(f"{name} of a basic sweep, each file-system step")
    command = ["-m", *small, "train.max_steps=1", "seed=0,1"]
    undisturbed = warm.run(command, tmp_path / "right", place=0)
    assert undisturbed.code == 0, undisturbed.errors
    codes = set()
    for place in places_of(len(undisturbed.calls), short_stride=9):
        folder = tmp_path / f"at-{place}"
        hit = warm.run(command, folder, place=place, act=name)
        codes.add(hit.code)
        fault.injected += 1
        assert "Traceback" not in hit.errors + hit.output
        before, statuses = finished_rows(folder), [r["status"] for r in rows_of(folder).values()]
        assert not set(statuses) - {"ok", "interrupted"}
        # A signal that finds all of the work done changes nothing; before it, it ends the process.
        assert hit.code == 130 or (hit.code == 0 and statuses == ["ok"] * 2) or not statuses
        fault.nothing_wrong(untrue_lines(folder))
        again = warm.run(command, folder)
        assert again.code == 0, again.output + again.errors
        fault.nothing_lost(before, folder)
        assert len(finished_rows(folder)) == len(rows_of(folder)) == 2
        assert is_complete(folder)
        assert not list((folder / "running").glob("*.json"))
        fault.nothing_wrong(wrong_results(folder, tmp_path / "right"))
    assert 130 in codes

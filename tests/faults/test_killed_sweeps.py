"""SIGKILL of a sweep's launcher, of all its processes and of one cell; a crash of one cell.

Afterwards the same command ends with the table of a sweep that nobody disturbed.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.helpers.faulty import (
    ROUNDS,
    FaultTable,
    checkpoints,
    ended,
    finished_rows,
    is_complete,
    places_of,
    rows_of,
    started,
    untrue_lines,
    wrong_results,
)
from tests.helpers.halting import Halt, go_on, wait_until
from tests.helpers.warm import WarmStarts

LOCAL = ["-m", "hydra/launcher=local", "hydra.launcher.jobs=2"]
AXES = ["model=rnn,lstm,gru", f"seed={'range(0,12)' if ROUNDS else '0,1,2'}"]
CELLS = 36 if ROUNDS else 9
LONG = ["train.max_epochs=2000", "train.patience=null"]
CHANCE = random.Random(20240608)


@pytest.fixture(scope="module")
def sweep(small: list[str]) -> list[str]:
    """The command line of a local sweep of small runs."""
    return [*LOCAL, *small, *AXES]


@pytest.fixture(scope="module")
def undisturbed(
    warm: WarmStarts, small: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The results folder of the sweep, run in one go in one process."""
    place = tmp_path_factory.mktemp("undisturbed-sweep")
    assert warm.run(["-m", *small, *AXES], place / "results").code == 0
    assert len(finished_rows(place / "results")) == len(rows_of(place / "results")) == CELLS
    return place / "results"


def test_every_process_killed_at_three_moments(
    sweep: list[str], undisturbed: Path, faults: FaultTable, tmp_path: Path
) -> None:
    """All at once, as a power cut would; each cell has one row in the end.

    One cell halts in training, so that the sweep cannot end before it is killed.
    """
    fault, folder = faults("SIGKILL of all of a sweep's processes"), tmp_path / "results"
    command = [*sweep, f"results_dir={folder}"]
    for share in (0.15, 0.45, 0.8):
        before = finished_rows(folder)
        wanted = int(share * CELLS * CHANCE.uniform(0.7, 1.2))
        wanted = max(len(before), min(wanted, CELLS - 1))
        halt = Halt(tmp_path / f"halt-{share}", number=CHANCE.randint(1, 4))
        with started(command, tmp_path, halt=halt) as run:
            halt.wait(run.process)
            wait_until(lambda n=wanted: len(finished_rows(folder)) >= n, "rows")
            assert run.cells()
            time.sleep(CHANCE.uniform(0, 1.5))
            before = finished_rows(folder)
            run.kill_everything()
        fault.injected += 1
        fault.nothing_lost(before, folder)
        fault.nothing_wrong(untrue_lines(folder))
    again = ended(command, tmp_path)
    assert f"{CELLS} of {CELLS} cells: {CELLS} ok" in again.output
    assert len(rows_of(folder)) == CELLS
    assert is_complete(folder)
    fault.nothing_wrong(wrong_results(folder, undisturbed))


def test_the_launcher_killed_alone(
    sweep: list[str], undisturbed: Path, faults: FaultTable, tmp_path: Path
) -> None:
    """Its cells save themselves and end with it; nothing runs on unseen."""
    fault, folder = faults("SIGKILL of a sweep's launcher"), tmp_path / "results"
    command = [*sweep, f"results_dir={folder}"]
    halt = Halt(tmp_path / "halt", rows=1)
    with started(command, tmp_path, halt=halt) as run:
        halted = halt.wait(run.process)
        before = finished_rows(folder)
        assert before
        run.process.kill()
        fault.injected += 1
        go_on(halted)
        wait_until(run.no_process_is_left, "the end of every process")
    fault.nothing_lost(before, folder)
    fault.nothing_wrong(untrue_lines(folder))
    again = ended(command, tmp_path)
    assert f"{CELLS} of {CELLS} cells: {CELLS} ok" in again.output
    assert len(finished_rows(folder)) == len(rows_of(folder)) == CELLS
    fault.nothing_wrong(wrong_results(folder, undisturbed))


def test_cells_in_training_save_themselves_when_the_launcher_is_killed(
    small: list[str], faults: FaultTable, tmp_path: Path
) -> None:
    """Too long to end by themselves: each leaves an `interrupted` row and a checkpoint."""
    fault, folder = faults("SIGKILL of a sweep's launcher"), tmp_path / "results"
    command = [*LOCAL, *small, *LONG, "seed=0,1", f"results_dir={folder}"]
    with started(command, tmp_path) as run:
        wait_until(lambda: len(checkpoints(folder)) == 2, "two cells in training")
        run.process.kill()
        fault.injected += 1
        wait_until(run.no_process_is_left, "the end of every process")
    assert [row["status"] for row in rows_of(folder).values()] == ["interrupted"] * 2
    assert len(checkpoints(folder)) == 2
    assert not list((folder / "running").glob("*.json"))


@pytest.mark.parametrize(
    ("name", "status"), [("SIGKILL", "interrupted"), ("SIGSEGV", "failed")], ids=str
)
def test_one_cell_dies(
    warm: WarmStarts,
    small: list[str],
    faults: FaultTable,
    tmp_path: Path,
    name: str,
    status: str,
) -> None:
    """It has a row that says how, and where its log is; the others end; then it is run again."""
    fault, folder = faults(f"{name} of a sweep's cell"), tmp_path / "results"
    axes = [*small, "train.max_epochs=10", "model=rnn,lstm,gru"]
    command = [*LOCAL, *axes, f"results_dir={folder}"]
    assert warm.run(["-m", *axes], tmp_path / "right").code == 0
    halt = Halt(tmp_path / "halt", number=2)
    with started(command, tmp_path, halt=halt) as run:
        victim = halt.wait(run.process)
        os.kill(victim, signal.Signals[name])
        go_on(victim)
        fault.injected += 1
        assert run.end() == 1, run.output
        wait_until(run.no_process_is_left, "the end of every process")
    rows = rows_of(folder)
    fault.lost += 3 - len(rows)
    (dead,) = (row for row in rows.values() if row["status"] != "ok")
    assert (len(rows), dead["status"]) == (3, status)
    assert f"killed by {name}" in dead["error"]
    assert is_complete(folder)
    (told,) = (line for line in run.output.splitlines() if line.strip().startswith("log: "))
    log = Path(told.partition("log: ")[2])
    assert log.name.endswith(f"model={dead['model']}.log")
    assert f"{dead['model']} on sp500, seed 0" in log.read_text()
    before = finished_rows(folder)
    again = ended(command, tmp_path)
    assert "3 of 3 cells: 3 ok (2 already finished)" in again.output
    assert "resuming" in log.read_text()
    fault.nothing_lost(before, folder)
    fault.nothing_wrong(wrong_results(folder, tmp_path / "right"))


def test_a_sweep_in_one_process_killed_before_every_step_on_the_disk(
    warm: WarmStarts, small: list[str], faults: FaultTable, tmp_path: Path
) -> None:
    """The basic launcher: the sweep's own files and its index besides its two cells'."""
    fault = faults("SIGKILL of a basic sweep, each file-system step")
    command = ["-m", *small, "train.max_steps=1", "seed=0,1"]
    undisturbed = warm.run(command, tmp_path / "right", place=0)
    assert undisturbed.code == 0, undisturbed.errors
    names = " ".join(undisturbed.calls)
    for part in (".cells.jsonl", ".sweep.json", "..index.jsonl", ".results.csv"):
        assert f"/{part}" in names
    for place in places_of(len(undisturbed.calls), short_stride=12):
        folder = tmp_path / f"at-{place}"
        killed = warm.run(command, folder, place=place, act="SIGKILL")
        assert killed.was_killed, killed.errors
        fault.injected += 1
        before = finished_rows(folder)
        fault.nothing_wrong(untrue_lines(folder))
        last = warm.run(command, folder)
        assert last.code == 0, last.output + last.errors
        fault.nothing_lost(before, folder)
        assert len(rows_of(folder)) == 2
        assert is_complete(folder)
        assert not checkpoints(folder)
        fault.nothing_wrong(wrong_results(folder, tmp_path / "right"))

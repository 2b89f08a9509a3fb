"""SIGKILL and signals during multi-seed training: each seed resumes, in a group or alone.

The numbers are those of undisturbed single runs to rounding: going on alone rounds otherwise.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from models.kernels.compiler import unavailable_reason
from tests.helpers.faulty import (
    Fault,
    FaultTable,
    checkpoints,
    ended,
    finished_rows,
    is_complete,
    places_of,
    rows_of,
    started,
    untrue_lines,
)
from tests.helpers.halting import Halt, go_on, wait_until
from tests.helpers.warm import WarmStarts

pytestmark = pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))

TOGETHER, ALONE = ["-m", "seeds=[0,1,2]"], ["-m", "seed=0,1,2"]
LONG = ["train.max_epochs=80", "train.patience=null", "train.checkpoint_seconds=0.1"]
"""Time enough to meet a run in training."""

Scores = dict[int, float]


def scores(rows: dict[str, dict[str, Any]]) -> Scores:
    return {row["seed"]: row["test_score"] for row in rows.values()}


@pytest.fixture(scope="module")
def singly(warm: WarmStarts, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """Return the results of the seeds alone, without faults."""
    folder = tmp_path_factory.mktemp("singly") / "results"
    done = warm.run([*small, *ALONE], folder)
    assert done.code == 0, done.errors
    return scores(finished_rows(folder))


def check_end(fault: Fault, folder: Path, before: dict[str, dict[str, Any]], right: Scores) -> None:
    """Nothing is lost, every seed has one row, and the right score in it."""
    fault.nothing_lost(before, folder)
    rows = finished_rows(folder)
    found = scores(rows)
    assert sorted(found) == sorted(right) == sorted(row["seed"] for row in rows.values())
    fault.nothing_wrong([s for s in right if abs(found[s] - right[s]) > 1e-4])
    assert is_complete(folder)
    assert not list((folder / "running").glob("*.json"))
    assert not checkpoints(folder)


@pytest.mark.parametrize("again", [TOGETHER, ALONE], ids=["together", "alone"])
def test_killed_before_steps_on_the_disk(
    again: list[str],
    warm: WarmStarts,
    small: list[str],
    singly: Scores,
    faults: FaultTable,
    tmp_path: Path,
) -> None:
    """Also between the checkpoints of two seeds, which are then at different steps."""
    fault = faults("SIGKILL of multi-seed training")
    command = [*small, *TOGETHER]
    whole = warm.run(command, tmp_path / "whole", place=0)
    assert whole.code == 0, whole.errors
    assert {row["trained_together"] for row in rows_of(tmp_path / "whole").values()} == {3}
    went_on = 0
    for place in places_of(len(whole.calls), short_stride=max(1, len(whole.calls) // 4)):
        folder = tmp_path / f"at-{place}"
        killed = warm.run(command, folder, place=place, act="SIGKILL")
        assert killed.was_killed, killed.errors
        fault.injected += 1
        fault.nothing_wrong(untrue_lines(folder))
        before = finished_rows(folder)
        went_on += len(checkpoints(folder))
        last = warm.run([*small, *again], folder)
        assert last.code == 0, last.errors
        check_end(fault, folder, before, singly)
    assert went_on, "no kill came after a checkpoint"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_saves_all_seeds_and_the_same_command_resumes(
    name: str, small: list[str], faults: FaultTable, tmp_path: Path
) -> None:
    fault, folder = faults(f"{name} to multi-seed training"), tmp_path / "results"
    command = [*small, *LONG, "seeds=[0,1,2]", f"results_dir={folder}"]
    halt = Halt(tmp_path / "halt", number=3)
    with started(command, tmp_path, halt=halt) as run:
        halted = halt.wait(run.process)
        assert len(checkpoints(folder)) == 3
        os.kill(run.process.pid, signal.Signals[name])
        go_on(halted)
        assert run.end() == 130
        assert "re-running the same command resumes from the checkpoints" in run.errors
    fault.injected += 1
    cut_short = rows_of(folder)
    assert [row["status"] for row in cut_short.values()] == ["interrupted"] * 3
    assert {row["train_seconds"] for row in cut_short.values()} == {None}
    done = ended(command, tmp_path)
    assert done.output.count("resuming") == 3
    after = rows_of(folder)
    assert after.keys() == cut_short.keys()
    assert {(row["status"], row["starts"]) for row in after.values()} == {("ok", 2)}
    assert not checkpoints(folder)


def test_a_second_process_skips_running_seeds(
    small: list[str], shared_cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    long = [*LONG, f"results_dir={folder}"]
    halt = Halt(tmp_path / "halt", number=3)
    others = [*small, *long, "-m", "seeds=[2,3,4]"]
    with started([*small, *long, "-m", "seeds=[0,1,2]"], tmp_path / "a", halt=halt) as first:
        halted = halt.wait(first.process)
        with started(others, tmp_path / "b") as second:
            leases = folder / "running"
            wait_until(lambda: len([*leases.glob("*.json")]) == 5, "the second takes what is left")
            go_on(halted)
            assert second.end() == 0, second.errors
        assert first.end() == 0
    assert "3 of 3 cells: 3 ok" in second.output
    rows = finished_rows(folder)
    assert sorted(row["seed"] for row in rows.values()) == [0, 1, 2, 3, 4]
    together = {row["seed"]: row["trained_together"] for row in rows.values()}
    assert together == {0: 3, 1: 3, 2: 3, 3: 2, 4: 2}

"""SIGKILL of a single run, at any moment and before every step it takes on the disk.

After every kill each row finished before is there as it was, no row and no line is there in part,
and the same command ends with exactly the numbers, weights and learning curve of a run that nobody
disturbed. `RNNBENCH_FAULTS=200` makes 200 kills at random moments and tries every single step.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from tests.helpers.faulty import (
    ROUNDS,
    Fault,
    FaultTable,
    Numbers,
    checkpoints,
    differences,
    ended,
    finished_rows,
    is_complete,
    numbers_of,
    places_of,
    rows_of,
    started,
    table_lines,
    untrue_lines,
)
from tests.helpers.warm import WarmStarts

KILLS = ROUNDS or 15
COLD_KILLS = max(2, ROUNDS // 10)
CHANCE = random.Random(20240607)


def check_after_kill(fault: Fault, folder: Path, before: dict[str, dict[str, object]]) -> None:
    """Nothing is lost and nothing there in part. Only finished rows are written here, so no line
    of the table may differ from its row, and none of the rows of `before` may be missing in it."""
    fault.injected += 1
    fault.nothing_lost(before, folder)
    fault.nothing_wrong(untrue_lines(folder))


def check_end(fault: Fault, folder: Path, before: set[str], right: Numbers) -> None:
    """The runs that ended since came to the right numbers, and the table shows every row."""
    new = finished_rows(folder).keys() - before
    assert new
    for run_id in new:
        fault.nothing_wrong(differences(numbers_of(folder, run_id), right))
    assert is_complete(folder)
    assert not list((folder / "running").glob("*.json"))
    assert not checkpoints(folder)
    assert not list(folder.glob("runs/*/*.unusable-*"))


def test_killed_at_random_moments(
    warm: WarmStarts, small: list[str], right: Numbers, faults: FaultTable, tmp_path: Path
) -> None:
    """One results folder for all, some runs killed several times before they may end.

    The life of the last run that ended sets the range of the moments, as the load may change.
    """
    fault, folder = faults("SIGKILL of a run, any moment"), tmp_path / "results"
    life = warm.run([*small, "seed=1"], folder).seconds
    kept, kills, went_on = set(finished_rows(folder)), 0, 0
    while kills < KILLS or not went_on:
        before = finished_rows(folder)
        done = warm.run(small, folder, life=CHANCE.uniform(0, 1.05 * life))
        if done.was_killed:
            kills += 1
            check_after_kill(fault, folder, before)
            if CHANCE.random() < 0.3:
                continue  # and kill the resumed run
        else:
            assert done.code == 0, done.errors
        last = warm.run(small, folder)
        assert last.code == 0, last.errors
        if "resuming" in last.output:
            went_on += 1
        else:
            life = last.seconds
        check_end(fault, folder, kept, right)
        kept = set(finished_rows(folder))
    assert all(row["status"] == "ok" for row in rows_of(folder).values())


def test_killed_as_users_start_it(
    small: list[str], right: Numbers, faults: FaultTable, tmp_path: Path
) -> None:
    """The same, including the start of the interpreter."""
    fault, folder = faults("SIGKILL of a run, cold start"), tmp_path / "results"
    command = [*small, f"results_dir={folder}"]
    beginning = time.monotonic()
    ended([*small, "seed=1", f"results_dir={folder}"], tmp_path)
    life = time.monotonic() - beginning
    for number in range(COLD_KILLS):
        before = finished_rows(folder)
        with started(command, tmp_path) as run:
            # The first half of a life is imports; the last kill comes late.
            time.sleep(life * CHANCE.uniform(0.5 if number % 2 else 0.1, 1.0))
            run.kill_everything()
        check_after_kill(fault, folder, before)
        ended(command, tmp_path)
        check_end(fault, folder, set(before), right)


@pytest.mark.parametrize("start", ["first", "second"])
def test_killed_before_every_step_on_the_disk(
    warm: WarmStarts, small: list[str], faults: FaultTable, tmp_path: Path, start: str
) -> None:
    """Lease, configuration, checkpoints, history, weights, row, view: each call in its turn.

    The second start goes on from a checkpoint, with a dead process's lease to take over.
    """
    fault = faults(f"SIGKILL of a run's {start} start, each file-system step")
    command = [*small, "train.max_steps=3"]
    whole = warm.run(command, tmp_path / "right", place=0)
    assert whole.code == 0, whole.errors
    (run_id,) = rows_of(tmp_path / "right")
    right = numbers_of(tmp_path / "right", run_id)
    prepared = tmp_path / "prepared"
    assert warm.run([*command, "seed=1"], prepared).code == 0
    before = finished_rows(prepared)
    if start == "second":
        (second_step,) = [n for n, call in enumerate(whole.calls) if is_draft(call, "checkpoint")][
            1:2
        ]
        assert warm.run(command, prepared, place=second_step, act="SIGKILL").was_killed
    rehearsal = Path(shutil.copytree(prepared, tmp_path / "rehearsal"))
    calls = warm.run(command, rehearsal, place=0).calls
    parts = ("checkpoint", "history", "weights", "row.json", "results.csv")
    assert all(any(is_draft(call, part) for call in calls) for part in parts)
    for place in places_of(len(calls), short_stride=4):
        folder = Path(shutil.copytree(prepared, tmp_path / f"at-{place}"))
        killed = warm.run(command, folder, place=place, act="SIGKILL")
        assert killed.was_killed, killed.errors
        check_after_kill(fault, folder, before)
        assert table_lines(folder).keys() >= before.keys()
        last = warm.run(command, folder)
        assert last.code == 0, last.errors
        check_end(fault, folder, set(before), right)
        shutil.rmtree(folder)


@pytest.mark.parametrize("place", range(1, 6))
def test_killed_before_every_step_of_a_heartbeat(
    place: int,
    warm: WarmStarts,
    small: list[str],
    right: Numbers,
    faults: FaultTable,
    tmp_path: Path,
) -> None:
    """The thread that renews the lease is killed in it, while the training has a checkpoint."""
    fault, folder = faults("SIGKILL of a run, each step of a heartbeat"), tmp_path / "results"
    killed = warm.run(small, folder, place=place, act="SIGKILL", heartbeat=True)
    assert killed.was_killed, killed.errors
    assert "/running/" in killed.calls[0]
    assert len(killed.calls) == place
    check_after_kill(fault, folder, {})
    last = warm.run(small, folder)
    assert last.code == 0, last.errors
    assert "resuming" in last.output
    check_end(fault, folder, set(), right)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["seed=1"], ["seed=1"]),
        (["seed=1"], ["seed=1", "resume=never"]),
        (["-m", "seed=0,1"], ["-m", "seed=0,1"]),
        (["-m", "seeds=[0,1]"], ["-m", "seeds=[0,1]"]),
        (["-m", "seeds=[0,1]"], ["seeds=[0,1]"]),
        (["-m", "seed=0,1"], ["-m", "seed=1"]),
    ],
    ids=["run", "run anew", "sweep", "together", "together anew", "sweep of some"],
)
def test_killed_between_a_row_and_the_end_of_its_checkpoint(
    first: list[str],
    second: list[str],
    warm: WarmStarts,
    small: list[str],
    faults: FaultTable,
    tmp_path: Path,
) -> None:
    """No run resumes from such a checkpoint, so the next start removes it with the dead lease."""
    fault, folder = faults("SIGKILL before a checkpoint's end"), tmp_path / "results"
    command = [*small, "train.max_steps=2", *first]
    calls = warm.run(command, tmp_path / "rehearsal", place=0).calls
    ends = [n for n, call in enumerate(calls, 1) if is_end_of_checkpoint(call)]
    assert warm.run(command, folder, place=ends[-1], act="SIGKILL").was_killed
    before = finished_rows(folder)
    assert len(checkpoints(folder)) == 1
    check_after_kill(fault, folder, before)
    last = warm.run([*small, "train.max_steps=2", *second], folder)
    assert last.code == 0, last.errors
    fault.nothing_lost(before, folder)
    assert not checkpoints(folder)
    assert not list((folder / "running").glob("*.json"))


def is_end_of_checkpoint(call: str) -> bool:
    """Check that a call removes a checkpoint."""
    return call.startswith("unlink ") and call.endswith("/checkpoint.safetensors")


def is_draft(call: str, part: str) -> bool:
    """Check that a call opens the draft of a file."""
    return call.startswith("open ") and f"/.{part}" in call

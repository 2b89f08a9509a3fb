"""A disk that fills up while a run writes: a tmpfs of one MiB, really mounted and really full.

Before each step that a run takes on the disk, another file takes all the space that is left. The
answer is one clear line, what was finished is untouched, and once there is space again the same
command ends with the right numbers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.faulty import (
    Fault,
    FaultTable,
    checkpoints,
    finished_rows,
    is_complete,
    places_of,
    rows_of,
    started,
    untrue_lines,
    wrong_results,
)
from tests.helpers.halting import Halt, go_on, wait_until
from tests.helpers.warm import Ended, WarmStarts
from tests.helpers.warm_server import fill

BEAT_CALLS = 5
"""File-system steps of a heartbeat: three for the draft of the lease, two for its folder."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small file system."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    options = ["-t", "tmpfs", "-o", "size=1m,nr_inodes=4k"]
    done = subprocess.run(
        [mount, *options, "tmpfs", str(place)], capture_output=True, text=True, timeout=60
    )
    if done.returncode != 0:
        pytest.skip(f"a small tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True, timeout=60)


def check_answer(done: Ended) -> None:
    """Check for one line with the error, or a run that succeeded anyway."""
    lines = [line for line in done.errors.splitlines() if not line.startswith("epoch ")]
    if done.code == 0:
        assert not lines
        return
    assert done.code == 2, done.errors
    (line,) = lines
    assert line.startswith("error: ")
    assert "No space left on device" in line


def check_rerun(
    warm: WarmStarts, command: list[str], fault: Fault, folder: Path, right: Path
) -> bool:
    """Check that the command ends well now that there is space; return whether it had a checkpoint.

    A run that has kept both its row and a checkpoint continues under its id. Any other run has a
    new row in the end.
    """
    rows, had_checkpoint = rows_of(folder), bool(checkpoints(folder))
    cut_short = [row for row in rows.values() if row["status"] != "ok"]
    for row in cut_short:
        assert row["status"] == "failed"
        assert "No space left on device" in row["error"]
    before = finished_rows(folder)
    last = warm.run(command, folder)
    assert last.code == 0, last.errors
    assert ("resuming" in last.output) == had_checkpoint
    fault.nothing_lost(before, folder)
    assert len(cut_short) <= 1
    is_continued = bool(cut_short) and had_checkpoint
    assert len(finished_rows(folder)) == len(before) + 1
    assert len(rows_of(folder)) == len(rows) + (not is_continued)
    assert is_complete(folder)
    fault.nothing_wrong(wrong_results(folder, right))
    return had_checkpoint


def test_the_disk_fills_up_at_any_step(
    warm: WarmStarts, small: list[str], disk: Path, faults: FaultTable, tmp_path: Path
) -> None:
    fault = faults("full disk, each file-system step")
    command = [*small, "train.max_steps=3"]
    undisturbed = warm.run(command, tmp_path / "right", place=0)
    assert undisturbed.code == 0, undisturbed.errors
    prepared = tmp_path / "prepared"
    for other in (prepared, tmp_path / "right"):
        assert warm.run([*command, "seed=1"], other).code == 0
    before = finished_rows(prepared)
    rehearsal = Path(shutil.copytree(prepared, tmp_path / "rehearsal"))
    calls = warm.run(command, rehearsal, place=0).calls
    folder, filler = disk / "results", disk / "filler"
    went_on = 0
    for place in places_of(len(calls), short_stride=5):
        shutil.copytree(prepared, folder)
        hit = warm.run(command, folder, place=place, act="fill")
        fault.injected += 1
        check_answer(hit)
        fault.nothing_lost(before, folder)
        fault.nothing_wrong(untrue_lines(folder))
        filler.unlink()
        went_on += check_rerun(warm, command, fault, folder, tmp_path / "right")
        shutil.rmtree(folder)
    assert went_on


def test_the_disk_fills_up_at_any_step_of_a_heartbeat(
    warm: WarmStarts, small: list[str], disk: Path, faults: FaultTable, tmp_path: Path
) -> None:
    """The renewal of a lease may free a page, so that the row fits and the checkpoint does not."""
    fault = faults("full disk, each file-system step of a heartbeat")
    command = [*small, "train.max_steps=3"]
    assert warm.run(command, tmp_path / "right").code == 0
    folder, filler = disk / "results", disk / "filler"
    for place in range(1, BEAT_CALLS + 1):
        hit = warm.run(command, folder, place=place, act="fill", heartbeat=True)
        fault.injected += 1
        check_answer(hit)
        fault.nothing_wrong(untrue_lines(folder))
        filler.unlink()
        assert check_rerun(warm, command, fault, folder, tmp_path / "right")
        shutil.rmtree(folder)


def test_room_for_the_row_but_not_for_the_checkpoint(
    warm: WarmStarts, small: list[str], disk: Path, faults: FaultTable, tmp_path: Path
) -> None:
    """The row contains the error, and the run can resume from the earlier checkpoint."""
    fault, folder = faults("disk full for a checkpoint, not for the row"), disk / "results"
    command = [*small, "model.hidden_size=32"]
    undisturbed = warm.run(command, tmp_path / "right", place=0)
    drafts = [
        n
        for n, call in enumerate(undisturbed.calls, 1)
        if "open" in call.split()[0] and "/.checkpoint" in call
    ]
    hit = warm.run(command, folder, place=drafts[5], act="fill", spare=3 * 4096)
    fault.injected += 1
    check_answer(hit)
    ((run_id, row),) = rows_of(folder).items()
    assert (row["status"], row["steps"]) == ("failed", 6)
    assert "No space left on device" in row["error"]
    assert f"resumes {run_id} from its last checkpoint" in hit.errors
    (disk / "filler").unlink()
    last = warm.run(command, folder)
    assert f"resuming {run_id} from step 5 of" in last.output
    assert len(finished_rows(folder)) == len(rows_of(folder)) == 1
    fault.nothing_wrong(wrong_results(folder, tmp_path / "right"))


@pytest.mark.parametrize("launcher", ["basic", "local"])
def test_the_disk_fills_up_under_a_sweep(
    warm: WarmStarts,
    small: list[str],
    disk: Path,
    faults: FaultTable,
    tmp_path: Path,
    launcher: str,
) -> None:
    """The sweep ends without a traceback, and its other rows are complete."""
    fault, folder = faults(f"disk full under a {launcher} sweep"), disk / "results"
    axes = [*small, "train.max_epochs=5", "seed=0,1,2"]
    assert warm.run(["-m", *axes], tmp_path / "right").code == 0
    jobs = ["hydra.launcher.jobs=1"] if launcher == "local" else []
    command = ["-m", f"hydra/launcher={launcher}", *jobs, *axes, f"results_dir={folder}"]
    halt = Halt(tmp_path / "halt", rows=1)
    with started(command, tmp_path, halt=halt) as run:
        halted = halt.wait(run.process)
        fill(str(disk / "filler"), 0)
        before = finished_rows(folder)
        assert len(before) == 1
        fault.injected += 1
        go_on(halted)
        assert run.end() in (1, 2), run.errors
        wait_until(run.no_process_is_left, "the end of every process")
    assert "Traceback" not in run.errors + run.output
    assert "No space left on device" in run.errors + run.output
    fault.nothing_lost(before, folder)
    fault.nothing_wrong(untrue_lines(folder))
    (disk / "filler").unlink()
    again = warm.run(["-m", *axes], folder)
    assert again.code == 0, again.output
    fault.nothing_lost(before, folder)
    assert len(finished_rows(folder)) == 3
    assert is_complete(folder)
    fault.nothing_wrong(wrong_results(folder, tmp_path / "right"))

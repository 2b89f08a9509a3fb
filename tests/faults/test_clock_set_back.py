"""A clock that is set back between two starts, or stands still."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.faulty import (
    FaultTable,
    ended,
    finished_rows,
    is_complete,
    rows_of,
    wrong_results,
)
from tests.helpers.warm import WarmStarts

# The program's own clocks and the files' times stay as they are.
AROUND = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
FAKETIME = shutil.which("faketime")

pytestmark = pytest.mark.skipif(FAKETIME is None, reason="faketime is not installed")


def at(moment: str) -> list[str]:
    """Return a prefix that starts a program at another time."""
    return [str(FAKETIME), "-m", "-f", moment]


def test_an_interrupted_run_resumes_with_an_earlier_clock(
    warm: WarmStarts, small: list[str], faults: FaultTable, tmp_path: Path
) -> None:
    """Its id is that of its first start; another run of that day sorts before it."""
    fault, folder = faults("clock set back a day"), tmp_path / "results"
    assert warm.run(["-m", *small, "seed=0,1"], tmp_path / "right").code == 0
    assert warm.run(small, folder, place=80, act="SIGTERM").code == 130
    (first,) = rows_of(folder)
    fault.injected += 1
    command = ["-m", *small, "seed=0,1", f"results_dir={folder}"]
    done = ended(command, tmp_path, prefix=at("-1d"), environment=AROUND)
    assert "2 of 2 cells: 2 ok" in done.output
    rows = finished_rows(folder)
    assert len(rows) == len(rows_of(folder)) == 2
    assert rows[first]["starts"] == 2
    assert min(rows) < first
    assert is_complete(folder)
    fault.nothing_wrong(wrong_results(folder, tmp_path / "right"))
    again = warm.run(command[:-1], folder)
    assert "2 of 2 cells: 2 ok (2 already finished)" in again.output


def test_ids_are_unique_while_the_clock_stands_still(
    small: list[str], faults: FaultTable, tmp_path: Path
) -> None:
    fault, folder = faults("clock stands still"), tmp_path / "results"
    command = ["-m", *small, "train.max_steps=1", "resume=never", f"results_dir={folder}"]
    for count in (1, 2):
        ended(command, tmp_path, prefix=at("2020-02-02 02:02:02"), environment=AROUND)
        fault.injected += 1
        assert len(finished_rows(folder)) == count
    assert len({run_id[:23] for run_id in rows_of(folder)}) == 1
    assert is_complete(folder)

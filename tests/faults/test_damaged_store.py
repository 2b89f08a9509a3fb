"""Files of a results folder that are torn, edited, foreign or not writable.

What cannot be trusted is named and set aside, what was finished stays, and the same command ends
with the right numbers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.faulty import (
    FaultTable,
    Numbers,
    checkpoints,
    differences,
    finished_rows,
    is_complete,
    numbers_of,
    rows_of,
    table_lines,
    wrong_results,
)
from tests.helpers.warm import WarmStarts

GARBAGE = bytes(range(256)) * 8

Damage = Callable[[Path], object]


def cut(file: Path) -> None:
    """Truncate a file to half, as a disk without real flushes may do."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Damage] = {
    "cut": cut,
    "empty": lambda file: file.write_bytes(b""),
    "garbage": lambda file: file.write_bytes(GARBAGE),
}


def finished(warm: WarmStarts, commands: list[list[str]], place: Path) -> Path:
    """Run commands to their ends and return the results folder."""
    for command in commands:
        assert warm.run(command, place / "results").code == 0
    return place / "results"


@pytest.fixture(scope="module")
def swept(warm: WarmStarts, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of a sweep over two seeds, to be copied."""
    return finished(warm, [["-m", *small, "seed=0,1"]], tmp_path_factory.mktemp("swept"))


@pytest.fixture(scope="module")
def two_runs(warm: WarmStarts, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of two single runs, to be copied."""
    commands = [[*small, "train.max_steps=2", f"seed={seed}"] for seed in (1, 2)]
    return finished(warm, commands, tmp_path_factory.mktemp("two-runs"))


@pytest.fixture(scope="module")
def cut_short(warm: WarmStarts, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of an interrupted run, to be copied."""
    folder = tmp_path_factory.mktemp("cut-short") / "results"
    hit = warm.run(small, folder, place=80, act="SIGTERM")
    assert hit.code == 130, hit.errors
    return folder


@pytest.fixture(params=["mount", "file"])
def closed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a read-only results folder, also for root."""
    folder = tmp_path / "results"
    if request.param == "file":
        folder.write_text("in the way")
        yield folder
        return
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a read-only mount needs root")
    steps = (["--bind", str(folder), str(folder)], ["-o", "remount,ro,bind", str(folder)])
    for number, options in enumerate(steps):
        done = subprocess.run(["mount", *options], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            if number:
                subprocess.run(["umount", str(folder)], check=True, timeout=60)
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=60)


@pytest.mark.parametrize("flags", [[], ["-m", "seed=0,1"]], ids=["run", "sweep"])
def test_a_closed_results_folder_is_found_before_training(
    warm: WarmStarts, small: list[str], faults: FaultTable, closed: Path, flags: list[str]
) -> None:
    fault = faults("results folder not writable")
    done = warm.run([*flags, *small], closed)
    fault.injected += 1
    assert done.code == 2
    (line,) = done.errors.splitlines()
    assert line.startswith(f"error: results_dir={closed}: cannot be written to (")
    assert "choose another" in line
    assert "epoch" not in done.output


ROWS = DAMAGES | {
    "anothers": lambda file: file.write_text(file.read_text().replace("-s0-", "-s7-")),
    "no_row": lambda file: file.write_text("{}"),
}


@pytest.mark.parametrize("damage", ROWS)
@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "unindexed"])
def test_a_damaged_row_is_set_aside_and_its_cell_run_again(
    warm: WarmStarts,
    small: list[str],
    swept: Path,
    faults: FaultTable,
    tmp_path: Path,
    damage: str,
    indexed: bool,
) -> None:
    fault, folder = faults("row file damaged"), tmp_path / "results"
    command = ["-m", *small, "seed=0,1"]
    shutil.copytree(swept, folder)
    victim, other = sorted(rows_of(folder))
    file = folder / "runs" / victim / "row.json"
    ROWS[damage](file)
    damaged = file.read_bytes()
    if not indexed:
        (folder / ".index.jsonl").unlink()
    fault.injected += 1
    again = warm.run(command, folder)
    assert again.code == 0, again.output + again.errors
    assert f"{file} is damaged and set aside as row.json.damaged-" in again.output
    assert "2 of 2 cells: 2 ok (1 already finished)" in again.output
    (aside,) = file.parent.glob("row.json.damaged-*")
    assert aside.read_bytes() == damaged
    assert other in rows_of(folder)
    assert len(finished_rows(folder)) == 2
    assert rows_of(folder).keys() <= table_lines(folder).keys()
    fault.nothing_wrong(wrong_results(folder, swept))


def edited(table: Path) -> None:
    """Edit like a spreadsheet: a column removed, one moved, one added, a value changed."""
    lines = [line.split(",") for line in table.read_text().splitlines()]
    for number, line in enumerate(lines):
        line.append("note" if number == 0 else "see mail")
        line[2], line[3] = line[3], line[2]
        del line[5]
    table.write_text("\n".join(",".join(line) for line in lines))


def as_folder(table: Path) -> None:
    """Replace the table by a folder."""
    table.unlink()
    table.mkdir()


TABLES = DAMAGES | {
    "edited": edited,
    "as_folder": as_folder,
    "gone": lambda file: file.unlink(),
    "last_line_torn": lambda file: file.write_bytes(file.read_bytes()[:-200]),
    "last_cell_torn": lambda file: file.write_bytes(file.read_bytes()[:-20]),
}
CANNOT_BE_KEPT_UP = ("as_folder",)


@pytest.mark.parametrize("damage", TABLES)
def test_a_damaged_table_ends_no_run_and_loses_no_row(
    warm: WarmStarts,
    small: list[str],
    two_runs: Path,
    right: Numbers,
    faults: FaultTable,
    tmp_path: Path,
    damage: str,
) -> None:
    """The table is a view: rows are restored and additional columns remain."""
    fault, folder = faults("table damaged or edited"), tmp_path / "results"
    shutil.copytree(two_runs, folder)
    before, table = rows_of(folder), folder / "results.csv"
    TABLES[damage](table)
    fault.injected += 1
    done = warm.run(small, folder)
    assert done.code == 0, done.errors
    fault.nothing_lost(before, folder)
    ((run_id, _),) = (pair for pair in rows_of(folder).items() if pair[0] not in before)
    fault.nothing_wrong(differences(numbers_of(folder, run_id), right))
    if damage in CANNOT_BE_KEPT_UP:
        assert f"warning: {table} could not be updated" in done.output
        assert "no row is lost" in done.output
    else:
        text = table.read_text()
        assert all(run_id in text for run_id in rows_of(folder))
    if damage == "edited":
        assert text.count("see mail") == 2
    elif damage not in CANNOT_BE_KEPT_UP:
        assert is_complete(folder)


def another_runs(file: Path, warm: WarmStarts, command: list[str], place: Path) -> None:
    """Replace a checkpoint by that of another configuration."""
    other = warm.run([*command, "seed=5"], place, place=50, act="SIGKILL")
    assert other.was_killed
    (checkpoint,) = checkpoints(place)
    shutil.copy(checkpoint, file)


@pytest.mark.parametrize("damage", [*DAMAGES, "flip", "another_runs"])
def test_an_unusable_checkpoint_is_set_aside(
    warm: WarmStarts,
    small: list[str],
    cut_short: Path,
    right: Numbers,
    faults: FaultTable,
    tmp_path: Path,
    damage: str,
) -> None:
    """The checkpoint is reported and kept but not used; the run restarts with the right results."""
    fault, folder = faults("checkpoint damaged or of another run"), tmp_path / "results"
    shutil.copytree(cut_short, folder)
    (file,) = checkpoints(folder)
    if damage == "another_runs":
        another_runs(file, warm, small, tmp_path / "other")
    else:
        (DAMAGES | {"flip": flip})[damage](file)
    damaged = file.read_bytes()
    fault.injected += 1
    again = warm.run(small, folder)
    assert again.code == 0, again.errors
    assert f"warning: {file} cannot be used: it" in again.output
    reason = "its fingerprint is" if damage == "another_runs" else "it is damaged"
    assert reason in again.output
    assert "resuming" not in again.output
    (aside,) = file.parent.glob("checkpoint.safetensors.unusable-*")
    assert aside.read_bytes() == damaged
    ((run_id, row),) = rows_of(folder).items()
    assert (row["status"], row["starts"]) == ("ok", 2)
    fault.nothing_wrong(differences(numbers_of(folder, run_id), right))

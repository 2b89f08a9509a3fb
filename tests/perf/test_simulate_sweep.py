"""The simulated sweep writes what a real one writes, and its table is written to the page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.results.store import Store
from scripts.perf.simulate_sweep import MARKS, axes_of, main
from scripts.perf.simulated_sweep import sweep
from tests.helpers.paths import ROOT


def test_a_second_sweep_skips_finished_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = sweep(axes_of(200, tmp_path), tmp_path, count=False)
    store = Store(tmp_path)
    runs = sorted(store.index().entries)
    assert len(runs) == 200
    assert first["table writes"] >= 1
    assert first["runs"] > 0
    assert len(store.table.read_text().splitlines()) == 201
    assert list((tmp_path / "running").iterdir()) == []
    again = sweep(axes_of(200, tmp_path), tmp_path, count=False)
    assert again["runs"] == 0
    assert "200 of 200 cells already finished" in capsys.readouterr().out
    # A damaged row does not count as finished.
    (store.runs / runs[7] / "row.json").write_text("{")
    sweep(axes_of(200, tmp_path), tmp_path, count=False)
    output = capsys.readouterr().out
    assert "row.json is damaged and set aside" in output
    assert "199 of 200 cells already finished" in output
    assert len(store.index().entries) == 200
    assert runs[7] not in store.index().entries


def test_operations_are_counted(tmp_path: Path) -> None:
    counted = sweep(axes_of(20, tmp_path), tmp_path, count=True)
    # Lease, folder, configuration, log and row are opened; all except the log are flushed.
    assert counted["runs"] > 10
    assert counted["scheduler"] > 1


def test_the_parent_process_imports_no_large_library() -> None:
    """A new process starts with the memory of its parent."""
    program = (
        "import sys, scripts.perf.simulate_sweep\nprint({'numpy', 'torch'} & set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.stdout == "set()\n", ended.stderr


def test_the_table_is_written_to_the_page(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{MARKS[0]}old\n{MARKS[1]}\nAfter\n")
    assert main(["--cells", "10", "--folder", str(tmp_path), "--write", str(page)]) == 0
    before, rest = page.read_text().split(MARKS[0])
    table, after = rest.split(MARKS[1])
    assert (before, after) == ("# Before\n\n", "\nAfter\n")
    assert table in capfd.readouterr().out
    cells = dict(line.strip("| \n").split(" | ") for line in table.splitlines() if "|" in line)
    assert cells["cells"] == "10"
    assert cells["files and folders in `runs/`"] == "30"
    assert float(cells["peak memory of status, MiB"].replace(",", "")) > 1
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_invalid_options_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (["--cells", "7"], "--cells 7: must be a multiple of 10"),
        (["--folder", str(tmp_path / "none")], "no such folder"),
        (["--write", str(tmp_path / "none.md")], "no line <!-- table: scripts/perf/simulate_sweep"),
    ):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert message in line

"""Tables are rebuilt from the rows in the run folders, and merged if they are comparable."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results.leases import new_lease
from benchmarks.results.row import COLUMNS, Row
from benchmarks.results.store import Store
from scripts.collect import main
from tests.helpers.paths import ROOT

Keep = Callable[..., Store]


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Write a run into a results folder under tmp_path."""

    def leave(folder: str, run_id: str, **columns: Any) -> Store:
        store = Store(tmp_path / folder)
        facts = {"status": "ok", "schema_version": 1, "smoke": False, "task": "sp500"}
        facts |= {"task_version": 1, "model": "lstm", "model_version": 1, "starts": 1}
        facts |= {"dataset_sha256": "d", "split": "s", "fingerprint": f"f-{run_id}"}
        store.write_row(Row(run_id, **facts | {"test_score": 0.1 + 0.2} | columns))
        store.view().update()
        return store

    return leave


def lines(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def ids(table: Path) -> list[str]:
    return [line["run_id"] for line in lines(table)]


def edit(table: Path, before: str, after: str) -> None:
    text = table.read_text(encoding="utf-8")
    assert before in text
    table.write_text(text.replace(before, after, 1), encoding="utf-8")


def beside(table: Path, kind: str) -> list[Path]:
    return sorted(table.parent.glob(f"{table.name}.{kind}-*"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the error line of a command that must be refused."""
    assert main([str(argument) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_lost_table_is_rebuilt_byte_for_byte(keep: Keep) -> None:
    keep("a", "1", error='said "no",\nthen left')
    store = keep("a", "2", status="failed")
    before = store.table.read_bytes()
    store.table.unlink()
    assert main([str(store.directory)]) == 0
    assert store.table.read_bytes() == before
    # The index is rebuilt too.
    index = store.directory / ".index.jsonl"
    index.write_text(index.read_text().replace("f-1", "x"))
    assert store.index().entries["1"].fingerprint == "x"
    assert main([str(store.directory)]) == 0
    assert store.index().entries["1"].fingerprint == "f-1"
    assert store.table.read_bytes() == before


def test_an_edited_cell_is_restored(keep: Keep) -> None:
    keep("a", "1")
    store = keep("a", "2", test_score=0.75)
    before = store.table.read_bytes()
    edit(store.table, "0.75", "0.99")
    assert main([str(store.directory)]) == 0
    assert store.table.read_bytes() == before


def test_outdated_lines_are_replaced(keep: Keep) -> None:
    store = keep("a", "1", status="interrupted", test_score=None)
    keep("a", "2", status="interrupted")
    old = store.table.read_bytes()
    keep("a", "1", status="ok", starts=2)
    keep("a", "2", status="timeout")
    store.table.write_bytes(old)
    assert main([str(store.directory)]) == 0
    assert [line["status"] for line in lines(store.table)] == ["ok", "timeout"]


def test_added_columns_are_kept(keep: Keep) -> None:
    keep("a", "1")
    store = keep("a", "2")
    header, first, second = store.table.read_text().splitlines()
    store.table.write_text(f"note,{header}\nodd,{first}\n,{second}\n")
    assert main([str(store.directory)]) == 0
    assert [line["note"] for line in lines(store.table)] == ["odd", ""]
    keep("b", "3")
    out = store.directory / "all.csv"
    assert main([str(store.directory), str(store.directory.parent / "b"), "--out", str(out)]) == 0
    assert [line["note"] for line in lines(out)] == ["odd", "", ""]


def test_text_of_a_table_and_of_a_run_folder_is_equal(
    keep: Keep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = {"overrides": "+train.epochs=1", "dataset": "=cmd()", "error": "'@x"}
    table, out = keep("a", "1", **hostile).table, tmp_path / "all.csv"
    keep("b", "1", **hostile)
    header, line = table.read_text().splitlines()
    table.write_text(f"=note,{header}\n-note,{line}\n")
    shutil.rmtree(tmp_path / "a" / "runs")
    for _ in range(2):  # the merged table is read again by a second merge
        assert main([str(tmp_path / "b"), str(tmp_path / "a"), "--out", str(out)]) == 0
        assert "1 equal rows" in capsys.readouterr().out
        (found,) = lines(out)
        assert {name: found[name] for name in hostile} == {n: f"'{v}" for n, v in hostile.items()}
    shutil.copy(out, table)
    assert main([str(tmp_path / "a"), "--out", str(out)]) == 0
    assert lines(out)[0]["'=note"] == ""
    (found,) = lines(out)
    assert {name: found[name] for name in hostile} == {n: f"'{v}" for n, v in hostile.items()}


def test_rows_without_a_folder_are_kept_and_reported(
    keep: Keep, capsys: pytest.CaptureFixture[str]
) -> None:
    store = keep("a", "1")
    keep("a", "2")
    deleted = lines(store.table)[0]
    shutil.rmtree(store.runs / "1")
    assert main([str(store.directory)]) == 0
    assert "1 row of results.csv has no row in a run folder and is kept" in capsys.readouterr().out
    assert sorted(ids(store.table)) == ["1", "2"]
    assert deleted in lines(store.table)
    # A folder with only a table can be merged too.
    shutil.rmtree(store.runs)
    out = store.directory / "all.csv"
    assert main([str(store.directory), "--out", str(out)]) == 0
    assert sorted(ids(out)) == ["1", "2"]


def test_damaged_rows_are_set_aside_and_unfinished_runs_counted(
    keep: Keep, capsys: pytest.CaptureFixture[str]
) -> None:
    store = keep("a", "1")
    for run_id in ("2", "3", "4"):
        store.run(run_id).create()
    (store.runs / "2" / "row.json").write_text('{"run_id": "2", "status": "o')
    store.leases.acquire(new_lease("f-3", "3", {}))
    assert main([str(store.directory)]) == 0
    output = capsys.readouterr().out
    assert "row.json is damaged and set aside as row.json.damaged-" in output
    assert [p.name[:16] for p in (store.runs / "2").iterdir()] == ["row.json.damaged"]
    assert "3 runs have no row yet, 1 of them running now" in output
    assert ids(store.table) == ["1"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00rubbish\n", b"run_id;status\n1;ok\n"])
def test_an_invalid_table_is_set_aside(
    content: bytes, keep: Keep, capsys: pytest.CaptureFixture[str]
) -> None:
    store = keep("a", "1")
    before = store.table.read_bytes()
    store.table.write_bytes(content)
    assert main([str(store.directory)]) == 0
    assert "is not a table and is set aside" in capsys.readouterr().out
    assert store.table.read_bytes() == before
    (aside,) = beside(store.table, "unreadable")
    assert aside.read_bytes() == content


def test_a_torn_line_is_no_row(keep: Keep, capsys: pytest.CaptureFixture[str]) -> None:
    store = keep("a", "1")
    before = store.table.read_bytes()
    store.table.write_bytes(before + b"2,ok,0.12")
    assert main([str(store.directory)]) == 0
    assert "torn last line" in capsys.readouterr().out
    assert store.table.read_bytes() == before


def test_a_row_of_a_newer_version_brings_its_columns(keep: Keep) -> None:
    store = keep("a", "1")
    row = json.loads((store.runs / "1" / "row.json").read_text())
    (store.runs / "1" / "row.json").write_text(json.dumps(row | {"joules": 3.5}))
    keep("b", "2")
    out = store.directory / "all.csv"
    assert main([str(store.directory), str(store.directory.parent / "b"), "--out", str(out)]) == 0
    assert [line["joules"] for line in lines(out)] == ["3.5", ""]
    assert [*lines(out)[0]] == [*COLUMNS, "joules"]


def test_folders_are_merged_in_the_order_of_their_runs(
    keep: Keep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep("a", "1", fingerprint="same", status="failed")
    keep("a", "4")
    keep("b", "2", fingerprint="same")
    keep("b", "3", fingerprint=None)
    # A copy of a run in another folder is the same run.
    shutil.copytree(tmp_path / "a" / "runs" / "4", tmp_path / "b" / "runs" / "4")
    folders, out = [str(tmp_path / "b"), str(tmp_path / "a")], tmp_path / "all.csv"
    assert main([*folders, "--out", str(out)]) == 0
    assert ids(out) == ["1", "2", "3", "4"]
    assert "1 equal rows are in several folders" in capsys.readouterr().out
    assert main([*folders, "--out", str(out), "--runs", "last"]) == 0
    assert ids(out) == ["2", "3", "4"]
    assert "without 1 earlier run of these" in capsys.readouterr().out


def test_one_run_with_two_rows_is_refused(
    keep: Keep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep("a", "1", test_score=0.5)
    keep("b", "1", test_score=0.6)
    folders, out = (tmp_path / "a", tmp_path / "b"), tmp_path / "all.csv"
    output = refused(capsys, *folders, "--out", out, "--mix")
    assert f"1: is in {folders[0]} and in {folders[1]} with different test_score" in output
    # Also where one of them is only in a table.
    shutil.rmtree(folders[0] / "runs")
    assert "different test_score" in refused(capsys, *folders, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"schema_version": 2}, "schema_version (1 in 1, 2 in 1)"),
        ({"smoke": True}, "smoke (false in 1, true in 1)"),
        ({"task_version": 2}, "task_version of sp500 (1 in 1, 2 in 1)"),
        ({"dataset_sha256": "e"}, "dataset_sha256 of sp500 (d in 1, e in 1)"),
        ({"split": "t"}, "split of sp500 (s in 1, t in 1)"),
        ({"model_version": 2}, "model_version of lstm (1 in 1, 2 in 1)"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_rows_that_are_not_comparable_require_mix(
    columns: dict[str, Any],
    named: str,
    keep: Keep,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keep("a", "1")
    keep("b", "2", **columns)
    folders, out = [str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "all.csv"
    assert f"not comparable, they differ in {named}" in refused(capsys, *folders, "--out", out)
    assert not out.exists()
    assert main([*folders, "--out", str(out), "--mix"]) == 0
    assert f"warning: the rows are not comparable, they differ in {named}" in (
        capsys.readouterr().out
    )
    assert ids(out) == ["1", "2"]


def test_other_differences_are_only_noted(
    keep: Keep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep("a", "1", git_commit="c0ffee", torch_version="2.6", device_name="this", git_dirty=False)
    keep("b", "2", git_commit="decade", torch_version="2.7", device_name="that", git_dirty=True)
    # Other tasks and models have other data and versions; a run that failed early has none.
    keep("b", "3", task="imdb", task_version=2, dataset_sha256="i", split="i", model="gru")
    keep("b", "4", status="failed", dataset_sha256=None, split=None)
    arguments = [str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "all.csv")]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    for name in ("git_commit", "git_dirty", "torch_version", "device_name"):
        assert f"note: the rows differ in {name} (" in output
    assert "comparable" not in output


def test_only_rows_that_are_kept_must_be_comparable(keep: Keep, tmp_path: Path) -> None:
    keep("a", "1", fingerprint="same", schema_version=0)
    keep("a", "2", fingerprint="same")
    arguments = [str(tmp_path / "a"), "--out", str(tmp_path / "all.csv")]
    assert main(arguments) == 2
    assert main([*arguments, "--runs", "last"]) == 0


def test_invalid_arguments_are_refused_in_one_line(
    keep: Keep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = keep("a", "1").directory, keep("b", "2").directory
    (tmp_path / "letter.txt").write_text("Dear reader,\n")
    before = (a / "results.csv").read_bytes()
    assert "is no results folder" in refused(capsys, tmp_path / "none")
    assert "--out" in refused(capsys, a, b)
    assert "--runs last" in refused(capsys, a, "--runs", "last")
    assert "duplicate results folder" in refused(capsys, a, a / ".", "--out", tmp_path / "c.csv")
    assert "choose another name" in refused(capsys, a, b, "--out", a / "results.csv")
    assert "there is no folder" in refused(capsys, a, "--out", tmp_path / "none" / "c.csv")
    assert "no table of results" in refused(capsys, a, "--out", tmp_path / "letter.txt")
    assert (a / "results.csv").read_bytes() == before
    assert (tmp_path / "letter.txt").read_text() == "Dear reader,\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_merged_and_not_rebuilt(
    keep: Keep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = keep("a", "1").directory
    folder.chmod(0o555)
    try:
        assert "cannot be written" in refused(capsys, folder)
        assert main([str(folder), "--out", str(tmp_path / "all.csv")]) == 0
    finally:
        folder.chmod(0o755)


def test_the_script_reports_its_result(keep: Keep) -> None:
    store = keep("a", "1")
    command = [sys.executable, "scripts/collect.py", str(store.directory)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, f"1 row in {store.table}\n")
    ended = subprocess.run([*command, "--runs", "some"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2


def test_rows_are_read_one_at_a_time(keep: Keep, tmp_path: Path) -> None:
    store = keep("a", "0000")
    text = (store.runs / "0000" / "row.json").read_text()
    long = json.dumps("x" * 20_000)
    for number in range(1, 500):
        run_id = f"{number:04d}"
        row = text.replace('"0000"', f'"{run_id}"').replace('"error": null', f'"error": {long}')
        store.run(run_id).create().row.write_text(row)
    out = tmp_path / "all.csv"
    tracemalloc.start()
    try:
        assert main([str(store.directory), "--out", str(out)]) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert out.stat().st_size > 9e6
    assert peak < 4e6

"""Exported tables are complete and typed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.results.row import COLUMNS, Row
from benchmarks.results.store import Store
from scripts.export import main
from tests.helpers.paths import ROOT

Keep = Callable[..., Store]


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Return a function that writes runs to a results folder."""

    def leave(folder: str, *rows: dict[str, Any]) -> Store:
        store = Store(tmp_path / folder)
        facts: dict[str, Any] = {"status": "ok", "schema_version": 1, "smoke": False}
        facts |= {"task": "sp500", "task_version": 3, "model": "lstm", "model_version": 1}
        facts |= {"metric": "rmse", "higher_is_better": False, "test_size": 184, "match": "hidden"}
        facts |= {"dataset": "closes, 2014", "dataset_sha256": "d", "split": "s", "starts": 1}
        facts |= {"git_commit": "c0ffee", "started_at": "2026-01-02T03:04:05.678+00:00"}
        for row in rows:
            whole = facts | {"arm": row.get("model", "lstm")} | row
            store.write_row(Row(**whole | {"rmse": whole.get("test_score")}))
        store.view().update()
        return store

    return leave


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the error line of a refused command."""
    assert main([str(argument) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_parquet_has_the_types_of_the_columns(keep: Keep, tmp_path: Path) -> None:
    store = keep(
        "a",
        {"run_id": "1", "seed": 2**31, "test_score": 0.1 + 0.2, "parameters": 7},
        {"run_id": "2", "status": "failed", "error": 'said "no",\nthen left', "smoke": True},
    )
    out = tmp_path / "a.parquet"
    assert main([str(store.directory), "-o", str(out)]) == 0
    frame = pd.read_parquet(out)
    assert [*frame.columns] == COLUMNS
    kinds = {"seed": "Int64", "test_score": "Float64", "smoke": "boolean", "error": "string"}
    assert {name: str(frame[name].dtype) for name in kinds} == kinds
    # Columns that are empty in all rows have their type too, or files would not go together.
    assert str(frame["accuracy"].dtype) == "Float64"
    assert frame["seed"].tolist() == [2**31, pd.NA]
    assert frame["test_score"][0] == 0.1 + 0.2
    assert frame["smoke"].tolist() == [False, True]
    assert frame["error"][1] == 'said "no",\nthen left'
    assert pd.isna(frame["error"][0])


def test_csv_of_one_table_is_that_table(keep: Keep, tmp_path: Path) -> None:
    rows = [{"run_id": "1", "test_score": 1 / 3, "error": "a, b\nc"}, {"run_id": "2"}]
    store = keep("a", *rows)
    assert main([str(store.table), "-o", str(tmp_path / "b.csv")]) == 0
    assert (tmp_path / "b.csv").read_bytes() == store.table.read_bytes()


def test_a_spreadsheet_executes_no_text(keep: Keep, tmp_path: Path) -> None:
    hostile = {"model": "=cmd()", "overrides": "+train.epochs=1", "dataset": "@x", "error": "-\r\n"}
    store = keep("a", {"run_id": "1", "test_score": -0.5, "val_score": 1e160} | hostile)
    (line,) = csv.DictReader(io.StringIO(store.table.read_bytes().decode(), newline=""))
    assert {name: line[name] for name in hostile} == {n: f"'{v}" for n, v in hostile.items()}
    assert (line["test_score"], line["val_score"]) == ("-0.5", "1e+160")
    assert main([str(store.table), "-o", str(tmp_path / "b.csv")]) == 0
    assert (tmp_path / "b.csv").read_bytes() == store.table.read_bytes()
    for name in ("b.json", "c.json"):  # of the table, and of the exported table
        source = store.table if name == "b.json" else tmp_path / "b.csv"
        assert main([str(source), "-o", str(tmp_path / name)]) == 0
        (record,) = json.loads((tmp_path / name).read_text(encoding="utf-8"))
        assert {name: record[name] for name in hostile} == hostile


def test_records_are_plain_and_unknown_columns_are_kept(keep: Keep, tmp_path: Path) -> None:
    keep("a", {"run_id": "1", "test_score": 0.1 + 0.2, "seed": 0})
    other = tmp_path / "other.csv"
    other.write_text("joules,test_score,run_id,smoke\n3.50,nan,x,True\n,inf,,\n")
    out = tmp_path / "all.json"
    assert main([str(tmp_path / "a"), str(other), "-o", str(out)]) == 0
    ours, theirs, last = json.loads(out.read_text())
    assert (ours["test_score"], ours["seed"], ours["smoke"]) == (0.1 + 0.2, 0, False)
    assert (ours["accuracy"], ours["joules"]) == (None, None)
    assert (theirs["joules"], theirs["smoke"], theirs["test_score"]) == ("3.50", True, None)
    assert (last["run_id"], last["test_score"]) == (None, None)
    assert [*ours] == [*COLUMNS, "joules"]
    assert main([str(other), str(tmp_path / "a"), "-o", str(tmp_path / "all.parquet")]) == 0
    frame = pd.read_parquet(tmp_path / "all.parquet")
    assert [*frame.columns] == [*COLUMNS, "joules"]
    assert str(frame["seed"].dtype) == "Int64"
    assert frame["seed"].tolist() == [pd.NA, pd.NA, 0]


def test_an_error_is_one_line(
    keep: Keep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = keep("a", {"run_id": "1"})
    keep("b", {"run_id": "1", "test_score": 2.0})
    a, out = store.directory, tmp_path / "out.parquet"
    assert "(allowed: parquet, csv, json)" in refused(capsys, a, "-o", tmp_path / "x.txt")
    assert "there is no such file" in refused(capsys, tmp_path / "none.csv", "-o", out)
    assert "duplicate run_id 1" in refused(capsys, a, tmp_path / "b", "-o", out)
    assert "choose another name" in refused(capsys, a, "-o", store.table)
    missing = tmp_path / "none" / "out.csv"
    assert "there is no folder" in refused(capsys, a, "-o", missing)
    bad = tmp_path / "bad.csv"
    for text, answer in (
        ("run_id,seed\n1,two\n", "row 1, column seed: 'two' is not a whole number"),
        ("run_id,seed\n1,2,3,4\n", "has 4 cells, the header 2"),
        ("run_id,seed\n1,2\n1,2,3,4\n", "has 4 cells, the header 2"),
        ("name,value\n1,2\n", "none of its columns is documented"),
        ("run_id,run_id\n1,2\n", "duplicate column run_id"),
        ("", "is empty"),
    ):
        bad.write_text(text)
        assert answer in refused(capsys, bad, "-o", out)
    bad.write_bytes(b"run_id,seed\n\xff\xfe,1\n")
    assert "is not a CSV table" in refused(capsys, bad, "-o", out)
    assert not out.exists()


def test_the_script_prints_the_file(keep: Keep, tmp_path: Path) -> None:
    keep("a", {"run_id": "1"})
    out = tmp_path / "a.json"
    command = [sys.executable, "scripts/export.py", str(tmp_path / "a"), "-o", str(out)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, f"written: {out}\n")
    ended = subprocess.run([*command, "--format", "xml"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2


def test_the_index_of_pandas_is_dropped_and_said(
    keep: Keep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"run_id": "1", "test_score": 1 / 3, "seed": 2}, {"run_id": "2", "test_score": 0.1}]
    store, file, out = keep("a", *rows), tmp_path / "index.csv", tmp_path / "out.csv"
    text = {"dtype": str, "keep_default_na": False}
    pd.read_csv(store.table, **text).to_csv(file)
    for _ in range(2):  # the second time with a column "Unnamed: 0" as well
        assert main([str(file), "-o", str(out)]) == 0
        assert out.read_bytes() == store.table.read_bytes()
        assert f"{file}: the column without a name" in capsys.readouterr().out
        pd.read_csv(file, **text).to_csv(file)


def test_a_repeated_header_is_dropped(
    keep: Keep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = keep("a", {"run_id": "1", "test_score": 1 / 3, "seed": 2}, {"run_id": "2"})
    whole = store.table.read_text()
    header, *lines = whole.splitlines(keepends=True)
    (tmp_path / "b.csv").write_text(header.join(["", *lines]))
    assert main([str(tmp_path / "b.csv"), "-o", str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_text() == whole
    assert "row 2 repeats the header and is dropped" in capsys.readouterr().out

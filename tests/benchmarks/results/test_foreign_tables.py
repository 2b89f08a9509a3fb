"""Results tables that a spreadsheet, pandas or `cat` has written."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.results.collect import rebuild
from benchmarks.results.csv_cells import as_text
from benchmarks.results.reader import read_tables
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from scripts import collect, compare
from tests.helpers.result_tables import GRU, LSTM, RNN, arm, write


def add_row(store: Store, run_id: str, **columns: object) -> None:
    scores = {"task": "toy", "model": "lstm", "seed": 0, "metric": "accuracy", "test_score": 0.8125}
    store.write_row(Row(run_id, "ok", higher_is_better=True, **(scores | columns)))  # type: ignore[arg-type]
    store.view().update()


def lines_of(file: Path, separator: str = ",") -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.reader(opened, delimiter=separator))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    store.directory.mkdir()
    for run_id in ("a", "b"):
        add_row(store, run_id, dataset="naïve")
    return store


def resave(store: Store, separator: str, mark: str, encoding: str = "utf-8") -> None:
    """Save the table as a spreadsheet does: other separator, decimal mark and line ends."""
    rows = lines_of(store.table)
    place = rows[0].index("test_score")
    for row in rows[1:]:
        row[place] = row[place].replace(".", mark)
    with store.table.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=separator).writerows(rows)


@pytest.mark.parametrize(
    ("separator", "mark", "encoding", "reason"),
    [
        (";", ",", "utf-8", "its columns are separated by semicolons"),
        (";", ".", "utf-8-sig", "its columns are separated by semicolons"),
        ("\t", ",", "utf-8", "its columns are separated by tabs"),
        (",", ",", "utf-8", "its numbers have decimal commas"),
        ("\t", ".", "utf-16", "'utf-8' codec can't decode"),
        (",", ".", "latin-1", "'utf-8' codec can't decode"),
    ],
)
@pytest.mark.parametrize("ends", [True, False])
def test_a_table_saved_by_a_spreadsheet_is_set_aside_and_rebuilt(
    separator: str,
    mark: str,
    encoding: str,
    reason: str,
    ends: bool,
    store: Store,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = store.table.read_bytes()
    resave(store, separator, mark, encoding)
    if not ends:
        store.table.write_bytes(store.table.read_bytes().removesuffix(b"\r\n"))
    saved = store.table.read_bytes()
    add_row(store, "c")
    assert store.table.read_bytes().startswith(whole)
    assert [line[0] for line in lines_of(store.table)] == ["run_id", "a", "b", "c"]
    (aside,) = store.directory.glob("results.csv.unreadable-*")
    assert aside.read_bytes() == saved
    out = capsys.readouterr().out
    assert f"({reason}" in out
    assert f"it is set aside as {aside.name}, and rebuilt from the runs" in out
    assert not list(store.directory.glob("*.torn"))
    add_row(store, "d")
    assert len(list(store.directory.glob("results.csv.*"))) == 1


@pytest.mark.parametrize(("separator", "mark"), [(";", ","), ("\t", "."), (",", ",")])
def test_collect_rebuilds_a_table_saved_by_a_spreadsheet(
    separator: str, mark: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = store.table.read_bytes()
    resave(store, separator, mark)
    rebuild(store.directory)
    assert store.table.read_bytes() == whole
    assert "is set aside as results.csv.unreadable-" in capsys.readouterr().out


def test_a_comparison_says_how_to_rebuild_the_table(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    resave(store, ";", ",")
    assert compare.main([str(store.directory)]) == 2
    assert f"scripts/collect.py {store.directory} rebuilds it" in capsys.readouterr().err
    assert collect.main([str(store.directory)]) == 0
    assert compare.main([str(store.directory)]) == 0


def test_a_repeated_header_is_dropped_and_named(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = store.table.read_text(encoding="utf-8")
    header, first, second = whole.splitlines(keepends=True)
    store.table.write_text(header + first + header + second + header, encoding="utf-8")
    store.view().update()
    assert store.table.read_text(encoding="utf-8") == whole
    assert "lines 3, 5 repeat the header and are dropped" in capsys.readouterr().out
    store.table.write_text(header + header + first + second, encoding="utf-8")
    rebuild(store.directory)
    assert store.table.read_text(encoding="utf-8") == whole
    assert "line 2 repeats the header and is dropped" in capsys.readouterr().out


def test_a_table_with_another_header_inside_is_rebuilt(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = store.table.read_bytes()
    store.table.write_bytes(whole + b"run_id,model,seed\nx,lstm,1\n")
    store.view().update()
    assert store.table.read_bytes() == whole
    assert "line 4 is a header with other columns" in capsys.readouterr().out


def concatenated(folder: Path, *tables: list[dict[str, object]]) -> Path:
    texts = [write(folder / f"{n}.csv", t).read_text() for n, t in enumerate(tables)]
    (folder / "all.csv").write_text("".join(texts))
    return folder / "all.csv"


def test_a_comparison_drops_repeated_headers_and_reads_the_same_numbers(tmp_path: Path) -> None:
    source = random.Random(5)
    scores = [source.random() * 10.0 ** -source.randint(0, 20) for _ in range(50)]
    tables = arm("lstm", scores), arm("gru", GRU), arm("rnn", RNN)
    read = read_tables([concatenated(tmp_path, *tables)])
    assert read.frame["test_score"].tolist() == [*scores, *GRU, *RNN]
    assert read.frame["seed"].tolist() == [*range(50), *range(5), *range(5)]
    assert any("rows 51, 57 repeat the header and are dropped" in note for note in read.notes)
    assert read.frame["line"].tolist()[49:51] == [50, 52]


def test_json_of_a_comparison_stays_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = concatenated(tmp_path, arm("lstm", LSTM), arm("gru", GRU))
    assert compare.main([str(table), "--format", "json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any("row 6 repeats the header and is dropped" in note for note in notes)


def test_a_name_that_is_not_utf_8_does_not_block_the_table(store: Store) -> None:
    add_row(store, "c", dataset="closes caf\udce9.csv", overrides="task.csv=caf\udce9.csv")
    add_row(store, "d")
    lines = lines_of(store.table)
    assert [line[0] for line in lines] == ["run_id", "a", "b", "c", "d"]
    assert lines[3][lines[0].index("dataset")] == r"closes caf\udce9.csv"
    whole = store.table.read_bytes()
    rebuild(store.directory)
    assert store.table.read_bytes() == whole
    assert as_text("naïve 例") == "naïve 例"


def test_a_table_with_the_index_of_pandas_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", arm("lstm", LSTM))
    pd.read_csv(file).to_csv(file)
    assert read_tables([file]).frame["test_score"].tolist() == LSTM

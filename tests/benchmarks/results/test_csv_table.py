"""The table is a view that loses no rows, columns or cells, also with concurrent writers."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import benchmarks.results.csv_table
from benchmarks.results.csv_cells import as_text
from benchmarks.results.csv_table import TableView
from benchmarks.results.row import COLUMNS, Row
from benchmarks.results.store import Store
from tests.helpers.processes import at_once

AWKWARD = 'said "no", then\nleft; naïve 例'


def add_row(store: Store, run_id: str, error: str | None = None) -> Row:
    row = Row(run_id, "ok", error=error, seed=0, test_score=0.1 + 0.2, smoke=False)
    store.write_row(row)
    store.view().update()
    return row


def rows_of(store: Store) -> list[dict[str, str]]:
    with store.table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run_ids_of(store: Store) -> list[str]:
    return [row["run_id"] for row in rows_of(store)]


def columns_of(store: Store) -> list[str]:
    return next(csv.reader(io.StringIO(store.table.read_text(encoding="utf-8"))))


def as_line(row: Row) -> dict[str, str]:
    return {name: as_text(value) for name, value in dataclasses.asdict(row).items()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_row_is_a_line(store: Store) -> None:
    row = add_row(store, "a", error=AWKWARD)
    (line,) = rows_of(store)
    assert line == as_line(row)
    assert line["error"] == AWKWARD
    assert float(line["test_score"]) == 0.1 + 0.2
    assert (line["seed"], line["smoke"], line["rmse"]) == ("0", "false", "")
    assert columns_of(store) == COLUMNS


def test_appending_changes_no_byte_before(store: Store) -> None:
    add_row(store, "b", error=AWKWARD)
    before = store.table.read_bytes()
    add_row(store, "a", error=AWKWARD)
    assert store.table.read_bytes().startswith(before)
    assert run_ids_of(store) == ["b", "a"]


def test_a_complete_table_is_not_written_again(store: Store) -> None:
    add_row(store, "a")
    before = store.table.stat()
    store.view().update()
    assert store.table.stat() == before


def test_a_lost_table_and_lost_lines_come_back(store: Store) -> None:
    for run_id in ("a", "b", "c"):
        add_row(store, run_id, error=AWKWARD)
    whole = store.table.read_bytes()
    store.table.unlink()
    store.view().update()
    assert store.table.read_bytes() == whole
    header, _, rest = whole.partition(b"\n")
    store.table.write_bytes(header + b"\n" + rest[: rest.index(b"\nb,") + 1])
    store.view().update()
    assert store.table.read_bytes() == whole


def test_a_view_in_use_sees_what_others_do_to_the_table(store: Store) -> None:
    add_row(store, "a")
    view = store.view()
    view.update()
    add_row(store, "b")
    store.table.unlink()
    view.update()
    assert run_ids_of(store) == ["a", "b"]


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("run_id,status", "old,ok"),
        (",".join([*COLUMNS, "invented_later"]), "old,ok" + "," * (len(COLUMNS) - 2) + ",x"),
        (",".join(reversed(COLUMNS)), "," * (len(COLUMNS) - 2) + "ok,old"),
        ("note,run_id,mood,status", '"by hand, ""quoted""",old,good,ok'),
        ("note,mood", "no run,good"),
    ],
    ids=["older", "newer", "another order", "by hand", "of no runs"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_table_with_other_columns_keeps_them_all(
    header: str, line: str, end: str, store: Store
) -> None:
    store.table.write_bytes((header + (end or "\n") + line + end).encode())
    (old,) = rows_of(store)
    row = add_row(store, "new", error=AWKWARD)
    assert columns_of(store)[: len(header.split(","))] == header.split(",")
    assert set(columns_of(store)) == set(header.split(",")) | set(COLUMNS)
    kept, added = rows_of(store)
    assert old.items() <= kept.items()
    assert as_line(row).items() <= added.items()


def test_a_line_with_fewer_or_more_cells_than_the_header_is_kept(store: Store) -> None:
    store.table.write_text("run_id,status,note\nshort\nlong,ok,hm,more,and more\n")
    add_row(store, "new")
    with store.table.open(newline="", encoding="utf-8") as file:
        _, short, long, _ = csv.reader(file)
    assert (short[0], set(short[1:])) == ("short", {""})
    assert long[:5] == ["long", "ok", "hm", "more", "and more"]


def test_rows_of_a_newer_version_bring_their_columns(store: Store) -> None:
    add_row(store, "a")
    document = dataclasses.asdict(Row("b", "ok")) | {"invented_later": 1.5, "and_later": None}
    store.run("b").create().row.write_text(json.dumps(document))
    add_row(store, "c")
    assert columns_of(store) == [*COLUMNS, "invented_later", "and_later"]
    assert [row["invented_later"] for row in rows_of(store)] == ["", "1.5", ""]


def test_a_row_of_an_older_version_is_a_line_too(store: Store) -> None:
    store.run("a").create().row.write_text('{"run_id": "a", "status": "ok", "seed": 3}')
    store.view().update()
    (line,) = rows_of(store)
    assert (line["run_id"], line["seed"], line["test_score"]) == ("a", "3", "")
    assert columns_of(store) == COLUMNS


def test_the_row_of_a_resumed_run_replaces_the_old_one(store: Store) -> None:
    for run_id, status in (("a", "ok"), ("b", "interrupted"), ("c", "ok")):
        store.write_row(Row(run_id, status, starts=1))
    view = store.view()
    view.update()
    store.table.write_text(
        "".join(
            line + (",note\n" if i == 0 else f",by hand {i}\n")
            for i, line in enumerate(store.table.read_text().splitlines())
        )
    )
    for starts, status in ((2, "interrupted"), (3, "ok")):
        store.write_row(Row("b", status, starts=starts, test_score=starts / 2))
        view.update()
        line = rows_of(store)[1]
        assert (line["run_id"], line["status"], line["starts"]) == ("b", status, str(starts))
        assert float(line["test_score"]) == starts / 2
    assert run_ids_of(store) == ["a", "b", "c"]
    assert [rows_of(store)[i]["note"] for i in (0, 2)] == ["by hand 1", "by hand 3"]


def test_an_older_state_in_the_table_is_replaced_by_any_view(store: Store) -> None:
    """A slow writer may replace a newer table by an older one."""
    store.write_row(Row("a", "interrupted", starts=1))
    store.view().update()
    older = store.table.read_bytes()
    store.write_row(Row("a", "ok", starts=2))
    view = store.view()
    view.update()
    store.table.write_bytes(older)
    view.update()
    assert [(row["status"], row["starts"]) for row in rows_of(store)] == [("ok", "2")]


def torn_lines() -> Iterator[str]:
    """Yield the beginnings of a line with awkward values, as a crash may leave them."""
    values = dict.fromkeys(COLUMNS, "") | {"run_id": "torn", "status": "ok", "error": AWKWARD}
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(values)
    whole = text.getvalue().rstrip("\n")
    return (whole[:length] for length in range(1, len(whole) + 1))


def test_a_torn_last_line_hides_no_row_and_is_kept_aside(store: Store) -> None:
    add_row(store, "before")
    table = store.table.read_bytes()
    store.write_row(Row("after", "ok"))
    index = store.index()
    aside = store.directory / "results.csv.torn"
    for torn in torn_lines():
        store.table.write_bytes(table + torn.encode())
        aside.unlink(missing_ok=True)
        store.view(index).update()
        assert run_ids_of(store)[0] == "before", torn
        assert run_ids_of(store)[-1] == "after", torn
        if run_ids_of(store) == ["before", "after"]:
            assert aside.read_text(encoding="utf-8") == f"{torn}\n"
        else:  # only its end was missing
            assert rows_of(store)[1]["error"] == AWKWARD


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbfrun_id,status\r\nold,ok\r\n"])
def test_empty_tables_and_those_of_a_spreadsheet(content: bytes, store: Store) -> None:
    store.table.write_bytes(content)
    add_row(store, "new")
    assert run_ids_of(store) == (["old", "new"] if b"old" in content else ["new"])


def test_sixty_four_processes_at_once_lose_no_row_and_need_no_lock(store: Store) -> None:
    def end(number: int) -> bool:
        add_row(Store(store.directory), f"run-{number:02}", error=AWKWARD)
        return True

    store.table.write_text("note,run_id,status\nkept,by hand,ok\n")
    assert all(at_once(64, end))
    assert sorted(run_ids_of(store)) == ["by hand", *(f"run-{n:02}" for n in range(64))]
    assert all(row["error"] == AWKWARD for row in rows_of(store)[1:])
    assert rows_of(store)[0]["note"] == "kept"
    left = {path.name for path in store.directory.iterdir()}
    assert left == {"runs", "results.csv"}


def test_an_update_that_overwrites_another_is_corrected(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, overtakers = benchmarks.results.csv_table.cells_of, ["c", "d"]

    def overtaken(row: dict[str, object], columns: list[str]) -> list[str]:
        """Let another process finish after the old table was read."""
        if overtakers:
            add_row(store, overtakers.pop())
            assert {"c", "d"} - set(overtakers) <= set(run_ids_of(store))
        return write(row, columns)

    add_row(store, "a")
    monkeypatch.setattr(benchmarks.results.csv_table, "cells_of", overtaken)
    add_row(store, "b")
    assert sorted(run_ids_of(store)) == ["a", "b", "c", "d"]


def test_no_row_is_lost_if_the_table_cannot_be_written(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.table.mkdir()
    add_row(store, "a")
    row = store.row("a")
    assert row is not None
    assert row["run_id"] == "a"
    assert f"each is in its folder under {store.runs}" in capsys.readouterr().out
    assert store.table.is_dir()


def test_a_full_disk_leaves_the_old_table(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_row(store, "a")
    before = store.table.read_bytes()
    store.write_row(Row("b", "ok"))

    def full(row: object, columns: object) -> list[str]:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(benchmarks.results.csv_table, "cells_of", full)
        store.view().update()
    assert store.table.read_bytes() == before
    assert "No space left on device" in capsys.readouterr().out
    assert {path.name for path in store.directory.iterdir()} == {"runs", "results.csv"}
    store.view().update()
    assert run_ids_of(store) == ["a", "b"]


def test_a_row_damaged_after_indexing_is_omitted(store: Store) -> None:
    store.write_row(Row("a", "ok"))
    store.write_row(Row("b", "ok"))
    view = store.view()
    (store.runs / "a" / "row.json").write_text('{"run_id": "a", "sta')
    view.update()
    assert run_ids_of(store) == ["b"]


def test_a_lazy_view_takes_a_small_share_of_the_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(benchmarks.results.csv_table, "time", clock)
    write = TableView._write

    def slow_write(self: TableView, old: set[str], columns: list[str]) -> None:
        now[0] += 2
        write(self, old, columns)

    monkeypatch.setattr(TableView, "_write", slow_write)
    view = store.view()
    store.write_row(Row("a", "ok"))
    view.update(lazily=True)
    assert run_ids_of(store) == ["a"]
    store.write_row(Row("b", "ok"))
    now[0] += 39
    view.update(lazily=True)
    assert run_ids_of(store) == ["a"]
    now[0] += 2
    view.update(lazily=True)
    assert run_ids_of(store) == ["a", "b"]
    store.write_row(Row("c", "ok"))
    view.update()
    assert run_ids_of(store) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (False, "false"), (0, "0"), (0.1, "0.1"), (1e-300, "1e-300")],
)
def test_cells(value: object, text: str) -> None:
    assert as_text(value) == text

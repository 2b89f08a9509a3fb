"""The store loses nothing: whatever stands in the table, whoever else writes, however it fails."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from filelock import FileLock

import benchmarks.results
from benchmarks.errors import UserError
from benchmarks.results import COLUMNS, Row, Store, as_text, new_run_id, write_atomically

AWKWARD = 'said "no", then\nleft; naïve 例'


def add_row(store: Store, run_id: str, error: str | None = None) -> Row:
    row = Row(run_id, "ok", error=error, seed=0, test_score=0.1 + 0.2, smoke=False)
    store.run_folder(run_id)
    store.add(row)
    return row


def rows_of(store: Store) -> list[dict[str, str]]:
    with store.table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run_ids_of(store: Store) -> list[str]:
    return [row["run_id"] for row in rows_of(store)]


def columns_of(store: Store) -> list[str]:
    return next(csv.reader(io.StringIO(store.table.read_text(encoding="utf-8"))))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_row_is_a_line_and_a_document(store: Store) -> None:
    row = add_row(store, "a", error=AWKWARD)
    (line,) = rows_of(store)
    document = json.loads((store.directory / "runs" / "a" / "row.json").read_text())
    assert document == dataclasses.asdict(row)
    assert line == {name: as_text(value) for name, value in document.items()}
    assert line["error"] == AWKWARD
    assert float(line["test_score"]) == 0.1 + 0.2
    assert (line["seed"], line["smoke"], line["rmse"]) == ("0", "false", "")


def test_every_column_is_described() -> None:
    entries = dataclasses.fields(Row)
    assert [entry.name for entry in entries if not entry.metadata["help"]] == []
    assert [
        e.name for e in entries if e.name.endswith("_seconds") and e.metadata["unit"] != "s"
    ] == []
    assert [
        e.name for e in entries if e.name.endswith("_mib") and e.metadata["unit"] != "MiB"
    ] == []
    assert len(COLUMNS) == len(set(COLUMNS))


def test_appending_changes_no_byte_before(store: Store) -> None:
    add_row(store, "a", error=AWKWARD)
    before = store.table.read_bytes()
    add_row(store, "b", error=AWKWARD)
    assert store.table.read_bytes().startswith(before)
    assert run_ids_of(store) == ["a", "b"]


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("run_id,status", "old,ok"),
        (",".join([*COLUMNS, "invented_later"]), "old,ok" + "," * (len(COLUMNS) - 2) + ",x"),
        (",".join(reversed(COLUMNS)), "," * (len(COLUMNS) - 2) + "ok,old"),
        ("note,run_id,mood,status", '"by hand, ""quoted""",old,good,ok'),
    ],
    ids=["older", "newer", "another order", "by hand"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_table_with_other_columns_keeps_them_all(
    header: str, line: str, end: str, store: Store
) -> None:
    store.table.write_bytes((header + (end or "\n") + line + end).encode())
    (old,) = rows_of(store)
    row = add_row(store, "new", error=AWKWARD)
    assert set(columns_of(store)) == set(header.split(",")) | set(COLUMNS)
    kept, added = rows_of(store)
    assert old.items() <= kept.items()
    wanted = {name: as_text(value) for name, value in dataclasses.asdict(row).items()}
    assert wanted.items() <= added.items()


def torn_lines() -> Iterator[str]:
    """All that a crash may leave of a line with awkward values."""
    values = dict.fromkeys(COLUMNS, "") | {"run_id": "torn", "status": "ok", "error": AWKWARD}
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(values)
    whole = text.getvalue().rstrip("\n")
    return (whole[:length] for length in range(1, len(whole) + 1))


def test_a_torn_last_line_swallows_no_row(store: Store) -> None:
    add_row(store, "before")
    table = store.table.read_bytes()
    for i, torn in enumerate(torn_lines()):
        store.table.write_bytes(table + torn.encode())
        add_row(store, f"after-{i}")
        assert run_ids_of(store)[0] == "before", torn
        assert run_ids_of(store)[-1] == f"after-{i}", torn


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbfrun_id,status\r\nold,ok\r\n"])
def test_empty_tables_and_those_of_a_spreadsheet(content: bytes, store: Store) -> None:
    store.table.write_bytes(content)
    add_row(store, "new")
    assert run_ids_of(store) == (["old", "new"] if b"old" in content else ["new"])


def write_ten(directory: Path, name: str, start: Barrier) -> None:
    start.wait()
    for i in range(10):
        add_row(Store(directory), f"{name}-{i}", error=AWKWARD)


def test_eight_processes_at_once_lose_no_row(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(8)
    writers = [
        context.Process(target=write_ten, args=(store.directory, f"writer-{n}", start))
        for n in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
    assert [writer.exitcode for writer in writers] == [0] * 8
    assert sorted(run_ids_of(store)) == [f"writer-{n}-{i}" for n in range(8) for i in range(10)]
    assert all(row["error"] == AWKWARD for row in rows_of(store))


def spoil_by_folder(store: Store) -> None:
    store.table.mkdir()


def spoil_by_encoding(store: Store) -> None:
    store.table.write_bytes("run_id,note\nold,naïve\n".encode("latin-1"))


@pytest.mark.parametrize("spoil", [spoil_by_folder, spoil_by_encoding])
def test_a_table_that_cannot_be_written_costs_no_row(
    spoil: Callable[[Store], None], store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(store)
    add_row(store, "a")
    assert json.loads((store.directory / "runs" / "a" / "row.json").read_text())["run_id"] == "a"
    printed = capsys.readouterr()
    assert "runs/a/row.json" in printed.out + printed.err


def test_a_table_that_stays_locked_costs_no_row(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmarks.results, "LOCK_SECONDS", 0.1)
    with FileLock(store.directory / ".results.lock"):
        add_row(store, "a")
    assert (store.directory / "runs" / "a" / "row.json").is_file()
    assert not store.table.exists()
    assert "warning" in capsys.readouterr().out


def test_run_ids_sort_by_time_in_any_time_zone() -> None:
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    zones = [UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-8))]
    moments = [start + timedelta(microseconds=10**n) for n in range(10)]
    ids = [
        new_run_id("zzz" if i % 2 else "aaa", "task", 9 - i, moment.astimezone(zones[i % 3]))
        for i, moment in enumerate(moments)
    ]
    assert ids == sorted(ids)
    assert "-task-aaa-s9-" in ids[0]


def test_ten_thousand_run_ids_are_all_different() -> None:
    ids = [new_run_id("lstm", "imdb", 0, datetime.now(UTC)) for _ in range(10_000)]
    assert len(set(ids)) == 10_000


def test_a_run_folder_is_never_shared(store: Store) -> None:
    store.run_folder("a")
    with pytest.raises(FileExistsError):
        store.run_folder("a")


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_no_draft(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise error

    path = tmp_path / "table.csv"
    write_atomically(path, "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_written_file_has_the_usual_rights_and_no_other_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    before = os.umask(0o027)
    try:
        write_atomically(path, "ä\n")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes() == b"\xc3\xa4\n"


def test_a_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "results")
    store.check_writable()
    assert [*store.directory.rglob("*")] == [store.directory / "runs"]


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=r"results_dir=.*file.*: cannot be written to .*results_dir"
    ):
        Store(tmp_path / "file" / "results").check_writable()


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (False, "false"), (0, "0"), (0.1, "0.1"), (1e-300, "1e-300")],
)
def test_cells(value: object, text: str) -> None:
    assert as_text(value) == text

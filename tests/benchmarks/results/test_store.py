"""Rows are written atomically, run ids are unique and sort, and folders are checked."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.results.row import Row
from benchmarks.results.store import Store, new_run_id
from benchmarks.system.atomic_files import remove_drafts, set_aside, write_atomically

AWKWARD = 'said "no", then\nleft; naïve 例'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_row_is_a_document_that_comes_back_exactly(store: Store) -> None:
    row = Row("a", "ok", error=AWKWARD, seed=0, test_score=0.1 + 0.2, smoke=False)
    store.write_row(row)
    document = json.loads((store.directory / "runs" / "a" / "row.json").read_text())
    assert document == dataclasses.asdict(row) == store.row("a")


def test_a_row_with_a_number_outside_json_is_refused(store: Store) -> None:
    store.write_row(Row("a", "ok", test_score=1.0))
    with pytest.raises(ValueError, match="JSON compliant"):
        store.write_row(Row("a", "ok", test_score=float("nan")))
    assert store.row("a") == dataclasses.asdict(Row("a", "ok", test_score=1.0))


@pytest.mark.parametrize(
    "content",
    ["", '{"run_id": "a", "sta', '{"run_id": "b", "status": "ok"}', "[]", '{"run_id": "a"}'],
    ids=["empty", "torn", "another's", "no document", "no status"],
)
def test_a_damaged_row_is_none(content: str, store: Store) -> None:
    store.run("a").create().row.write_text(content)
    assert store.row("a") is None
    assert store.row("never run") is None


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


# Files


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


def test_a_file_is_flushed_before_it_gets_its_name_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    flush: Callable[[int], None] = os.fsync
    rename = Path.replace

    def noted_flush(handle: int) -> None:
        happened.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        flush(handle)

    def noted_rename(draft: Path, target: Path) -> Path:
        happened.append("rename")
        return rename(draft, target)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(Path, "replace", noted_rename)
    write_atomically(tmp_path / "row.json", "{}")
    assert happened == ["file", "rename", "folder"]


def test_a_written_file_has_the_usual_rights_and_no_other_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    before = os.umask(0o027)
    try:
        write_atomically(path, "ä\n")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes() == b"\xc3\xa4\n"


def test_a_link_keeps_its_target_and_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    target, link, pipe = (tmp_path / name for name in ("target", "link", "pipe"))
    target.write_text("before")
    link.symlink_to(target)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path in (link, pipe):
        write_atomically(path, "after")
    assert (target.read_text(), link.readlink()) == ("after", target)
    assert (os.read(reader, 100), pipe.is_fifo()) == (b"after", True)
    os.close(reader)


def test_only_old_drafts_of_the_file_are_removed(tmp_path: Path) -> None:
    old, young, of_another = (tmp_path / n for n in (".a.csv-old", ".a.csv-young", ".b.csv-old"))
    for draft in (old, young, of_another):
        draft.write_text("")
    for draft in (old, of_another):
        os.utime(draft, (1e9, 1e9))
    remove_drafts(tmp_path / "a.csv")
    assert sorted(tmp_path.iterdir()) == sorted([young, of_another])


def test_files_set_aside_twice_are_kept_twice(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    aside = []
    for content in ("one", "two"):
        path.write_text(content)
        aside.append(set_aside(path, "damaged"))
        assert not path.exists()
    assert [each.read_text() for each in aside if each] == ["one", "two"]
    assert set_aside(path, "damaged") is None


# The folder


def test_a_writable_folder_is_created_and_left_empty(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "results")
    store.check_writable()
    assert sorted(store.directory.rglob("*")) == [
        store.directory / "running",
        store.runs,
    ]


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=r"results_dir=.*file.*: cannot be written to .*results_dir"
    ):
        Store(tmp_path / "file" / "results").check_writable()

"""The index equals the rows, and reads each of them once."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmarks.results.index
from benchmarks.results.index import Entry, Index, checked_row
from benchmarks.results.row import Row
from benchmarks.results.store import Store

SECONDS = itertools.count(1_700_000_000)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def keep(
    store: Store, run_id: str, status: str = "ok", fingerprint: str = "f", starts: int = 1
) -> None:
    """Write a row, a second after the previous one, as a file system's clock may be coarse."""
    store.write_row(Row(run_id, status, fingerprint=fingerprint, starts=starts))
    moment = next(SECONDS)
    os.utime(store.runs / run_id / "row.json", (moment, moment))


def ids(entries: list[Entry]) -> list[str]:
    return [entry.run_id for entry in entries]


def test_rows_are_found_once_each_in_order(store: Store) -> None:
    index = Index(store.directory, repair=True)
    assert index.refresh() == []  # there is not even a folder
    for run_id in ("b", "a"):
        keep(store, run_id)
    store.run("running, without a row").create()
    assert ids(index.refresh()) == ["a", "b"]
    assert index.refresh() == []
    keep(store, "c")
    assert ids(index.refresh()) == ["c"]


@pytest.mark.parametrize("status", ["interrupted", "failed", "timeout"])
def test_a_run_that_can_be_resumed_is_checked_again(status: str, store: Store) -> None:
    keep(store, "a", status)
    index = store.index()
    keep(store, "a", "ok", starts=2)
    (entry,) = index.refresh()
    assert (entry.run_id, entry.status, entry.starts) == ("a", "ok", 2)
    assert index.entries == {"a": entry}


def test_an_ok_row_is_final_and_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    check = benchmarks.results.index.checked_row

    def counted(content: bytes, run_id: str) -> dict[str, object]:
        read.append(run_id)
        return check(content, run_id)

    monkeypatch.setattr(benchmarks.results.index, "checked_row", counted)
    keep(store, "a")
    keep(store, "b", "failed")
    index = store.index()
    for _ in range(3):
        index.refresh()
    assert read == ["a", "b"]
    index.save()
    again = store.index()
    assert read == ["a", "b"]
    assert again.entries == index.entries
    assert again.by_fingerprint == index.by_fingerprint


def test_a_removed_run_is_forgotten(store: Store) -> None:
    for run_id in ("a", "b"):
        keep(store, run_id)
    index = store.index()
    (store.runs / "a" / "row.json").unlink()
    (store.runs / "a").rmdir()
    index.refresh()
    assert list(index.entries) == ["b"]
    assert ids([e for e in [index.finished(["f"])] if e]) == ["b"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-3],
        lambda content: content.replace(b'"a"', b'"b"'),
        lambda content: content.replace(b'"ok"', b'"fine"'),
        lambda content: b"\xff\xfe" + content,
        lambda content: b"[1, 2]",
        lambda content: content + content,
    ],
    ids=["empty", "half", "torn", "another's", "status", "no text", "list", "twice"],
)
def test_a_damaged_row_is_named_and_set_aside(
    damage: Callable[[bytes], bytes], store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, "a")
    keep(store, "good")
    path = store.runs / "a" / "row.json"
    content = damage(path.read_bytes())
    path.write_bytes(content)
    # A read-only caller reports it and leaves it.
    reader = store.index(repair=False)
    assert list(reader.entries) == ["good"]
    assert f"{path} is damaged and not counted" in capsys.readouterr().out
    assert path.read_bytes() == content
    reader.refresh()
    assert capsys.readouterr().out == ""  # reported once
    index = store.index()
    assert list(index.entries) == ["good"]
    (aside,) = path.parent.iterdir()
    assert aside.name.startswith("row.json.damaged-")
    assert aside.read_bytes() == content
    assert f"{path} is damaged and set aside as {aside.name}" in capsys.readouterr().out


def test_a_row_damaged_later_is_found_when_it_is_read(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, "a")
    index = store.index()
    (store.runs / "a" / "row.json").write_text("{")
    assert index.row("a") is None
    assert index.finished(["f"]) is None
    assert "is damaged and set aside" in capsys.readouterr().out


def test_the_earliest_good_run_and_the_latest_of_all(store: Store) -> None:
    for run_id, status, fingerprint in (
        ("1", "failed", "cpu"),
        ("2", "ok", "cpu"),
        ("3", "ok", "cuda"),
        ("4", "interrupted", "cuda"),
        ("5", "ok", "another configuration"),
    ):
        keep(store, run_id, status, fingerprint)
    index = store.index()
    found = index.finished(["cuda", "cpu"]), index.latest(["cuda", "cpu"])
    assert ids([e for e in found if e]) == ["2", "4"]
    found = index.finished(["cuda"]), index.latest(["cpu"])
    assert ids([e for e in found if e]) == ["3", "2"]
    assert index.finished(["never run"]) is index.latest([]) is None


def test_a_run_with_a_new_fingerprint_is_found_under_that_only(store: Store) -> None:
    keep(store, "a", "interrupted", "before")
    index = store.index()
    keep(store, "a", "ok", "after", starts=2)
    index.refresh()
    assert index.latest(["before"]) is None
    assert index.finished(["after"]) is not None


@pytest.mark.parametrize("lost", ["fingerprint", "starts", "sweep"])
def test_a_row_of_an_older_version_is_indexed(lost: str, store: Store) -> None:
    row = dataclasses.asdict(Row("a", "ok", fingerprint="f", starts=1, sweep="s"))
    del row[lost]
    store.run("a").create().row.write_text(json.dumps(row | {"invented_later": 1}))
    (entry,) = store.index().entries.values()
    wanted = {"fingerprint": "f", "starts": 1, "sweep": "s"}
    wanted[lost] = {"fingerprint": "", "starts": 1, "sweep": ""}[lost]
    assert {name: getattr(entry, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    "content",
    [b"", b"another format\n[]\n", b"\xff\xff", b"rnnbench index 1\n{}\n", b"torn"],
    ids=["empty", "format", "no text", "no entry", "torn"],
)
def test_a_damaged_index_is_rebuilt(content: bytes, store: Store) -> None:
    keep(store, "a")
    index = store.index()
    index.save()
    if content == b"torn":
        content = index.file.read_bytes()[:-5]
    index.file.write_bytes(content)
    assert store.index().entries == index.entries


def test_a_saved_index_may_be_older_than_the_rows(store: Store) -> None:
    keep(store, "a", "interrupted")
    keep(store, "gone")
    store.index().save()
    keep(store, "a", "ok", starts=2)
    keep(store, "new")
    (store.runs / "gone" / "row.json").unlink()
    (store.runs / "gone").rmdir()
    index = store.index()
    found = {run_id: (entry.status, entry.starts) for run_id, entry in index.entries.items()}
    assert found == {"a": ("ok", 2), "new": ("ok", 1)}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_index_that_cannot_be_saved_is_no_error(store: Store) -> None:
    keep(store, "a")
    store.directory.chmod(0o500)
    try:
        store.index().save()
    finally:
        store.directory.chmod(0o700)


def test_a_whole_row_is_a_row() -> None:
    assert checked_row(b'{"run_id": "a", "status": "ok"}', "a") == {"run_id": "a", "status": "ok"}

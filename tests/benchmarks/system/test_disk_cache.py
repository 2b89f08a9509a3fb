"""Prepared data is built once; a damaged, unwritable or contested cache costs time, not the run."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmarks.system.disk_cache
from benchmarks.system.disk_cache import DiskCache, cache_directory
from tasks.base import Arrays

ARRAYS: Arrays = {"tokens": np.arange(1000), "labels": np.array([[0.5], [1.5]])}
FACTS = {"size": 3, "name": "naïve"}


class Builder:
    """Builds the same every time and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> tuple[Arrays, dict[str, Any]]:
        self.calls += 1
        return ARRAYS, FACTS


def assert_whole(found: tuple[Arrays, dict[str, Any]]) -> None:
    arrays, facts = found
    assert facts == FACTS
    assert arrays.keys() == ARRAYS.keys()
    assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)


def entries(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_second_call_builds_nothing(tmp_path: Path) -> None:
    build = Builder()
    assert_whole(DiskCache(tmp_path / "deep" / "cache")("key", build))
    assert_whole(DiskCache(tmp_path / "deep" / "cache")("key", build))
    assert build.calls == 1
    assert entries(tmp_path / "deep" / "cache") == ["key"]


def test_another_key_is_another_entry(tmp_path: Path) -> None:
    build, cache = Builder(), DiskCache(tmp_path)
    cache("one", build)
    cache("two", build)
    assert build.calls == 2


def test_whoever_writes_to_the_arrays_writes_to_no_file(tmp_path: Path) -> None:
    arrays, _ = DiskCache(tmp_path)("key", Builder())
    arrays["tokens"][:] = -1
    assert_whole(DiskCache(tmp_path)("key", Builder()))


def cut_in_half(entry: Path) -> None:
    content = (entry / "tokens.npy").read_bytes()
    (entry / "tokens.npy").write_bytes(content[: len(content) // 2])


def empty_array(entry: Path) -> None:
    (entry / "tokens.npy").write_bytes(b"")


def remove_array(entry: Path) -> None:
    (entry / "tokens.npy").unlink()


def break_facts(entry: Path) -> None:
    (entry / "facts.json").write_text('{"arrays": ["tok')


def empty_facts(entry: Path) -> None:
    (entry / "facts.json").write_text("")


def replace_facts(entry: Path) -> None:
    (entry / "facts.json").write_text(json.dumps(["another program's"]))


def remove_facts(entry: Path) -> None:
    (entry / "facts.json").unlink()


DAMAGES = [cut_in_half, empty_array, remove_array, break_facts, empty_facts, replace_facts]


@pytest.mark.parametrize("damage", [*DAMAGES, remove_facts])
def test_a_damaged_entry_is_rebuilt(damage: Callable[[Path], None], tmp_path: Path) -> None:
    build, cache = Builder(), DiskCache(tmp_path)
    cache("key", build)
    damage(tmp_path / "key")
    assert_whole(cache("key", build))
    assert_whole(cache("key", build))
    assert build.calls == 2


def test_a_damaged_entry_is_set_aside_and_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = DiskCache(tmp_path)
    cache("key", Builder())
    cut_in_half(tmp_path / "key")
    cache("key", Builder())
    whole, aside = entries(tmp_path)
    assert whole == "key"
    assert aside.startswith("key.broken-")
    assert aside in capsys.readouterr().out


def test_a_damaged_entry_that_another_process_set_aside_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = benchmarks.system.disk_cache.read_entry

    def read_late(entry: Path) -> tuple[Arrays, dict[str, Any]]:
        try:
            return read(entry)
        except ValueError:
            entry.rename(tmp_path / "set aside by another")
            raise

    cache = DiskCache(tmp_path)
    cache("key", Builder())
    cut_in_half(tmp_path / "key")
    monkeypatch.setattr(benchmarks.system.disk_cache, "read_entry", read_late)
    assert_whole(cache("key", Builder()))


def test_a_cache_that_cannot_be_written_still_gives_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    build = Builder()
    assert_whole(DiskCache(tmp_path / "file" / "cache")("key", build))
    assert build.calls == 1
    assert "could not be cached" in capsys.readouterr().out


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> tuple[Arrays, dict[str, Any]]:
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        DiskCache(tmp_path)("key", fail)
    assert entries(tmp_path) == []


def test_a_write_that_fails_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    assert_whole(DiskCache(tmp_path)("key", Builder()))
    assert entries(tmp_path) == []


def build_concurrently(directory: Path, both_build: Barrier) -> None:
    def build() -> tuple[Arrays, dict[str, Any]]:
        both_build.wait(timeout=300)
        return ARRAYS, FACTS

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert_whole(DiskCache(directory)("key", build))
    assert printed.getvalue() == ""


def test_two_processes_may_build_one_entry_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both_build = context.Barrier(2)
    builders = [
        context.Process(target=build_concurrently, args=(tmp_path, both_build)) for _ in range(2)
    ]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(timeout=300)
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert entries(tmp_path) == ["key"]
    unneeded = Builder()
    assert_whole(DiskCache(tmp_path)("key", unneeded))
    assert unneeded.calls == 0


def test_the_default_place_follows_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "rnnbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "rnnbench"

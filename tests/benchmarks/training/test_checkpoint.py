"""A checkpoint is restored exactly, or refused with the reason and set aside."""

from __future__ import annotations

import json
import math
import os
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import benchmarks.runner.checkpointing
import benchmarks.system.atomic_files
from benchmarks.results.row import Row
from benchmarks.results.run_folder import RunFolder
from benchmarks.runner.checkpointing import RunCheckpoint, source_sha256
from benchmarks.system.load import ConcurrentRuns
from benchmarks.training.checkpoint import (
    FORMAT,
    CheckpointError,
    digest,
    read_checkpoint,
    write_checkpoint,
)

TENSORS = {
    "weights": torch.tensor([0.1, -0.0, math.inf, -math.inf, 1e-45, 3.4e38]).view(2, 3),
    "not a number": torch.tensor([math.nan]),
    "double": torch.tensor(math.pi, dtype=torch.float64),
    "random state": torch.randint(0, 256, (100,), dtype=torch.uint8),
    "step": torch.tensor(2**24 + 1, dtype=torch.int64),
    "transposed": torch.arange(6.0).view(2, 3).T,
    "brain": torch.tensor([1.5, -0.1], dtype=torch.bfloat16),
    "half": torch.tensor([1.5], dtype=torch.bfloat16).to(torch.float16),
    "empty": torch.zeros(0, 3),
}
FACTS: dict[str, Any] = {
    "seconds": 0.1 + 0.2,
    "small": 5e-324,
    "negative zero": -0.0,
    "large": 2**63 + 1,
    "nested": {"history": [{"loss": 1 / 3}, {"loss": math.e}], "none": None, "yes": True},
    "text": 'naïve " \\ \n 例',
}


def bits(tensor: Tensor) -> bytes:
    return tensor.flatten().view(torch.uint8).numpy().tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = RunFolder(tmp_path).checkpoint
    write_checkpoint(path, TENSORS, FACTS)
    return path


def test_a_checkpoint_is_restored_bit_for_bit(path: Path) -> None:
    tensors, facts = read_checkpoint(path)
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (tensors[name].dtype, tensors[name].shape) == (tensor.dtype, tensor.shape)
        assert bits(tensors[name]) == bits(tensor)
    assert facts == FACTS
    assert math.copysign(1, facts["negative zero"]) == -1
    assert struct.pack("d", facts["seconds"]) == struct.pack("d", FACTS["seconds"])


def test_trainable_tensors_and_views_are_saved(tmp_path: Path) -> None:
    first, second = torch.arange(6.0).split(3)
    tensors = {"one": first, "other": second, "learns": torch.ones(2, requires_grad=True)}
    write_checkpoint(tmp_path / "c", tensors, {})
    back, _ = read_checkpoint(tmp_path / "c")
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert not back["learns"].requires_grad


def regions(content: bytes) -> dict[str, range]:
    """Return the byte ranges of a safetensors file: length, header with the facts, tensors."""
    header = int.from_bytes(content[:8], "little")
    facts = content.index(b"facts")
    checksum = content.index(b"sha256")
    return {
        "length": range(8),
        "header": range(8, 8 + header),
        "facts": range(facts, facts + 200),
        "checksum": range(checksum, checksum + 70),
        "tensors": range(8 + header, len(content)),
    }


@pytest.mark.parametrize("region", ["length", "header", "facts", "checksum", "tensors"])
def test_flipped_bits_are_detected(region: str, path: Path) -> None:
    """A few bytes of the header do not affect the content."""
    content = path.read_bytes()
    wanted, _ = read_checkpoint(path)
    places = list(regions(content)[region])
    chance = random.Random(region)
    refused = 0
    for place in chance.sample(places, min(len(places), 150)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            tensors, facts = read_checkpoint(path)
        except CheckpointError:
            refused += 1
            continue
        assert facts == FACTS
        assert {name: bits(tensor) for name, tensor in tensors.items()} == {
            name: bits(tensor) for name, tensor in wanted.items()
        }
        assert region == "header"
    assert refused >= 0.95 * min(len(places), 150)


def test_a_truncated_checkpoint_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for length in {0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            read_checkpoint(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(path)


def weights_alone(path: Path) -> None:
    save_file({"weights": torch.zeros(1)}, path)


def without_a_checksum(path: Path) -> None:
    save_file({"weights": torch.zeros(1)}, path, {"facts": json.dumps({"format": FORMAT})})


def of_no_format(path: Path) -> None:
    save_file({}, path, {"facts": "{}", "sha256": digest("{}", {})})


def facts_of_another_kind(path: Path) -> None:
    save_file({}, path, {"facts": "[]", "sha256": digest("[]", {})})


def a_pickle(path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, path)


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    "write",
    [
        weights_alone,
        without_a_checksum,
        of_no_format,
        facts_of_another_kind,
        a_pickle,
        a_folder,
    ],
)
def test_other_files_are_refused(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(RunFolder(tmp_path).checkpoint)
    with pytest.raises(CheckpointError, match=r"damaged|another version"):
        read_checkpoint(RunFolder(tmp_path).checkpoint)


def test_a_checkpoint_of_another_format_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.training.checkpoint.FORMAT", FORMAT + 1)
    with pytest.raises(CheckpointError, match="another version of rnnbench wrote it"):
        read_checkpoint(path)


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_the_old_checkpoint_survives_a_write_that_fails(
    failing: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if failing == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(benchmarks.system.atomic_files, "new_file", full)
        with pytest.raises(OSError, match="No space left"):
            write_checkpoint(path, {}, {"new": True})
    assert read_checkpoint(path)[1] == FACTS
    assert [*path.parent.iterdir()] == [path]


# Validity


def row(**changes: Any) -> Row:
    same = {"fingerprint": "f" * 16, "torch_version": "2", "git_commit": "c" * 40}
    return Row("run", "interrupted", **(same | changes))


def begun(folder: Path, device_type: str = "cpu", **changes: Any) -> RunCheckpoint:
    """Return the checkpoint of a new start of the run."""
    started = time.perf_counter()
    return RunCheckpoint(RunFolder(folder), row(**changes), device_type, ConcurrentRuns(), started)


def written(folder: Path) -> RunCheckpoint:
    earlier = begun(folder)
    earlier.earlier_seconds = 100.0
    earlier.concurrent.maximum = 3
    earlier.write({"weights": torch.ones(2)}, {"epoch": 7})
    return earlier


def test_the_same_code_resumes(tmp_path: Path) -> None:
    assert begun(tmp_path).read() is None
    written(tmp_path)
    # Starts may differ in threads, machine, time and commits that change no code.
    later = begun(tmp_path, threads=8, device_name="another", seed=None, git_commit=None)
    found = later.read()
    assert found is not None
    assert torch.equal(found[0]["weights"], torch.ones(2))
    assert found[1] == {"epoch": 7}
    assert later.earlier_seconds >= 100
    assert later.concurrent.maximum == 3


@pytest.mark.parametrize(
    ("changes", "device_type", "named"),
    [
        ({"fingerprint": "0" * 16}, "cpu", "fingerprint"),
        ({"torch_version": "3"}, "cpu", "torch_version"),
        ({}, "cuda", "device_type"),
    ],
)
def test_a_checkpoint_of_another_run_is_reported_and_set_aside(
    changes: dict[str, Any],
    device_type: str,
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written(tmp_path)
    content = RunFolder(tmp_path).checkpoint.read_bytes()
    later = begun(tmp_path, device_type, **changes)
    assert later.read() is None
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith("checkpoint.safetensors.unusable-")
    assert aside.read_bytes() == content
    printed = capsys.readouterr().out
    assert f"{RunFolder(tmp_path).checkpoint} cannot be used: its {named} is " in printed
    assert aside.name in printed
    assert (later.earlier_seconds, later.concurrent.maximum) == (0, 1)


def test_a_checkpoint_of_other_source_code_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path)
    monkeypatch.setattr(benchmarks.runner.checkpointing, "source_sha256", lambda: "other")
    assert begun(tmp_path).read() is None
    assert "its source code is " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["layer.py", "cells.cpp", "forward.h"])
def test_the_source_hash_includes_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(benchmarks.runner.checkpointing, "PROJECT_ROOT", tmp_path)
    file = tmp_path / "models" / "kernels" / name
    file.parent.mkdir(parents=True)
    hashes = []
    for content in ("one", "other", "other"):
        file.write_text(content)
        file.with_suffix(".txt").write_text(str(len(hashes)))
        hashes.append(source_sha256.__wrapped__())
    assert hashes[0] != hashes[1] == hashes[2]


def test_drafts_of_a_killed_start_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.safetensors-draft").write_bytes(b"half")
    begun(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_reported_and_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path)
    content = RunFolder(tmp_path).checkpoint.read_bytes()
    RunFolder(tmp_path).checkpoint.write_bytes(content[:-1])
    assert begun(tmp_path).read() is None
    (aside,) = tmp_path.iterdir()
    printed = capsys.readouterr().out
    assert "cannot be used: it is damaged" in printed
    assert f"kept as {aside.name}, the run restarts" in printed


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_checkpoint_is_removed_unless_the_run_may_resume(is_kept: bool, tmp_path: Path) -> None:
    checkpoint = written(tmp_path)
    checkpoint.is_kept = is_kept
    checkpoint.remove_if_obsolete()
    assert [*tmp_path.iterdir()] == ([RunFolder(tmp_path).checkpoint] if is_kept else [])


def test_tied_weights_are_restored(tmp_path: Path) -> None:
    tied = torch.arange(6.0).reshape(2, 3)
    write_checkpoint(tmp_path / "c", {"a": tied, "b": tied, "c": tied[0]}, {})
    tensors, _ = read_checkpoint(tmp_path / "c")
    assert torch.equal(tensors["a"], tied)
    assert torch.equal(tensors["b"], tied)
    assert torch.equal(tensors["c"], tied[0])

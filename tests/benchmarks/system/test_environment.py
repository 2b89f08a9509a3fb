"""Devices, threads and the state of the checkout."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import benchmarks.system.environment
from benchmarks.errors import UserError
from benchmarks.results.row import COLUMNS
from benchmarks.system.environment import (
    available_cores,
    choose_device,
    git_state,
    prepare_process,
)


@pytest.fixture
def _process_as_before() -> Iterator[None]:
    threads, random_state = torch.get_num_threads(), torch.get_rng_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(random_state)
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.usefixtures("_process_as_before")
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_environment_describes_the_process(deterministic: bool) -> None:
    device, environment = prepare_process("cpu", 2, deterministic)
    assert device == torch.device("cpu")
    assert torch.get_num_threads() == environment.threads == 2
    assert (
        torch.are_deterministic_algorithms_enabled() == environment.deterministic == deterministic
    )
    assert environment.torch_version == torch.__version__
    assert environment.device_name
    assert set(dataclasses.asdict(environment)) <= set(COLUMNS)


@pytest.mark.usefixtures("_process_as_before")
def test_no_more_threads_than_cores_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
        assert available_cores() == 1
        _, environment = prepare_process("cpu", None, True)
        assert environment.threads == 1


@pytest.mark.parametrize(("value", "cores"), [("1", 1), ("1,4", 1), ("0", None), ("x", None)])
def test_threads_follow_omp_num_threads(
    value: str, cores: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    free = available_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert available_cores() == (cores or free)


@pytest.mark.parametrize(
    "files",
    [
        {"cpu.max": "100000 100000"},
        {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"},
    ],
    ids=["v2", "v1"],
)
def test_threads_follow_the_quota_of_a_container(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(benchmarks.system.environment, "CGROUP", tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert available_cores() == 1


@pytest.mark.parametrize(
    ("cuda", "wanted", "chosen"),
    [
        (False, "auto", "cpu"),
        (False, "cpu", "cpu"),
        (True, "auto", "cuda"),
        (True, "cpu", "cpu"),
        (True, "cuda:1", "cuda:1"),
    ],
)
def test_devices(cuda: bool, wanted: str, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(wanted) == torch.device(chosen)


@pytest.mark.parametrize(
    ("cuda", "wanted", "allowed"),
    [
        (False, "cuda", "allowed: auto, cpu"),
        (True, "cuda:2", "allowed: auto, cpu, cuda, cuda:0, cuda:1"),
        (True, "gpu", "allowed: auto, cpu, cuda, cuda:0, cuda:1"),
    ],
)
def test_a_device_that_is_not_there(
    cuda: bool, wanted: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=f"train.device={wanted}: .*{allowed}"):
        choose_device(wanted)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository with one commit, which replaces the project's own."""
    author = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": os.devnull}
    author |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    for name, value in author.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "benchmarks").mkdir()
    source = tmp_path / "benchmarks" / "environment.py"
    source.write_text("committed")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    monkeypatch.setattr(benchmarks.system.environment, "PROJECT_ROOT", tmp_path)
    return tmp_path


def test_git_state_of_a_clean_and_a_changed_checkout(checkout: Path) -> None:
    commit, dirty = git_state()
    assert commit is not None
    assert len(commit) == 40
    assert dirty is False
    (checkout / "benchmarks" / "environment.py").write_text("changed")
    assert git_state() == (commit, True)


def test_git_state_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(benchmarks.system.environment, "PROJECT_ROOT", tmp_path)
    assert git_state() == (None, None)


@pytest.mark.usefixtures("checkout")
def test_git_state_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state() == (None, None)

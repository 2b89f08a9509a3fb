"""What runs within a test's process change in it, put back; and what several files begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.config.compose import hydra_at
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.sweeps import scheduler
from benchmarks.system import processes as owner
from tasks.base import Task
from tests.helpers import one_training
from tests.helpers.faked_sweeps import Sweep
from tests.helpers.paths import ROOT

pytest.register_assert_rewrite("several_trainings")  # it says how two trainings differ


@pytest.fixture(autouse=True)
def _as_deterministic_as_before() -> Iterator[None]:
    mode = torch.get_deterministic_debug_mode()
    yield
    torch.set_deterministic_debug_mode(mode)


@pytest.fixture
def hydra() -> Iterator[None]:
    """Keep Hydra at the configuration of the project, with its schemas."""
    register_schemas()
    with hydra_at(ROOT / "conf"):
        yield


@pytest.fixture(scope="session")
def load_shortened(shared_cache: Path) -> one_training.Load:
    """Load the task of a configuration, of which each epoch has a few steps."""

    def load(config: Config) -> Task:
        task = one_training.loaded(config.task, shared_cache)
        task.to(torch.device("cpu"), getattr(torch, config.train.dtype))
        return task

    return load


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Sweeps in a results folder of their own, that wait for nobody."""
    monkeypatch.setattr(owner, "queued_jobs", lambda **asked: None)
    monkeypatch.setattr(scheduler, "RECHECK_SECONDS", 0.0)
    return Sweep(tmp_path)

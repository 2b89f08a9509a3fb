"""The tasks of the contract tests, each loaded once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from benchmarks.system.disk_cache import DiskCache
from tasks.base import Task
from tests.helpers.definitions import composed


@pytest.fixture(scope="session")
def loaded(shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Task]:
    """Load a task on its default data, once; without a hub, so that the data is always the same."""

    @cache
    def load(name: str) -> Task:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_HUB_OFFLINE", "1")
            patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("empty-hub-cache")))
            task = composed("lstm", name).task.load(DiskCache(shared_cache))
        task.to(torch.device("cpu"), torch.float32)
        return task

    return load

"""What all tests share: where things are, and a cache and results of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported: its profiler's library must not log into what tests read.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory for prepared data that lives as long as the test session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Threads that wait for one another are slow beside any other busy process."""
    import torch

    torch.set_num_threads(1)

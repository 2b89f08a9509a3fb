"""Fixtures of the tests of leases' processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.system.processes import JOB_VARIABLE


@pytest.fixture(autouse=True)
def _outside_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOB_VARIABLE, raising=False)


@pytest.fixture
def beat(tmp_path: Path) -> Path:
    file = tmp_path / "lease.json"
    file.touch()
    return file

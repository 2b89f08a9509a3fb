"""Fixtures of the fault tests, and their table: what was injected, lost and wrong.

The short form tries some places of each kind. The long one, 200 kills of a single run, every step
on the disk, 36 cells, 64 runs at once:

    RNNBENCH_FAULTS=200 pytest tests/faults --timeout 3600
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.calling import warm_starts
from tests.helpers.faulty import ALWAYS, SMALL, FaultTable, Numbers, numbers_of, rows_of
from tests.helpers.warm import WarmStarts


@pytest.fixture(scope="session")
def faults(request: pytest.FixtureRequest) -> Iterator[FaultTable]:
    """Return the counts of faults."""
    table = FaultTable()
    yield table
    request.config.faults += table.rows()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def warm() -> WarmStarts:
    """Run commands without start-up time."""
    return warm_starts()


@pytest.fixture(scope="session")
def small(shared_cache: Path) -> list[str]:
    """Return the command line of a small run with a checkpoint after every step."""
    return [*SMALL, ALWAYS, f"cache_dir={shared_cache}"]


@pytest.fixture(scope="session")
def right(warm: WarmStarts, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    """Return the results of the small run without faults."""
    folder = tmp_path_factory.mktemp("undisturbed") / "results"
    done = warm.run(small, folder)
    assert done.code == 0, done.errors
    (run_id,) = rows_of(folder)
    return numbers_of(folder, run_id)

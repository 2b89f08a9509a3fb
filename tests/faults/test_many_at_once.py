"""Many short runs at once into one results folder: a row each, and a table that shows them all."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.faulty import (
    ROUNDS,
    FaultTable,
    by_fingerprint,
    finished_rows,
    is_complete,
    rows_of,
)
from tests.helpers.warm import WarmStarts

RUNS = 64 if ROUNDS else 16


def test_many_runs_at_once_leave_as_many_rows(
    warm: WarmStarts, small: list[str], faults: FaultTable, tmp_path: Path
) -> None:
    """Half of them run one configuration, which single runs may do concurrently."""
    fault, folder = faults("concurrent runs into one folder"), tmp_path / "results"
    seeds = [0] * (RUNS // 2) + list(range(1, RUNS // 2 + 1))
    all_ended = warm.run_at_once(
        [[*small, "debug=smoke", f"seed={seed}"] for seed in seeds], folder
    )
    fault.injected += RUNS
    assert [done.code for done in all_ended] == [0] * RUNS, all_ended
    fault.lost += RUNS - len(rows_of(folder))
    assert len(finished_rows(folder)) == len(rows_of(folder)) == RUNS
    assert is_complete(folder)
    assert len(by_fingerprint(folder)) == RUNS // 2 + 1
    assert not list((folder / "running").iterdir())
    assert not list(folder.glob(".results.csv-*"))
    assert max(row["concurrent_runs"] for row in rows_of(folder).values()) > 1

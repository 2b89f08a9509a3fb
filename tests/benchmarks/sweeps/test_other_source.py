"""Finished cells that other code has computed are skipped, and named."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.runner.row_columns import source_of
from benchmarks.sweeps.progress import show_outcomes
from benchmarks.sweeps.scheduler import row_of
from tests.helpers.faked_sweeps import CONFIG, Sweep, writes_row

CURRENT = source_of(CONFIG)


def with_sources(*sources: str | None) -> dict[str, Any]:
    """Return the behaviour of cells that these sources compute."""
    return {
        f"cell_{n}": writes_row("ok", test_score=1.0, source_sha256=source)
        for n, source in enumerate(sources)
    }


def test_cells_of_other_source_are_named_and_not_run_again(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.run(4, **with_sources("other-code", CURRENT, None, "old-code"))
    assert "has changed" not in capsys.readouterr().out
    outcomes, launcher = sweep.run(4)
    assert launcher.numbers == []
    out = capsys.readouterr().out
    assert "4 of 4 cells already finished" in out
    assert (
        "warning: code of the model, task or training has changed since 2 cells finished: seed=0, "
        "seed=3; resume=never runs every cell of the command again" in out
    )
    assert [each.is_of_other_source for each in outcomes] == [True, False, False, True]
    show_outcomes(outcomes, 4, {})
    assert capsys.readouterr().out.count("earlier, other code") == 2


def test_a_cell_that_was_run_again_is_not_named(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.run(1, **with_sources("other-code"))
    again = sweep.row("run-0") | {"run_id": "run-1", "test_score": 2.0, "source_sha256": CURRENT}
    sweep.store.write_row(row_of(again))
    capsys.readouterr()
    (outcome,), launcher = sweep.run(1)
    assert launcher.numbers == []
    assert (outcome.run_id, outcome.score) == ("run-1", 2.0)
    assert not outcome.is_of_other_source
    assert "has changed" not in capsys.readouterr().out


def test_undertrained_runs_are_counted(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    behaviour = writes_row("ok", undertrained=True)
    smoke = writes_row("ok", undertrained=True, smoke=True)
    outcomes, _ = sweep.run(3, cell_0=behaviour, cell_2=smoke)
    show_outcomes(outcomes, 3, {})
    assert "note: 1 run undertrained: longer training may improve" in capsys.readouterr().out

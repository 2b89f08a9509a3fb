"""Sentences about excluded rows."""

from __future__ import annotations

import pytest

from benchmarks.reporting.sentences import singular


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("smoke tests", "smoke test"),
        ("runs that ended as failed", "run that ended as failed"),
        ("runs without a score", "run without a score"),
        ("duplicate rows of a run", "duplicate row of a run"),
        ("earlier runs of the same arm and seed", "earlier run of the same arm and seed"),
        (
            "trials of a search that were not its best by validation",
            "trial of a search that was not its best by validation",
        ),
    ],
)
def test_the_reason_of_a_single_row(reason: str, wanted: str) -> None:
    assert singular(reason) == wanted

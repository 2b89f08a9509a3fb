"""Rows of multi-seed runs, which have no training time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.reporting.renderers import as_markdown
from benchmarks.reporting.tables import sections_of
from scripts.report import main
from tests.helpers.result_tables import arm, compared, grouped, write

TOGETHER: dict[str, Any] = {"trained_together": 3, "train_seconds": "", "latency_ms_p50": 2.0}
ALONE = {"train_seconds": 4.0, "latency_ms_p50": 2.0}
NOTE = "multi-seed runs without training time"


def test_an_arm_without_times_is_compared_by_its_scores(tmp_path: Path) -> None:
    group = grouped(
        tmp_path,
        arm("lstm", [0.9, 0.91, 0.92], **TOGETHER),
        arm("gru", [0.7, 0.71, 0.73], **ALONE),
    )
    lstm, gru = group.arms
    assert (lstm.model, lstm.train_seconds, lstm.latency_ms) == ("lstm", None, 2.0)
    assert (gru.train_seconds, gru.score.n) == (4.0, 3)
    assert len(group.pairs) == 1
    assert [note for note in group.notes if NOTE in note] == [f"{NOTE}: lstm"]


def test_times_are_medians_of_the_known_ones(tmp_path: Path) -> None:
    some = arm("lstm", [0.9, 0.91], **TOGETHER) + arm("lstm", [0.92], [2], **ALONE)
    (only,) = grouped(tmp_path, some).arms
    assert (only.score.n, only.train_seconds) == (3, 4.0)


def test_the_mark_of_an_unreliable_latency_is_explained(tmp_path: Path) -> None:
    """These rows have no training time that could be unreliable."""
    busy = {"device": "cpu", "threads": 1, "load_average": 3.0}
    found = compared(tmp_path, arm("lstm", [0.9, 0.91], **(TOGETHER | busy)))
    text = as_markdown(sections_of(found, only_changed=False))
    assert "2.00?" in text
    assert "? unreliable time" in text


def test_single_seed_runs_have_no_note(tmp_path: Path) -> None:
    rows = arm("lstm", [0.9, 0.91], **ALONE)
    assert not any(NOTE in note for note in grouped(tmp_path, rows).notes)
    rows = arm("lstm", [0.9, 0.91], trained_together="", **ALONE)
    assert not any(NOTE in note for note in grouped(tmp_path, rows).notes)


def test_rows_without_the_metric_are_excluded(tmp_path: Path) -> None:
    arms = arm("lstm", [0.9, 0.91], **TOGETHER), arm("gru", [0.7, 0.71], **ALONE)
    found = compared(tmp_path, *arms, metric="train_seconds")
    assert [each.model for group in found.groups for each in group.arms] == ["gru"]
    assert [(left.reason, left.count) for left in found.left_out] == [
        ("runs without train_seconds", 2)
    ]


@pytest.mark.parametrize("all_of_them", [True, False])
def test_a_report_of_such_rows_is_made(all_of_them: bool, tmp_path: Path) -> None:
    rows = arm("lstm", [0.9, 0.91], **TOGETHER)
    rows += arm("gru", [0.7, 0.71], **(TOGETHER if all_of_them else ALONE))
    (tmp_path / "r" / "runs").mkdir(parents=True)
    write(tmp_path / "r" / "results.csv", rows)
    assert main([str(tmp_path / "r"), "-o", str(tmp_path / "page.html")]) == 0
    assert NOTE in (tmp_path / "page.html").read_text(encoding="utf-8")

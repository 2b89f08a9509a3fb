"""The facts about columns, and the lists derived from them."""

from __future__ import annotations

import pytest

import tasks
from benchmarks.analysis.notes import DISTINGUISHING
from benchmarks.analysis.row_filter import GROUP, SETTINGS
from benchmarks.config.registry import definitions
from benchmarks.results.row import COLUMNS, FACTS, KINDS, Row, columns_where
from tasks.base import TaskSettings


def test_every_column_is_described() -> None:
    assert [name for name, facts in FACTS.items() if not facts.help] == []
    assert [n for n, f in FACTS.items() if n.endswith("_seconds") and f.unit != "s"] == []
    assert [n for n, f in FACTS.items() if n.endswith("_mib") and f.unit != "MiB"] == []
    assert len(COLUMNS) == len(set(COLUMNS))


def test_kinds_are_plain_types() -> None:
    kinds = {name: KINDS[name] for name in ("status", "seed", "test_score", "smoke")}
    assert kinds == {"status": str, "seed": int, "test_score": float, "smoke": bool}


@pytest.mark.parametrize("settings", definitions(tasks, TaskSettings).values())
def test_the_metric_of_a_task_is_a_score(settings: type[TaskSettings]) -> None:
    metric = settings().primary_metric
    facts = FACTS[metric.name]
    assert facts.section == "score"
    assert facts.better == ("higher" if metric.higher_is_better else "lower")


def test_every_column_with_a_direction_is_shown() -> None:
    directed = columns_where(better=("higher", "lower"))
    assert [name for name in directed if FACTS[name].section is None] == []


def test_ordered_lists_are_complete() -> None:
    """Their order is for readers; their names are facts of the columns."""
    assert {*SETTINGS} == {*columns_where(kind="setting")}
    assert {*DISTINGUISHING} == {*GROUP, "dataset"} - {"task", "metric"}


def test_columns_by_facts() -> None:
    names = ("state_bytes", "peak_memory_mib", "peak_rss_mib")
    assert columns_where(section="memory") == names
    assert columns_where(comparable=("table", "model")) == (
        *("schema_version", "smoke"),
        "model_version",
    )


@pytest.mark.parametrize(
    ("status", "is_failure", "is_resumable"),
    [
        ("ok", False, False),
        ("failed", True, False),
        ("diverged", True, False),
        ("out_of_memory", True, False),
        ("timeout", True, True),
        ("interrupted", False, True),
    ],
)
def test_statuses(status: str, is_failure: bool, is_resumable: bool) -> None:
    row = Row("run", status)
    assert row.status == status
    assert (row.status.is_failure, row.status.is_resumable) == (is_failure, is_resumable)


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown"):
        Row("run", "unknown")

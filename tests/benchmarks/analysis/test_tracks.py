"""Tracks of a comparison: dynamic and static rows are never in one group."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.analysis.comparison import NOT_COMPARABLE
from tests.helpers.result_tables import GRU, LSTM, RNN, Row, arm, compared, fixed, grouped, write

DYNAMIC: Row = {"track": "dynamic", "arm": "d", "members": "r0"}


@pytest.mark.parametrize("static", ["", "static"])
def test_tracks_are_ranked_apart_and_a_line_says_why(tmp_path: Path, static: str) -> None:
    rows = (
        arm("lstm", LSTM, arm="l", track=static),
        arm("gru", GRU, arm="g", track=static),
        arm("gru", [score + 0.1 for score in GRU], **DYNAMIC),
        fixed("majority", 0.5, track=static),
    )
    comparison = compared(tmp_path, *rows)
    dynamic, other = sorted(comparison.groups, key=lambda group: len(group.arms))
    assert [each.label for each in dynamic.arms] == ["gru"]
    assert {each.label for each in other.arms} == {"lstm", "gru", "majority"}
    assert dynamic.pairs == []
    assert (dynamic.title, other.title) == ("toy, track dynamic", "toy, track static")
    assert "not comparable with 3 arms of the same task: track dynamic here, static there" in (
        dynamic.notes
    )
    assert "not comparable with 1 arm of the same task: track static here, dynamic there" in (
        other.notes
    )
    assert any(note.startswith("track dynamic: the evaluation updates") for note in dynamic.notes)
    assert not any(note.startswith(("track", "ensembles")) for note in other.notes)
    assert not any(note.startswith("ensembles") for note in dynamic.notes)


def test_dynamic_rows_alone_say_so(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("gru", GRU, **DYNAMIC), arm("rnn", RNN, **DYNAMIC | {"arm": "e"}))
    assert any(note.startswith("track dynamic: ") for note in group.notes)
    assert len(group.pairs) == 1


def test_a_failed_static_run_is_not_counted_for_the_dynamic_arm(tmp_path: Path) -> None:
    failed: list[Row] = [row | {"status": "failed"} for row in arm("gru", [0.0], [9], arm="g")]
    failed[0]["test_score"] = ""
    comparison = compared(tmp_path, arm("gru", GRU, **DYNAMIC), failed, arm("lstm", LSTM, arm="l"))
    (dynamic,) = (g for g in comparison.groups if "dynamic" in g.title)
    assert [(each.label, each.failures) for each in dynamic.all_arms] == [("gru", {})]


def test_tables_of_different_tracks_have_no_verdict(tmp_path: Path) -> None:
    from benchmarks.analysis.diff import changes

    before = write(tmp_path / "a.csv", arm("gru", GRU, arm="g"))
    after = write(tmp_path / "b.csv", arm("gru", LSTM, **DYNAMIC))
    (change,) = changes(before, after).changes
    assert change.verdict == NOT_COMPARABLE
    assert "track static in A, dynamic in B" in change.reason


def test_a_table_without_the_column_is_static(tmp_path: Path) -> None:
    comparison = compared(tmp_path, arm("gru", GRU), arm("lstm", LSTM))
    (group,) = comparison.groups
    assert group.title == "toy"
    assert len(group.arms) == 2
    assert not any("track" in note for note in [*comparison.notes, *group.notes])

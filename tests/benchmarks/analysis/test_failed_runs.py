"""Failed runs are counted beside the completed ones, by arm and status."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import fisher_exact

from benchmarks.analysis.compare import compare
from benchmarks.analysis.diff import changes
from benchmarks.reporting.html.overview import arm_table
from benchmarks.reporting.json_csv import as_json, comparison_csv, comparison_json
from benchmarks.reporting.renderers import as_markdown
from benchmarks.reporting.tables import change_count_text, sections_of
from tests.helpers.result_tables import (
    GRU,
    LSTM,
    RNN,
    Row,
    arm,
    changed,
    compared,
    fixed,
    grouped,
    pair_of,
    write,
)

Counts = dict[str, tuple[int, int, dict[str, int]]]


def failed(model: str, seeds: list[Any], status: str = "diverged", **more: Any) -> list[Row]:
    return arm(model, [""] * len(seeds), seeds, status=status, **more)  # type: ignore[list-item]


def counts(folder: Path, *arms: list[Row], **options: Any) -> Counts:
    """Return completed and attempted runs and failures of the arms of one group, by label."""
    group = grouped(folder, *arms, **options)
    found: Counts = {e.label: (e.completed, e.attempted, e.failures) for e in group.arms}
    return found | {e.label: (0, e.attempted, e.failures) for e in group.failed_arms}


def test_failed_seeds_are_counted_by_status(tmp_path: Path) -> None:
    rows = [
        *arm("lstm", LSTM),
        *failed("lstm", [5, 6]),
        *failed("lstm", [7], "out_of_memory"),
        *failed("lstm", [8], "ok"),
        *failed("lstm", [9], "interrupted"),
        *arm("rnn", RNN),
    ]
    assert counts(tmp_path, rows) == {
        "lstm": (5, 9, {"diverged": 2, "out_of_memory": 1, "no score": 1}),
        "rnn": (5, 5, {}),
    }


def test_the_latest_finished_run_of_a_seed_counts(tmp_path: Path) -> None:
    rows = [
        *failed("lstm", [0], "timeout", run_id="20260101-a"),
        *arm("lstm", [0.8], [0], run_id="20260102-a"),
        *arm("lstm", [0.7], [1], run_id="20260101-b"),
        *failed("lstm", [1], run_id="20260103-b"),
        *failed("lstm", [2], "failed", run_id="20260101-c"),
        *failed("lstm", [2], run_id="20260102-c"),
        *arm("lstm", [0.9], [3], run_id="20260101-d"),
        *failed("lstm", [3], "interrupted", run_id="20260104-d"),
    ]
    assert counts(tmp_path, rows[::-1]) == {"lstm": (2, 4, {"diverged": 2})}
    (only,) = grouped(tmp_path, rows).arms
    assert only.by_seed.seeds.tolist() == [0, 3]


def test_without_run_ids_the_later_table_has_the_latest_run(tmp_path: Path) -> None:
    a = write(tmp_path / "a.csv", [*arm("lstm", [0.5, 0.6, 0.7]), *failed("rnn", [0])])
    b = write(tmp_path / "b.csv", [*arm("rnn", [0.4]), *failed("lstm", [2])])
    found = {e.label: (e.completed, e.failures) for e in compare([a, b]).groups[0].arms}
    assert found == {"lstm": (2, {"diverged": 1}), "rnn": (1, {})}


def test_runs_without_a_seed_are_counted_one_by_one(tmp_path: Path) -> None:
    rows = [*arm("lstm", LSTM, [""] * 5), *failed("lstm", ["", ""])]  # type: ignore[list-item]
    assert counts(tmp_path, rows) == {"lstm": (5, 7, {"diverged": 2})}


def test_an_arm_without_a_completed_run_is_listed(tmp_path: Path) -> None:
    rows = [
        *arm("lstm", LSTM, hidden_size=8),
        *failed("lstm", [0, 1], hidden_size=16),
        *failed("gru", [0, 1, 2], hidden_size=8),
        *failed("tfidf", [""], "failed", baseline="classical"),
    ]
    assert counts(tmp_path, rows) == {
        "lstm hidden_size=8": (5, 5, {}),
        "lstm hidden_size=16": (0, 2, {"diverged": 2}),
        "gru": (0, 3, {"diverged": 3}),
        "tfidf": (0, 1, {"failed": 1}),
    }


def test_empty_cells_of_a_failed_run_equal_the_only_other_value(tmp_path: Path) -> None:
    """A process that ended before its run was set up has no data and no arm."""
    known: Row = {"dataset_sha256": "a", "train_size": 9, "dtype": "float32", "num_layers": 1}
    known |= {"match": "parameters", "match_budget": 100, "overrides": "train.clip=1"}
    lstm = arm("lstm", LSTM, arm="x", hidden_size=7, **known)
    bare = failed("lstm", [9], match="parameters", match_budget=100, hidden_size=64, num_layers=1)
    assert counts(tmp_path, lstm, bare) == {"lstm": (5, 6, {"diverged": 1})}
    deep = arm("lstm", GRU, arm="y", hidden_size=5, **(known | {"num_layers": 2}))
    assert counts(tmp_path, lstm, deep, bare)["lstm hidden_size=7"][:2] == (5, 6)


def test_failed_runs_belong_to_the_group_of_their_data(tmp_path: Path) -> None:
    rows = [*arm("lstm", LSTM, dataset_sha256="a"), *arm("lstm", RNN, dataset_sha256="b")]
    found = compared(tmp_path, rows, failed("lstm", [7], dataset_sha256="b"))
    assert [[e.attempted for e in group.arms] for group in found.groups] == [[5], [6]]
    assert found.notes[1:] == []
    other = compared(tmp_path, rows, failed("lstm", [7, 8], dataset_sha256="c"))
    assert other.notes[-1] == "toy: no run was completed for accuracy: lstm 0 of 2"
    assert [[e.attempted for e in group.arms] for group in other.groups] == [[5], [5]]


def test_a_table_of_failed_runs_names_them(tmp_path: Path) -> None:
    rows = [*failed("lstm", [0, 1]), *failed("gru", [0], hidden_size=8), *failed("gru", [0])]
    found = compared(tmp_path, [row | {"metric": "", "higher_is_better": ""} for row in rows])
    assert found.groups == []
    assert found.notes[-1] == (
        "toy: no run was completed: lstm 0 of 2, gru hidden_size=8 0 of 1, gru hidden_size=unknown "
        "0 of 1"
    )
    assert "nothing to compare" in as_markdown(sections_of(found, only_changed=False))


def test_failed_trials_and_smoke_tests_are_not_failed_seeds(tmp_path: Path) -> None:
    rows = [*arm("lstm", LSTM), *failed("lstm", [8], smoke="true"), *failed("lstm", [9], trial=3)]
    assert counts(tmp_path, rows) == {"lstm": (5, 5, {})}


def test_a_run_without_the_chosen_metric_has_not_failed(tmp_path: Path) -> None:
    timed = arm("lstm", LSTM, train_seconds=4.0)
    untimed = arm("gru", GRU) + arm("lstm", [0.8], [9])
    assert counts(tmp_path, timed, untimed, metric="train_seconds") == {"lstm": (5, 5, {})}


def test_pooled_arms_count_runs(tmp_path: Path) -> None:
    small = arm("lstm", LSTM, hidden_size=8)
    large = arm("lstm", LSTM[:4], hidden_size=16) + failed("lstm", [4], hidden_size=16)
    assert counts(tmp_path, small, large, by=("model",)) == {"lstm": (9, 10, {"diverged": 1})}
    text = as_markdown(sections_of(compared(tmp_path, small, large, by=("model",)), False))
    assert "| 5 (9 of 10 runs) |" in text


def test_pooled_arms_complete_runs_and_not_seeds(tmp_path: Path) -> None:
    """Two of ten runs failed, at seeds at which the other pooled arm has a score."""
    rest = arm("lstm", RNN[:3], hidden_size=16) + failed("lstm", [3, 4], hidden_size=16)
    lstm = arm("lstm", LSTM, hidden_size=8) + rest
    gru = [row for size in (8, 16) for row in arm("gru", GRU, hidden_size=size)]
    lost = failed("rnn", [0, 1], hidden_size=8) + failed("rnn", [0], hidden_size=16)
    group = compared(tmp_path, lstm, gru, lost, by=("model",)).groups[0]
    completion = pair_of(group, "gru", "lstm").completion
    assert completion is not None
    assert (completion.a, completion.b) == ((10, 10), (8, 10))
    assert completion.p == pytest.approx(fisher_exact([[10, 0], [8, 2]]).pvalue)
    other = pair_of(group, "gru", "rnn").completion
    assert other is not None
    assert other.b == (0, 3)
    pooled = "2 arms are pooled, the score of a seed is their mean; they differ in hidden_size"
    assert [note for note in group.notes if "pooled" in note] == [
        f"gru: {pooled}",
        f"lstm: {pooled}; not every seed has a score of all of them",
        "rnn: 2 arms are pooled; they differ in hidden_size; 2 of them completed no run",
    ]
    after = [row | {"model": "gru"} for row in lstm]
    (change,) = changed(tmp_path, gru, after, by=("model",), planned=5).values()
    assert change.completion is not None
    assert (change.completion.a, change.completion.b) == ((8, 10), (10, 10))
    assert [change_count_text(change, side) for side in (0, 1)] == ["5", "5 (8 of 10 runs)"]


def test_every_format_contains_the_counts(tmp_path: Path) -> None:
    rows = [*arm("lstm", LSTM), *failed("lstm", [5, 6]), *failed("gru", [0, 1, 2])]
    found = compared(tmp_path, rows, fixed("majority", 0.5))
    text = as_markdown(sections_of(found, only_changed=False))
    assert "| lstm | not shown better | 5 of 7 |" in text
    assert "| gru |  | 0 of 3 |  |" in text
    assert "failed runs: lstm (2 diverged), gru (3 diverged)" in text
    assert "5 runs that ended as diverged" in text
    lines = {line["label"]: line for line in csv.DictReader(io.StringIO(comparison_csv(found)))}
    names = ("n", "completed", "attempted", "failures", "mean")
    assert [lines["lstm"][name] for name in names[:4]] == ["5", "5", "7", "2 diverged"]
    assert [lines["gru"][name] for name in names] == ["0", "0", "3", "3 diverged", ""]
    data = json.loads(as_json(comparison_json(found)))["groups"][0]
    assert [(e["completed"], e["attempted"], e["failures"]) for e in data["arms"]] == [
        (5, 7, {"diverged": 2}),
        (1, 1, {}),
    ]
    assert data["failed_arms"] == [
        {"label": "gru", "model": "gru", "baseline": "", "failures": {"diverged": 3}}
        | {"completed": 0, "attempted": 3}
    ]
    html = {row[0].text: row[2] for row in arm_table(found.groups[0]).rows}
    assert (html["lstm"].text, html["lstm"].more) == ("5 of 7", "2 diverged")
    assert (html["gru"].text, html["majority"].text) == ("0 of 3", "–")  # noqa: RUF001  an en dash


@pytest.mark.parametrize("hashes", [{}, {"arm": "x"}])
def test_changes_count_the_runs_of_both_tables(tmp_path: Path, hashes: Row) -> None:
    a = write(tmp_path / "a.csv", [*arm("lstm", LSTM, **hashes), *arm("rnn", RNN)])
    b = write(tmp_path / "b.csv", [*arm("lstm", LSTM[:3]), *failed("lstm", [3, 4], **hashes),
                                   *failed("rnn", [0], "failed")])  # fmt: skip
    found = {change.label: change for change in changes(a, b).changes}
    assert (found["lstm"].completed, found["lstm"].failures) == ((5, 3), ({}, {"diverged": 2}))
    assert (found["rnn"].completed, found["rnn"].failures) == ((5, 0), ({}, {"failed": 1}))
    assert found["rnn"].verdict == "failed in B"

"""Excluded rows, labels of arms and groups of comparable rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.analysis.comparison import Comparison
from tests.helpers.result_tables import arm, compared, fixed, grouped

RMSE = {"metric": "rmse", "higher_is_better": "false"}


def reasons(comparison: Comparison) -> dict[str, int]:
    return {left.reason: left.count for left in comparison.left_out}


def test_rows_are_excluded_with_a_reason(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        arm("lstm", [0.5, 0.6], run_id="", smoke="false"),
        arm("lstm", [0.9], smoke="true"),
        arm("lstm", [0.9], status="failed", seeds=[7]),
        arm("rnn", [0.9], status="diverged"),
        arm("rnn", ["", "nan", "inf"]),  # type: ignore[list-item]
    )
    assert reasons(found) == {
        "smoke tests": 1,
        "runs that ended as failed": 1,
        "runs that ended as diverged": 1,
        "runs without a score": 3,
    }
    assert [(a.label, a.score.n) for a in found.groups[0].arms] == [("lstm", 2)]
    assert found.left_out[0].examples == [f"{tmp_path / 'table.csv'}, row 3"]


def test_the_latest_run_of_an_arm_and_seed_is_used(tmp_path: Path) -> None:
    early = arm("lstm", [0.1], run_id="20260101-a") + arm("lstm", [0.2], [1], run_id="20260101-b")
    late = arm("lstm", [0.5], run_id="20260102-c")
    found = compared(tmp_path, late, early)
    assert reasons(found) == {"earlier runs of the same arm and seed": 1}
    assert found.left_out[0].examples == ["20260101-a"]
    assert found.groups[0].arms[0].by_seed.values.tolist() == [0.5, 0.2]


def test_no_remaining_rows_is_no_error(tmp_path: Path) -> None:
    found = compared(tmp_path, arm("lstm", [0.5], smoke="true"))
    assert (found.groups, reasons(found)) == ([], {"smoke tests": 1})


def test_labels_contain_only_distinguishing_settings(tmp_path: Path) -> None:
    group = grouped(
        tmp_path,
        arm("lstm", [0.9], hidden_size=8, learning_rate=0.1, dropout=0.5, arm="a"),
        arm("lstm", [0.8], hidden_size=16, learning_rate=0.2, dropout=0.5, arm="b"),
        arm("gru", [0.7], hidden_size=8, arm="c", overrides="task.window=20 train.clip=1"),
        arm("gru", [0.6], hidden_size=8, arm="d", overrides="task.window=60 train.clip=1"),
        arm("rnn", [0.5], hidden_size=8, arm="e"),
        arm("elman", [0.4], arm="f", hidden_size=8),
        arm("elman", [0.3], arm="f0", hidden_size=8),
    )
    assert [each.label for each in group.arms] == [
        "lstm hidden_size=8",
        "lstm hidden_size=16",
        "gru task.window=20",
        "gru task.window=60",
        "rnn",
        "elman arm=f",
        "elman arm=f0",
    ]


def test_arms_without_the_column_are_defined_by_settings(tmp_path: Path) -> None:
    small = arm("lstm", [0.5, 0.6], hidden_size=8)
    large = arm("lstm", [0.7, 0.8], hidden_size=16)
    assert [a.score.n for a in grouped(tmp_path, small, large).arms] == [2, 2]


@pytest.mark.parametrize(
    ("column", "values"),
    [("dataset_sha256", ("a", "b")), ("task_version", (1, 2)), ("train_size", (100, 900))],
)
def test_other_data_or_versions_are_another_group(
    tmp_path: Path, column: str, values: tuple[object, object]
) -> None:
    first, second = compared(
        tmp_path,
        arm("lstm", [0.5, 0.6, 0.7], **{column: values[0]}),
        arm("rnn", [0.5, 0.6], **{column: values[1]}),
    ).groups
    assert ([a.label for a in first.arms], [a.label for a in second.arms]) == (["lstm"], ["rnn"])
    assert (first.title, second.title) == tuple(f"toy, {column} {value}" for value in values)
    assert first.notes[0].startswith(
        f"not comparable with 1 arm of the same task: {column} {values[0]} here, {values[1]} there"
    )


def test_a_row_with_unknown_data_joins_the_only_known_group(tmp_path: Path) -> None:
    known, unknown = arm("lstm", [0.5], dataset_sha256="a"), arm("rnn", [0.6])
    assert len(compared(tmp_path, known, unknown).groups) == 1
    third = arm("gru", [0.6], dataset_sha256="b")
    assert len(compared(tmp_path, known, unknown, third).groups) == 3


def test_metrics_and_tasks_are_separate_groups(tmp_path: Path) -> None:
    other = arm("lstm", [3.0], metric="rmse", higher_is_better="false")
    groups = compared(tmp_path, arm("lstm", [0.5]), other, arm("lstm", [0.4], task="b")).groups
    assert [(g.task, g.metric, g.unit) for g in groups] == [
        ("b", "accuracy", "share"),
        ("toy", "accuracy", "share"),
        ("toy", "rmse", "unit of the series"),
    ]


def test_a_search_is_represented_by_its_best_trial(tmp_path: Path) -> None:
    trials = [
        arm("lstm", [score], val_score=val, trial=n, study="s", arm=f"t{n}", learning_rate=n)[0]
        for n, (score, val) in enumerate([(0.9, 0.1), (0.6, 0.8), (0.7, 0.7)])
    ]
    found = compared(tmp_path, trials, arm("rnn", [0.5, 0.4], arm="r"))
    best = found.groups[0].arms[0]
    assert (best.label, best.trials, best.score.mean) == ("lstm (best of 3 trials)", 3, 0.6)
    assert reasons(found) == {"trials of a search that were not its best by validation": 2}
    assert "unequal tuning, trials of a search: lstm: 3, rnn: none" in found.groups[0].notes


def test_where_lower_is_better_the_lowest_validation_is_the_best_trial(tmp_path: Path) -> None:
    trials = [
        arm("lstm", [n], val_score=n, trial=n, study="s", arm=f"t{n}", **RMSE)[0] for n in (2, 1, 3)
    ]
    assert grouped(tmp_path, trials, metric="test_score").arms[0].score.mean == 1
    timed = [row | {"train_seconds": 9 - row["test_score"]} for row in trials]
    assert grouped(tmp_path, timed, metric="train_seconds").arms[0].score.mean == 8


def test_a_search_is_represented_by_later_runs_of_its_best_trial(tmp_path: Path) -> None:
    trials = [
        arm("lstm", [0.9 - n / 10], val_score=-n, trial=n, study="s", arm=f"t{n}")[0]
        for n in range(3)
    ]
    again = arm("lstm", [0.5, 0.6, 0.7], arm="t0")
    (only,) = grouped(tmp_path, trials, again).arms
    assert (only.label, only.score.n) == ("lstm (best of 3 trials)", 3)


def test_pooled_by_model_a_seed_has_the_mean_of_the_arms(tmp_path: Path) -> None:
    group = grouped(
        tmp_path,
        arm("lstm", [0.5, 0.6], hidden_size=8),
        arm("lstm", [0.7, 1.0], hidden_size=16),
        arm("rnn", [0.4, 0.3], hidden_size=8),
        by=("model",),
    )
    assert [each.label for each in group.arms] == ["lstm", "rnn"]
    assert group.arms[0].by_seed.values == pytest.approx([0.6, 0.8])
    assert group.arms[0].score.n == 2
    (note,) = [note for note in group.notes if "pooled" in note]
    assert note == (
        "lstm: 2 arms are pooled, the score of a seed is their mean; they differ in hidden_size"
    )


def test_unevenly_pooled_arms_have_a_note(tmp_path: Path) -> None:
    uneven = arm("lstm", [0.5, 0.6], hidden_size=8) + arm("lstm", [0.7], hidden_size=16)
    group = grouped(tmp_path, uneven, by=("model",))
    assert any("not every seed has a score of all of them" in note for note in group.notes)


def test_pooling_keeps_baselines_and_budgets_separate(tmp_path: Path) -> None:
    group = grouped(
        tmp_path,
        arm("lstm", [0.5, 0.6], hidden_size=8, match="parameters", match_budget=100),
        arm("gru", [0.5, 0.6], hidden_size=8, match="parameters", match_budget=100),
        arm("lstm", [0.7, 0.8], hidden_size=8, match="parameters", match_budget=900),
        fixed("majority", 0.5),
        fixed("tfidf", 0.6, "classical"),
        by=("hidden_size",),
    )
    assert {each.label for each in group.arms} == {
        "hidden_size=8 match_budget=100",
        "hidden_size=8 match_budget=900",
        "majority",
        "tfidf",
    }


def test_arms_by_a_foreign_column(tmp_path: Path) -> None:
    a, b = arm("lstm", [0.5, 0.6], mood="good"), arm("rnn", [0.3, 0.4], mood="bad")
    seeded = fixed("embedding", 0.2, "classical", seed=0, mood="good")
    seeded += fixed("embedding", 0.2, "classical", seed=1, mood="bad")
    group = grouped(tmp_path, a, b, seeded, by=("mood",))
    assert [each.label for each in group.arms] == ["mood=good", "mood=bad", "embedding"]


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ([{"match": "hidden", "hidden_size": 8, "encoder_parameters": 10}] * 2, "hidden size 8"),
        (
            [{"match": "hidden", "hidden_size": 8, "encoder_parameters": n} for n in (10, 40)],
            "hidden size 8 (encoder parameters 10 to 40)",
        ),
        ([{}, {}], "not stated by the table"),
        ([{"hidden_size": 8}] * 2, "not stated by the table; hidden size 8"),
        ([{"hidden_size": 8}, {"hidden_size": 16}], "not matched: hidden sizes 8 to 16"),
        ([{"match": "parameters", "match_budget": 250000}] * 2, "250,000 encoder parameters"),
        (
            [{"match": "flops", "match_budget": 9, "hidden_size": n} for n in (71, 35)],
            "9 FLOPs per token, hidden size: lstm 71, rnn 35",
        ),
        ([{"match": "time", "match_budget": 60, "hidden_size": 8}] * 2, "60 s of training"),
        (
            [{"match": "flops", "match_budget": 5000}, {"match": "hidden", "hidden_size": 8}],
            "MIXED, not comparable with each other: 5,000 FLOPs per token (lstm); "
            "hidden size (rnn)",
        ),
    ],
)  # fmt: skip
def test_the_budget_as_a_phrase(
    tmp_path: Path, arms: list[dict[str, object]], message: str
) -> None:
    lstm, rnn = arm("lstm", [0.6, 0.7], **arms[0]), arm("rnn", [0.4, 0.5], **arms[1])
    assert grouped(tmp_path, lstm, rnn, fixed("majority", 0.5)).budget == message


def test_a_very_large_group_shows_its_best_arms_and_all_baselines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.analysis.arms.MOST_ARMS", 3)
    arms = [arm("lstm", [n / 100, n / 100 + 0.001], hidden_size=n) for n in range(1, 9)]
    group = grouped(tmp_path, *arms, fixed("majority", 0.0))
    assert [each.model for each in group.arms] == ["lstm"] * 3 + ["majority"]
    assert group.arms[0].label == "lstm hidden_size=8"
    assert any("only the best 4 arms are shown; 5 are worse" in note for note in group.notes)

"""Comparability of arms by budget, version, times and settings; skill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.result_tables import GRU, LSTM, RNN, arm, fixed, grouped, pair_of


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (
            {"match": "parameters", "match_budget": 1000},
            {"match": "parameters", "match_budget": 9000},
            "budgets differ: 1,000 encoder parameters, 9,000 encoder parameters",
        ),
        (
            {"match": "time", "match_budget": 60},
            {"match": "hidden"},
            "budgets differ: 60 s of training, hidden size",
        ),
    ],
)
def test_other_budgets_are_not_comparable_but_baselines_are(
    tmp_path: Path, a: dict[str, Any], b: dict[str, Any], reason: str
) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM, **a), arm("rnn", RNN, **b), fixed("majority", 0.2))
    pair = pair_of(group, "lstm", "rnn")
    assert (pair.verdict, pair.reason) == ("not comparable", reason)
    assert pair_of(group, "lstm", "majority").verdict == "better"
    assert pair_of(group, "rnn", "majority").verdict == "better"
    assert group.budget.startswith("MIXED")


def test_a_missing_budget_is_the_default(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM, match="hidden"), arm("rnn", RNN))
    assert group.pairs[0].verdict == "better"


def test_versions_of_a_model_are_not_comparable(tmp_path: Path) -> None:
    old, new = arm("lstm", LSTM, model_version=1), arm("lstm", RNN, model_version=2)
    group = grouped(tmp_path, old, new, arm("rnn", GRU, model_version=1))
    pair = pair_of(group, "lstm model_version=1", "lstm model_version=2")
    assert (pair.verdict, pair.reason) == ("not comparable", "model versions 1 and 2")
    assert pair_of(group, "lstm model_version=2", "rnn").verdict == "better"


def test_skill_is_relative_to_the_naive_row(tmp_path: Path) -> None:
    nets = arm("lstm", [0.8, 0.9]), arm("rnn", [0.4, 0.4])
    group = grouped(tmp_path, *nets, fixed("majority", 0.5), fixed("tfidf", 0.6, "classical"))
    skills = {each.label: each.skill for each in group.arms}
    assert skills == pytest.approx({"lstm": 0.7, "rnn": -0.2, "majority": 0.0, "tfidf": 0.2})
    assert group.naive == "majority"


@pytest.mark.parametrize(
    ("metric", "perfect", "skill"),
    [("rmse", "", 0.5), ("perplexity", "", 5 / 9), ("rmse", 4, 5 / 6)],
)
def test_skill_where_lower_is_better(
    tmp_path: Path, metric: str, perfect: object, skill: float
) -> None:
    more = {"metric": metric, "higher_is_better": "false", "perfect_score": perfect}
    group = grouped(tmp_path, arm("lstm", [4.0, 6.0], **more), fixed("naive", 10.0, **more))
    assert group.arm("lstm").skill == pytest.approx(skill)


def test_without_a_naive_row_there_is_no_skill(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM), fixed("tfidf", 0.5, "classical"))
    assert (group.naive, group.arm("lstm").skill) == (None, None)


TIMED = {"device": "cpu", "device_name": "x", "threads": 1, "torch_version": "2"}


@pytest.mark.parametrize(
    ("more", "doubt"),
    [
        ({}, ""),
        ({"concurrent_runs": 3}, "up to 3 concurrent runs"),
        ({"load_average": 4.2}, "other processes on the machine, load up to 4.2"),
        ({"device_name": "y"}, "measured on y, 1 threads, PyTorch 2, others on x, 1 threads"),
        ({"threads": 4}, "measured on x, 4 threads"),
    ],
)
def test_times_need_runs_without_load_on_one_machine(
    tmp_path: Path, more: dict[str, Any], doubt: str
) -> None:
    fast, slow = [1.0, 1.1, 1.2, 1.1, 1.0], [3.0, 3.3, 3.2, 3.1]
    alone = [
        row | {"train_seconds": t} for row, t in zip(arm("lstm", LSTM, **TIMED), fast, strict=True)
    ]
    other = [
        row | {"train_seconds": t}
        for row, t in zip(arm("rnn", RNN[:4], **TIMED | more), slow, strict=True)
    ]
    group = grouped(tmp_path, alone, other, metric="train_seconds")
    assert group.arm("rnn").doubtful_times.startswith(doubt)
    assert bool(group.arm("rnn").doubtful_times) == bool(doubt)
    assert group.arm("lstm").doubtful_times == ""
    assert group.pairs[0].verdict == ("not comparable" if doubt else "better")
    by_score = grouped(tmp_path, alone, other)
    assert by_score.pairs[0].verdict == "better"
    assert by_score.arm("rnn").train_seconds == pytest.approx(3.15)


def test_exact_columns_are_compared_without_a_test(tmp_path: Path) -> None:
    group = grouped(
        tmp_path, arm("lstm", [0.5], parameters=400), arm("rnn", [0.5], parameters=100),
        metric="parameters",
    )  # fmt: skip
    pair = group.pairs[0]
    assert (pair.a, pair.verdict, pair.p_adjusted) == ("rnn", "better", None)


def test_another_metric_has_no_skill_and_no_validation(tmp_path: Path) -> None:
    rows = [row | {"mae": 1 - row["test_score"], "val_score": 0.5} for row in arm("lstm", LSTM)]
    naive = [row | {"mae": 0.5} for row in fixed("majority", 0.5)]
    net = grouped(tmp_path, rows, naive, metric="mae").arm("lstm")
    assert (net.skill, net.validation) == (None, None)
    assert net.score.mean == pytest.approx(1 - np.mean(LSTM))

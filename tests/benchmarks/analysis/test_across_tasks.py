"""Average ranks over the groups of a comparison: planted rankings, and none where there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.across_tasks import across_tasks, close_runs
from benchmarks.analysis.comparison import Group
from benchmarks.analysis.over_groups import AcrossTasks
from benchmarks.analysis.statistics.common import Interval
from tests.helpers.result_tables import Row, arm, compared, fixed

DOWN = {"metric": "rmse", "higher_is_better": "false"}
QUALITY = {"gru": 0.3, "lstm": 0.2, "rnn": 0.0}
NEMENYI = {3: 2.343, 4: 2.569, 5: 2.728}  # q at 5 % by the number of arms: Demšar 2006, table 5


def planted(groups: int, quality: dict[str, float] = QUALITY, **more: Any) -> list[Row]:
    """Return rows of tasks on which these networks have these scores, half of them errors."""
    rows = []
    for task in range(groups):
        sign, facts = (-1, DOWN) if task % 2 else (1, {})
        for model, score in quality.items():
            values = [0.5 + sign * score + 0.01 * seed for seed in range(2)]
            rows += arm(model, values, task=f"t{task}", **facts, **more)
    return rows


def diverged(rows: list[Row], seeds: Sequence[int]) -> list[Row]:
    """Return failed runs of these seeds with the settings of each row."""
    return [
        {**row, "seed": seed, "status": "diverged", "test_score": ""}
        for row in rows
        for seed in seeds
    ]


def across(folder: Path, *arms: list[Row], **options: Any) -> AcrossTasks:
    found = compared(folder, *arms, **options).across
    assert found is not None
    return found


def critical(arms: int, groups: int) -> Any:
    difference = NEMENYI[arms] * np.sqrt(arms * (arms + 1) / (6 * groups))
    return pytest.approx(difference, rel=1e-3)


def test_a_consistent_ranking_is_found(tmp_path: Path) -> None:
    found = across(tmp_path, planted(9))
    assert found.arms == ["gru", "lstm", "rnn"]
    assert found.ranks == [1.0, 2.0, 3.0]
    assert found.p < 0.001
    assert found.critical_difference == critical(3, 9)
    assert found.not_shown == [["gru", "lstm"], ["lstm", "rnn"]]  # 1 is less than 1.10
    assert found.groups == [
        f"t{n} ({'rmse' if n % 2 else 'accuracy'})" for n in sorted(range(9), key=lambda n: f"t{n}")
    ]
    assert not found.notes
    assert not across(tmp_path, planted(12)).not_shown  # 1 is more than 0.96


def test_the_statistic_is_that_of_the_references(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    table = rng.normal([9.0, 9.2, 9.9, 10.0], 1.0, size=(8, 4)).round()  # with ties
    rows = [
        arm(f"m{place}", [score], task=f"t{task}", **DOWN)
        for task, scores in enumerate(table)
        for place, score in enumerate(scores)
    ]
    found = across(tmp_path, *rows)
    chi = stats.friedmanchisquare(*table.T).statistic
    expected = 7 * chi / (8 * 3 - chi)
    assert found.statistic == pytest.approx(expected)
    assert found.p == pytest.approx(stats.f.sf(expected, 3, 21))
    ranks = stats.rankdata(table, axis=1).mean(axis=0)
    assert found.ranks == sorted(ranks)
    assert dict(zip(found.arms, found.ranks, strict=True)) == {
        f"m{place}": rank for place, rank in enumerate(ranks)
    }
    assert found.critical_difference == critical(4, 8)


def with_scores(groups: Sequence[Group], scores: Any) -> list[Group]:
    """Return the groups with other mean scores."""
    return [
        dataclasses.replace(
            group,
            arms=[
                dataclasses.replace(arm, score=Interval(float(score), None, None, 1))
                for arm, score in zip(group.arms, values, strict=True)
            ],
        )
        for group, values in zip(groups, scores, strict=True)
    ]


def test_random_ranks_are_no_ranking(tmp_path: Path) -> None:
    quality = {"a": 0.0, "b": 0.1, "c": 0.2, "d": 0.3}
    groups = compared(tmp_path, planted(10, quality)).groups
    rng, shown, draws = np.random.default_rng(0), 0, 2000
    for _ in range(draws):
        found = across_tasks(with_scores(groups, rng.normal(size=(10, 4))))
        assert found is not None
        if found.p >= 0.05:
            assert found.not_shown == [found.arms]
        shown += found.p < 0.05
    assert 0.035 < shown / draws < 0.065


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (planted(4), {}),
        (planted(5, {"gru": 0.3, "lstm": 0.2}), {}),
        (planted(5, parameters=7), {"metric": "parameters"}),
        (planted(5), {"task": "t1"}),
    ],
)
def test_too_few_groups_or_networks_have_no_ranks(
    tmp_path: Path, rows: list[Row], options: dict[str, Any]
) -> None:
    assert compared(tmp_path, rows, **options).across is None


def test_arms_that_some_groups_lack_are_left_out(tmp_path: Path) -> None:
    rows = planted(6)
    rows += [*arm("bigru", [0.9, 0.8], task="t0"), *arm("bigru", [0.9, 0.8], task="t2")]
    rows += [*arm("gru", [0.5, 0.6], task="u"), *arm("rnn", [0.4, 0.5], task="u")]
    for n in range(6):  # baselines are not ranked
        rows += fixed("constant", 0.1, task=f"t{n}", **(DOWN if n % 2 else {}))
    found = across(tmp_path, rows)
    assert found.arms == ["gru", "lstm", "rnn"]
    assert len(found.groups) == 6
    assert found.notes == [
        "bigru is not ranked: it is in 2 of 6 groups",
        "u (accuracy) is left out: it does not contain lstm",
    ]


def test_the_most_groups_count_then_the_most_arms(tmp_path: Path) -> None:
    five = {"gru": 0.3, "lstm": 0.2, "rnn": 0.0, "birnn": 0.1, "bilstm": 0.25}
    four = {name: five[name] for name in ("gru", "lstm", "rnn", "birnn")}
    other = {name: five[name] for name in ("gru", "lstm", "rnn", "bilstm")}
    again = [row | {"task": f"again {row['task']}"} for row in planted(3, other)]
    found = across(tmp_path, planted(3, four), again)
    assert (sorted(found.arms), len(found.groups)) == (["gru", "lstm", "rnn"], 6)
    assert len(across(tmp_path, planted(5, five)).arms) == 5


def test_each_budget_and_setting_is_a_group(tmp_path: Path) -> None:
    hidden = planted(3, match="hidden")
    time = planted(3, match="time", match_budget=30)
    found = across(tmp_path, hidden, time)
    assert found.arms == ["gru", "lstm", "rnn"]
    assert "t0 (accuracy, 30 s of training)" in found.groups
    assert "t0 (accuracy, hidden size)" in found.groups
    splits = [row | {"split": f"{n}"} for n in range(2) for row in planted(3)]
    assert len(across(tmp_path, splits).groups) == 6


def test_several_arms_of_a_model_have_their_labels(tmp_path: Path) -> None:
    sizes = [row | {"hidden_size": n} for n in (32, 64) for row in planted(5)]
    found = across(tmp_path, sizes)
    assert sorted(found.arms) == [
        f"{model} hidden_size={n}" for model in ("gru", "lstm", "rnn") for n in (32, 64)
    ]
    rates = [row | {"learning_rate": n} for n in (0.1, 0.2, 0.4) for row in planted(5)]
    found = across(tmp_path, rates, by=("learning_rate",))
    assert sorted(found.arms) == [f"learning_rate={n}" for n in (0.1, 0.2, 0.4)]


def test_failed_runs_are_ranked_worst(tmp_path: Path) -> None:
    """A network of which few, good runs were completed is not first."""
    kept = [row for row in planted(6) if row["model"] != "gru" or row["seed"] == 0]
    gru = [row for row in kept if row["model"] == "gru"]
    found = across(tmp_path, kept, diverged(gru, range(1, 10)))
    assert dict(zip(found.arms, found.ranks, strict=True)) == {"lstm": 1, "rnn": 2, "gru": 3}
    (note,) = found.notes
    assert note.startswith("ranked by all runs, failed ones worst: gru 1 of 10 in t0 (accuracy), ")


def test_one_failed_run_is_counted_among_the_runs_of_its_task(tmp_path: Path) -> None:
    rows = planted(5)
    t2 = [row for row in rows if (row["task"], row["model"], row["seed"]) == ("t2", "gru", 0)]
    found = across(tmp_path, rows, diverged(t2, [9]))
    # Of the seven runs of t2, gru has the ranks 7, 6 and 1, a mean of 4.67; lstm 4.5, rnn 2.5.
    assert dict(zip(found.arms, found.ranks, strict=True)) == {"gru": 1, "lstm": 2, "rnn": 3}
    assert found.notes == ["ranked by all runs, failed ones worst: gru 2 of 3 in t2 (accuracy)"]


def test_a_network_without_a_completed_run_is_last(tmp_path: Path) -> None:
    rows = planted(6)
    t2 = [row for row in rows if (row["task"], row["model"]) == ("t2", "gru")]
    found = across(tmp_path, [row for row in rows if row not in t2], diverged(t2[:1], range(2)))
    assert len(found.groups) == 6
    mean = dict(zip(found.arms, found.ranks, strict=True))
    assert mean == {"gru": (5 * 1 + 3) / 6, "lstm": (5 * 2 + 1) / 6, "rnn": (5 * 3 + 2) / 6}
    assert found.notes == ["ranked by all runs, failed ones worst: gru 0 of 2 in t2 (accuracy)"]


def test_runs_of_close_ranks_are_the_largest_sets_within_the_difference() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        ranks = np.sort(rng.integers(2, 13, size=rng.integers(3, 8)) / 2).tolist()
        places = range(len(ranks))
        close = [
            set(chosen)
            for size in range(2, len(ranks) + 1)
            for chosen in combinations(places, size)
            if ranks[chosen[-1]] - ranks[chosen[0]] < 1.7
        ]
        largest = [each for each in close if not any(each < other for other in close)]
        found = [set(range(first, last + 1)) for first, last in close_runs(ranks, 1.7)]
        assert sorted(map(sorted, found)) == sorted(map(sorted, largest))

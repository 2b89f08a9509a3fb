"""The answer of a group, the same in text, Markdown, JSON and page; its marks and its heading."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.analysis.margin import parse_margin
from benchmarks.reporting.answer import answer
from benchmarks.reporting.html.overview import arm_table
from benchmarks.reporting.html.summary import summarise
from benchmarks.reporting.json_csv import comparison_json
from benchmarks.reporting.renderers import as_markdown
from benchmarks.reporting.tables import group_section, sections_of
from tests.helpers.result_tables import GRU, LSTM, RNN, arm, compared, fixed, grouped
from tests.helpers.stored_forecasts import DOWN, forecasts, group_of

UNPLANNED = "the number of seeds was not planned"
ALIKE = [s - 0.2 for s in RNN]


@pytest.mark.parametrize(
    ("gru", "baseline", "expected"),
    [
        (GRU, 0.5, "lstm ahead, not shown better than gru, better than rnn; every network beats "
         "ets, the best baseline"),
        (GRU, 0.99, "lstm ahead, not shown better than gru, better than rnn; every network is "
         "worse than ets, the best baseline"),
        (ALIKE, 0.825, "lstm, better than rnn and gru; lstm is not shown to beat ets, the best "
         "baseline; rnn and gru are worse than it"),
    ],
)  # fmt: skip
def test_the_answer_follows_from_the_verdicts(
    gru: list[float], baseline: float, expected: str, tmp_path: Path
) -> None:
    nets = arm("lstm", LSTM), arm("gru", gru), arm("rnn", RNN)
    comparison = compared(tmp_path, *nets, fixed("ets", baseline, "classical"))
    (group,) = comparison.groups
    text = f"{expected}; {UNPLANNED}"
    assert answer(group) == summarise(group).headline == text
    assert comparison_json(comparison)["groups"][0]["answer"] == text
    assert f"answer: {text}" in as_markdown(sections_of(comparison, False))


def test_the_answer_names_what_leaves_it_in_doubt(tmp_path: Path) -> None:
    cut = {"epochs": 4, "best_epoch": 2, "stopped_by": "seconds"}
    lost = [row | {"test_score": ""} for row in arm("rnn", [0.0], [9], status="diverged")]
    group = grouped(tmp_path, arm("lstm", LSTM, **cut), arm("rnn", RNN), lost, planned=6)
    assert (
        answer(group) == "lstm, better than rnn; 1 of 2 networks undertrained; runs of rnn failed"
    )
    single = grouped(tmp_path, arm("lstm", [0.9]), arm("rnn", [0.5]))
    assert answer(single) == "no network is shown to be best: their pairs are not tested"
    lucky = grouped(tmp_path, arm("gru", [0.99]), arm("lstm", LSTM), arm("rnn", RNN))
    assert answer(lucky) == f"lstm, better than rnn; gru is not tested; {UNPLANNED}"
    assert answer(grouped(tmp_path, arm("lstm", LSTM), arm("rnn", RNN), baseline="rnn")) == ""
    assert answer(grouped(tmp_path, fixed("a", 0.1), fixed("b", 0.2))) == ""


def test_the_answer_names_equivalent_networks(tmp_path: Path) -> None:
    margin = parse_margin("0.005")
    twin = [score + wobble for score, wobble in zip(LSTM, [0, 1e-4, 0, 2e-4, 1e-4], strict=True)]
    lstm, gru = arm("lstm", LSTM), arm("gru", twin)
    assert answer(grouped(tmp_path, lstm, gru, margin=margin)) == (
        f"gru and lstm are equivalent; {UNPLANNED}"
    )
    assert answer(grouped(tmp_path, lstm, gru, arm("rnn", RNN), margin=margin)) == (
        f"gru ahead, equivalent to lstm, better than rnn; {UNPLANNED}"
    )
    noisy = arm("rnn", [0.5, 0.9, 0.7, 0.95, 0.6])
    assert answer(grouped(tmp_path, lstm, gru, noisy, margin=margin)) == (
        "no network is shown to be better than another; gru and lstm are equivalent; " + UNPLANNED
    )


def test_a_lucky_baseline_is_not_hidden_by_the_best_that_can_be_tested(tmp_path: Path) -> None:
    lucky = arm("lucky", [0.99], baseline="simple")
    group = grouped(tmp_path, arm("lstm", LSTM), lucky, fixed("majority", 0.5))
    assert "lstm beats majority, the best baseline that can be tested" in answer(group)


def test_the_legend_explains_only_the_verdicts_in_use(tmp_path: Path) -> None:
    margin = parse_margin("0.005")
    nets = arm("lstm", LSTM), arm("gru", [0.5, 0.9, 0.7, 0.95, 0.6])
    below = group_section(grouped(tmp_path, *nets, margin=margin), only_changed=False).below
    assert "undecided: neither a difference nor equivalence is shown" in below
    assert not any(line.startswith("equivalent") for line in below)


@pytest.mark.parametrize(
    ("verdict", "beyond", "doubt"),
    [
        ("better", "worse", "beyond these test items lstm worse than rnn"),
        ("better", "better", ""),
        ("better", "no difference shown", "beyond these test items no difference of lstm and rnn"),
        ("no difference shown", "better", "beyond these test items lstm better than rnn"),
        ("equivalent", "undecided", ""),
        ("better", "withheld", ""),
    ],
)
def test_another_verdict_beyond_the_items_is_a_doubt(
    tmp_path: Path, verdict: str, beyond: str, doubt: str
) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM), arm("rnn", RNN))
    pair = dataclasses.replace(
        group.pairs[0], verdict=verdict, population_verdict=beyond, population_p=0.01
    )
    text = answer(dataclasses.replace(group, pairs=[pair]))
    assert doubt in text
    assert ("beyond" in text) == bool(doubt)


def test_another_verdict_on_the_best_baseline_beyond_the_items_is_a_doubt(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM), fixed("ets", 0.5, "classical"))
    (pair,) = group.pairs
    other = dataclasses.replace(pair, population_verdict="worse", population_p=0.01)
    doubt = f"beyond these test items {pair.a} worse than {pair.b}"
    assert doubt in answer(dataclasses.replace(group, pairs=[other]))


def test_other_settings_are_a_doubt(tmp_path: Path) -> None:
    lstm, rnn = arm("lstm", LSTM, dtype="bfloat16"), arm("rnn", RNN, dtype="float32")
    assert answer(grouped(tmp_path, lstm, rnn)) == (
        f"lstm, better than rnn; arms also differ in dtype; {UNPLANNED}"
    )


def test_settings_that_labels_name_are_no_doubt(tmp_path: Path) -> None:
    small, large = arm("lstm", LSTM, batch_size=8), arm("lstm", RNN, batch_size=64)
    assert answer(grouped(tmp_path, small, large)) == (
        f"lstm batch_size=8, better than lstm batch_size=64; {UNPLANNED}"
    )


def test_many_networks_are_counted(tmp_path: Path) -> None:
    equal = [row for name in "abcdef" for row in arm(name, LSTM)]
    assert answer(grouped(tmp_path, equal, arm("rnn", ALIKE))) == (
        f"a ahead, not shown better than 5 networks, better than rnn; {UNPLANNED}"
    )


def test_a_noisy_network_ahead_does_not_hide_another_verdict(tmp_path: Path) -> None:
    noisy = arm("lstm", [0.99, 0.5, 0.99, 0.98, 0.99])
    group = grouped(tmp_path, noisy, arm("gru", LSTM), arm("rnn", RNN))
    assert answer(group) == (
        "lstm ahead, not shown better than gru and rnn; rnn is worse than another network; "
        + UNPLANNED
    )


def test_the_time_of_the_best_network(tmp_path: Path) -> None:
    group = grouped(
        tmp_path, arm("lstm", LSTM, train_seconds=30), arm("rnn", RNN, train_seconds=20)
    )
    assert answer(group).startswith("lstm, better than rnn, at 1.5 times the training time of rnn")


def test_budgets_have_an_answer_each(tmp_path: Path) -> None:
    a, b = ({"match": "parameters", "match_budget": n} for n in (100, 900))
    group = grouped(tmp_path, arm("lstm", LSTM, **a), arm("rnn", RNN, **a), arm("gru", GRU, **b))
    assert answer(group) == (
        "100 encoder parameters: lstm, better than rnn; 900 encoder parameters: gru is the only "
        f"network; {UNPLANNED}"
    )


def test_the_heading_names_task_settings_and_the_skill_its_references(tmp_path: Path) -> None:
    down = {"metric": "rmse", "higher_is_better": "false", "perfect_score": 0}
    words = {"overrides": "task.data=/tmp/x.csv task.horizon=12 train.max_epochs=9"}
    group = grouped(
        tmp_path,
        arm("lstm", [1.0, 2.0, 3.0], rmse_over_seasonal_naive=0.25, **down, **words),
        fixed("walk", 4.0, rmse_over_seasonal_naive=2.0, **down, **words),
    )
    section = group_section(group, False)
    assert "task settings: task.horizon=12" in section.about
    assert (
        "skill: 0 is walk, 1 is perfect; seasonal skill: 0 is the value one season before"
        in section.below
    )
    assert (group.arm("lstm").skill, group.arm("lstm").seasonal_skill) == (0.5, 0.75)
    assert group.arm("walk").seasonal_skill == -1
    assert arm_table(group).rows[0][5].more == "0.750 seasonal"
    assert section.table is not None
    assert "seasonal skill" in section.table.flat_header
    plain = group_section(grouped(tmp_path, arm("a", LSTM), fixed("b", 0.5)), False)
    assert "skill: 0 is b, 1 is perfect" in plain.below


def test_limits_of_time_and_steps_are_in_the_heading(tmp_path: Path) -> None:
    cut = {"stopped_by": "seconds", "overrides": "train.max_seconds=20"}
    steps = {"stopped_by": "steps", "overrides": "train.max_steps=99"}
    rows = arm("lstm", LSTM, **cut), arm("rnn", RNN, **steps)
    group = grouped(tmp_path, *rows, fixed("m", 0.5))
    epochs = {"stopped_by": "epochs", "overrides": "train.max_epochs=3"}
    assert (
        "train.max_epochs=3 ended 5 of 5 runs"
        in grouped(tmp_path, arm("lstm", LSTM, **epochs)).budget
    )
    limits = "train.max_steps=99 ended 5 of 10 runs; train.max_seconds=20 ended 5 of 10 runs"
    assert limits in group.budget
    timed = arm("lstm", LSTM, **cut, match="time", match_budget=20)
    recipe = arm("lstm", LSTM, stopped_by="steps")
    assert "ended" not in grouped(tmp_path, timed).budget + grouped(tmp_path, recipe).budget


def test_a_test_without_power_does_not_mark_a_worse_baseline(tmp_path: Path) -> None:
    """Slow errors leave a test over items open; on these items the lower score is worse."""
    slow = np.repeat(np.random.default_rng(0).normal(0, 1, 4), 17)
    rows = [
        *fixed("ets", forecasts(tmp_path, "re", 0.6 * slow), "classical", run_id="re", **DOWN),
        *fixed("season", forecasts(tmp_path, "rs", 1.9 * slow), "simple", run_id="rs", **DOWN),
    ]
    (pair,) = group_of(tmp_path, rows).pairs
    assert pair.verdict == "no difference shown"
    nets = arm("lstm", [5.0, 5.1, 5.2], **DOWN)
    for arms in ([rows], [rows, nets]):
        marked = [each.label for each in group_of(tmp_path, *arms).arms if each.is_among_best]
        assert marked == ["ets"]

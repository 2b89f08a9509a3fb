"""Arms without the column `arm`, runs without a seed, large seeds and changed scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.compare import compare
from benchmarks.analysis.item_tests import ItemTests
from benchmarks.analysis.row_filter import ARM_COLUMNS
from benchmarks.reporting.json_csv import as_json, comparison_json
from benchmarks.results.dataframe import typed
from benchmarks.results.row import columns_where
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
    keep_predictions,
    pair_of,
    write,
)

LARGE = 2**53

SETTING_VALUES: dict[str, tuple[Any, Any]] = {
    "bidirectional": ("true", "false"),
    "num_layers": (1, 2),
    "hidden_size": (8, 16),
    "dropout": (0.0, 0.5),
    "learning_rate": (0.1, 0.2),
    "batch_size": (8, 16),
    "match_budget": (100, 200),
    "match": ("parameters", "flops"),
    "recipe": ("default", "strong"),
    "precision": ("highest", "bfloat16"),
    "dtype": ("float32", "float64"),
    "deterministic": ("true", "false"),
    "tokenization": ("word", "65 characters"),
    "init_seed": ("3", ""),
    "order_seed": ("3", ""),
    "split_seed": ("1", "2"),
    "pretrain_sha256": ("ab12", ""),
    "overrides": ("train.clip=1", ""),
}


def test_the_values_above_are_all_settings() -> None:
    assert {*SETTING_VALUES} == {*ARM_COLUMNS, "overrides"}
    assert {*columns_where(kind="setting")} <= {*ARM_COLUMNS}


@pytest.mark.parametrize("column", SETTING_VALUES)
@pytest.mark.parametrize("with_hash", [False, True])
def test_every_setting_distinguishes_arms(tmp_path: Path, column: str, with_hash: bool) -> None:
    """Also where a merged table has the column `arm`, whose rows the others may belong to."""
    first, second = ({column: value} for value in SETTING_VALUES[column])
    a = [*arm("lstm", LSTM, **first), *arm("lstm", RNN, **second)]
    hashes = ["x"] * 5 + ["y"] * 5 if with_hash else [""] * 10
    tables = [
        write(tmp_path / "a.csv", [r | {"arm": h} for r, h in zip(a, hashes, strict=True)]),
        write(tmp_path / "b.csv", [*arm("lstm", [0.8], [5], **first), *arm("rnn", GRU, **first)]),
    ]
    found = compare(tables)
    assert found.left_out == []
    arms = [each for each in found.groups[0].arms if each.model == "lstm"]
    assert [(each.score.n, each.rows["seed"].max()) for each in arms] == [(6, 5), (5, 4)]


def test_the_order_of_overrides_does_not_distinguish_arms(tmp_path: Path) -> None:
    rows = arm("lstm", LSTM, overrides="train.clip=1 task.window=20")
    rows += arm("lstm", [0.7], [5], overrides="task.window=20 train.clip=1")
    assert [each.score.n for each in grouped(tmp_path, rows).arms] == [6]


def test_an_arm_of_the_same_settings_on_other_data_is_another(tmp_path: Path) -> None:
    rows = [*arm("lstm", LSTM, arm="x", dataset_sha256="a"),
            *arm("lstm", RNN, arm="y", dataset_sha256="b"),
            *arm("lstm", [0.8], [5], dataset_sha256="b")]  # fmt: skip
    found = compared(tmp_path, rows).groups
    assert [[(e.key, e.score.n) for e in group.arms] for group in found] == [[("y", 6)], [("x", 5)]]


def unseeded(model: str, scores: list[float], **more: Any) -> list[Row]:
    return [row | {"seed": ""} for row in arm(model, scores, **more)]


def test_runs_of_a_network_without_a_seed_are_separate_and_unpaired(tmp_path: Path) -> None:
    group = grouped(tmp_path, unseeded("lstm", LSTM), unseeded("rnn", RNN), fixed("naive", 0.5))
    assert [(each.label, each.score.n) for each in group.arms] == [
        ("lstm", 5),
        ("rnn", 5),
        ("naive", 1),
    ]
    pair = pair_of(group, "lstm", "rnn")
    assert pair.seeds is not None
    assert pair.seeds.p == pytest.approx(stats.ttest_ind(LSTM, RNN, equal_var=False).pvalue)
    assert group.arm("lstm").by_seed.seed_list == [None] * 5
    (change,) = changed(tmp_path, unseeded("lstm", LSTM), unseeded("lstm", RNN)).values()
    assert change.seeds is not None
    assert change.seeds.p == pytest.approx(pair.seeds.p)


def test_rows_of_a_deterministic_baseline_are_one(tmp_path: Path) -> None:
    found = compared(tmp_path, arm("lstm", LSTM), fixed("naive", 0.5), fixed("naive", 0.5))
    assert found.groups[0].arm("naive").score.n == 1
    assert found.left_out[0].reason == "earlier runs of the same arm and seed"


def test_neighbouring_large_seeds_stay_two(tmp_path: Path) -> None:
    seeds = [LARGE, LARGE + 1, -(2**63), 2**63 - 1]
    rows = arm("lstm", LSTM[:4], seeds) + arm("rnn", RNN[:4], seeds[::-1])
    rows += [*unseeded("rnn", [0.7]), *fixed("naive", 0.5)]
    found = compared(tmp_path, rows)
    (group,) = found.groups
    lstm, rnn, _ = group.arms
    assert lstm.by_seed.seeds.tolist() == sorted(seeds)
    assert rnn.by_seed.seed_list == [*sorted(seeds), None]
    data = json.loads(as_json(comparison_json(found)))["groups"][0]["arms"]
    assert [each["seeds"] for each in data] == [sorted(seeds), [*sorted(seeds), None], [None]]
    frame = typed([tmp_path / "table.csv"])
    assert frame["seed"].tolist()[:4] == seeds
    (change,) = changed(tmp_path, rows[:4], rows[:4], task="toy").values()
    assert (change.verdict, change.reason) == ("same", "the same at all 4 seeds")


def test_items_are_found_by_exact_seeds(tmp_path: Path) -> None:
    run_ids = {(model, seed): f"{model}-{seed}" for model in "ab" for seed in (LARGE, LARGE + 1)}
    for place, run_id in enumerate(run_ids.values()):
        logits = np.where(np.arange(40) < 10 + 5 * place, 1.0, -1.0)
        keep_predictions(tmp_path, run_id, {"logit": logits, "positive": np.ones(40)})
    rows = [
        arm(model, [0.25 + 0.125 * place], [seed], run_id=run_id)[0]
        for place, ((model, seed), run_id) in enumerate(run_ids.items())
    ]
    (group,) = compare([write(tmp_path / "results.csv", rows)]).groups
    items = ItemTests()
    losses = [items.of(each, seed) for each in group.arms for seed in (LARGE, LARGE + 1)]
    wrong = [each.losses.sum() for each in losses if each is not None]
    assert sorted(wrong) == [15, 20, 25, 30]


@pytest.mark.parametrize(("cell", "seed"), [("3", 3), ("3.0", 3), ("1e3", 1000), (" 7 ", 7)])
def test_spellings_of_a_whole_number(tmp_path: Path, cell: str, seed: int) -> None:
    rows = arm("lstm", [0.5], [cell])  # type: ignore[list-item]
    assert grouped(tmp_path, rows).arms[0].by_seed.seeds.tolist() == [seed]


CHANGED = "the score changed at the same seed and settings: "


def test_a_changed_score_at_the_same_seed_is_a_finding(tmp_path: Path) -> None:
    before = arm("lstm", [0.8], [3], run_id="20260101-a") + arm("lstm", LSTM[:3])
    after = arm("lstm", [0.99], [3], run_id="20260102-b")
    group = grouped(tmp_path, before, after, fixed("naive", 0.5), fixed("naive", 0.4))
    (note,) = [note for note in group.notes if note.startswith(CHANGED)]
    table = tmp_path / "table.csv"
    assert note == (
        f"{CHANGED}lstm, seed 3: 0.8 (20260101-a), then 0.99 (20260102-b); "
        f"naive: 0.5 ({table}, row 6), then 0.4 ({table}, row 7)"
    )


def test_a_changed_score_names_other_epochs(tmp_path: Path) -> None:
    short, long = arm("lstm", [0.8], [3], epochs=2), arm("lstm", [0.9], [3], epochs=50)
    (note,) = [n for n in grouped(tmp_path, short, long).notes if n.startswith(CHANGED)]
    table = tmp_path / "table.csv"
    assert note == (
        f"{CHANGED}lstm, seed 3: 0.8 ({table}, row 1, 2 epochs), then 0.9 ({table}, row 2, 50 "
        f"epochs)"
    )


@pytest.mark.parametrize(
    ("after", "more", "options"),
    [
        (0.8 * (1 + 1e-9), {}, {}),
        (0.99, {"match": "time", "match_budget": 60}, {}),
        (0.8, {"train_seconds": 3.0}, {"metric": "train_seconds"}),
        (0.99, {"status": "failed"}, {}),
    ],
)
def test_rounding_costs_and_failures_are_no_finding(
    tmp_path: Path, after: float, more: Row, options: dict[str, Any]
) -> None:
    base = more | {"status": "ok"} | ({"train_seconds": 9.0} if "train_seconds" in more else {})
    before, other = arm("lstm", [0.8], **base), arm("rnn", [0.7, 0.8], **base)
    group = grouped(tmp_path, before, arm("lstm", [after], **more), other, **options)
    assert not any(note.startswith(CHANGED) for note in group.notes)

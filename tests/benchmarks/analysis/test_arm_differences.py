"""Other data is another group; differences between arms besides model and seed are named."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reporting.json_csv import as_json, comparison_csv, comparison_json
from benchmarks.reporting.renderers import as_markdown
from benchmarks.reporting.tables import sections_of
from scripts.report import main as report
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


def data(name: str, sha256: str) -> Row:
    return {"dataset": name, "dataset_sha256": sha256}


@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        ([data("imdb", ""), data("other", "")], 2),
        ([data("imdb", ""), data("imdb", "")], 1),
        ([data("imdb", ""), data("", "")], 1),
        ([data("imdb", "a"), data("a folder", "a")], 1),
        ([data("imdb", "a"), data("imdb", "b")], 2),
        ([data("imdb", "a"), data("imdb", "")], 1),
        ([data("imdb", "a"), data("other", "")], 2),
        ([data("", "a"), data("other", "")], 1),
        ([data("imdb", "a"), data("other", "b"), data("imdb", "")], 2),
        ([data("imdb", "a"), data("imdb", "b"), data("imdb", "")], 3),
        ([data("imdb", "a"), data("other", "b"), data("", "")], 3),
    ],
)
def test_data_is_identified_by_its_hash_or_its_name(
    tmp_path: Path, rows: list[Row], groups: int
) -> None:
    arms = [arm(name, RNN, **row) for name, row in zip("abc", rows, strict=False)]
    assert len(compared(tmp_path, *arms).groups) == groups


def test_groups_are_told_apart_by_the_name_of_their_data(tmp_path: Path) -> None:
    a, b = arm("lstm", LSTM, **data("imdb", "")), arm("rnn", RNN, **data("other", ""))
    first, second = compared(tmp_path, a, b).groups
    assert (first.title, second.title) == ("toy, dataset imdb", "toy, dataset other")
    assert first.pairs == []
    assert first.notes[0].endswith("of the same task: dataset imdb here, other there")
    (change,) = changed(tmp_path, a, arm("lstm", RNN, **data("other", ""))).values()
    assert (change.verdict, change.reason) == ("not comparable", "dataset imdb in A, other in B")


TIMED: Row = {"match": "time", "match_budget": 9, "stopped_by": "seconds"}
FULL: Row = {"epochs": 50, "stopped_by": "epochs"}


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        ({"overrides": "train.max_epochs=1", "epochs": 1, "stopped_by": "epochs"},
         {"overrides": "train.max_epochs=50", "epochs": 50, "stopped_by": "epochs"},
         "train.max_epochs: 1, 50"),
        ({"overrides": "train.clip=1"}, {"overrides": ""}, "train.clip: 1, default"),
        ({"epochs": 1}, {"epochs": 50}, "epochs: 1, 50"),
        ({"epochs": 11, "stopped_by": "patience"}, {"epochs": 50, "stopped_by": "epochs"}, ""),
        ({"precision": "bfloat16"}, {"precision": ""}, "precision: bfloat16, highest"),
        ({"dtype": "float32"}, {"dtype": "float64"}, "dtype: float32, float64"),
        ({"dtype": "float32"}, {"dtype": ""}, ""),
        ({"learning_rate": 0.1, "dropout": 0}, {"learning_rate": 0.2, "dropout": 0.5},
         "dropout: 0, 0.5; learning_rate: 0.1, 0.2"),
        ({"learning_rate": 0.1, "overrides": "train.learning_rate=0.1"}, {"learning_rate": 0.1},
         ""),
        ({"bidirectional": "true"}, {"bidirectional": "false"}, ""),
        ({"overrides": "model.kernel=fused"}, {"overrides": "model.kernel=torch"}, ""),
        ({"match": "time", "match_budget": 9, "epochs": 3, "stopped_by": "seconds"},
         {"match": "time", "match_budget": 9, "epochs": 7, "stopped_by": "seconds"}, ""),
        ({"match": "parameters", "match_budget": 9, "hidden_size": 3},
         {"match": "parameters", "match_budget": 9, "hidden_size": 5}, ""),
        ({"device": "cpu", "device_name": "EPYC"}, {"device": "cuda:1", "device_name": "H200"},
         "device: cpu, cuda"),
        ({"device": "cuda:0", "device_name": "A100"}, {"device": "cuda:1", "device_name": "H200"},
         "device_name: A100, H200"),
        ({"device": "cuda:0"}, {"device": "cuda:1", "device_name": "H200"}, ""),
        ({**TIMED, "device": "cpu"}, {**TIMED, "device": "cuda:0"}, "device: cpu, cuda"),
        ({**TIMED, "device_name": "A100"}, {**TIMED, "device_name": "H200"},
         "device_name: A100, H200"),
        ({**TIMED, "threads": 4, "steps": 10}, {**TIMED, "threads": 8, "steps": 99},
         "threads: 4, 8"),
        ({"threads": 4}, {"threads": 8}, ""),
        ({**FULL, "steps": 100, "train_tokens": 5000}, {**FULL, "steps": 50, "train_tokens": 2500},
         "steps: 100, 50; train_tokens: 5000, 2500"),
        ({**FULL, "steps": 1000, "train_tokens": 10**9}, {**FULL, "steps": 1001,
         "train_tokens": 10**9 + 7}, ""),
        ({**FULL, "batch_size": 8, "steps": 100}, {**FULL, "batch_size": 16, "steps": 50},
         "batch_size: 8, 16"),
        ({"stopped_by": "patience", "epochs": 11, "steps": 110}, {**FULL, "steps": 500}, ""),
        ({"stopped_by": "steps", "overrides": "train.max_steps=9", "steps": 9}, {**FULL,
         "steps": 500}, "train.max_steps: 9, default"),
        ({"stopped_by": "patience", "epochs": 50}, {"stopped_by": "epochs", "epochs": 2},
         "epochs: 50, 2"),
        ({"tokenization": "word, 20,000 tokens"}, {"tokenization": "65 characters"},
         "tokenization: word, 20,000 tokens, 65 characters"),
        ({"pretrain_sha256": "ab12"}, {"pretrain_sha256": ""}, "pretrain_sha256: ab12, none"),
        ({"pretrain_sha256": "ab12", "overrides": "train.pretrain=self"}, {},
         "train.pretrain: self, default"),
        ({"init_seed": 3}, {"init_seed": ""}, "init_seed: 3, none"),
    ],
)  # fmt: skip
def test_what_differs_is_named_in_the_group_and_beside_the_verdict(
    tmp_path: Path, a: Row, b: Row, text: str
) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM, **a), arm("rnn", RNN, **b), fixed("naive", 0.5))
    wanted = f"arms also differ in {text}" if text else ""
    assert without_names(group.also_differ) == wanted
    assert pair_of(group, "lstm", "rnn").differ == wanted
    assert pair_of(group, "lstm", "naive").differ == ""


def without_names(text: str) -> str:
    """Return the differences of a group without the names of its arms."""
    return re.sub(r" \([^()]*\)", "", text)


def test_the_heading_names_the_arms_of_each_value(tmp_path: Path) -> None:
    slow = [row for name in "abcde" for row in arm(name, RNN, learning_rate=0.001)]
    group = grouped(tmp_path, slow, arm("lstm", LSTM, learning_rate=0.003))
    assert group.also_differ == (
        "arms also differ in learning_rate: 0.003 (lstm), 0.001 (a, b, c, d and 1 more)"
    )
    two = arm("lstm", LSTM, dropout=0.1), arm("lstm", RNN, dropout=0.5)
    assert grouped(tmp_path, *two).also_differ == "arms also differ in dropout: 0.1, 0.5"
    assert grouped(tmp_path, *two, by=("dropout",)).also_differ == ""


@pytest.mark.parametrize(
    ("stopped_by", "text"),
    [("", ""), ("patience", ""), ("epochs", "arms also differ in epochs: 9 to 13, 9")],
)
def test_epochs_that_vary_by_seed_are_a_result_of_patience_alone(
    tmp_path: Path, stopped_by: str, text: str
) -> None:
    ended = {"stopped_by": stopped_by}
    lstm = [row | {"epochs": n, "steps": 10 * n} for n, row in enumerate(arm("lstm", LSTM), 9)]
    group = grouped(tmp_path, [row | ended for row in lstm], arm("rnn", RNN, epochs=9, steps=90))
    assert without_names(group.also_differ) == pair_of(group, "lstm", "rnn").differ == text


def test_one_seed_does_not_hide_another_limit_of_epochs(tmp_path: Path) -> None:
    """A table without `stopped_by`: epochs that vary by seed may be those of patience."""
    short = [row | {"epochs": 1 + (seed == 4)} for seed, row in enumerate(arm("lstm", LSTM))]
    group = grouped(tmp_path, short, arm("rnn", RNN, epochs=50))
    assert pair_of(group, "lstm", "rnn").differ == "arms also differ in epochs: 1 to 2, 50"
    near = [row | {"epochs": 40 + 5 * seed} for seed, row in enumerate(arm("rnn", RNN))]
    longer = [row | {"epochs": 50 + seed} for seed, row in enumerate(arm("lstm", LSTM))]
    assert pair_of(grouped(tmp_path, near, longer), "lstm", "rnn").differ == ""


def test_an_override_of_the_task_explains_another_tokenization(tmp_path: Path) -> None:
    a = arm("lstm", LSTM, tokenization="65 characters", overrides="task.level=char")
    found = pair_of(grouped(tmp_path, a, arm("rnn", RNN, tokenization="word")), "lstm", "rnn")
    assert found.differ == "arms also differ in task.level: char, default"


def test_networks_do_not_differ_from_baselines_in_their_training(tmp_path: Path) -> None:
    net = arm("lstm", LSTM, device="cuda:0", device_name="H200", steps=10, **FULL)
    naive = fixed("naive", 0.5, device="cpu", device_name="EPYC")
    assert grouped(tmp_path, net, naive).also_differ == ""


def test_a_difference_is_named_once_where_budget_and_labels_contain_it(tmp_path: Path) -> None:
    sizes = arm("lstm", LSTM, hidden_size=8), arm("lstm", GRU, hidden_size=16)
    group = grouped(tmp_path, *sizes, arm("rnn", RNN, hidden_size=8))
    assert group.budget == "not matched: hidden sizes 8 to 16"
    assert group.also_differ == ""
    assert pair_of(group, "lstm hidden_size=8", "lstm hidden_size=16").differ == ""
    assert pair_of(group, "lstm hidden_size=16", "rnn").differ == (
        "arms also differ in hidden_size: 16, 8"
    )


def test_the_direction_of_one_model_is_a_setting(tmp_path: Path) -> None:
    both = arm("lstm", LSTM, bidirectional="true"), arm("lstm", RNN, bidirectional="false")
    assert grouped(tmp_path, *both).also_differ == "arms also differ in bidirectional: 1, 0"


def test_overrides_of_the_task_concern_baselines(tmp_path: Path) -> None:
    words: dict[str, Any] = {"overrides": "task.window=20 train.clip=1"}
    group = grouped(tmp_path, arm("lstm", LSTM, **words), fixed("naive", 0.5, overrides=""))
    assert pair_of(group, "lstm", "naive").differ == (
        "arms also differ in task.window: 20, default"
    )


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        ({"overrides": "train.max_epochs=1"}, {"overrides": "train.max_epochs=50"},
         "train.max_epochs: 1, 50"),
        ({"device": "cpu"}, {"device": "cuda:0"}, "device: cpu, cuda"),
        ({**FULL, "steps": 100}, {**FULL, "steps": 50}, "steps: 100, 50"),
    ],
)  # fmt: skip
def test_every_format_contains_the_differences(tmp_path: Path, a: Row, b: Row, text: str) -> None:
    rows = arm("lstm", LSTM, hidden_size=32, **a) + arm("rnn", RNN, hidden_size=32, **b)
    found = compared(tmp_path, rows)
    differ = f"arms also differ in {text}"
    (named,) = (group.also_differ for group in found.groups)
    assert without_names(named) == differ
    text = as_markdown(sections_of(found, only_changed=False)).replace("\\", "")
    assert f"hidden size 32  \n{named}\n" in text
    assert f"paired t, 5 seeds); {differ}" in text
    group = json.loads(as_json(comparison_json(found)))["groups"][0]
    assert (group["also_differ"], group["pairs"][0]["differ"]) == (named, differ)
    lines = list(csv.DictReader(io.StringIO(comparison_csv(found))))
    assert [line["differ"] for line in lines] == ["", differ]
    page = tmp_path / "page.html"
    assert report([str(write(tmp_path / "t.csv", rows)), "-o", str(page)]) == 0
    html = page.read_text(encoding="utf-8")
    assert f"hidden size 32 · {named}</p>" in html
    assert html.count(differ) == 1  # in the table of pairs


def test_changes_name_what_differs_between_the_tables(tmp_path: Path) -> None:
    a, b = arm("lstm", LSTM, epochs=1), arm("lstm", RNN, epochs=50)
    (change,) = changed(tmp_path, a, b).values()
    assert (change.verdict, change.differ) == ("worse", "A and B also differ in epochs: 1, 50")
    cpu, gpu = arm("lstm", LSTM, device="cpu"), arm("lstm", RNN, device="cuda:0")
    (change,) = changed(tmp_path, cpu, gpu).values()
    assert (change.verdict, change.differ) == ("worse", "A and B also differ in device: cpu, cuda")
    fewer, more = (arm("lstm", LSTM, overrides=f"train.max_epochs={n}") for n in (1, 50))
    assert {each.verdict for each in changed(tmp_path, fewer, more).values()} == {
        "only in A",
        "only in B",
    }
    small, large = (arm("lstm", LSTM, hidden_size=n) for n in (8, 16))
    (pooled,) = changed(tmp_path, small, large, by=("model",)).values()
    assert (pooled.verdict, pooled.differ) == ("same", "A and B also differ in hidden_size: 8, 16")

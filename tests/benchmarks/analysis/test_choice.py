"""The rule by which a value of a setting is chosen, and runs without test scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.analysis.choice import Choice, choices
from benchmarks.errors import UserError
from scripts.compare import main
from tests.helpers.result_tables import Row, arm, compared, fixed, grouped, pair_of, write

KEY = "model.learning_rate_factor"


def tuned(model: str, value: str, scores: Sequence[float], **more: Any) -> list[Row]:
    """Return the rows of one value of a grid: validation scores, no test scores."""
    rows = arm(model, scores, overrides=f"{KEY}={value}", arm=f"{model} {value}", **more)
    return [row | {"val_score": row["test_score"], "test_score": ""} for row in rows]


def chosen(folder: Path, *values: list[Row], recipe_value: object = 1.0) -> list[Choice]:
    def value_of(key: str, groups: Mapping[str, str]) -> object:
        assert key == KEY
        return recipe_value

    return choices(
        [write(folder / "t.csv", [row for rows in values for row in rows])], KEY, None, value_of
    )


def only(folder: Path, *values: list[Row], recipe_value: object = 1.0) -> Choice:
    (choice,) = chosen(folder, *values, recipe_value=recipe_value)
    return choice


def test_a_value_replaces_the_recipes_own_beyond_the_pooled_standard_error(tmp_path: Path) -> None:
    own, other = [0.80, 0.82, 0.81], [0.83, 0.86, 0.83]
    choice = only(tmp_path, tuned("gru", "1", own), tuned("gru", "2.5", other))
    assert choice.chosen == "2.5"
    # The means are 0.81 and 0.84; the squares sum to 0.0002 and 0.0006, with 2 + 2 degrees.
    error = math.sqrt((0.0002 + 0.0006) / 4 * (1 / 3 + 1 / 3))
    assert 0.0115 < error < 0.0125
    assert choice.reason == "2.5 replaces 1: better by 0.030, pooled standard error 0.012"


def test_a_smaller_gain_leaves_the_recipes_value(tmp_path: Path) -> None:
    own, other = [0.80, 0.82, 0.84], [0.81, 0.83, 0.85]
    choice = only(tmp_path, tuned("gru", "1.0", own), tuned("gru", "0.4", other))
    assert choice.chosen == "1"
    # Both have a variance of 0.0004, so the error is sqrt(0.0004 * 2 / 3).
    assert choice.reason == "1 stays: 0.4 is better by 0.010, pooled standard error 0.016"
    assert [(each.value, each.is_of_recipe) for each in choice.candidates] == [
        ("0.4", False),
        ("1", True),
    ]


def test_lower_is_better_for_errors(tmp_path: Path) -> None:
    lower = {"metric": "rmse", "higher_is_better": "false"}
    values = tuned("gru", "1", [2.0, 2.1], **lower), tuned("gru", "2", [1.0, 1.1], **lower)
    assert only(tmp_path, *values).chosen == "2"


def test_the_best_value_may_be_the_recipes_own(tmp_path: Path) -> None:
    choice = only(tmp_path, tuned("gru", "1", [0.9, 0.8]), tuned("gru", "2", [0.5, 0.6]))
    assert (choice.chosen, choice.reason) == ("1", "1, the recipe's value, has the best mean")


def test_a_value_at_which_a_run_failed_is_not_chosen(tmp_path: Path) -> None:
    lost = {"status": "diverged", "val_score": "", "seed": 2}
    best = tuned("gru", "5", [0.9, 0.92])
    failed = [best[0] | lost]
    choice = only(tmp_path, tuned("gru", "1", [0.8, 0.81]), best, failed)
    assert choice.chosen == "1"
    assert [each.failed for each in choice.candidates] == [0, 1]
    of_recipe = [tuned("gru", "1", [0.99])[0] | lost]
    choice = only(tmp_path, best, tuned("gru", "1", [0.95, 0.96]), of_recipe)
    assert (choice.chosen, choice.reason) == ("5", "5 replaces 1, at which 1 run failed")
    choice = only(tmp_path, best, failed, of_recipe)
    assert (choice.chosen, choice.reason) == (None, "no choice: a run failed at every value")


def test_there_is_no_choice_without_the_recipes_value_or_with_one_seed(tmp_path: Path) -> None:
    values = tuned("gru", "1", [0.8, 0.81]), tuned("gru", "2", [0.9])
    choice = only(tmp_path, *values, recipe_value=3e-3)
    assert choice.chosen is None
    assert choice.reason == "no choice: the recipe's value, 0.003, was not run"
    assert only(tmp_path, *values).reason == "no choice: 2 has the best mean, but of one seed only"


def test_runs_without_the_override_have_the_recipes_value(tmp_path: Path) -> None:
    default = [row | {"val_score": 0.9} for row in arm("gru", [0.5, 0.6], arm="default")]
    choice = only(tmp_path, default, tuned("gru", "2", [0.8, 0.7]))
    assert [(each.value, each.score.n) for each in choice.candidates if each.score] == [
        ("1", 2),
        ("2", 2),
    ]
    assert choice.chosen == "1"


def test_models_recipes_and_other_overrides_are_chosen_for_separately(tmp_path: Path) -> None:
    rows = [
        *tuned("gru", "1", [0.8, 0.81]),
        *tuned("rnn", "1", [0.7, 0.71]),
        *tuned("gru", "2", [0.7, 0.71], recipe="strong"),
        *fixed("majority", 0.5, val_score=0.5),
    ]
    deeper = tuned("lstm", "2", [0.7, 0.71])
    deeper = [row | {"overrides": f"{KEY}=2 model.num_layers=2"} for row in deeper]
    found = chosen(tmp_path, rows, deeper)
    assert sorted(each.settings for each in found) == [
        "gru recipe=default",
        "gru recipe=strong",
        "lstm recipe=default model.num_layers=2",
        "rnn recipe=default",
    ]


def test_runs_of_a_value_that_differ_otherwise_are_refused(tmp_path: Path) -> None:
    other = [row | {"arm": "other"} for row in tuned("gru", "1", [0.8])]
    with pytest.raises(UserError, match="gru on toy at 1: 2 arms differ in settings"):
        chosen(tmp_path, tuned("gru", "1", [0.7, 0.8]), other)


def test_the_command_prints_the_values_and_the_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_sp500 = {"task": "sp500", "recipe": "default"}
    values = [("0.4", [0.80, 0.82, 0.81]), ("1", [0.83, 0.86, 0.83])]
    rows = [row for value, scores in values for row in tuned("rnn", value, scores, **of_sp500)]
    table = str(write(tmp_path / "t.csv", rows))
    assert main([table, "--choose", KEY]) == 0
    out = capsys.readouterr().out
    assert "sp500: accuracy of rnn recipe=default\non validation, higher is better" in out
    assert "   0.4 (recipe)                3               0.810  0.025\n" in out
    assert "*  1                           3               0.840  0.043\n" in out
    assert "1 replaces 0.4: better by 0.030, pooled standard error 0.012" in out
    assert main([table, "--choose", KEY, "--format", "markdown"]) == 0
    assert "| 0.4 (recipe) | 3 |" in capsys.readouterr().out
    for more in (["--metric", "mae"], ["--by", "model"], ["--format", "json"], ["--planned", "5"]):
        assert main([table, "--choose", KEY, *more]) == 2
        assert f"{more[0]}: cannot be combined with --choose" in capsys.readouterr().err
    assert main([table, "--choose", f"{KEY}s"]) == 2
    text = f"--choose {KEY}s: no run sets this key (they set: {KEY}); did you mean {KEY}?\n"
    assert text in capsys.readouterr().err


def test_runs_without_test_scores_are_no_failures(tmp_path: Path) -> None:
    rows = arm("lstm", [0.8, 0.9]), tuned("gru", "1", [0.8, 0.9])
    found = compared(tmp_path, *rows)
    assert [each.reason for each in found.left_out] == [
        "runs without test scores (--metric val_score)"
    ]
    ((lstm,),) = [group.arms for group in found.groups]
    assert (lstm.label, lstm.completed, lstm.attempted) == ("lstm", 2, 2)
    both = [row | {"val_score": 0.7} for row in rows[0]]
    assert len(grouped(tmp_path, both, rows[1], metric="val_score").arms) == 2


def test_arms_of_different_recipes_are_labelled_and_never_merged(tmp_path: Path) -> None:
    default = arm("gru", [0.80, 0.81, 0.80], recipe="default", arm="a", hidden_size=128)
    strong = arm("gru", [0.84, 0.86, 0.85], recipe="strong", arm="b", hidden_size=224)
    lstm = arm("lstm", [0.7, 0.72, 0.71], recipe="default", arm="c", hidden_size=128)
    majority = fixed("majority", 0.5, recipe="strong")
    group = grouped(tmp_path, default, strong, lstm, majority)
    assert {each.label for each in group.arms} == {
        *("gru recipe=strong", "gru recipe=default", "lstm", "majority")
    }
    assert "recipe: strong (gru recipe=strong), default (" in group.also_differ
    assert "recipe: strong, default" in pair_of(group, "gru recipe=strong", "lstm").differ
    group = grouped(tmp_path, default, strong, lstm, majority, by=("model",))
    assert {each.label: each.score.n for each in group.arms if not each.baseline} == {
        "gru recipe=strong": 3,
        "gru recipe=default": 3,
        "lstm": 3,
    }
    assert "recipe" not in group.budget
    assert "recipe strong" in grouped(tmp_path, strong, majority).budget
    without = grouped(tmp_path, default, lstm, fixed("majority", 0.5, recipe="strong"))
    assert "recipe" not in without.also_differ


def test_rows_from_before_the_column_have_the_default_recipe(tmp_path: Path) -> None:
    before = arm("gru", [0.8, 0.81], seeds=[0, 1], arm="a")
    after = arm("gru", [0.82], seeds=[2], arm="a", recipe="default")
    (found,) = grouped(tmp_path, before, after).arms
    assert (found.label, found.score.n) == ("gru", 3)
    # Rows without the hash of their arm, of which only some have the column.
    before, after = [[{k: v for k, v in r.items() if k != "arm"} for r in rows]
                     for rows in (before, after)]  # fmt: skip
    (found,) = grouped(tmp_path, before, after).arms
    assert found.score.n == 3

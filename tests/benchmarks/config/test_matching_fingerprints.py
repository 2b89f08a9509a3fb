"""Budgets in configurations, fingerprints, plans and searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.config.fingerprint import arm, fingerprint
from benchmarks.config.matching import matched
from benchmarks.errors import UserError
from benchmarks.runner.row_columns import configuration_columns
from models.recurrent import RecurrentSettings
from tasks.base import DataDescription
from tests.helpers.budgets import SP500_BUDGET, composed, plan_of

DATA = DataDescription("prices", "ab" * 32, "in order", 8, 1, 1, "days")
SOLVED = ("match=parameters", "match.budget=5000")


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            "match=parameters",
            "match=parameters: requires match.budget (the number of encoder parameters",
        ),
        ("match=flops", "match=flops: requires match.budget (the forward FLOPs per token"),
        ("match=time", "match=time: requires match.budget_seconds (the training time"),
        ("match.budget=5", "match.budget=5: requires match=parameters or match=flops, not match="),
        ("match.budget_seconds=5", "match.budget_seconds=5.0: requires match=time, not match="),
        (
            "match=parameters match.budget=5 match.budget_seconds=5",
            "match.budget_seconds=5.0: requires match=time, not match=parameters",
        ),
        ("match=time match.budget=5 match.budget_seconds=5", "match.budget=5: requires"),
        ("match=flops match.budget=0", "match.budget=0: must be at least 1"),
        ("match=time match.budget_seconds=0", "match.budget_seconds=0.0: must be above 0"),
        ("match.kind=tim", "match.kind=tim: must be one of hidden, parameters, flops, time"),
        (
            "match=time match.budget_seconds=5 train.max_seconds=4",
            "train.max_seconds=4.0: under match=time only match.budget_seconds limits",
        ),
        (
            "match=time match.budget_seconds=5 train.max_steps=4",
            "train.max_steps=4: under match=time only match.budget_seconds limits",
        ),
    ],
)
def test_contradictions_are_refused(overrides: str, text: str) -> None:
    with pytest.raises(UserError) as refused:
        composed(*overrides.split())
    assert str(refused.value).startswith(text)
    assert "\n" not in str(refused.value)


def test_a_smoke_test_may_bound_the_steps_under_time() -> None:
    config = composed("debug=smoke", "match=time", "match.budget_seconds=5")
    assert config.train.max_steps is not None


# Fingerprints


def hashes(*overrides: str) -> tuple[str, str]:
    config = composed(*overrides)
    return fingerprint(config, DATA, "cpu"), arm(config, DATA)


def test_a_solved_hidden_size_does_not_enter_the_fingerprint() -> None:
    assert hashes(*SOLVED) == hashes(*SOLVED, "model.hidden_size=7")
    assert hashes("model.hidden_size=8") != hashes("model.hidden_size=7")
    timed = ("match=time", "match.budget_seconds=5")
    assert hashes(*timed, "model.hidden_size=8") != hashes(*timed, "model.hidden_size=7")


def test_the_solved_configuration_has_the_same_fingerprint() -> None:
    config = composed("model=rnn", "match=parameters", f"match.budget={SP500_BUDGET}")
    solved = matched(config, input_size=2)
    assert solved != config
    assert fingerprint(solved, DATA, "cpu") == fingerprint(config, DATA, "cpu")


def test_every_match_and_budget_has_its_own_fingerprint() -> None:
    found = [
        hashes(*text.split())
        for text in (
            "match=hidden",
            "match=parameters match.budget=5000",
            "match=parameters match.budget=5001",
            "match=flops match.budget=5000",
            "match=time match.budget_seconds=5000",
            "match=time match.budget_seconds=5",
        )
    ]
    assert len(set(found)) == len(found)
    assert len({arm for _, arm in found}) == len(found)
    assert hashes() == hashes("match=hidden")
    assert hashes(*SOLVED, "model.num_layers=2") != hashes(*SOLVED)


def test_a_baseline_has_no_budget() -> None:
    baseline = ("model=baseline", "model.baseline=drift")
    assert hashes(*baseline) == hashes(*baseline, *SOLVED)
    assert hashes(*baseline) == hashes(*baseline, "match=time", "match.budget_seconds=5")
    assert not {"match", "match_budget"} & set(configuration_columns(composed(*baseline, *SOLVED)))


# Plans and searches


def test_a_plan_solves_equal_encoders_once(
    tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds: list[int] = []
    build = RecurrentSettings.build

    def counted(self: RecurrentSettings, input_size: int) -> Any:
        builds.append(self.hidden_size)
        return build(self, input_size)

    monkeypatch.setattr(RecurrentSettings, "build", counted)
    places = (f"results_dir={tmp_path}", f"cache_dir={shared_cache}")
    axes = ("model=rnn,gru", "match=parameters", f"match.budget={SP500_BUDGET}")
    plan = plan_of(*axes, "seed=range(0,50)", "train.beta2=0.9,0.99", *places)
    assert len(plan.cells) == 200
    assert {(c.config.model.label, c.config.model.hidden_size) for c in plan.cells} == {
        ("rnn", 66),
        ("gru", 37),
    }
    assert len(builds) < 60


def test_cells_that_differ_in_what_is_solved_for_are_one(
    tmp_path: Path, shared_cache: Path
) -> None:
    places = (f"results_dir={tmp_path}", f"cache_dir={shared_cache}")
    axes = (
        "model=gru",
        "model.hidden_size=3,4",
        "match=parameters",
        f"match.budget={SP500_BUDGET}",
        "match.max_factor=20",
    )
    assert len(plan_of(*axes, *places).cells) == 1


def test_a_search_has_one_space() -> None:
    tune = pytest.importorskip("benchmarks.sweeps.tune", exc_type=ImportError)
    distributions = pytest.importorskip("optuna.distributions")
    width = {"model.hidden_size": distributions.IntDistribution(1, 9)}
    space = width | {"train.beta2": distributions.FloatDistribution(0.1, 0.9)}
    set_by_hand, solved = composed(), composed(*SOLVED)
    assert tune.without_hidden_size(space, [set_by_hand, set_by_hand]) == space
    assert list(tune.without_hidden_size(space, [solved, solved])) == ["train.beta2"]
    with pytest.raises(UserError, match="match=hidden,parameters: a search has one space"):
        tune.without_hidden_size(space, [set_by_hand, solved])
    with pytest.raises(UserError, match="match=parameters determines it, so the search space"):
        tune.without_hidden_size(width, [solved])


def test_a_size_far_above_the_recipe_is_refused_until_it_is_accepted(
    tmp_path: Path, shared_cache: Path
) -> None:
    places = (f"results_dir={tmp_path}", f"cache_dir={shared_cache}")
    axes = ("model=rnn", "model.hidden_size=8", "match=parameters", "match.budget=4575")
    with pytest.raises(UserError, match=r"66 units, 8\.2 times .*=8; .* match\.max_factor=9"):
        plan_of(*axes, *places)
    assert len(plan_of(*axes, "match.max_factor=9", *places).cells) == 1

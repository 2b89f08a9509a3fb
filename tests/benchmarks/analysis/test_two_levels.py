"""Verdicts beyond the test items: seeds and items as samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.formatting import p_text
from benchmarks.analysis.margin import parse_margin
from benchmarks.analysis.statistics.sequential import nominal_level
from benchmarks.reporting.answer import answer
from benchmarks.reporting.sentences import pair_text
from tests.helpers.stored_forecasts import DOWN, arm_of, forecasts, group_of

N = 600


def planted_arms(results: Path, gap: float, model_noise: float) -> list[list[dict[str, Any]]]:
    """Write forecasts of two arms with five seeds; each arm has errors of its own on every day.

    Without a gap, neither arm is better on other days.
    """
    rng = np.random.default_rng(0)
    day = rng.normal(0, 1, N)
    arms = []
    for model, more in (("gru", 0.0), ("rnn", gap)):
        errors = day + rng.normal(0, model_noise, N)
        scores = [
            forecasts(results, f"{model}{seed}", (1 + more) * (errors + rng.normal(0, 0.05, N)))
            for seed in range(5)
        ]
        arms.append(arm_of(model, scores, **DOWN))
    return arms


def test_a_difference_between_these_items_is_not_one_between_populations(tmp_path: Path) -> None:
    group = group_of(tmp_path, *planted_arms(tmp_path, 0.0, 0.5))
    (pair,) = group.pairs
    assert pair.verdict == "better"
    assert pair.population is not None
    assert pair.seeds is not None
    assert pair.population.difference == pytest.approx(pair.seeds.difference)
    assert pair.population_verdict == "no difference shown"
    assert (
        f"beyond these test items: no difference shown, {p_text(pair.population_p or 0)} (Holm; "
        "seeds x items)" in pair_text(pair, group)
    )


def test_a_difference_between_populations_is_found(tmp_path: Path) -> None:
    group = group_of(tmp_path, *planted_arms(tmp_path, 0.3, 0.1))
    (pair,) = group.pairs
    assert (pair.a, pair.verdict, pair.population_verdict) == ("gru", "better", "better")
    assert "beyond these test items: gru better, p < 0.001" in pair_text(pair, group)


@pytest.mark.parametrize("lost", [3, 40])
def test_failed_runs_withhold_the_verdict_beyond_the_items(tmp_path: Path, lost: int) -> None:
    """The seeds' verdict is withheld, or gru is shown to fail more often."""
    gru, rnn = planted_arms(tmp_path, 0.3, 0.1)
    failed = [{**row, "status": "diverged", "test_score": ""} for row in gru[:1] * lost]
    failed = [{**row, "seed": 90 + n, "run_id": f"lost{n}"} for n, row in enumerate(failed)]
    group = group_of(tmp_path, gru, rnn, failed)
    (pair,) = group.pairs
    assert pair.verdict == ("no difference shown" if lost == 3 else "fails more often")
    assert pair.population_verdict == "withheld"
    because = (
        f"withheld, because gru completed only 5 of {5 + lost} runs; completed runs, p < 0.001"
    )
    assert f"beyond these test items: {because}" in pair_text(pair, group)
    assert "beyond these test items" not in answer(group)


def test_equivalence_beyond_the_items_has_a_test_of_its_own(tmp_path: Path) -> None:
    arms = planted_arms(tmp_path, 0.3, 0.1)
    group = group_of(tmp_path, *arms, margin=parse_margin("10"))
    (pair,) = group.pairs
    found = pair.population
    assert (pair.verdict, pair.population_verdict) == ("equivalent", "equivalent")
    assert found is not None
    assert found.freedom is not None
    assert found.error is not None
    t = (10 - abs(found.difference)) / found.error
    assert pair.population_p == pytest.approx(stats.t.sf(t, found.freedom))
    # Equivalent over seeds, and beyond them a difference that may exceed the margin.
    near = abs(found.difference) * 1.05
    group = group_of(tmp_path, *arms, margin=parse_margin(f"{near}"))
    (pair,) = group.pairs
    assert (pair.verdict, pair.population_verdict) == ("equivalent", "better")
    assert pair.population_p is not None
    assert pair.population_p < 0.05


def test_the_interval_beyond_the_items_agrees_with_its_verdict(tmp_path: Path) -> None:
    (pair,) = group_of(tmp_path, *planted_arms(tmp_path, 0.3, 0.1), planned=10).pairs
    found, level = pair.population, nominal_level(5, 10)
    assert found is not None
    assert found.error is not None
    assert found.freedom is not None
    half = stats.t.isf(level / 2, found.freedom) * found.error
    assert found.high == pytest.approx(found.difference + half)


def test_populations_need_three_seeds_that_are_those_of_both_arms(tmp_path: Path) -> None:
    arms = planted_arms(tmp_path, 0.3, 0.1)
    group = group_of(tmp_path, *(rows[:2] for rows in arms))
    assert (group.pairs[0].population, group.pairs[0].population_p) == (None, None)
    group = group_of(tmp_path, arms[0][:4], arms[1][1:])  # the same number, other seeds
    assert group.pairs[0].population is None
    group = group_of(tmp_path, *(rows[1:4] for rows in arms))
    assert group.pairs[0].population is not None
    assert group.pairs[0].population.n == 3


def test_verdicts_beyond_the_items_are_corrected_for_all_pairs(tmp_path: Path) -> None:
    arms = planted_arms(tmp_path, 0.3, 0.1)
    extra = arm_of("lstm", [3.0, 3.1, 3.05], **DOWN)
    group = group_of(tmp_path, *arms, extra)
    found = next(pair for pair in group.pairs if pair.population_p is not None)
    assert len(group.pairs) == 3
    assert found.population is not None
    assert found.population.p is not None
    assert found.population_p == pytest.approx(3 * found.population.p, rel=1e-6, abs=0)

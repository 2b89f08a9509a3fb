"""Tests over the items of stored predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import Group
from benchmarks.analysis.selection import Options
from tests.helpers.result_tables import arm, fixed, keep_predictions, write

N = 600


def group_of(results: Path, *arms: list[dict[str, Any]], **options: Any) -> Group:
    """Compare arms of a table in a results folder."""
    rows = [row for each in arms for row in each]
    write(results / "results.csv", rows)
    (group,) = compare([results], Options(**options)).groups
    return group


def forecasts(results: Path, run_id: str, errors: np.ndarray) -> None:
    actual = np.full(len(errors), 100.0)
    keep_predictions(results, run_id, {"actual": actual, "predicted": actual + errors})


def classes(results: Path, run_id: str, right: np.ndarray) -> None:
    positive = np.arange(len(right)) % 2 == 0
    logit = np.where(right == positive, 1.0, -1.0).astype(np.float32)
    keep_predictions(results, run_id, {"logit": logit, "positive": positive})


DOWN = {"metric": "rmse", "higher_is_better": "false"}


def test_items_decide_between_deterministic_forecasts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, N), rng.normal(0, 1.5, N)
    forecasts(tmp_path, "ra", a)
    forecasts(tmp_path, "rb", b)
    rows = (
        fixed("walk", float(np.sqrt((a**2).mean())), run_id="ra", **DOWN),
        fixed("drift", float(np.sqrt((b**2).mean())), "simple", run_id="rb", **DOWN),
    )
    group = group_of(tmp_path, *rows)
    (pair,) = group.pairs
    d = a**2 - b**2
    # Harvey, Leybourne and Newbold at one day ahead: the t statistic with the sd's plain divisor.
    statistic = d.mean() / np.sqrt(d.var() / N) * np.sqrt((N - 1) / N)
    assert pair.p_adjusted == pytest.approx(2 * stats.t.sf(abs(statistic), N - 1))
    assert (pair.a, pair.verdict) == ("walk", "better")
    assert pair.reason == f"Diebold-Mariano (HLN), {N} items"
    untested = group_of(tmp_path, *rows, items=False).pairs[0]
    assert (untested.verdict, untested.p_adjusted) == ("no difference shown", None)
    assert untested.reason == "n = 1: one value each and no stored predictions"


def test_classifiers_are_compared_at_the_first_common_seed(tmp_path: Path) -> None:
    right = np.ones(N, dtype=bool)
    lstm, rnn = right.copy(), right.copy()
    lstm[:20], rnn[20:70] = False, False
    for run_id, what in (("l1", lstm), ("l2", right), ("r1", rnn), ("r2", right)):
        classes(tmp_path, run_id, what)
    group = group_of(
        tmp_path,
        [row | {"run_id": f"l{row['seed']}"} for row in arm("lstm", [0.9, 0.91], seeds=[1, 2])],
        [row | {"run_id": f"r{row['seed']}"} for row in arm("rnn", [0.88, 0.87], seeds=[1, 2])],
    )
    (pair,) = group.pairs
    assert pair.items is not None
    assert pair.items.p == pytest.approx(stats.binomtest(20, 70).pvalue)
    assert (pair.items.difference, pair.items_of) == (pytest.approx(30 / N), "seed 1")
    assert pair.reason.startswith("paired t")


def test_items_do_not_decide_between_single_seeds(tmp_path: Path) -> None:
    right = np.ones(N, dtype=bool)
    classes(tmp_path, "good", right)
    classes(tmp_path, "bad", right & (np.arange(N) % 2 == 0))
    group = group_of(tmp_path, arm("lstm", [1.0], run_id="good"), arm("rnn", [0.5], run_id="bad"))
    (pair,) = group.pairs
    assert (pair.verdict, pair.p_adjusted) == ("no difference shown", None)
    assert pair.items is not None
    assert pair.items.p is not None
    assert pair.items.p < 1e-6


def test_language_models_are_compared_by_their_mean_loss_over_seeds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = rng.gamma(2, 1, 20_000)
    runs = {"a0": base, "a1": base + 0.1, "b0": base + 0.2, "b1": base + 0.3}
    for run_id, nats in runs.items():
        noisy = (nats + rng.normal(0, 0.2, len(nats))).astype(np.float32)
        keep_predictions(tmp_path, run_id, {"nats": noisy})
    more = {"metric": "perplexity", "higher_is_better": "false"}
    group = group_of(
        tmp_path,
        [row | {"run_id": f"a{row['seed']}"} for row in arm("gru", [7.0, 7.1], **more)],
        [row | {"run_id": f"b{row['seed']}"} for row in arm("rnn", [7.5, 7.7], **more)],
    )
    found = group.pairs[0].items
    assert found is not None
    assert found.difference == pytest.approx(-0.2, abs=0.01)
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.2 < found.high < 0
    assert (found.n, group.pairs[0].items_of) == (20_000, "mean of 2 seeds")


def test_the_confidence_set_contains_the_best_arms(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(0, 1, N)
    for run_id, noise in (("a", 0.1), ("b", 0.1), ("c", 2.0)):
        forecasts(tmp_path, run_id, common + rng.normal(0, noise, N))
    rows = [
        fixed(name, 1.0 + n / 100, kind, run_id=name, **DOWN)
        for n, (name, kind) in enumerate([("a", "naive"), ("b", "simple"), ("c", "simple")])
    ]
    assert group_of(tmp_path, *rows).confidence_set == ["a", "b"]
    assert group_of(tmp_path, *rows[:2]).confidence_set == []


@pytest.mark.parametrize("what", ["other items", "another form", "unknown form", "damaged", "none"])
def test_predictions_of_other_items_are_ignored(tmp_path: Path, what: str) -> None:
    errors = np.random.default_rng(0).normal(size=N)
    forecasts(tmp_path, "a", errors)
    if what == "other items":
        forecasts(tmp_path, "b", errors[:-1])
    elif what == "another form":
        classes(tmp_path, "b", errors > 0)
    elif what == "unknown form":
        keep_predictions(tmp_path, "b", {"guess": errors})
    elif what == "damaged":
        forecasts(tmp_path, "b", errors)
        (tmp_path / "runs" / "b" / "predictions.parquet").write_bytes(b"PAR1 nothing")
    rows = fixed("a", 1.0, run_id="a", **DOWN), fixed("b", 1.1, "simple", run_id="b", **DOWN)
    (pair,) = group_of(tmp_path, *rows).pairs
    assert (pair.items, pair.verdict) == (None, "no difference shown")


def test_items_are_not_used_for_another_metric(tmp_path: Path) -> None:
    for run_id in ("a", "b"):
        forecasts(tmp_path, run_id, np.random.default_rng(0).normal(size=N))
    rows = [
        row | {"run_id": run_id, "mae": score}
        for run_id, score in (("a", 1.0), ("b", 2.0))
        for row in arm(run_id, [score], **DOWN)
    ]
    group = group_of(tmp_path, rows, metric="mae")
    assert (group.pairs[0].items, group.confidence_set) == (None, [])

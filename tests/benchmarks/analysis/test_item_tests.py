"""Tests over the items of stored predictions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.compare import compare
from benchmarks.analysis.item_files import read_items
from benchmarks.analysis.statistics.items import diebold_mariano
from benchmarks.reporting.json_csv import as_json, comparison_json
from benchmarks.reporting.sentences import pair_text
from tests.helpers.result_tables import arm, fixed, keep_predictions
from tests.helpers.stored_forecasts import DOWN, arm_of, forecasts, group_of

N = 600


def classes(results: Path, run_id: str, right: np.ndarray) -> float:
    """Write the predictions of a classifier; return its accuracy."""
    positive = np.arange(len(right)) % 2 == 0
    logit = np.where(right == positive, 1.0, -1.0).astype(np.float32)
    keep_predictions(results, run_id, {"logit": logit, "positive": positive})
    return float(right.mean())


def language(results: Path, run_id: str, nats: np.ndarray) -> float:
    """Write the losses of a language model; return its perplexity."""
    keep_predictions(results, run_id, {"nats": nats.astype(np.float32)})
    return float(np.exp(nats.mean()))


NATS = {"metric": "perplexity", "higher_is_better": "false"}


def test_items_decide_between_deterministic_forecasts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, N), rng.normal(0, 1.5, N)
    rows = (
        fixed("walk", forecasts(tmp_path, "ra", a), run_id="ra", **DOWN),
        fixed("drift", forecasts(tmp_path, "rb", b), "simple", run_id="rb", **DOWN),
    )
    group = group_of(tmp_path, *rows)
    (pair,) = group.pairs
    assert pair.p_adjusted == pytest.approx(diebold_mariano(a, b).p)
    assert (pair.a, pair.verdict) == ("walk", "better")
    assert pair.reason == f"Diebold-Mariano (EWC), {N} items"
    untested = group_of(tmp_path, *rows, items=False).pairs[0]
    assert (untested.verdict, untested.p_adjusted) == ("no difference shown", None)
    assert untested.reason == "n = 1: one value each and no stored predictions"


def forecasts_of_steps(results: Path, run_id: str, errors: np.ndarray) -> float:
    """Write the forecasts of a run, errors (origins, steps); return their RMSE."""
    actual = np.full(errors.size, 100.0)
    steps = np.tile(np.arange(1, errors.shape[1] + 1, dtype=np.int32), len(errors))
    columns = {"step": steps, "actual": actual, "predicted": actual + errors.ravel()}
    keep_predictions(results, run_id, columns)
    return float(np.sqrt((errors**2).mean()))


def overlapping_errors(seed: int, origins: int, steps: int) -> np.ndarray:
    """Return errors (origins, steps): step k of origin t adds up the shocks from t to t + k."""
    shocks = np.random.default_rng(seed).normal(size=origins + steps)
    windows = np.lib.stride_tricks.sliding_window_view(shocks, steps)[:origins]
    return np.cumsum(windows, axis=1)


def test_the_steps_of_an_origin_are_one_item(tmp_path: Path) -> None:
    a, b = overlapping_errors(0, 60, 12), overlapping_errors(1, 60, 12)
    rows = (
        fixed("walk", forecasts_of_steps(tmp_path, "ra", a), run_id="ra", **DOWN),
        fixed("drift", forecasts_of_steps(tmp_path, "rb", b), "simple", run_id="rb", **DOWN),
    )
    (pair,) = group_of(tmp_path, *rows).pairs
    by_origin = [np.sqrt((errors**2).mean(axis=1)) for errors in (a, b)]
    assert pair.p_adjusted == pytest.approx(diebold_mariano(*by_origin).p)
    assert pair.reason == "Diebold-Mariano (EWC), 60 items"


def test_equal_forecasts_of_overlapping_horizons_rarely_differ() -> None:
    """Tests of all steps as one series would often find a difference that is not there."""
    found = {"origins": 0, "steps": 0}
    for seed in range(200):
        a = overlapping_errors(2 * seed, 80, 8)
        b = overlapping_errors(2 * seed + 1, 80, 8)
        p = diebold_mariano(*(np.sqrt((errors**2).mean(axis=1)) for errors in (a, b))).p
        all_p = diebold_mariano(np.abs(a).ravel(), np.abs(b).ravel()).p
        found["origins"] += p < 0.05
        found["steps"] += all_p < 0.05
    assert found["origins"] / 200 < 0.12
    assert found["steps"] > 1.5 * found["origins"]


def test_a_warning_is_part_of_the_sentence_on_a_pair(tmp_path: Path) -> None:
    """Both where the verdict rests on items and where it does not."""
    rng = np.random.default_rng(0)
    walks = 5 + np.cumsum(rng.normal(size=(4, N)), axis=1) / 10
    baselines = [
        fixed("walk", forecasts(tmp_path, "ra", walks[0]), run_id="ra", **DOWN),
        fixed("drift", forecasts(tmp_path, "rb", walks[1]), "simple", run_id="rb", **DOWN),
    ]
    group = group_of(tmp_path, *baselines)
    text = pair_text(group.pairs[0], group)
    assert re.search(rf"\(EWC\), {N} items\)?.*; p is too small: autocorrelation 0\.9\d", text)
    scores = [forecasts(tmp_path, f"gru{n}", walks[2 + n]) for n in range(2)]
    group = group_of(tmp_path, arm_of("gru", scores, **DOWN), baselines[0])
    text = pair_text(group.pairs[0], group)
    assert re.search(r"\(Diebold-Mariano, mean of 2 seeds; p is too small: .* along 600", text)
    assert "p is too small" in as_json(comparison_json(compare([tmp_path])))


def test_classifiers_are_compared_at_the_first_common_seed(tmp_path: Path) -> None:
    right = np.ones(N, dtype=bool)
    lstm, rnn = right.copy(), right.copy()
    lstm[:20], rnn[20:70] = False, False
    found = {name: classes(tmp_path, name, what) for name, what in (("lstm1", lstm), ("rnn1", rnn))}
    found |= {name: classes(tmp_path, name, right) for name in ("lstm2", "rnn2")}
    group = group_of(
        tmp_path,
        arm_of("lstm", [found["lstm1"], found["lstm2"]], seeds=[1, 2]),
        arm_of("rnn", [found["rnn1"], found["rnn2"]], seeds=[1, 2]),
    )
    (pair,) = group.pairs
    assert pair.items is not None
    assert pair.items.p == pytest.approx(stats.binomtest(20, 70).pvalue)
    assert (pair.items.difference, pair.items_of) == (pytest.approx(30 / N), "seed 1 alone")
    assert pair.reason.startswith("paired t")
    assert pair.population is None


def test_items_do_not_decide_between_single_seeds(tmp_path: Path) -> None:
    right = np.ones(N, dtype=bool)
    classes(tmp_path, "good", right)
    classes(tmp_path, "bad", np.arange(N) % 2 == 0)
    group = group_of(tmp_path, arm("lstm", [1.0], run_id="good"), arm("rnn", [0.5], run_id="bad"))
    (pair,) = group.pairs
    assert (pair.verdict, pair.p_adjusted) == ("no difference shown", None)
    assert pair.items is not None
    assert pair.items.p is not None
    assert pair.items.p < 1e-6


def test_language_models_are_compared_by_their_mean_loss_over_seeds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = rng.gamma(2, 1, 20_000)
    found = {
        name: language(tmp_path, name, base + more + rng.normal(0, 0.2, len(base)))
        for name, more in (("gru0", 0), ("gru1", 0.1), ("rnn0", 0.2), ("rnn1", 0.3))
    }
    group = group_of(
        tmp_path,
        arm_of("gru", [found["gru0"], found["gru1"]], **NATS),
        arm_of("rnn", [found["rnn0"], found["rnn1"]], **NATS),
    )
    (pair,) = group.pairs
    assert pair.items is not None
    assert pair.items.difference == pytest.approx(-0.2, abs=0.01)
    assert pair.items.low is not None
    assert pair.items.high is not None
    assert pair.items.low < -0.2 < pair.items.high < 0
    assert (pair.items.n, pair.items_of) == (20_000, "mean of 2 seeds")


def test_the_confidence_set_contains_the_best_arms(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(0, 1, N)
    rows = [
        fixed(name, forecasts(tmp_path, name, common + shift), kind, run_id=name, **DOWN)
        for name, kind, shift in (
            ("a", "naive", rng.normal(0, 0.1, N)),
            ("b", "simple", rng.normal(0, 0.1, N)),
            ("c", "simple", rng.normal(0, 2.0, N)),
        )
    ]
    assert sorted(group_of(tmp_path, *rows).confidence_set) == ["a", "b"]
    assert group_of(tmp_path, *rows[:2]).confidence_set == []


@pytest.mark.parametrize("what", ["unknown form", "damaged", "none"])
def test_without_predictions_there_is_no_test(tmp_path: Path, what: str) -> None:
    errors = np.random.default_rng(0).normal(size=N)
    score = forecasts(tmp_path, "a", errors)
    if what == "unknown form":
        keep_predictions(tmp_path, "b", {"guess": errors})
    elif what == "damaged":
        forecasts(tmp_path, "b", errors)
        (tmp_path / "runs" / "b" / "predictions.parquet").write_bytes(b"PAR1 nothing")
    rows = fixed("a", score, run_id="a", **DOWN), fixed("b", 1.1, "simple", run_id="b", **DOWN)
    (pair,) = group_of(tmp_path, *rows).pairs
    assert (pair.items, pair.verdict) == (None, "no difference shown")


@pytest.mark.parametrize("what", ["other test items", "another form", "other true values"])
def test_runs_with_other_items_or_truths_are_not_compared(tmp_path: Path, what: str) -> None:
    errors = np.random.default_rng(0).normal(size=N)
    score = forecasts(tmp_path, "a", errors)
    if what == "other test items":
        other = forecasts(tmp_path, "b", errors[:-1])
    elif what == "another form":
        other = classes(tmp_path, "b", errors > 0)
    else:
        other, actual = score, np.full(N, 200.0)
        keep_predictions(tmp_path, "b", {"actual": actual, "predicted": actual + errors})
    rows = fixed("a", score, run_id="a", **DOWN), fixed("b", other, "simple", run_id="b", **DOWN)
    group = group_of(tmp_path, *rows)
    assert (group.pairs[0].items, group.pairs[0].p_adjusted) == (None, None)
    reason = what if what.startswith("other") else "other test items"
    names = f"{group.pairs[0].a} and {group.pairs[0].b}"
    assert f"no test over items, {reason}: {names}" in group.notes


def test_runs_of_one_arm_with_other_items_are_not_compared(tmp_path: Path) -> None:
    right = np.arange(N) % 10 > 0
    scores = {}
    for model in ("gru", "rnn"):
        first = classes(tmp_path, f"{model}0", right)
        scores[model] = [first, classes(tmp_path, f"{model}1", right[:-3])]
    group = group_of(tmp_path, *(arm_of(model, each) for model, each in scores.items()))
    assert group.pairs[0].items is None
    assert any(note.startswith("no test over items, other test items: ") for note in group.notes)


def test_predictions_that_contradict_the_table_are_not_used(tmp_path: Path) -> None:
    """Items that say 0.9 beside a table that says 0.6 would decide against the table."""
    right = np.arange(N) % 10 > 0
    good = classes(tmp_path, "gru0", right)
    assert classes(tmp_path, "rnn0", right) == good == 0.9
    group = group_of(tmp_path, arm_of("gru", [0.9]), arm_of("rnn", [0.6]))
    assert group.pairs[0].items is None
    note = "predictions of rnn0 are not used: they give accuracy 0.9, the table accuracy 0.6"
    assert note in group.notes
    # 0.05 % is rounding: another device, or a table with fewer digits.
    group = group_of(tmp_path, arm_of("gru", [0.9]), arm_of("rnn", [0.9004]))
    assert group.pairs[0].items is not None
    assert not any("not used" in note for note in group.notes)


def test_few_of_many_contradictions_are_listed(tmp_path: Path) -> None:
    right = np.arange(N) % 10 > 0
    for model in ("gru", "rnn"):
        for seed in range(4):
            classes(tmp_path, f"{model}{seed}", right)
    group = group_of(tmp_path, arm_of("gru", [0.8] * 4), arm_of("rnn", [0.7] * 4))
    found = [note for note in group.notes if "not used" in note]
    assert found[3] == "predictions of 5 more runs are not used, for the same reason"
    assert len(found) == 4


def test_rounding_is_no_difference(tmp_path: Path) -> None:
    """Two kernels compute the same networks: losses differ by the order of sums."""
    rng = np.random.default_rng(0)
    scores: dict[str, list[float]] = {"fused": [], "torch": []}
    for seed in range(3):
        nats = rng.gamma(2, 1, 5000)
        for model, factor in (("fused", 1.0), ("torch", 1 + 1e-7)):
            scores[model].append(language(tmp_path, f"{model}{seed}", nats * factor))
    group = group_of(tmp_path, *(arm_of(model, each, **NATS) for model, each in scores.items()))
    (pair,) = group.pairs
    assert pair.items is not None
    assert (pair.items.p, pair.population_p) == (1.0, 1.0)


@pytest.mark.parametrize("form", ["classes", "language", "forecast"])
def test_contributions_follow_the_score(tmp_path: Path, form: str) -> None:
    """Their mean is the score; they predict the score of a sample with more of some items."""
    rng = np.random.default_rng(0)
    writer = {"classes": classes, "language": language, "forecast": forecasts}[form]
    values = rng.random(N) < 0.8 if form == "classes" else rng.gamma(2, 0.5, N)
    score = writer(tmp_path, "whole", values)
    items = read_items(tmp_path / "runs" / "whole" / "predictions.parquet")
    assert items is not None
    assert items.score == pytest.approx(score)
    assert items.contributions().mean() == pytest.approx(score)
    part = np.arange(N) >= 10
    expected = writer(tmp_path, "part", values[part])
    assert items.contributions()[part].mean() == pytest.approx(expected, abs=2e-4)


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


def test_huge_errors_are_tested_as_usual_ones(tmp_path: Path) -> None:
    """Squared errors of 1e280 have sums of squares that overflow."""
    rng, found = np.random.default_rng(5), []
    a, b = rng.normal(0, 1, N), rng.normal(0, 1.5, N)
    for name, unit in (("usual", 1.0), ("huge", 2.0**465)):
        rows = []
        for run_id, errors in (("ra", unit * a), ("rb", unit * b)):
            keep_predictions(tmp_path / name, run_id, {"actual": np.zeros(N), "predicted": -errors})
            score = unit * float(np.sqrt(((errors / unit) ** 2).mean()))
            kind = "naive" if run_id == "ra" else "simple"
            rows.append(fixed(run_id, score, kind, run_id=run_id, **DOWN))
        found.append(group_of(tmp_path / name, *rows).pairs[0])
    usual, huge = (pair.items for pair in found)
    assert usual is not None
    assert huge is not None
    assert huge.p == pytest.approx(usual.p)
    assert huge.difference == pytest.approx(2.0**930 * usual.difference)

"""Forecasts of several periods, pooled: ratios and tests against naive formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.analysis.compare import compare
from benchmarks.analysis.over_groups import Periods
from benchmarks.analysis.selection import Options
from benchmarks.analysis.statistics.items import diebold_mariano, harvey
from benchmarks.analysis.statistics.power import holm
from benchmarks.reporting.json_csv import as_json, comparison_json
from benchmarks.reporting.pooled_periods import period_section
from tasks.forecast.close_baselines import methods
from tests.helpers.result_tables import arm, fixed, keep_predictions, write

DAYS = 120
DOWN = {"metric": "rmse", "higher_is_better": "false"}
Errors = dict[tuple[str, int | None], np.ndarray]


class Planted:
    """Periods with known errors of a random walk, of a drift and of two networks."""

    def __init__(self, results: Path, starts: tuple[str, ...], last: bool = True) -> None:
        self.results, self.has_last = results, last
        self.errors: list[Errors] = []
        self.levels = [100.0, 4000.0, 900.0][: len(starts)]
        rows: list[dict[str, Any]] = []
        for number, start in enumerate(starts):
            rng, level = np.random.default_rng(number), self.levels[number]
            walk = level * rng.normal(0, 0.01, DAYS)
            errors: Errors = {("walk", None): walk, ("drift", None): walk * 0.99 + 1e-4 * level}
            for seed in range(3):
                errors["lstm", seed] = walk * 0.8 + level * rng.normal(0, 1e-3, DAYS)
                errors["gru", seed] = walk + level * rng.normal(0, 1e-3, DAYS)
            self.errors.append(errors)
            rows += self.rows(number, start)
        write(results / "results.csv", rows)

    def rows(self, number: int, start: str) -> list[dict[str, Any]]:
        days = pd.bdate_range(start, periods=DAYS).strftime("%Y-%m-%d").tolist()
        more = DOWN | {"dataset_sha256": f"{number}" * 16, "val_score": 1.0}
        scores: dict[str, list[float]] = {}
        for (model, seed), errors in self.errors[number].items():
            actual = np.full(DAYS, self.levels[number])
            columns = {"day": days, "actual": actual, "predicted": actual + errors}
            columns |= {"last": actual} if self.has_last else {}
            keep_predictions(self.results, f"{model}{seed}-{number}", columns)
            scores.setdefault(model, []).append(float(np.sqrt((errors**2).mean())))
        nets = [
            row | {"run_id": f"{model}{row['seed']}-{number}"}
            for model in ("lstm", "gru")
            for row in arm(model, scores[model], **more)
        ]
        walk, drift = (
            fixed(name, scores[name][0], kind, run_id=f"{name}None-{number}", **more)
            for name, kind in (("walk", "naive"), ("drift", "simple"))
        )
        return [*walk, *drift, *nets]

    def losses(self, model: str, number: int) -> np.ndarray:
        scale = self.levels[number] if self.has_last else 1.0
        own = [(e / scale) ** 2 for (name, _), e in self.errors[number].items() if name == model]
        found: np.ndarray = np.mean(own, axis=0)
        return found

    def all_losses(self, model: str) -> np.ndarray:
        return np.concatenate([self.losses(model, n) for n in range(len(self.errors))])

    def pooled(self, **options: Any) -> list[Periods]:
        return compare([self.results], Options(**options)).periods


STARTS = ("2001-01-01", "2005-01-03", "2009-01-01")


@pytest.mark.parametrize("last", [True, False])
def test_ratios_are_those_of_all_days(last: bool, tmp_path: Path) -> None:
    planted = Planted(tmp_path, STARTS, last)
    (found,) = planted.pooled()
    losses = {name: planted.all_losses(name) for name in ("walk", "drift", "lstm", "gru")}
    assert (found.naive, found.best_baseline, found.days) == ("walk", "drift", 3 * DAYS)
    assert found.is_relative == last
    assert [arm.name for arm in found.arms] == sorted(losses, key=lambda n: losses[n].mean())
    for each in found.arms:
        ours = losses[each.name]
        assert each.ratio == pytest.approx(np.sqrt(ours.mean() / losses["walk"].mean()))
        assert each.ratio_to_best == pytest.approx(np.sqrt(ours.mean() / losses["drift"].mean()))
        assert each.ratios == pytest.approx(
            [
                np.sqrt(planted.losses(each.name, n).mean() / planted.losses("walk", n).mean())
                for n in range(3)
            ]
        )


def test_p_is_that_of_the_pooled_days_corrected_over_networks(tmp_path: Path) -> None:
    planted = Planted(tmp_path, STARTS)
    (found,) = planted.pooled()
    losses = {name: planted.all_losses(name) for name in ("walk", "drift", "lstm", "gru")}
    arms = {arm.name: arm for arm in found.arms}
    for side, reference in (("p_naive", "walk"), ("p_best", "drift")):
        t = [stats.ttest_rel(losses[n], losses[reference]).pvalue for n in ("lstm", "gru")]
        assert [getattr(arms[n], side)[1] for n in ("lstm", "gru")] == pytest.approx(holm(t))
        roots = {name: np.sqrt(values) for name, values in losses.items()}
        p = [diebold_mariano(roots[n], roots[reference]).p or 0 for n in ("lstm", "gru")]
        assert [getattr(arms[n], side)[0] for n in ("lstm", "gru")] == pytest.approx(holm(p))
    assert arms["lstm"].p_naive[0] < 1e-6 < 0.05 < arms["gru"].p_naive[0]
    drift = stats.ttest_rel(losses["drift"], losses["walk"]).pvalue
    assert arms["drift"].p_naive[1] == pytest.approx(drift)  # of a baseline, not corrected


@pytest.mark.parametrize("n", [8, 50, 1000])
def test_hln_is_the_formula_of_harvey_leybourne_and_newbold(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(0, 1, n), rng.normal(0, 1.1, n)
    d, h = a**2 - b**2, 1
    gamma = ((d - d.mean()) ** 2).mean()
    statistic = d.mean() / np.sqrt(gamma / n) * np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    found = harvey(a, b)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(statistic), n - 1))
    assert found.difference == pytest.approx(d.mean())


def test_periods_with_a_common_day_are_not_pooled(tmp_path: Path) -> None:
    assert Planted(tmp_path, ("2001-01-01", "2001-03-01")).pooled() == []


def test_one_period_and_costs_are_not_pooled(tmp_path: Path) -> None:
    assert Planted(tmp_path / "one", STARTS[:1]).pooled() == []
    planted = Planted(tmp_path / "three", STARTS)
    assert planted.pooled(items=False) == []
    assert planted.pooled(metric="val_score") == []


def test_an_arm_that_is_not_in_all_periods_is_noted(tmp_path: Path) -> None:
    planted = Planted(tmp_path, STARTS)
    rows = pd.read_csv(tmp_path / "results.csv")
    kept = rows[~((rows["model"] == "gru") & rows["run_id"].str.endswith("-1"))]
    kept.to_csv(tmp_path / "results.csv", index=False)
    (found,) = planted.pooled()
    assert "gru" not in [arm.name for arm in found.arms]
    assert found.notes == ["not in all periods: gru"]


def test_the_section_names_the_worst_period(tmp_path: Path) -> None:
    planted = Planted(tmp_path, STARTS)
    comparison = compare([tmp_path], Options())
    (found,) = comparison.periods
    table = period_section(found).table
    assert table is not None
    cells = {row[0]: row for row in table.rows}
    gru = next(arm for arm in found.arms if arm.name == "gru")
    year = ("2001", "2005", "2009")[int(np.argmax(gru.ratios))]
    assert cells["gru"][6] == f"{max(gru.ratios):.4f} ({year})"
    assert cells["walk"][3:7] == ["1.0000", "", "", ""]
    assert '"best_baseline": "drift"' in as_json(comparison_json(comparison))
    assert planted.pooled() == [found]


@pytest.mark.parametrize(("lstm", "beats"), [(0.60, True), (0.645, False), (0.70, False)])
def test_a_volatility_is_compared_with_the_best_of_its_baselines(
    lstm: float, beats: bool, tmp_path: Path
) -> None:
    """A network between two baselines does not beat the best: here the exponential average."""
    more = {"metric": "volatility_rmse", "higher_is_better": "false", "perfect_score": 0.0}
    scores = {"training_mean": 0.74, "yesterday": 0.90, "ewma": 0.65, "garch": 0.66, "har": 0.68}
    assert {*scores} == {*methods("volatility")}
    rows = [
        row
        for name, value in scores.items()
        for row in fixed(name, value, methods("volatility")[name].baseline.kind, **more)
    ]
    rows += arm("lstm", [lstm + step for step in (-0.02, 0.0, 0.02)], **more)
    write(tmp_path / "results.csv", rows)
    (group,) = compare([tmp_path], Options()).groups
    found = group.arm("lstm")
    assert group.best_baseline is not None
    assert group.best_baseline.label == "ewma"
    assert found.beats_baselines == beats
    assert "ewma" in found.against_baselines
    assert found.skill == pytest.approx(1 - lstm / 0.74)  # of the naive forecast

"""Forecasts several steps ahead: fans from their origins, and errors by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import Group
from benchmarks.reporting.html.forecasts import STEPS_IN_DETAIL, forecast_figures, read
from benchmarks.reporting.html.run_files import Runs
from benchmarks.reporting.html.step_errors import step_figure
from benchmarks.reporting.html.theme import Looks
from scripts.report import main
from tests.helpers import planted
from tests.helpers.planted import drawn

HORIZON, ORIGINS = 3, 90
MONTHS = [str(day.date()) for day in pd.date_range("2001-01-01", periods=120, freq="MS")]
SERIES = 100 + 10.0 * np.random.default_rng(3).normal(size=120)


def leave_forecasts(folder: Path, line: dict[str, Any], share: float, times: list[str]) -> None:
    """Leave forecasts of all origins that foresee a share of the changes."""
    origin = np.repeat(np.arange(ORIGINS), HORIZON)
    step = np.tile(np.arange(1, HORIZON + 1), ORIGINS)
    last, actual = SERIES[origin], SERIES[origin + step]
    columns = {
        "step": np.int32(step),
        "last": last,
        "actual": actual,
        "predicted": last + share * (actual - last),
    }
    names = {
        "day": [times[each] for each in origin + step],
        "origin": [times[each] for each in origin],
    }
    planted.leave_predictions(folder, line, columns, names=names)


def metrics_of(rmse: list[float], naive: list[float], ratios: list[float]) -> dict[str, float]:
    """Return scores by step as a forecast has them."""
    scores = {"rmse": rmse, "rmse_naive": naive, "rmse_over_seasonal_naive": ratios}
    return {
        f"{name}_step_{step}": value
        for name, values in scores.items()
        for step, value in enumerate(values, start=1)
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two seeds of gru and the random walk."""
    rows = []
    for seed in (0, 1):
        rows.append(planted.row("forecast", "gru", seed, 20.0))
        leave_forecasts(tmp_path, rows[-1], 0.5, MONTHS)
        scores = metrics_of([10.0 + 2 * seed, 20.0, 30.0], [12.0, 22.0, 32.0], [0.5, 1.0, 2.0])
        if seed:
            scores |= metrics_of([12.0, 20.0, 30.0], [12.0, 22.0, 32.0], [0.6, 1.0, 2.0])
        planted.leave_other_metrics(tmp_path, rows[-1], scores)
    return planted.write(tmp_path, rows)


def group_of(folder: Path) -> tuple[Group, Runs]:
    (group,) = compare([folder]).groups
    return group, Runs([folder / "results.csv"])


def test_lines_begin_at_the_origin(folder: Path) -> None:
    group, runs = group_of(folder)
    truth, residuals, _ = forecast_figures(group, runs, Looks([group]), "x")
    fan = drawn(truth, arm="gru", origin=MONTHS[86])
    assert [record["time"] for record in fan] == MONTHS[86:90]
    expected = SERIES[86] + 0.5 * (SERIES[86:90] - SERIES[86])
    assert [record["value"] for record in fan] == pytest.approx(expected, rel=1e-5)
    assert len({record.get("origin") for record in drawn(truth, arm="gru")}) == (
        STEPS_IN_DETAIL // HORIZON
    )
    assert {record.get("origin") for record in drawn(truth, arm="actual")} == {None}
    (line, _) = truth.spec["layer"]
    assert line["encoding"]["detail"]["field"] == "origin"
    assert line["encoding"]["y"]["title"] == "passengers"
    assert "the last 60 of 90 test months" in truth.caption
    assert "one of 3 months and starts at the value of its origin" in truth.caption
    assert "of all 90, from origins 3 apart" in residuals.caption
    assert len(truth.rows) == STEPS_IN_DETAIL


def test_a_horizon_beyond_the_detail_is_shown_as_a_whole(tmp_path: Path) -> None:
    line = planted.row("forecast", "gru", 0, 20.0)
    step = np.tile(np.arange(1, 101), 2)
    columns = {"step": np.int32(step), "actual": 1.0 * step, "predicted": 2.0 * step}
    days = [MONTHS[each] for each in step]
    planted.leave_predictions(tmp_path, line, columns, names={"day": days})
    group, runs = group_of(planted.write(tmp_path, [line]))
    (truth, _) = forecast_figures(group, runs, Looks([group]), "x")
    assert len(truth.rows) == 100


def test_times_of_day_are_those_of_the_file(tmp_path: Path) -> None:
    hours = [time.isoformat() for time in pd.date_range("2001-01-01", periods=120, freq="h")]
    line = planted.row("forecast", "gru", 0, 20.0, data_unit="forecasts of 3 hours")
    leave_forecasts(tmp_path, line, 0.5, hours)
    group, runs = group_of(planted.write(tmp_path, [line]))
    forecasts = read(group, runs)
    assert forecasts is not None
    assert forecasts.times[-1] == f"{hours[92]}Z"
    truth = forecast_figures(group, runs, Looks([group]), "x")[0]
    (line_layer, points) = truth.spec["layer"]
    assert line_layer["encoding"]["x"]["scale"] == {"type": "utc"}
    assert "%H:%M" in points["encoding"]["tooltip"][1]["format"]
    assert "test hours" in truth.caption


def test_errors_by_step_are_means_over_seeds(folder: Path) -> None:
    group, runs = group_of(folder)
    figure = step_figure(group, runs, Looks([group]), "x")
    assert figure is not None
    assert figure.name == "x-steps"
    assert figure.header == ["months ahead", "gru", "random walk", "seasonal naive"]
    # The seasonal naive forecast has the RMSE over its ratio: 10 / 0.5, 20 / 1 and 30 / 2.
    assert figure.rows == [
        ["1", "11.00", "12.00", "20.00"],
        ["2", "20.00", "22.00", "20.00"],
        ["3", "30.00", "32.00", "15.00"],
    ]
    assert [r["value"] for r in drawn(figure, arm="gru")] == [11, 20, 30]
    assert figure.spec["layer"][0]["encoding"]["y"]["title"] == "RMSE (passengers)"


def test_baselines_stand_in_for_the_references(folder: Path) -> None:
    table = pd.read_csv(folder / "results.csv")
    rows = [
        planted.row("forecast", "random_walk", None, 25.0, baseline="naive"),
        planted.row("forecast", "seasonal_naive", None, 15.0, baseline="simple"),
    ]
    for line, rmse in zip(rows, ([12.0, 22.0, 32.0], [20.0, 20.0, 15.0]), strict=True):
        scores = metrics_of(rmse, [12.0, 22.0, 32.0], [1.0, 1.0, 1.0])
        planted.leave_other_metrics(folder, line, scores)
    pd.concat([table, pd.DataFrame(rows)]).to_csv(folder / "results.csv", index=False)
    group, runs = group_of(folder)
    figure = step_figure(group, runs, Looks([group]), "x")
    assert figure is not None
    assert figure.header == ["months ahead", "gru", "seasonal_naive", "random_walk"]
    assert figure.rows[2] == ["3", "30.00", "15.00", "32.00"]


def test_other_metrics_have_their_own_errors_by_step(tmp_path: Path) -> None:
    line = planted.row("forecast", "gru", 0, 1.5, metric="mase", metric_unit="MAE of training")
    scores = {"mase_step_1": 1.0, "mase_step_2": 2.0} | metrics_of([3, 4], [5, 6], [1, 1])
    planted.leave_other_metrics(tmp_path, line, scores)
    leave_forecasts(tmp_path, line, 0.5, MONTHS)
    group, runs = group_of(planted.write(tmp_path, [line]))
    figure = step_figure(group, runs, Looks([group]), "x")
    assert figure is not None
    assert figure.title == "MASE by step ahead"
    assert [row[1:] for row in figure.rows] == [["1.000"], ["2.000"]]
    truth = forecast_figures(group, runs, Looks([group]), "x")[0]
    assert truth.spec["layer"][0]["encoding"]["y"]["title"] == "value"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"other_metrics": "{"}', b'{"other_metrics": "[1]"}', b"{}", b"\xff"]
)
def test_damaged_rows_have_no_errors_by_step(tmp_path: Path, content: bytes) -> None:
    line = planted.row("forecast", "gru", 0, 20.0)
    (tmp_path / "runs" / line["run_id"]).mkdir(parents=True)
    (tmp_path / "runs" / line["run_id"] / "row.json").write_bytes(content)
    group, runs = group_of(planted.write(tmp_path, [line]))
    assert step_figure(group, runs, Looks([group]), "x") is None


def test_forecasts_with_horizon_are_on_the_page_and_pictures(folder: Path, tmp_path: Path) -> None:
    page, files = tmp_path / "page.html", tmp_path / "files"
    assert main([str(folder), "-o", str(page), "--figures", str(files)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "Errors by step ahead" in text
    charts = json.loads(text.partition('id="charts">')[2].partition("</script>")[0])["specs"]
    for name in ("forecast-rmse-steps", "forecast-rmse-forecasts"):
        assert name in charts
        assert (files / f"{name}.png").is_file()
    svg = (files / "forecast-rmse-steps.svg").read_text(encoding="utf-8")
    assert "months ahead" in svg
    assert "seasonal naive" in svg
    visible = text.partition("<footer>")[0].partition("<body>")[2]
    for word in ("close", "index point", " days", "yesterday"):
        assert word not in visible

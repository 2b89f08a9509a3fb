"""The forecasting task: data, split, items, missing values, new data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.training.evaluation import evaluate
from models.recurrent import RecurrentSettings
from tasks.base import DataError
from tasks.forecast.task import ForecastSettings
from tests.helpers.series_files import (
    AIRLINE,
    SPLITS,
    airline,
    load,
    random_outputs,
    whole,
    write_series,
)

# --- the split


@pytest.mark.parametrize("horizon", [1, 6, 12])
def test_the_split_is_70_15_15_of_all_steps(horizon: int) -> None:
    task = load(AIRLINE, horizon=horizon, window=24)
    bounds = {"train": (0, 101), "validation": (101, 122), "test": (122, 144)}
    for split in SPLITS:
        start, stop = bounds[split]
        first = max(start - 1, 24)
        assert task.origins[split].tolist() == list(range(first, stop - horizon))
    test_months = set(task.items("test")["day"])
    assert test_months == {
        day.date().isoformat() for day in pd.date_range("1959-03-01", "1960-12-01", freq="MS")
    }
    data = task.data
    assert [data.train_size, data.validation_size, data.test_size] == [
        len(task.origins[split]) for split in SPLITS
    ]
    assert data.unit == ("months" if horizon == 1 else f"forecasts of {horizon} months")


@pytest.mark.parametrize("horizon", [1, 6])
def test_items_of_validation_and_test_do_not_depend_on_the_window(horizon: int) -> None:
    tasks = [load(AIRLINE, horizon=horizon, window=window) for window in (1, 12, 24, 40)]
    for split in ("validation", "test"):
        for other in tasks[1:]:
            assert other.items(split) == tasks[0].items(split)
            assert torch.equal(
                whole(other, split).targets[:, 1], whole(tasks[0], split).targets[:, 1]
            )


def test_every_step_of_the_series_is_used_by_default() -> None:
    task = load(AIRLINE)
    assert "1949-01 to 1960-12" in task.data.name
    assert task.summary()["series"] == "144 months, 1949-01 to 1960-12"


# --- items and predictions


def test_items_of_several_steps_are_the_steps_of_their_origins() -> None:
    task = load(AIRLINE, horizon=3)
    batches = [*task.batches("test", 4)]
    assert torch.equal(torch.cat([b.items for b in batches]).flatten(), torch.arange(20 * 3))
    assert batches[0].items[1].tolist() == [3, 4, 5]
    names, columns = (
        task.items("test"),
        task.predictions(random_outputs(task, "test"), whole(task, "test")),
    )
    assert [*columns] == ["step", "last", "actual", "predicted"]
    assert columns["step"].tolist() == [1, 2, 3] * 20
    by_time = dict(zip(pd.read_csv(AIRLINE)["Month"] + "-01", airline().tolist(), strict=True))
    assert [by_time[day] for day in names["day"]] == columns["actual"].tolist()
    assert [by_time[origin] for origin in names["origin"]] == columns["last"].tolist()
    assert names["origin"][:4] == ["1959-02-01"] * 3 + ["1959-03-01"]


def test_one_step_ahead_an_item_is_a_step() -> None:
    task = load(AIRLINE)
    columns = task.predictions(random_outputs(task, "test")[:, 0], whole(task, "test"))
    assert [*columns] == ["last", "actual", "predicted"]
    assert columns["actual"].tolist() == airline()[122:].tolist()
    assert columns["last"].tolist() == airline()[121:-1].tolist()
    assert [*task.items("test")] == ["day"]


# --- settings


def test_data_are_required() -> None:
    with pytest.raises(ValueError, match=r"task.data: is required; give"):
        ForecastSettings().check()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"column": "y", "features": ["y"]}, "task.features: y is given twice"),
        ({"column": "y", "features": ["a", "a"]}, "task.features: a is given twice"),
    ],
)
def test_a_column_given_twice_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ForecastSettings(data=str(AIRLINE), **settings).check()


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "no.csv", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(DataError, match=problem):
            ForecastSettings(data=str(path)).check()


def test_one_of_several_columns_must_be_chosen(tmp_path: Path) -> None:
    path = write_series(tmp_path, airline(), sales=airline(), costs=airline() + 1)
    with pytest.raises(DataError, match=r"task.column: is required.* 3 .*y, sales, costs"):
        load(path)
    assert load(path, column="sales").series.column == "sales"
    with pytest.raises(DataError, match="sales"):
        load(path, column="sale")
    with pytest.raises(DataError, match=r"task.column"):
        load(path, features=["sales"])


def test_the_metric_has_the_unit_of_the_column() -> None:
    def unit(**settings: Any) -> tuple[str, str]:
        metric = ForecastSettings(**settings).primary_metric
        assert not metric.higher_is_better
        return metric.name, metric.unit

    assert unit(column="Passengers") == ("rmse", "Passengers")
    assert unit(column="Passengers", metric="mae") == ("mae", "Passengers")
    assert unit(metric="smape") == ("smape", "percent")
    assert unit() == ("rmse", "unit of the series")
    assert load(AIRLINE).data.metric_unit == load(AIRLINE, column="Passengers").data.metric_unit
    assert load(AIRLINE).data.metric_unit == "Passengers"
    assert load(AIRLINE, metric="smape").data.metric_unit == "percent"


def test_test_items_that_are_training_items_are_counted(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=30).tolist()
    path = tmp_path / "copied.csv"
    days = pd.date_range("2020-01-01", periods=120).strftime("%Y-%m-%d")
    pd.DataFrame({"date": days, "y": values * 4}).to_csv(path, index=False)
    data = load(path, window=10, season=1).data
    assert data.test_in_train == data.test_size > 0
    assert f"{data.test_size} of {data.test_size} test days are in training" in data.notices[-1]
    assert load(AIRLINE).data.test_in_train == 0


def test_what_was_chosen_is_said_and_what_was_given_is_not() -> None:
    chosen = " ".join(load(AIRLINE).data.notices)
    for text in ("task.target=log_return: chosen", "task.season=12: chosen", "task.window=24"):
        assert text in chosen
    given = load(AIRLINE, target="difference", season=12, window=24)
    assert given.data.notices == ()
    assert (given.plan.target, given.plan.season, given.plan.window) == ("difference", 12, 24)


def test_settings_that_the_data_do_not_allow_are_refused(tmp_path: Path) -> None:
    values = airline()
    values[[7, 130]] = 0
    path = write_series(tmp_path, values)
    with pytest.raises(DataError, match=r"task.target=log_return: .* y is 0 at 2001-08"):
        load(path, target="log_return")
    assert load(path).plan.target == "difference"
    values[7] = 148
    late_zero = load(write_series(tmp_path, values))
    assert late_zero.plan.target == "difference"
    assert "a later value is 0 or less" in " ".join(late_zero.data.notices)
    with pytest.raises(DataError, match=r"task.season=60: the training part has 101 months"):
        load(AIRLINE, season=60)
    with pytest.raises(DataError, match=r"task.metric=mase: is undefined"):
        load(write_series(tmp_path, np.tile([1.0, 2.0], 30)), metric="mase", season=2)


@pytest.mark.parametrize(
    ("steps", "settings", "problem"),
    [
        (15, {}, r"15 months, but task.horizon=1 needs 19; use a longer series$"),
        (
            60,
            {"horizon": 12},
            r"60 months, but task.horizon=12 needs \d+; .*, or task.horizon=7 or less$",
        ),
        (40, {"window": 30}, r"40 months, but task.horizon=1 with task.window=30 needs 58"),
    ],
)
def test_a_series_that_is_too_short_is_refused(
    steps: int, settings: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=problem):
        load(write_series(tmp_path, airline()[:steps]), **settings)


@pytest.mark.parametrize(
    "settings", [{}, {"horizon": 5}, {"window": 20}, {"horizon": 12, "window": 3}]
)
def test_the_number_of_steps_that_an_error_names_is_enough(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        load(write_series(tmp_path, airline()[:14]), **settings)
    needed = int(str(caught.value).split(" needs ")[1].split(";")[0])
    long_series = np.tile(airline(), 3)
    task = load(write_series(tmp_path, long_series[:needed]), **settings)
    assert min(task.data.sizes) >= 3
    with pytest.raises(DataError):
        load(write_series(tmp_path, long_series[: needed - 1]), **settings)


def test_zeros_and_negative_values_are_used(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=100).round(1)
    task = load(write_series(tmp_path, values))
    assert task.plan.target == "level"
    np.testing.assert_array_equal(task.values, values)


def test_a_table_without_times_is_a_series_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    pd.DataFrame({"y": airline()}).to_csv(path, index=False)
    task = load(path, season=12)
    assert (task.data.unit, task.plan.window) == ("steps", 24)
    assert task.items("test")["day"][0] == "123"


# --- missing values


def test_missing_values_are_no_targets_and_said(tmp_path: Path) -> None:
    values = airline()
    values[[50, 110, 130]] = np.nan
    task = load(write_series(tmp_path, values), horizon=2, window=12)
    for split in SPLITS:
        for origin in task.origins[split].tolist():
            assert np.isfinite(values[origin + 1 : origin + 3]).all()
        batch = whole(task, split)
        assert batch.inputs.isfinite().all()
        assert batch.targets.isfinite().all()
    assert {129, 128} & set(task.origins["test"].tolist()) == set()
    assert 130 in task.origins["test"].tolist()
    assert "3 of 144 values of y are missing" in " ".join(task.data.notices)
    assert task.values[130] == values[129]
    assert task.summary()["missing"] == "3 values"


def test_months_without_a_row_keep_the_season_in_step(tmp_path: Path) -> None:
    path = write_series(tmp_path, airline())
    frame = pd.read_csv(path).drop(index=[40, 41])
    frame.to_csv(path, index=False)
    task = load(path)
    assert len(task.values) == 144
    np.testing.assert_array_equal(task.values[42:], airline()[42:])
    assert task.series.is_known.tolist().count(False) == 2
    assert task.times[40:43] == ["2004-05-01", "2004-06-01", "2004-07-01"]


def test_missing_features_repeat_the_last_and_rows_at_the_ends_are_cut(tmp_path: Path) -> None:
    values, extra = airline(), np.arange(144.0)
    extra[:4] = np.nan
    extra[60] = np.nan
    task = load(write_series(tmp_path, values, x=extra), column="y", features=["x"])
    assert task.times[0] == "2001-05-01"
    assert task.series.features[60 - 4, 0] == 59
    notices = " ".join(task.data.notices)
    assert "4 rows at the ends" in notices
    assert "missing in 1 rows" in notices


def test_too_few_items_without_missing_values_are_refused(tmp_path: Path) -> None:
    values = airline()
    values[124::3] = np.nan
    with pytest.raises(DataError, match=r"test split has 0 forecasts of 4 months without missing"):
        load(write_series(tmp_path, values), horizon=4)


# --- the hash


def test_the_hash_depends_on_times_values_and_features(tmp_path: Path) -> None:
    extra = np.arange(144.0)

    def sha256(values: Any, frequency: str, x: Any) -> str:
        path = write_series(tmp_path, values, frequency, x=x)
        return load(path, column="y", features=["x"], season=12, target="difference").data.sha256

    changed = airline()
    changed[3] += 1
    hashes = [
        sha256(airline(), "MS", extra),
        sha256(changed, "MS", extra),
        sha256(airline(), "D", extra),
        sha256(airline(), "MS", extra + 1),
    ]
    assert len(set(hashes)) == 4
    assert sha256(airline(), "MS", extra) == hashes[0]


# --- new data


@pytest.mark.parametrize("target", ["level", "difference", "log_return"])
@pytest.mark.parametrize("horizon", [1, 3])
def test_new_data_are_forecast_from_their_end(target: str, horizon: int, tmp_path: Path) -> None:
    """A file that ends at a test origin gives the forecast of that origin."""
    extra = np.random.default_rng(0).normal(size=144)
    path = write_series(tmp_path, airline(), x=extra)
    task = load(path, column="y", features=["x"], target=target, horizon=horizon)
    origin = int(task.origins["test"][5])
    new = tmp_path / "new.csv"
    pd.read_csv(path).iloc[60 : origin + 1].to_csv(new, index=False)
    (batch,) = task.new_batches(str(new), 64)
    known = whole(task, "test")
    torch.testing.assert_close(batch.inputs[0], known.inputs[5], rtol=1e-9, atol=1e-12)
    outputs = 0.5 * torch.ones(1, horizon)
    answers = task.answers(outputs if horizon > 1 else outputs[:, 0], batch)
    expected = task.predicted(outputs, known.targets[5:6])[0].tolist()
    assert answers["y"] == pytest.approx(expected, rel=1e-9)
    assert answers["time"] == [day[:7] for day in task.times[origin + 1 : origin + 1 + horizon]]
    assert answers["step"] == [*range(1, horizon + 1)]


def test_new_data_that_cannot_be_forecast_are_refused(tmp_path: Path) -> None:
    task = load(AIRLINE, column="Passengers")
    new = tmp_path / "new.csv"
    pd.read_csv(AIRLINE).head(20).to_csv(new, index=False)
    with pytest.raises(DataError, match="20 months, but a forecast needs 25"):
        next(task.new_batches(str(new), 64))
    pd.read_csv(AIRLINE).rename(columns={"Passengers": "People"}).to_csv(new, index=False)
    with pytest.raises(DataError, match="Passengers"):
        next(task.new_batches(str(new), 64))
    pd.read_csv(AIRLINE).replace({"Passengers": {432: 0}}).to_csv(new, index=False)
    with pytest.raises(DataError, match="values of 0 or less"):
        next(task.new_batches(str(new), 64))


@pytest.mark.parametrize(
    ("frequency", "times"),
    [
        ("MS", ["2005-01", "2005-02"]),
        ("D", ["2001-02-18", "2001-02-19"]),
        ("B", ["2001-03-08", "2001-03-09"]),
        ("h", ["2001-01-03 00:00", "2001-01-03 01:00"]),
        ("W-WED", ["2001-12-05", "2001-12-12"]),
        ("15min", ["2001-01-01 12:00", "2001-01-01 12:15"]),
    ],
)
def test_times_of_forecasts_continue_the_frequency(
    frequency: str, times: list[str], tmp_path: Path
) -> None:
    values = airline()[:48]
    task = load(write_series(tmp_path, values, frequency), horizon=2, season=1)
    assert task.series.following(2) == times


# --- several outputs


def test_a_network_forecasts_all_steps_at_once() -> None:
    task = load(AIRLINE, horizon=3)
    torch.manual_seed(0)
    encoder = RecurrentSettings(hidden_size=8).build(task.input_size)
    network = task.network(encoder).double()
    batch = next(task.batches("train", 8, np.random.default_rng(0)))
    outputs, _ = network(batch.inputs)
    assert outputs.shape == (8, 3)
    scaled = batch.targets[:, 0]
    expected = float(((outputs.detach() - scaled) ** 2).mean())
    assert float(task.loss(outputs.detach(), batch)) == pytest.approx(expected, rel=1e-12)
    task.loss(outputs, batch).backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    scores = [evaluate(network, task, "test", size) for size in (1, 7, 1000)]
    for found in scores[1:]:
        assert found == pytest.approx(scores[0], rel=1e-4)  # scores by step are rounded
    assert [len(b.items) for b in task.single_sequences(30)] == [1] * 30


def test_baselines_follow_the_items_in_any_order() -> None:
    task = load(AIRLINE, horizon=3)
    fitted = task.fit_baseline("seasonal_growth", 0)
    known = fitted.outputs("test", whole(task, "test").items)
    items = whole(task, "test").items[[4, 0, 7]]
    assert torch.equal(fitted.outputs("test", items), known[[4, 0, 7]])
    predicted = task.predicted(known, whole(task, "test").targets)
    months = airline()
    origin = int(task.origins["test"][4])
    growth = months[origin] / months[origin - 12]
    np.testing.assert_allclose(predicted[4], months[origin - 11 : origin - 8] * growth, rtol=1e-9)

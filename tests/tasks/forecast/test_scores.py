"""Scores of forecasts against other libraries and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from utilsforecast.losses import mase, smape

from tasks.forecast.scores import forecast_scores
from tests.helpers.series_files import AIRLINE, airline, load, random_outputs, score, whole


@pytest.mark.parametrize("horizon", [1, 3, 12])
def test_scores_agree_with_scikit_learn_and_utilsforecast(horizon: int) -> None:
    task, passengers = load(AIRLINE, horizon=horizon), airline()
    outputs = 0.3 * random_outputs(task, "test")
    found = score(task, "test", outputs)
    columns = task.predictions(outputs, whole(task, "test"))
    actual, predicted = columns["actual"].numpy(), columns["predicted"].numpy()
    origins = task.origins["test"].numpy()
    steps = origins[:, None] + np.arange(1, horizon + 1)
    np.testing.assert_array_equal(actual, passengers[steps].ravel())

    assert found["rmse"] == pytest.approx(root_mean_squared_error(actual, predicted), rel=1e-9)
    assert found["mae"] == pytest.approx(mean_absolute_error(actual, predicted), rel=1e-9)
    naive = root_mean_squared_error(actual, np.repeat(passengers[origins], horizon))
    assert found["rmse_naive"] == pytest.approx(naive, rel=1e-9)
    assert found["rmse_over_naive"] == pytest.approx(found["rmse"] / naive, rel=1e-9)
    seasonal = root_mean_squared_error(actual, passengers[steps - 12].ravel())
    assert found["rmse_over_seasonal_naive"] == pytest.approx(found["rmse"] / seasonal, rel=1e-9)

    frame = pd.DataFrame({"unique_id": 0, "ds": steps.ravel(), "y": actual, "net": predicted})
    history = pd.DataFrame({"unique_id": 0, "ds": range(101), "y": passengers[:101]})
    reference = mase(frame, models=["net"], seasonality=12, train_df=history)["net"].item()
    assert found["mase"] == pytest.approx(reference, rel=1e-9)
    # utilsforecast's value is a share of the mean of both sizes, twice as large.
    expected = 200 * smape(frame, models=["net"])["net"].item()
    assert found["smape"] == pytest.approx(expected, rel=1e-9)


def test_each_step_ahead_has_its_own_scores() -> None:
    task = load(AIRLINE, horizon=4)
    outputs = random_outputs(task, "test")
    found = score(task, "test", outputs)
    columns = task.predictions(outputs, whole(task, "test"))
    steps = columns["step"].numpy()
    names = {name for name in found if "_step_" not in name} - {"loss"}
    assert names == {
        *("rmse", "rmse_naive", "rmse_over_naive", "rmse_over_seasonal_naive"),
        *("mae", "mase", "smape"),
    }
    assert {name for name in found if "_step_" in name} == {
        f"{name}_step_{step}" for name in names for step in (1, 2, 3, 4)
    }
    for step in (1, 2, 3, 4):
        actual, predicted, last = (
            columns[name].numpy()[steps == step] for name in ("actual", "predicted", "last")
        )
        rmse, naive = (root_mean_squared_error(actual, each) for each in (predicted, last))
        assert found[f"rmse_step_{step}"] == pytest.approx(rmse, rel=1e-4)
        assert found[f"rmse_over_naive_step_{step}"] == pytest.approx(rmse / naive, rel=1e-4)
    squares = [found[f"rmse_step_{step}"] ** 2 for step in (1, 2, 3, 4)]
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-4)


def test_one_step_ahead_has_no_scores_by_step() -> None:
    task = load(AIRLINE)
    assert not [n for n in score(task, "test", random_outputs(task, "test")) if "step" in n]


def test_without_a_season_there_is_no_skill_over_it() -> None:
    task = load(AIRLINE, season=1)
    assert "rmse_over_seasonal_naive" not in score(task, "test", random_outputs(task, "test"))


def test_ratios_with_a_divisor_of_zero_are_left_out() -> None:
    same = torch.full((5, 1), 2.0, dtype=torch.float64)
    found = forecast_scores(same, same + 1, same, same, 0.0)
    assert found == {"rmse": 1.0, "rmse_naive": 0.0, "mae": 1.0, "smape": 40.0}


def test_a_forecast_of_zero_for_zero_has_no_percentage_error() -> None:
    actual = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    predicted = torch.tensor([[0.0], [3.0], [1.0]], dtype=torch.float64)
    assert forecast_scores(actual, predicted, actual, None, 1.0)["smape"] == pytest.approx(200 / 3)

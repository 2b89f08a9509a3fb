"""Inputs and targets of forecasts: values, scale, inverse, no use of later steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from models.recurrent import RecurrentSettings
from tests.helpers.series_files import (
    AIRLINE,
    SPLITS,
    airline,
    load,
    random_outputs,
    whole,
    write_series,
)

TARGETS = ["level", "difference", "log_return"]
TRAIN = 101  # months of training


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("target", TARGETS)
def test_targets_by_hand(target: str, horizon: int) -> None:
    task, passengers = load(AIRLINE, target=target, horizon=horizon, window=6), airline()
    known = np.log(passengers) if target == "log_return" else passengers
    origins = task.origins["train"].numpy()
    assert (origins[0], origins[-1]) == (6, TRAIN - horizon - 1)
    base = np.zeros(len(known)) if target == "level" else known
    scales = []
    for step in range(1, horizon + 1):
        moves = known[origins + step] - base[origins]
        scales.append((moves.mean(), moves.std()))
    for split in SPLITS:
        for row, origin in enumerate(task.origins[split].tolist()):
            scaled, actual, last, _ = whole(task, split).targets[row].numpy()
            np.testing.assert_array_equal(actual, passengers[origin + 1 : origin + 1 + horizon])
            assert set(last.tolist()) == {passengers[origin]}
            expected = [
                (known[origin + 1 + k] - base[origin] - mean) / deviation
                for k, (mean, deviation) in enumerate(scales)
            ]
            np.testing.assert_allclose(scaled, expected, rtol=1e-9)


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_by_hand(target: str, tmp_path: Path) -> None:
    values, extra = airline(), np.random.default_rng(0).normal(5, 3, size=144)
    path = write_series(tmp_path, values, x=extra)
    task = load(path, column="y", features=["x"], target=target, window=5)
    known = np.log(values) if target == "log_return" else values
    train = known[:TRAIN]
    changes = np.diff(train)
    far = [(train[lag:] - train[:-lag]) ** 2 for lag in range(1, 5)]
    distance = np.sqrt(np.mean([each.mean() for each in far]))
    scaled_extra = (extra - extra[:TRAIN].mean()) / extra[:TRAIN].std()
    for split in SPLITS:
        for row, origin in enumerate(task.origins[split].tolist()):
            steps = np.arange(origin - 4, origin + 1)
            if target == "level":
                columns = [(known[steps] - train.mean()) / train.std(), scaled_extra[steps]]
            else:
                moves = (known[steps] - known[steps - 1]) / changes.std()
                columns = [moves, scaled_extra[steps], (known[steps] - known[origin]) / distance]
            found = whole(task, split).inputs[row]
            np.testing.assert_allclose(found, np.stack(columns, axis=1), rtol=1e-8, atol=1e-12)
    assert task.input_size == whole(task, "test").inputs.shape[2]


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("target", TARGETS)
def test_scaled_targets_are_converted_back(target: str, horizon: int) -> None:
    task = load(AIRLINE, target=target, horizon=horizon)
    for split in SPLITS:
        batch = whole(task, split)
        outputs = batch.targets[:, 0] if horizon > 1 else batch.targets[:, 0, 0]
        np.testing.assert_allclose(
            task.predicted(outputs, batch.targets), batch.targets[:, 1], rtol=1e-12
        )
        assert float(task.loss(outputs, batch)) == 0


@pytest.mark.parametrize("target", [*TARGETS, "auto"])
def test_scales_and_choices_are_those_of_training(target: str, tmp_path: Path) -> None:
    values, extra = airline(), np.random.default_rng(0).normal(size=144)
    settings = {"column": "y", "features": ["x"], "target": target, "horizon": 3}
    first = load(write_series(tmp_path, values, x=extra), **settings)
    values[TRAIN:] *= np.linspace(2, 5, len(values) - TRAIN)
    extra[TRAIN:] += 7
    second = load(write_series(tmp_path, values, x=extra), **settings)
    assert second.target == first.target
    assert second.plan == first.plan
    assert second.mase_scale == first.mase_scale
    for before, after in zip(first.batches("train", 16), second.batches("train", 16), strict=True):
        assert torch.equal(before.inputs, after.inputs)
        assert torch.equal(before.targets, after.targets)
    values[TRAIN - 1] *= 1.5
    assert load(write_series(tmp_path, values, x=extra), **settings).target != first.target


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("first_changed", [TRAIN, 115, 140])
def test_later_steps_change_no_forecast_before_them(
    target: str, horizon: int, first_changed: int, tmp_path: Path
) -> None:
    def forecasts(values: np.ndarray, extra: np.ndarray) -> dict[int, list[float]]:
        path = write_series(tmp_path, values, x=extra)
        task = load(
            path, column="y", features=["x"], target=target, horizon=horizon, window=12, season=12
        )
        torch.manual_seed(0)
        encoder = RecurrentSettings(hidden_size=8).build(task.input_size)
        network = task.network(encoder).double().eval()
        found = {}
        with torch.no_grad():
            for split in SPLITS:
                batch = whole(task, split)
                predicted = task.predicted(network(batch.inputs)[0], batch.targets)
                found |= dict(zip(task.origins[split].tolist(), predicted.tolist(), strict=True))
        return found

    values, extra = airline(), np.random.default_rng(0).normal(size=144)
    before = forecasts(values, extra)
    values[first_changed:] = 7 + np.arange(144 - first_changed)
    extra[first_changed:] = 9
    after = forecasts(values, extra)
    assert {o for o in before if before[o] != after[o]} == {o for o in before if o >= first_changed}
    assert first_changed in before


def test_forecasts_of_log_returns_are_positive() -> None:
    task = load(AIRLINE, target="log_return")
    outputs = 20 * random_outputs(task, "test")
    assert bool((task.predicted(outputs, whole(task, "test").targets) > 0).all())


@pytest.mark.parametrize("target", ["auto", "level", "difference", "log_return"])
def test_a_series_constant_in_training_can_be_scaled(target: str, tmp_path: Path) -> None:
    task = load(write_series(tmp_path, np.append(np.full(59, 5.0), 6.0)), target=target)
    outputs = torch.zeros(len(task.origins["test"]))
    predicted = task.predicted(outputs, whole(task, "test").targets)
    np.testing.assert_allclose(predicted, 5.0, rtol=1e-12)
    assert "all values of y in training are 5" in " ".join(task.data.notices)


def test_the_description_of_inputs_and_outputs_is_enough_to_compute_them(tmp_path: Path) -> None:
    extra = np.random.default_rng(0).normal(size=144)
    path = write_series(tmp_path, airline(), x=extra)
    for target in TARGETS:
        task = load(path, column="y", features=["x"], target=target, horizon=2, window=5)
        record, _ = task.preprocessing()
        frame = pd.read_csv(path).iloc[: int(task.origins["test"][0]) + 1]
        v = frame["y"].to_numpy()[-record["values"] :]
        w = np.log(v) if target == "log_return" else v
        scale = record["features"]["x"]
        x = (frame["x"].to_numpy()[-5:] - scale["mean"]) / scale["deviation"]
        if target == "level":
            inputs = [(w - record["center"]) / record["scale"], x]
        else:
            inputs = [np.diff(w) / record["scale"], x, (w[1:] - w[-1]) / record["distance"]]
        batch = whole(task, "test")
        np.testing.assert_allclose(batch.inputs[0], np.stack(inputs, axis=1), rtol=1e-8, atol=1e-12)
        outputs = np.array([0.3, -0.4])
        unscaled = outputs * record["deviations"] + record["means"]
        expected = {
            "level": unscaled,
            "difference": v[-1] + unscaled,
            "log_return": v[-1] * np.exp(unscaled),
        }[target]
        found = task.predicted(torch.from_numpy(outputs)[None], batch.targets[:1])
        np.testing.assert_allclose(found[0], expected, rtol=1e-12)

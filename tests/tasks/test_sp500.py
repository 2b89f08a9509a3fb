"""The S&P 500 task: span, split, windows, scale, no look into the future, metrics, CSV faults."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from places import ROOT
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from torch import Tensor
from utilsforecast.losses import mase

from benchmarks.cache import DiskCache
from benchmarks.evaluation import evaluate
from models.recurrent import RecurrentSettings
from tasks.base import Batch, DataError, Split
from tasks.objectives import CloseObjective, VolatilityObjective
from tasks.sp500 import Sp500Settings, Sp500Task, days_needed

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CLOSES = ["log_return", "price"]
TARGETS = [*CLOSES, "volatility"]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Forecast = Callable[[Batch], Tensor]


def load(settings: Sp500Settings) -> Sp500Task:
    task = settings.load(DiskCache(ROOT / "unused"))
    assert isinstance(task, Sp500Task)
    return task


def random_walk(days: int = 300, seed: int = 0) -> Floats:
    """Make up closes, all different."""
    steps = np.random.default_rng(seed).normal(3e-4, 0.01, size=days)
    closes: Floats = 2000 * np.exp(np.cumsum(steps))
    assert len(set(closes.tolist())) == days
    return closes


def make_task(closes: Floats, target: str = "log_return", window: int = 5) -> Sp500Task:
    days = pd.bdate_range("2001-01-01", periods=len(closes))
    series = pd.Series(closes, index=days, dtype=float)
    return Sp500Task(Sp500Settings(window=window, target=target), series, "made up")


def predicted_days(task: Sp500Task, closes: Floats, split: Split) -> list[int]:
    """List the numbers of the days that a split predicts, found by what is true of them."""
    known = absolute_returns(closes) if task.settings.target == "volatility" else closes
    number = {value: day for day, value in enumerate(known.tolist())}
    return [number[float(t)] for batch in task.batches(split, 16) for t in batch.targets[:, -1]]


def absolute_returns(closes: Floats) -> Floats:
    """In percent; day 0 has none."""
    return 100 * np.abs(np.diff(np.log(closes), prepend=math.nan))


def predicted_closes(task: Sp500Task, outputs: Tensor, batch: Batch) -> Tensor:
    return task.predictions(outputs, batch)["predicted"]


def score(task: Sp500Task, split: Split, forecast: Forecast, size: int = 16) -> dict[str, float]:
    sums: Counter[str] = Counter()
    for batch in task.batches(split, size):
        sums.update({k: float(v) for k, v in task.sums(forecast(batch), batch).items()})
    return task.metrics(dict(sums))


def perfect(batch: Batch) -> Tensor:
    return batch.targets[:, 0]


def no_change(batch: Batch) -> Tensor:
    return torch.zeros(len(batch.targets))


@pytest.fixture(scope="module")
def default() -> Sp500Task:
    return load(Sp500Settings())


def closes_of(task: Sp500Task) -> Floats:
    """Return all closes: the one before the first there is to predict, and those."""
    return torch.cat([task.targets[:1, 1], task.targets[:, 2]]).numpy()


# --- span and split


def test_the_default_is_the_last_five_years_of_arch(default: Sp500Task) -> None:
    # The package's closes are single-precision numbers, off by up to 1e-4.
    closes = np.round(closes_of(default), 2)
    assert "2014-01-02 to 2018-12-31" in default.data.name
    assert len(closes) == 1258
    # The first and last closes, and that of Christmas Eve 2018.
    assert (closes[0], closes[-5], closes[-1]) == (1831.98, 2351.10, 2506.85)


def test_the_shared_series_has_the_closes_of_arch(default: Sp500Task) -> None:
    file = ROOT.parent / "shared" / "data" / "sp500" / "sp500_daily.csv"
    if not file.is_file():
        pytest.skip("the long series is not in ../shared/data/sp500")
    with file.open() as lines:
        rows = [row for row in csv.DictReader(lines) if "2014" <= row["date"] < "2019"]
    expected = [float(row["close"]) for row in rows]
    np.testing.assert_array_equal(np.round(closes_of(default), 2), expected)
    same = load(Sp500Settings(csv=str(file), start="2014-01-01", end="2018-12-31"))
    np.testing.assert_array_equal(closes_of(same), expected)


@pytest.mark.parametrize(
    ("span", "first", "last"),
    [
        ({"start": "2010-01-01", "end": "2012-12-31"}, "2010-01-04", "2012-12-31"),
        ({"start": "2016-01-01"}, "2016-01-04", "2018-12-31"),
        ({"end": "2012-06-30"}, "2007-07-02", "2012-06-29"),
        ({"start": "1900-01-01"}, "1999-01-04", "2018-12-31"),
    ],
)
def test_start_and_end_choose_the_span(span: dict[str, Any], first: str, last: str) -> None:
    assert load(Sp500Settings(**span)).data.name.endswith(f"{first} to {last}")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"start": "2015-02-30"}, "task.start=2015-02-30"),
        ({"end": "yesterday"}, "task.end=yesterday"),
        ({"start": "2015-W01-1"}, "task.start=2015-W01-1"),
        ({"start": "2016-01-01", "end": "2015-01-01"}, "task.start=2016-01-01 is not before"),
        ({"start": "2016-01-01", "end": "2016-01-01"}, "task.start=2016-01-01 is not before"),
    ],
)
def test_a_span_that_is_none_is_refused_at_once(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Sp500Settings(**settings).check()


@pytest.mark.parametrize("span", [{"start": "2030-01-01"}, {"end": "1990-01-01"}])
def test_a_span_without_data_says_what_the_data_has(span: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"0 days from .* has 1999-01-04 to 2018-12-31$"):
        load(Sp500Settings(**span))


@pytest.mark.parametrize("window", [1, 5, 30])
@pytest.mark.parametrize("days", [100, 301, 1258])
def test_the_split_is_70_15_15_in_order_of_time(days: int, window: int) -> None:
    closes = random_walk(days)
    task = make_task(closes, window=window)
    parts = {split: predicted_days(task, closes, split) for split in SPLITS}
    # Every day is predicted once that has a window of returns, which take one day more, before it.
    assert [*parts["train"], *parts["validation"], *parts["test"]] == list(range(window + 1, days))
    data = task.data
    sizes = [data.train_size, data.validation_size, data.test_size]
    assert sizes == [len(part) for part in parts.values()]
    np.testing.assert_allclose(sizes, np.array([0.70, 0.15, 0.15]) * sum(sizes), atol=1)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_training_shuffles_all_its_days(batch_size: int) -> None:
    task = make_task(random_walk())

    def targets(seed: int | None) -> Tensor:
        order = None if seed is None else np.random.default_rng(seed)
        batches = list(task.batches("train", batch_size, order))
        assert len(batches) == task.steps_per_epoch(batch_size)
        return torch.cat([batch.targets[:, 2] for batch in batches])

    in_order, shuffled = targets(None), targets(0)
    assert torch.equal(targets(0), shuffled)
    assert not torch.equal(targets(1), shuffled)
    assert not torch.equal(in_order, shuffled)
    assert torch.equal(in_order.sort().values, shuffled.sort().values)


# --- windows and scale


@pytest.mark.parametrize("window", [1, 5, 20])
@pytest.mark.parametrize("target", TARGETS)
def test_a_window_holds_exactly_the_days_before(target: str, window: int) -> None:
    closes = random_walk()
    task = make_task(closes, target, window)
    train_end = predicted_days(task, closes, "train")[-1] + 1
    known = closes[:train_end].tolist()
    returns = [math.log(b / a) for a, b in pairwise(known)]
    values = known if target == "price" else returns
    mean, deviation = np.mean(values), np.std(values)
    for split in SPLITS:
        days = predicted_days(task, closes, split)
        inputs = torch.cat([batch.inputs for batch in task.batches(split, 16)])
        for day, found in zip(days, inputs, strict=True):
            past = range(day - window, day)
            if target == "price":
                expected = [[(closes[d] - mean) / deviation] for d in past]
            else:
                moves = [math.log(closes[d] / closes[d - 1]) / deviation for d in past]
                expected = [[move, abs(move)] for move in moves]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_the_scale_is_fitted_on_the_training_part_alone(target: str) -> None:
    closes = random_walk()
    task = make_task(closes, target)
    train_end = predicted_days(task, closes, "train")[-1] + 1
    changed = closes.copy()
    changed[train_end:] *= np.linspace(2, 5, len(closes) - train_end)
    other = make_task(changed, target)
    assert other.objective == task.objective
    for before, after in zip(task.batches("train", 16), other.batches("train", 16), strict=True):
        assert torch.equal(before.inputs, after.inputs)
        assert torch.equal(before.targets, after.targets)
    changed[train_end - 1] *= 1.5
    assert make_task(changed, target).objective != task.objective


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("share", [0.71, 0.8, 0.9, 0.99])
def test_changing_the_future_changes_no_prediction_before_it(share: float, target: str) -> None:
    closes = random_walk()
    first_changed = int(share * len(closes))
    changed = closes.copy()
    changed[first_changed:] = 7 + np.arange(len(closes) - first_changed)
    torch.manual_seed(0)
    encoder = RecurrentSettings(hidden_size=8).build(make_task(closes, target).input_size)
    network = make_task(closes, target).network(encoder).double().eval()

    def predictions(prices: Floats) -> list[float]:
        task = make_task(prices, target)
        found: list[float] = []
        with torch.no_grad():
            for split in SPLITS:
                for batch in task.batches(split, 16):
                    outputs, _ = network(batch.inputs, None, None)
                    found += task.predictions(outputs, batch)["predicted"].tolist()
        return found

    before, after = predictions(closes), predictions(changed)
    # The first day predicted is number 6, after a window of five returns.
    unchanged = first_changed + 1 - 6
    # The close of the first changed day itself is forecast from the days before it.
    assert after[:unchanged] == before[:unchanged]
    assert all(a != b for a, b in zip(after[unchanged:], before[unchanged:], strict=True))
    assert len(after[unchanged:]) > 1


@pytest.mark.parametrize("target", CLOSES)
def test_the_target_is_turned_back_into_the_close(target: str) -> None:
    closes = random_walk()
    task = make_task(closes, target)
    objective = task.objective
    assert isinstance(objective, CloseObjective)
    for split in SPLITS:
        days = predicted_days(task, closes, split)
        (whole,) = task.batches(split, 1000)
        predicted = predicted_closes(task, perfect(whole), whole)
        np.testing.assert_allclose(predicted, closes[days], rtol=1e-12)
        np.testing.assert_array_equal(whole.targets[:, 1], closes[np.array(days) - 1])
        two = torch.full_like(whole.targets[:, 0], 2.0)
        by_hand = (
            objective.mean + 2 * objective.deviation
            if target == "price"
            else closes[np.array(days) - 1] * math.exp(2 * objective.deviation)
        )
        np.testing.assert_allclose(predicted_closes(task, two, whole), by_hand, rtol=1e-12)


def test_a_constant_series_can_be_scaled() -> None:
    task = make_task(np.full(100, 50.0))
    metrics = score(task, "test", no_change)
    assert metrics == {"loss": 0.0, "rmse": 0.0, "rmse_naive": 0.0, "mae": 0.0}


# --- metrics


@pytest.mark.parametrize("target", CLOSES)
@pytest.mark.parametrize("split", SPLITS)
def test_a_perfect_forecast_has_no_error(split: Split, target: str) -> None:
    metrics = score(make_task(random_walk(), target), split, perfect)
    for name in ("loss", "rmse", "mae", "rmse_over_naive", "mase"):
        assert metrics[name] == pytest.approx(0, abs=1e-9)
    assert metrics["direction_accuracy"] == 1


@pytest.mark.parametrize("split", SPLITS)
def test_predicting_no_return_is_the_random_walk_exactly(default: Sp500Task, split: Split) -> None:
    assert score(default, split, no_change)["rmse_over_naive"] == 1


def test_predicting_the_last_price_is_the_random_walk() -> None:
    task = make_task(random_walk(), "price")
    objective = task.objective
    assert isinstance(objective, CloseObjective)

    def last_price(batch: Batch) -> Tensor:
        return (batch.targets[:, 1] - objective.mean) / objective.deviation

    assert score(task, "test", last_price)["rmse_over_naive"] == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("target", CLOSES)
@pytest.mark.parametrize("split", SPLITS)
def test_errors_agree_with_scikit_learn_and_utilsforecast(split: Split, target: str) -> None:
    closes = random_walk(600)
    task = make_task(closes, target)
    days = predicted_days(task, closes, split)
    truth, yesterday = closes[days], closes[np.array(days) - 1]
    (whole,) = task.batches(split, 1000)
    outputs = torch.from_numpy(np.random.default_rng(1).normal(size=len(days)))
    predicted = predicted_closes(task, outputs, whole).numpy()

    metrics = score(task, split, lambda _: outputs, size=1000)
    assert metrics["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted), rel=1e-9)
    assert metrics["mae"] == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-9)
    naive = root_mean_squared_error(truth, yesterday)
    assert metrics["rmse_over_naive"] == pytest.approx(metrics["rmse"] / naive, rel=1e-9)
    frame = pd.DataFrame({"unique_id": 0, "ds": days, "y": truth, "net": predicted})
    train = closes[: predicted_days(task, closes, "train")[-1] + 1]
    history = pd.DataFrame({"unique_id": 0, "ds": range(len(train)), "y": train})
    reference = mase(frame, models=["net"], seasonality=1, train_df=history)["net"].item()
    assert metrics["mase"] == pytest.approx(reference, rel=1e-9)


def from_closes(task: Sp500Task, last: Sequence[float], close: Sequence[float]) -> Tensor:
    """Return what `task` would have to predict for these closes."""
    return torch.from_numpy(task.objective.scaled(np.array(close), np.array(last)))


def direction_metrics(
    task: Sp500Task, last: Sequence[float], close: Sequence[float], predicted: Sequence[float]
) -> dict[str, float]:
    known = torch.tensor([last, close], dtype=torch.float64)
    targets = torch.stack([from_closes(task, last, close), *known], dim=1)
    inputs, items = torch.zeros(len(last), 5, 1), torch.arange(len(last))
    batch = Batch(inputs, targets, tokens=len(last), items=items)
    sums = task.sums(from_closes(task, last, predicted), batch)
    return task.metrics({name: float(value) for name, value in sums.items()})


@pytest.mark.parametrize("target", CLOSES)
def test_directions_by_hand(target: str) -> None:
    metrics = direction_metrics(
        make_task(random_walk(), target),
        last=[100.0] * 6,
        # The third and fourth day do not move and are not counted.
        close=[101.0, 98.0, 100.0, 100.0, 103.0, 100.5],
        predicted=[102.0, 101.0, 105.0, 95.0, 99.0, 107.0],
    )
    assert metrics["direction_accuracy"] == 2 / 4
    assert metrics["direction_base_rate"] in (3 / 4, 1 / 4)


RISING = [1.0, 2.0, -1.0, 1.0, -0.5]
FALLING = [-step for step in RISING]
# Most days do not move; of those that do, more go up.
RESTING = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, -1.5]


@pytest.mark.parametrize(
    ("steps", "base_rate"), [(RISING, 3 / 4), (FALLING, 1 / 4), (RESTING, 3 / 4)]
)
def test_the_base_rate_is_that_of_training_s_usual_direction(
    steps: list[float], base_rate: float
) -> None:
    closes = 1000 + np.cumsum(np.tile(steps, 20))
    last, close = [100.0] * 5, [101.0, 102.0, 103.0, 99.0, 100.0]
    metrics = direction_metrics(make_task(closes), last, close, predicted=close)
    assert metrics["direction_base_rate"] == base_rate


@pytest.mark.parametrize("target", TARGETS)
def test_a_network_s_scores_do_not_depend_on_the_batch_size(target: str) -> None:
    task = make_task(random_walk(), target)
    torch.manual_seed(0)
    network = task.network(RecurrentSettings(hidden_size=8).build(task.input_size)).double()
    scores = [evaluate(network, task, "test", size) for size in (1, 7, 1000)]
    for found in scores[1:]:
        assert found == pytest.approx(scores[0], rel=1e-12)


def test_the_loss_is_the_mean_square_of_the_scaled_error(default: Sp500Task) -> None:
    (whole,) = default.batches("validation", 1000)
    outputs = torch.linspace(-1, 1, len(whole.targets), dtype=torch.float64)
    expected = np.mean((outputs.numpy() - whole.targets[:, 0].numpy()) ** 2)
    assert float(default.loss(outputs, whole)) == pytest.approx(expected, rel=1e-12)
    found = score(default, "validation", lambda _: outputs, size=1000)["loss"]
    assert found == pytest.approx(expected, rel=1e-12)


def test_single_sequences_are_the_windows_of_validation() -> None:
    task = make_task(random_walk())
    (whole,) = task.batches("validation", 1000)
    singles = list(task.single_sequences(100))
    assert len(singles) == 100
    for i, single in enumerate(singles):
        assert torch.equal(single.inputs, whole.inputs[[i % len(whole.inputs)]])


# --- items and predictions


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize("split", SPLITS)
def test_items_count_the_days_of_a_split(split: Split, batch_size: int) -> None:
    task = make_task(random_walk())
    batches = list(task.batches(split, batch_size))
    items = torch.cat([batch.items for batch in batches]).tolist()
    assert items == list(range(len(items)))
    closes = torch.cat([batch.targets[:, 2] for batch in batches])
    for batch in task.batches(split, batch_size, np.random.default_rng(0)):
        assert torch.equal(closes[batch.items], batch.targets[:, 2])


def test_items_have_their_days(default: Sp500Task) -> None:
    days = {split: default.items(split)["day"] for split in SPLITS}
    sizes = [default.data.train_size, default.data.validation_size, default.data.test_size]
    assert [len(days[split]) for split in SPLITS] == sizes
    # The first day after a window of 30 returns, and the last of all.
    assert (days["train"][0], days["test"][-1]) == ("2014-02-18", "2018-12-31")
    closes = dict(zip(days["test"], torch.cat(targets_of(default, "test"))[:, 2], strict=True))
    assert round(float(closes["2018-12-24"]), 2) == 2351.10


def targets_of(task: Sp500Task, split: Split) -> list[Tensor]:
    return [batch.targets for batch in task.batches(split, 16)]


@pytest.mark.parametrize("target", CLOSES)
def test_predictions_are_the_closes_before_after_and_said(target: str) -> None:
    closes = random_walk()
    task = make_task(closes, target)
    days = np.array(predicted_days(task, closes, "test"))
    (whole,) = task.batches("test", 1000)
    found = task.predictions(perfect(whole).float() * 1.5, whole)
    assert list(found) == ["last", "actual", "predicted"]
    np.testing.assert_array_equal(found["last"], closes[days - 1])
    np.testing.assert_array_equal(found["actual"], closes[days])
    rmse = root_mean_squared_error(found["actual"], found["predicted"])
    said = score(task, "test", lambda batch: perfect(batch).float() * 1.5)["rmse"]
    assert said == pytest.approx(rmse, rel=1e-9)
    assert rmse > 0


# --- volatility


def test_the_metric_is_that_of_the_target() -> None:
    for target in CLOSES:
        metric = Sp500Settings(target=target).metric
        assert (metric.name, metric.unit) == ("rmse", "index points")
    metric = Sp500Settings(target="volatility").metric
    assert (metric.name, metric.unit) == ("volatility_rmse", "percent")
    assert (metric.higher_is_better, metric.perfect) == (False, 0.0)


@pytest.mark.parametrize("split", SPLITS)
def test_the_volatility_target_is_the_standardised_size_of_the_return(split: Split) -> None:
    closes = random_walk()
    task = make_task(closes, "volatility")
    days = predicted_days(task, closes, split)
    train_end = predicted_days(task, closes, "train")[-1] + 1
    sizes = absolute_returns(closes)
    known = sizes[1:train_end]
    (whole,) = task.batches(split, 1000)
    expected = (sizes[days] - known.mean()) / known.std()
    np.testing.assert_allclose(perfect(whole), expected, rtol=1e-9)
    assert score(task, split, perfect)["volatility_rmse"] == pytest.approx(0, abs=1e-9)
    found = task.predictions(torch.full((len(days),), 0.25), whole)
    assert list(found) == ["actual", "predicted"]
    np.testing.assert_array_equal(found["actual"], sizes[days])
    np.testing.assert_allclose(found["predicted"], known.mean() + known.std() / 4, rtol=1e-9)


@pytest.mark.parametrize("split", SPLITS)
def test_volatility_scores_agree_with_scikit_learn(split: Split) -> None:
    closes = random_walk(600)
    task = make_task(closes, "volatility")
    days = predicted_days(task, closes, split)
    truth = absolute_returns(closes)[days]
    known = absolute_returns(closes)[1 : predicted_days(task, closes, "train")[-1] + 1]
    outputs = torch.from_numpy(np.random.default_rng(1).normal(size=len(days)))
    metrics = score(task, split, lambda _: outputs, size=1000)
    predicted = known.mean() + known.std() * outputs.numpy()
    rmse = root_mean_squared_error(truth, predicted)
    naive = root_mean_squared_error(truth, np.full(len(days), known.mean()))
    assert metrics == pytest.approx(
        {
            "loss": (rmse / known.std()) ** 2,
            "volatility_rmse": rmse,
            "volatility_rmse_naive": naive,
        },
        rel=1e-9,
    )
    assert score(task, split, no_change)["volatility_rmse"] == pytest.approx(naive, rel=1e-12)


def test_the_volatility_of_a_constant_series_is_zero() -> None:
    task = make_task(np.full(100, 50.0), "volatility")
    assert isinstance(task.objective, VolatilityObjective)
    assert set(score(task, "test", no_change).values()) == {0.0}


# --- CSV files


Row = tuple[str, str]
DAYS = [day.date().isoformat() for day in pd.bdate_range("2001-01-01", periods=120)]
PRICES = [f"{close:.2f}" for close in random_walk(120)]


def rows() -> list[Row]:
    return list(zip(DAYS, PRICES, strict=True))


def write(folder: Path, lines: Sequence[Row], header: str = "date,close") -> Path:
    file = folder / "series.csv"
    file.write_text("\n".join([header, *(f"{day},{close}" for day, close in lines)]) + "\n")
    return file


def read(file: Path, window: int = 5) -> Sp500Task:
    return load(Sp500Settings(csv=str(file), start="2001-01-01", window=window))


def refusal(file: Path, window: int = 5) -> str:
    with pytest.raises(DataError) as caught:
        read(file, window)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert file.name in text
    return text


def reformatted(format_day: str) -> list[Row]:
    return [(pd.Timestamp(day).strftime(format_day), close) for day, close in rows()]


def test_the_hash_is_of_days_and_closes_in_plain_text(tmp_path: Path) -> None:
    content = "".join(f"{day},{float(close)!r}\n" for day, close in rows())
    expected = hashlib.sha256(content.encode()).hexdigest()
    assert read(write(tmp_path, rows())).data.sha256 == expected


@pytest.mark.parametrize("header", ["Date,Close", "DATE,CLOSE", " date , close", "date,Close"])
def test_columns_are_found_in_any_case(tmp_path: Path, header: str) -> None:
    task = read(write(tmp_path, rows(), header))
    np.testing.assert_array_equal(closes_of(task), [float(close) for close in PRICES])


def test_other_columns_do_not_matter(tmp_path: Path) -> None:
    lines = [(close, f"{day},x,{close}") for day, close in rows()]
    task = read(write(tmp_path, lines, "open,date,note,close"))
    np.testing.assert_array_equal(closes_of(task), [float(close) for close in PRICES])


@pytest.mark.parametrize(
    "format_day",
    [
        "%Y-%m-%d",
        "%m/%d/%Y",
        "%Y%m%d",
        "%Y-%m-%d 16:00:00",
        "%Y-%m-%dT00:00:00Z",
        "%Y-%m-%d 00:00:00-05:00",
        "%Y-%m-%d 16:00:00-05:00",
        "%Y-%m-%d 20:00:00-05:00",
        "%Y-%m-%d 00:00:00+09:00",
    ],
)
def test_dates_are_the_local_days_they_say(tmp_path: Path, format_day: str) -> None:
    plain = read(write(tmp_path, rows())).data
    assert read(write(tmp_path, reformatted(format_day))).data == plain


def test_dates_of_summer_and_winter_time_may_follow_one_another(tmp_path: Path) -> None:
    plain = read(write(tmp_path, rows())).data
    offsets = ["-05:00"] * 60 + ["-04:00"] * 60
    lines = [
        (f"{day} 00:00:00{offset}", close)
        for (day, close), offset in zip(rows(), offsets, strict=True)
    ]
    assert read(write(tmp_path, lines)).data == plain


@pytest.mark.parametrize(
    ("day", "close", "problem"),
    [
        pytest.param("soon", "10", "not a date like 2015-12-31 or 12/31/2015: soon", id="a word"),
        pytest.param("2001-02-30", "10", ": 2001-02-30", id="no such day"),
        pytest.param("20/12/x", "10", ": 20/12/x", id="half a date"),
        pytest.param("03/12/2001", "10", ": 03/12/2001", id="another format"),
        pytest.param("", "10", "not a date", id="no date"),
        pytest.param(DAYS[10], "10", f"must ascend, this one does not: {DAYS[10]}", id="back"),
        pytest.param(DAYS[49], "10", f"must ascend, this one does not: {DAYS[49]}", id="twice"),
        pytest.param(f"{DAYS[49]} 16:00", "10", DAYS[49], id="twice at another hour"),
        pytest.param(DAYS[50], "", "must be a positive number: nan", id="no close"),
        pytest.param(DAYS[50], "NaN", "must be a positive number: nan", id="NaN"),
        pytest.param(DAYS[50], "0", "must be a positive number: 0", id="zero"),
        pytest.param(DAYS[50], "-3.5", "must be a positive number: -3.5", id="negative"),
        pytest.param(DAYS[50], "inf", "must be finite: inf", id="infinite"),
        pytest.param(DAYS[50], "ten", "must be a positive number: ten", id="close a word"),
        pytest.param(DAYS[50], '"1,000.5"', "a positive number: 1,000.5", id="thousands' comma"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_value(
    tmp_path: Path, day: str, close: str, problem: str
) -> None:
    lines = rows()
    lines[50] = (day, close)
    text = refusal(write(tmp_path, lines))
    assert "line 52: " in text
    assert problem in text


def test_blank_lines_are_counted_like_an_editor_does(tmp_path: Path) -> None:
    file = write(tmp_path, [*rows()[:50], (DAYS[50], "-1")])
    lines = file.read_text().splitlines()
    lines.insert(10, "")
    file.write_text("\n".join(lines))
    assert lines[52] == f"{DAYS[50]},-1"
    assert "line 53: " in refusal(file)


@pytest.mark.parametrize(
    ("header", "missing"),
    [("day,close", "'date'"), ("date,price", "'close'"), ("a,b", "'date'"), ("date,", "'close'")],
)
def test_a_missing_column_is_named_with_those_there_are(
    tmp_path: Path, header: str, missing: str
) -> None:
    text = refusal(write(tmp_path, rows(), header))
    assert f"no column {missing}" in text
    assert all(name in text for name in header.split(",") if name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "cannot be read as CSV", id="empty"),
        pytest.param(b"date,close\n", "no rows", id="header alone"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\x00\xff", "cannot be read as CSV", id="picture"),
        pytest.param("date,close\n".encode("utf-16"), "cannot be read as CSV", id="UTF-16"),
        pytest.param(b"<!doctype html>\n<p>no\n", "no column 'date'", id="web page"),
        pytest.param(b'{"date": 1,\n "close": 2}\n', "no column 'date'", id="JSON"),
        pytest.param(b'"a\nb",c\n1,2\n', "no column 'date'", id="name of two lines"),
        pytest.param(b"date,close\n1,2\n1,2,3\n", "cannot be read as CSV", id="ragged"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    file = tmp_path / "series.csv"
    file.write_bytes(content)
    assert problem in refusal(file)


@pytest.mark.parametrize("window", [1, 5, 60])
def test_the_window_decides_how_many_rows_are_needed(tmp_path: Path, window: int) -> None:
    needed = days_needed(window)
    text = refusal(write(tmp_path, rows()[: needed - 1]), window)
    assert f"{needed - 1} days" in text
    assert f"task.window={window} needs {needed}" in text
    data = read(write(tmp_path, rows()[:needed]), window).data
    assert data.train_size >= 20
    assert min(data.validation_size, data.test_size) >= 5


def test_a_missing_file_is_refused_at_once(tmp_path: Path) -> None:
    settings = Sp500Settings(csv=str(tmp_path / "missing.csv"))
    with pytest.raises(DataError, match=r"task\.csv=.*missing\.csv: there is no such file"):
        settings.check()
    with pytest.raises(DataError, match=r"missing\.csv"):
        load(settings)

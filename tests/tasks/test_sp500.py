"""The S&P 500 task's days: the selected span, the split, items."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from tasks.base import DataError, Split
from tasks.sp500 import Sp500Settings, Sp500Task
from tests.helpers.paths import ROOT
from tests.helpers.synthetic_closes import (
    SPLITS,
    TARGETS,
    closes_of,
    load,
    make_task,
    predicted_days,
    random_walk,
)


def test_the_default_is_the_last_five_years_of_arch(sp500: Sp500Task) -> None:
    # The package's closes are single-precision numbers, off by up to 1e-4.
    closes = np.round(closes_of(sp500), 2)
    assert "2014-01-02 to 2018-12-31" in sp500.data.name
    assert len(closes) == 1258
    # The first and last closes, and that of Christmas Eve 2018.
    assert (closes[0], closes[-5], closes[-1]) == (1831.98, 2351.10, 2506.85)


def test_the_shared_series_has_the_closes_of_arch(sp500: Sp500Task) -> None:
    file = ROOT.parent / "shared" / "data" / "sp500" / "sp500_daily.csv"
    if not file.is_file():
        pytest.skip("the long series is not in ../shared/data/sp500")
    with file.open() as lines:
        rows = [row for row in csv.DictReader(lines) if "2014" <= row["date"] < "2019"]
    expected = [float(row["close"]) for row in rows]
    np.testing.assert_array_equal(np.round(closes_of(sp500), 2), expected)
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
def test_an_invalid_span_is_refused_at_once(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Sp500Settings(**settings).check()


@pytest.mark.parametrize("span", [{"start": "2030-01-01"}, {"end": "1990-01-01"}])
def test_the_error_of_an_empty_span_contains_the_span_of_the_data(span: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"0 days from .* has 1999-01-04 to 2018-12-31$"):
        load(Sp500Settings(**span))


@pytest.mark.parametrize("window", [1, 5, 30])
@pytest.mark.parametrize("days", [100, 301, 1258])
def test_the_split_is_70_15_15_of_all_days_in_order_of_time(days: int, window: int) -> None:
    closes = random_walk(days)
    task = make_task(closes, window=window)
    parts = {split: predicted_days(task, closes, split) for split in SPLITS}
    # A window of returns needs one day more; every later day is predicted once.
    assert [*parts["train"], *parts["validation"], *parts["test"]] == list(range(window + 1, days))
    data = task.data
    sizes = [data.train_size, data.validation_size, data.test_size]
    assert sizes == [len(part) for part in parts.values()]
    sizes[0] += window + 1
    np.testing.assert_allclose(sizes, np.array([0.70, 0.15, 0.15]) * days, atol=1)


@pytest.mark.parametrize("target", TARGETS)
def test_days_of_validation_and_test_do_not_depend_on_the_window(target: str) -> None:
    tasks = [make_task(random_walk(), target, window) for window in (1, 12, 24, 100)]
    for split in ("validation", "test"):
        assert len({tuple(task.items(split)["day"]) for task in tasks}) == 1
    assert tasks[0].items("train")["day"][99:] == tasks[3].items("train")["day"]
    assert len({task.objective for task in tasks}) == 1


@pytest.mark.parametrize(("start", "first"), [(None, "2001-01-01"), ("2006-01-01", "2006-01-02")])
def test_all_days_of_a_csv_file_are_used(start: str | None, first: str, tmp_path: Path) -> None:
    days = [day.date().isoformat() for day in pd.bdate_range("2001-01-01", "2010-12-31")]
    closes = random_walk(len(days)).tolist()
    file = tmp_path / "closes.csv"
    pd.DataFrame({"date": days, "close": closes}).to_csv(file, index=False)
    task = load(Sp500Settings(csv=str(file), start=start))
    assert (task.days[0], task.days[-1]) == (first, "2010-12-31")
    assert task.data.notices == ()


@pytest.mark.parametrize(
    ("column", "unit"),
    [(None, "index points"), ("Adj Close", "index points"), ("Passengers", "Passengers")],
)
def test_the_unit_is_that_of_the_column(column: str | None, unit: str) -> None:
    assert Sp500Settings(csv="air.csv", column=column).primary_metric.unit == unit


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


def test_single_sequences_are_the_windows_of_validation() -> None:
    task = make_task(random_walk())
    (whole,) = task.batches("validation", 1000)
    singles = list(task.single_sequences(100))
    assert len(singles) == 100
    for i, single in enumerate(singles):
        assert torch.equal(single.inputs, whole.inputs[[i % len(whole.inputs)]])


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


def test_items_have_their_days(sp500: Sp500Task) -> None:
    days = {split: sp500.items(split)["day"] for split in SPLITS}
    sizes = [sp500.data.train_size, sp500.data.validation_size, sp500.data.test_size]
    assert [len(days[split]) for split in SPLITS] == sizes
    # The first day after a window of 30 returns, and the last of all.
    assert (days["train"][0], days["test"][-1]) == ("2014-02-18", "2018-12-31")
    closes = dict(zip(days["test"], torch.cat(targets_of(sp500, "test"))[:, 2], strict=True))
    assert round(float(closes["2018-12-24"]), 2) == 2351.10


def targets_of(task: Sp500Task, split: Split) -> list[Tensor]:
    return [batch.targets for batch in task.batches(split, 16)]

"""Splits by content and group, scaling on training alone, missing values, classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from tasks.base import SPLITS
from tasks.series.preparation import Scaling
from tasks.series.task import SeriesTask
from tests.helpers.labelled_series import (
    Item,
    draw,
    load,
    long_rows,
    refusal,
    said,
    write_long,
    write_npz,
    write_rows,
    write_ts,
)


def names(task: SeriesTask) -> dict[str, set[str]]:
    return {split: set(task.items(split)["series"]) for split in SPLITS}


def shuffled(items: list[Item], seed: int = 5) -> list[Item]:
    return [items[i] for i in np.random.default_rng(seed).permutation(len(items))]


def test_the_split_and_its_order_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    items = draw(60)
    first = load(write_long(tmp_path / "a.csv", items))
    second = load(write_long(tmp_path / "b.csv", shuffled(items)))
    assert first.data.sha256 == second.data.sha256
    for split in SPLITS:
        assert first.items(split) == second.items(split)
        one, other = (next(task.batches(split, 100)) for task in (first, second))
        assert one.inputs.equal(other.inputs)
        assert one.targets.equal(other.targets)


def test_a_new_series_leaves_most_of_the_test_split_in_place(tmp_path: Path) -> None:
    items = draw(100)
    before = names(load(write_long(tmp_path / "a.csv", items)))["test"]
    after = names(load(write_long(tmp_path / "b.csv", items[:98])))["test"]
    assert len(before & after) >= len(before) - 3


def test_splits_are_disjoint_complete_and_stratified(tmp_path: Path) -> None:
    items = draw(120, classes=("a", "b", "b", "b"))
    task = load(write_long(tmp_path / "data.csv", items))
    parts = names(task)
    assert sum(map(len, parts.values())) == len(set().union(*parts.values())) == 120
    labels = {item.name: item.label for item in items}
    counts = {split: Counter(labels[name] for name in part) for split, part in parts.items()}
    assert counts["test"] == {"a": 4, "b": 14}
    assert counts["validation"] == {"a": 4, "b": 11}


def test_no_group_is_in_two_splits(tmp_path: Path) -> None:
    items = draw(120)
    person = {item.name: str(i // 6) for i, item in enumerate(items)}
    rows = [[*row, person[row[0]]] for row in long_rows(items)]
    header = ["id", "time", "x0", "x1", "label", "person"]
    task = load(write_rows(tmp_path / "data.csv", header, rows), group="person")
    people = [{person[name] for name in part} for part in names(task).values()]
    assert all(people)
    assert sum(map(len, people)) == 20
    assert "no group on two sides" in task.data.split


def test_equal_series_are_on_one_side(tmp_path: Path) -> None:
    items = draw(60)
    twins = [Item(item.values, item.label, f"twin-{item.name}") for item in items]
    task = load(write_long(tmp_path / "data.csv", [*items, *twins]))
    for part in names(task).values():
        assert {name.removeprefix("twin-") for name in part} == {
            name for name in part if not name.startswith("twin-")
        }
    assert task.data.test_in_train == 0


def test_test_series_of_a_given_split_that_are_training_series_are_counted(tmp_path: Path) -> None:
    items = draw(60)
    path = write_ts(tmp_path / "train.ts", items)
    test = write_ts(tmp_path / "test.ts", [*items[:4], *draw(10, seed=1)])
    task = load(path, test=str(test))
    assert task.data.test_in_train == 4
    assert "4 of 14 test series are in training or validation" in said(task)


def test_groups_of_a_given_test_split_that_are_in_training_are_said(tmp_path: Path) -> None:
    arrays = {"person": np.arange(40) // 2}
    path = write_npz(tmp_path / "train.npz", draw(), **arrays)
    test = write_npz(tmp_path / "test.npz", draw(seed=1), person=np.arange(40) // 2 + 18)
    assert "2 groups are in the test split" in said(load(path, test=str(test), group="person"))


def test_one_group_cannot_be_split(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "data.npz", draw(), person=np.zeros(40, int))
    message = refusal(path, group="person")
    assert "no test split in whole groups of task.group" in message
    assert "(1 groups of 40 series)" in message


def test_scaling_uses_training_only(tmp_path: Path) -> None:
    items = draw(60)
    path, test = write_ts(tmp_path / "train.ts", items), draw(10, seed=1)
    for item in test:
        item.values = item.values * 1000
    task = load(path, test=str(write_ts(tmp_path / "test.ts", test)))
    train = names(task)["train"]
    steps = np.concatenate([items[int(name) - 1].values for name in train])
    expected = StandardScaler().fit(steps)
    np.testing.assert_allclose(task.scaling.mean, expected.mean_)
    np.testing.assert_allclose(task.scaling.deviation, expected.scale_)
    inputs = next(task.batches("test", 1)).inputs[0].numpy()
    shortest = min(test, key=lambda item: len(item.values)).values
    candidates = [item.values for item in test if len(item.values) == len(shortest)]
    assert any(np.allclose(inputs, expected.transform(values)) for values in candidates)


def test_constant_channels_are_said_and_stay_finite(tmp_path: Path) -> None:
    items = draw()
    for item in items:
        item.values[:, 1] = 0.1
    task = load(write_ts(tmp_path / "data.ts", items))
    assert "constant in training: channel 2" in said(task)
    assert not next(task.batches("test", 100)).inputs[..., 1].any()


def test_imputation_carries_forward_then_takes_the_mean() -> None:
    nan = np.nan
    values = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [6.0, 3.0]])
    scaling = Scaling(np.array([4.0, 0.0]), np.array([2.0, 1.0]))
    expected = [[0, 1], [-1, 1], [-1, 1], [1, 3]]
    np.testing.assert_array_equal(scaling.apply(values, has_mask=False), expected)
    masked = scaling.apply(values, has_mask=True)
    np.testing.assert_array_equal(masked[:, :2], expected)
    np.testing.assert_array_equal(masked[:, 2:], [[0, 1], [1, 0], [0, 0], [1, 1]])


@pytest.mark.parametrize(("missing", "size"), [("impute", 2), ("mask", 4)])
def test_missing_values_are_counted_and_their_treatment_is_said(
    tmp_path: Path, missing: str, size: int
) -> None:
    items = draw()
    items[0].values[1, 0] = items[3].values[0, 1] = np.nan
    task = load(write_ts(tmp_path / "data.ts", items), missing=missing)
    total = sum(item.values.size for item in items)
    assert f"missing values: 2 ({2 / total:.2%} of all), in 2 of 40 series" in said(task)
    assert f"task.missing={'mask' if missing == 'mask' else 'mask adds masks'}" in said(task)
    assert task.input_size == size
    assert all(batch.inputs.isfinite().all() for batch in task.batches("train", 8))


def test_a_channel_without_values_in_training_is_refused(tmp_path: Path) -> None:
    items = draw()
    for item in items:
        item.values[:, 1] = np.nan
    path = write_ts(tmp_path / "data.ts", items)
    assert "channel 2 has no value in the training split" in refusal(path)


def test_a_column_without_values_in_training_can_be_left_out(tmp_path: Path) -> None:
    items = draw()
    for item in items:
        item.values[:, 1] = np.nan
    path = write_long(tmp_path / "data.csv", items)
    expected = "x1 has no value in the training split; leave it out, as in task.features=[x0]"
    assert expected in refusal(path)
    assert load(path, features=["x0"]).channels == ["x0"]


def test_values_too_large_for_their_variance_are_refused(tmp_path: Path) -> None:
    items = draw()
    for number, item in enumerate(items):
        item.values[:, 0] = 1e300 * (number % 3 - 1)
    path = write_ts(tmp_path / "data.ts", items)
    assert "the values of channel 1 are too large to be scaled" in refusal(path)


def test_one_class_is_refused(tmp_path: Path) -> None:
    path = write_ts(tmp_path / "data.ts", draw(classes=("a",)))
    assert "all series have the label a; two are needed" in refusal(path)


def test_a_class_with_too_few_series_is_named(tmp_path: Path) -> None:
    items = draw()
    items[0].label = items[1].label = "rare"
    path = write_ts(tmp_path / "data.ts", items)
    message = refusal(path)
    assert "class rare has 2 of 40 series (3 classes); every class needs 3" in message
    test = write_ts(tmp_path / "test.ts", draw(10, seed=1))
    assert load(path, test=str(test)).classes == ("no", "rare", "yes")


def test_a_class_of_the_test_split_must_be_in_training(tmp_path: Path) -> None:
    path = write_ts(tmp_path / "data.ts", draw())
    test = write_ts(tmp_path / "test.ts", draw(10, classes=("no", "other"), seed=1))
    assert "has the class other, which training does not have" in refusal(path, test=str(test))

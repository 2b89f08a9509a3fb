"""NumPy archives: names of arrays, shapes, padding, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.labelled_series import draw, load, padded, refusal, said, write_npz

ITEMS = draw()
LABELS = [item.label for item in ITEMS]


def save(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def test_padding_with_nan_is_no_step(tmp_path: Path) -> None:
    task = load(write_npz(tmp_path / "data.npz", ITEMS))
    series = task.items_read.series
    assert [len(values) for values in series.values] == [len(item.values) for item in ITEMS]
    assert "X is read as 40 items, 8 steps, 2 channels" in said(task)
    assert "trailing NaN is padding" in said(task)


def test_lengths_keep_missing_values_at_the_end(tmp_path: Path) -> None:
    lengths = np.array([len(item.values) for item in ITEMS])
    lengths[0] += 1 if lengths[0] < 8 else 0
    task = load(write_npz(tmp_path / "data.npz", ITEMS, lengths=lengths))
    assert [len(values) for values in task.items_read.series.values] == lengths.tolist()


def test_one_channel_without_an_axis(tmp_path: Path) -> None:
    task = load(save(tmp_path, x=np.random.default_rng(0).normal(size=(40, 6)), Y=LABELS))
    assert task.input_size == 1
    assert {len(values) for values in task.items_read.series.values} == {6}


def test_train_and_test_arrays(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        X_train=padded(ITEMS),
        y_train=np.array(LABELS)[:, None],
        X_test=padded(draw(10, seed=1)),
        y_test=[item.label for item in draw(10)],
    )
    task = load(path)
    assert task.data.test_size == 10
    assert "the test split is X_test of data.npz" in said(task)


def test_axes_in_the_order_of_aeon_are_pointed_out(tmp_path: Path) -> None:
    task = load(save(tmp_path, X=np.random.default_rng(0).normal(size=(40, 2, 6)), y=LABELS))
    assert "save X.transpose(0, 2, 1)" in said(task)


def test_numeric_labels_are_ordered_by_value(tmp_path: Path) -> None:
    path = save(tmp_path, X=padded(ITEMS), y=np.array([10.0, 9.0] * 20))
    assert load(path).classes == ("9", "10")


def test_groups(tmp_path: Path) -> None:
    task = load(write_npz(tmp_path / "data.npz", ITEMS, person=np.arange(40) // 2), group="person")
    assert task.items_read.series.groups == [str(i // 2) for i in range(40)]


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"y": LABELS}, "there is no array X or X_train (the arrays are: y)"),
        ({"X": padded(ITEMS)}, "there is no array y or y_train (the arrays are: X)"),
        ({"X": padded(ITEMS), "y": LABELS[1:]}, "y has the shape (39,); X requires (40,)"),
        ({"X": padded(ITEMS), "y": np.eye(40)}, "y has the shape (40, 40)"),
        ({"X": np.zeros(40), "y": LABELS}, "of shape (40,); it must contain numbers of shape"),
        ({"X": np.full((40, 3), "a"), "y": LABELS}, "it must contain numbers"),
        ({"X": np.zeros((40, 0)), "y": LABELS}, "of shape (40, 0)"),
        (
            {"X": padded(ITEMS), "y": [np.nan, *[1.0] * 39]},
            "y is missing for item 1",
        ),
        (
            {"X": padded(ITEMS), "y": LABELS, "lengths": [9] * 40},
            "lengths must be 40 whole numbers from 1 to 8",
        ),
        (
            {"X": np.where(np.arange(80).reshape(40, 2) == 5, np.inf, 1.0), "y": LABELS},
            "X is infinite in item 3, step 2, channel 1",
        ),
        (
            {"X": np.array([np.zeros(3), np.zeros(4)], dtype=object), "y": ["a", "b"]},
            "save series of unequal length as one array that is padded with NaN",
        ),
        (
            {"X": np.full((40, 3), np.nan), "y": LABELS},
            "series 1 has no values",
        ),
    ],
)
def test_errors(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    assert expected in refusal(save(tmp_path, **arrays))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"no archive", b"PK\x03\x04 cut"):
        path = tmp_path / "data.npz"
        path.write_bytes(content)
        assert "data.npz: not a NumPy archive" in refusal(path) or "cannot be read" in refusal(path)

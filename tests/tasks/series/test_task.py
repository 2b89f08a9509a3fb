"""The task of labelled series: settings, recognition, batches, new data, description."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.base import DataError
from tasks.series.task import SeriesSettings
from tests.helpers.definitions import EXAMPLES
from tests.helpers.labelled_series import (
    draw,
    load,
    refusal,
    write_long,
    write_npz,
    write_rows,
    write_ts,
    write_wide,
)


def test_data_is_required_and_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"task\.data: is required"):
        SeriesSettings().check()
    assert "missing.ts: no such file" in refusal(tmp_path / "missing.ts")
    assert "is a folder" in refusal(tmp_path)
    path = write_ts(tmp_path / "data.ts", draw())
    assert "task.test=nowhere.ts: no such file" in refusal(path, test="nowhere.ts")
    (tmp_path / "data.arff").touch()
    assert "its name ends in '.arff' (allowed: .ts, .npz, .csv" in refusal(tmp_path / "data.arff")


def test_auroc_requires_two_classes(tmp_path: Path) -> None:
    path = write_ts(tmp_path / "data.ts", draw(classes=("a", "b", "c")))
    assert "task.metric=auroc: requires two classes; the data has 3" in refusal(
        path, metric="auroc"
    )
    two = load(write_ts(tmp_path / "two.ts", draw()), metric="auroc")
    batch = next(two.batches("test", 100))
    sums = two.sums(batch.targets.float() - 0.5, batch)
    totals = {name: float(value) if not value.dim() else value for name, value in sums.items()}
    assert two.metrics(totals)[two.settings.primary_metric.name] == 1.0


def test_batches_pad_with_zeros_and_keep_the_label(tmp_path: Path) -> None:
    items = draw()
    task = load(write_ts(tmp_path / "data.ts", items))
    names = task.items("train")["series"]
    for batch in task.batches("train", 7, np.random.default_rng(0)):
        assert batch.lengths is not None
        for row, target, length, item in zip(
            batch.inputs, batch.targets, batch.lengths.tolist(), batch.items.tolist(), strict=True
        ):
            original = items[int(names[item]) - 1]
            scaled = (original.values - task.scaling.mean) / task.scaling.deviation
            np.testing.assert_allclose(row[:length].numpy(), scaled)
            assert not row[length:].any()
            assert task.classes[target] == original.label


def test_recognised_files(tmp_path: Path) -> None:
    items = draw(channels=1)
    recognises = SeriesSettings.recognises
    long = write_long(tmp_path / "long.csv", items)
    parquet = tmp_path / "long.parquet"
    pd.read_csv(long).to_parquet(parquet)
    for path in (
        *(EXAMPLES["series"], write_ts(tmp_path / "a.ts", items), long, parquet),
        *(write_npz(tmp_path / "a.npz", items), write_wide(tmp_path / "wide.csv", items)),
    ):
        assert recognises(path), path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("app.ts", "export const data = [1, 2];\n"),
        ("closes.csv", "date,close\n2020-01-01,1\n"),
        ("panel.csv", "unique_id,ds,y\na,2020-01-01,1\n"),
        ("reviews.csv", "text,label\ngood,1\n"),
        ("reviews_with_ids.csv", "id,text,label\n1,good,1\n"),
        ("empty.csv", ""),
        ("cut.npz", "PK"),
        ("cut.parquet", "PAR1"),
        ("book.txt", "id,time,label\n"),
    ],
)
def test_other_files_are_not_recognised(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert not SeriesSettings.recognises(path)
    assert not SeriesSettings.recognises(tmp_path / f"missing-{name}")
    assert not SeriesSettings.recognises(tmp_path)


def test_summary_describes_the_data(tmp_path: Path) -> None:
    items = draw(41, classes=("a", "b", "c"))
    items[0].values[1, 0] = np.nan
    summary = load(write_long(tmp_path / "data.csv", items)).summary()
    lengths = sorted(len(item.values) for item in items)
    assert summary["series"] == "41"
    assert summary["channels"] == "2: x0, x1"
    assert summary["steps"] == f"{lengths[0]} to {lengths[-1]}, median {lengths[20]}"
    assert summary["missing values"].startswith("1 (")
    assert summary["classes"] == "3: a (14), b (14), c (13)"


@pytest.mark.parametrize("suffix", [".csv", ".ts", ".npz"])
def test_new_series_have_the_inputs_of_the_same_series_in_training(
    tmp_path: Path, suffix: str
) -> None:
    write = {".csv": write_long, ".ts": write_ts, ".npz": write_npz}[suffix]
    items = draw()
    task = load(write(tmp_path / f"data{suffix}", items), missing="mask")
    new = items[5:16]
    batches = [*task.new_batches(str(write(tmp_path / f"new{suffix}", new)), 4)]
    assert [len(batch.items) for batch in batches] == [4, 4, 3]
    position = 0
    for batch in batches:
        assert batch.lengths is not None
        for row, length in zip(batch.inputs, batch.lengths.tolist(), strict=True):
            expected = task.scaling.apply(new[position].values, has_mask=True)
            np.testing.assert_allclose(row[:length].numpy(), expected)
            position += 1
    outputs = torch.tensor([2.0, -1.0, 0.5, -0.5])
    answers = task.answers(outputs, batches[1])
    expected_names = [item.name for item in new[4:8]] if suffix == ".csv" else ["5", "6", "7", "8"]
    assert answers["series"] == expected_names
    assert answers["label"] == ["yes", "no", "yes", "no"]
    np.testing.assert_allclose(answers["probability of yes"], torch.sigmoid(outputs.double()))


def test_new_tables_need_no_labels_and_may_have_more_columns(tmp_path: Path) -> None:
    task = load(write_long(tmp_path / "data.csv", draw()))
    rows = [["n", "0", "extra", "1.5", "2.5"], ["n", "1", "extra", "3.5", "4.5"]]
    path = write_rows(tmp_path / "new.csv", ["id", "time", "note", "x1", "x0"], rows)
    batch = next(task.new_batches(str(path), 8))
    expected = task.scaling.apply(np.array([[2.5, 1.5], [4.5, 3.5]]), has_mask=False)
    np.testing.assert_allclose(batch.inputs[0].numpy(), expected)


def test_a_channel_with_the_usual_name_of_a_label_is_a_channel_of_new_tables(
    tmp_path: Path,
) -> None:
    items = draw()
    table = write_long(tmp_path / "data.csv", items).read_text(encoding="utf-8")
    (tmp_path / "data.csv").write_text(table.replace("x1", "y", 1), encoding="utf-8")
    task = load(tmp_path / "data.csv")
    assert task.channels == ["x0", "y"]
    rows = [["n", "0", "1.5", "2.5"], ["n", "1", "3.5", "4.5"]]
    path = write_rows(tmp_path / "new.csv", ["id", "time", "x0", "y"], rows)
    expected = task.scaling.apply(np.array([[1.5, 2.5], [3.5, 4.5]]), has_mask=False)
    np.testing.assert_allclose(next(task.new_batches(str(path), 8)).inputs[0].numpy(), expected)


def test_new_wide_tables_without_labels(tmp_path: Path) -> None:
    task = load(write_wide(tmp_path / "data.csv", draw(channels=1)))
    path = write_rows(tmp_path / "new.csv", ["t0", "t1", "t2"], [["1.0", "2.0", "3.0"]])
    batch = next(task.new_batches(str(path), 8))
    assert batch.inputs.shape == (1, 3, 1)


def test_new_series_with_other_channels_are_refused(tmp_path: Path) -> None:
    task = load(write_ts(tmp_path / "data.ts", draw()))
    new = write_ts(tmp_path / "new.ts", draw(channels=3))
    with pytest.raises(
        DataError, match=r"3 channels; the network reads 2 \(channel 1, channel 2\)"
    ):
        next(task.new_batches(str(new), 8))
    table = load(write_long(tmp_path / "data.csv", draw()))
    other = write_rows(tmp_path / "new.csv", ["id", "time", "x0"], [["a", "0", "1"]] * 1)
    with pytest.raises(DataError, match="x1"):
        next(table.new_batches(str(other), 8))


def test_preprocessing_reproduces_the_inputs(tmp_path: Path) -> None:
    items = draw()
    task = load(write_ts(tmp_path / "data.ts", items))
    record, files = task.preprocessing()
    assert not files
    assert record["classes"] == ["no", "yes"]
    batch = next(task.batches("test", 1))
    original = items[int(task.items("test")["series"][int(batch.items[0])]) - 1].values
    scaled = (original - np.array(record["mean"])) / np.array(record["deviation"])
    np.testing.assert_allclose(batch.inputs[0].numpy(), scaled)

"""Files of the UCR and UEA archives: forms of the format, and errors with their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.base import DataError
from tasks.series.ts_file import read_ts
from tests.helpers.labelled_series import draw, load, refusal, write_ts

HEADER = "@problemName P\n@timeStamps false\n@classLabel true a b\n@data\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "data.ts"
    path.write_text(text)
    return path


def problem(folder: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read_ts(write(folder, text), "task.data=data.ts")
    message = str(caught.value)
    assert message.startswith("task.data=data.ts: ")
    assert len(message.splitlines()) == 1
    return message


def test_channels_steps_and_labels(tmp_path: Path) -> None:
    found = read_ts(write(tmp_path, HEADER + "1,2.5,-3e2:4,5,6:a\n\n7:8:b\n"), "x")
    np.testing.assert_array_equal(found.values[0], [[1, 4], [2.5, 5], [-300, 6]])
    np.testing.assert_array_equal(found.values[1], [[7, 8]])
    assert found.labels == ["a", "b"]
    assert found.names == ["1", "2"]


def test_missing_values_comments_case_and_windows_lines(tmp_path: Path) -> None:
    text = "%# from somewhere\n@PROBLEMNAME p\n@classlabel TRUE\n@DATA\n# two\n1,?,NaN:x y\n2:z\n"
    path = tmp_path / "data.ts"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    found = read_ts(path, "x")
    np.testing.assert_array_equal(found.values[0][:, 0], [1, np.nan, np.nan])
    assert found.labels == ["x y", "z"]


def test_labels_are_optional_in_new_data(tmp_path: Path) -> None:
    path = write(tmp_path, "@problemName p\n@classLabel false\n@data\n1,2:3,4\n")
    found = read_ts(path, "x", is_labelled=False)
    assert found.labels is None
    np.testing.assert_array_equal(found.values[0], [[1, 3], [2, 4]])
    with pytest.raises(DataError, match="have no labels"):
        read_ts(path, "x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no @data line"),
        ("export const x = 1;\n", "line 1: 'export const x = 1;' stands before @data"),
        ("@timeStamps true\n@classLabel true\n@data\n", "time stamps"),
        ("@classLabel true\n@data\n(0,1.0),(1,2.0):a\n", "line 3: the values have time stamps"),
        ("@targetLabel true\n@data\n1,2:0.5\n", "task=series predicts classes"),
        ("@classLabel maybe\n@data\n", "@classLabel 'maybe': must be true or false"),
        (HEADER + "1,2:a\n1,2:c\n", "line 6: label 'c' is not in @classLabel (a, b)"),
        (HEADER + "1,2\n", "line 5: there is no label"),
        (HEADER + "1,2:\n", "line 5: there is no label"),
        (HEADER + "1,2:a\n1,x:a\n", "line 6: channel 1, step 2: 'x' is not a finite number"),
        (HEADER + "1,inf:a\n", "'inf' is not a finite number"),
        (HEADER + "1,2:3:a\n", "line 5: channel 2 has 1 steps, channel 1 has 2"),
        (HEADER + "1:2:a\n1:a\n", "line 6: 1 channels, the series before have 2"),
        ("@univariate true\n@classLabel true\n@data\n1:2:a\n", "have 2 channels, the header"),
        ("@dimensions 3\n@classLabel true\n@data\n1:2:a\n", "have 2 channels, the header states 3"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problem(tmp_path, text)


def test_a_file_without_series_is_refused(tmp_path: Path) -> None:
    assert "there are no series" in refusal(write(tmp_path, HEADER))


def test_a_series_without_a_value_is_refused(tmp_path: Path) -> None:
    assert "series 2 has no values" in refusal(write(tmp_path, HEADER + "1,2:a\n?,?:b\n"))


def test_groups_are_refused(tmp_path: Path) -> None:
    path = write_ts(tmp_path / "data.ts", draw())
    assert "task.group=person: a .ts file has no groups" in refusal(path, group="person")


def test_the_test_file_beside_is_used_and_said(tmp_path: Path) -> None:
    path = write_ts(tmp_path / "P_TRAIN.ts", draw())
    write_ts(tmp_path / "P_TEST.ts", draw(10, seed=1))
    task = load(path)
    assert task.data.test_size == 10
    assert "P_TEST.ts, in the folder of" in task.data.notices[-1]
    other = write_ts(tmp_path / "other.ts", draw(6, seed=2))
    assert load(path, test=str(other)).data.test_size == 6


def test_another_number_of_channels_in_the_test_file_is_refused(tmp_path: Path) -> None:
    path = write_ts(tmp_path / "a.ts", draw())
    other = write_ts(tmp_path / "b.ts", draw(channels=3))
    assert f"task.test={other}: 3 channels, but 2 in task.data" in refusal(path, test=str(other))


def test_against_the_reader_of_aeon(tmp_path: Path) -> None:
    datasets = pytest.importorskip("aeon.datasets", reason="requires aeon: the extra series")
    items = draw(12, channels=3)
    items[4].values[1, 2] = np.nan
    path = write_ts(tmp_path / "data.ts", items)
    expected, labels = datasets.load_from_ts_file(str(path))
    found = read_ts(path, "x")
    assert found.labels == labels.tolist()
    for ours, theirs in zip(found.values, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs.T)

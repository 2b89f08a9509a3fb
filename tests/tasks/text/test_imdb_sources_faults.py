"""Invalid folders of reviews are refused with an error of one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tasks.base import DataError
from tasks.imdb import ImdbSettings
from tests.helpers.paths import ROOT
from tests.helpers.review_folders import refusal, reviews, write_parquet, write_tree

TRAIN, TEST, MOVIES = "train.parquet", "test.parquet", "movies.parquet"
BreakFolder = Callable[[Path], None]
Fault = tuple[BreakFolder, str, list[str]]
"""A change that makes a folder invalid, the file in the error, and the text of the error."""


def rewrite(change: Callable[[pd.DataFrame], pd.DataFrame], name: str = TRAIN) -> BreakFolder:
    def break_folder(folder: Path) -> None:
        change(pd.read_parquet(folder / name)).to_parquet(folder / name)

    return break_folder


def set_value(column: str, value: object) -> BreakFolder:
    """Set row 5 of a column of train.parquet."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        values = frame[column].tolist()
        values[5] = value
        return frame.assign(**{column: values})

    return rewrite(change)


def truncate(name: str, keep: float) -> BreakFolder:
    def break_folder(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(keep * len(content))])

    return break_folder


PARQUET_FAULTS: dict[str, Fault] = {
    "no text": (rewrite(lambda f: f.drop(columns="text")), TRAIN, ["no column 'text'"]),
    "no label": (rewrite(lambda f: f.drop(columns="label")), TRAIN, ["no column 'label'"]),
    "label 2": (set_value("label", 2), TRAIN, ["row 5", "not 2"]),
    "label -1": (set_value("label", -1), TRAIN, ["row 5", "not -1"]),
    "label missing": (set_value("label", None), TRAIN, ["row 5", "label"]),
    "label a word": (rewrite(lambda f: f.assign(label="good")), TRAIN, ["row 0", "not good"]),
    "text empty": (set_value("text", ""), TRAIN, ["row 5", "text is empty"]),
    "text blank": (set_value("text", " \n"), TRAIN, ["row 5", "text is empty"]),
    "text missing": (set_value("text", None), TRAIN, ["row 5", "text"]),
    "one label": (rewrite(lambda f: f.assign(label=1)), TRAIN, ["both labels"]),
    "one label in test": (rewrite(lambda f: f.assign(label=0), TEST), TEST, ["both labels"]),
    "no rows": (rewrite(lambda f: f.head(0)), TRAIN, ["both labels"]),
    "train cut short": (truncate(TRAIN, 0.5), TRAIN, ["cannot be read as parquet"]),
    "test cut short": (truncate(TEST, 0.9), TEST, ["cannot be read as parquet"]),
    "no bytes": (truncate(TRAIN, 0), TRAIN, ["cannot be read as parquet"]),
    "films cut short": (truncate(MOVIES, 0.5), MOVIES, ["cannot be read as parquet"]),
    "films without id": (rewrite(lambda f: f.drop(columns="id"), MOVIES), MOVIES, ["id"]),
    "an id of two films": (
        rewrite(lambda f: pd.concat([f, f.head(1).assign(movie="other")]), MOVIES),
        MOVIES,
        ["train/neg/0_1"],
    ),
}


@pytest.mark.parametrize("fault", PARQUET_FAULTS)
def test_faults_in_parquet_are_named_in_one_line(tmp_path: Path, fault: str) -> None:
    break_folder, file, expected = PARQUET_FAULTS[fault]
    folder = write_parquet(tmp_path / "data", movie="table")
    break_folder(folder)
    text = refusal(folder)
    for part in (str(folder / file), *expected):
        assert part in text


def replace(name: str, content: bytes) -> BreakFolder:
    def break_folder(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return break_folder


def empty(*parts: str) -> BreakFolder:
    def break_folder(folder: Path) -> None:
        for part in parts:
            for file in (folder / part).glob("*.txt"):
                file.unlink()

    return break_folder


TREE_FAULTS: dict[str, Fault] = {
    "review not UTF-8": (replace("train/pos/7_9.txt", b"\xe9"), "train/pos/7_9.txt", ["UTF-8"]),
    "films not UTF-8": (replace("train/urls_pos.txt", b"\xe9"), "train/urls_pos.txt", ["UTF-8"]),
    "review empty": (replace("test/neg/3_1.txt", b""), "test/neg/3_1.txt", ["empty"]),
    "no reviews": (empty("test/neg", "test/pos"), "test", ["no .txt files"]),
    "one label": (empty("train/neg"), "train", ["both labels"]),
}


@pytest.mark.parametrize("fault", TREE_FAULTS)
def test_faults_in_the_tree_are_named_in_one_line(tmp_path: Path, fault: str) -> None:
    break_folder, file, expected = TREE_FAULTS[fault]
    folder = write_tree(tmp_path / "data")
    break_folder(folder)
    text = refusal(folder)
    for part in (str(folder / file), *expected):
        assert part in text


def test_a_missing_folder_is_refused_before_data_is_read(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(DataError) as caught:
        ImdbSettings(source=str(missing)).check()
    for text in (str(caught.value), refusal(missing)):
        assert f"task.source={missing}: no such folder" in text
        assert "allowed: auto, hub, bundled or a folder" in text


@pytest.mark.parametrize("source", ["auto", "hub", "bundled", str(ROOT)])
def test_names_and_folders_pass_the_check(source: str) -> None:
    ImdbSettings(source=source).check()


@pytest.mark.parametrize("files", [[], ["train.parquet"], ["train/pos", "train/neg", "test/pos"]])
def test_the_error_of_an_incomplete_folder_lists_its_parts(
    tmp_path: Path, files: list[str]
) -> None:
    for name in files:
        if name.endswith(".parquet"):
            reviews("train").to_parquet(tmp_path / name)
        else:
            (tmp_path / name).mkdir(parents=True)
    text = refusal(tmp_path)
    assert f"task.source={tmp_path}" in text
    assert "train.parquet and test.parquet" in text
    assert "test/pos and test/neg" in text

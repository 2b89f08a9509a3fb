"""Labelled texts that cannot be used are refused with one line that says what to do."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tasks.text.reading import is_pointer
from tests.helpers.labelled_texts import EXAMPLE, load, refusal, write, write_folders


def changed(**columns: list[object] | object) -> pd.DataFrame:
    return EXAMPLE.assign(**columns)


def with_cells(column: str, cells: dict[int, object]) -> pd.DataFrame:
    values = EXAMPLE[column].astype(object).tolist()
    for row, cell in cells.items():
        values[row] = cell
    return EXAMPLE.assign(**{column: values})


FAULTS: dict[str, tuple[pd.DataFrame, list[str]]] = {
    "no text column": (
        EXAMPLE.rename(columns={"text": "body"}),
        ["no column is named text, review", "task.text=NAME", "body, label"],
    ),
    "no label column": (
        EXAMPLE.rename(columns={"label": "package"}),
        ["no column is named label", "task.label=NAME", "text, package"],
    ),
    "one class": (changed(label="only"), ["only one class, only", "two"]),
    "a class per row": (changed(label=list(range(120))), ["120 different labels", "task.label="]),
    "all texts empty": (changed(text=" "), ["every row has an empty text"]),
    "texts of a class empty": (
        EXAMPLE.assign(text=EXAMPLE["text"].where(EXAMPLE["label"] != "pandas", None)),
        ["every row of class pandas has an empty text", "fill or remove these rows"],
    ),
    "a rare class": (with_cells("label", {0: "rare"}), ["class rare", "only 1 different text"]),
    "two of a class": (
        with_cells("label", {0: "rare", 1: "rare"}),
        ["class rare", "only 2 different texts", "3 splits"],
    ),
    "one text": (changed(text="the same"), ["only 1 different text"]),
    "few": (EXAMPLE[:4], ["splits need one each"]),
    "no rows": (EXAMPLE[:0], ["docs.csv", "no rows"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_tables_are_refused(fault: str, tmp_path: Path) -> None:
    frame, expected = FAULTS[fault]
    text = refusal(write(tmp_path / "docs.csv", frame))
    for part in expected:
        assert part in text


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_rows_without_text_or_label_are_left_out_and_counted(ending: str, tmp_path: Path) -> None:
    frame = with_cells("text", {5: "", 8: " ", 20: None})
    frame["label"] = frame["label"].where(frame.index != 9, None)
    task = load(write(tmp_path / f"docs.{ending}", frame))
    whole = EXAMPLE.drop(index=[5, 8, 9, 20])
    assert task.data.sha256 == load(write(tmp_path / "whole.csv", whole)).data.sha256
    first = {"csv": "line 7", "jsonl": "line 6", "parquet": "row 6"}[ending]
    second = {"csv": "line 11", "jsonl": "line 10", "parquet": "row 10"}[ending]
    name = f"docs.{ending}"
    assert f"{name}: 3 rows with an empty text left out (the first: {first})" in task.data.notices
    assert f"{name}: 1 row with an empty label left out (the first: {second})" in task.data.notices


def test_words_that_never_repeat_are_refused_before_training(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": [f"w{n}q" for n in range(60)], "label": ["a", "b"] * 30})
    text = refusal(write(tmp_path / "docs.csv", frame), tokenizer="word")
    assert "no word occurs 2 times in the 44 training documents" in text
    assert "task.minimum_count=1" in text


def test_labels_that_training_does_not_have_are_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", EXAMPLE[EXAMPLE["label"] != "pandas"])
    text = refusal(train, test=write(tmp_path / "b.csv", EXAMPLE))
    for part in ("test split", "training does not have: pandas", "task.label"):
        assert part in text


def test_a_group_that_holds_a_class_is_named(tmp_path: Path) -> None:
    frame = changed(author=EXAMPLE["label"])
    text = refusal(write(tmp_path / "docs.csv", frame), group="author")
    assert "only 1 different value of author" in text


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"text": "txet"}, "task.text=txet: no such column"),
        ({"label": "lable"}, "did you mean label?"),
        ({"group": "x"}, "task.group=x: no such column"),
        ({"label": "text"}, "column text cannot be text and label at once"),
        ({"group": "label"}, "column label cannot be label and group at once"),
    ],
)
def test_given_columns_that_are_missing_are_named(
    tmp_path: Path, setting: dict[str, str], expected: str
) -> None:
    assert expected in refusal(write(tmp_path / "docs.csv", EXAMPLE), **setting)


# --- paths


def test_data_is_required() -> None:
    from tasks.text.task import TextSettings

    with pytest.raises(ValueError, match=r"^task.data: is required; give .*reviews.csv$"):
        TextSettings().check()


@pytest.mark.parametrize("setting", ["data", "test"])
def test_a_path_that_is_missing_is_named_with_the_nearest(tmp_path: Path, setting: str) -> None:
    file = write(tmp_path / "reviews.csv", EXAMPLE)
    wrong = tmp_path / "reviws.csv"
    text = refusal(wrong) if setting == "data" else refusal(file, test=wrong)
    assert f"task.{setting}={wrong}: no such file or folder" in text
    assert f"did you mean {file}?" in text


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "docs.xlsx").write_bytes(b"PK")
    text = refusal(tmp_path / "docs.xlsx")
    assert "its name ends in '.xlsx' (allowed: .csv, " in text


def test_a_folder_with_nothing_to_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "docs" / "a").mkdir(parents=True)
    text = refusal(tmp_path / "docs")
    assert "nothing to read" in text
    assert "folder of .txt files per class" in text


def test_several_tables_of_a_folder_are_asked_about(tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        write(tmp_path / name, EXAMPLE)
    text = refusal(tmp_path)
    assert "one.csv, two.csv" in text
    assert "task.data=FILE" in text


def test_several_configurations_of_a_repository_are_asked_about(tmp_path: Path) -> None:
    for name in ("de", "en"):
        write(tmp_path / name / "train.parquet", EXAMPLE)
    text = refusal(tmp_path)
    assert "several data sets" in text
    assert str(tmp_path / "de") in text


def test_a_split_in_two_formats_is_asked_about(tmp_path: Path) -> None:
    for name in ("train.csv", "train.jsonl"):
        write(tmp_path / name, EXAMPLE)
    assert "several tables are the train split (train.csv, train.jsonl)" in refusal(tmp_path)


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(pointer)
    assert "git lfs pull" in refusal(tmp_path)
    assert not is_pointer(tmp_path)  # what cannot be read has another reason


def test_a_damaged_folder_of_datasets_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    assert "cannot be read by datasets" in refusal(tmp_path)


def test_a_test_with_splits_of_its_own_is_refused(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        write(tmp_path / "pair" / name, EXAMPLE)
    file = write(tmp_path / "docs.csv", EXAMPLE)
    assert "has splits of its own (test, train)" in refusal(file, test=tmp_path / "pair")


def test_columns_of_folders_are_refused(tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "docs", EXAMPLE)
    assert "task.group" in refusal(folder, group="author")


def test_empty_files_of_a_folder_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "docs", EXAMPLE)
    before = load(folder).data.sha256
    (folder / "numpy" / "zz.txt").write_text(" \n")
    task = load(folder)
    assert task.data.sha256 == before
    expected = f"1 empty file left out (the first: {folder / 'numpy' / 'zz.txt'})"
    assert expected in task.data.notices
    (folder / "other").mkdir()
    (folder / "other" / "a.txt").write_text("")
    assert "every text of class other is empty; remove the folder" in refusal(folder)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "docs", EXAMPLE)
    (folder / "numpy" / "zz.txt").write_bytes(b"caf\xe9")
    assert "not UTF-8" in refusal(folder)

"""Labelled texts in every format give the same documents, classes and splits."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path

import datasets
import pandas as pd
import pytest

from tasks.base import SPLITS
from tasks.text import hub
from tasks.text.task import TextSettings
from tests.helpers.labelled_texts import (
    EXAMPLE,
    documents,
    load,
    refusal,
    write,
    write_folders,
)

TRAIN, TEST = EXAMPLE[:90], EXAMPLE[90:]
CLASSES = ("numpy", "pandas", "sklearn")
TABLES = [".csv", ".tsv", ".jsonl", ".parquet"]


def dataset(frame: pd.DataFrame) -> datasets.Dataset:
    """Return a dataset whose labels are numbers with names."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(CLASSES))}
    )
    numbers = [CLASSES.index(name) for name in frame["label"]]
    return datasets.Dataset.from_dict(
        {"text": frame["text"].tolist(), "label": numbers}, features=features
    )


def pairs(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return sorted(zip(frame["text"], frame["label"], strict=True))


def saved_alone(folder: Path) -> Path:
    dataset(EXAMPLE).save_to_disk(str(folder / "saved"))
    return folder / "saved"


WHOLE: dict[str, Callable[[Path], Path]] = {
    **{
        ending: lambda folder, ending=ending: write(folder / f"docs{ending}", EXAMPLE)  # type: ignore[misc]
        for ending in TABLES
    },
    "folders": lambda folder: write_folders(folder / "docs", EXAMPLE),
    "saved": saved_alone,
    "only table of a folder": lambda folder: write(folder / "a/docs.csv", EXAMPLE).parent,
    "pandas index": lambda folder: write(
        folder / "index.csv", EXAMPLE.reset_index(names="Unnamed: 0")
    ),
}


@pytest.mark.parametrize("form", WHOLE)
def test_data_without_splits_is_the_same_in_every_format(form: str, tmp_path: Path) -> None:
    task = load(WHOLE[form](tmp_path))
    assert task.classes == CLASSES
    found = [each for split in SPLITS for each in documents(task, split)]
    assert sorted(found) == pairs(EXAMPLE)
    reference = load(write(tmp_path / "other.csv", EXAMPLE.sample(frac=1, random_state=1)))
    assert (task.data.sha256, task.data.split) == (reference.data.sha256, reference.data.split)
    assert [documents(task, s) for s in SPLITS] == [documents(reference, s) for s in SPLITS]


def two_tables(ending: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write(folder / f"docs_TRAIN{ending}", TRAIN)
        write(folder / f"docs_TEST{ending}", TEST)
        return folder

    return make


def split_folders(folder: Path) -> Path:
    write_folders(folder / "train", TRAIN)
    write_folders(folder / "test", TEST)
    return folder


def saved_pair(folder: Path) -> Path:
    both = datasets.DatasetDict(train=dataset(TRAIN), test=dataset(TEST))
    both.save_to_disk(str(folder / "saved"))
    return folder / "saved"


def clone(inner: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / inner).mkdir(parents=True)
        (folder / ".git").mkdir()
        (folder / "README.md").write_text("---\nlicense: mit\n---\n")
        for name, frame in (
            ("train-00000-of-00002", TRAIN[:40]),
            ("train-00001-of-00002", TRAIN[40:]),
            ("test-00000-of-00001", TEST),
        ):
            dataset(frame).to_parquet(str(folder / inner / f"{name}.parquet"))
        return folder

    return make


def tables_in_folders(folder: Path) -> Path:
    write(folder / "train/0000.parquet", TRAIN)
    write(folder / "test/0000.parquet", TEST)
    return folder


def split_column(folder: Path) -> Path:
    both = pd.concat([TRAIN.assign(split="Train"), TEST.assign(split="test")])
    return write(folder / "docs.csv", both.sample(frac=1, random_state=0))


PAIRS: dict[str, Callable[[Path], Path]] = {
    "split column": split_column,
    **{ending: two_tables(ending) for ending in TABLES},
    "split folders": split_folders,
    "saved": saved_pair,
    "clone, plain_text": clone("plain_text"),
    "clone, data": clone("data"),
    "clone, root": clone("."),
    "tables in folders": tables_in_folders,
}


@pytest.mark.parametrize("form", PAIRS)
def test_given_splits_are_kept_in_every_format(form: str, tmp_path: Path) -> None:
    task = load(PAIRS[form](tmp_path / "docs"))
    assert task.classes == CLASSES
    assert sorted(documents(task, "test")) == pairs(TEST)
    assert sorted(documents(task, "train") + documents(task, "validation")) == pairs(TRAIN)
    assert task.data.split.startswith("test as given, validation 15% of train by content")
    files = write(tmp_path / "a.csv", TRAIN), write(tmp_path / "b.parquet", TEST)
    separate = load(files[0], test=files[1])
    assert (separate.data.sha256, separate.data.split) == (task.data.sha256, task.data.split)


@pytest.mark.parametrize(
    ("values", "notice"),
    [
        (["train", "3"], "the column split contains '3', and is not used as the split"),
        (["test", "dev"], "the column split has no train, and is not used as the split"),
        (["train", None], "the column split contains an empty cell, and is not used as the split"),
    ],
)
def test_other_columns_named_split_are_not_used(
    values: list[str | None], notice: str, tmp_path: Path
) -> None:
    halves = [values[n % 2] for n in range(len(EXAMPLE))]
    task = load(write(tmp_path / "docs.csv", EXAMPLE.assign(split=halves)))
    assert notice in task.data.notices
    assert task.data.split == load(write(tmp_path / "plain.csv", EXAMPLE)).data.split


def test_a_given_validation_split_is_kept(tmp_path: Path) -> None:
    for name, frame in (("train", TRAIN[:70]), ("dev", TRAIN[70:]), ("test", TEST)):
        write(tmp_path / f"{name}.csv", frame)
    task = load(tmp_path)
    assert sorted(documents(task, "validation")) == pairs(TRAIN[70:])
    assert task.data.split.startswith("test as given, validation as given")


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    two_tables(".csv")(tmp_path)
    write(tmp_path / "unsupervised.csv", TEST)
    assert "not read: unsupervised.csv" in load(tmp_path).data.notices


def test_a_test_split_without_labels_is_left_out(tmp_path: Path) -> None:
    """As the splits of competitions are: labels of -1 that have no name."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(CLASSES))}
    )
    unlabelled = datasets.Dataset.from_dict(
        {"text": ["a", "b"], "label": [-1, -1]}, features=features
    )
    datasets.DatasetDict(train=dataset(EXAMPLE), test=unlabelled).save_to_disk(str(tmp_path / "x"))
    task = load(tmp_path / "x")
    assert "the test split has no labels and is left out" in task.data.notices
    assert "test 15% by content" in task.data.split


# --- columns and labels


@pytest.mark.parametrize(
    ("text", "label"),
    [("review", "sentiment"), ("Content", "Stars"), ("sentence", "class"), ("document", "TARGET")],
)
def test_usual_columns_are_found(tmp_path: Path, text: str, label: str) -> None:
    frame = EXAMPLE.rename(columns={"text": text, "label": label}).assign(id=range(120))
    task = load(write(tmp_path / "docs.csv", frame))
    assert task.summary()["columns"] == f"text = {text}, label = {label}"
    assert task.classes == CLASSES


def test_other_columns_are_given(tmp_path: Path) -> None:
    frame = EXAMPLE.rename(columns={"text": "body", "label": "package"})
    file = write(tmp_path / "docs.csv", frame.assign(text="unused", label=1))
    assert load(file, text="body", label="package").classes == CLASSES


def test_a_choice_between_usual_columns_is_said(tmp_path: Path) -> None:
    frame = EXAMPLE.assign(category=["x", "y"] * 60)
    (notice,) = [n for n in load(write(tmp_path / "a.csv", frame)).data.notices if "column" in n]
    assert "column label is the label" in notice
    assert "task.label=NAME" in notice
    assert "category" in notice


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([1, 2, 10, 3], ("1", "2", "3", "10")),
        ([-1.0, 0.0, 1.0], ("-1", "0", "1")),
        ([4.5, 3.0, 10.0], ("3", "4.5", "10")),
        ([True, False], ("False", "True")),
        ([" b", "A ", "c"], ("A", "b", "c")),
        (["level 2", "level 10", "Level 1"], ("Level 1", "level 2", "level 10")),
        (["是", "否"], ("否", "是")),
    ],
)
@pytest.mark.parametrize("ending", TABLES)
def test_labels_of_any_type_are_sorted_naturally(
    tmp_path: Path, ending: str, labels: list[object], classes: tuple[str, ...]
) -> None:
    repeated = [labels[i % len(labels)] for i in range(120)]
    file = write(tmp_path / f"docs{ending}", EXAMPLE.assign(label=repeated))
    assert load(file).classes == classes


def test_half_a_character_of_json_is_replaced(tmp_path: Path) -> None:
    """Cut emojis have no encoding."""
    file = write(tmp_path / "docs.jsonl", EXAMPLE)
    lines = file.read_text(encoding="utf-8").splitlines()
    lines[0] = '{"text": "cut \\ud83d here", "label": "numpy"}'
    file.write_text("\n".join(lines), encoding="utf-8")
    task = load(file)
    texts = [text for split in SPLITS for text, _ in documents(task, split)]
    assert "cut \ufffd here" in texts


# --- the hub


def test_a_name_of_the_hub_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = types.ModuleType("datasets")
    asked = []
    splits = {"train": dataset(TRAIN), "test": dataset(TEST), "unsupervised": dataset(TEST)}

    def load_dataset(name: str) -> datasets.DatasetDict:
        asked.append(name)
        return datasets.DatasetDict(splits)

    stub.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setattr(hub, "is_cached", lambda name: False)
    monkeypatch.setattr(hub, "is_reachable", lambda name: True)
    monkeypatch.setitem(sys.modules, "datasets", stub)
    monkeypatch.chdir(tmp_path)
    task = load(Path("owner/name"))
    assert asked == ["owner/name"]
    assert task.data.name == "owner/name"
    assert sorted(documents(task, "test")) == pairs(TEST)
    assert "split unsupervised is left out" in task.data.notices


def test_a_name_of_the_hub_without_a_hub_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    text = refusal("owner/name")
    for part in ("task.data=owner/name", "no such file or folder", "hub", "reached"):
        assert part in text


def test_an_existing_folder_is_not_searched_on_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folders(tmp_path / "owner/name", EXAMPLE)
    assert load(Path("owner/name")).classes == CLASSES


# --- recognition


@pytest.mark.parametrize("form", [*WHOLE])
def test_labelled_texts_are_recognised(form: str, tmp_path: Path) -> None:
    assert TextSettings.recognises(WHOLE[form](tmp_path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("book.txt", b"It was the best of times, it was the worst of times.\n"),
        ("prices.csv", b"date,close\n2020-01-01,1.5\n"),
        ("long.csv", b"id,time,value,label\n1,0,2.5,a\n"),
        ("broken.parquet", b"nothing"),
        ("empty.csv", b""),
        ("bytes.jsonl", b"\xff\xfe\x00"),
        ("image.png", b"\x89PNG"),
    ],
)
def test_other_data_is_not_recognised(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert not TextSettings.recognises(tmp_path / name)
    assert not TextSettings.recognises(tmp_path / "missing.csv")

"""The text task: splits, metrics, tokenizers, notices, excerpts, new texts and the cache."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss

from benchmarks.system.disk_cache import DiskCache
from benchmarks.training.evaluation import evaluate
from benchmarks.training.predictions import Predictions
from tasks.base import SPLITS, DataError
from tasks.text.task import TextSettings, TextTask
from tasks.text.tokenizer import UNKNOWN
from tests.helpers.labelled_texts import EXAMPLE, documents, load, write


def texts_of(task: TextTask, split: str) -> set[str]:
    return set(task.texts[split].read())  # type: ignore[index]


# --- splits


def test_a_drawn_split_is_stratified_and_shares_no_text(tmp_path: Path) -> None:
    doubled = pd.concat([EXAMPLE, EXAMPLE[:30]])
    task = load(write(tmp_path / "docs.csv", doubled))
    sets = [texts_of(task, split) for split in SPLITS]
    assert not sets[0] & sets[1]
    assert not (sets[0] | sets[1]) & sets[2]
    assert task.data.test_in_train == 0
    share = doubled["label"].value_counts(normalize=True)
    for split in ("validation", "test"):
        labels = pd.Series([name for _, name in documents(task, split)])  # type: ignore[arg-type]
        assert len(labels) == pytest.approx(0.15 * len(doubled), rel=0.25)
        found = labels.value_counts(normalize=True)
        assert found.to_dict() == pytest.approx(share.to_dict(), abs=0.1)


def test_groups_are_on_one_side(tmp_path: Path) -> None:
    author = {text: f"author {n % 25}" for n, text in enumerate(EXAMPLE["text"])}
    frame = EXAMPLE.assign(author=EXAMPLE["text"].map(author))
    task = load(write(tmp_path / "docs.csv", frame), group="author")
    authors = [{author[text] for text in texts_of(task, split)} for split in SPLITS]
    assert sum(map(len, authors)) == len(set.union(*authors)) == 25
    assert "no text or author of test or validation in train" in task.data.split


def test_the_test_split_stays_when_documents_are_added(tmp_path: Path) -> None:
    whole = load(write(tmp_path / "a.csv", EXAMPLE))
    fewer = load(write(tmp_path / "b.csv", EXAMPLE.drop(index=range(0, 120, 20))))
    before, after = texts_of(fewer, "test"), texts_of(whole, "test")
    assert len(before & after) >= 0.8 * len(before)


def test_a_split_seed_chooses_other_validation_documents(tmp_path: Path) -> None:
    file = write(tmp_path / "docs.csv", EXAMPLE)
    first, same, other = (load(file, split_seed=seed) for seed in (1, 1, 2))
    default = load(file)
    assert first.data == same.data
    assert first.data.split_seed == 1
    assert first.data.split != other.data.split
    assert texts_of(first, "test") == texts_of(other, "test") == texts_of(default, "test")
    assert texts_of(first, "validation") != texts_of(other, "validation")


@pytest.mark.parametrize("shared", [0, 3])
def test_test_documents_in_training_are_counted_and_said(tmp_path: Path, shared: int) -> None:
    write(tmp_path / "train.csv", EXAMPLE[:90])
    write(tmp_path / "test.csv", pd.concat([EXAMPLE[:shared], EXAMPLE[90:]]))
    task = load(tmp_path)
    assert task.data.test_in_train == shared
    assert "stratified, no text of validation in train" in task.data.split
    said = [notice for notice in task.data.notices if "with equal text" in notice]
    assert [notice.startswith("3 of 33 test documents") for notice in said] == [True] * bool(shared)


# --- metrics


@pytest.mark.parametrize("classes", [2, 3])
def test_metrics_agree_with_scikit_learn(tmp_path: Path, classes: int) -> None:
    frame = EXAMPLE if classes == 3 else EXAMPLE[EXAMPLE["label"] != "pandas"]
    task = load(write(tmp_path / "docs.csv", frame))
    predictions = Predictions()
    fitted = task.fit_baseline("tfidf_lr", 0)
    metrics = evaluate(fitted, task, "test", 7, predictions=predictions)
    outputs = fitted.outputs("test", torch.arange(len(task.texts["test"]))).double()
    truth = task.documents["test"].labels.numpy()
    if classes == 2:
        chance = outputs.sigmoid()
        probabilities = torch.stack([1 - chance, chance], 1).numpy()
    else:
        probabilities = outputs.softmax(1).numpy()
    predicted = probabilities.argmax(1)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert metrics["log_loss"] == pytest.approx(log_loss(truth, probabilities), rel=1e-5)
    assert metrics["loss"] == metrics["log_loss"]
    assert ("auroc" in metrics) == (classes == 2)
    _, columns = predictions.in_order()
    assert ("predicted_label" in columns) == (classes == 3)


@pytest.mark.parametrize(
    ("metric", "higher"),
    [("accuracy", True), ("macro_f1", True), ("log_loss", False), ("auroc", True)],
)
def test_the_metric_is_chosen(metric: str, higher: bool) -> None:
    chosen = TextSettings(metric=metric).primary_metric
    assert (chosen.name, chosen.higher_is_better) == (metric, higher)


def test_auroc_of_three_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metric=auroc: requires two classes.* has 3 .*macro_f1"):
        load(write(tmp_path / "docs.csv", EXAMPLE), metric="auroc")


# --- tokenizers and unknown tokens


def chinese(count: int) -> pd.DataFrame:
    """Return sentences without spaces of common characters; their class decides the rest."""
    draw = random.Random(0)
    own = {"好": "喜爱赞佳优妙棒乐", "坏": "丑厌恨差劣糟烂哭"}
    common = "的是我他这那了在人有大来上国到说们为子和你地出道也时年得就"
    rows = []
    for number in range(count):
        label = "好坏"[number % 2]
        letters = draw.choices(common + 2 * own[label], k=draw.randint(8, 25))
        rows.append({"content": "".join(letters) + "。", "stars": label})
    return pd.DataFrame(rows)


def test_languages_without_spaces_get_characters_and_a_notice(tmp_path: Path) -> None:
    task = load(write(tmp_path / "docs.csv", chinese(120)))
    assert task.data.tokenization.startswith("char, ")
    assert any("task.tokenizer=char is used" in notice for notice in task.data.notices)
    metrics = evaluate(task.fit_baseline("tfidf_lr", 0), task, "test", 64)
    assert metrics["accuracy"] > 0.8


def test_words_that_do_not_repeat_get_byte_pairs_and_a_notice(tmp_path: Path) -> None:
    rows = [{"text": f"item{n}x code{n}y", "label": "ab"[n % 2]} for n in range(60)]
    task = load(write(tmp_path / "docs.csv", pd.DataFrame(rows)))
    assert task.data.tokenization.startswith("bpe, ")
    assert any("task.tokenizer=bpe is used" in notice for notice in task.data.notices)


def test_words_are_the_default(tmp_path: Path) -> None:
    task = load(write(tmp_path / "docs.csv", EXAMPLE))
    assert task.data.tokenization.startswith("word, ")
    assert not any("is used" in notice for notice in task.data.notices)


@pytest.mark.parametrize("kind", ["word", "bpe", "char"])
def test_token_ids_decode_to_the_text(tmp_path: Path, kind: str) -> None:
    task = load(write(tmp_path / "docs.csv", EXAMPLE), tokenizer=kind, minimum_count=1)
    from tasks.text.tokenizer import stored_tokenizer

    tokenizer = stored_tokenizer(task.tokenizer_content)
    batch = task.documents["train"].batch(np.arange(5))
    assert batch.lengths is not None
    for item, row, length in zip(batch.items, batch.inputs, batch.lengths, strict=True):
        decoded = "".join(tokenizer.id_to_token(i) for i in row[:length].tolist())
        (text,) = task.texts["train"].read([int(item)])
        assert "".join(decoded.split()) == "".join(text.lower().split())


def test_the_share_of_unknown_tokens_is_counted_and_said(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", EXAMPLE[:90])
    foreign = [f"zq{n} zr{n} zs{n} the" for n in range(30)]
    write(tmp_path / "test.csv", EXAMPLE[90:].assign(text=foreign))
    task = load(tmp_path)
    share = float((task.documents["test"].tokens == UNKNOWN).double().mean())
    assert share == 0.75
    assert "75.0% of test tokens unknown" in task.data.tokenization
    assert any(notice.startswith("75% of the test tokens") for notice in task.data.notices)


def test_documents_without_a_known_token_are_counted(tmp_path: Path) -> None:
    frame = EXAMPLE.copy()
    frame.loc[[3, 50], "text"] = ["zqzq", "zrzr"]
    (notice,) = [n for n in load(write(tmp_path / "a.csv", frame)).data.notices if "at all" in n]
    assert notice.startswith("2 of 120 documents")


# --- excerpts, new texts, export


def test_excerpts_are_the_worst_with_the_names_of_their_classes(tmp_path: Path) -> None:
    task = load(write(tmp_path / "docs.csv", EXAMPLE))
    predictions = Predictions()
    evaluate(task.fit_baseline("nb_lr", 0), task, "test", 7, predictions=predictions)
    items, columns = predictions.in_order()
    excerpts = task.excerpts("test", items, columns)
    nats = [excerpt["nats"] for excerpt in excerpts]
    assert nats == sorted(columns["nats"].tolist(), reverse=True)[:20]
    known = dict(documents(task, "test"))
    for excerpt in excerpts:
        assert known[excerpt["text"]] == excerpt["label"]
        place = excerpt["item"]
        assert task.classes[columns["predicted_label"][place]] == excerpt["predicted_label"]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet", ".txt"])
def test_new_texts_get_the_tokens_of_known_ones(tmp_path: Path, ending: str) -> None:
    task = load(write(tmp_path / "docs.csv", EXAMPLE), max_length=12)
    items = [0, 5, 2, 7, 1]
    texts = task.texts["test"].read(items)
    file = tmp_path / f"new{ending}"
    if ending == ".txt":
        file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    else:
        write(file, pd.DataFrame({"id": range(5), "review": texts}))
    batches = list(task.new_batches(str(file), 2))
    assert [batch.items.tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
    for batch in batches:
        known = task.documents["test"].batch(np.array(items)[batch.items.numpy()])
        assert torch.equal(batch.inputs, known.inputs)
        assert torch.equal(batch.lengths, known.lengths)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("new.txt", "one\n\ntwo\n", "line 2: the text is empty"),
        ("new.csv", "id,words\n1,abc\n", "set task.text=NAME (the columns are: id, words)"),
        ("new.csv", "id,text\n1,abc\n2,\n", "line 3: the text (column text) is empty"),
        ("new.pdf", "x", "its name ends in '.pdf'"),
    ],
)
def test_new_texts_that_cannot_be_read_are_refused(
    tmp_path: Path, name: str, content: str, expected: str
) -> None:
    task = load(write(tmp_path / "docs.csv", EXAMPLE))
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(task.new_batches(str(tmp_path / name), 8))
    assert expected in str(caught.value)


def test_answers_have_the_names_of_the_classes(tmp_path: Path) -> None:
    task = load(write(tmp_path / "docs.csv", EXAMPLE))
    batch = next(task.batches("test", 2))
    answers = task.answers(torch.tensor([[0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]), batch)
    assert answers["label"] == ["pandas", "sklearn"]
    assert answers["probability of pandas"] == pytest.approx([1, 0], abs=1e-3)


def test_an_export_has_classes_and_tokenizer(tmp_path: Path) -> None:
    records, files = load(write(tmp_path / "docs.csv", EXAMPLE)).preprocessing()
    assert records["classes"] == ["numpy", "pandas", "sklearn"]
    assert "one per class" in records["outputs"]
    assert list(files) == ["tokenizer.json"]


def test_the_summary_has_classes_lengths_and_columns(tmp_path: Path) -> None:
    frame = EXAMPLE.rename(columns={"text": "review"})
    summary = load(write(tmp_path / "docs.csv", frame), max_length=10).summary()
    assert summary["columns"] == "text = review, label = label"
    assert summary["classes"] == "3: numpy (40), pandas (40), sklearn (40)"
    assert "are cut to task.max_length=10" in summary["lengths"]
    assert not summary["lengths"].endswith("0.0% are cut to task.max_length=10")


# --- cache


@pytest.mark.parametrize(
    ("changed", "is_built_again"),
    [
        ({}, False),
        ({"max_length": 5}, False),
        ({"metric": "log_loss"}, False),
        ({"vocabulary_size": 50}, True),
        ({"minimum_count": 3}, True),
        ({"split_seed": 3}, True),
        ({"tokenizer": "char"}, True),
        ({"label": "other"}, True),
    ],
)
def test_the_cache_depends_on_what_changes_the_tokens(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, object],
    is_built_again: bool,
) -> None:
    file = write(tmp_path / "docs.csv", EXAMPLE.assign(other=["x", "y"] * 60))
    built = []
    original = TextSettings.prepared

    def counted(self: TextSettings, *arguments: object) -> object:
        built.append(self)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TextSettings, "prepared", counted)
    cache = DiskCache(tmp_path / "cache")
    TextSettings(data=str(file)).load(cache)
    TextSettings(data=str(file), **changed).load(cache)  # type: ignore[arg-type]
    assert len(built) == 1 + is_built_again

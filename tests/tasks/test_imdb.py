"""The IMDB task: vocabulary, order, batches, token cache, loss and metrics."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor

from benchmarks.system.disk_cache import DiskCache
from benchmarks.training.evaluation import evaluate
from models.recurrent import RecurrentSettings
from tasks import imdb
from tasks.base import Arrays, Batch, Split
from tasks.modules.network import POOLINGS
from tasks.text import preparation as imdb_preparation
from tasks.text.batches import Documents
from tasks.text.imdb_sources import Source
from tasks.text.tokenizer import PADDING, UNKNOWN
from tests.helpers.synthetic_reviews import (
    SPLITS,
    Frames,
    Review,
    batches,
    contents,
    repeat_texts,
    reviews,
)


def shuffled(frames: Frames, seed: int) -> Frames:
    return {
        split: frame.sample(frac=1, random_state=seed, ignore_index=True)
        for split, frame in frames.items()
    }


@pytest.fixture(scope="module")
def frames() -> Frames:
    return {"train": repeat_texts(reviews(400, 1), 2), "test": reviews(150, 3)}


def prepared(frames: Frames, max_length: int = 25) -> tuple[imdb.ImdbTask, Arrays]:
    """Return a task and the ragged arrays it was made from."""
    arrays, facts = imdb.tokenise(frames, vocabulary_size=200, minimum_count=1)
    settings = imdb.ImdbSettings(max_length=max_length, embedding_size=8)
    return imdb.ImdbTask(settings, Source("synthetic", "", lambda: frames), arrays, facts), arrays


@pytest.fixture(scope="module")
def task(frames: Frames) -> imdb.ImdbTask:
    return prepared(frames)[0]


def all_contents(task: imdb.ImdbTask) -> list[list[Review]]:
    """Return the contents of every split's batches, in order."""
    return [
        contents(batch)
        for split in SPLITS
        for seed in (None, 4)
        for batch in batches(task, split, 16, seed)
    ]


# --- vocabulary and canonical order


def test_only_training_reviews_make_the_vocabulary() -> None:
    def own_words(count: int, name: str) -> pd.DataFrame:
        return reviews(count, 1).assign(text=[f"{name}{i}" for i in range(count)])

    frames = {"train": own_words(200, "train"), "test": own_words(50, "test")}
    arrays, facts = imdb.tokenise(frames, vocabulary_size=1000, minimum_count=1)
    assert facts["vocabulary_size"] == 2 + len(arrays["train_labels"]) == 2 + 180
    assert UNKNOWN not in arrays["train_tokens"]
    for split in ("validation", "test"):
        assert set(arrays[f"{split}_tokens"].tolist()) == {UNKNOWN}


def test_the_order_of_rows_in_the_source_changes_nothing(frames: Frames) -> None:
    task, _ = prepared(frames)
    for seed in (1, 2):
        other, _ = prepared(shuffled(frames, seed))
        assert other.data == task.data
        assert all_contents(other) == all_contents(task)


@pytest.mark.parametrize("column", ["text", "label"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_hash_depends_on_every_text_and_label(frames: Frames, split: str, column: str) -> None:
    changed = {name: frame.copy() for name, frame in frames.items()}
    values: dict[str, Any] = {"text": "another text", "label": 1}
    changed[split].loc[0, column] = values[column]
    assert prepared(changed)[0].data.sha256 != prepared(frames)[0].data.sha256


def test_the_hash_depends_on_the_split_of_a_review() -> None:
    # In canonical order, so that the sequence of hashes does not depend on the border.
    frame = imdb_preparation.in_canonical_order(reviews(400, 1))

    def sha256(border: int) -> str:
        return prepared({"train": frame[:border], "test": frame[border:]})[0].data.sha256

    assert len({sha256(border) for border in (300, 301, 302)}) == 3


# --- batches


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
@pytest.mark.parametrize("split", SPLITS)
def test_an_epoch_contains_each_review_once(
    frames: Frames, split: Split, batch_size: int, seed: int | None
) -> None:
    task, arrays = prepared(frames, max_length=1000)
    texts = np.split(arrays[f"{split}_tokens"], arrays[f"{split}_offsets"][1:-1])
    source = Counter(
        (tuple(text.tolist()), int(label))
        for text, label in zip(texts, arrays[f"{split}_labels"], strict=True)
    )
    epoch = batches(task, split, batch_size, seed)
    assert Counter(review for batch in epoch for review in contents(batch)) == source
    assert all(len(batch.inputs) <= batch_size for batch in epoch)
    if split == "train":
        assert len(epoch) == task.steps_per_epoch(batch_size)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("max_length", [2, 3, 4, 7, 16, 40, 1000])
def test_a_cut_keeps_the_first_quarter_and_the_last_three(max_length: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    texts = [draw.integers(2, 1000, size=draw.integers(1, 50)).tolist() for _ in range(30)]
    head = max_length // 4
    cut = [
        text if len(text) <= max_length else text[:head] + text[len(text) - (max_length - head) :]
        for text in texts
    ]
    tokens = torch.tensor([token for text in texts for token in text], dtype=torch.int32)
    offsets = torch.tensor(np.cumsum([0, *map(len, texts)]))
    labels = torch.zeros(30, dtype=torch.int8)
    kept = Documents(tokens, offsets, labels, max_length)
    assert kept.lengths.tolist() == [len(text) for text in cut]
    for group in np.split(draw.permutation(30), [1, 8, 20]):
        batch = kept.batch(group)
        assert contents(batch) == [(tuple(cut[i]), 0) for i in group]
        assert batch.tokens == sum(len(cut[i]) for i in group)


@pytest.mark.parametrize("split", SPLITS)
def test_only_positions_beyond_a_review_contain_padding(task: imdb.ImdbTask, split: Split) -> None:
    for batch in batches(task, split, 16):
        assert batch.lengths is not None
        beyond = torch.arange(batch.inputs.shape[1]) >= batch.lengths.unsqueeze(1)
        assert torch.equal(batch.inputs == PADDING, beyond)
        assert batch.tokens == int(batch.lengths.sum())
        assert batch.inputs.shape[1] == int(batch.lengths.max()) <= task.settings.max_length


def test_the_data_order_depends_on_the_generator(task: imdb.ImdbTask) -> None:
    def epochs(seed: int) -> list[list[list[Review]]]:
        order = np.random.default_rng(seed)
        return [[contents(b) for b in task.batches("train", 16, order)] for _ in range(2)]

    first, second = epochs(0)
    assert epochs(0) == [first, second]
    assert first != second
    assert epochs(1)[0] != first
    # Not the same batches in another order either.
    assert not {frozenset(batch) for batch in first} & {frozenset(batch) for batch in second}


def test_training_does_not_go_from_short_to_long(task: imdb.ImdbTask) -> None:
    def lengths(seed: int | None) -> list[int]:
        return [batch.inputs.shape[1] for batch in batches(task, "train", 16, seed)]

    assert lengths(None) == sorted(lengths(None))
    assert lengths(0) != sorted(lengths(0))


def test_single_sequences_are_validation_reviews(task: imdb.ImdbTask) -> None:
    known = {review for batch in batches(task, "validation", 16) for review in contents(batch)}
    singles = [contents(batch) for batch in task.single_sequences(100)]
    assert len(singles) == 100
    assert all(len(single) == 1 and single[0] in known for single in singles)


@pytest.mark.parametrize("split", SPLITS)
def test_items_are_places_in_the_canonical_order(frames: Frames, split: Split) -> None:
    task, arrays = prepared(frames, max_length=1000)
    ordered = imdb_preparation.in_canonical_order(frames["test" if split == "test" else "train"])
    if split != "test":
        held_out = imdb.choose_validation(ordered)
        ordered = ordered[held_out if split == "validation" else ~held_out]
    tokens = np.split(arrays[f"{split}_tokens"], arrays[f"{split}_offsets"][1:-1])
    everything = [batch for seed in (None, 3) for batch in batches(task, split, 7, seed)]
    if split == "validation":
        everything += task.single_sequences(50)
    for batch in everything:
        items = batch.items.tolist()
        assert contents(batch) == [
            (tuple(tokens[i].tolist()), int(ordered["label"].iloc[i])) for i in items
        ]
        assert task.texts[split].read(items) == ordered["text"].iloc[items].tolist()


# --- token cache


class CountedSource:
    """A source that counts its reads."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.reads = 0

    def find(self, wanted: str) -> Source:
        return Source("counted", "content of the counted source", self.read)

    def read(self) -> Frames:
        self.reads += 1
        return self.frames


@pytest.fixture
def counted(frames: Frames, monkeypatch: pytest.MonkeyPatch) -> CountedSource:
    source = CountedSource(frames)
    monkeypatch.setattr(imdb, "find_source", source.find)
    return source


def test_a_second_start_reads_the_cache_only(counted: CountedSource, tmp_path: Path) -> None:
    first, second = (imdb.ImdbSettings().load(DiskCache(tmp_path)) for _ in range(2))
    assert counted.reads == 1
    assert isinstance(first, imdb.ImdbTask)
    assert isinstance(second, imdb.ImdbTask)
    assert second.data == first.data
    assert all_contents(second) == all_contents(first)
    for split in SPLITS:
        numbers = range(len(first.documents[split]))
        assert second.texts[split].read(numbers) == first.texts[split].read(numbers)


@pytest.mark.parametrize(
    ("changed", "reads"),
    [
        ({"vocabulary_size": 50}, 2),
        ({"minimum_count": 3}, 2),
        ({"split_seed": 0}, 2),
        ({"max_length": 10}, 1),
    ],
)
def test_settings_that_change_the_tokens_change_the_cache_key(
    counted: CountedSource, tmp_path: Path, changed: dict[str, Any], reads: int
) -> None:
    imdb.ImdbSettings().load(DiskCache(tmp_path))
    again = imdb.ImdbSettings(**changed).load(DiskCache(tmp_path))
    assert counted.reads == reads
    assert isinstance(again, imdb.ImdbTask)
    assert again.vocabulary_size <= changed.get("vocabulary_size", 1000)
    assert again.data.split_seed == changed.get("split_seed")
    longest = max(batch.inputs.shape[1] for batch in batches(again, "test", 16))
    assert longest <= changed.get("max_length", 400)


# --- loss and metrics


def logits_of(batch: Batch) -> Tensor:
    """Return outputs that depend on a review's tokens, not on its padding."""
    return (batch.inputs.double() * 0.37).sin().masked_fill(batch.inputs == PADDING, 0).sum(1)


def totals(task: imdb.ImdbTask, split: Split, batch_size: int) -> dict[str, Any]:
    """Return the sums of a split: scalars added, tensors joined in the order of the items."""
    sums: Counter[str] = Counter()
    parts: dict[str, list[Tensor]] = {}
    order = []
    for batch in batches(task, split, batch_size):
        order.append(batch.items)
        for name, value in task.sums(logits_of(batch), batch).items():
            if value.dim():
                parts.setdefault(name, []).append(value)
            else:
                sums[name] += float(value)
    places = torch.cat(order).argsort()
    return dict(sums) | {name: torch.cat(each)[places] for name, each in parts.items()}


@pytest.mark.parametrize("split", SPLITS)
def test_metrics_agree_with_scikit_learn(task: imdb.ImdbTask, split: Split) -> None:
    (whole,) = batches(task, split, 10_000)
    truth, outputs = whole.targets.numpy(), logits_of(whole).numpy()
    metrics = task.metrics(totals(task, split, 32))
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, outputs > 0), abs=1e-12)
    assert metrics["loss"] == pytest.approx(log_loss(truth, 1 / (1 + np.exp(-outputs))), rel=1e-9)
    assert 0.3 < metrics["accuracy"] < 0.7
    assert float(task.loss(logits_of(whole), whole)) == pytest.approx(metrics["loss"], rel=1e-9)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_sums_do_not_depend_on_the_batch_size(task: imdb.ImdbTask, batch_size: int) -> None:
    some, others = totals(task, "test", batch_size), totals(task, "test", 32)
    assert some.keys() == others.keys()
    for name, value in some.items():
        torch.testing.assert_close(value, others[name], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("pooling", "chop"),
    [("last", None), *((name, n) for name in POOLINGS if name != "last" for n in (None, 5))],
)
def test_a_network_s_scores_do_not_depend_on_the_batch_size(
    frames: Frames, pooling: str, chop: int | None
) -> None:
    task, _ = prepared(frames)
    task.settings.pooling, task.settings.chop = pooling, chop
    torch.manual_seed(0)
    encoder = RecurrentSettings(hidden_size=8, bidirectional=True, dropout=0.5).build(8)
    network = task.network(encoder).double()
    scores = [evaluate(network, task, "test", size) for size in (1, 7, 32, 1000)]
    for score in scores[1:]:
        assert score == pytest.approx(scores[0], rel=1e-12)

"""The character task's batches: streams in training, every character once in evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tasks.base import Batch, Split
from tasks.language import task as language
from tasks.language.task import LanguageTask
from tests.helpers.texts import SPLIT_NAMES, counting_task

SHAPES = [
    pytest.param(3000, 1, 128, id="one stream"),
    pytest.param(3000, 8, 16, id="many chunks"),
    pytest.param(3000, 32, 50, id="few chunks"),
    pytest.param(3000, 7, 1, id="chunks of one"),
    pytest.param(3000, 4, 5000, id="chunk longer than the text"),
    pytest.param(60, 32, 128, id="tiny text"),
    pytest.param(200, 64, 3, id="more streams than fit"),
]


def epoch(task: LanguageTask, batch_size: int, seed: int) -> list[Batch]:
    return list(task.batches("train", batch_size, np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("characters", "batch_size", "chunk_length"), SHAPES)
def test_streams_are_contiguous_across_chunks(
    characters: int, batch_size: int, chunk_length: int, seed: int
) -> None:
    batches = epoch(counting_task(characters, chunk_length), batch_size, seed)
    assert [batch.continues for batch in batches] == [False] + [True] * (len(batches) - 1)
    streams = torch.cat([batch.inputs for batch in batches], dim=1)
    targets = torch.cat([batch.targets for batch in batches], dim=1)
    # Ids are positions: they ascend along a stream, and a target is the position after its input.
    assert torch.equal(streams.diff(dim=1), torch.ones_like(streams[:, 1:]))
    assert torch.equal(targets, streams + 1)
    assert all(batch.inputs.shape[1] == chunk_length for batch in batches[:-1])
    assert all(batch.tokens == batch.inputs.numel() for batch in batches)
    assert all(batch.lengths is None for batch in batches)
    # The first character of a part is not predicted: item 0 is the second.
    assert all(torch.equal(batch.items, batch.targets - 1) for batch in batches)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("characters", "batch_size", "chunk_length"), SHAPES)
def test_an_epoch_trains_nearly_every_pair_and_none_twice(
    characters: int, batch_size: int, chunk_length: int, seed: int
) -> None:
    task = counting_task(characters, chunk_length)
    targets = torch.cat([batch.targets.flatten() for batch in epoch(task, batch_size, seed)])
    last = len(task.splits["train"]) - 1
    assert len(set(targets.tolist())) == len(targets)
    assert int(targets.min()) >= 1
    assert int(targets.max()) <= last
    # May be missing: less than one chunk at the start, and less than one per stream at the end.
    assert last - len(targets) < min(chunk_length, last) + batch_size


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("characters", "batch_size", "chunk_length"), SHAPES)
def test_an_epoch_has_the_planned_steps_or_one_fewer(
    characters: int, batch_size: int, chunk_length: int, seed: int
) -> None:
    task = counting_task(characters, chunk_length)
    steps = len(epoch(task, batch_size, seed))
    assert task.steps_per_epoch(batch_size) - steps in (0, 1)


def test_each_epoch_has_a_new_random_offset() -> None:
    def starts(seed: int) -> list[int]:
        order = np.random.default_rng(seed)
        return [int(next(task.batches("train", 4, order)).inputs[0, 0]) for _ in range(200)]

    task = counting_task(3000, chunk_length=16)
    assert starts(0) == starts(0)
    assert starts(0) != starts(1)
    assert set(starts(0)) == set(range(16))


@pytest.mark.parametrize("chunk", [1, 7, 149, 150, 4096])
@pytest.mark.parametrize("batch_size", [1, 64])
@pytest.mark.parametrize("split", SPLIT_NAMES)
def test_an_evaluation_predicts_every_character_but_the_first_once(
    split: Split, batch_size: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "EVALUATION_CHUNK", chunk)
    task = counting_task(3000)
    batches = list(task.batches(split, batch_size))
    part = task.splits[split].tolist()
    assert [i for batch in batches for i in batch.targets.flatten().tolist()] == part[1:]
    assert [i for batch in batches for i in batch.inputs.flatten().tolist()] == part[:-1]
    assert [batch.continues for batch in batches] == [False] + [True] * (len(batches) - 1)
    assert all(len(batch.inputs) == 1 for batch in batches)
    assert sum(batch.tokens for batch in batches) == len(part) - 1
    items = [i for batch in batches for i in batch.items.flatten().tolist()]
    assert items == list(range(len(part) - 1))


@pytest.mark.parametrize("characters", [60, 1000])
def test_single_sequences_lie_in_the_validation_part(characters: int) -> None:
    task = counting_task(characters, chunk_length=16)
    known = set(task.splits["validation"].tolist())
    first = min(known)
    batches = list(task.single_sequences(20))
    assert len(batches) == 20
    for batch in batches:
        assert batch.inputs.shape == (1, min(16, len(known) - 1))
        assert torch.equal(batch.targets, batch.inputs + 1)
        assert torch.equal(batch.items, batch.inputs - first)
        assert {*batch.inputs.flatten().tolist(), *batch.targets.flatten().tolist()} <= known

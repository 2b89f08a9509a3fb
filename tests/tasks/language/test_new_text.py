"""New texts for a trained model: answers per line, against the sums of an evaluation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tasks.base import DataError
from tasks.language.task import LanguageTask
from tests.helpers.definitions import EXAMPLES
from tests.helpers.texts import lm, network_for

NEW = "Thy tender heir\n\nMight bear it, and the world\nmight"


@pytest.fixture(scope="module", params=["char", "word", "bpe"])
def task(request: pytest.FixtureRequest) -> LanguageTask:
    return lm(EXAMPLES["lm"], request.param)


def answers(task: LanguageTask, network: nn.Module, file: Path) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    state = None
    with torch.no_grad():
        for batch in task.new_batches(str(file), 64):
            outputs, state = network.eval()(batch.inputs, None, state if batch.continues else None)
            for name, values in task.answers(outputs, batch).items():
                columns.setdefault(name, []).extend(values)
    return columns


def test_answers_are_the_nats_of_each_line_after_all_earlier_ones(
    task: LanguageTask, tmp_path: Path
) -> None:
    (tmp_path / "new.txt").write_text(NEW)
    network = network_for(task)
    found = answers(task, network, tmp_path / "new.txt")
    assert found["line"] == [1, 2, 3, 4]
    lines = NEW.splitlines(keepends=True)
    parts = [task.vocabulary.encode(line)[0].tolist() for line in lines]
    assert found["tokens"] == [len(part) for part in parts]
    # The reference reads the whole text in one piece, after a line end.
    ids = torch.tensor([[task.vocabulary.line_end, *(i for part in parts for i in part)]])
    with torch.no_grad():
        logits, _ = network(ids[:, :-1], None, None)
    each = -logits[0].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    sums = [float(part.sum()) for part in each.split([len(part) for part in parts])]
    assert found["nats"] == pytest.approx(sums, rel=1e-9)
    assert found["perplexity"] == pytest.approx(
        [math.exp(nats / len(part)) for nats, part in zip(sums, parts, strict=True)]
    )
    assert found["bits_per_character"] == pytest.approx(
        [nats / math.log(2) / len(line) for nats, line in zip(sums, lines, strict=True)]
    )


@pytest.mark.parametrize("limit", [1, 7, 20, 10_000])
def test_the_number_of_lines_in_a_batch_changes_no_answer(
    limit: int, task: LanguageTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new.txt").write_text(NEW)
    network = network_for(task)
    expected = answers(task, network, tmp_path / "new.txt")
    monkeypatch.setattr("tasks.language.task.EVALUATION_CHUNK", limit)
    batches = list(task.new_batches(str(tmp_path / "new.txt"), 64))
    assert len(batches) == {1: 4, 10_000: 1}.get(limit, len(batches))
    found = answers(task, network, tmp_path / "new.txt")
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-9), name


def test_unknown_words_are_counted(tmp_path: Path) -> None:
    task = lm(EXAMPLES["lm"], "word")
    (tmp_path / "new.txt").write_text("And zyx the\nzyx qqq\n")
    assert answers(task, network_for(task), tmp_path / "new.txt")["unknown_tokens"] == [1, 2]


def test_an_unknown_character_is_refused_with_file_and_line(tmp_path: Path) -> None:
    task = lm(EXAMPLES["lm"])
    (tmp_path / "new.txt").write_text("the\nthe €\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"new.txt: line 2: the character '€' \(U\+20AC\)"):
        list(task.new_batches(str(tmp_path / "new.txt"), 64))


@pytest.mark.parametrize("content", [b"", b"\xff", b"%PDF-1.4"])
def test_a_file_without_text_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"new\.txt: "):
        list(lm(EXAMPLES["lm"]).new_batches(str(tmp_path / "new.txt"), 64))


def test_a_model_without_line_ends_does_not_predict_the_first_token(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("ab" * 100)
    (tmp_path / "new.txt").write_text("abab")
    task = lm(tmp_path / "book.txt")
    assert answers(task, network_for(task), tmp_path / "new.txt")["tokens"] == [3]

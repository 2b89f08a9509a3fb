"""shakespeare: the bundled file, its parts, and other corpora."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from tasks.base import DataError
from tasks.language.settings import BOUNDARIES
from tasks.language.task import LanguageTask
from tasks.shakespeare import BUNDLED, ShakespeareSettings
from tests.helpers.paths import ROOT
from tests.helpers.texts import SPLIT_NAMES, TEXT, counting_task, load, whole

TINY_BYTES = 1_115_394
TINY_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def test_the_bundled_file_is_tiny_shakespeare_byte_for_byte(tiny: LanguageTask) -> None:
    content = BUNDLED.read_bytes()
    assert len(content) == TINY_BYTES
    assert hashlib.sha256(content).hexdigest() == tiny.data.sha256 == TINY_SHA256
    assert len(tiny.vocabulary.tokens) == 65


def test_nanogpt_is_the_usual_split() -> None:
    task = load(ShakespeareSettings(split="nanogpt"))
    data = task.data
    assert (data.train_size, data.validation_size, data.test_size) == (1_003_854, 111_540, 111_540)
    assert torch.equal(task.splits["validation"], task.splits["test"])
    assert "validation = test" in data.split
    assert "validation = test" in data.notices[0]


def test_the_default_split_is_90_5_5(tiny: LanguageTask) -> None:
    data = tiny.data
    assert data.notices == ()
    shares = {data.train_size: 0.90, data.validation_size: 0.05, data.test_size: 0.05}
    for size, share in shares.items():
        assert size == pytest.approx(share * TINY_BYTES, abs=1)


@pytest.mark.parametrize("split", BOUNDARIES)
def test_the_parts_are_the_text_in_order(split: str) -> None:
    task = load(ShakespeareSettings(split=split))
    assert whole(task) == BUNDLED.read_text(encoding="utf-8")


@pytest.mark.parametrize("characters", [60, 61, 79, 99, 1234])
def test_short_texts_are_split_without_loss(characters: int) -> None:
    task = counting_task(characters)
    assert torch.cat(list(task.splits.values())).tolist() == list(range(characters))


# --- corpora


def corpus(folder: Path, content: bytes) -> ShakespeareSettings:
    (folder / "text.txt").write_bytes(content)
    return ShakespeareSettings(corpus=str(folder / "text.txt"))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TEXT.encode(), id="plain"),
        pytest.param(TEXT.encode("utf-8-sig"), id="byte-order mark"),
        pytest.param(TEXT.replace("\n", "\r\n").encode(), id="Windows line ends"),
        pytest.param(TEXT.replace("\n", "\r\n").encode("utf-8-sig"), id="both"),
        pytest.param(TEXT.encode("utf-16"), id="UTF-16"),
    ],
)
def test_the_file_format_does_not_change_the_data(content: bytes, tmp_path: Path) -> None:
    task = load(corpus(tmp_path, content))
    assert whole(task) == TEXT
    assert task.vocabulary.tokens == sorted(set(TEXT))
    assert task.data.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert "text.txt" in task.data.name


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "the text is empty", id="empty"),
        pytest.param(b" \r\n\t\n" * 100, "the text is empty", id="white space"),
        pytest.param("\ufeff".encode(), "the text is empty", id="byte-order mark alone"),
        pytest.param(b"ab" * 50 + b"\xff", "not UTF-8 text (byte 100 ", id="not UTF-8"),
        pytest.param(TEXT.encode("utf-16-le"), "not a text file", id="UTF-16 without a mark"),
        pytest.param(b"too short", "9 characters", id="too short"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_refused_in_one_line(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    settings = corpus(tmp_path, content)
    with pytest.raises(DataError) as caught:
        load(settings)
    text = str(caught.value)
    assert problem in text
    assert f"task.corpus={settings.corpus}" in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_a_missing_corpus_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        ShakespeareSettings(corpus=str(tmp_path / name)).check()


def test_a_corpus_that_vanishes_after_the_check_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load(ShakespeareSettings(corpus=str(tmp_path / "missing.txt")))


def test_sixty_characters_are_enough() -> None:
    with pytest.raises(DataError, match="60 characters or more"):
        counting_task(20)
    task = counting_task(60)
    assert all(len(task.splits[split]) >= 2 for split in SPLIT_NAMES)
    assert len(list(task.batches("test", 1))) == 1


def test_the_complete_works_are_read_without_byte_order_mark() -> None:
    file = ROOT.parent / "shared" / "data" / "shakespeare" / "complete.txt"
    if not file.is_file():
        pytest.skip("the complete works are not in ../shared/data/shakespeare")
    task = load(ShakespeareSettings(corpus=str(file)))
    # The file has a byte-order mark, 149,689 lines that end in CRLF, and 99 distinct characters.
    assert not {"\ufeff", "\r"} & set(task.vocabulary.tokens)
    assert len(task.vocabulary.tokens) == 98
    assert len(whole(task)) == len(file.read_text(encoding="utf-8-sig"))

"""The task lm: scores at each level against values computed by hand or from other libraries."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.system.disk_cache import DiskCache
from benchmarks.training.evaluation import evaluate
from benchmarks.training.predictions import Predictions
from tasks.base import SPLITS
from tasks.language.settings import BOUNDARIES
from tasks.language.task import LanguageTask, LmSettings
from tests.helpers.definitions import EXAMPLES
from tests.helpers.texts import FixedPrediction, lm, network_for

LEVELS = ("char", "word", "bpe")
TEXT = EXAMPLES["lm"].read_text(encoding="utf-8")
HAND = "a b\n" * 47 + "a zz\na b\n"
"""197 characters: training ends at 177, and the test split is "\\na zz\\na b\\n"."""


@pytest.fixture(scope="module", params=LEVELS)
def task(request: pytest.FixtureRequest) -> LanguageTask:
    return lm(EXAMPLES["lm"], request.param)


def hand_task(folder: Path, level: str = "word", **settings: Any) -> LanguageTask:
    (folder / "hand.txt").write_text(HAND)
    return lm(folder / "hand.txt", level, **settings)


def test_all_levels_have_the_same_test_text(task: LanguageTask) -> None:
    starts = [0, *(int(end * len(TEXT)) for end in BOUNDARIES["90/5/5"]), len(TEXT)]
    for split, begin, end in zip(SPLITS, starts, starts[1:], strict=False):
        text = task.tokenised.texts[split]
        assert (len(text.ids) if text.ends is None else text.ends[-1]) == end - begin
        if task.settings.level_name == "bpe":
            assert task.vocabulary.decode(text.ids.tolist()) == TEXT[begin:end]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_uniform_model_has_known_bits_per_character(task: LanguageTask, split: Any) -> None:
    size = len(task.vocabulary.tokens)
    metrics = evaluate(task.fit_baseline("uniform", 0), task, split, 1)
    assert metrics["perplexity"] == pytest.approx(size, rel=1e-9)
    assert metrics["loss"] == pytest.approx(math.log(size), rel=1e-9)
    # The first token has no prediction.
    text = task.tokenised.texts[split]
    tokens = len(text.ids) - 1
    begin, end = (
        int(share * len(TEXT)) for share in {"validation": (0.9, 0.95), "test": (0.95, 1)}[split]
    )
    first = 1 if text.ends is None else int(text.ends[0])
    expected = tokens * math.log2(size) / (end - begin - first)
    assert metrics["bits_per_character"] == pytest.approx(expected, rel=1e-9)
    assert ("bits_per_character_with_spelling" in metrics) == (task.settings.level_name == "word")


def test_words_are_scored_as_by_hand(tmp_path: Path) -> None:
    """The predicted tokens are "a", [UNK] for " zz", "\\n", "a", " b", "\\n": 9 characters."""
    task = hand_task(tmp_path)
    assert set(task.vocabulary.tokens) == {"[UNK]", "\n", " b", "a"}
    uniform = evaluate(task.fit_baseline("uniform", 0), task, "test", 1)
    assert uniform["perplexity"] == pytest.approx(4)
    assert uniform["bits_per_character"] == pytest.approx(6 * 2 / 9)
    # [UNK] is spelt with 3 characters and an end, of an alphabet of 5 characters and the end.
    spelt = (6 * 2 + 4 * math.log2(6)) / 9
    assert uniform["bits_per_character_with_spelling"] == pytest.approx(spelt)
    # Training has 45 "a", 44 " b" and 44 "\n"; each count is increased by one.
    counts = {"a": 46, " b": 45, "\n": 45, "[UNK]": 1}
    bits = [math.log2(137 / counts[token]) for token in ("a", "[UNK]", "\n", "a", " b", "\n")]
    unigram = evaluate(task.fit_baseline("unigram", 0), task, "test", 1)
    assert unigram["perplexity"] == pytest.approx(2 ** np.mean(bits))
    assert unigram["bits_per_character"] == pytest.approx(sum(bits) / 9)


def test_the_row_states_tokeniser_cut_and_unknown_share(tmp_path: Path) -> None:
    data = hand_task(tmp_path).data
    assert (data.train_size, data.test_size, data.unit, data.vocabulary) == (133, 7, "words", 4)
    for part in ("occur 44 times or more in training", "14.286% of test", "lower bound"):
        assert part in data.tokenization
    assert "14.3% of the test words are not in the vocabulary" in data.notices[-1]
    characters = hand_task(tmp_path, "char").data
    assert characters.tokenization == (
        "5 characters of the whole text, 20.000% of test not in training"
    )
    assert characters.notices == ()
    assert "none unknown" in hand_task(tmp_path, "bpe").data.tokenization


def test_bits_per_character_count_every_batch_once(task: LanguageTask) -> None:
    for split in SPLITS:
        batches = list(task.batches(split, 1))
        ends = task.tokenised.texts[split].ends
        size = len(task.splits[split])
        first, last = (1, size) if ends is None else (int(ends[0]), int(ends[-1]))
        assert sum(batch.characters for batch in batches) == last - first  # type: ignore[attr-defined]


def test_characters_of_parallel_streams_are_those_of_their_targets(task: LanguageTask) -> None:
    ends = task.tokenised.texts["train"].ends
    for batch in task.batches("train", 4, np.random.default_rng(0)):
        targets = batch.items.flatten() + 1
        sizes = np.ones(len(targets)) if ends is None else np.diff(ends, prepend=0)[targets]
        assert batch.characters == sizes.sum()  # type: ignore[attr-defined]


def test_large_vocabularies_are_evaluated_in_small_chunks(
    task: LanguageTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_for(task)
    expected = evaluate(network, task, "test", 1)
    size = len(task.vocabulary.tokens)
    monkeypatch.setattr("tasks.language.task.EVALUATION_OUTPUTS", 50 * size)
    batches = list(task.batches("test", 1))
    assert max(batch.inputs.shape[1] for batch in batches) == 50
    assert evaluate(network, task, "test", 1) == pytest.approx(expected, rel=1e-12)


def test_predictions_are_the_nats_of_tokens(task: LanguageTask) -> None:
    network, predictions = network_for(task), Predictions()
    metrics = evaluate(network, task, "test", 1, predictions=predictions)
    _, columns = predictions.in_order()
    assert [*columns] == ["nats"]
    assert len(columns["nats"]) == task.data.test_size - 1
    assert float(columns["nats"].double().mean()) == pytest.approx(metrics["loss"], rel=1e-6)


def test_kneser_ney_of_words_is_better_than_the_unigram(task: LanguageTask) -> None:
    known = task.settings.baselines()
    assert [*known][:2] == ["unigram", "uniform"]
    orders = [int(name[-1]) for name in known if name.startswith("kneser_ney")]
    assert orders == list(
        range(3, 9) if task.settings.level_name == "char" else range(2, len(orders) + 2)
    )
    unigram, best = (
        evaluate(task.fit_baseline(name, 0), task, "test", 1)["loss"]
        for name in ("unigram", "kneser_ney_3")
    )
    assert best < unigram


# --- samples, export and summary


def test_a_sample_has_its_tokens_and_its_seed(task: LanguageTask) -> None:
    network = network_for(task)
    text = task.showcase(network, 0)
    assert text == task.showcase(network, 0) != task.showcase(network, 1)
    assert text is not None
    if task.settings.level_name == "char":
        assert len(text) == 200
        assert set(text) <= set(TEXT)


def test_unknown_words_are_sampled_visibly(tmp_path: Path) -> None:
    task = hand_task(tmp_path, sample_tokens=3)
    logits = torch.full((4, 4), -99.0)
    logits[:, 0] = 99.0
    assert task.showcase(FixedPrediction(logits), 0) == " [UNK] [UNK] [UNK]"


def test_an_exported_tokenizer_gives_the_ids_of_the_task(task: LanguageTask) -> None:
    from tokenizers import Tokenizer

    facts, files = task.preprocessing()
    assert "inputs" in facts
    assert "outputs" in facts
    line = TEXT.splitlines(keepends=True)[3]
    ids = task.vocabulary.encode(line)[0].tolist()
    if task.settings.level_name == "char":
        assert files == {}
        assert [facts["characters"][i] for i in ids] == list(line)
        return
    tokenizer = Tokenizer.from_str(files["tokenizer.json"])
    tokenizer.encode_special_tokens = True
    assert tokenizer.encode(line).ids == ids


def test_the_summary_says_what_the_text_is(task: LanguageTask) -> None:
    summary = task.summary()
    assert summary["text"] == f"{len(TEXT):,} characters in {TEXT.count(chr(10)):,} lines"
    assert summary["level"] == task.vocabulary.level
    assert f"{len(task.vocabulary.tokens):,}" in summary["tokens"]
    assert task.data.unit in summary["split"]
    assert all(text.isprintable() for text in summary.values())


# --- settings


@pytest.mark.parametrize(
    ("level", "settings", "problem"),
    [
        ("char", {"vocabulary_size": 100}, "task.level=char: the alphabet is that of the text"),
        ("char", {"minimum_count": 5}, "task.level=char: the alphabet is that of the text"),
        ("bpe", {"vocabulary_size": 256}, "task.vocabulary_size=256: a byte-level BPE"),
    ],
)
def test_settings_without_effect_are_refused(
    level: str, settings: dict[str, int], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        LmSettings(data=str(EXAMPLES["lm"]), level=level, **settings).check()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("level", "unit"), [("char", "character"), ("word", "word"), ("bpe", "token")]
)
def test_the_metric_is_per_token_of_the_level(level: str, unit: str) -> None:
    metric = LmSettings(level=level).primary_metric
    assert (metric.name, metric.unit, metric.perfect) == ("perplexity", f"per {unit}", 1.0)


def test_the_cache_gives_the_same_task_and_depends_on_text_and_settings(tmp_path: Path) -> None:
    file, cache = tmp_path / "book.txt", DiskCache(tmp_path / "cache")

    def load(text: str = TEXT, level: str = "word", **settings: Any) -> LanguageTask:
        file.write_text(text, encoding="utf-8")
        task = LmSettings(data=str(file), level=level, **settings).load(cache)
        assert isinstance(task, LanguageTask)
        return task

    first, again = load(), load()
    assert torch.equal(first.splits["test"], again.splits["test"])
    assert first.data == again.data
    assert len(list((tmp_path / "cache").iterdir())) == 1
    sizes = {
        len(load(**settings).vocabulary.tokens)
        for settings in ({}, {"vocabulary_size": 50}, {"minimum_count": 5}, {"level": "bpe"})
    }
    assert len(sizes) == 4
    assert load(TEXT.upper()).vocabulary.tokens != first.vocabulary.tokens
    assert Counter(path.name[:3] for path in (tmp_path / "cache").iterdir()) == {"lm-": 5}

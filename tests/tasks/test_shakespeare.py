"""The character task: the bundled text, its parts, streams, evaluation, corpora and the sample."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from places import ROOT
from torch import Tensor, nn

from benchmarks.cache import DiskCache
from benchmarks.evaluation import evaluate
from models.recurrent import RecurrentSettings
from tasks import shakespeare
from tasks.base import Batch, DataError, Split
from tasks.shakespeare import BUNDLED, SPLITS, ShakespeareSettings, ShakespeareTask

SPLIT_NAMES: tuple[Split, ...] = ("train", "validation", "test")
TINY_BYTES = 1_115_394
TINY_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def load(settings: ShakespeareSettings, folder: Path = ROOT) -> ShakespeareTask:
    task = settings.load(DiskCache(folder / "unused"))
    assert isinstance(task, ShakespeareTask)
    return task


@pytest.fixture(scope="module")
def tiny() -> ShakespeareTask:
    return load(ShakespeareSettings())


def counting_task(characters: int, chunk_length: int = 16) -> ShakespeareTask:
    """Make a task whose characters are all different, so that each one's id is its place."""
    text = "".join(chr(0x4E00 + i) for i in range(characters))
    return ShakespeareTask(ShakespeareSettings(chunk_length=chunk_length), text, "counting")


def whole(task: ShakespeareTask) -> str:
    """Decode the parts, in order, that make up the text."""
    parts = [task.parts["train"], task.parts["validation"]]
    if task.settings.split != "nanogpt":
        parts.append(task.parts["test"])
    return "".join(task.characters[i] for i in torch.cat(parts).tolist())


# --- the bundled text and its parts


def test_the_bundled_file_is_tiny_shakespeare_byte_for_byte(tiny: ShakespeareTask) -> None:
    content = BUNDLED.read_bytes()
    assert len(content) == TINY_BYTES
    assert hashlib.sha256(content).hexdigest() == tiny.data.sha256 == TINY_SHA256
    assert len(tiny.characters) == 65


def test_nanogpt_is_the_literature_s_split() -> None:
    task = load(ShakespeareSettings(split="nanogpt"))
    data = task.data
    assert (data.train_size, data.validation_size, data.test_size) == (1_003_854, 111_540, 111_540)
    assert torch.equal(task.parts["validation"], task.parts["test"])
    assert "validation = test" in data.split
    assert "validation = test" in data.notice


def test_the_default_split_is_90_5_5(tiny: ShakespeareTask) -> None:
    data = tiny.data
    assert data.notice == ""
    shares = {data.train_size: 0.90, data.validation_size: 0.05, data.test_size: 0.05}
    for size, share in shares.items():
        assert size == pytest.approx(share * TINY_BYTES, abs=1)


@pytest.mark.parametrize("split", SPLITS)
def test_the_parts_are_the_text_in_order(split: str) -> None:
    task = load(ShakespeareSettings(split=split))
    assert whole(task) == BUNDLED.read_text(encoding="utf-8")


@pytest.mark.parametrize("characters", [60, 61, 79, 99, 1234])
def test_short_texts_are_split_without_loss(characters: int) -> None:
    task = counting_task(characters)
    assert torch.cat(list(task.parts.values())).tolist() == list(range(characters))


# --- training streams


SHAPES = [
    pytest.param(3000, 1, 128, id="one stream"),
    pytest.param(3000, 8, 16, id="many chunks"),
    pytest.param(3000, 32, 50, id="few chunks"),
    pytest.param(3000, 7, 1, id="chunks of one"),
    pytest.param(3000, 4, 5000, id="chunk longer than the text"),
    pytest.param(60, 32, 128, id="tiny text"),
    pytest.param(200, 64, 3, id="more streams than fit"),
]


def epoch(task: ShakespeareTask, batch_size: int, seed: int) -> list[Batch]:
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
    # Ids are places: each stream goes up by one, and each target is the place after its input.
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
    last = len(task.parts["train"]) - 1
    assert len(set(targets.tolist())) == len(targets)
    assert int(targets.min()) >= 1
    assert int(targets.max()) <= last
    # What may be missing: less than a chunk at the beginning, less than one each at the end.
    assert last - len(targets) < min(chunk_length, last) + batch_size


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("characters", "batch_size", "chunk_length"), SHAPES)
def test_an_epoch_has_the_planned_steps_or_one_fewer(
    characters: int, batch_size: int, chunk_length: int, seed: int
) -> None:
    task = counting_task(characters, chunk_length)
    steps = len(epoch(task, batch_size, seed))
    assert task.steps_per_epoch(batch_size) - steps in (0, 1)


def test_the_offset_is_drawn_anew_each_epoch() -> None:
    def starts(seed: int) -> list[int]:
        order = np.random.default_rng(seed)
        return [int(next(task.batches("train", 4, order)).inputs[0, 0]) for _ in range(200)]

    task = counting_task(3000, chunk_length=16)
    assert starts(0) == starts(0)
    assert starts(0) != starts(1)
    assert set(starts(0)) == set(range(16))


# --- evaluation


@pytest.mark.parametrize("chunk", [1, 7, 149, 150, 4096])
@pytest.mark.parametrize("batch_size", [1, 64])
@pytest.mark.parametrize("split", SPLIT_NAMES)
def test_an_evaluation_predicts_every_character_but_the_first_once(
    split: Split, batch_size: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shakespeare, "EVALUATION_CHUNK", chunk)
    task = counting_task(3000)
    batches = list(task.batches(split, batch_size))
    part = task.parts[split].tolist()
    assert [i for batch in batches for i in batch.targets.flatten().tolist()] == part[1:]
    assert [i for batch in batches for i in batch.inputs.flatten().tolist()] == part[:-1]
    assert [batch.continues for batch in batches] == [False] + [True] * (len(batches) - 1)
    assert all(len(batch.inputs) == 1 for batch in batches)
    assert sum(batch.tokens for batch in batches) == len(part) - 1
    items = [i for batch in batches for i in batch.items.flatten().tolist()]
    assert items == list(range(len(part) - 1))


class FixedPrediction(nn.Module):
    """Answers each character with a row of a table of logits."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, inputs: Tensor, lengths: None, state: None) -> tuple[Tensor, None]:
        return self.table[inputs], None


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_uniform_model_s_perplexity_is_the_size_of_the_alphabet(
    tiny: ShakespeareTask, split: Split
) -> None:
    metrics = evaluate(FixedPrediction(torch.zeros(65, 65)), tiny, split, 1)
    assert metrics["perplexity"] == pytest.approx(65, rel=1e-9)
    assert metrics["bits_per_character"] == pytest.approx(math.log2(65), rel=1e-9)
    assert metrics["loss"] == pytest.approx(math.log(65), rel=1e-9)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_metrics_are_those_of_an_n_gram_model_counted_apart(
    tiny: ShakespeareTask, split: Split, order: int
) -> None:
    text = BUNDLED.read_text(encoding="utf-8")
    sizes = np.cumsum([len(tiny.parts[name]) for name in SPLIT_NAMES])
    train = text[: sizes[0]]
    part = {"validation": text[sizes[0] : sizes[1]], "test": text[sizes[1] :]}[split]
    alphabet = sorted(set(text))
    # Add-one estimates from the training part; the unigram model does not look at the context.
    pairs = Counter(pairwise(train))
    counts = np.array([[pairs[before, after] for after in alphabet] for before in alphabet])
    if order == 1:
        counts = np.broadcast_to(counts.sum(0), counts.shape)
    chances = (counts + 1) / (counts + 1).sum(1, keepdims=True)
    place = {character: i for i, character in enumerate(alphabet)}
    nats = -np.mean(
        [math.log(chances[place[before], place[after]]) for before, after in pairwise(part)]
    )
    # Logits are log-probabilities up to a constant.
    table = torch.from_numpy(np.log(chances)) + 3.0
    metrics = evaluate(FixedPrediction(table), tiny, split, 1)
    assert metrics == pytest.approx(
        {
            "loss": nats,
            "perplexity": math.exp(nats),
            "bits_per_character": nats / math.log(2),
        },
        rel=1e-9,
    )


def network_for(task: ShakespeareTask, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    encoder = RecurrentSettings(cell="lstm", hidden_size=12).build(task.input_size)
    network = task.network(encoder).to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.0)  # away from the near-uniform predictions of a fresh network
    return network


@pytest.mark.parametrize("chunk", [1, 10, 97])
def test_the_size_of_an_evaluation_s_chunks_changes_no_score(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = ShakespeareTask(ShakespeareSettings(), "to be, or not to be: " * 200, "repeated")
    network = network_for(task)
    in_one_piece = evaluate(network, task, "test", 1)
    monkeypatch.setattr(shakespeare, "EVALUATION_CHUNK", chunk)
    assert evaluate(network, task, "test", 1) == pytest.approx(in_one_piece, rel=1e-12)


def test_the_loss_is_the_mean_over_a_batch(tiny: ShakespeareTask) -> None:
    batch = next(tiny.batches("train", 4, np.random.default_rng(0)))
    outputs = torch.randn(*batch.inputs.shape, 65, dtype=torch.float64)
    chosen = outputs.log_softmax(-1).gather(-1, batch.targets.unsqueeze(-1))
    assert float(tiny.loss(outputs, batch)) == pytest.approx(-float(chosen.mean()), rel=1e-12)


def test_predictions_are_the_nats_of_each_character(tiny: ShakespeareTask) -> None:
    batch = next(tiny.batches("train", 4, np.random.default_rng(0)))
    outputs = torch.randn(*batch.inputs.shape, 65)
    (name, nats), *others = tiny.predictions(outputs, batch).items()
    assert (name, others, nats.dtype) == ("nats", [], torch.float32)
    assert nats.shape == batch.items.flatten().shape
    chosen = outputs.double().log_softmax(-1).gather(-1, batch.targets.unsqueeze(-1))
    np.testing.assert_allclose(nats, -chosen.flatten(), rtol=1e-6)


def test_a_hopeless_model_has_a_finite_perplexity(tiny: ShakespeareTask) -> None:
    assert math.isfinite(tiny.metrics({"nats": 1e7, "characters": 10.0})["perplexity"])


@pytest.mark.parametrize("characters", [60, 1000])
def test_single_sequences_lie_in_the_validation_part(characters: int) -> None:
    task = counting_task(characters, chunk_length=16)
    known = set(task.parts["validation"].tolist())
    first = min(known)
    batches = list(task.single_sequences(20))
    assert len(batches) == 20
    for batch in batches:
        assert batch.inputs.shape == (1, min(16, len(known) - 1))
        assert torch.equal(batch.targets, batch.inputs + 1)
        assert torch.equal(batch.items, batch.inputs - first)
        assert {*batch.inputs.flatten().tolist(), *batch.targets.flatten().tolist()} <= known


# --- baselines


@pytest.mark.parametrize(
    ("name", "nats"),
    [("kneser_ney_3", 2.038), ("kneser_ney_4", 1.719), ("kneser_ney_7", 1.5165)],
)
def test_kneser_ney_has_its_known_nats_on_the_literature_s_split(name: str, nats: float) -> None:
    task = load(ShakespeareSettings(split="nanogpt"))
    metrics = evaluate(task.fit_baseline(name, 0), task, "test", 1)
    assert metrics["loss"] == pytest.approx(nats, abs=6e-4)


def test_the_naive_baseline_is_the_add_one_unigram(tiny: ShakespeareTask) -> None:
    settings = tiny.settings
    assert [*settings.baselines()][:2] == ["unigram", "uniform"]
    kinds = [baseline.kind for baseline in settings.baselines().values()]
    assert kinds == ["naive", "simple", *["classical"] * 6]
    counts = np.bincount(tiny.parts["train"], minlength=65) + 1.0
    nats = -np.log(counts / counts.sum())[tiny.parts["test"][1:]].mean()
    found = evaluate(tiny.fit_baseline("unigram", 0), tiny, "test", 1)
    assert found["loss"] == pytest.approx(nats, rel=1e-12)
    uniform = evaluate(tiny.fit_baseline("uniform", 0), tiny, "test", 1)
    assert uniform["perplexity"] == pytest.approx(65, rel=1e-12)


# --- corpora


def corpus(folder: Path, content: bytes) -> ShakespeareSettings:
    (folder / "text.txt").write_bytes(content)
    return ShakespeareSettings(corpus=str(folder / "text.txt"))


TEXT = "Wer reitet so spät durch Nacht und Wind?\nEs ist der Vater mit seinem Kind;\n" * 3


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TEXT.encode(), id="plain"),
        pytest.param(TEXT.encode("utf-8-sig"), id="byte-order mark"),
        pytest.param(TEXT.replace("\n", "\r\n").encode(), id="Windows line ends"),
        pytest.param(TEXT.replace("\n", "\r\n").encode("utf-8-sig"), id="both"),
    ],
)
def test_the_same_text_is_the_same_data_however_it_was_saved(
    content: bytes, tmp_path: Path
) -> None:
    task = load(corpus(tmp_path, content))
    assert whole(task) == TEXT
    assert task.characters == sorted(set(TEXT))
    assert task.data.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert "text.txt" in task.data.name


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "the text is empty", id="empty"),
        pytest.param(b" \r\n\t\n" * 100, "the text is empty", id="white space"),
        pytest.param("\ufeff".encode(), "the text is empty", id="byte-order mark alone"),
        pytest.param(b"ab" * 50 + b"\xff", "not UTF-8 text (byte 100 ", id="not UTF-8"),
        pytest.param(TEXT.encode("utf-16"), "not UTF-8 text (byte 0 ", id="UTF-16"),
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
def test_a_corpus_that_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    settings = ShakespeareSettings(corpus=str(tmp_path / name))
    with pytest.raises(DataError, match="there is no such file"):
        settings.check()
    with pytest.raises(DataError, match="cannot be read"):
        load(settings)


def test_sixty_characters_are_enough_as_the_message_says() -> None:
    with pytest.raises(DataError, match="60 characters or more"):
        counting_task(20)
    task = counting_task(60)
    assert all(len(task.parts[split]) >= 2 for split in SPLIT_NAMES)
    assert len(list(task.batches("test", 1))) == 1


def test_the_complete_works_are_read_without_their_file_s_marks() -> None:
    file = ROOT.parent / "shared" / "data" / "shakespeare" / "complete.txt"
    if not file.is_file():
        pytest.skip("the complete works are not in ../shared/data/shakespeare")
    task = load(ShakespeareSettings(corpus=str(file)))
    # The file has a byte-order mark, 149,689 lines that end in CRLF, and 99 distinct characters.
    assert not {"\ufeff", "\r"} & set(task.characters)
    assert len(task.characters) == 98
    assert len(whole(task)) == len(file.read_text(encoding="utf-8-sig"))


# --- the sample


@pytest.fixture(scope="module")
def speaker() -> tuple[ShakespeareTask, nn.Module]:
    settings = ShakespeareSettings(sample_chars=80)
    task = ShakespeareTask(settings, "the quick brown fox\njumps over the lazy dog\n" * 20, "fox")
    return task, network_for(task)


def sample(speaker: tuple[ShakespeareTask, nn.Module], seed: int, **settings: float) -> str:
    task, network = speaker
    changed = {**vars(task.settings), **settings}
    text = ShakespeareTask(ShakespeareSettings(**changed), whole(task), "fox").showcase(
        network, seed
    )
    assert text is not None
    return text


def test_a_sample_is_its_seed_s(speaker: tuple[ShakespeareTask, nn.Module]) -> None:
    before = torch.get_rng_state()
    first = sample(speaker, seed=0)
    assert sample(speaker, seed=0) == first
    assert sample(speaker, seed=1) != first
    # Nothing else's chance is touched.
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("length", [1, 50])
def test_a_sample_has_its_length_and_the_text_s_alphabet(
    speaker: tuple[ShakespeareTask, nn.Module], length: int
) -> None:
    text = sample(speaker, seed=3, sample_chars=length)
    assert len(text) == length
    assert set(text) <= set(speaker[0].characters)


def test_no_sample_is_made_where_none_is_wanted(
    speaker: tuple[ShakespeareTask, nn.Module],
) -> None:
    task = ShakespeareTask(ShakespeareSettings(sample_chars=0), TEXT, "none")
    assert task.showcase(speaker[1], 0) is None


def test_near_temperature_zero_the_likeliest_character_is_taken(
    speaker: tuple[ShakespeareTask, nn.Module],
) -> None:
    task, network = speaker
    # Reference: read the whole text so far at every step, so the state carried is checked as well.
    text = [task.characters.index("\n")]
    with torch.no_grad():
        for _ in range(60):
            logits, _ = network.eval()(torch.tensor([text]))
            text.append(int(logits[0, -1].argmax()))
    expected = "".join(task.characters[i] for i in text[1:])
    for seed in (0, 1):
        assert sample(speaker, seed, temperature=1e-4, sample_chars=60) == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_divides_the_logits(temperature: float) -> None:
    logits = torch.tensor([0.0, 1.0, 2.0])
    settings = ShakespeareSettings(sample_chars=4000, temperature=temperature)
    task = ShakespeareTask(settings, "abc" * 30, "abc")
    text = task.showcase(FixedPrediction(logits.expand(3, 3)), seed=0)
    shares = [Counter(text)[character] / 4000 for character in "abc"]
    np.testing.assert_allclose(shares, (logits / temperature).softmax(-1), atol=0.03)

"""Kneser-Ney against a reference with dictionaries that follows Chen and Goodman's formulas."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tasks.base import Split
from tasks.language.kneser_ney import (
    DEFAULT_DISCOUNTS,
    Integers,
    KneserNey,
    KneserNeyBaseline,
    discounts,
)
from tasks.shakespeare import BUNDLED

TEXT = BUNDLED.read_text(encoding="utf-8")
TRAIN, TEST = TEXT[:6000], TEXT[200_000:200_400]
# Characters that are not in training have a probability too.
ALPHABET = sorted(set(TRAIN + TEST + "xyz€"))


def encode(text: str, alphabet: list[str] = ALPHABET) -> Integers:
    return np.array([alphabet.index(character) for character in text], dtype=np.int64)


class Reference:
    """A slow reference of interpolated modified Kneser-Ney."""

    def __init__(self, text: str, alphabet: list[str], order: int) -> None:
        self.alphabet, self.order = alphabet, order
        grams = {
            n: Counter(text[i : i + n] for i in range(len(text) - n + 1))
            for n in range(1, order + 1)
        }
        self.counts: dict[int, Counter[str]] = {order: grams[order]}
        for n in range(1, order):
            neighbours = defaultdict(set)
            for gram in grams[n + 1]:
                neighbours[gram[1:]].add(gram[0])
            self.counts[n] = Counter({gram: len(left) for gram, left in neighbours.items()})
        self.discounts = {n: self.discounts_of(counts) for n, counts in self.counts.items()}

    @staticmethod
    def discounts_of(counts: Counter[str]) -> list[float]:
        n = Counter(counts.values())
        if not all(n[k] for k in (1, 2, 3, 4)):
            return [0.0, 0.5, 1.0, 1.5]
        y = n[1] / (n[1] + 2 * n[2])
        found = [0.0, *(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))]
        fits = all(0 <= d <= k for k, d in enumerate(found))
        return found if fits else [0.0, 0.5, 1.0, 1.5]

    def probability(self, context: str, character: str) -> float:
        """Probability after the last `order - 1` characters of a context, or as many as it has."""
        length = min(len(context), self.order - 1)
        return self.probability_of_order(length + 1, context[len(context) - length :], character)

    @cache  # noqa: B019
    def probability_of_order(self, n: int, context: str, character: str) -> float:
        if n == 0:
            return 1 / len(self.alphabet)
        lower = self.probability_of_order(n - 1, context[1:], character)
        followers = [self.counts[n][context + other] for other in self.alphabet]
        total = sum(followers)
        if total == 0:
            return lower
        discount = self.discounts[n]
        count = self.counts[n][context + character]
        rest = sum(discount[min(each, 3)] for each in followers)
        return (count - discount[min(count, 3)] + rest * lower) / total


def distributions(model: KneserNey, text: str, alphabet: list[str] = ALPHABET) -> torch.Tensor:
    return torch.from_numpy(model.probabilities(model.contexts(encode(text, alphabet))))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_equal_the_reference(order: int) -> None:
    reference = Reference(TRAIN, ALPHABET, order)
    found = distributions(KneserNey(encode(TRAIN), len(ALPHABET), order), TEST)
    for end in [*range(1, 10), *range(10, 400, 13)]:
        expected = [reference.probability(TEST[:end], character) for character in ALPHABET]
        np.testing.assert_allclose(found[end - 1], expected, rtol=1e-10)


def test_the_longest_orders_agree_too_where_contexts_are_known() -> None:
    reference = Reference(TRAIN, ALPHABET, 8)
    found = distributions(KneserNey(encode(TRAIN), len(ALPHABET), 8), TRAIN[:300])
    for end in [1, 5, 6, 7, 8, 9, 100, 300]:
        expected = [reference.probability(TRAIN[:end], character) for character in "e \nxT€"]
        chosen = found[end - 1, encode("e \nxT€")]
        np.testing.assert_allclose(chosen, expected, rtol=1e-10)


@pytest.mark.parametrize("order", range(1, 9))
def test_every_context_has_a_distribution(order: int) -> None:
    model = KneserNey(encode(TRAIN), len(ALPHABET), order)
    text = TEST + TRAIN[-300:] + "€x€€" + TRAIN[:300]
    found = distributions(model, text)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)
    assert float(found.min()) > 0


@pytest.mark.parametrize("order", [1, 3, 8])
@pytest.mark.parametrize(
    "text",
    ["a" * 50, "ab" * 25, "abcdefgh" * 2, "".join(map(chr, range(0x4E00, 0x4E00 + 60)))],
    ids=["one character", "two in turn", "twice", "all different"],
)
def test_texts_without_counts_of_counts_have_distributions(text: str, order: int) -> None:
    alphabet = sorted({*text, "z"})
    model = KneserNey(encode(text, alphabet), len(alphabet), order)
    found = distributions(model, text + "z" + text, alphabet)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)
    assert float(found.min()) > 0


def test_large_alphabets_do_not_overflow() -> None:
    """20,000 to the power of 8 exceeds 64 bits."""
    text = np.random.default_rng(0).permutation(20_000)
    model = KneserNey(np.concatenate([text, text]), 20_000, 8)
    contexts = model.contexts(text[:40])
    assert [int(known[-1] >= 0) for known in contexts] == [1] * 8
    found = model.probabilities([known[30:] for known in contexts])
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-9)
    assert found.argmax(1).tolist() == text[31:41].tolist()


def test_discounts_follow_counts_of_counts() -> None:
    counts = np.repeat([1, 2, 3, 4, 7], [40, 12, 6, 3, 5])
    y = 40 / 64
    expected = (1 - 2 * y * 12 / 40, 2 - 3 * y * 6 / 12, 3 - 4 * y * 3 / 6)
    assert discounts(counts) == pytest.approx(expected)


@pytest.mark.parametrize(
    "counts",
    [[1, 1, 2, 3], [2, 3, 4, 4], [1, 1, 1, 2, 3, 3, 3, 3, 3, 4]],
    ids=["none of four", "none of one", "below zero"],
)
def test_invalid_discounts_are_replaced_by_the_defaults(counts: list[int]) -> None:
    assert discounts(np.array(counts)) == DEFAULT_DISCOUNTS


def test_a_context_does_not_reach_back_before_its_split() -> None:
    parts: dict[Split, torch.Tensor] = {
        "train": torch.from_numpy(encode(TRAIN)),
        "validation": torch.from_numpy(encode(TRAIN[100:200])),
        "test": torch.from_numpy(encode(TEST)),
    }
    baseline = KneserNeyBaseline(4, parts, len(ALPHABET))
    reference = Reference(TRAIN, ALPHABET, 4)
    for split, text in (("validation", TRAIN[100:200]), ("test", TEST)):
        found = baseline.outputs(split, torch.arange(5).unsqueeze(0)).exp()  # type: ignore[arg-type]
        for item in range(5):
            said = [reference.probability(text[: item + 1], character) for character in ALPHABET]
            np.testing.assert_allclose(found[0, item], said, rtol=1e-10)


def test_outputs_are_log_probabilities_of_the_given_items() -> None:
    text = torch.from_numpy(encode(TEST))
    parts: dict[Split, torch.Tensor] = {
        "train": torch.from_numpy(encode(TRAIN)),
        "validation": text,
        "test": text,
    }
    baseline = KneserNeyBaseline(5, parts, len(ALPHABET))
    items = torch.arange(len(TEST) - 1).unsqueeze(0)
    whole = baseline.outputs("test", items)
    assert whole.shape == (1, len(TEST) - 1, len(ALPHABET))
    some = torch.tensor([[7, 300, 12], [0, 45, 7]])
    assert torch.equal(baseline.outputs("validation", some), whole[0, some])
    nats = float(F.cross_entropy(whole[0], text[1:]))
    reference = Reference(TRAIN, ALPHABET, 5)
    by_hand = [
        -math.log(reference.probability(TEST[:end], TEST[end])) for end in range(1, len(TEST))
    ]
    assert nats == pytest.approx(np.mean(by_hand), rel=1e-10)

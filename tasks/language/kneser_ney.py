"""Counting baselines for text: uniform, unigram, and interpolated modified Kneser-Ney.

Kneser-Ney follows Chen and Goodman (1998, section 3), without sentence boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.base import Baseline, FittedBaseline, Split, exact_dtype
from tasks.language.levels import LevelName

if TYPE_CHECKING:
    from torch import Tensor

Integers = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

DEFAULT_DISCOUNTS = (0.5, 1.0, 1.5)  # as in KenLM (Heafield et al. 2013)
ORDERS: dict[LevelName, range] = {"char": range(3, 9), "word": range(2, 6), "bpe": range(2, 7)}
"""A word spans several characters, so that counts of long n-grams are empty."""


def baselines(level: LevelName = "char") -> dict[str, Baseline]:
    """Return the counting baselines of a level, the naive one first."""
    orders = {
        f"kneser_ney_{order}": Baseline(
            "classical",
            f"interpolated modified Kneser-Ney of order {order} (Chen and Goodman 1998)",
        )
        for order in ORDERS[level]
    }
    return {
        "unigram": Baseline("naive", "frequency of each token in training, plus one"),
        "uniform": Baseline("simple", "the same probability for every token"),
        **orders,
    }


@dataclass(frozen=True)
class Level:
    """The n-grams of one length, sorted and grouped by context.

    An n-gram's position is its index as a context of longer n-grams.
    """

    codes: Integers  # (n-grams,) context times the alphabet's size plus last character, ascending
    characters: Integers  # (n-grams,) the last ones
    shares: Floats  # (n-grams,) discounted counts over the context's total
    starts: Integers  # (contexts + 1,) position of each context's first n-gram
    rest: Floats  # (contexts,) probability left to the next lower order

    def find(self, codes: Integers) -> Integers:
        """Return the indices of n-grams; -1 for those that are not in training."""
        places = np.minimum(self.codes.searchsorted(codes), len(self.codes) - 1)
        return np.where(self.codes[places] == codes, places, -1)


class KneserNey:
    """An n-gram model of character ids, counted in a text of at least `order` characters."""

    def __init__(self, text: Integers, alphabet: int, order: int) -> None:
        self.alphabet = alphabet
        self.levels: list[Level] = []
        # The empty context ends before the first character and after every one.
        numbers: Integers = np.zeros(len(text) + 1, dtype=np.int64)
        found = []
        for length in range(1, order + 1):
            context, suffix = numbers[:-1], numbers[1:]
            codes, first, numbers, counts = np.unique(
                context * alphabet + text[length - 1 :],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            found.append((codes, counts, suffix[first]))
        contexts = 1
        for length, (codes, counts, _) in enumerate(found, 1):
            if length < order:
                # Distinct left contexts: the number of longer n-grams that end in this one.
                counts = np.bincount(found[length][2], minlength=len(codes))
            self.levels.append(make_level(codes, counts, contexts, alphabet))
            contexts = len(codes)

    @property
    def parameters(self) -> int:
        """Count one share per n-gram and one rest per context."""
        return sum(len(level.shares) + len(level.rest) for level in self.levels)

    def contexts(self, text: Integers) -> list[Integers]:
        """Return the index of each character's context (characters,), or -1, per length from 0."""
        found: list[Integers] = [np.zeros(len(text), dtype=np.int64)]
        for level in self.levels[:-1]:
            first = 0 if len(found) == 1 else -1  # only the empty context ends before the text
            shorter = np.concatenate([[first], found[-1][:-1]])
            found.append(np.where(shorter < 0, -1, level.find(shorter * self.alphabet + text)))
        return found

    def probabilities(self, contexts: list[Integers]) -> Floats:
        """Return distributions (places, alphabet) after contexts (places,) of each length."""
        unigrams = np.full(self.alphabet, 1 / self.alphabet) * self.levels[0].rest
        unigrams[self.levels[0].characters] += self.levels[0].shares
        result = np.tile(unigrams, (len(contexts[0]), 1))
        # The only large arrays are of this shape: the n-grams of longer contexts are few.
        for level, numbers in zip(self.levels[1:], contexts[1:], strict=True):
            rows = np.flatnonzero(numbers >= 0)
            known = numbers[rows]
            rests = np.ones(len(result))
            rests[rows] = level.rest[known]
            result *= rests[:, None]
            sizes = level.starts[known + 1] - level.starts[known]
            # The n-grams of a row are adjacent: their positions count up from its start.
            skipped = np.repeat(level.starts[known] - (sizes.cumsum() - sizes), sizes)
            places = np.arange(len(skipped)) + skipped
            result[np.repeat(rows, sizes), level.characters[places]] += level.shares[places]
        return result


def make_level(codes: Integers, counts: Integers, contexts: int, alphabet: int) -> Level:
    """Discount the counts (n-grams,) of one order; that of the text's first n-gram may be 0."""
    context, characters = np.divmod(codes, alphabet)
    discount = np.array([0.0, *discounts(counts)])[np.minimum(counts, 3)]
    totals = np.bincount(context, counts, contexts)
    kept = np.bincount(context, discount, contexts)
    safe = np.maximum(totals, 1)
    return Level(
        codes=codes,
        characters=characters,
        shares=(counts - discount) / safe[context],
        starts=np.searchsorted(context, np.arange(contexts + 1)),
        # A context without a successor leaves everything to the lower order.
        rest=np.where(totals > 0, kept / safe, 1.0),
    )


def discounts(counts: Integers) -> tuple[float, float, float]:
    """Compute the discounts of counts 1, 2, and 3 or more (Chen and Goodman 1998, eq. 17)."""
    once, twice, thrice, four = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if not once * twice * thrice * four:
        return DEFAULT_DISCOUNTS
    y = once / (once + 2 * twice)
    found = 1 - 2 * y * twice / once, 2 - 3 * y * thrice / twice, 3 - 4 * y * four / thrice
    possible = all(0 <= value <= count for count, value in enumerate(found, 1))
    return found if possible else DEFAULT_DISCOUNTS


class KneserNeyBaseline(FittedBaseline):
    """Kneser-Ney of some order on the character ids of each split."""

    def __init__(self, order: int, splits: dict[Split, Tensor], alphabet: int) -> None:
        texts = {split: text.cpu().numpy() for split, text in splits.items()}
        self.model = KneserNey(texts.pop("train"), alphabet, order)
        self.parameters = self.model.parameters
        # Like the state of a network, contexts begin empty in each split.
        self.contexts = {split: self.model.contexts(text) for split, text in texts.items()}

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """Return log-probabilities (batch, time, alphabet)."""
        places = items.flatten().cpu().numpy()
        probabilities = self.model.probabilities([each[places] for each in self.contexts[split]])
        return on_device(np.log(probabilities), items).reshape(*items.shape, -1)


class UnconditionalBaseline(FittedBaseline):
    """One distribution, from counts, for every position."""

    def __init__(self, counts: Floats, parameters: int) -> None:
        self.log_probabilities = np.log(counts / counts.sum())
        self.parameters = parameters

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """Return log-probabilities (batch, time, alphabet)."""
        return on_device(self.log_probabilities, items).expand(*items.shape, -1)


def on_device(values: Floats, items: Tensor) -> Tensor:
    """Move values to the device of the items, in float64 if the device supports it."""
    import torch

    return torch.from_numpy(values).to(items.device, exact_dtype(items.device))


def fit(name: str, splits: dict[Split, Tensor], alphabet: int) -> FittedBaseline:
    """Fit one of the `baselines` to the character ids of the training split."""
    if name == "uniform":
        return UnconditionalBaseline(np.ones(alphabet), parameters=0)
    if name == "unigram":
        counts = np.bincount(splits["train"].cpu().numpy(), minlength=alphabet)
        return UnconditionalBaseline(np.ones(alphabet) + counts, parameters=alphabet)
    return KneserNeyBaseline(int(name.removeprefix("kneser_ney_")), splits, alphabet)

"""Counting baselines for text: uniform, unigram, and interpolated modified Kneser-Ney.

Kneser-Ney as in Chen and Goodman (1998, section 3): three discounts per order from counts of
counts, orders below the highest counted by distinct left neighbours, all orders interpolated, the
lowest with the uniform distribution, so that every character of the alphabet has a probability
after any context. A text is one stream: nothing marks where a sentence begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.base import Baseline, FittedBaseline, Split

if TYPE_CHECKING:
    from torch import Tensor

Integers = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

USUAL_DISCOUNTS = (0.5, 1.0, 1.5)
"""For orders whose counts of counts give none, as KenLM has them (Heafield et al. 2013)."""


def baselines() -> dict[str, Baseline]:
    """Name the counting baselines, the naive one first."""
    orders = {
        f"kneser_ney_{order}": Baseline(
            "classical",
            f"interpolated modified Kneser-Ney of order {order} (Chen and Goodman 1998)",
        )
        for order in range(3, 9)
    }
    return {
        "unigram": Baseline("naive", "frequency of each character in training, plus one"),
        "uniform": Baseline("simple", "every character of the alphabet alike"),
        **orders,
    }


@dataclass(frozen=True)
class Level:
    """The n-grams of one length, sorted, those of one context side by side.

    Attributes:
        codes: (n-grams,) context's number times the alphabet's size plus last character, ascending;
            an n-gram's place is its number, by which longer ones know it as their context.
        characters: (n-grams,) the last ones.
        shares: (n-grams,) discounted counts over the context's total.
        starts: (contexts + 1,) where each context's n-grams begin.
        rest: (contexts,) what discounting leaves to the next lower order.
    """

    codes: Integers
    characters: Integers
    shares: Floats
    starts: Integers
    rest: Floats

    def find(self, codes: Integers) -> Integers:
        """Number n-grams by their codes; -1 where training had none such."""
        places = np.minimum(self.codes.searchsorted(codes), len(self.codes) - 1)
        return np.where(self.codes[places] == codes, places, -1)


class KneserNey:
    """An n-gram model of character ids.

    Args:
        text: (characters,) ids to count, at least `order` of them.
        alphabet: number of ids there are.
        order: length of the longest n-grams.
    """

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
                # Distinct left neighbours: how many longer n-grams end in this one.
                counts = np.bincount(found[length][2], minlength=len(codes))
            self.levels.append(make_level(codes, counts, contexts, alphabet))
            contexts = len(codes)

    @property
    def parameters(self) -> int:
        """Count what is kept: a share per n-gram, a rest per context."""
        return sum(len(level.shares) + len(level.rest) for level in self.levels)

    def contexts(self, text: Integers) -> list[Integers]:
        """Number the contexts that end at each character of a text.

        Returns:
            One array (characters,) per length from 0 on, -1 where training had no such context or
            the text has not that many characters yet.
        """
        found: list[Integers] = [np.zeros(len(text), dtype=np.int64)]
        for level in self.levels[:-1]:
            nothing = 0 if len(found) == 1 else -1  # only the empty context ends before the text
            shorter = np.concatenate([[nothing], found[-1][:-1]])
            found.append(np.where(shorter < 0, -1, level.find(shorter * self.alphabet + text)))
        return found

    def probabilities(self, contexts: list[Integers]) -> Floats:
        """Distributions (places, alphabet) of the character after each context.

        Args:
            contexts: (places,) per length, as `contexts` gives them.
        """
        chances = np.full((len(contexts[0]), self.alphabet), 1 / self.alphabet)
        for level, numbers in zip(self.levels, contexts, strict=True):
            rows = np.flatnonzero(numbers >= 0)
            known = numbers[rows]
            chances[rows] *= level.rest[known, None]
            sizes = level.starts[known + 1] - level.starts[known]
            # Each row's n-grams lie side by side: their places count up from where they start.
            skipped = np.repeat(level.starts[known] - (sizes.cumsum() - sizes), sizes)
            places = np.arange(len(skipped)) + skipped
            chances[np.repeat(rows, sizes), level.characters[places]] += level.shares[places]
        return chances


def make_level(codes: Integers, counts: Integers, contexts: int, alphabet: int) -> Level:
    """Discount the counts of one order.

    Args:
        codes, counts: (n-grams,) as in `Level`; what begins the text may have a count of 0.
        contexts: how many n-grams the next lower order has.
        alphabet: number of ids.
    """
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
        # A context without a successor says nothing.
        rest=np.where(totals > 0, kept / safe, 1.0),
    )


def discounts(counts: Integers) -> tuple[float, float, float]:
    """What to take off counts of 1, of 2, and of 3 and more (Chen and Goodman 1998, eq. 17).

    The usual ones where a small text has no n-grams of some count up to 4, or too few to believe.
    """
    once, twice, thrice, four = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if not once * twice * thrice * four:
        return USUAL_DISCOUNTS
    y = once / (once + 2 * twice)
    found = 1 - 2 * y * twice / once, 2 - 3 * y * thrice / twice, 3 - 4 * y * four / thrice
    possible = all(0 <= value <= count for count, value in enumerate(found, 1))
    return found if possible else USUAL_DISCOUNTS


class KneserNeyBaseline(FittedBaseline):
    """Kneser-Ney in the place of a net.

    Args:
        order: of the model.
        parts: character ids of each split.
        alphabet: number of ids.
    """

    def __init__(self, order: int, parts: dict[Split, Tensor], alphabet: int) -> None:
        texts = {split: part.cpu().numpy() for split, part in parts.items()}
        self.model = KneserNey(texts.pop("train"), alphabet, order)
        self.parameters = self.model.parameters
        # As a net's state begins empty, no context reaches back before its split.
        self.contexts = {split: self.model.contexts(text) for split, text in texts.items()}

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """Log-probabilities (batch, time, alphabet); see `FittedBaseline.outputs`."""
        places = items.flatten().cpu().numpy()
        chances = self.model.probabilities([each[places] for each in self.contexts[split]])
        return on_device(np.log(chances), items).reshape(*items.shape, -1)


class UnconditionalBaseline(FittedBaseline):
    """One distribution at every place, from counts."""

    def __init__(self, counts: Floats, parameters: int) -> None:
        self.log_chances = np.log(counts / counts.sum())
        self.parameters = parameters

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """Log-probabilities (batch, time, alphabet); see `FittedBaseline.outputs`."""
        return on_device(self.log_chances, items).expand(*items.shape, -1)


def on_device(values: Floats, items: Tensor) -> Tensor:
    """Put numbers where the items are, in float64 if the device has it."""
    import torch

    exact = torch.float32 if items.device.type == "mps" else torch.float64
    return torch.from_numpy(values).to(items.device, exact)


def fit(name: str, parts: dict[Split, Tensor], alphabet: int) -> FittedBaseline:
    """Fit one of the `baselines` to the training part.

    Args:
        name: which.
        parts: character ids of each split.
        alphabet: number of ids.
    """
    if name == "uniform":
        return UnconditionalBaseline(np.ones(alphabet), parameters=0)
    if name == "unigram":
        ones = np.ones(alphabet)
        counts = ones + np.bincount(parts["train"].cpu().numpy(), minlength=alphabet)
        return UnconditionalBaseline(counts, parameters=alphabet)
    return KneserNeyBaseline(int(name.removeprefix("kneser_ney_")), parts, alphabet)

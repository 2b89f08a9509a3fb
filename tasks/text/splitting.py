"""The splits of labelled documents: as given, else drawn by content, in whole groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import SPLITS, DataError, Split
from tasks.common.splits import by_content, groups_of, held_out
from tasks.text.preparation import digest_of_hashes

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

HELD_OUT = 0.15  # test of all, and validation of the rest


@dataclass
class Parts:
    """Train, validation and test, and how they were chosen."""

    frames: dict[Split, pd.DataFrame]
    description: str


def split_documents(
    frames: Mapping[Split, pd.DataFrame],
    classes: Sequence[str],
    group: str | None,
    split_seed: int | None,
) -> Parts:
    """Split documents in canonical order.

    Args:
        frames: with the columns text, label, group and hash; splits other than `train` as given.
        classes: names of the labels.
        group: name of the groups, for messages.
        split_seed: of validation; None to draw it by content.

    Raises:
        DataError: a class would be missing in a split.
    """
    left, parts = frames["train"], dict(frames)
    drawn: tuple[Split, ...] = ("test", "validation")
    to_draw = [split for split in drawn if split not in frames]
    words = [f"{split} as given" for split in SPLITS[:0:-1] if split in frames]
    for number, split in enumerate(to_draw):
        seed = split_seed if split == "validation" else None
        chosen = choose(left, classes, group, seed, len(to_draw) - number + 1)
        parts[split], left = left[chosen], left[~chosen]
        rest = {"test": "", "validation": " of the rest" if number else " of train"}[split]
        how = "content" if seed is None else f"seed {seed}"
        words.append(f"{split} {HELD_OUT:.0%}{rest} by {how}")
    parts["train"] = left
    check_classes(parts, classes)
    if to_draw:
        shared = f"no text{f' or {group}' if group else ''} of {' or '.join(to_draw)} in train"
        words.append(f"stratified, {shared}")
    hashes = [each for split in SPLITS[1:] for each in ("/", *parts[split]["hash"])]
    words.append(f"sha256 {digest_of_hashes(hashes)[:8]}")
    return Parts({split: parts[split] for split in SPLITS}, ", ".join(words))


def choose(
    frame: pd.DataFrame, classes: Sequence[str], group: str | None, seed: int | None, needed: int
) -> np.ndarray[Any, Any]:
    """Select (documents,) a share of every class in whole groups.

    Args:
        needed: splits that each need a document of every class.
    """
    import numpy as np

    labels, hashes = frame["label"].to_numpy(), frame["hash"].tolist()
    groups = groups_of(hashes, frame["group"].tolist())
    for label, name in enumerate(classes):
        count = len(np.unique(groups[labels == label]))
        if 0 < count < needed:
            what = f"different value of {group}" if group else "different text"
            raise DataError(
                f"class {name}: only {count} {what}{'s' * (count > 1 and not group)}, but "
                f"{needed} splits need one each; remove its rows, or join it with another class"
            )
    order = (
        by_content(groups, hashes)
        if seed is None
        else np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    )
    chosen = held_out(groups, labels, HELD_OUT, order)
    if chosen is None:
        raise DataError(
            f"{len(frame):,} documents in {int(groups.max()) + 1:,} groups of equal text"
            f"{f' or {group}' if group else ''} cannot be split with every class in each part; "
            f"give a test split as task.test=PATH"
        )
    return chosen


def check_classes(parts: Mapping[Split, pd.DataFrame], classes: Sequence[str]) -> None:
    """Raise DataError if a class does not occur in training."""
    known = set(parts["train"]["label"])
    for split in SPLITS[1:]:
        unknown = sorted(set(parts[split]["label"]) - known)
        if unknown:
            names = ", ".join(classes[label] for label in unknown[:5])
            raise DataError(
                f"the {split} split has labels that training does not have: {names}; check "
                f"task.label, or remove these rows"
            )

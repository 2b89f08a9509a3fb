"""Splits, scaling and missing values of labelled series."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import SPLITS, DataError, Split
from tasks.common.splits import by_content, content_hash, count_shared, groups_of, held_out
from tasks.series.collection import Collection, natural_order

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Integers = np.ndarray[Any, np.dtype[np.int64]]

SHARE = 0.15  # of the test split, and of validation in the rest


@dataclass
class Items:
    """Series of training and of a given test split, joined.

    Attributes:
        series: of both; the first `trained` are of the training file.
        labels: index of the class of each series.
        hashes: of the values of each series.
    """

    series: Collection
    labels: Integers
    hashes: list[str]
    classes: tuple[str, ...]
    trained: int
    where: str

    @property
    def has_given_test(self) -> bool:
        """Return True if the test split is given."""
        return self.trained < len(self.hashes)


def joined(train: Collection, test: Collection | None, where: str) -> Items:
    """Join series of training and test; `where` begins error messages.

    Raises:
        DataError: there are too few series or classes, or the test split has another class.
    """
    import numpy as np

    assert train.labels is not None
    classes = natural_order(train.labels)
    counts = Counter(train.labels)
    if len(classes) < 2:
        raise DataError(f"{where}: all series have the label {classes[0]}; two are needed")
    needed = 3 if test is None else 2
    few = min(classes, key=lambda name: counts[name])
    if counts[few] < needed:
        splits = "training, validation and test" if test is None else "training and validation"
        raise DataError(
            f"{where}: class {few} has {counts[few]} of {len(train.labels):,} series "
            f"({len(classes)} classes); every class needs {needed}, for {splits}"
        )
    series = train
    if test is not None:
        assert test.labels is not None
        unknown = [label for label in test.labels if label not in counts]
        if unknown:
            raise DataError(
                f"{where}: the test split has the class {unknown[0]}, which training does not have"
            )
        series = both(train, test)
    assert series.labels is not None
    place = {name: number for number, name in enumerate(classes)}
    return Items(
        series,
        np.array([place[label] for label in series.labels]),
        [hash_of(values) for values in series.values],
        tuple(classes),
        len(train.values),
        where,
    )


def both(train: Collection, test: Collection) -> Collection:
    """Return the series of training and test in one collection."""
    assert train.labels is not None
    assert test.labels is not None
    groups = None if train.groups is None else train.groups + (test.groups or [])
    return Collection(
        train.values + test.values,
        train.labels + test.labels,
        train.names + test.names,
        train.channels,
        groups,
        (*train.notices, *(f"test: {said}" for said in test.notices if said not in train.notices)),
    )


def hash_of(values: Floats) -> str:
    """Return a hash of a series (steps, channels), equal for equal values."""
    import numpy as np

    plain = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, one zero
    return content_hash(f"{plain.shape} ".encode() + plain.astype("<f8").tobytes())


def split_items(items: Items) -> tuple[dict[Split, Integers], str]:
    """Return the items of each split in the order of their content, and a description.

    Raises:
        DataError: no split in whole groups has every class on both sides.
    """
    import numpy as np

    every = np.arange(len(items.hashes))
    rest = every[: items.trained]
    test = every[items.trained :]
    if not items.has_given_test:
        rest, test = parted(items, rest, "test")
    rest, validation = parted(items, rest, "validation")
    keys = np.array(
        [
            f"{h} {label} {name}"
            for h, label, name in zip(
                items.hashes, items.labels.tolist(), items.series.names, strict=True
            )
        ]
    )
    splits: dict[Split, Integers] = {}
    for name, chosen in zip(SPLITS, (rest, validation, test), strict=True):
        splits[name] = chosen[np.argsort(keys[chosen], kind="stable")]
    shared = "no group on two sides" if items.series.groups else "equal series on one side"
    drawn = f"validation {SHARE:.0%} of train, by content hash, stratified, {shared}"
    given = "test as given" if items.has_given_test else f"test {SHARE:.0%}"
    return splits, f"{given}, {drawn}"


def parted(items: Items, chosen: Integers, title: str) -> tuple[Integers, Integers]:
    """Return the rest of some items, and a share of every class in whole groups."""
    hashes = [items.hashes[i] for i in chosen]
    keys: list[Sequence[Any]] = [hashes]
    if items.series.groups is not None:
        keys.append([items.series.groups[i] for i in chosen])
    groups = groups_of(*keys)
    labels = items.labels[chosen]
    selected = held_out(groups, labels, SHARE, by_content(groups, hashes))
    if selected is None:
        kind = "groups of task.group" if items.series.groups else "groups of equal series"
        raise DataError(
            f"{items.where}: no {title} split in whole {kind} has every class on both sides "
            f"({len(set(groups.tolist()))} groups of {len(chosen):,} series)"
        )
    return chosen[~selected], chosen[selected]


def data_hash(items: Items, splits: dict[Split, Integers]) -> str:
    """Return a hash of all values, labels and splits, independent of the format of the file."""
    lines = [
        f"{split} {items.hashes[i]} {items.classes[items.labels[i]]}\n"
        for split, chosen in splits.items()
        for i in chosen.tolist()
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def shared_notices(items: Items, splits: dict[Split, Integers]) -> tuple[int, tuple[str, ...]]:
    """Count the test series whose values training or validation have too; return notices."""
    seen = [i for split in SPLITS[:2] for i in splits[split].tolist()]
    tested = splits["test"].tolist()
    shared = count_shared((items.hashes[i] for i in tested), (items.hashes[i] for i in seen))
    notices = []
    if shared:
        notices.append(f"{shared:,} of {len(tested):,} test series are in training or validation")
    groups = items.series.groups
    if groups is not None:
        common = {groups[i] for i in tested} & {groups[i] for i in seen}
        if common:
            notices.append(f"{len(common):,} groups are in the test split and in training")
    return shared, tuple(notices)


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation (channels,) of the training split."""

    mean: Floats
    deviation: Floats

    def apply(self, values: Floats, has_mask: bool) -> Floats:
        """Scale a series (steps, channels) and fill missing values, with mask channels behind.

        A missing value becomes the one before it in its series, or the mean if there is none.
        The mask is 1 where a value was present.
        """
        import numpy as np

        known = ~np.isnan(values)
        steps = np.arange(len(values))[:, None]
        last = np.maximum.accumulate(np.where(known, steps, -1), axis=0)
        scaled = (values - self.mean) / self.deviation
        carried = np.take_along_axis(scaled, last.clip(min=0), axis=0)
        filled = np.where(last >= 0, carried, 0.0)
        return np.concatenate([filled, known], axis=1) if has_mask else filled


def fit_scaling(
    values: Sequence[Floats], channels: Sequence[str], where: str, has_names: bool = False
) -> tuple[Scaling, tuple[str, ...]]:
    """Return the scaling of the training series, and a notice on constant channels.

    Args:
        values: (steps, channels) of each series.
        channels: their names.
        where: beginning of error messages.
        has_names: the channels are columns, which `task.features` can choose.

    Raises:
        DataError: a channel has no value in training, or its values are too large.
    """
    import numpy as np

    steps = np.concatenate(values)
    empty = np.isnan(steps).all(0)
    if empty.any():
        name = channels[int(empty.argmax())]
        others = ",".join(channels[int(n)] for n in np.flatnonzero(~empty))
        remedy = f"; leave it out, as in task.features=[{others}]" if has_names and others else ""
        raise DataError(f"{where}: {name} has no value in the training split{remedy}")
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = np.nanmean(steps, 0), np.nanstd(steps, 0)
    if not np.isfinite(deviation).all():
        name = channels[int((~np.isfinite(deviation)).argmax())]
        raise DataError(f"{where}: the values of {name} are too large to be scaled")
    # Rounding gives equal values a small deviation, and another mean.
    least = np.nanmin(steps, 0)
    constant = np.nanmax(steps, 0) == least
    names = [name for name, is_constant in zip(channels, constant, strict=True) if is_constant]
    notices = (f"constant in training: {', '.join(names)}",) if names else ()
    scaling = Scaling(np.where(constant, least, mean), np.where(constant, 1.0, deviation))
    return scaling, notices

"""Classification of real-valued sequences in two or more classes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.base import (
    Baseline,
    Batch,
    Cache,
    DataDescription,
    DataError,
    FittedBaseline,
    SequenceEncoder,
    Split,
    Task,
    setting,
)
from tasks.common.classification import ClassificationSettings, ClassificationTask
from tasks.series.baselines import BASELINES, fit
from tasks.series.collection import Collection, Columns
from tasks.series.preparation import (
    Items,
    data_hash,
    fit_scaling,
    joined,
    shared_notices,
    split_items,
)
from tasks.series.readers import read_collection, read_files, recognised

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from tasks.series.batches import SeriesTensors


@dataclass
class SeriesSettings(ClassificationSettings):
    """Classification of real-valued sequences with labels."""

    name: ClassVar[str] = "series"
    data_needs: ClassVar[str] = (
        "labelled series need task.id=NAME task.label=NAME, or a .ts or .npz file"
    )
    data_endings: ClassVar[tuple[str, ...]] = (".ts", ".npz")

    data: str | None = setting(
        None,
        "file of labelled series: .ts (UCR/UEA), .npz (X, y), or a table with one row per step "
        "(id, time, features, label) or per series",
        identity=False,
        is_path=True,
    )
    test: str | None = setting(
        None,
        "file of the test split; null for NAME_TEST next to NAME_TRAIN or X_test in an archive, "
        "else for a share of the data, drawn by content hash",
        identity=False,
        is_path=True,
    )
    id: str | None = setting(None, "column that names the series of a step", identity=False)
    time: str | None = setting(None, "column of times within a series", identity=False)
    label: str | None = setting(None, "column of labels", identity=False)
    group: str | None = setting(
        None,
        "column, or array of an archive, whose values are in one split each, such as persons",
        identity=False,
    )
    features: list[str] | None = field(
        default=None,
        metadata={
            "help": "columns of the channels, or of the steps of a wide table; null for all others",
            "identity": False,
        },
    )
    missing: str = setting(
        "impute",
        "missing values. impute: the value before it, else the mean of training; mask: a channel "
        "for each channel says where values are present, too",
        choices=("impute", "mask"),
    )
    pooling: str = setting(
        "mean_max",
        "reduction of the outputs of all steps to one: attention weights steps by a small network, "
        "max_attention by their product with the maximum",
        choices=("last", "mean", "max", "mean_max", "attention", "max_attention"),
    )

    @property
    def columns(self) -> Columns:
        """Return the settings of columns."""
        features = None if self.features is None else tuple(self.features)
        return Columns(self.id, self.time, self.label, self.group, features)

    @staticmethod
    def recognises(path: Path) -> str:
        """See `TaskSettings.recognises`."""
        return recognised(path)

    def baselines(self) -> dict[str, Baseline]:
        """See `TaskSettings.baselines`."""
        return BASELINES

    def check(self) -> None:
        """Check that the files exist."""
        if self.data is None:
            raise ValueError(
                "task.data: is required; give a file of labelled series: .ts, .npz or a table"
            )
        for key in ("data", "test"):
            value = getattr(self, key)
            if value is not None and not Path(value).is_file():
                problem = "is a folder; give a file" if Path(value).is_dir() else "no such file"
                raise DataError(f"task.{key}={value}: {problem}")

    def load(self, cache: Cache) -> Task:
        """Read the series; parsing is fast enough without the cache."""
        assert self.data is not None
        train, test, title = read_files(self.data, self.test, self.columns)
        items = joined(train, test, f"task.data={self.data}")
        if self.metric == "auroc" and len(items.classes) != 2:
            raise DataError(
                f"task.metric=auroc: requires two classes; the data has {len(items.classes)} "
                f"(allowed: accuracy, macro_f1, log_loss)"
            )
        return SeriesTask(self, items, title)


class SeriesTask(ClassificationTask):
    """Series of all splits, scaled by channel."""

    def __init__(self, settings: SeriesSettings, items: Items, title: str) -> None:
        self.settings, self.items_read = settings, items
        self.classes = items.classes
        self.members, description = split_items(items)
        series = items.series
        self.channels = series.channels
        train = [series.values[i] for i in self.members["train"]]
        self.scaling, notices = fit_scaling(
            train, self.channels, items.where, series.has_named_channels
        )
        self.has_mask = settings.missing == "mask"
        self.input_size = len(self.channels) * (2 if self.has_mask else 1)
        self.series: dict[Split, SeriesTensors] = {
            split: self._tensors([series.values[i] for i in members], items.labels[members])
            for split, members in self.members.items()
        }
        shared, shared_said = shared_notices(items, self.members)
        self.data = DataDescription(
            name=f"series {title}",
            sha256=data_hash(items, self.members),
            split=description,
            train_size=len(self.members["train"]),
            validation_size=len(self.members["validation"]),
            test_size=len(self.members["test"]),
            unit="series",
            notices=(*series.notices, *self._missing_notice(), *notices, *shared_said),
            test_in_train=shared,
        )
        self.new_names: list[str] = []

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`."""
        self.series = {split: series.to(device, dtype) for split, series in self.series.items()}

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """See `Task.network`."""
        from tasks.modules.network import SequenceNetwork

        return SequenceNetwork(encoder, self.output_size, self.settings.pooling)

    def steps_per_epoch(self, batch_size: int) -> int:
        """See `Task.steps_per_epoch`."""
        return math.ceil(len(self.series["train"]) / batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Yield batches in random order, or in the order of lengths, which wastes no padding."""
        import numpy as np

        series = self.series[split]
        members = (
            np.argsort(series.lengths, kind="stable")
            if order is None
            else order.permutation(len(series))
        )
        for start in range(0, len(members), batch_size):
            yield series.batch(members[start : start + batch_size])

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Yield single series of validation in a fixed order."""
        import numpy as np

        series = self.series["validation"]
        for i in range(count):
            yield series.batch(np.array([i % len(series)]))

    def items(self, split: Split) -> dict[str, list[str]]:
        """Return the names of the series of a split."""
        names = self.items_read.series.names
        return {"series": [names[i] for i in self.members[split]]}

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """See `Task.fit_baseline`; masks are left out."""
        values, labels = self.items_read.series.values, self.items_read.labels
        return fit(
            name,
            {
                split: [self.scaling.apply(values[i], has_mask=False) for i in members]
                for split, members in self.members.items()
            },
            {split: labels[members] for split, members in self.members.items()},
            len(self.classes),
            seed,
        )

    def summary(self) -> dict[str, str]:
        """Describe channels, lengths, missing values and classes."""
        series = self.items_read.series
        lengths = sorted(len(values) for values in series.values)
        assert series.labels is not None
        counts = Counter(series.labels)
        return super().summary() | {
            "series": f"{len(lengths):,}",
            "channels": f"{len(self.channels)}: {', '.join(self.channels)}",
            "steps": f"{lengths[0]:,} to {lengths[-1]:,}, median {lengths[len(lengths) // 2]:,}",
            "missing values": self._missing_share() or "none",
            "classes": f"{len(self.classes)}: "
            + ", ".join(f"{name} ({counts[name]:,})" for name in self.classes),
        }

    def new_batches(self, file: str, batch_size: int) -> Iterator[Batch]:
        """See `Task.new_batches`; labels of the file are ignored."""
        import numpy as np

        new = self._read_new(file)
        self.new_names = new.names
        series = self._tensors(new.values, np.zeros(len(new.values), dtype=np.int64))
        known = self.series["train"].steps
        series = series.to(known.device, known.dtype)
        for start in range(0, len(series), batch_size):
            yield series.batch(np.arange(start, min(start + batch_size, len(series))))

    def answers(self, outputs: Tensor, batch: Batch) -> dict[str, list[Any]]:
        """Return the name, the predicted class and the probabilities of each new series."""
        names = [self.new_names[item] for item in batch.items.tolist()]
        return {"series": names} | super().answers(outputs, batch)

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, str]]:
        """See `Task.preprocessing`."""
        inputs = (
            "(batch, time, channels): the value less `mean`, divided by `deviation`; a missing "
        )
        inputs += "value is the one before it, else 0; padded with 0 to the longest of a batch"
        if self.has_mask:
            inputs += "; behind the channels, one mask each: 1 where the value was present, else 0"
        outputs = "logits of `classes`"
        if len(self.classes) == 2:
            outputs = "log-odds of the second of `classes`, which is predicted above 0"
        return {
            "inputs": inputs,
            "channels": self.channels,
            "mean": self.scaling.mean.tolist(),
            "deviation": self.scaling.deviation.tolist(),
            "lengths": "steps of each series, without padding",
            "classes": list(self.classes),
            "outputs": outputs,
        }, {}

    def _read_new(self, file: str) -> Collection:
        columns = self.settings.columns
        if self.items_read.series.has_named_channels:
            columns = replace(columns, features=tuple(self.channels))
        new = read_collection(Path(file), file, columns, "test", is_labelled=False)
        if len(new.channels) != len(self.channels):
            raise DataError(
                f"{file}: {len(new.channels)} channels; the network reads {len(self.channels)} "
                f"({', '.join(self.channels)})"
            )
        return new

    def _tensors(
        self, values: list[np.ndarray[Any, Any]], labels: np.ndarray[Any, Any]
    ) -> SeriesTensors:
        from tasks.series.batches import tensors_of

        return tensors_of([self.scaling.apply(each, self.has_mask) for each in values], labels)

    def _missing_share(self) -> str:
        """Return the share of missing values in words; empty if none is missing."""
        import numpy as np

        values = self.items_read.series.values
        missing = sum(int(np.isnan(each).sum()) for each in values)
        if not missing:
            return ""
        affected = sum(bool(np.isnan(each).any()) for each in values)
        share = missing / sum(each.size for each in values)
        return f"{missing:,} ({share:.2%} of all), in {affected:,} of {len(values):,} series"

    def _missing_notice(self) -> tuple[str, ...]:
        share = self._missing_share()
        if not share:
            return ()
        if self.has_mask:
            return (f"missing values: {share}; masked (task.missing=mask)",)
        return (
            f"missing values: {share}; imputed by the value before, else the mean of training "
            f"(task.missing=mask adds masks)",
        )

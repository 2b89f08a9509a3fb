"""What every task definition has in common: its settings, its data and its objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn


class SequenceEncoder(Protocol):
    """What a task may use of the encoder it is given, which is an `nn.Module` too."""

    output_size: int
    dropout: float

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Map (inputs, lengths, state, need_state) to outputs and state."""

    def last_outputs(self, outputs: Tensor, lengths: Tensor | None, state: Any = None) -> Tensor:
        """Pick each sequence's outputs after its last valid step; by the final state, if given."""


Split = Literal["train", "validation", "test"]


class DataError(Exception):
    """The user's data cannot be used; the text is one line that says what is wrong and where."""


@dataclass(frozen=True)
class Metric:
    """The number a task is judged by; its name is a column of the results table.

    Attributes:
        perfect: what it is at best, which no model need reach.
    """

    name: str
    unit: str
    higher_is_better: bool
    perfect: float


@dataclass(frozen=True)
class Baseline:
    """A method that is no recurrent net, on the same data and the same metric.

    Attributes:
        kind: a task has one `naive` baseline, from which skill is counted; `simple` ones fit a
            number or none; `classical` ones are what one would use without neural sequence models.
        help: what it does, and where it comes from.
        is_seeded: whether chance has a part in fitting it.
        needs: modules that take time to import, which is no part of fitting it.
    """

    kind: Literal["naive", "simple", "classical"]
    help: str
    is_seeded: bool = False
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataDescription:
    """What data a run saw: the provenance in its row.

    Attributes:
        name: the data set and where it came from.
        sha256: hash of the content the task read, independent of the container's format.
        split: how train, validation and test were made.
        train_size, validation_size, test_size: in `unit`.
        unit: what is counted, for example reviews.
        notice: what the user must know about this data before trusting the run; may be empty.
    """

    name: str
    sha256: str
    split: str
    train_size: int
    validation_size: int
    test_size: int
    unit: str
    notice: str = ""


@dataclass
class Batch:
    """Sequences that go through the network together.

    Attributes:
        inputs: (batch, time, ...), padded to the longest sequence.
        targets: what the task's loss needs; only the task looks inside.
        tokens: valid steps in all.
        lengths: (batch,) valid steps per sequence; None if all are full.
        items: (batch,), or (batch, time) where every step is an item: numbers within the split of
            what is predicted, from 0; the same for every batch size.
        continues: the sequences go on from those of the batch before, whose state is carried over.
    """

    inputs: Tensor
    targets: Tensor
    tokens: int
    items: Tensor
    lengths: Tensor | None = None
    continues: bool = False


Arrays = dict[str, "np.ndarray[Any, Any]"]
Cache = Callable[[str, Callable[[], tuple[Arrays, dict[str, Any]]]], tuple[Arrays, dict[str, Any]]]
"""`cache(key, build)` gives what `build()` gave the first time anyone asked for `key`."""


@dataclass
class TaskSettings(ABC):
    """Settings of a task; a task derives its own from this.

    Ranges and choices stand in the field metadata and are enforced by the harness. A field with
    `{"identity": False}` says where the data lies, not what it is: the data's hash stands for it
    when two runs are compared.
    """

    name: ClassVar[str]
    metric: ClassVar[Metric]
    version: ClassVar[int] = 1
    """Goes up whenever a change of metric, split, preprocessing or default changes the numbers."""

    causal: ClassVar[bool] = False
    """Whether outputs predict later steps of the same sequence, which no model may read ahead."""

    def baselines(self) -> dict[str, Baseline]:
        """Name the task's baselines, the naive one first."""
        return {}

    def check(self) -> None:  # noqa: B027  not every task has anything to refuse
        """Raise ValueError or DataError for what can be refused before any data is read."""

    @abstractmethod
    def load(self, cache: Cache) -> Task:
        """Read the data.

        Raises:
            DataError: the data is missing or cannot be used.
        """


class FittedBaseline(ABC):
    """A baseline that has been fitted to the training split.

    Attributes:
        parameters: numbers it has learnt and needs to predict.
    """

    parameters: int

    @abstractmethod
    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """Give what a network would give for some items of a split.

        Args:
            split: validation or test.
            items: as in `Batch.items`.

        Returns:
            Outputs of the shape that `Task.sums` takes.
        """


class Task(ABC):
    """A loaded task: batches, the network around the encoder, the loss and the metrics.

    The loss and every metric come from sums over a split that are divided once, so that no number
    depends on the batch size of an evaluation.
    """

    data: DataDescription
    input_size: int
    """Features per step that the encoder takes in."""

    @abstractmethod
    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Put the data on a device; real-valued inputs and targets take `dtype`."""

    @abstractmethod
    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """Put the task's input adapter and head around an encoder.

        The result has the encoder as its attribute `encoder` and is called as
        `network(inputs, lengths, state) -> (outputs, state)`.
        """

    @abstractmethod
    def steps_per_epoch(self, batch_size: int) -> int:
        """Count the batches of one training epoch; an epoch may turn out one shorter."""

    @abstractmethod
    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Give each item of a split once: in training order if `order` is given, else fixed."""

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a training batch, a scalar with a gradient."""

    @abstractmethod
    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Scalars that, added over all batches of a split, are what `metrics` needs."""

    @abstractmethod
    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Turn a split's sums into metrics, among them `loss` and the task's own metric."""

    @abstractmethod
    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Give `count` validation sequences one at a time, as latency is measured on them."""

    @abstractmethod
    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Say item by item what was predicted, and what is true: columns of equal length (items,).

        What is kept of a run's test, so that two runs can be compared item by item later.
        """

    def items(self, split: Split) -> dict[str, list[str]]:
        """Name the items of a split in columns of text, such as their days; empty for no names.

        The columns are kept beside `predictions`.
        """
        return {}

    def excerpts(
        self, split: Split, items: Tensor, predictions: dict[str, Tensor]
    ) -> list[dict[str, Any]]:
        """Show the items that were predicted worst, for people to read; empty if none is worth it.

        Args:
            split: that was predicted.
            items: which of its items were, ascending.
            predictions: theirs, in columns, on the CPU.

        Returns:
            Plain records, worst first, with the item's number as `item`.
        """
        return []

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """Fit one of the baselines to the training split; validation may choose its settings.

        Args:
            name: one of `TaskSettings.baselines`.
            seed: of what chance has a part in.
        """
        raise NotImplementedError(f"there is no baseline {name}")

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Say how raw data becomes the network's inputs, and its outputs an answer.

        For who has an exported network and not this project.

        Returns:
            Plain records, and texts of files that go with the network, by name.
        """
        return {}, {}

    def showcase(self, network: nn.Module, seed: int) -> str | None:
        """Text that shows the trained network at work, or None."""
        return None

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

    def last_outputs(self, outputs: Tensor, lengths: Tensor | None) -> Tensor:
        """Pick each sequence's outputs after its last valid step."""


Split = Literal["train", "validation", "test"]


class DataError(Exception):
    """The user's data cannot be used; the text is one line that says what is wrong and where."""


@dataclass(frozen=True)
class Metric:
    """The number a task is judged by; its name is a column of the results table."""

    name: str
    unit: str
    higher_is_better: bool


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
        continues: the sequences go on from those of the batch before, whose state is carried over.
    """

    inputs: Tensor
    targets: Tensor
    tokens: int
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

    def check(self) -> None:  # noqa: B027  not every task has anything to refuse
        """Raise ValueError or DataError for what can be refused before any data is read."""

    @abstractmethod
    def load(self, cache: Cache) -> Task:
        """Read the data.

        Raises:
            DataError: the data is missing or cannot be used.
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

    def showcase(self, network: nn.Module, seed: int) -> str | None:
        """Text that shows the trained network at work, or None."""
        return None

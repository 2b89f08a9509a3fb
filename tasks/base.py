"""The base classes of tasks: settings, data and objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn


class SequenceEncoder(Protocol):
    """The interface of an encoder, which is also an `nn.Module`."""

    input_size: int
    output_size: int

    def output_dropout(self) -> nn.Module:
        """Return a new module for the dropout of outputs, or of what a task pools from them."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Map (inputs, lengths, state, need_state) to outputs and state."""

    def last_outputs(self, outputs: Tensor, lengths: Tensor | None, state: Any = None) -> Tensor:
        """Select each sequence's outputs after its last valid step."""


Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def exact_dtype(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on a device without it."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


class DataError(Exception):
    """Data of the user that cannot be used; the text is one line with the error and its place."""


@dataclass(frozen=True)
class Metric:
    """The metric of a task.

    Attributes:
        name: a column of the results table.
        perfect: the best value.
        margin: smallest difference worth a decision: a number, or per cent of the score (`2%`).
    """

    name: str
    unit: str
    higher_is_better: bool
    perfect: float
    margin: str = ""


@dataclass(frozen=True)
class Baseline:
    """A method without a recurrent network; skill is relative to the naive one."""

    kind: Literal["naive", "simple", "classical"]
    help: str
    is_seeded: bool = False
    needs: tuple[str, ...] = ()  # modules to import before the fit is timed
    extra: str = ""  # the optional dependencies that `needs` requires, by name in pyproject.toml


@dataclass(frozen=True)
class DataDescription:
    """The provenance of a run's data; the hash is independent of the file format.

    Attributes:
        notices: sentences on the data that are printed before training.
        split_seed: of a random split; None for the default one.
        tokenization: how text becomes tokens, and the share of unknown ones.
        vocabulary: tokens from which a language model chooses; scores of others differ in scale.
        test_in_train: items of the test split whose content is in training or validation too.
        metric_unit: of the primary metric, where it follows from the data; else empty.
    """

    name: str
    sha256: str
    split: str
    train_size: int
    validation_size: int
    test_size: int
    unit: str
    notices: tuple[str, ...] = ()
    split_seed: int | None = None
    tokenization: str = ""
    vocabulary: int | None = None
    test_in_train: int | None = None
    metric_unit: str = ""

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The sizes of the splits, in the order of `SPLITS`."""
        return self.train_size, self.validation_size, self.test_size


@dataclass
class Batch:
    """Sequences of one forward pass.

    Items are indices within the split, (batch,), or (batch, items) if a sequence has several, such
    as its steps or the steps that it forecasts.
    """

    inputs: Tensor  # (batch, time, ...), padded to the longest sequence
    targets: Tensor
    tokens: int  # total number of valid steps
    items: Tensor
    lengths: Tensor | None = None  # (batch,) valid steps; None if all are full
    continues: bool = False  # the state of the previous batch is carried over
    refit: int = 0  # number in `Task.refits` of the task whose network computes it


Arrays = dict[str, "np.ndarray[Any, Any]"]
Cache = Callable[[str, Callable[[], tuple[Arrays, dict[str, Any]]]], tuple[Arrays, dict[str, Any]]]
"""`cache(key, build)` returns the stored result of the first `build()` with this key."""


def setting(default: Any, help: str, **limits: Any) -> Any:
    """Define a field of a settings class; see `models.base.setting`."""
    return field(default=default, metadata={"help": help, **limits})


@dataclass
class TaskSettings(ABC):
    """Settings of a task; each task derives its own class from this one."""

    name: ClassVar[str]
    primary_metric: ClassVar[Metric]
    version: ClassVar[int] = 1  # raised by every change of a run's numbers
    causal: ClassVar[bool] = False  # True excludes bidirectional models
    has_tokens: ClassVar[bool] = False  # inputs are token ids, which the network embeds
    can_pretrain: ClassVar[bool] = False  # `Task.pretraining` returns a task
    data_needs: ClassVar[str] = ""  # of `task.data`, for a file that no task recognises
    data_endings: ClassVar[tuple[str, ...]] = ()  # of files that no other task reads

    def baselines(self) -> dict[str, Baseline]:
        """Return the task's baselines by name, the naive one first."""
        return {}

    @staticmethod
    def recognises(path: Path) -> str:
        """Return why `task.data=PATH` is probably data of this kind; empty if it is not."""
        return ""

    @staticmethod
    def guess(path: Path) -> dict[str, str]:
        """Return settings that would probably make a path data of this kind; empty if none would.

        They are proposed to the user, never assumed.
        """
        return {}

    def check(self) -> None:  # noqa: B027  optional
        """Raise ValueError or DataError for mistakes that are visible before data is read."""

    def check_encoder(self, output_size: int | None) -> None:  # noqa: B027  optional
        """Raise ValueError if the task excludes encoders with outputs of a size.

        Args:
            output_size: None if it is solved for a budget.
        """

    @abstractmethod
    def load(self, cache: Cache) -> Task:
        """Read the data; raise DataError if it is missing or cannot be used."""


class FittedBaseline(ABC):
    """A baseline fitted to the training split; `parameters` is its number of fitted numbers."""

    parameters: int

    @abstractmethod
    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """Return outputs for items of the validation or test split, as `Task.sums` takes them."""


class Task(ABC):
    """A loaded task: batches, the network around the encoder, loss and metrics."""

    data: DataDescription
    input_size: int  # of the encoder
    classes: tuple[str, ...] = ()  # names of the labels 0, 1, …; empty without labels

    def refits(self) -> list[Task]:
        """Return the tasks that networks are trained on, one after the other; mostly this one.

        Each network computes the batches of the test split with its number as `Batch.refit`.
        """
        return [self]

    @abstractmethod
    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the data to a device; real-valued inputs and targets take `dtype`."""

    @abstractmethod
    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """Return a network of the task's input layer, the encoder and the task's head.

        It has the attribute `encoder` and maps (inputs, lengths, state) to (outputs, state).
        """

    @abstractmethod
    def steps_per_epoch(self, batch_size: int) -> int:
        """Count the batches of a training epoch; an epoch may have one batch fewer."""

    @abstractmethod
    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Yield each item of a split once: in random order if `order` is given, else fixed."""

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a training batch, a scalar with a gradient."""

    @abstractmethod
    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return what `metrics` requires of a batch: scalars, and tensors (items, ...).

        Over a split, scalars are added and tensors are joined along their first dimension.
        """

    @abstractmethod
    def metrics(self, sums: dict[str, Any]) -> dict[str, float]:
        """Compute metrics of a split, among them `loss` and the task's primary metric.

        Args:
            sums: of `sums` over the split: floats, and tensors on the CPU.
        """

    @abstractmethod
    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Yield `count` validation sequences, one per batch, to measure latency."""

    @abstractmethod
    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return predictions and true values per item, to be stored: columns (items,)."""

    def outputs_of(self, split: Split, items: Tensor, predictions: dict[str, Tensor]) -> Tensor:
        """Return outputs whose predictions are the given ones; the inverse of `predictions`.

        An ensemble is scored in this way. True values are read from the data.

        Args:
            split: of the items.
            items: of a batch.
            predictions: columns in the order of the items.
        """
        raise NotImplementedError

    def items(self, split: Split) -> dict[str, list[str]]:
        """Return columns of text that name the items of a split, such as their days."""
        return {}

    def excerpts(
        self, split: Split, items: Tensor, predictions: dict[str, Tensor]
    ) -> list[dict[str, Any]]:
        """Return readable records of the worst predictions, worst first, each with its `item`."""
        return []

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """Fit one of `TaskSettings.baselines` to the training split; validation may select it."""
        raise NotImplementedError(f"no baseline {name}")

    def pretraining(self, network: nn.Module, is_bidirectional: bool) -> Task | None:
        """Return a task on the inputs of the training split, whose network trains a given one.

        Its network shares layers with `network`, of `self.network`. It has no evaluation, and its
        `data.sha256` is the hash of these inputs.
        """
        return None

    def summary(self) -> dict[str, str]:
        """Return what `scripts/check_data.py` prints of the data, by title."""
        data = self.data
        sizes = (f"{size:,} {split}" for split, size in zip(SPLITS, data.sizes, strict=True))
        return {"data": data.name, "split": f"{', '.join(sizes)} {data.unit}; {data.split}"}

    def new_batches(self, file: str, batch_size: int) -> Iterator[Batch]:
        """Yield batches of new items of a file, in order; their targets are meaningless.

        Raises:
            DataError: the file cannot be used.
            NotImplementedError: the task has no predictions of new data.
        """
        raise NotImplementedError

    def answers(self, outputs: Tensor, batch: Batch) -> dict[str, list[Any]]:
        """Return columns of predictions for a batch of `new_batches`, one entry per item."""
        raise NotImplementedError

    def total(self, answers: dict[str, list[Any]]) -> str:
        """Return what all answers of a file amount to, in words; empty if they do not add up."""
        return ""

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Describe inputs and outputs of an exported network: records, and files by name."""
        return {}, {}

    def showcase(self, network: nn.Module, seed: int) -> str | None:
        """Return a text that demonstrates the trained network, or None."""
        return None

"""What goes into an exported network: its signature, and batches of real sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.modules.encoder import State
from tasks.base import Batch, Task

STATE_NAMES = ("h", "c")
"""The hidden state, and the LSTM's cell state."""


@dataclass(frozen=True)
class Signature:
    """What a network takes and gives beside a batch of inputs.

    Attributes:
        input_dtype: of the inputs.
        input_shape: behind batch and time, () for ids.
        has_lengths: whether it takes the number of valid steps of each sequence.
        states: (layers x directions, hidden) of each tensor of the state it takes and gives; ()
            if its sequences stand alone.
        output_shape: names and numbers of the outputs' dimensions.
    """

    input_dtype: torch.dtype
    input_shape: tuple[int, ...]
    has_lengths: bool
    states: tuple[tuple[int, int], ...]
    output_shape: tuple[str | int, ...]

    @staticmethod
    def of(network: nn.Module, example: Batch) -> Signature:
        """Find out by running a network."""
        with torch.inference_mode():
            outputs, state = network(example.inputs, example.lengths, None)
        behind = tuple(outputs.shape[2:])
        return Signature(
            example.inputs.dtype,
            tuple(example.inputs.shape[2:]),
            example.lengths is not None,
            tuple((part.shape[0], part.shape[2]) for part in state or ()),
            ("batch", "time", *behind) if outputs.dim() > 1 else ("batch",),
        )

    def state_names(self) -> tuple[str, ...]:
        """Name the tensors of the state."""
        return STATE_NAMES[: len(self.states)]

    def zero_state(self, inputs: Tensor) -> State | None:
        """Where a stream begins; None without a state."""
        if not self.states:
            return None
        return tuple(
            torch.zeros(rows, inputs.shape[0], hidden, device=inputs.device)
            for rows, hidden in self.states
        )


def collate(parts: Sequence[Batch]) -> Batch:
    """Put single sequences into one batch, padded with zeros to the longest of them."""
    time = max(part.inputs.shape[1] for part in parts)
    behind = [0, 0] * (parts[0].inputs.dim() - 2)
    padded = [
        nn.functional.pad(part.inputs, (*behind, 0, time - part.inputs.shape[1])) for part in parts
    ]
    lengths = [part.lengths for part in parts if part.lengths is not None]
    return Batch(
        inputs=torch.cat(padded),
        targets=torch.cat([part.targets for part in parts]),
        tokens=sum(part.tokens for part in parts),
        items=torch.cat([part.items for part in parts]),
        lengths=torch.cat(lengths) if lengths else None,
    )


def real_batches(task: Task, batch_size: int, count: int) -> list[Batch]:
    """Make batches of validation sequences in the order in which latency is measured on them.

    They come as they come, long beside short, as they would to a server; a split smaller than that
    is gone through again.
    """
    singles = list(task.single_sequences(batch_size * count))
    return [collate(singles[i * batch_size :][:batch_size]) for i in range(count)]


def cut(batch: Batch, steps: int) -> Batch:
    """Keep the first steps of every sequence; targets and items stay as they were."""
    lengths = None if batch.lengths is None else batch.lengths.clamp(max=steps)
    valid = batch.inputs.shape[0] * steps if lengths is None else int(lengths.sum())
    return dataclasses.replace(batch, inputs=batch.inputs[:, :steps], lengths=lengths, tokens=valid)

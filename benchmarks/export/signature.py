"""Inputs and outputs of an exported network, and batches of validation sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from models.modules.encoder import State
from tasks.base import Batch, Task


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a network; `states` has the shape of each without the batch."""

    input_dtype: torch.dtype
    input_shape: tuple[int, ...]
    has_lengths: bool
    states: tuple[tuple[int, ...], ...]
    output_shape: tuple[str | int, ...]

    @staticmethod
    def of(network: nn.Module, example: Batch) -> Signature:
        """Return the signature of a network, found by running it."""
        with torch.inference_mode():
            outputs, state = network(example.inputs, example.lengths, None)
        return Signature(
            example.inputs.dtype,
            tuple(example.inputs.shape[2:]),
            example.lengths is not None,
            tuple((part.shape[0], *part.shape[2:]) for part in state or ()),
            ("batch", *outputs.shape[1:])
            if state is None
            else ("batch", "time", *outputs.shape[2:]),
        )

    def state_names(self) -> tuple[str, ...]:
        """Return the names of the hidden state and, of an LSTM, the cell state; else numbers."""
        if len(self.states) <= 2 and all(len(shape) == 2 for shape in self.states):
            return ("h", "c")[: len(self.states)]
        return tuple(f"state_{number}" for number in range(1, len(self.states) + 1))

    def state_shapes(self) -> list[tuple[str | int, ...]]:
        """Return the shapes of the states, with the batch."""
        return [(rows, "batch", *rest) for rows, *rest in self.states]

    def zero_state(self, inputs: Tensor) -> State | None:
        """Return the state at the begin of a stream; None if no state is carried."""
        if not self.states:
            return None
        return tuple(
            torch.zeros(rows, inputs.shape[0], *rest, device=inputs.device)
            for rows, *rest in self.states
        )


def collate(parts: Sequence[Batch]) -> Batch:
    """Join single sequences to one batch, padded with zeros to the longest."""
    lengths = [part.lengths for part in parts if part.lengths is not None]
    return Batch(
        inputs=pad_sequence([part.inputs[0] for part in parts], batch_first=True),
        targets=torch.cat([part.targets for part in parts]),
        tokens=sum(part.tokens for part in parts),
        items=torch.cat([part.items for part in parts]),
        lengths=torch.cat(lengths) if lengths else None,
    )


def real_batches(task: Task, batch_size: int, count: int) -> list[Batch]:
    """Return batches of validation sequences, not sorted by length; a small split is repeated."""
    singles = list(task.single_sequences(batch_size * count))
    return [collate(singles[i * batch_size :][:batch_size]) for i in range(count)]


def cut(batch: Batch, steps: int) -> Batch:
    """Return the first steps of every sequence; targets and items are unchanged."""
    lengths = None if batch.lengths is None else batch.lengths.clamp(max=steps)
    valid = batch.inputs.shape[0] * steps if lengths is None else int(lengths.sum())
    return dataclasses.replace(batch, inputs=batch.inputs[:, :steps], lengths=lengths, tokens=valid)

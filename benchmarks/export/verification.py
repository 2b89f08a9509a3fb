"""Comparison of an exported network with the original on validation sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.export.signature import cut, real_batches
from models.modules.encoder import State
from tasks.base import Batch, Task

TOLERANCE = 1e-4
"""Largest allowed difference relative to the largest output, or to 1 if that is smaller."""

BATCH_SIZES = (1, 2, 5, 64)
STREAMED_STEPS = 24


class UnequalError(Exception):
    """An exported network differs from the original; the text says where."""


@torch.inference_mode()
def largest_difference(name: str, exported: nn.Module, network: nn.Module, task: Task) -> float:
    """Return the largest difference on whole and cut batches, with a state also step by step."""
    largest = 0.0
    for size in BATCH_SIZES:
        whole = real_batches(task, size, 1)[0]
        time = whole.inputs.shape[1]
        for steps in sorted({time, max(1, time // 2), min(2, time), 1}):
            batch = cut(whole, steps)
            expected = network(batch.inputs, batch.lengths, None)
            where = f"{name}, {batch.inputs.shape[0]} sequences of {steps} steps"
            found = exported(batch.inputs, batch.lengths, None)
            largest = max(largest, difference(where, found, expected))
            if expected[1] is not None:
                short = cut(batch, STREAMED_STEPS)
                found = step_by_step(exported, short)
                expected = network(short.inputs, short.lengths, None)
                largest = max(largest, difference(f"{where}, one at a time", found, expected))
    return largest


def step_by_step(network: nn.Module, batch: Batch) -> tuple[Tensor, State | None]:
    """Run sequences of full length with one call per step, carrying the state."""
    outputs, state = [], None
    for step in torch.split(batch.inputs, 1, dim=1):
        output, state = network(step, None, state)
        outputs.append(output)
    return torch.cat(outputs, dim=1), state


def difference(
    where: str, found: tuple[Tensor, State | None], expected: tuple[Tensor, State | None]
) -> float:
    """Return the largest difference of outputs and states."""
    largest = 0.0
    for ours, theirs in zip(
        (found[0], *(found[1] or ())), (expected[0], *(expected[1] or ())), strict=True
    ):
        if ours.shape != theirs.shape:
            raise UnequalError(f"{where}: shape {(*ours.shape,)}, not {(*theirs.shape,)}")
        distance = float((ours - theirs).abs().max())
        bound = TOLERANCE * max(1.0, float(theirs.abs().max()))
        if not distance <= bound:
            raise UnequalError(
                f"{where}: differs from the network by {distance:.3g}, allowed is {bound:.3g}"
            )
        largest = max(largest, distance)
    return largest

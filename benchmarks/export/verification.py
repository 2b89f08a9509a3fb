"""Whether an exported network gives what the network gave, on real validation sequences."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.export.signature import cut, real_batches
from models.modules.encoder import State
from tasks.base import Batch, Task

TOLERANCE = 1e-4
"""Largest difference of an output, as a part of the largest output or of 1 if that is smaller:
float32 rounding over hundreds of steps; a gate in the wrong place comes to thousands of it."""

BATCH_SIZES = (1, 2, 5, 64)
STREAMED_STEPS = 24


class UnequalError(Exception):
    """An exported network is not the network; the text says where."""


@torch.inference_mode()
def largest_difference(name: str, exported: nn.Module, network: nn.Module, task: Task) -> float:
    """Compare an exported network with the network.

    On batches of several sizes, whole and cut to other lengths; where the network carries a state,
    also a step at a time.

    Args:
        name: of what was exported, for the answer.
        exported: what is to be judged.
        network: in eval mode, on the same device.
        task: whose validation sequences are used.

    Returns:
        The largest difference of any output or final state.

    Raises:
        UnequalError: it is too large, or not a number.
    """
    largest = 0.0
    for size in BATCH_SIZES:
        for batch in of_other_lengths(real_batches(task, size, 1)[0]):
            wanted, wanted_state = network(batch.inputs, batch.lengths, None)
            where = f"{name}, {batch.inputs.shape[0]} sequences of {batch.inputs.shape[1]} steps"
            found = exported(batch.inputs, batch.lengths, None)
            largest = max(largest, difference(where, found, (wanted, wanted_state)))
            if wanted_state is not None:
                short = cut(batch, STREAMED_STEPS)
                found = step_by_step(exported, short)
                wanted = network(short.inputs, short.lengths, None)
                largest = max(largest, difference(f"{where}, one at a time", found, wanted))
    return largest


def of_other_lengths(batch: Batch) -> Iterator[Batch]:
    """Give a batch whole, and cut to a half, to two steps and to one."""
    time = batch.inputs.shape[1]
    for steps in sorted({time, max(1, time // 2), min(2, time), 1}):
        yield cut(batch, steps)


def step_by_step(network: nn.Module, batch: Batch) -> tuple[Tensor, State | None]:
    """Run full sequences one step a call, carrying the state."""
    outputs, state = [], None
    for step in torch.split(batch.inputs, 1, dim=1):
        output, state = network(step, None, state)
        outputs.append(output)
    return torch.cat(outputs, dim=1), state


def difference(
    where: str, found: tuple[Tensor, State | None], wanted: tuple[Tensor, State | None]
) -> float:
    """Compare outputs and states.

    Raises:
        UnequalError: they differ by more than rounding.
    """
    largest = 0.0
    for ours, theirs in zip(
        (found[0], *(found[1] or ())), (wanted[0], *(wanted[1] or ())), strict=True
    ):
        if ours.shape != theirs.shape:
            raise UnequalError(f"{where}: shape {(*ours.shape,)}, not {(*theirs.shape,)}")
        far = float((ours - theirs).abs().max())
        bound = TOLERANCE * max(1.0, float(theirs.abs().max()))
        if not far <= bound:
            raise UnequalError(
                f"{where}: differs by {far:.3g} from the network, at most {bound:.3g} is rounding"
            )
        largest = max(largest, far)
    return largest

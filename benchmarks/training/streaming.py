"""Memory and time per new step of an encoder that reads a sequence step by step."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from benchmarks.system.memory import tensor_bytes
from benchmarks.system.timer import synchronise
from models.modules.encoder import Encoder, State

STEPS_BEFORE = {"step_ms_100": 100, "step_ms_1k": 1_000, "step_ms_10k": 10_000}
"""By column: the steps that were read before the timed ones."""

CHUNK = 100  # steps of one forward pass between the timed ones
WARM_UP_STEPS = 5
TIMED_STEPS = 50


@torch.inference_mode()
def streaming_costs(encoder: Encoder, device: torch.device, precision: str) -> dict[str, float]:
    """Return the bytes of the state of one sequence, and median milliseconds per step, by column.

    A step is a forward pass of the encoder on one input with the state of all inputs before. Inputs
    are random; the layers of the task are not part of it.
    """
    encoder.eval()
    dtype = next(encoder.parameters()).dtype
    inputs = torch.randn(1, CHUNK, encoder.input_size, device=device, dtype=dtype)
    state, read, costs = None, 0, {}
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        for column, steps in STEPS_BEFORE.items():
            while read < steps:
                _, state = encoder(inputs, None, state)
                read += CHUNK
            costs[column] = median_ms(encoder, inputs[:, :1], state, device)
    assert state is not None
    return {"state_bytes": tensor_bytes(*state)} | costs


def median_ms(encoder: Encoder, step: Tensor, state: State | None, device: torch.device) -> float:
    """Return the median milliseconds of a step after a state."""
    elapsed = []
    for _ in range(WARM_UP_STEPS + TIMED_STEPS):
        synchronise(device)
        started = time.perf_counter()
        encoder(step, None, state)
        synchronise(device)
        elapsed.append(1e3 * (time.perf_counter() - started))
    return statistics.median(elapsed[WARM_UP_STEPS:])

"""Peak memory of a training step and of the process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.profiler import profile

MIB = 2**20


def tensor_bytes(*tensors: Tensor | None) -> int:
    """Return the total bytes of tensors."""
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)


def persistent_bytes(network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes of parameters, buffers and optimiser state."""
    state = [t for s in optimizer.state.values() for t in s.values() if isinstance(t, Tensor)]
    return tensor_bytes(*network.parameters(), *network.buffers(), *state)


def step_peak_mib(step: Callable[[], None], persistent: int, device: torch.device) -> float | None:
    """Return the peak MiB of the tensors alive in one training step; None on other devices.

    On CUDA this is the peak of the caching allocator, data kept on the device included. On a CPU
    the allocations and releases in PyTorch's profile are summed in order of time.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device) / MIB
    if device.type != "cpu":
        return None
    # Used by `torch.profiler.profile`, which would import the compiler for seconds.
    with profile(profile_memory=True) as recording:
        step()
    assert recording.kineto_results is not None
    events = [e for e in recording.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    alive = peak = 0
    for event in events:
        alive += event.nbytes()
        peak = max(peak, alive)
    return (persistent + peak) / MIB


def reset_peak_rss() -> None:
    """Reset the peak resident size of the process, which only Linux supports."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_rss_mib() -> float:
    """Return the peak resident size of the process since `reset_peak_rss`, in MiB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / MIB
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024

"""What memory means here: the peak of the tensors alive in a training step, and the process's."""

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
    """Add up the bytes of tensors."""
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)


def lasting_bytes(network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Bytes that live through all of training: parameters, buffers and optimiser state."""
    state = [t for s in optimizer.state.values() for t in s.values() if isinstance(t, Tensor)]
    return tensor_bytes(*network.parameters(), *network.buffers(), *state)


def peak_of_step(step: Callable[[], None], lasting: int, device: torch.device) -> float | None:
    """Peak MiB of the tensors alive in one training step.

    On CUDA it is what the caching allocator says it gave out at most, which counts data kept on the
    device too. On a CPU every allocation and release of the step is recorded by PyTorch's profiler
    and added up in order of time, on top of what lasts; the process's size would count libraries
    and memory that was released but not returned.

    Args:
        step: a whole training step, gradients unset before it.
        lasting: bytes that were alive before the step and stay so, batch included.
        device: where the step runs.

    Returns:
        None on devices that do not tell.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device) / MIB
    if device.type != "cpu":
        return None
    # What `torch.profiler.profile` uses; that itself would import the compiler, for seconds.
    with profile(profile_memory=True) as recording:
        step()
    assert recording.kineto_results is not None
    events = [e for e in recording.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    alive = peak = 0
    for event in events:
        alive += event.nbytes()
        peak = max(peak, alive)
    return (lasting + peak) / MIB


def reset_peak_rss() -> None:
    """Forget the largest resident size so far, where the system lets a process do so (Linux).

    Elsewhere a process that makes several runs reports the largest of them all for the later ones.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_rss_mib() -> float:
    """Largest resident size of the process since `reset_peak_rss`, in MiB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / MIB
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024

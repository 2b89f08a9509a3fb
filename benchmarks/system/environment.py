"""Where a run takes place: versions, commit, device, threads and the streams of chance."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import subprocess
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

from benchmarks import PROJECT_ROOT
from benchmarks.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""What glibc's `mallopt` sets, by the numbers of its malloc.h."""


@dataclass(frozen=True)
class Environment:
    """What a row says of the machine and the code; each field is a column."""

    device: str
    device_name: str
    threads: int
    deterministic: bool
    python_version: str
    torch_version: str
    rnnbench_version: str
    git_commit: str | None
    git_dirty: bool | None


def prepare_process(
    wanted: str, threads: int | None, deterministic: bool
) -> tuple[torch.device, Environment]:
    """Set threads, precision and determinism for a run and describe what it runs on.

    Raises:
        UserError: the device is unknown, not there or without the precision.
    """
    device = choose_device(wanted)
    torch.set_num_threads(threads or available_cores())
    keep_freed_memory()
    # As use_deterministic_algorithms, which would import the compiler too, for most of a second.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # Else determinism would also fill every new tensor with NaN, to find who reads what it has not
    # written: a tenth of a small step, and more of a large one.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    commit, dirty = git_state()
    return device, Environment(
        device=str(device),
        device_name=device_name(device),
        threads=torch.get_num_threads(),
        deterministic=deterministic,
        python_version=platform.python_version(),
        torch_version=torch.__version__,
        rnnbench_version=version("rnnbench"),
        git_commit=commit,
        git_dirty=dirty,
    )


def choose_device(wanted: str) -> torch.device:
    """Turn `train.device` into a device that is there.

    Raises:
        UserError: the device is unknown or not there.
    """
    with warnings.catch_warnings():
        # A CUDA build warns about an old driver; the answer below says all there is to say.
        warnings.simplefilter("ignore")
        there = ["cpu"]
        if torch.cuda.is_available():
            there += ["cuda"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            there.append("mps")
    if wanted == "auto":
        return torch.device("cuda" if "cuda" in there else "cpu")
    if wanted not in there:
        raise UserError(
            f"train.device={wanted}: this machine has no such device "
            f"(allowed: auto, {', '.join(there)})"
        )
    return torch.device(wanted)


def available_cores() -> int:
    """Physical cores this process may run on."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return min(physical, usable) if usable else physical


def device_name(device: torch.device) -> str:
    """Name the processor or the accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def git_state() -> tuple[str | None, bool | None]:
    """Commit of the code and whether it has uncommitted changes; None outside a checkout."""

    def git(*arguments: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", str(PROJECT_ROOT), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    commit = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no") if commit else None
    return commit, None if changes is None else bool(changes)


def reset_process() -> None:
    """Give back what an earlier run in this process left in memory."""
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()  # mostly libraries, which stay; to look through them takes long
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    call_glibc("malloc_trim", 0)


def keep_freed_memory() -> None:
    """Have the memory of freed tensors kept for those to come, until `reset_process`.

    glibc would give large pieces back to the system at once, and each training step would get them
    anew, page after page cleared: with 256 units and two threads a third of the time of PyTorch's
    LSTM, a sixth of the fused one's. PyTorch's performance tuning guide advises other allocators.
    """
    call_glibc("mallopt", M_MMAP_MAX, 0)
    call_glibc("mallopt", M_TRIM_THRESHOLD, 2**31 - 1)


def call_glibc(function: str, *arguments: int) -> None:
    """Call a function of the C library, where that is glibc."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # as other systems answer
        getattr(ctypes.CDLL(None), function)(*arguments)

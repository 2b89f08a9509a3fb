"""Environment of a run: versions, commit, device and threads."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
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

CGROUP = Path("/sys/fs/cgroup")

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's `mallopt`, from malloc.h."""


@dataclass(frozen=True)
class Environment:
    """Machine and code of a run; each field is a column."""

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
    """Set threads and determinism, and return device and environment, or raise UserError."""
    device = choose_device(wanted)
    torch.set_num_threads(threads or available_cores())
    keep_freed_memory()
    # Equals use_deterministic_algorithms, which would import the compiler for most of a second.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # Determinism would fill new tensors with NaN, which takes a tenth of a small step.
    # The attribute is missing in torch's stubs.
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
    """Return the device for `train.device`, or raise UserError if it does not exist."""
    with warnings.catch_warnings():
        # A CUDA build warns about an old driver; the error below suffices.
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
    """Return the number of physical cores available to this process.

    The affinity of the process, the quota of its container (cgroup v1 and v2) and the variable
    OMP_NUM_THREADS limit it.
    """
    counts: list[int] = [psutil.cpu_count(logical=False) or os.cpu_count() or 1, usable_cores()]
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        counts.append(int(wanted))
    return min(counts)


def usable_cores() -> int:
    """Return the cores that affinity and the quota of a container leave to this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):
            texts = [(CGROUP / name).read_text(encoding="utf-8") for name in names]
            quota, period = map(int, " ".join(texts).split())  # "max" and -1 set no limit
            if quota > 0 and period > 0:
                return min(cores or 1, math.ceil(quota / period))
    return cores or 1


def device_name(device: torch.device) -> str:
    """Return the name of the processor or accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def git_state() -> tuple[str | None, bool | None]:
    """Return the commit and whether there are uncommitted changes; None outside a checkout."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(PROJECT_ROOT), *arguments]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    commit = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no") if commit else None
    return commit, None if changes is None else bool(changes)


def reset_process() -> None:
    """Release the memory that an earlier run in this process left."""
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()  # mostly libraries, which are slow to scan
    # `is_initialized` has no annotations.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    call_glibc("malloc_trim", 0)


def keep_freed_memory() -> None:
    """Keep the memory of freed tensors for later ones, until `reset_process`.

    By default glibc returns large blocks to the system, and each training step gets them again with
    cleared pages. With 256 units and two threads this takes a third of the time of PyTorch's LSTM.
    """
    call_glibc("mallopt", M_MMAP_MAX, 0)
    call_glibc("mallopt", M_TRIM_THRESHOLD, 2**31 - 1)


def call_glibc(function: str, *arguments: int) -> None:
    """Call a function of the C library if that is glibc."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # on other systems
        getattr(ctypes.CDLL(None), function)(*arguments)

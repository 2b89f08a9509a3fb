"""Several cells or groups at once on this machine, each in a new process with its own GPU."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from benchmarks.config.launchers import LocalSettings
from benchmarks.results.row import Status
from benchmarks.results.store import Store
from benchmarks.runner.run import RunOptions
from benchmarks.sweeps.cell import Cell, Completion, Termination
from benchmarks.sweeps.launchers.base import (
    Launcher,
    SweepContext,
    WorkItem,
    child_environment,
    grouped,
)
from benchmarks.sweeps.launchers.worker import run_cells
from benchmarks.system.environment import available_cores
from benchmarks.system.signals import Interruption
from benchmarks.system.terminal import print_log_messages, protect_output

POLL_SECONDS = 0.5
EXTERNAL_SIGNALS = {"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"}  # runs ended by these are resumed


@dataclass
class Slot:
    """A place for one process, with its GPU if there is one.

    Attributes:
        cells: of the process, by number, whose completion is not reported yet.
    """

    gpu: str | None
    cells: dict[int, Cell] = field(default_factory=dict)
    process: BaseProcess | None = None
    messages: Connection | None = None


class LocalLauncher(Launcher):
    """Run cells in processes forked from a server that has imported the code but run nothing.

    They start at once and share no state. Without forking, each is a new interpreter. Slots have
    a GPU if `train.device` of the cells is `auto` or `cuda`.
    """

    takes_groups = True

    def __init__(
        self, settings: LocalSettings, context: SweepContext, most_slots: int, device: str = "auto"
    ) -> None:
        self.context = context
        gpus = visible_gpus() if device in ("auto", "cuda") else []
        jobs = settings.jobs or len(gpus) * settings.jobs_per_gpu or available_cores()
        jobs = max(1, min(jobs, most_slots))
        self.slots = [Slot(gpus[i % len(gpus)] if gpus else None) for i in range(jobs)]
        self.threads = max(1, available_cores() // jobs)
        self.processes = process_context()

    def free_slots(self) -> int:
        """Return the number of slots without a process."""
        return sum(slot.process is None for slot in self.slots)

    def submit(self, items: list[WorkItem]) -> None:
        """Start a process for each cell or group."""
        free = [slot for slot in self.slots if slot.process is None]
        for slot, group in zip(free, grouped(items), strict=False):
            cells = [item.cell for item in group]
            receiver, sender = self.processes.Pipe(duplex=False)
            process = self.processes.Process(
                target=child_main,
                args=(
                    [cell.with_threads(self.threads) for cell in cells],
                    self.context.store.directory,
                    [self.context.options(item) for item in group],
                    self.context.directory.shared_log(cells),
                    slot.gpu,
                    sender,
                ),
            )
            process.start()
            slot.cells = {cell.number: cell for cell in cells}
            slot.process, slot.messages = process, receiver
            sender.close()

    def has_started(self, cell: Cell) -> bool:
        """Return True if a cell has a process."""
        return any(cell.number in slot.cells for slot in self.slots)

    def poll(self) -> list[Completion]:
        """Return the completed cells, waiting half a second at most."""
        busy = {slot.process.sentinel: slot for slot in self.slots if slot.process is not None}
        ended = wait(list(busy), timeout=POLL_SECONDS)
        completions = [each for slot in busy.values() for each in receive(slot)]
        for sentinel in ended:
            assert isinstance(sentinel, int)
            completions += clear(busy[sentinel])
        return completions

    def interrupt(self) -> None:
        """Send every process SIGTERM."""
        for slot in self.slots:
            if slot.process is not None:
                slot.process.terminate()

    def kill(self) -> None:
        """Send every process SIGKILL."""
        for slot in self.slots:
            if slot.process is not None:
                slot.process.kill()


def receive(slot: Slot) -> list[Completion]:
    """Return what a slot's process has reported since the last call."""
    assert slot.messages is not None
    completions: list[Completion] = []
    with contextlib.suppress(EOFError, OSError):
        while slot.messages.poll():
            reported: Completion = slot.messages.recv()
            cell = slot.cells.pop(reported.cell.number)  # without the slot's threads
            completions.append(dataclasses.replace(reported, cell=cell))
    return completions


def clear(slot: Slot) -> list[Completion]:
    """Free the slot of a process that has ended; cells it did not report ended with it."""
    assert slot.process is not None
    assert slot.messages is not None
    slot.process.join()
    completions = receive(slot)
    termination = termination_of(slot.process.exitcode)
    completions += [Completion(cell, termination=termination) for cell in slot.cells.values()]
    slot.messages.close()
    slot.process.close()
    slot.process = slot.messages = None
    slot.cells = {}
    return completions


def child_main(
    cells: list[Cell],
    results: Path,
    options: list[RunOptions],
    log: Path,
    gpu: str | None,
    sender: Connection,
) -> None:
    """Run a cell or a group in a new process."""
    with contextlib.suppress(OSError, AttributeError):
        os.setsid()  # the terminal's Ctrl-C is for the launcher, which passes on one signal
    with log.open("a", encoding="utf-8", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
    protect_output()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    print_log_messages()
    interruption = Interruption()
    interruption.install()
    threading.Thread(target=end_with_parent, daemon=True).start()

    def report(completion: Completion) -> None:
        with contextlib.suppress(OSError):  # the launcher may have ended
            sender.send(completion)

    run_cells(cells, Store(results), interruption, options, report)


def end_with_parent() -> None:
    """Interrupt this process when the launcher ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def process_context() -> ForkServerContext | SpawnContext:
    """Return a way to create processes that inherit no state from this one."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.sweeps.launchers.local"])
    with child_environment(PYTHONSAFEPATH="1"):
        forkserver.ensure_running()
    return context


def visible_gpus() -> list[str]:
    """Return the CUDA devices of this process as CUDA_VISIBLE_DEVICES names them."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(index) for index in range(count)]


def termination_of(code: int | None) -> Termination:
    """Return the termination for the exit code of a process that reported nothing."""
    if code is None or code >= 0:
        return Termination(f"process terminated with exit code {code} without writing a row")
    name = signal.Signals(-code).name
    hint = "; on Linux often because memory ran out" if name == "SIGKILL" else ""
    status = Status.INTERRUPTED if name in EXTERNAL_SIGNALS else Status.FAILED
    return Termination(f"process was killed by {name}{hint}", status)

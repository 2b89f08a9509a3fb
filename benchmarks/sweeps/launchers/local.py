"""Several cells or groups at once on this machine, each in a fresh process with its own GPU."""

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

from benchmarks import PROJECT_ROOT
from benchmarks.config.launchers import LocalSettings
from benchmarks.results.row import Status
from benchmarks.results.store import Store
from benchmarks.runner.run import RunOptions
from benchmarks.sweeps.cell import Cell, Completion, Termination
from benchmarks.sweeps.launchers.base import Launcher, SweepContext, WorkItem, grouped
from benchmarks.sweeps.launchers.worker import run_cells
from benchmarks.system.environment import available_cores
from benchmarks.system.signals import Interruption
from benchmarks.system.terminal import print_log_messages

POLL_SECONDS = 0.5
FROM_OUTSIDE = {"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"}


@dataclass
class Slot:
    """A place for one process: a GPU, or a share of the cores.

    Attributes:
        cells: of the process, by number, whose end is not known.
    """

    gpu: str | None
    cells: dict[int, Cell] = field(default_factory=dict)
    process: BaseProcess | None = None
    messages: Connection | None = None


class LocalLauncher(Launcher):
    """Keeps every slot busy.

    Processes are forked from a server that has imported everything and run nothing, so that they
    begin at once and share nothing that a run could change. (Where there is no forking, each is a
    new interpreter.)

    Args:
        settings: how many at once.
        around: where the sweep works.
        places: how many cells and groups there are at most.
        device: `train.device` of the cells; one that names a device is taken at its word.
    """

    takes_groups = True

    def __init__(
        self, settings: LocalSettings, context: SweepContext, places: int, device: str = "auto"
    ) -> None:
        self.context = context
        gpus = visible_gpus() if device in ("auto", "cuda") else []
        jobs = settings.jobs or len(gpus) * settings.jobs_per_gpu or available_cores()
        jobs = max(1, min(jobs, places))
        self.slots = [Slot(gpus[i % len(gpus)] if gpus else None) for i in range(jobs)]
        self.threads = max(1, available_cores() // jobs)
        self.processes = process_context()

    def free_slots(self) -> int:
        """Count the free slots."""
        return sum(slot.process is None for slot in self.slots)

    def submit(self, items: list[WorkItem]) -> None:
        """Start a process for each cell or group."""
        free = [slot for slot in self.slots if slot.process is None]
        for slot, part in zip(free, grouped(items), strict=False):
            cells = [item.cell for item in part]
            receiver, sender = self.processes.Pipe(duplex=False)
            process = self.processes.Process(
                target=child_main,
                args=(
                    [self._with_threads(cell) for cell in cells],
                    self.context.store.directory,
                    [self.context.start(item) for item in part],
                    self.context.directory.shared_log(cells),
                    slot.gpu,
                    sender,
                ),
            )
            process.start()
            slot.cells = {cell.number: cell for cell in cells}
            slot.process, slot.messages = process, receiver
            sender.close()

    def _with_threads(self, cell: Cell) -> Cell:
        """Give a cell its share of the cores, unless the user said otherwise."""
        if cell.config.train.threads is not None:
            return cell
        train = dataclasses.replace(cell.config.train, threads=self.threads)
        return dataclasses.replace(cell, config=dataclasses.replace(cell.config, train=train))

    def has_started(self, cell: Cell) -> bool:
        """Whether a cell has a process."""
        return any(cell.number in slot.cells for slot in self.slots)

    def poll(self) -> list[Completion]:
        """Wait until a process ends, half a second at most."""
        busy = {slot.process.sentinel: slot for slot in self.slots if slot.process is not None}
        over = wait(list(busy), timeout=POLL_SECONDS)
        # That of a group tells of each cell, and waits until it is heard.
        ended = [each for slot in busy.values() for each in self._heard(slot)]
        for sentinel in over:
            assert isinstance(sentinel, int)
            ended += self._end(busy[sentinel])
        return ended

    def _heard(self, slot: Slot) -> list[Completion]:
        """Listen to what a process has told since the last time."""
        assert slot.messages is not None
        ended: list[Completion] = []
        with contextlib.suppress(EOFError, OSError):
            while slot.messages.poll():
                told: Completion = slot.messages.recv()
                cell = slot.cells.pop(told.cell.number)
                ended.append(dataclasses.replace(told, cell=cell))
        return ended

    def _end(self, slot: Slot) -> list[Completion]:
        """Clear a place whose process has ended; what it told nothing of has died with it."""
        assert slot.process is not None
        assert slot.messages is not None
        slot.process.join()
        ended = self._heard(slot)
        termination = termination_of(slot.process.exitcode)
        ended += [Completion(cell, termination=termination) for cell in slot.cells.values()]
        slot.messages.close()
        slot.process.close()
        slot.process = slot.messages = None
        slot.cells = {}
        return ended

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


def child_main(
    cells: list[Cell],
    results: Path,
    starts: list[RunOptions],
    log: Path,
    gpu: str | None,
    sender: Connection,
) -> None:
    """Run a cell, or those of a group, as the whole life of a process."""
    with contextlib.suppress(OSError, AttributeError):
        os.setsid()  # the terminal's Ctrl-C is for the launcher, which passes on one signal
    with log.open("a", encoding="utf-8", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    print_log_messages()
    interruption = Interruption()
    interruption.install()
    threading.Thread(target=end_with_parent, daemon=True).start()

    def tell(ended: Completion) -> None:
        with contextlib.suppress(OSError):  # the launcher may be dead
            sender.send(ended)

    run_cells(cells, Store(results), interruption, starts, tell)


def end_with_parent() -> None:
    """End this process cleanly when the launcher dies, so that nothing runs on unseen."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def process_context() -> ForkServerContext | SpawnContext:
    """The way to make processes that inherit nothing from this one."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.sweeps.launchers.local"])
    kept = dict(os.environ)
    # Else it would import from the working folder, or what is installed, and not this very code.
    paths = [str(PROJECT_ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    try:
        os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(kept)
    return context


def visible_gpus() -> list[str]:
    """The CUDA devices this process may use, as CUDA_VISIBLE_DEVICES names them."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(index) for index in range(count)]


def termination_of(code: int | None) -> Termination:
    """Say how a process ended that told nothing of its end."""
    if code is None or code >= 0:
        return Termination(f"the process ended with exit code {code} and left no row")
    name = signal.Signals(-code).name
    hint = "; on Linux often for lack of memory" if name == "SIGKILL" else ""
    status = Status.INTERRUPTED if name in FROM_OUTSIDE else Status.FAILED
    return Termination(f"the process was killed by {name}{hint}", status)

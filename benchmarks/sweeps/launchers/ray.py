"""Cells as tasks of a Ray cluster; plain Ray, one fresh worker process per run."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks import PROJECT_ROOT
from benchmarks.config.launchers import RaySettings
from benchmarks.errors import UserError
from benchmarks.results.row import Status
from benchmarks.sweeps.cell import Cell, Completion, Termination
from benchmarks.sweeps.launchers.base import Launcher, SweepContext, WorkItem

POLL_SECONDS = 1.0


@dataclass
class Task:
    """A cell that Ray has been given."""

    cell: Cell
    retries_left: int


class RayLauncher(Launcher):
    """Gives Ray the cells and waits for them.

    Raises:
        UserError: Ray is not installed or its cluster not there.
    """

    def __init__(self, settings: RaySettings, context: SweepContext) -> None:
        import ray

        self.ray: Any = ray
        self.settings = settings
        self.context = context
        self.tasks: dict[Any, Task] = {}
        self.is_ending = False
        check_reachable(settings.address)
        try:
            ray.init(address=settings.address, log_to_driver=False, configure_logging=False)
        except ConnectionError as error:
            raise UserError(f"hydra.launcher.address={settings.address}: {error}") from error
        self.cell_task: Any = ray.remote(
            num_cpus=settings.cpus, num_gpus=settings.gpus, max_calls=1, max_retries=0
        )(run_in_worker)

    def free_slots(self) -> int:
        """As many as the cluster has cores and GPUs for now, and one to keep it busy."""
        total = self.ray.cluster_resources()
        places = int(total.get("CPU", 1) // self.settings.cpus)
        if self.settings.gpus:
            places = min(places, int(total.get("GPU", 0) // self.settings.gpus))
        return max(0, max(1, places) + 1 - len(self.tasks))

    def submit(self, items: list[WorkItem]) -> None:
        """Give Ray the cells."""
        for item in items:
            self._give(Task(item.cell, self.settings.retries))

    def _give(self, task: Task) -> None:
        reference = self.cell_task.remote(
            str(self.context.conf),
            str(self.context.directory.path.resolve()),
            task.cell.number,
            str(self.context.directory.log(task.cell).resolve()),
            self.settings.cpus,
            str(PROJECT_ROOT),
        )
        self.tasks[reference] = task

    def poll(self) -> list[Completion]:
        """Wait a second at most for cells to end."""
        ready, _ = self.ray.wait(
            list(self.tasks), num_returns=len(self.tasks), timeout=POLL_SECONDS
        )
        ended = []
        if ready:  # once for all of them: it lists every run
            self.context.index.refresh()
        for reference in ready:
            task = self.tasks.pop(reference)
            termination = None
            try:
                code = self.ray.get(reference)
                if code != 0:
                    termination = Termination(f"the run's process ended with exit code {code}")
            except self.ray.exceptions.RayError as error:
                # Explicit, so that a retry never runs beside what it replaces.
                if task.retries_left > 0 and not self.is_ending:
                    self._give(Task(task.cell, task.retries_left - 1))
                    continue
                termination = Termination(
                    f"Ray: {' '.join(str(error).split())[:200]}", Status.INTERRUPTED
                )
            latest = self.context.index.latest(task.cell.fingerprints)
            run_id = latest.run_id if latest is not None and termination is None else None
            held_elsewhere = run_id is None and termination is None
            ended.append(Completion(task.cell, run_id, termination, held_elsewhere))
        return ended

    def interrupt(self) -> None:
        """Cancel the tasks, which ends their runs with a checkpoint."""
        self.is_ending = True
        for reference in self.tasks:
            with contextlib.suppress(self.ray.exceptions.RayError):
                self.ray.cancel(reference)

    def kill(self) -> None:
        """Cancel the tasks by force."""
        for reference in self.tasks:
            with contextlib.suppress(self.ray.exceptions.RayError):
                self.ray.cancel(reference, force=True)


def check_reachable(address: str | None) -> None:
    """Knock at a cluster's door, where Ray itself would wait for minutes.

    Raises:
        UserError: nobody is there.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise UserError(f"hydra.launcher.address={address}: {error}") from error


def run_in_worker(conf: str, sweep: str, number: int, log: str, threads: int, root: str) -> int:
    """Run a cell from a Ray worker, in a process of its own; returns its exit code."""
    environment = os.environ | {"PYTHONPATH": root}
    module = "benchmarks.sweeps.launchers.cluster_job"
    command = [sys.executable, "-m", module, conf, sweep, str(number)]
    with open(log, "ab") as file:  # noqa: PTH123  shipped to workers by value, without imports
        process = subprocess.Popen(
            [*command, str(threads)],
            stdin=subprocess.PIPE,  # by whose end it learns of this worker's
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise

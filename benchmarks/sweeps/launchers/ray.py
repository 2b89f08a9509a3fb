"""Cells as tasks of a Ray cluster, with a new worker process for each run."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from typing import Any

from benchmarks import PROJECT_ROOT
from benchmarks.config.launchers import RaySettings
from benchmarks.errors import UserError, one_line
from benchmarks.results.row import Status
from benchmarks.sweeps.cell import Cell, Completion, Termination
from benchmarks.sweeps.launchers.base import Launcher, SweepContext, WorkItem

POLL_SECONDS = 1.0


class RayLauncher(Launcher):
    """Submit cells to Ray and wait for them."""

    def __init__(self, settings: RaySettings, context: SweepContext) -> None:
        import ray

        self.ray: Any = ray
        self.settings = settings
        self.context = context
        self.tasks: dict[Any, tuple[Cell, int]] = {}  # cells and retries left
        self.is_ending = False
        # Of workers on this machine: with Ray's 15, any other process slows the measured runs down.
        os.environ.setdefault("RAY_worker_niceness", "0")
        try:
            check_reachable(settings.address)
            ray.init(address=settings.address, log_to_driver=False, configure_logging=False)
        except ConnectionError as error:
            text = f"hydra.launcher.address={settings.address}: cannot be reached"
            raise UserError(f"{text} ({one_line(error)})") from error
        self.remote: Any = ray.remote(
            num_cpus=settings.cpus, num_gpus=settings.gpus, max_calls=1, max_retries=0
        )(run_in_worker)

    def free_slots(self) -> int:
        """Return the cluster's free slots, and one more to keep it busy."""
        total = self.ray.cluster_resources()
        slots = int(total.get("CPU", 1) // self.settings.cpus)
        if self.settings.gpus:
            slots = min(slots, int(total.get("GPU", 0) // self.settings.gpus))
        return max(0, max(1, slots) + 1 - len(self.tasks))

    def submit(self, items: list[WorkItem]) -> None:
        """Submit the cells to Ray."""
        for item in items:
            self._submit(item.cell, self.settings.retries)

    def _submit(self, cell: Cell, retries: int) -> None:
        reference = self.remote.remote(
            str(self.context.conf),
            str(self.context.directory.path.resolve()),
            cell.number,
            str(self.context.directory.log(cell).resolve()),
            self.settings.cpus,
            str(PROJECT_ROOT),
        )
        self.tasks[reference] = cell, retries

    def poll(self) -> list[Completion]:
        """Return the completed cells, waiting a second at most."""
        count = len(self.tasks)
        ready, _ = self.ray.wait(list(self.tasks), num_returns=count, timeout=POLL_SECONDS)
        if ready:  # once for all of them: it lists every run
            self.context.index.refresh()
        completions = [self._completion_of(reference) for reference in ready]
        return [completion for completion in completions if completion is not None]

    def _completion_of(self, reference: Any) -> Completion | None:
        """Return the completion of a task that has ended; None if it is submitted again."""
        cell, retries = self.tasks.pop(reference)
        try:
            code = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            # Not Ray's own retries: those could start before the failed process has ended.
            if retries > 0 and not self.is_ending:
                self._submit(cell, retries - 1)
                return None
            text = f"Ray: {one_line(error)[:200]}"
            return Completion(cell, termination=Termination(text, Status.INTERRUPTED))
        if code != 0:
            text = f"process of the run terminated with exit code {code}"
            return Completion(cell, termination=Termination(text))
        latest = self.context.index.latest(cell.fingerprints)
        return Completion(cell, latest and latest.run_id, held_elsewhere=latest is None)

    def interrupt(self) -> None:
        """Cancel the tasks; their runs write a checkpoint and end."""
        self.is_ending = True
        self._cancel(force=False)

    def kill(self) -> None:
        """Cancel the tasks by force."""
        self._cancel(force=True)

    def _cancel(self, force: bool) -> None:
        for reference in self.tasks:
            with contextlib.suppress(self.ray.exceptions.RayError):
                self.ray.cancel(reference, force=force)


def check_reachable(address: str | None) -> None:
    """Raise ConnectionError if nothing listens at an address; Ray itself would wait minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise ConnectionError(error) from error


def run_in_worker(conf: str, sweep: str, number: int, log: str, threads: int, root: str) -> int:
    """Run a cell in a child process of a Ray worker and return its exit code."""
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    module = "benchmarks.sweeps.launchers.cluster_job"
    command = [sys.executable, "-m", module, conf, sweep, str(number), str(threads)]
    with open(log, "ab") as file:  # noqa: PTH123  shipped to workers by value, without imports
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # closes when this worker ends
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise

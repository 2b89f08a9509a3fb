"""The SLURM of two nodes that slurm/start.sh starts, for the fault tests."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.results.leases import Lease, Leases
from benchmarks.results.store import Store
from tests.helpers.faulty import MACHINE, checkpoints, rows_of
from tests.helpers.halting import wait_until
from tests.helpers.paths import ROOT

SCRIPTS = ROOT / "tests" / "faults" / "slurm"
SLURM = ["-m", "hydra/launcher=slurm", "hydra.launcher.minutes=10"]

LONG = [
    "model=lstm",
    "task=sp500",
    "model.hidden_size=8",
    "train.patience=null",
    "train.checkpoint_seconds=0.2",
    *MACHINE,
]
"""A run that lasts as long as its `train.max_epochs` say."""

EPOCHS = 150
"""Some seconds of training."""

SECONDS = 900.0
"""Time limit for SLURM's reactions."""


@dataclass(frozen=True)
class Bed:
    """The test bed.

    Attributes:
        root: its folder.
    """

    root: Path

    def ask(self, *command: str) -> str:
        """Run one of SLURM's commands and return what it prints."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def jobs(self, *options: str) -> list[str]:
        """Return the ids of pending and running jobs."""
        return self.ask("squeue", "--noheader", "--array", "--format=%i", *options).split()

    def start(self, *options: str) -> None:
        """Start the daemons that have ended."""
        environment = os.environ | {"SLURM_ROOT": str(self.root)} | self.knobs()
        subprocess.run(
            ["bash", str(SCRIPTS / "start.sh"), *options],
            env=environment,
            check=True,
            timeout=SECONDS,
            stdout=subprocess.DEVNULL,
        )

    def knobs(self) -> dict[str, str]:
        """Return the settings of start.sh."""
        lines = (self.root / "etc" / "knobs").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def signal(self, daemon: str, number: signal.Signals) -> None:
        """Signal a daemon or a whole node; SIGKILL is like a power cut."""
        os.kill(int((self.root / "run" / f"{daemon}.pid").read_text()), number)

    def node_of(self, job: str) -> str:
        """Return the node of a job."""
        return self.ask("squeue", "--noheader", "--format=%N", f"--jobs={job}").strip()

    def end_soon(self, job: str) -> None:
        """Set the time limit of a running job to the next minute that is 30 seconds away."""
        (parts,) = re.findall(
            r"RunTime=(\d+):(\d+):(\d+)", self.ask("scontrol", "show", "job", job)
        )
        hours, minutes, seconds = map(int, parts)
        limit = 60 * hours + minutes + (2 if seconds >= 30 else 1)
        self.ask("scontrol", "update", f"jobid={job}", f"timelimit={limit}")

    def nodes(self) -> dict[str, str]:
        """Return the nodes' states by name."""
        lines = self.ask("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %T")
        return dict(line.split() for line in lines.splitlines())

    def resume(self, dead: str = "") -> None:
        """Resume nodes that take no jobs; a node that registers again may return by itself.

        Args:
            dead: a node whose daemon does not run. A job that SLURM starts there once it is resumed
                may be held for an administrator.
        """
        for name, state in self.nodes().items():
            if name != dead and any(word in state for word in ("down", "drain", "fail")):
                subprocess.run(
                    ["scontrol", "update", f"nodename={name}", "state=resume"], timeout=SECONDS
                )

    def settle(self) -> None:
        """Cancel all jobs and bring all nodes back to idle."""
        subprocess.run(["scancel", "--me"], timeout=SECONDS)
        wait_until(lambda: not self.jobs(), "the queue is empty", SECONDS)
        wait_until(self.is_idle, "the nodes are idle", SECONDS)

    def is_idle(self) -> bool:
        """Return True if all nodes are idle; start and resume those that are not."""
        if set(self.nodes().values()) == {"idle"}:
            return True
        print(self.ask("sinfo", "--Node", "--long"), self.ask("sinfo", "--list-reasons"))
        self.start("--no-wait")
        self.resume()
        return False


def find_bed() -> Bed:
    """Return the test bed, or skip the test with the reason."""
    pytest.importorskip("submitit", reason="submitit is not installed (the extra slurm)")
    if shutil.which("squeue") is None:
        pytest.skip("there is no SLURM here; see tests/faults/slurm/start.sh")
    conf = Path(os.environ.get("SLURM_CONF", ""))
    root = conf.parent.parent
    if not (root / "etc" / "knobs").exists():
        pytest.skip("SLURM_CONF is not that of the test bed; see tests/faults/slurm/start.sh")
    return Bed(root)


@contextmanager
def tidy(bed: Bed) -> Iterator[Bed]:
    """Lock the test bed, and clean it before and after."""
    with (bed.root / "in-use").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # tests that run in parallel take turns
        bed.settle()
        try:
            yield bed
        finally:
            bed.settle()


def running(folder: Path) -> dict[str, Lease]:
    """The jobs at work in a results folder, with what they work on."""
    leases = Leases(Store(folder).leases.directory)
    return {c.process.job: c for c in leases.all() if c.process.job and c.process.pid}


def training(folder: Path) -> list[str]:
    """The jobs whose run has a checkpoint by now."""
    saved = {checkpoint.parent.name for checkpoint in checkpoints(folder)}
    rows = rows_of(folder)
    return sorted(
        job
        for job, lease in running(folder).items()
        if lease.run_id in saved and lease.run_id not in rows
    )


def submissions(cache: Path) -> int:
    """Return the number of arrays submitted with a cache directory."""
    return len(list(cache.glob("**/*_submission.sh")))

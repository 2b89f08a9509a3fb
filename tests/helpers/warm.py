"""Runs of the real command without its start-up time, ended at a time or at an exact call."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("warm_server.py")
LONGEST_LIFE = 300.0
"""Seconds after which a hanging run is killed."""


@dataclass(frozen=True)
class Ended:
    """The end of a run.

    Attributes:
        code: exit code, or minus the number of the signal that killed it.
        seconds: its duration.
        calls: of the counted thread to the system that touched the results folder, in order; with
            `place` only.
    """

    code: int
    seconds: float
    output: str
    errors: str
    calls: list[str]

    @property
    def was_killed(self) -> bool:
        """True if SIGKILL ended it."""
        return self.code == -9


class WarmStarts:
    """Run run.py in forks of a server process.

    Args:
        place: a folder for outputs.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        # Threads of numerical libraries do not survive forks.
        quiet = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER)],
            env=os.environ | quiet | {"HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> None:
        """End the server and remove the outputs."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)
        shutil.rmtree(self.place)

    def run(
        self,
        overrides: list[str],
        folder: Path,
        life: float = LONGEST_LIFE,
        place: int | None = None,
        act: str = "count",
        spare: int = 0,
        heartbeat: bool = False,
    ) -> Ended:
        """Run a command line into a results folder.

        Args:
            overrides: without results_dir.
            folder: the results folder.
            life: seconds until SIGKILL.
            place: number, from 1, of the call that touches the folder before which to act.
            act: `count` for nothing, `fill` to fill the disk, or the name of a signal.
            spare: bytes that `fill` leaves.
            heartbeat: count the calls of the heartbeat thread, not those of the main thread.
        """
        how = {"life": life, "place": place, "act": act, "spare": spare, "heartbeat": heartbeat}
        (ended,) = self._run_jobs([self._job(overrides, folder) | how])
        return ended

    def call(self, arguments: list[str], cwd: Path, before: str = "") -> Ended:
        """Run a command line as it is in a working directory.

        Args:
            arguments: the command line after run.py.
            cwd: the working directory.
            before: source code that is executed first, such as a fault.
        """
        job = self._files(arguments) | {"cwd": str(cwd), "before": before}
        (ended,) = self._run_jobs([job])
        return ended

    def run_at_once(self, commands: list[list[str]], folder: Path) -> list[Ended]:
        """Run several command lines at once into one results folder."""
        return self._run_jobs([self._job(overrides, folder) for overrides in commands])

    def _job(self, overrides: list[str], folder: Path) -> dict[str, Any]:
        files = self._files([*overrides, f"results_dir={quoted(str(folder))}"])
        return files | {"folder": str(folder), "filler": str(folder.parent / "filler")}

    def _files(self, overrides: list[str]) -> dict[str, Any]:
        name = uuid.uuid4().hex
        out, err, trace = (str(self.place / f"{name}.{end}") for end in ("out", "err", "calls"))
        for file in (out, err, trace):
            Path(file).touch()  # the run may be killed before it opens them
        return {
            "overrides": overrides,
            "before": "",
            "cwd": str(self.place),
            "out": out,
            "err": err,
            "trace": trace,
            "life": LONGEST_LIFE,
            "place": None,
        }

    def _run_jobs(self, jobs: list[dict[str, Any]]) -> list[Ended]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(jobs) + "\n")
        self.process.stdin.flush()
        answers = json.loads(self.process.stdout.readline())
        return [
            Ended(
                answer["code"],
                answer["seconds"],
                Path(job["out"]).read_text(),
                Path(job["err"]).read_text(),
                Path(job["trace"]).read_text().splitlines(),
            )
            for job, answer in zip(jobs, answers, strict=True)
        ]


def quoted(text: str) -> str:
    """Quote a value with special characters for the grammar of overrides."""
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"

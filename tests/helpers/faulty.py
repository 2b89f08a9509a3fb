"""Helpers of the fault tests: the real command, its processes and its results."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results.csv_cells import as_text
from benchmarks.results.row import COLUMNS
from tests.helpers.halting import WAIT_SECONDS, Halt
from tests.helpers.paths import ROOT

ROUNDS = int(os.environ.get("RNNBENCH_FAULTS", "0"))
"""Number of kills of a single run in the long form; 0 selects the short form of all tests."""

MACHINE = ["train.device=cpu", "train.threads=1"]
SMALL = ["model=lstm", "task=sp500", "model.hidden_size=8", "train.max_epochs=2", *MACHINE]
"""A run of less than a second after its start, with dropout, whose RNG must be resumed."""

ALWAYS = "train.checkpoint_seconds=0"
"""A checkpoint after every step."""

MEASURED = {"run_id", "started_at", "load_average", "tokens_per_second", "peak_rss_mib"} | {
    "peak_gflops",
    "model_flops_utilisation",
    "starts",
    "concurrent_runs",
    "git_commit",
    "git_dirty",
    "sweep",
    *(name for name in COLUMNS if "seconds" in name or "latency" in name),
}
"""Columns that may differ between two runs of one configuration."""

MARK = "RNNBENCH_TEST_MARK"
"""Environment variable that the processes of a test pass on to their children."""

Row = dict[str, Any]


class Command:
    """`python run.py …` in its own session, with output in files.

    Args:
        overrides: its command line.
        place: an empty folder, its working directory and folder of its output.
        environment: variables in addition to those of this process.
        prefix: a program that starts the command.
        halt: the step at which one of its processes stops.
    """

    def __init__(
        self,
        overrides: list[str],
        place: Path,
        environment: dict[str, str] | None = None,
        prefix: Collection[str] = (),
        halt: Halt | None = None,
    ) -> None:
        environment = (environment or {}) | (halt.environment() if halt else {})
        place.mkdir(parents=True, exist_ok=True)
        self.mark = uuid.uuid4().hex
        self.out, self.err = place / f"{self.mark}.out", place / f"{self.mark}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, str(ROOT / "run.py"), *overrides],
                cwd=place,
                env=os.environ | {"HF_HUB_OFFLINE": "1", MARK: self.mark} | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """Return its standard output."""
        return self.out.read_text(errors="replace")

    @property
    def errors(self) -> str:
        """Return its standard error."""
        return self.err.read_text(errors="replace")

    def end(self, timeout: float = 2 * WAIT_SECONDS) -> int:
        """Wait for its end and return the exit code, negative for a signal."""
        return self.process.wait(timeout)

    def alive(self) -> list[psutil.Process]:
        """Return all processes that descend from it, including other sessions and orphans."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                is_ours = process.environ().get(MARK) == self.mark
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def cells(self) -> list[psutil.Process]:
        """Return the processes of a local sweep's cells: children of its fork server."""
        ours = self.alive()
        servers = {p.pid for p in ours if "forkserver" in " ".join(command_of(p))}
        return [p for p in ours if parent_of(p) in servers]

    def kill_everything(self) -> None:
        """SIGKILL every process at once until none is left."""
        while processes := self.alive():
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(0.02)
        self.process.wait(WAIT_SECONDS)

    def no_process_is_left(self) -> bool:
        """Check that all processes have ended."""
        return not self.alive()


@contextlib.contextmanager
def started(*arguments: Any, **more: Any) -> Iterator[Command]:
    """Start a command and kill its processes at the end of the test."""
    command = Command(*arguments, **more)
    try:
        yield command
    finally:
        command.kill_everything()


def ended(overrides: list[str], place: Path, code: int | None = 0, **more: Any) -> Command:
    """Run a command to its end and check its exit code, if one is given."""
    with started(overrides, place, **more) as command:
        found = command.end()
    assert code is None or found == code, f"exit {found}\n{command.output}\n{command.errors}"
    return command


def command_of(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return list(process.cmdline())
    return []


def parent_of(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.Error):
        return int(process.ppid())
    return None


def places_of(calls: int, short_stride: int) -> range:
    """Return the numbers of the calls to act at: all in the long form, else every nth."""
    if ROUNDS:
        return range(1, calls + 1)
    return range(random.randint(1, short_stride), calls + 1, short_stride)


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a results folder."""
    return list(folder.glob("runs/*/checkpoint.safetensors"))


def rows_of(folder: Path) -> dict[str, Row]:
    """Return the rows in the run folders, which must all be complete."""
    found = {}
    for file in folder.glob("runs/*/row.json"):
        row = json.loads(file.read_text())
        assert list(row) == COLUMNS
        assert row["run_id"] == file.parent.name
        found[row["run_id"]] = row
    return found


def finished_rows(folder: Path) -> dict[str, Row]:
    """Return the rows of status ok."""
    return {key: row for key, row in rows_of(folder).items() if row["status"] == "ok"}


def table_lines(folder: Path) -> dict[str, list[str]]:
    """Return the table's lines by run id; each must be complete and unique."""
    table = folder / "results.csv"
    if not table.exists():
        return {}
    text = table.read_text(encoding="utf-8")
    assert text.endswith("\n")
    header, *lines = csv.reader(text.splitlines(), strict=True)
    assert header == COLUMNS
    assert all(len(line) == len(COLUMNS) for line in lines)
    found = {line[0]: line for line in lines}
    assert len(found) == len(lines)
    return found


def untrue_lines(folder: Path) -> list[str]:
    """Return the run ids in the table whose line differs from the row in the run's folder."""
    rows = rows_of(folder)
    return [
        run_id
        for run_id, line in table_lines(folder).items()
        if run_id not in rows or line != [as_text(rows[run_id][name]) for name in COLUMNS]
    ]


def is_complete(folder: Path) -> bool:
    """Check that the table contains every row unchanged."""
    return not untrue_lines(folder) and table_lines(folder).keys() == rows_of(folder).keys()


@dataclass(frozen=True)
class Numbers:
    """The results of a run that must not depend on faults.

    Attributes:
        row: columns that are not measured.
        weights: the bytes of its weights.
        history: the learning curve without its times.
    """

    row: Row
    weights: bytes
    history: list[dict[str, str]]


def numbers_of(folder: Path, run_id: str) -> Numbers:
    """Read the results of a run."""
    run = folder / "runs" / run_id
    row = json.loads((run / "row.json").read_text())
    with (run / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    return Numbers(
        {key: value for key, value in row.items() if key not in MEASURED},
        (run / "weights.safetensors").read_bytes(),
        [{k: v for k, v in line.items() if "seconds" not in k} for line in history],
    )


def differences(found: Numbers, right: Numbers) -> list[str]:
    """Name the differences between two runs of one configuration."""
    names = [
        f"{key}: {found.row.get(key)!r}, not {right.row.get(key)!r}"
        for key in COLUMNS
        if found.row.get(key) != right.row.get(key)
    ]
    if found.weights != right.weights:
        names.append("weights")
    if found.history != right.history:
        names.append("history")
    return names


def by_fingerprint(folder: Path) -> dict[str, Numbers]:
    """Return the results by fingerprint; runs of one configuration must have equal results."""
    found: dict[str, Numbers] = {}
    for run_id, row in finished_rows(folder).items():
        numbers = numbers_of(folder, run_id)
        assert not differences(found.setdefault(row["fingerprint"], numbers), numbers)
    return found


def wrong_results(folder: Path, right: Path) -> list[str]:
    """Return the differences from an undisturbed results folder."""
    expected = by_fingerprint(right)
    wrong = []
    for key, numbers in by_fingerprint(folder).items():
        names = (
            differences(numbers, expected[key]) if key in expected else ["unknown configuration"]
        )
        wrong += [f"{key}: {name}" for name in names]
    return wrong


@dataclass
class Fault:
    """A kind of fault, with counts of injections and their consequences."""

    kind: str
    injected: int = 0
    lost: int = 0
    wrong: int = 0

    def nothing_lost(self, before: dict[str, Row], folder: Path) -> None:
        """Check that every row finished before is unchanged."""
        now = rows_of(folder)
        missing = [run_id for run_id, row in before.items() if now.get(run_id) != row]
        self.lost += len(missing)
        assert not missing, f"{self.kind}: rows lost or changed: {missing}"

    def nothing_wrong(self, found: Collection[str]) -> None:
        """Check that nothing wrong was found."""
        self.wrong += bool(found)
        assert not found, f"{self.kind}: {found}"


@dataclass
class FaultTable:
    """The counts of all kinds of faults."""

    kinds: dict[str, Fault] = field(default_factory=dict)

    def __call__(self, kind: str) -> Fault:
        """Return the counts of a kind."""
        return self.kinds.setdefault(kind, Fault(kind))

    def rows(self) -> list[list[object]]:
        """Return kind, injected, lost and wrong of each."""
        return [[f.kind, f.injected, f.lost, f.wrong] for f in self.kinds.values()]


def interrupt(process: subprocess.Popen[bytes], name: str) -> None:
    """Signal one process, like a scheduler, or its group, like Ctrl-C in a terminal."""
    number = signal.Signals[name]
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)

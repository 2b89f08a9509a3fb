"""A process that has imported what run.py needs and runs it in forks, ended at exact places.

Each line of the input is a list of jobs in JSON, see `warm.py`; each line of the output contains
their results. Starting an interpreter and importing takes seconds, and a fault test needs thousands
of runs. Only system calls are wrapped, to end the process at one of them; nothing is mocked.
"""

from __future__ import annotations

import functools
import gc
import importlib
import io
import json
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
CALLS = ("fsync", "link", "mkdir", "open", "rename", "replace", "unlink")
IMPORTS = (
    "arch.data.sp500 benchmarks.cli benchmarks.runner.run benchmarks.sweeps.scheduler hydra "
    "benchmarks.sweeps.launchers.sequential benchmarks.sweeps.progress "
    "benchmarks.runner.display rich.table torch.profiler "
    "hydra._internal.core_plugins.basic_launcher hydra._internal.core_plugins.basic_sweeper "
    "torch._dynamo models.recurrent models.modules.recurrent tasks.sp500 tasks.text.task "
    "sympy"
)
PAIRS = (("lstm", "sp500"), ("baseline", "sp500"), ("lstm", "imdb"), ("lstm", "shakespeare"))
"""Models and tasks whose source is hashed once for all forks, as for all runs of a process."""


def fill(filler: str, spare: int) -> None:
    """Fill the disk with a file, except for some spare bytes."""
    with open(filler, "ab", buffering=0) as file:  # noqa: PTH123  pathlib may be wrapped
        for size in (65536, 1024, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
        file.truncate(max(0, file.tell() - spare))


def act(job: dict[str, Any]) -> None:
    """Perform the action of a job."""
    if job["act"] == "fill":
        fill(job["filler"], job["spare"])
    elif job["act"] != "count":
        os.kill(os.getpid(), signal.Signals[job["act"]])


def is_inside(argument: Any, folder: str) -> bool:
    """Check that a call is for a path in the results folder."""
    if isinstance(argument, int):
        try:
            return os.readlink(f"/proc/self/fd/{argument}").startswith(folder)  # noqa: PTH115
        except OSError:
            return False
    return os.fspath(argument).startswith(folder)


def is_draft(path: Any, start: str) -> bool:
    """Return whether a path is the draft of a file whose name starts so."""
    return not isinstance(path, int) and os.fspath(path).rpartition("/")[2].startswith(f".{start}")


class Counter:
    """Count the calls of one thread that touch the results folder and act before one of them.

    The calls of the main thread come in the same order in every run. How often the heartbeat
    thread writes depends on how long a run takes, so its calls are not counted among them.

    With `heartbeat` in the job, the calls of the heartbeat thread are counted instead. They count
    from the first heartbeat that starts while the second checkpoint is due, and the main thread
    waits there until the action is done.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.seen = 0
        self.checkpoints = 0
        self.has_acted = False
        if job["heartbeat"]:
            leases = importlib.import_module("benchmarks.results.leases")
            leases.FIRST_BEAT_SECONDS = leases.BEAT_SECONDS = 0.01

    def note(self, name: str, path: Any) -> None:
        """Count a call that is about to be made."""
        is_main = threading.current_thread() is threading.main_thread()
        if self.job["heartbeat"]:
            if is_main:
                self._wait_at_checkpoint(name, path)
                return
            starts = name == "open" and is_draft(path, "") and self.checkpoints >= 2
            if not (self.seen or starts):
                return
        elif not is_main:
            return
        self.seen += 1
        with open(self.job["trace"], "a") as file:  # noqa: PTH123
            file.write(f"{name} {path}\n")
        if self.seen == self.job["place"]:
            act(self.job)
            self.has_acted = True

    def _wait_at_checkpoint(self, name: str, path: Any) -> None:
        self.checkpoints += name == "open" and is_draft(path, "checkpoint")
        while self.checkpoints >= 2 and not self.has_acted:
            time.sleep(0.001)


def wrap(job: dict[str, Any]) -> None:
    """Act before the job's `place`-th call, counted from 1, that touches the results folder."""
    counter = Counter(job)

    def is_reading(rest: tuple[Any, ...], more: dict[str, Any]) -> bool:
        mode = rest[0] if rest else more.get("mode", "r")
        return isinstance(mode, str) and not set(mode) & set("wxa+")

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def outer(path: Any, *rest: Any, **more: Any) -> Any:
            if is_inside(path, job["folder"]) and not (call is io_open and is_reading(rest, more)):
                counter.note(name, path)
            return call(path, *rest, **more)

        return outer

    for name in CALLS:
        setattr(os, name, wrapped(name, getattr(os, name)))
    io_open = io.open
    io.open = wrapped("open", io_open)  # by which paths are opened


def run(job: dict[str, Any]) -> NoReturn:
    """Run run.py in this fork, then exit."""
    code: Any = 1
    try:
        os.setsid()
        os.chdir(job["cwd"])
        for number, name in enumerate(("stdin", "out", "err")):
            target = os.devnull if name == "stdin" else job[name]
            handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, number)
            os.close(handle)
        exec(job["before"], {})
        sys.argv = [str(ROOT / "run.py"), *job["overrides"]]
        if job["place"] is not None:
            wrap(job)
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def serve(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run jobs concurrently to their ends, or until their time is over."""
    started = time.monotonic()
    running: dict[int, int] = {}
    answers: list[dict[str, Any]] = [{} for _ in jobs]
    for number, job in enumerate(jobs):
        pid = os.fork()
        if pid == 0:
            run(job)
        running[pid] = number
    while running:
        for pid, number in list(running.items()):
            gone, status = os.waitpid(pid, os.WNOHANG)
            life = time.monotonic() - started
            if gone:
                del running[pid]
                answers[number] = {"code": os.waitstatus_to_exitcode(status), "seconds": life}
            elif life > jobs[number]["life"]:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
    return answers


def hash_sources() -> None:
    """Fill the cache of source hashes, which take half of the time of a small run."""
    row_columns = importlib.import_module("benchmarks.runner.row_columns")
    composing = importlib.import_module("tests.helpers.composing")
    for model, task in PAIRS:
        row_columns.source_of(composing.composed(f"model={model}", f"task={task}"))


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    sys.path.insert(0, str(ROOT))
    for name in IMPORTS.split():
        importlib.import_module(name)
    hash_sources()
    gc.freeze()  # so that no fork searches all that was imported for garbage
    for line in sys.stdin:
        answers.write(json.dumps(serve(json.loads(line))) + "\n")


if __name__ == "__main__":
    main()

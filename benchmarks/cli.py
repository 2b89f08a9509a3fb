"""Between the command line and the runner: answers to mistakes, and exit codes.

Exit codes: 0 all runs ended ok, 1 a run diverged, ran out of memory or met a bug, 2 the user's
mistake, 130 interrupted. Torch is imported only once everything typed has been found right.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from benchmarks.config import checked_config, none_chosen, register_schemas
from benchmarks.errors import UserError, explain
from benchmarks.results import Store
from tasks.base import DataError

INTERRUPTED = 130

exit_codes: list[int] = []
"""One per run of this process; Hydra hands nothing back from a multirun."""


answered: set[str] = set()
"""Mistakes already told of: all cells of a sweep may share one."""


def main(hydra_main: Callable[[], None], conf: Path) -> int:
    """Compose and run what the command line asks for; returns the exit code."""
    # Else Hydra prints its own report and exits with 1 before anyone can explain.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    register_schemas(conf)
    exit_codes.clear()
    answered.clear()
    overrides = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    for group in ("model", "task"):
        # Hydra meets these with a traceback.
        if {f"{group}=", f"{group}=null"} & set(overrides):
            print(f"error: {none_chosen(group)}", file=sys.stderr)
            return 2
    try:
        hydra_main()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {explain(error, overrides, conf)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted before training began; nothing was written", file=sys.stderr)
        return INTERRUPTED
    return max(exit_codes, default=0)


def interrupt(number: int, frame: object) -> None:
    """Let the signal by which schedulers and `kill` end a process do what Ctrl-C does."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def run_one(composed: DictConfig) -> None:
    """Run one composed configuration and note its exit code."""
    try:
        config = checked_config(composed)
        store = Store(Path(config.results_dir))
        store.check_writable()
        signal.signal(signal.SIGTERM, interrupt)
        # What this profiler's library logs on its own is none of the user's business.
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
        # Read by cuBLAS when it starts: what its deterministic algorithms need.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        from benchmarks.display import show_row
        from benchmarks.runner import run

        row = run(config, store)
    except (UserError, DataError) as error:
        if str(error) not in answered:
            print(f"error: {error}", file=sys.stderr)
        answered.add(str(error))
        exit_codes.append(2)
        return
    show_row(row, config.task.metric, str(store.directory / "runs" / row.run_id))
    if row.status == "interrupted":
        sys.exit(INTERRUPTED)
    exit_codes.append(0 if row.status == "ok" else 1)

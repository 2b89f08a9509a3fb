"""The command line in a process of its own, and the table it leaves."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

from tests.helpers.paths import ROOT
from tests.helpers.warm import WarmStarts

RUN_PY = str(ROOT / "run.py")
ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1"}

MACHINE = ["train.device=cpu", "train.threads=1"]
QUICK = ["task=sp500", "debug=smoke", *MACHINE]
LOCAL = ["hydra/launcher=local", "hydra.launcher.jobs=2"]


@cache
def warm_starts() -> WarmStarts:
    """Return the server of this test process; `tests/conftest.py` ends it."""
    return WarmStarts(Path(tempfile.mkdtemp(prefix="rnnbench-warm-")))


def run_py(*arguments: str, cwd: Path = ROOT, before: str = "") -> CompletedProcess[str]:
    """Run the command in a process of its own that has torch imported.

    Args:
        arguments: its command line.
        cwd: its working directory.
        before: source code that is executed first, such as a fault.
    """
    done = warm_starts().call([*arguments], cwd, before)
    return CompletedProcess([*arguments], done.code, done.output, done.errors)


def start_py(*arguments: str, cwd: Path = ROOT) -> CompletedProcess[str]:
    """Run the command as a user does, from the start of the interpreter."""
    return subprocess.run(
        [sys.executable, RUN_PY, *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def rows(results: Path) -> list[dict[str, str]]:
    """Read the table of a results folder."""
    with (results / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))

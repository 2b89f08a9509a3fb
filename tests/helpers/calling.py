"""The command as a user calls it, and the table it leaves."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.paths import ROOT

RUN_PY = str(ROOT / "run.py")
ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1"}

MACHINE = ["train.device=cpu", "train.threads=1"]
QUICK = ["task=sp500", "debug=smoke", *MACHINE]
LOCAL = ["hydra/launcher=local", "hydra.launcher.jobs=2"]


def run_py(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
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

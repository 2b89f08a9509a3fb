"""Nothing is imported while a clock runs: fits and evaluations of baselines, in new processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.definitions import TASKS, composed
from tests.helpers.paths import ROOT

FEW = 2  # single modules of a library that is loaded cost nothing

PROGRAM = """
import json, os, sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
import torch
from benchmarks.system.disk_cache import DiskCache
from benchmarks.training.evaluation import evaluate
from tests.helpers.definitions import composed

settings = composed("lstm", sys.argv[1]).task
task = settings.load(DiskCache(Path(sys.argv[2])))
task.to(torch.device("cpu"), torch.float32)
torch.set_num_threads(1)  # a fork has only one thread
for name, baseline in settings.baselines().items():
    if not all(find_spec(module.partition(".")[0]) for module in baseline.needs):
        continue  # of an extra that is not installed
    if os.fork() == 0:
        for module in baseline.needs:
            import_module(module)
        before = set(sys.modules)
        fitted = task.fit_baseline(name, 0)
        evaluate(fitted, task, "validation", 64, max_batches=2)
        print(json.dumps([name, sorted(set(sys.modules) - before)]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("task", TASKS)
def test_a_baseline_imports_nothing_inside_its_clock(task: str, shared_cache: Path) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, task, str(shared_cache)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    found = dict(map(json.loads, ended.stdout.splitlines()))
    late = {name: outside(modules) for name, modules in found.items()}
    late = {name: libraries for name, libraries in late.items() if len(libraries) > FEW}
    known = composed("lstm", task).task.baselines().items()
    assert set(found) >= {name for name, baseline in known if not baseline.extra}
    assert not late


def outside(modules: list[str]) -> list[str]:
    """Return the modules of other libraries; those of the project and of Python are small."""
    own = {"tasks", "models", "benchmarks", *sys.stdlib_module_names}
    return [module for module in modules if module.partition(".")[0] not in own]

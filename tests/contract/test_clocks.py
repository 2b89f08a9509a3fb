"""Nothing is imported while a clock runs: fits and evaluations of baselines, in new processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
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

def load(name):
    settings = composed("lstm", name).task
    task = settings.load(DiskCache(Path(sys.argv[1])))
    task.to(torch.device("cpu"), torch.float32)
    return settings, task

def fit_all(name):
    settings, task = load(name)
    for name, baseline in settings.baselines().items():
        if not all(find_spec(module.partition(".")[0]) for module in baseline.needs):
            continue  # of an extra that is not installed
        in_fork(fit, task, name, baseline)

def fit(task, name, baseline):
    for module in baseline.needs:
        import_module(module)
    before = set(sys.modules)
    fitted = task.fit_baseline(name, 0)
    evaluate(fitted, task, "validation", 64, max_batches=2)
    print(json.dumps([name, sorted(set(sys.modules) - before)]), flush=True)

def in_fork(call, *arguments):
    if os.fork() == 0:
        call(*arguments)
        os._exit(0)
    assert os.wait()[1] == 0

torch.set_num_threads(1)  # a fork has only one thread
for line in sys.stdin:
    in_fork(fit_all, line.strip())
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def fitting(shared_cache: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that fits all baselines of each task that it reads, in forks."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(shared_cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    ) as process:
        yield process


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("task", TASKS)
def test_a_baseline_imports_nothing_inside_its_clock(
    task: str, fitting: subprocess.Popen[str]
) -> None:
    assert fitting.stdin is not None
    assert fitting.stdout is not None
    print(task, file=fitting.stdin, flush=True)
    found = dict(map(json.loads, takewhile("done\n".__ne__, fitting.stdout)))
    late = {name: outside(modules) for name, modules in found.items()}
    late = {name: libraries for name, libraries in late.items() if len(libraries) > FEW}
    known = composed("lstm", task).task.baselines().items()
    assert set(found) >= {name for name, baseline in known if not baseline.extra}
    assert not late


def outside(modules: list[str]) -> list[str]:
    """Return the modules of other libraries; those of the project and of Python are small."""
    own = {"tasks", "models", "benchmarks", *sys.stdlib_module_names}
    return [module for module in modules if module.partition(".")[0] not in own]

"""Where the wall clock of a run goes: seconds inside the functions that its phases are."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

PHASES = {
    "imports": ("builtins:__import__",),
    "git": ("benchmarks.system.environment:git_state",),
    "data": (
        "tasks.text.task:ImdbSettings.load",
        "tasks.language.task:ShakespeareSettings.load",
        "tasks.forecast.task:Sp500Settings.load",
    ),
    "network": ("benchmarks.training.network:build_network",),
    "warm-up": ("benchmarks.training.trainer:Trainer.warm_up",),
    "training": ("benchmarks.training.trainer:Trainer._train_epoch",),
    "checkpoint": ("benchmarks.runner.checkpointing:RunCheckpoint.write",),
    "validation": ("benchmarks.training.trainer:evaluate",),
    "best weights": ("benchmarks.training.trainer:Trainer._validate",),
    "test": ("benchmarks.runner.stages:evaluate",),
    "predictions": ("benchmarks.runner.stages:test",),
    "sample": ("tasks.language.task:ShakespeareTask.showcase",),
    "latency": ("benchmarks.runner.stages:latencies_ms",),
    "memory": ("benchmarks.runner.stages:measure_memory",),
    "utilisation": ("benchmarks.runner.stages:measure_utilisation",),
    "clean-up": ("benchmarks.sweeps.launchers.sequential:reset_process",),
}
"""Functions by phase, `module:name`, where whoever calls them finds them. Best weights and
predictions are what is left of a validation and of the test without their evaluations."""

FIRST_OF_A_RUN = "clean-up"
"""The phase that begins each run of a sweep in one process."""


class Watch:
    """Notes the seconds of each call of a phase; a phase within another is not counted twice.

    Attributes:
        calls: phases in the order they ended, and the seconds of each call.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []
        self._within: list[float] = []

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its seconds count for a phase."""

        @functools.wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self._within.append(0.0)
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                elapsed = time.perf_counter() - started
                self.calls.append((phase, elapsed - self._within.pop()))
                if self._within:
                    self._within[-1] += elapsed

        return wrapped

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count within the block."""
        found = [(phase, *place_of(path)) for phase, paths in PHASES.items() for path in paths]
        kept = [(owner, name, getattr(owner, name)) for _, owner, name in found]
        try:
            for (phase, owner, name), (_, _, function) in zip(found, kept, strict=True):
                setattr(owner, name, self.timed(phase, function))
            yield
        finally:
            for owner, name, function in kept:
                setattr(owner, name, function)


def by_phase(calls: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Add up the seconds of each phase."""
    seconds = dict.fromkeys(PHASES, 0.0)
    for phase, spent in calls:
        seconds[phase] += spent
    return seconds


def place_of(path: str) -> tuple[Any, str]:
    """Return what has the function as an attribute, and the attribute's name."""
    module, _, names = path.partition(":")
    *owners, name = names.split(".")
    return functools.reduce(getattr, owners, importlib.import_module(module)), name

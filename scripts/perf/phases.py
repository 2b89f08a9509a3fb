"""Wall-clock time of a run by phase: seconds inside the functions of each phase."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

PHASES = {
    "imports": ("builtins:__import__",),
    "git": ("benchmarks.system.environment:git_state",),
    "data": (
        "tasks.imdb:ImdbSettings.load",
        "tasks.shakespeare:ShakespeareSettings.load",
        "tasks.sp500:Sp500Settings.load",
    ),
    "network": ("benchmarks.runner.stages:build_network",),
    "warm-up": ("benchmarks.training.trainer:Trainer.warm_up",),
    "training": ("benchmarks.training.trainer:Trainer._train_epoch",),
    "checkpoint": ("benchmarks.runner.checkpointing:RunCheckpoint.write",),
    "validation": ("benchmarks.training.trainer:evaluate",),
    "best weights": ("benchmarks.training.trainer:Trainer._validate",),
    "test": ("benchmarks.runner.stages:test",),
    "predictions": ("benchmarks.runner.stages:write_split",),
    "validation predictions": ("benchmarks.runner.stages:keep_validation_predictions",),
    "sample": ("tasks.language.task:LanguageTask.showcase",),
    "latency": ("benchmarks.runner.stages:latencies_ms",),
    "memory": ("benchmarks.runner.stages:measure_memory",),
    "utilisation": ("benchmarks.runner.stages:measure_utilisation",),
    "clean-up": ("benchmarks.sweeps.launchers.sequential:reset_process",),
}
"""Functions by phase, as `module:name`, in the module whose code calls them.

`best weights` is validation without its evaluation, `predictions` is the writing of those of the
test and the validation split."""


class PhaseTimer:
    """Records phase and seconds of each call; a phase inside another is not counted twice."""

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
    def patched(self) -> Iterator[None]:
        """Time the functions of all phases within the block."""
        found = [(phase, *resolve(path)) for phase, paths in PHASES.items() for path in paths]
        with ExitStack() as stack:
            for phase, owner, name in found:
                function = getattr(owner, name)
                stack.callback(setattr, owner, name, function)
                setattr(owner, name, self.timed(phase, function))
            yield


def by_phase(calls: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the total seconds of each phase."""
    seconds = dict.fromkeys(PHASES, 0.0)
    for phase, spent in calls:
        seconds[phase] += spent
    return seconds


def resolve(path: str) -> tuple[Any, str]:
    """Return the module or class of a function, and the name of the function."""
    module, _, names = path.partition(":")
    *owners, name = names.split(".")
    return functools.reduce(getattr, owners, importlib.import_module(module)), name

"""Plans of sweeps without reading data."""

from __future__ import annotations

from pathlib import Path

from benchmarks.config.compose import sweep_axes
from benchmarks.config.schema import Config
from benchmarks.sweeps.plan import Plan, make_plan
from tasks.base import DataDescription


def data(config: Config) -> DataDescription:
    """Return a description in place of that of the task's data."""
    return DataDescription(config.task.name, "ab" * 32, "none", 1, 1, 1, "numbers")


def on_cpu(config: Config) -> list[str]:
    return ["cpu"]


def plan_of(results: Path, *overrides: str) -> Plan:
    """Return the plan of a sweep on the CPU; Hydra is at the configuration of the project."""
    return make_plan(sweep_axes([*overrides, f"results_dir={results}"]), data, on_cpu)

"""`python run.py -m …`: from the command line to a sweep and its exit code."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from benchmarks.config.compose import Axes, hydra_at, sweep_axes
from benchmarks.config.launchers import LAUNCHERS
from benchmarks.config.validation import check_ranges
from benchmarks.errors import UserError, nearest
from benchmarks.results.row import Status
from benchmarks.sweeps.plan import (
    DataDescriptions,
    Plan,
    cluster_device_types,
    left_out_lines,
    local_device_types,
    make_plan,
)
from benchmarks.system.signals import INTERRUPTED

if TYPE_CHECKING:
    from benchmarks.sweeps.launchers.base import Launcher, SweepContext
    from benchmarks.system.signals import Interruption

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedSweep:
    """A sweep that is ready to run."""

    plan: Plan
    search: Any
    axes: Axes
    launcher: str
    settings: Any
    conf: Path
    overrides: list[str]


def sweep(overrides: list[str], conf: Path) -> int:
    """Run a sweep and return its exit code.

    Raises:
        UserError, tasks.base.DataError, HydraException, OmegaConfBaseException: a user's mistake.
    """
    with hydra_at(conf):
        axes = sweep_axes(overrides)
        launcher, settings = launcher_settings(axes.hydra)
        data = DataDescriptions()
        device_types = cluster_device_types if launcher in ("slurm", "ray") else local_device_types
        search = None
        if "space" in axes.hydra.sweeper:
            tune = import_optional("optuna", "benchmarks.sweeps.tune", "experiment=tune", "tune")
            search, plan = tune.make_search(axes, data, device_types)
        else:
            plan = make_plan(axes, data, device_types, data.with_matched_sizes)
        for line in left_out_lines(plan.left_out):
            print(line)
        for notice in data.notices():
            logger.info(notice)
        if launcher == "local" and axes.has_seeds:
            from benchmarks.sweeps.grouping import effective_groups

            plan.cells = effective_groups(plan.cells)
        code = run_cells(PreparedSweep(plan, search, axes, launcher, settings, conf, overrides))
        if search is not None:
            tune.show_best(search)
    return code


def run_cells(prepared: PreparedSweep) -> int:
    """Run a sweep's cells, show their outcomes and return the exit code."""
    # Imported here because they import torch, which a mistake in the command line does not need.
    from benchmarks.sweeps.directory import SweepDirectory
    from benchmarks.sweeps.launchers.base import SweepContext
    from benchmarks.sweeps.progress import SweepProgress, count_of_cells, show_outcomes
    from benchmarks.sweeps.scheduler import Scheduler
    from benchmarks.system.signals import Interruption

    plan, store = prepared.plan, prepared.plan.store
    directory = SweepDirectory(store.directory / "sweeps" / plan.sweep_id)
    directory.write(plan.cells, prepared.overrides, prepared.launcher, plan.total)
    context = SweepContext(store, store.index(), directory, prepared.conf)
    interruption = Interruption()
    interruption.install()
    total = count_of_cells(plan.total)
    print(f"sweep {plan.sweep_id}: {total}, results in {store.directory}", flush=True)
    progress = SweepProgress(plan.total)
    launcher = make_launcher(prepared, context, interruption)
    resume = prepared.axes.resume
    scheduler = Scheduler(
        plan.cells, launcher, context, resume, progress, interruption, prepared.search
    )
    code = 0
    with interruption.deferred():
        try:
            scheduler.run()
        except KeyboardInterrupt as error:
            jobs = "; submitted jobs keep running" if launcher.leaves_running else ""
            print(f"interrupted ({error}){jobs}; run the same command to resume", file=sys.stderr)
            code = INTERRUPTED
        outcomes = [scheduler.outcomes[number] for number in sorted(scheduler.outcomes)]
        show_outcomes(outcomes, plan.total, progress.failed_logs)
        print(f"table: {store.table}")
    return code or int(any(outcome.status != Status.OK for outcome in outcomes))


def import_optional(library: str, module: str, feature: str, extra: str) -> ModuleType:
    """Import a module that requires an optional library."""
    if find_spec(library) is None:
        raise UserError(f"{feature} requires {library}: pip install -e '.[{extra}]'")
    return import_module(module)


def launcher_settings(hydra: DictConfig) -> tuple[str, Any]:
    """Return the launcher's name and its checked settings."""
    name = str(hydra.runtime.choices["hydra/launcher"])
    if name == "basic":
        return name, None
    if name not in LAUNCHERS:
        allowed = ["basic", *LAUNCHERS]
        raise UserError(
            f"hydra/launcher={name}: there is no such launcher "
            f"(allowed: {', '.join(allowed)}){nearest(name, allowed)}"
        )
    settings = OmegaConf.to_object(hydra.launcher)
    check_ranges(settings, "hydra.launcher.")
    return name, settings


def make_launcher(
    prepared: PreparedSweep, context: SweepContext, interruption: Interruption
) -> Launcher:
    """Return the sweep's launcher."""
    name, settings = prepared.launcher, prepared.settings
    if name == "local":
        from benchmarks.sweeps.launchers.local import LocalLauncher

        cells = prepared.plan.cells
        groups = {cell.number if cell.group is None else cell.group for cell in cells}
        most_slots = prepared.plan.total if prepared.search else len(groups)
        return LocalLauncher(settings, context, most_slots, prepared.axes.device)
    if name == "basic":
        from benchmarks.sweeps.launchers.sequential import SequentialLauncher

        return SequentialLauncher(context, interruption)
    library = "submitit" if name == "slurm" else name
    module = import_optional(
        library, f"benchmarks.sweeps.launchers.{name}", f"hydra/launcher={name}", name
    )
    made: Launcher = getattr(module, f"{name.capitalize()}Launcher")(settings, context)
    return made

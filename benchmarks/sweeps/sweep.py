"""`python run.py -m …`: from the command line to a sweep and its exit code."""

from __future__ import annotations

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
from benchmarks.results.store import Store
from benchmarks.sweeps.cell import Cell
from benchmarks.sweeps.plan import (
    DataDescriptions,
    cluster_device_types,
    local_device_types,
    make_plan,
)
from benchmarks.system.signals import INTERRUPTED

if TYPE_CHECKING:
    from benchmarks.sweeps.launchers.base import Launcher, SweepContext
    from benchmarks.system.signals import Interruption


def sweep(overrides: list[str], conf: Path) -> int:
    """Run a sweep; returns the exit code.

    Raises:
        UserError, tasks.base.DataError, HydraException, OmegaConfBaseException: a mistake.
    """
    with hydra_at(conf):
        axes = sweep_axes(overrides)
        launcher, settings = launcher_settings(axes.hydra)
        describe = DataDescriptions()
        device_types = cluster_device_types if launcher in ("slurm", "ray") else local_device_types
        search = None
        if "space" in axes.hydra.sweeper:
            tune = needed("optuna", "benchmarks.sweeps.tune", "experiment=tune", "tune")
            search, plan, store = tune.make_search(
                axes, describe, device_types, open_store, describe.matched
            )
            sweep_id, total = tune.search_id(search), search.total
        else:
            plan = make_plan(axes, describe, device_types, describe.match_all)
            store = open_store(plan.cells[0].config.results_dir)
            sweep_id, total = plan.sweep_id, len(plan.cells)
        for label, reason in plan.left_out:
            print(f"left out: {label}: {reason}")
        for notice in describe.notices():
            print(f"NOTE: {notice}")
        if launcher == "local" and axes.has_seeds:
            from benchmarks.sweeps.grouping import effective_groups

            plan.cells = effective_groups(plan.cells)
        code = run_cells(
            PreparedSweep(
                plan.cells, search, total, sweep_id, store, launcher, settings, conf, axes
            ),
            overrides,
        )
        if search is not None:
            tune.show_best(search)
    return code


@dataclass(frozen=True)
class PreparedSweep:
    """A sweep that is ready to run."""

    cells: list[Cell]
    search: Any
    total: int
    sweep_id: str
    store: Store
    launcher: str
    settings: Any
    conf: Path
    axes: Axes


def run_cells(prepared: PreparedSweep, overrides: list[str]) -> int:
    """Run a sweep's cells and show what became of them; returns the exit code."""
    from benchmarks.sweeps.directory import SweepDirectory
    from benchmarks.sweeps.launchers.base import SweepContext
    from benchmarks.sweeps.progress import SweepProgress, cells, show_outcomes
    from benchmarks.sweeps.scheduler import Scheduler
    from benchmarks.system.signals import Interruption

    store = prepared.store
    folder = SweepDirectory(store.directory / "sweeps" / prepared.sweep_id)
    folder.write(prepared.cells, overrides, prepared.launcher, prepared.total)
    context = SweepContext(store, store.index(), folder, prepared.conf)
    interruption = Interruption()
    interruption.install()
    print(f"sweep {prepared.sweep_id}: {cells(prepared.total)}, results in {store.directory}")
    sys.stdout.flush()
    progress = SweepProgress(prepared.total)
    launcher = make_launcher(prepared, context, interruption)
    driver = Scheduler(
        prepared.cells,
        launcher,
        context,
        prepared.axes.resume,
        progress,
        interruption,
        prepared.search,
    )
    code = 0
    try:
        driver.run()
    except KeyboardInterrupt as error:
        left = "; jobs on the cluster go on" if launcher.leaves_running else ""
        print(f"interrupted ({error}){left}; the same command continues", file=sys.stderr)
        code = INTERRUPTED
    outcomes = [driver.outcomes[number] for number in sorted(driver.outcomes)]
    show_outcomes(outcomes, prepared.total, progress.failed_logs)
    print(f"table: {store.table}")
    return code or int(any(outcome.status != Status.OK for outcome in outcomes))


def open_store(directory: str) -> Store:
    """Open a results folder.

    Raises:
        UserError: it cannot be written to.
    """
    store = Store(Path(directory))
    store.check_writable()
    return store


def needed(library: str, module: str, what: str, extra: str) -> ModuleType:
    """Import what an optional library is needed for.

    Raises:
        UserError: it is not installed.
    """
    if find_spec(library) is None:
        raise UserError(f"{what} needs {library}: pip install -e '.[{extra}]'")
    return import_module(module)


def launcher_settings(hydra: DictConfig) -> tuple[str, Any]:
    """Return the launcher's name and its checked settings.

    Raises:
        UserError: there is no such launcher, or a setting is out of its range.
    """
    name = str(hydra.runtime.choices["hydra/launcher"])
    if name == "basic":
        return name, None
    if name not in LAUNCHERS:
        allowed = ["basic", *LAUNCHERS]
        raise UserError(
            f"hydra/launcher={name}: rnnbench runs its own sweeps "
            f"(allowed: {', '.join(allowed)}){nearest(name, allowed)}"
        )
    settings = OmegaConf.to_object(hydra.launcher)
    check_ranges(settings, "hydra.launcher.")
    return name, settings


def make_launcher(
    prepared: PreparedSweep, context: SweepContext, interruption: Interruption
) -> Launcher:
    """Make the launcher that a sweep asks for.

    Raises:
        UserError: it needs something that is not there.
    """
    settings: Any = prepared.settings
    if prepared.launcher == "local":
        from benchmarks.sweeps.launchers.local import LocalLauncher

        groups = {cell.number if cell.group is None else cell.group for cell in prepared.cells}
        places = prepared.total if prepared.search else len(groups)
        return LocalLauncher(settings, context, places, prepared.axes.device)
    if prepared.launcher == "slurm":
        needed("submitit", "submitit", "hydra/launcher=slurm", "slurm")
        from benchmarks.sweeps.launchers.slurm import SlurmLauncher

        return SlurmLauncher(settings, context)
    if prepared.launcher == "ray":
        needed("ray", "ray", "hydra/launcher=ray", "ray")
        from benchmarks.sweeps.launchers.ray import RayLauncher

        return RayLauncher(settings, context)
    from benchmarks.sweeps.launchers.sequential import SequentialLauncher

    return SequentialLauncher(context, interruption)

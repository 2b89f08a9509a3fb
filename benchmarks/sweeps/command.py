"""`python run.py -m …`: from the command line to a sweep and its exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from benchmarks.compose import hydra_at, sweep_axes
from benchmarks.config import check_ranges
from benchmarks.errors import UserError, nearest
from benchmarks.launchers.settings import LAUNCHERS
from benchmarks.results import Store
from benchmarks.sweeps.plan import DataDescriptions, Plan, anywhere, here, make_plan

if TYPE_CHECKING:
    from benchmarks.interruption import Interruption
    from benchmarks.launchers.base import Launcher, Surroundings

INTERRUPTED = 130


def sweep(overrides: list[str], conf: Path) -> int:
    """Run a sweep; returns the exit code.

    Raises:
        UserError, tasks.base.DataError, HydraException, OmegaConfBaseException: a mistake.
    """
    with hydra_at(conf):
        axes = sweep_axes(overrides)
        launcher, settings = launcher_settings(axes.hydra)
        describe = DataDescriptions()
        plan = make_plan(axes, describe, anywhere if launcher in ("slurm", "ray") else here)
    config = plan.cells[0].config
    store = Store(Path(config.results_dir))
    store.check_writable()
    for label, reason in plan.left_out:
        print(f"left out: {label}: {reason}")
    for notice in describe.notices():
        print(f"NOTE: {notice}")
    return run_plan(plan, store, launcher, settings, overrides, conf, config.resume)


def run_plan(
    plan: Plan,
    store: Store,
    launcher: str,
    settings: Any,
    overrides: list[str],
    conf: Path,
    resume: str,
) -> int:
    """Run the cells of a plan and show what became of them; returns the exit code."""
    from benchmarks.interruption import Interruption
    from benchmarks.launchers.base import Surroundings
    from benchmarks.sweeps.board import Board, show_outcomes
    from benchmarks.sweeps.driver import Driver
    from benchmarks.sweeps.folder import SweepFolder

    folder = SweepFolder(store.directory / "sweeps" / plan.sweep_id)
    folder.write(plan.cells, overrides, launcher)
    around = Surroundings(store, store.index(), folder, conf)
    interruption = Interruption()
    interruption.install()
    print(f"sweep {plan.sweep_id}: {len(plan.cells)} cells, results in {store.directory}")
    sys.stdout.flush()
    board = Board(len(plan.cells))
    runs_cells = make_launcher(launcher, settings, around, interruption, len(plan.cells))
    driver = Driver(plan.cells, runs_cells, around, resume, board, interruption)
    code = 0
    try:
        driver.run()
    except KeyboardInterrupt as error:
        left = "; jobs on the cluster go on" if runs_cells.leaves_running else ""
        print(f"interrupted ({error}){left}; the same command continues", file=sys.stderr)
        code = INTERRUPTED
    outcomes = [driver.outcomes[number] for number in sorted(driver.outcomes)]
    show_outcomes(outcomes, len(plan.cells), board.failed_logs)
    print(f"table: {store.table}")
    return code or int(any(outcome.status != "ok" for outcome in outcomes))


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
    name: str, settings: Any, around: Surroundings, interruption: Interruption, cells: int
) -> Launcher:
    """Make the launcher of that name.

    Raises:
        UserError: it needs something that is not there.
    """
    if name == "local":
        from benchmarks.launchers.local import LocalLauncher

        return LocalLauncher(settings, around, cells)
    if name == "slurm":
        from benchmarks.launchers.slurm import SlurmLauncher

        return SlurmLauncher(settings, around)
    if name == "ray":
        from benchmarks.launchers.ray import RayLauncher

        return RayLauncher(settings, around)
    from benchmarks.launchers.basic import BasicLauncher

    return BasicLauncher(around, interruption)

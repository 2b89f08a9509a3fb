"""`experiment=tune`: from a command line with a space to arms and their search, and its summary."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Sequence

from omegaconf import OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from rich.table import Table

from benchmarks.config.compose import Axes, CellComposer
from benchmarks.config.fingerprint import fingerprint, identity
from benchmarks.config.matching import decides_size
from benchmarks.config.schema import Config
from benchmarks.config.search import TuneSettings
from benchmarks.config.validation import ImpossiblePairError, check_ranges
from benchmarks.errors import UserError
from benchmarks.results.store import Store
from benchmarks.runner.display import console, readable
from benchmarks.sweeps.cell import Cell
from benchmarks.sweeps.plan import DescribeData, DeviceTypes, Plan
from benchmarks.sweeps.search import Arm, Search, distribution_of, open_arm, open_storage
from models.baseline import BaselineSettings

WIDTH = "model.hidden_size"


def make_search(
    axes: Axes,
    describe: DescribeData,
    device_types: DeviceTypes,
    open_store: Callable[[str], Store],
    matched: Callable[[Config], Config],
) -> tuple[Search, Plan, Store]:
    """Open a study for each arm, once, before anything runs.

    Args:
        axes: of the sweep; every combination is an arm.
        describe: see `make_plan`.
        device_types: see `make_plan`.
        open_store: proves a results folder writable and opens it.
        matched: fills in the hidden size that a match asks for.

    Returns:
        The search, a plan with the cells that it has run before, and the results.

    Raises:
        UserError: an arm or the space is wrong.
    """
    settings = OmegaConf.to_object(axes.hydra.sweeper)
    assert isinstance(settings, TuneSettings)
    check_ranges(settings, "hydra.sweeper.")
    if axes.resume == "never":
        raise UserError(
            "resume=never: a search goes on with its studies; for new ones give another "
            "hydra.sweeper.seed or results_dir"
        )
    if not axes.space:
        raise UserError(
            "hydra.sweeper.space: there is nothing to choose from; give an interval, as in "
            "'train.learning_rate=tag(log,interval(1e-4,1e-2))'"
        )
    space = {key: distribution_of(override) for key, override in axes.space.items()}
    composer = CellComposer(axes.fixed)
    plan = Plan()
    found: list[tuple[str, list[str], Config]] = []
    for chosen in axes.cells():
        label = " ".join(chosen)
        try:
            config = composer.compose(chosen)
        except ImpossiblePairError as error:
            plan.left_out.append((label, str(error)))
            continue
        if isinstance(config.model, BaselineSettings):
            raise UserError("model=baseline: a baseline has nothing to tune; run it without -m")
        for key, dimension in space.items():
            for value in ends_of(dimension):
                matched(composer.compose([*chosen, f"{key}={value}"]))
        describe(config)
        found.append((label, [*axes.fixed, *chosen], config))
    if not found:
        raise UserError(f"no arm is left to tune: {plan.left_out[0][1]}")
    space = without_width(space, [config for _, _, config in found])
    store = open_store(found[0][2].results_dir)
    storage = open_storage(settings, store.directory)
    written = {
        key: str(override.input_line) for key, override in axes.space.items() if key in space
    }
    arms: list[Arm] = []
    for label, overrides, config in found:
        question = [identity(config), describe(config).sha256, written]
        metric = config.task.metric
        arms.append(
            open_arm(settings, storage, label, overrides, config, question, metric.higher_is_better)
        )

    trials = CellComposer([])

    def make_cell(number: int, overrides: list[str], label: str, study: str, trial: int) -> Cell:
        config = matched(trials.compose(overrides))
        data = describe(config)
        fingerprints = [fingerprint(config, data, kind) for kind in device_types(config)]
        return Cell(number, overrides, label, config, fingerprints, study, trial)

    def val_score(run_id: str) -> float | None:
        row = store.row(run_id)
        return None if row is None else row.get("val_score")

    search = Search(settings, arms, space, make_cell, val_score)
    plan.cells = search.known_cells()
    return search, plan, store


def without_width(
    space: dict[str, BaseDistribution], configs: list[Config]
) -> dict[str, BaseDistribution]:
    """Return a space without the hidden size, where that follows from a budget; says so.

    Raises:
        UserError: it follows in some arms and not in others, or nothing else is in the space.
    """
    kinds = {config.match.kind for config in configs if decides_size(config)}
    if WIDTH not in space or not kinds:
        return space
    if not all(decides_size(config) for config in configs):
        raise UserError(
            f"match={','.join(sorted({config.match.kind for config in configs}))}: a search has "
            f"one space for all of its arms, and {WIDTH} is in it for some of these only; "
            f"search them one after the other"
        )
    if len(space) == 1:
        raise UserError(f"{WIDTH}: match={kinds.pop()} decides it, so nothing is left to search")
    print(f"NOTE: {WIDTH} is not searched, match={' and match='.join(sorted(kinds))} decides it")
    return {key: dimension for key, dimension in space.items() if key != WIDTH}


def ends_of(distribution: BaseDistribution) -> Sequence[object]:
    """Values of a dimension that show whether its key takes all of them."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return (distribution.low, distribution.high)


def search_id(search: Search) -> str:
    """Name the sweep by its studies, so that the same command finds it again."""
    names = [arm.study.study_name for arm in search.arms]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:12]


def show_best(search: Search) -> None:
    """Print each arm's best trial, by validation, with the settings to paste."""
    table = Table(title="best by validation, one trial of one seed each", title_justify="left")
    table.add_column("arm", overflow="fold")
    table.add_column("trials", justify="right")
    table.add_column("validation", justify="right")
    table.add_column("trial", justify="right")
    table.add_column("settings", overflow="fold")
    commands = []
    for arm, count, best in search.best():
        chosen = "" if best is None else " ".join(search.overrides_of(best))
        score = "" if best is None or best.value is None else readable(best.value)
        number = "" if best is None else str(best.number)
        table.add_row(arm.label, f"{count}/{search.settings.trials}", score, number, chosen)
        if best is not None:
            commands.append(shlex.join(search.settings_of(arm, best)))
    console().print(table)
    if commands:
        print("what was chosen, to be run with several seeds:")
    for command in commands:
        print(f"  python run.py -m {command} seed=range(0,5)")

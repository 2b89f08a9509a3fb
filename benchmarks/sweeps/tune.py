"""`experiment=tune`: from a command line with a space to a search, and the search's summary."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence

from omegaconf import OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from rich.table import Table

from benchmarks.config.compose import Axes, CellComposer
from benchmarks.config.fingerprint import identity
from benchmarks.config.matching import decides_size
from benchmarks.config.schema import Config
from benchmarks.config.search import TuneSettings
from benchmarks.config.validation import check_ranges
from benchmarks.errors import UserError
from benchmarks.runner.display import readable
from benchmarks.sweeps.cell import Cell
from benchmarks.sweeps.plan import (
    ComposedCells,
    DataDescriptions,
    DeviceTypes,
    Plan,
    compose_cells,
    fingerprints_of,
    open_store,
)
from benchmarks.sweeps.search import Search, distribution_of, open_storage, open_study
from benchmarks.system.console import console
from benchmarks.system.hashing import short_hash
from models.baseline import BaselineSettings

logger = logging.getLogger(__name__)

HIDDEN_SIZE = "model.hidden_size"
Space = dict[str, BaseDistribution]


def make_search(
    axes: Axes, data: DataDescriptions, device_types: DeviceTypes
) -> tuple[Search, Plan]:
    """Open a study per configuration; return the search with the plan of its earlier trials.

    Raises:
        UserError: a configuration or the space is wrong.
    """
    settings = tune_settings(axes)
    space = {key: distribution_of(override) for key, override in axes.space.items()}
    composed, left_out = compose_cells(axes)
    if not composed:
        raise UserError(f"no configuration is left to tune: {left_out[0][1]}")
    check_configurations(axes, composed, space, data)
    space = without_hidden_size(space, [config for _, config in composed])
    store = open_store(composed[0][1].results_dir)
    storage = open_storage(settings, store.directory)
    written = {key: str(axes.space[key].input_line) for key in space}
    studies = []
    for chosen, config in composed:
        content = [identity(config), data(config).sha256, written]
        overrides = [*axes.fixed, *chosen]
        studies.append(open_study(settings, storage, " ".join(chosen), overrides, config, content))
    composer = CellComposer([])

    def make_cell(number: int, overrides: list[str], label: str, study: str, trial: int) -> Cell:
        config = data.with_matched_size(composer.compose(overrides))
        fingerprints = fingerprints_of(config, data, device_types)
        return Cell(number, overrides, label, config, fingerprints, study, trial)

    def val_score(run_id: str) -> float | None:
        return (store.row(run_id) or {}).get("val_score")

    search = Search(settings, studies, space, make_cell, val_score)
    sweep_id = short_hash([study.backend.study_name for study in studies], 12)
    return search, Plan(store, search.finished_cells(), left_out, sweep_id, search.total)


def tune_settings(axes: Axes) -> TuneSettings:
    """Return the checked settings of a search."""
    settings = OmegaConf.to_object(axes.hydra.sweeper)
    assert isinstance(settings, TuneSettings)
    check_ranges(settings, "hydra.sweeper.")
    if axes.resume == "never":
        raise UserError(
            "resume=never: a search always resumes its studies; for new studies set another "
            "hydra.sweeper.seed or results_dir"
        )
    if not axes.space:
        raise UserError(
            "hydra.sweeper.space: the space is empty; give an interval, as in "
            "'train.learning_rate=tag(log,interval(1e-4,1e-2))'"
        )
    return settings


def check_configurations(
    axes: Axes, composed: ComposedCells, space: Space, data: DataDescriptions
) -> None:
    """Raise UserError unless each configuration can be trained with all values of the space."""
    composer = CellComposer(axes.fixed)
    for chosen, config in composed:
        if isinstance(config.model, BaselineSettings):
            raise UserError("model=baseline: a baseline has nothing to tune; run it without -m")
        for key, distribution in space.items():
            for value in bounds_of(distribution):
                data.with_matched_size(composer.compose([*chosen, f"{key}={value}"]))
        data(config)


def without_hidden_size(space: Space, configs: list[Config]) -> Space:
    """Return a space without the hidden size where `match` determines it, and print a note."""
    kinds = {config.match.kind for config in configs if decides_size(config)}
    if HIDDEN_SIZE not in space or not kinds:
        return space
    if not all(decides_size(config) for config in configs):
        every = ",".join(sorted({config.match.kind for config in configs}))
        raise UserError(
            f"match={every}: a search has one space for all configurations, but match "
            f"determines {HIDDEN_SIZE} in some of them; run one search per match"
        )
    if len(space) == 1:
        raise UserError(
            f"{HIDDEN_SIZE}: match={kinds.pop()} determines it, so the search space is empty"
        )
    kind = " and ".join(f"match={name}" for name in sorted(kinds))
    logger.info("%s is not searched: %s determines it", HIDDEN_SIZE, kind)
    return {key: distribution for key, distribution in space.items() if key != HIDDEN_SIZE}


def bounds_of(distribution: BaseDistribution) -> Sequence[object]:
    """Return the values of a distribution that show whether its key accepts all of them."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return (distribution.low, distribution.high)


def show_best(search: Search) -> None:
    """Print each configuration's best trial by validation score, with a command to repeat it."""
    table = Table(title="best by validation, one trial of one seed each", title_justify="left")
    table.add_column("configuration", overflow="fold")
    for name in ("trials", "validation", "trial"):
        table.add_column(name, justify="right")
    table.add_column("settings", overflow="fold")
    commands = []
    for study, count, best in search.best():
        cells = ["", "", ""]
        if best is not None:
            score = "" if best.value is None else readable(best.value)
            cells = [score, str(best.number), " ".join(search.overrides_of(best))]
            commands.append(shlex.join(search.command_of(study, best)))
        table.add_row(study.label, f"{count}/{search.settings.trials}", *cells)
    console().print(table)
    if commands:
        print("to run the best settings with several seeds:")
    for command in commands:
        print(f"  python run.py -m {command} seed=range(0,5)")

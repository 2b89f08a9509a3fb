"""From a sweep's command line to its cells, all of them checked before the first one runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.config.compose import Axes, CellComposer
from benchmarks.config.fingerprint import fingerprint, seed_of
from benchmarks.config.matching import NoSizeError, common_budget, decides_size, matched
from benchmarks.config.schema import Config
from benchmarks.config.validation import ImpossiblePairError
from benchmarks.errors import UserError
from benchmarks.results.store import Store
from benchmarks.sweeps.cell import Cell
from benchmarks.system.disk_cache import DiskCache, cache_directory
from models.base import ModelSettings
from models.baseline import BaselineSettings
from tasks.base import DataDescription

DescribeData = Callable[[Config], DataDescription]
Resolve = Callable[[list[Config]], list[Config]]
DeviceTypes = Callable[[Config], list[str]]


@dataclass
class Plan:
    """A sweep's cells.

    Attributes:
        cells: each question once.
        left_out: labels of impossible pairs, with the reason.
        sweep_id: equal for sweeps over the same questions.
    """

    cells: list[Cell] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @property
    def sweep_id(self) -> str:
        """Name the sweep by its questions in their order, so that the same command finds it again.

        Jobs that wait on a cluster know their cell by its number.
        """
        text = json.dumps([cell.fingerprints for cell in self.cells])
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def as_they_are(configs: list[Config]) -> list[Config]:
    """Leave configurations alone: nothing in them follows from their data."""
    return configs


def make_plan(
    axes: Axes, describe: DescribeData, device_types: DeviceTypes, resolve: Resolve = as_they_are
) -> Plan:
    """Compose and check every cell; all that was typed is checked before any data is read.

    Args:
        axes: of the sweep.
        describe: tells of the data that a cell asks for.
        device_types: the kinds of device a cell may run on.
        resolve: fills in what follows from the data, see `DataDescriptions.all_matched`.

    Raises:
        UserError: a cell is wrong, none is left, a budget cannot be met, or the results folder
            cannot be written to.
        tasks.base.DataError: a task's data cannot be used.
    """
    composer = CellComposer(axes.fixed)
    plan = Plan()
    composed: list[tuple[list[str], str, Config]] = []
    for chosen in axes.cells():
        label = " ".join(chosen) or "the only cell"
        try:
            config = composer.compose(chosen)
            for name in all_baselines(config):
                one = [*chosen, f"model.baseline={name}"]
                composed.append((one, " ".join(one), composer.compose(one)))
            if not selects_all_baselines(config):
                composed.append((chosen, label, config))
        except ImpossiblePairError as error:
            plan.left_out.append((label, str(error)))
    if not composed:
        reason = plan.left_out[0][1] if plan.left_out else "there is nothing to sweep over"
        raise UserError(f"no cell is left to run: {reason}")
    Store(Path(composed[0][2].results_dir)).check_writable()
    seen: set[str] = set()
    configs = resolve([config for _, _, config in composed])
    for (chosen, label, _), config in zip(composed, configs, strict=True):
        data = describe(config)
        fingerprints = [fingerprint(config, data, kind) for kind in device_types(config)]
        if fingerprints[0] in seen:
            continue
        seen.add(fingerprints[0])
        overrides = [*axes.fixed, *chosen]
        if seed_of(config) is None:  # it stands for all seeds
            label = " ".join(t for t in chosen if not t.startswith("seed=")) or label
        cell = Cell(len(plan.cells), overrides, label, config, fingerprints)
        if axes.has_seeds and not isinstance(config.model, BaselineSettings):
            arm = " ".join(text for text in chosen if not text.startswith("seed="))
            cell = dataclasses.replace(cell, group=arm)
        plan.cells.append(cell)
    return plan


def selects_all_baselines(config: Config) -> bool:
    """Whether a cell is `model=baseline` with none chosen."""
    return isinstance(config.model, BaselineSettings) and config.model.baseline is None


def all_baselines(config: Config) -> list[str]:
    """Name the baselines that a cell stands for, if it does."""
    return list(config.task.baselines()) if selects_all_baselines(config) else []


class DataDescriptions:
    """Describes each cell's data, reading each data set once.

    That also prepares the cache before many processes want it, and finds what is wrong with the
    data before anything trains.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[DataDescription, int]] = {}
        self._sized: dict[str, ModelSettings] = {}

    def __call__(self, config: Config) -> DataDescription:
        """Return the description of the data that a configuration asks for."""
        return self._loaded(config)[0]

    def matched(self, config: Config) -> Config:
        """Return a configuration with the hidden size that its match asks for, see `matching`.

        Cells that differ in nothing an encoder depends on share the solution.

        Raises:
            NoSizeError: no hidden size is near enough to the budget.
        """
        if not decides_size(config):
            return config
        model, input_size = self._encoder(config)
        key = repr((model, config.match, input_size))
        if key not in self._sized:
            self._sized[key] = matched(config, input_size).model
        return dataclasses.replace(config, model=self._sized[key])

    def match_all(self, configs: list[Config]) -> list[Config]:
        """Return a sweep's configurations with the hidden sizes that their matches ask for.

        Raises:
            UserError: one has none; says which budget would suit all.
        """
        matches: list[Config] = []
        try:
            for config in configs:
                matches.append(self.matched(config))
        except NoSizeError as error:
            match = configs[len(matches)].match
            alike = [self._encoder(c) for c in configs if c.match == match and decides_size(c)]
            budget = common_budget({repr(each): each for each in alike}.values(), match)
            hint = "" if budget is None else f"; match.budget={budget} suits all cells"
            raise UserError(f"{error}{hint}") from error
        return matches

    def _encoder(self, config: Config) -> tuple[ModelSettings, int]:
        """What an encoder's size depends on beside its hidden size: other settings, input size."""
        return dataclasses.replace(config.model, hidden_size=1), self._loaded(config)[1]

    def _loaded(self, config: Config) -> tuple[DataDescription, int]:
        """Data and input size of a configuration's task."""
        settings = dataclasses.asdict(config.task) | {"task": config.task.name}
        key = json.dumps([settings, config.cache_dir], sort_keys=True)
        if key not in self._known:
            folder = cache_directory(config.cache_dir)
            task = config.task.load(DiskCache(folder))
            self._known[key] = task.data, task.input_size
        return self._known[key]

    def notices(self) -> list[str]:
        """What must be known of the data sets before trusting a run on them."""
        return sorted({data.notice for data, _ in self._known.values() if data.notice})


def local_device_types(config: Config) -> list[str]:
    """The kind of device a cell runs on, if it runs on this machine."""
    from benchmarks.system.environment import choose_device

    return [choose_device(config.train.device).type]


def cluster_device_types(config: Config) -> list[str]:
    """The kinds of device a cell may meet on a cluster."""
    wanted = config.train.device
    return ["cuda", "cpu"] if wanted == "auto" else [wanted.partition(":")[0]]

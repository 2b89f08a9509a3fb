"""The cells of a sweep's command line, all of them checked before the first one runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.config.compose import Axes, CellComposer
from benchmarks.config.fingerprint import fingerprint, seed_of
from benchmarks.config.matching import (
    NoSizeError,
    check_factor,
    common_budget,
    decides_size,
    matched,
)
from benchmarks.config.schema import Config
from benchmarks.config.validation import ImpossiblePairError
from benchmarks.errors import UserError
from benchmarks.results.store import Store
from benchmarks.sweeps.cell import Cell
from benchmarks.system.disk_cache import DiskCache, cache_directory
from benchmarks.system.hashing import short_hash
from models.base import ModelSettings
from models.baseline import BaselineSettings
from tasks.base import DataDescription

DescribeData = Callable[[Config], DataDescription]
Resolve = Callable[[list[Config]], list[Config]]
DeviceTypes = Callable[[Config], list[str]]
ComposedCells = list[tuple[list[str], Config]]
LeftOut = list[tuple[str, str]]


@dataclass
class Plan:
    """The checked cells of a sweep.

    Attributes:
        store: the opened results folder.
        cells: each configuration once; in a search, those of earlier trials.
        left_out: labels of impossible pairs, with the reason.
        sweep_id: equal for sweeps over the same configurations in the same order.
        total: number of cells, those that a search has not sampled yet included.
    """

    store: Store
    cells: list[Cell]
    left_out: LeftOut
    sweep_id: str
    total: int


def make_plan(
    axes: Axes, describe: DescribeData, device_types: DeviceTypes, resolve: Resolve = list
) -> Plan:
    """Compose and check every cell; the whole command line is checked before data is read.

    Args:
        axes: of the sweep.
        describe: returns the description of a configuration's data.
        device_types: returns the kinds of device a cell may run on.
        resolve: fills in settings that depend on data; see `DataDescriptions`.

    Raises:
        UserError: a cell is wrong, none is left, no size meets a budget, or the results folder
            is not writable.
        tasks.base.DataError: the data of a task cannot be used.
    """
    composed, left_out = compose_cells(axes)
    if not composed:
        reason = left_out[0][1] if left_out else "the sweep is empty"
        raise UserError(f"no cells to run: {reason}")
    store = open_store(composed[0][1].results_dir)
    cells: dict[str, Cell] = {}
    configs = resolve([config for _, config in composed])
    for (chosen, _), config in zip(composed, configs, strict=True):
        fingerprints = fingerprints_of(config, describe, device_types)
        if fingerprints[0] in cells:
            continue
        arm = " ".join(text for text in chosen if not text.startswith("seed="))
        is_for_all_seeds = seed_of(config) is None
        label = (arm if is_for_all_seeds else "") or " ".join(chosen) or "the only cell"
        has_group = axes.has_seeds and not isinstance(config.model, BaselineSettings)
        cells[fingerprints[0]] = Cell(
            len(cells),
            [*axes.fixed, *chosen],
            label,
            config,
            fingerprints,
            group=arm if has_group else None,
        )
    sweep_id = short_hash([cell.fingerprints for cell in cells.values()], 12)
    return Plan(store, list(cells.values()), left_out, sweep_id, len(cells))


def compose_cells(axes: Axes) -> tuple[ComposedCells, LeftOut]:
    """Return each cell's overrides and configuration, and the impossible pairs with a reason."""
    composer = CellComposer(axes.fixed)
    composed: ComposedCells = []
    left_out: LeftOut = []
    for chosen in axes.cells():
        try:
            config = composer.compose(chosen)
        except ImpossiblePairError as error:
            left_out.append((" ".join(chosen), str(error)))
            continue
        if not selects_all_baselines(config):
            composed.append((chosen, config))
            continue
        for name in config.task.baselines():
            each = [*chosen, f"model.baseline={name}"]
            try:
                composed.append((each, composer.compose(each)))
            except ImpossiblePairError as error:
                left_out.append((" ".join(each), str(error)))
    return composed, left_out


def left_out_lines(left_out: LeftOut) -> list[str]:
    """Return a line for each reason, with its pairs; their seeds are omitted."""
    labels: dict[str, list[str]] = {}
    for label, text in left_out:
        words = [word for word in label.split() if not word.startswith("seed=")]
        arm = " ".join(words).replace("model=baseline model.baseline=", "model.baseline=")
        subject, _, rest = text.partition(": ")
        reason = rest if subject in words else text
        labels.setdefault(reason, []).append(arm or "every cell")
    return [
        f"left out: {'; '.join(dict.fromkeys(arms))}: {reason}" for reason, arms in labels.items()
    ]


def selects_all_baselines(config: Config) -> bool:
    """Return True if a configuration has `model=baseline` without the name of a baseline."""
    return isinstance(config.model, BaselineSettings) and config.model.baseline is None


def open_store(directory: str) -> Store:
    """Open a results folder, or raise UserError if it is not writable."""
    store = Store(Path(directory))
    store.check_writable()
    return store


def fingerprints_of(config: Config, describe: DescribeData, device_types: DeviceTypes) -> list[str]:
    """Return a configuration's fingerprint on each kind of device."""
    data = describe(config)
    return [fingerprint(config, data, kind) for kind in device_types(config)]


class DataDescriptions:
    """Describe the data of configurations, reading each data set once.

    This also fills the cache of prepared data, and finds faults of the data before training.
    """

    def __init__(self) -> None:
        self._data: dict[str, tuple[DataDescription, int]] = {}
        self._sized: dict[str, ModelSettings] = {}

    def __call__(self, config: Config) -> DataDescription:
        """Return the description of a configuration's data."""
        return self._load(config)[0]

    def with_matched_size(self, config: Config) -> Config:
        """Return a configuration with the hidden size that its `match` determines."""
        if not decides_size(config):
            return config
        model, input_size = self._size_inputs(config)
        key = repr((model, config.match, input_size))  # shared by cells with equal encoders
        if key not in self._sized:
            self._sized[key] = matched(config, input_size).model
        check_factor(config, self._sized[key].hidden_size)
        return dataclasses.replace(config, model=self._sized[key])

    def with_matched_sizes(self, configs: list[Config]) -> list[Config]:
        """Return configurations with the hidden sizes that their `match` determines."""
        sized: list[Config] = []
        try:
            for config in configs:
                sized.append(self.with_matched_size(config))
        except NoSizeError as error:
            match = configs[len(sized)].match
            inputs = [self._size_inputs(c) for c in configs if c.match == match and decides_size(c)]
            budget = common_budget({repr(each): each for each in inputs}.values(), match)
            hint = "" if budget is None else f"; match.budget={budget} suits all cells"
            raise UserError(f"{error}{hint}") from error
        return sized

    def _size_inputs(self, config: Config) -> tuple[ModelSettings, int]:
        """Return what determines an encoder's size apart from its hidden size."""
        return dataclasses.replace(config.model, hidden_size=1), self._load(config)[1]

    def _load(self, config: Config) -> tuple[DataDescription, int]:
        """Return data description and input size of a configuration's task."""
        settings = dataclasses.asdict(config.task) | {"task": config.task.name}
        key = json.dumps([settings, config.cache_dir], sort_keys=True)
        if key not in self._data:
            task = config.task.load(DiskCache(cache_directory(config.cache_dir)))
            self._data[key] = task.data, task.input_size
        return self._data[key]

    def notices(self) -> list[str]:
        """Return the notices of all data sets read so far."""
        return sorted({notice for data, _ in self._data.values() for notice in data.notices})


def local_device_types(config: Config) -> list[str]:
    """Return the kind of device a cell runs on, on this machine."""
    from benchmarks.system.environment import choose_device

    return [choose_device(config.train.device).type]


def cluster_device_types(config: Config) -> list[str]:
    """Return the kinds of device a cell may run on, on a cluster."""
    device = config.train.device
    return ["cuda", "cpu"] if device == "auto" else [device.partition(":")[0]]

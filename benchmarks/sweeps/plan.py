"""From a sweep's command line to its cells, all of them checked before the first one runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cache import DiskCache, default_cache_directory
from benchmarks.compose import Axes, CellComposer
from benchmarks.config import Config, ImpossiblePairError, fingerprint
from benchmarks.errors import UserError
from benchmarks.results import Store
from benchmarks.sweeps.cell import Cell
from tasks.base import DataDescription

DescribeData = Callable[[Config], DataDescription]
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


def make_plan(axes: Axes, describe: DescribeData, device_types: DeviceTypes) -> Plan:
    """Compose and check every cell; all that was typed is checked before any data is read.

    Raises:
        UserError: a cell is wrong, none is left, or the results folder cannot be written to.
        tasks.base.DataError: a task's data cannot be used.
    """
    composer = CellComposer(axes.fixed)
    plan = Plan()
    composed: list[tuple[list[str], str, Config]] = []
    for chosen in axes.cells():
        label = " ".join(chosen) or "the only cell"
        try:
            composed.append((chosen, label, composer.compose(chosen)))
        except ImpossiblePairError as error:
            plan.left_out.append((label, str(error)))
    if not composed:
        reason = plan.left_out[0][1] if plan.left_out else "there is nothing to sweep over"
        raise UserError(f"no cell is left to run: {reason}")
    Store(Path(composed[0][2].results_dir)).check_writable()
    seen: set[str] = set()
    for chosen, label, config in composed:
        data = describe(config)
        fingerprints = [fingerprint(config, data, kind) for kind in device_types(config)]
        if fingerprints[0] in seen:
            continue
        seen.add(fingerprints[0])
        overrides = [*axes.fixed, *chosen]
        plan.cells.append(Cell(len(plan.cells), overrides, label, config, fingerprints))
    return plan


class DataDescriptions:
    """Describes each cell's data, reading each data set once.

    That also prepares the cache before many processes want it, and finds what is wrong with the
    data before anything trains.
    """

    def __init__(self) -> None:
        self._known: dict[str, DataDescription] = {}

    def __call__(self, config: Config) -> DataDescription:
        """Return the description of the data that a configuration asks for."""
        settings = dataclasses.asdict(config.task) | {"task": config.task.name}
        key = json.dumps([settings, config.cache_dir], sort_keys=True)
        if key not in self._known:
            folder = Path(config.cache_dir) if config.cache_dir else default_cache_directory()
            self._known[key] = config.task.load(DiskCache(folder)).data
        return self._known[key]

    def notices(self) -> list[str]:
        """What must be known of the data sets before trusting a run on them."""
        return sorted({data.notice for data in self._known.values() if data.notice})


def here(config: Config) -> list[str]:
    """The kind of device a cell runs on, if it runs on this machine."""
    from benchmarks.environment import choose_device

    return [choose_device(config.train.device).type]


def anywhere(config: Config) -> list[str]:
    """The kinds of device a cell may meet on a cluster."""
    wanted = config.train.device
    return ["cuda", "cpu"] if wanted == "auto" else [wanted.partition(":")[0]]

"""Composing configurations: one, or the cells of a sweep without Hydra's work for each of them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override
from omegaconf import DictConfig, OmegaConf

from benchmarks.config import Config, checked_config
from benchmarks.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
"""The project's own folder, which processes elsewhere import from."""

FIXED_KEYS = ("results_dir", "cache_dir", "resume")
"""A sweep has one of each."""


@contextmanager
def hydra_at(conf: Path) -> Iterator[None]:
    """Let Hydra compose from a configuration folder within the block."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        yield


@dataclass(frozen=True)
class Axes:
    """What a sweep's command line asks for, before any cell is composed.

    Attributes:
        fixed: overrides that all cells share.
        values: overrides by key, several where the sweep runs over them.
        hydra: Hydra's own section, launcher and sweeper among it.
        resume: what to do with cells that have run before.
        space: what a search chooses from, by key, as Hydra writes it.
    """

    fixed: list[str]
    values: list[list[str]]
    hydra: DictConfig
    resume: str
    space: dict[str, Override] = field(default_factory=dict)

    def cells(self) -> Iterator[list[str]]:
        """Go through the cells' own overrides; the last axis runs fastest."""
        for chosen in itertools.product(*self.values):
            yield list(chosen)


class CellComposer:
    """Composes the cells of a sweep; what only values tell apart is composed once.

    Args:
        fixed: overrides that all cells share.
    """

    def __init__(self, fixed: list[str]) -> None:
        self.fixed = fixed
        self.parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        self._bases: dict[tuple[str, ...], DictConfig] = {}
        self._parsed: dict[str, Override] = {}

    def parsed(self, text: str) -> Override:
        """Parse an override, each text once."""
        if text not in self._parsed:
            self._parsed[text] = self.parser.parse_override(text)
        return self._parsed[text]

    def compose(self, chosen: list[str]) -> Config:
        """Return the checked configuration of a cell.

        Args:
            chosen: the cell's own overrides.

        Raises:
            UserError, HydraException, OmegaConfBaseException: as for a single run.
        """
        values: list[str] = []
        others: list[str] = []
        for text in chosen:
            (values if self._is_value(self.parsed(text)) else others).append(text)
        key = tuple(others)
        if key not in self._bases:
            self._bases[key] = compose("config", overrides=[*self.fixed, *others])
        config = copy.deepcopy(self._bases[key])
        for text in values:
            override = self.parsed(text)
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        return checked_config(config)

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets a value, and nothing that the defaults list could depend on."""
        loader = GlobalHydra.instance().config_loader()
        is_plain = not (override.is_add() or override.is_delete() or override.is_force_add())
        is_group = bool(loader.list_groups(override.key_or_group)) or bool(
            loader.get_group_options(override.key_or_group)
        )
        return is_plain and not is_group and override.package is None


def sweep_axes(overrides: list[str]) -> Axes:
    """Read a sweep's command line.

    The axes are the overrides with several values, and those that an experiment's YAML lists under
    `hydra.sweeper.params`, unless the command line sets the same key.

    Raises:
        UserError, HydraException, OmegaConfBaseException: it cannot be composed.
    """
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    given = {override.get_key_element(): override for override in parser.parse_overrides(overrides)}
    plain = [str(o.input_line) for o in given.values() if not o.is_sweep_override()]
    master = compose("config", overrides=plain, return_hydra_config=True)
    hydra = master.hydra
    params = OmegaConf.select(hydra, "sweeper.params") or {}
    space = OmegaConf.select(hydra, "sweeper.space")
    listed = [f"{key}={value}" for key, value in [*params.items(), *(space or {}).items()]]
    every = {o.get_key_element(): o for o in parser.parse_overrides(listed)} | given
    axes = Axes([], [], hydra, master.resume)
    for key, override in every.items():
        if not override.is_sweep_override():
            if not key.startswith("hydra"):
                axes.fixed.append(str(override.input_line))
        elif key in FIXED_KEYS or key.startswith("hydra"):
            raise UserError(f"{key}: a sweep has one value of it, not several")
        elif space is not None and is_searched(override):
            axes.space[key] = override
        elif override.is_discrete_sweep():
            values = override.sweep_string_iterator()
            axes.values.append([f"{key}={value}" for value in values])
        else:
            raise UserError(
                f"{override.input_line}: a sweep takes lists and ranges, as in seed=0,1,2 or "
                f"seed=range(0,3); to search an interval add experiment=tune"
            )
    return axes


def is_searched(override: Override) -> bool:
    """Whether an override gives a search something to choose from: an interval or `choice(...)`."""
    value = override.value()
    return isinstance(value, IntervalSweep) or (
        isinstance(value, ChoiceSweep) and not value.simple_form
    )

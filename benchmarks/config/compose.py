"""Composing configurations: one, or the cells of a sweep without Hydra's work for each of them."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmarks import PROJECT_ROOT
from benchmarks.config.axes import as_axis
from benchmarks.config.overrides import ONE_LIST, check_seeds, refuse_both, text_of
from benchmarks.config.schema import (
    Config,
    check_ranges,
    check_together,
    checked_config,
    typed_config,
)
from benchmarks.errors import UserError

ROOT = PROJECT_ROOT
"""The project's own folder, which processes elsewhere import from."""

FIXED_KEYS = ("experiment", "results_dir", "cache_dir", "resume")
"""A sweep has one of each."""

EFFECTIVE_HYDRA_KEYS = (
    *("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.searchpath"),
    *("hydra.sweeper.params", "hydra.sweeper.space", "hydra.sweeper.trials"),
    *("hydra.sweeper.sampler", "hydra.sweeper.seed", "hydra.sweeper.storage"),
)
"""What a sweep takes of Hydra's own keys."""


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
        device: `train.device`, as far as the cells share it.
        space: what a search chooses from, by key, as Hydra writes it.
        has_seeds: whether the last axis was written `seeds=[…]`.
    """

    fixed: list[str]
    values: list[list[str]]
    hydra: DictConfig
    resume: str
    device: str
    space: dict[str, Override] = field(default_factory=dict)
    has_seeds: bool = False

    def cells(self) -> Iterator[list[str]]:
        """Go through the cells' own overrides; the last axis runs fastest."""
        for chosen in itertools.product(*self.values):
            yield list(chosen)


class Base:
    """A composed configuration, and what it becomes when values in it are set.

    Setting one value takes Hydra's machinery several milliseconds, so each is typed once, alone,
    and cells are put together from those. What could depend on another value, an interpolation or
    a whole section, goes the long way.

    Args:
        composed: not yet checked.
    """

    def __init__(self, composed: DictConfig) -> None:
        self.composed = composed
        self._scratch = copy.deepcopy(composed)
        self._typed: Config | None = None
        if "${" not in OmegaConf.to_yaml(composed):
            with contextlib.suppress(UserError, OmegaConfBaseException):
                self._typed = typed_config(composed)
        self._values: dict[str, tuple[str, str, Any] | None] = {}
        self._sections: dict[tuple[str, ...], Any] = {}

    def with_values(self, overrides: dict[str, Override]) -> Config:
        """Set values.

        Args:
            overrides: by their text.

        Raises:
            UserError, OmegaConfBaseException: a value is wrong, or they do not go together.
        """
        if self._typed is not None:
            fields = [self._field(text, override) for text, override in overrides.items()]
            known = [field for field in fields if field is not None]
            if len({field[:2] for field in known}) == len(overrides):
                together = self._put_together(self._typed, list(overrides), known)
                check_ranges(together)
                check_together(together)
                return together
        config = copy.deepcopy(self.composed)
        for override in overrides.values():
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        return checked_config(config)

    def _field(self, text: str, override: Override) -> tuple[str, str, Any] | None:
        """Section, name and value of the one field an override sets; None if it is none such."""
        if text not in self._values:
            self._values[text] = self._read(override)
        return self._values[text]

    def _read(self, override: Override) -> tuple[str, str, Any] | None:
        key, value = override.key_or_group, override.value()
        section, _, name = key.rpartition(".")
        if "." in section or not isinstance(value, str | int | float | None) or "${" in str(value):
            return None
        try:
            if isinstance(OmegaConf.select(self._scratch, key), Container):
                return None
            OmegaConf.update(self._scratch, key, value, merge=True)
            typed = OmegaConf.select(self._scratch, key)
        except OmegaConfBaseException:
            return None  # the long way says what is wrong
        return section, name, typed

    def _put_together(
        self, typed: Config, texts: list[str], fields: list[tuple[str, str, Any]]
    ) -> Config:
        """Set fields; cells with the same section share it."""
        changes = {name: value for section, name, value in fields if not section}
        for section in {section for section, _, _ in fields if section}:
            among = [i for i, field in enumerate(fields) if field[0] == section]
            key = (section, *(texts[i] for i in among))
            if key not in self._sections:
                values = {fields[i][1]: fields[i][2] for i in among}
                self._sections[key] = dataclasses.replace(getattr(typed, section), **values)
            changes[section] = self._sections[key]
        return dataclasses.replace(typed, **changes)


class CellComposer:
    """Composes the cells of a sweep; what only values tell apart is composed once.

    Args:
        fixed: overrides that all cells share.
    """

    def __init__(self, fixed: list[str]) -> None:
        self.fixed = fixed
        self.parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        self._bases: dict[tuple[str, ...], Base] = {}
        self._parsed: dict[str, Override] = {}
        self._is_group: dict[str, bool] = {}

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
        values: dict[str, Override] = {}
        others: list[str] = []
        for text in chosen:
            override = self.parsed(text)
            if self._is_value(override):
                values[text] = override
            elif override.value() is not None:  # no option of a group is what it begins with
                others.append(text)
        key = tuple(others)
        if key not in self._bases:
            self._bases[key] = Base(compose("config", overrides=[*self.fixed, *others]))
        return self._bases[key].with_values(values)

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets a value, and nothing that the defaults list could depend on."""
        key = override.key_or_group
        if key not in self._is_group:
            loader = GlobalHydra.instance().config_loader()
            self._is_group[key] = bool(loader.list_groups(key) or loader.get_group_options(key))
        is_plain = not (override.is_add() or override.is_delete() or override.is_force_add())
        return is_plain and not self._is_group[key] and override.package is None


def sweep_axes(overrides: list[str]) -> Axes:
    """Read a sweep's command line.

    The axes are the overrides with several values, and those that an experiment's YAML lists under
    `hydra.sweeper.params`, unless the command line sets the same key.

    Raises:
        UserError, HydraException, OmegaConfBaseException: it cannot be composed.
    """
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    given = {override.get_key_element(): override for override in parser.parse_overrides(overrides)}
    refuse_without_effect(given)
    plain = [str(o.input_line) for o in given.values() if not o.is_sweep_override()]
    master = compose("config", overrides=plain, return_hydra_config=True)
    hydra = master.hydra
    params = OmegaConf.select(hydra, "sweeper.params") or {}
    space = OmegaConf.select(hydra, "sweeper.space")
    listed = [f"{key}={as_axis(value)}" for key, value in params.items()]
    listed += [f"{key}={value}" for key, value in (space or {}).items()]
    seeds = seeds_of(master, given, params)
    listed = [text for text in listed if seeds is None or not text.startswith("seed=")]
    every = {o.get_key_element(): o for o in parser.parse_overrides(listed)} | given
    axes = Axes([], [], hydra, master.resume, master.train.device, has_seeds=seeds is not None)
    for key, override in every.items():
        if key == "seeds":
            continue
        if not override.is_sweep_override():
            if not key.startswith("hydra") or key == "hydra.searchpath":
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
    if seeds is not None:
        axes.fixed.append("seeds=null")
        axes.values.append([f"seed={seed}" for seed in seeds])
    return axes


def seeds_of(
    master: DictConfig, given: Mapping[str, Override], params: Iterable[Any]
) -> list[int] | None:
    """Return what `seeds` says, if it is set; on the command line it replaces an experiment's axis.

    Raises:
        UserError: it is wrong, or `seed` is set beside it.
    """
    if "seeds" in given and given["seeds"].is_sweep_override():
        raise UserError(ONE_LIST)
    seeds = None if master.seeds is None else list(master.seeds)
    check_seeds(seeds)
    refuse_both([str(override.input_line) for override in given.values()], seeds)
    if seeds is not None and "seeds" not in given and "seed" in params:
        raise UserError(f"in the experiment: seed and {text_of(seeds)}: one of them is enough")
    return seeds


def refuse_without_effect(keys: Iterable[str]) -> None:
    """Refuse keys of Hydra's own that a sweep of rnnbench does not look at.

    Raises:
        UserError: there is one.
    """
    for key in keys:
        is_hydras = key.lstrip("+~").startswith(("hydra.", "hydra/"))
        if is_hydras and not key.lstrip("+~").startswith(EFFECTIVE_HYDRA_KEYS):
            raise UserError(
                f"{key}: has no effect here, rnnbench runs its own sweeps and keeps them under "
                f"results_dir (allowed: {', '.join(EFFECTIVE_HYDRA_KEYS)})"
            )


def is_searched(override: Override) -> bool:
    """Whether an override gives a search something to choose from: an interval or `choice(...)`."""
    value = override.value()
    return isinstance(value, IntervalSweep) or (
        isinstance(value, ChoiceSweep) and not value.simple_form
    )

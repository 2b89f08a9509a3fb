"""Composition of one run, of a sweep's axes and of its cells."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import Container, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from benchmarks.config.overrides import (
    SEEDS_IS_ONE_LIST,
    check_seeds,
    format_axis,
    format_seeds,
    refuse_both,
)
from benchmarks.config.paths import expand_paths
from benchmarks.config.schema import Config
from benchmarks.config.validation import (
    check_combinations,
    check_ranges,
    checked_config,
    no_option_text,
    typed_config,
)
from benchmarks.errors import UserError

FIXED_KEYS = ("experiment", "results_dir", "cache_dir", "resume")  # one value per sweep

EFFECTIVE_HYDRA_KEYS = (
    *("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.searchpath"),
    *("hydra.sweeper.params", "hydra.sweeper.space", "hydra.sweeper.trials"),
    *("hydra.sweeper.sampler", "hydra.sweeper.seed", "hydra.sweeper.storage"),
)
"""Hydra's own keys that have an effect."""


@contextmanager
def hydra_at(conf: Path) -> Iterator[None]:
    """Initialise Hydra with a configuration directory for the block."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        yield


def compose_run(overrides: list[str], config_name: str = "config") -> Config:
    """Return the checked configuration of one run; call it within `hydra_at`."""
    refuse_without_effect(overrides)
    composed = compose(config_name, overrides=overrides, return_hydra_config=True)
    if composed.hydra.sweeper.params or "space" in composed.hydra.sweeper:
        given = [t for t in overrides if t.lstrip("+").startswith("experiment=")]
        name = given[-1] if given else "this configuration"
        example = " ".join(["python run.py -m", *given[-1:]])
        raise UserError(f"{name} is a sweep: add -m, as in {example}")
    with open_dict(composed):
        del composed["hydra"]
    config = checked_config(composed)
    refuse_both(overrides, config.seeds)
    return config


def recipe_value(key: str, groups: Mapping[str, str]) -> Any:
    """Return the value of a key for the options of groups; call it within `hydra_at`.

    Raises:
        UserError: there is no such key or option.
    """
    try:
        composed = compose("config", overrides=[f"{k}={v}" for k, v in groups.items()])
        section, _, name = key.rpartition(".")
        return (OmegaConf.select(composed, section) if section else composed)[name]
    except (HydraException, OmegaConfBaseException, TypeError) as error:
        given = " ".join(f"{k}={v}" for k, v in groups.items())
        raise UserError(f"{key}: has no value for {given}") from error


@dataclass(frozen=True)
class Axes:
    """The axes of a sweep: `values` has one list of overrides per axis, `fixed` those of all cells.

    `device` is the value of `train.device` outside the axes.
    """

    fixed: list[str]
    values: list[list[str]]
    hydra: DictConfig
    resume: str
    device: str
    space: dict[str, Override] = field(default_factory=dict)
    has_seeds: bool = False

    def cells(self) -> Iterator[list[str]]:
        """Yield each cell's own overrides; the last axis varies fastest."""
        yield from map(list, itertools.product(*self.values))


class BaseConfig:
    """A composed configuration in which cells set values.

    Setting a value with OmegaConf takes milliseconds. Each value is therefore converted once, and
    cells replace fields of dataclasses. Sections, and configurations with interpolations, are
    merged with OmegaConf.
    """

    def __init__(self, composed: DictConfig, parsed: Callable[[str], Override]) -> None:
        self.composed = composed
        self.parsed = parsed
        self._scratch = copy.deepcopy(composed)
        self._typed: Config | None = None
        if "${" not in OmegaConf.to_yaml(composed):
            with contextlib.suppress(UserError, OmegaConfBaseException):
                self._typed = typed_config(composed)
        self._field = cache(self._converted)
        self._sections: dict[tuple[str, ...], Any] = {}

    def with_values(self, overrides: list[str]) -> Config:
        """Return the checked configuration with values set."""
        if self._typed is not None:
            known = [field for field in map(self._field, overrides) if field is not None]
            if len({field[:2] for field in known}) == len(overrides):
                config = self._replace_fields(self._typed, overrides, known)
                expand_paths(config)
                check_ranges(config)
                check_combinations(config)
                return config
        composed = copy.deepcopy(self.composed)
        for override in map(self.parsed, overrides):
            OmegaConf.update(composed, override.key_or_group, override.value(), merge=True)
        return checked_config(composed)

    def _converted(self, text: str) -> tuple[str, str, Any] | None:
        """Return section, name and value of the field that an override sets, if it is one field."""
        override = self.parsed(text)
        key, value = override.key_or_group, override.value()
        section, _, name = key.rpartition(".")
        if "." in section or not isinstance(value, str | int | float | None) or "${" in str(value):
            return None
        try:
            if isinstance(OmegaConf.select(self._scratch, key), Container):
                return None
            OmegaConf.update(self._scratch, key, value, merge=True)
            return section, name, OmegaConf.select(self._scratch, key)
        except OmegaConfBaseException:
            return None  # raised again, with its reason, when the whole cell is merged

    def _replace_fields(
        self, typed: Config, texts: list[str], fields: list[tuple[str, str, Any]]
    ) -> Config:
        """Replace fields; cells with equal values in a section share the section's object."""
        changes = {name: value for section, name, value in fields if not section}
        for section in {section for section, _, _ in fields if section}:
            chosen = [i for i, field in enumerate(fields) if field[0] == section]
            key = (section, *(texts[i] for i in chosen))
            if key not in self._sections:
                values = {fields[i][1]: fields[i][2] for i in chosen}
                self._sections[key] = dataclasses.replace(getattr(typed, section), **values)
            changes[section] = self._sections[key]
        return dataclasses.replace(typed, **changes)


class CellComposer:
    """Composes the cells of a sweep; cells that differ only in values share one composition."""

    def __init__(self, fixed: list[str]) -> None:
        self.fixed = fixed
        self._loader = GlobalHydra.instance().config_loader()
        self.parsed = cache(OverridesParser.create(self._loader).parse_override)
        self._is_group = cache(self._has_options)
        self._bases: dict[tuple[str, ...], BaseConfig] = {}

    def compose(self, chosen: list[str]) -> Config:
        """Return the checked configuration of a cell."""
        values: list[str] = []
        others: list[str] = []
        for text in chosen:
            override = self.parsed(text)
            if self._is_value(override):
                values.append(text)
            elif override.value() is not None:  # null is a group's default
                others.append(text)
        key = tuple(others)
        if key not in self._bases:
            composed = compose("config", overrides=[*self.fixed, *others])
            self._bases[key] = BaseConfig(composed, self.parsed)
        return self._bases[key].with_values(values)

    def _is_value(self, override: Override) -> bool:
        is_plain = not (override.is_add() or override.is_delete() or override.is_force_add())
        return is_plain and override.package is None and not self._is_group(override.key_or_group)

    def _has_options(self, key: str) -> bool:
        return bool(self._loader.list_groups(key) or self._loader.get_group_options(key))


def sweep_axes(overrides: list[str]) -> Axes:
    """Return the axes of a sweep's command line, which replace those of an experiment's YAML."""
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    given = {override.get_key_element(): override for override in parser.parse_overrides(overrides)}
    refuse_without_effect(given)
    plain = [str(o.input_line) for o in given.values() if not o.is_sweep_override()]
    master = compose("config", overrides=plain, return_hydra_config=True)
    hydra = master.hydra
    params = OmegaConf.select(hydra, "sweeper.params") or {}
    space = OmegaConf.select(hydra, "sweeper.space")
    listed = [f"{key}={format_axis(value)}" for key, value in params.items()]
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
            raise UserError(f"{override.input_line}: must have a single value in a sweep")
        elif space is not None and _is_searched(override):
            axes.space[key] = override
        elif override.is_discrete_sweep():
            axes.values.append([f"{key}={value}" for value in override.sweep_string_iterator()])
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
    """Return the value of `seeds`; on the command line it replaces an experiment's axis `seed`."""
    if "seeds" in given and given["seeds"].is_sweep_override():
        raise UserError(f"{given['seeds'].input_line}: {SEEDS_IS_ONE_LIST}")
    seeds = None if master.seeds is None else list(master.seeds)
    check_seeds(seeds)
    refuse_both([str(override.input_line) for override in given.values()], seeds)
    if seeds is not None and "seeds" not in given and "seed" in params:
        raise UserError(f"in the experiment: seed and {format_seeds(seeds)}: set only one of them")
    return seeds


def refuse_without_effect(overrides: Iterable[str]) -> None:
    """Raise UserError for a removed group, or one of Hydra's keys that rnnbench does not use."""
    for text in overrides:
        key = text.lstrip("+~").partition("=")[0]
        if text.startswith("~") and key in ("model", "task"):
            raise UserError(no_option_text(key))
        if key.startswith(("hydra.", "hydra/")) and not key.startswith(EFFECTIVE_HYDRA_KEYS):
            raise UserError(
                f"{key}: has no effect, because rnnbench runs its own sweeps and keeps records in "
                f"results_dir (allowed: {', '.join(EFFECTIVE_HYDRA_KEYS)})"
            )


def _is_searched(override: Override) -> bool:
    value = override.value()
    return isinstance(value, IntervalSweep) or (
        isinstance(value, ChoiceSweep) and not value.simple_form
    )

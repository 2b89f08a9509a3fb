"""One-line explanations of what Hydra and OmegaConf refuse."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import types
import typing
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import (
    InterpolationResolutionError,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

from benchmarks.config.compose import hydra_at
from benchmarks.config.launchers import LAUNCHERS
from benchmarks.config.overrides import format_axis
from benchmarks.config.validation import allowed_text
from benchmarks.errors import UserError, nearest, one_line

HYDRA_OPTIONS = {"hydra/launcher": ["basic", *LAUNCHERS], "hydra/sweeper": ["basic", "tune"]}

TYPE_NAMES: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list[int]: "a list of whole numbers, as in [0,1,2]",
    list[str]: "a list of names, as in [a,b]",
}


def explain(error: Exception, overrides: list[str], conf: list[Path]) -> str:
    """Return one line that explains why Hydra refused a command line."""
    if isinstance(error, InterpolationResolutionError | UnsupportedInterpolationType):
        given = next((text for text in overrides if "${" in text), "a value with ${…}")
        return (
            f"{given}: refers to a key or variable that does not exist; write the value, or "
            f"${{KEY}} for the value of another key, or ${{oc.env:NAME}} for a variable"
        )
    try:
        check_overrides(overrides, conf)
    except UserError as mistake:
        return str(mistake)
    return with_cause(error)


def check_overrides(overrides: list[str], conf: list[Path]) -> None:
    """Raise UserError for the first wrong override: groups first, then values."""
    groups: list[str] = []
    values: list[Override] = []
    swept: list[str] = []
    for text in overrides:
        override = parsed(text)
        key = override.key_or_group
        if is_group(key, conf):
            check_option(override, conf)
            if override.is_add() and not key.startswith("hydra"):
                raise UserError(f"{text}: {key} is set already; write {text.lstrip('+')}")
            groups.append(f"{key}={swept_values(override)[0]}")
            swept += [key] * (len(swept_values(override)) > 1)
        elif key == "hydra.searchpath":
            groups.append(text)
        else:
            values.append(override)
    config, hydra = composed_from(groups, conf[0])
    for key, value in (OmegaConf.select(hydra, "hydra.sweeper.params") or {}).items():
        override = parsed(f"{key}={format_axis(value)}")
        try:
            if is_group(key, conf):
                check_option(override, conf)
            else:
                check_value(override, config)
        except UserError as error:
            raise UserError(f"in the experiment: {error}") from error
    for override in values:
        group = override.key_or_group.partition(".")[0]
        try:
            check_value(override, hydra if group == "hydra" else config)
        except UserError as error:
            more = f"; if another {group} has it, run one sweep per {group}"
            raise UserError(f"{error}{more * (group in swept)}") from error
        if override.is_add():
            given = override.input_line or ""
            raise UserError(f"{given}: the key exists already; write {given.lstrip('+')}")
        if group in swept:  # Hydra looks for the key in the group's default option
            raise UserError(
                f"{override.input_line}: not every {group} has this key; run one sweep per {group}"
            )


def parsed(text: str) -> Override:
    """Parse an override or raise UserError."""
    with contextlib.suppress(HydraException):
        override = OverridesParser.create().parse_override(text)
        if override.key_or_group:
            return override
    raise UserError(
        f"{text}: not understood; write KEY=VALUE, as in model=lstm or seed=1, with quotes around "
        f"a value that has commas, brackets or quotes in it: \"KEY='VALUE'\""
    )


def is_group(key: str, conf: list[Path]) -> bool:
    """Return True if a key is a configuration group."""
    return key.startswith("hydra/") or any((folder / key).is_dir() for folder in conf)


def check_option(override: Override, conf: list[Path]) -> None:
    """Raise UserError if a group has no such option."""
    group = override.key_or_group
    files = {file.stem for folder in conf for file in (folder / group).glob("*.yaml")}
    options = HYDRA_OPTIONS.get(group, sorted(files))
    kind = "option" if group in HYDRA_OPTIONS else group
    for option in swept_values(override):
        if options and option not in ("null", "None", *options):
            raise UserError(
                f"{group}={option}: there is no such {kind} "
                f"(allowed: {', '.join(options)}){nearest(option, options)}"
            )


def composed_from(groups: list[str], conf: Path) -> tuple[DictConfig, DictConfig]:
    """Return the configuration of the chosen groups, and its launcher and sweeper."""
    try:
        with hydra_at(conf):
            config = compose("config", overrides=groups, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        experiment = [f"{group}: " for group in groups if group.startswith("experiment=")]
        raise UserError("".join([*experiment, with_cause(error)])) from error
    hydra = OmegaConf.create(
        {"hydra": OmegaConf.masked_copy(config.hydra, ["launcher", "sweeper"])}
    )
    OmegaConf.set_struct(hydra, True)
    with open_dict(config):
        del config["hydra"]
    return config, hydra


def check_value(override: Override, config: DictConfig) -> None:
    """Raise UserError if a configuration has no such key, or its type is another."""
    key = override.key_or_group
    known = all_keys(OmegaConf.to_container(config))
    if key.startswith("hydra.launcher.") and "hydra.launcher._target_" in known:
        options = " or ".join(LAUNCHERS)
        raise UserError(f"{key}: the launcher basic has no settings; add hydra/launcher={options}")
    if key not in known:
        # The last part is usually the mistyped one; the hint shows the whole key.
        section, _, mistyped = key.rpartition(".")
        inside = [name for name in known if section and name.startswith(f"{section}.")]
        by_name = {name.rpartition(".")[-1]: name for name in [*known, *inside]}
        close = difflib.get_close_matches(mistyped.lower(), by_name, n=1, cutoff=0.6)
        hint = f"; did you mean {by_name[close[0]]}?" if close else ""
        allowed = ", ".join(inside or [name for name in known if "." not in name])
        given = (override.input_line or key).lstrip("+~")
        raise UserError(f"{given}: there is no such key{hint} (allowed: {allowed})")
    for value in values_of(override):
        try:
            OmegaConf.update(config.copy(), key, value)
        except OmegaConfBaseException as error:
            hint = ""
            if isinstance(value, list) and len(value) > 1:
                hint = f"; for a sweep: -m {key}={','.join(map(as_text, value))}"
            text = f"{key}={as_text(value)}: must be {type_name(config, key)}{hint}"
            raise UserError(text) from error


def values_of(override: Override) -> list[Any]:
    """Return the value of an override, or all values of a sweep over choices."""
    value = override.value()
    return list(map(plain, value.list if isinstance(value, ChoiceSweep) else [value]))


def plain(value: Any) -> Any:
    """Return a value without Hydra's marks of quotes, also within a list."""
    return [*map(plain, value)] if isinstance(value, list) else getattr(value, "text", value)


def as_text(value: Any) -> str:
    """Return a value as on the command line."""
    return "null" if value is None else str(value)


def swept_values(override: Override) -> list[str]:
    """Return the value of an override, or all values of a sweep over choices, as text."""
    return [as_text(value) for value in values_of(override)]


def all_keys(content: Any, prefix: str = "") -> list[str]:
    """Return the dotted keys of a configuration, sections included."""
    keys: list[str] = []
    for name, child in content.items():
        keys.append(f"{prefix}{name}")
        if isinstance(child, dict):
            keys += all_keys(child, f"{prefix}{name}.")
    return keys


def type_name(config: DictConfig, key: str) -> str:
    """Describe the type of a key's field."""
    section, _, name = key.rpartition(".")
    schema = OmegaConf.get_type(OmegaConf.select(config, section) if section else config)
    wanted: Any = typing.get_type_hints(schema).get(name) if schema else None
    parts = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    limits: Any = next((f.metadata for f in fields_of(schema) if f.name == name), {})
    bounds = allowed_text(limits) if limits.keys() & {"minimum", "above", "below"} else ""
    of = " of " if bounds.startswith("at least") else " " if bounds else ""
    names = [
        f"{TYPE_NAMES[part]}{of}{bounds}" if part in (int, float) else TYPE_NAMES[part]
        for part in parts
        if part in TYPE_NAMES
    ]
    if type(None) in parts:
        names.append("null")
    return " or ".join(names) or "a section of keys, not a value"


def fields_of(schema: Any) -> tuple[dataclasses.Field[Any], ...]:
    """Return the fields of a dataclass; none for other types."""
    return dataclasses.fields(schema) if dataclasses.is_dataclass(schema) else ()


def with_cause(error: BaseException) -> str:
    """Return an error's text, and that of its cause, in one line."""
    texts = [str(each) for each in (error, error.__cause__) if each is not None and str(each)]
    return "; ".join(map(one_line, texts)) or type(error).__name__

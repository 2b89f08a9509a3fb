"""The error a user is shown as one line, and the translation of Hydra's into such lines."""

from __future__ import annotations

import contextlib
import difflib
import errno
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from benchmarks.config.axes import as_axis
from benchmarks.config.launchers import LAUNCHERS

LAUNCHERS_TEXT = " or ".join(LAUNCHERS)

TYPE_WORDS: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list[int]: "a list of whole numbers, as in [0,1,2]",
}


NO_NAMES: Mapping[str, str] = types.MappingProxyType({})


class UserError(Exception):
    """A mistake in what the user asked for; the text is one line that says how to mend it."""


DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@contextlib.contextmanager
def telling_of_the_disk() -> Iterator[None]:
    """Answer a disk that is full or read-only in one line.

    Raises:
        UserError: it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_TROUBLE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(
            f"{where}{error.strerror}; what was finished is kept, and once the disk can be "
            f"written to the same command goes on"
        ) from error


def nearest(given: str, allowed: Iterable[str], known_as: Mapping[str, str] = NO_NAMES) -> str:
    """Return "; did you mean X?" for the closest allowed word, or nothing.

    Args:
        given: by the user.
        allowed: words.
        known_as: other names of some of them, as people who know other tools may call them.
    """
    close = difflib.get_close_matches(given.lower(), [*allowed, *known_as], n=1, cutoff=0.5)
    return f"; did you mean {known_as.get(close[0], close[0])}?" if close else ""


def explain(error: Exception, overrides: list[str], conf: list[Path]) -> str:
    """Say in one line what is wrong with the overrides that Hydra refused.

    Args:
        error: what Hydra or OmegaConf raised.
        overrides: the command line without Hydra's own flags.
        conf: the configuration folders, the project's first.
    """
    parser = OverridesParser.create()
    groups: list[str] = []
    values: list[Override] = []
    for text in overrides:
        try:
            override = parser.parse_overrides([text])[0]
        except HydraException:
            return (
                f"{text}: not understood; write KEY=VALUE, as in model=lstm or seed=1, with quotes "
                f"around a value that has ~ = , or spaces in it: \"KEY='VALUE'\""
            )
        key = override.key_or_group
        if key.startswith("hydra/"):
            problem = explain_hydra_choice(override)
            if problem:
                return problem
            groups.append(f"{key}={first_value(override)}")
        elif key == "hydra.searchpath":
            groups.append(text)
        elif key.startswith("hydra"):
            values.append(override)
        elif any((folder / key).is_dir() for folder in conf):
            problem = explain_choice(override, conf)
            if problem:
                return problem
            groups.append(f"{key}={first_value(override)}")
        else:
            values.append(override)
    try:
        # Hydra is still set up for the run that failed.
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(conf[0]), version_base="1.3"):
            config = compose("config", overrides=groups, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as second_error:
        experiment = [f"{group}: " for group in groups if group.startswith("experiment=")]
        return "".join([*experiment, one_line(second_error)])
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    hydra = hydra_settings(config)
    for key, value in params.items():
        override = parser.parse_overrides([f"{key}={as_axis(value)}"])[0]
        is_group = any((folder / key).is_dir() for folder in conf)
        problem = explain_choice(override, conf) if is_group else explain_value(override, config)
        if problem:
            return f"in the experiment: {problem}"
    for override in values:
        is_hydra = override.key_or_group.startswith("hydra")
        problem = explain_value(override, hydra if is_hydra else config)
        if problem:
            return problem
    return one_line(error)


def explain_choice(override: Override, conf: list[Path]) -> str | None:
    """Say what is wrong with GROUP=OPTION, or None."""
    key = override.key_or_group
    options = sorted({file.stem for folder in conf for file in (folder / key).glob("*.yaml")})
    for option in swept_values(override):
        if option not in ("null", "None", *options):
            hint = nearest(option, options)
            return f"{key}={option}: there is no such {key} (allowed: {', '.join(options)}){hint}"
    return None


def explain_hydra_choice(override: Override) -> str | None:
    """Say what is wrong with hydra/launcher=OPTION or its like, or None."""
    key = override.key_or_group
    options = {"hydra/launcher": ["basic", *LAUNCHERS], "hydra/sweeper": ["basic", "tune"]}.get(key)
    for option in swept_values(override):
        if options and option not in options:
            hint = nearest(option, options)
            return f"{key}={option}: there is no such option (allowed: {', '.join(options)}){hint}"
    return None


def hydra_settings(config: DictConfig) -> DictConfig:
    """Take out of a configuration what rnnbench reads of Hydra's own section."""
    whole = config.hydra
    with flag_override(config, "struct", False):
        del config["hydra"]
    ours = {name: whole._get_node(name) for name in ("launcher", "sweeper")}
    return OmegaConf.create({"hydra": ours}, flags={"struct": True})


def explain_value(override: Override, config: DictConfig) -> str | None:
    """Say what is wrong with KEY=VALUE under a valid configuration, or None."""
    key = override.key_or_group
    known = all_keys(config)
    if key.startswith("hydra.launcher.") and "hydra.launcher._target_" in known:
        return f"{key}: the launcher basic has no settings; add hydra/launcher={LAUNCHERS_TEXT}"
    if key not in known:
        # The last part is what people mistype; the whole key is what they must write.
        section, _, mistyped = key.rpartition(".")
        inside = [name for name in known if section and name.startswith(f"{section}.")]
        by_name = {name.rpartition(".")[-1]: name for name in [*known, *inside]}
        close = difflib.get_close_matches(mistyped.lower(), by_name, n=1, cutoff=0.6)
        hint = f"; did you mean {by_name[close[0]]}?" if close else ""
        allowed = ", ".join(inside or [name for name in known if "." not in name])
        return f"{key}: there is no such key{hint} (allowed: {allowed})"
    for value in swept_values(override):
        try:
            OmegaConf.update(config.copy(), key, None if value == "null" else value)
        except OmegaConfBaseException:
            return f"{key}={value}: must be {wanted_type(config, key)}"
    return None


def swept_values(override: Override) -> list[str]:
    """Return the value of an override, or all values of a sweep over choices, as text."""
    value = override.value()
    chosen = value.list if isinstance(value, ChoiceSweep) else [value]
    return ["null" if each is None else str(getattr(each, "text", each)) for each in chosen]


def first_value(override: Override) -> str:
    """Return one value of an override that may be a sweep."""
    return swept_values(override)[0]


def all_keys(config: DictConfig, prefix: str = "") -> list[str]:
    """List the dotted keys of a configuration, sections among them."""
    keys: list[str] = []
    for name in map(str, config):
        keys.append(f"{prefix}{name}")
        child = config._get_node(name)
        if isinstance(child, DictConfig):
            keys += all_keys(child, f"{prefix}{name}.")
    return keys


def wanted_type(config: DictConfig, key: str) -> str:
    """Say in words what type a key's field has."""
    section, _, name = key.rpartition(".")
    owner = OmegaConf.get_type(OmegaConf.select(config, section) if section else config)
    wanted: Any = typing.get_type_hints(owner).get(name) if owner else None
    parts = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    words = [TYPE_WORDS[part] for part in parts if part in TYPE_WORDS]
    if type(None) in parts:
        words.append("null")
    return " or ".join(words) or "a section of keys, not a value"


def one_line(error: BaseException) -> str:
    """Fold an error's text, and that of its cause, into one line."""
    texts = [str(each) for each in (error, error.__cause__) if each is not None and str(each)]
    return "; ".join(" ".join(text.split()) for text in texts) or type(error).__name__

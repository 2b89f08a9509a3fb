"""The command line `python run.py`. It is checked before torch is imported.

Exit codes: 0 all runs ended ok, 1 a run did not, 2 a mistake of the user, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from benchmarks import PROJECT_ROOT
from benchmarks.config.compose import compose_run, hydra_at
from benchmarks.config.help import CONF, help_text
from benchmarks.config.hydra_errors import explain
from benchmarks.config.overrides import SEEDS_IS_ONE_LIST, quoted_override
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.config.validation import no_option_text
from benchmarks.errors import UserError, disk_errors_in_one_line, nearest, one_line
from benchmarks.results.row import Status
from benchmarks.sweeps.plan import open_store, selects_all_baselines
from benchmarks.sweeps.sweep import sweep
from benchmarks.system.signals import INTERRUPTED, Interruption
from benchmarks.system.terminal import print_log_messages, visible
from models.baseline import BaselineSettings
from tasks.base import DataError

PRINTING_FLAGS = ("hydra_help", "cfg", "info", "shell_completion")
KEYS = {entry.name for entry in dataclasses.fields(Config)} | {"debug", "experiment"}
NULL_OPTIONS = ("debug=null", "experiment=null")  # the defaults, which Hydra refuses


def main(show: Callable[[], None]) -> int:
    """Run the command line and return the exit code; `show` handles `PRINTING_FLAGS`."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise exceptions, which are explained below
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # no log lines of PyTorch's profiler
    # Required by cuBLAS's deterministic algorithms, which read it when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    print_log_messages()
    register_schemas()
    overrides: list[str] = []
    folders = [CONF]
    try:
        flags = parsed_flags(sys.argv[1:])
        if flags.config_path:
            folders = [(PROJECT_ROOT / flags.config_path).resolve()]
        if flags.config_dir is not None:
            folders.append(Path(flags.config_dir).resolve())
        overrides = [quoted_override(t) for t in flags.overrides if t not in NULL_OPTIONS]
        refuse_unsupported(overrides, flags)
        if flags.help:  # Hydra would compose a configuration first, for half a second
            print(help_text(CONF))
            return 0
        if any(getattr(flags, name) for name in PRINTING_FLAGS):
            sys.argv[1:] = [*options_alone(flags), *overrides]
            show()
            return 0
        if flags.config_dir is not None:
            if not folders[-1].is_dir():
                raise UserError(f"--config-dir {flags.config_dir}: there is no such folder")
            overrides.append(f"hydra.searchpath=['file://{folders[-1]}']")
        with disk_errors_in_one_line():
            if flags.multirun:
                return sweep(overrides, folders[0])
            return run_one(overrides, folders[0], flags.config_name or "config")
    except (HydraException, OmegaConfBaseException) as error:
        text = explain(error, overrides, folders)
    except YAMLError as error:
        text = f"not YAML: {one_line(error)}"
    except (UserError, DataError) as error:
        text = str(error)
    except KeyboardInterrupt:
        print("interrupted before training began; nothing was written", file=sys.stderr)
        return INTERRUPTED
    print(f"error: {visible(text)}", file=sys.stderr)
    return 2


def options_alone(flags: argparse.Namespace) -> list[str]:
    """Return Hydra's options as they were given; its own parser takes no overrides before them."""
    return [text for text in sys.argv[1:] if text not in flags.overrides]


def parsed_flags(arguments: list[str]) -> argparse.Namespace:
    """Parse Hydra's flags or raise UserError."""

    def refuse(message: str) -> NoReturn:
        known = re.findall(r"--?[a-z][a-z-]*", parser.format_usage())
        unknown = next((a for a in arguments if a.startswith("--") and a not in known), "")
        hint = as_override(unknown, arguments) or nearest(unknown, known)
        words = message.removeprefix("unrecognized arguments: ").split(" ")
        if len(words) > 1 and words != message.split(" "):  # overrides after an option are right
            message = f"unrecognized arguments: {' '.join(w for w in words if w.startswith('-'))}"
        raise UserError(f"{message}{hint}; see python run.py --help")

    parser = get_args_parser()
    # argparse would exit.
    parser.error = refuse  # type: ignore[method-assign]
    flags = parser.parse_intermixed_args(arguments)
    for name in ("config_name", "config_path", "cfg") if flags.multirun else ():
        if getattr(flags, name):
            raise UserError(f"--{name.replace('_', '-')}: cannot be combined with -m (--multirun)")
    if flags.experimental_rerun:
        raise UserError("--experimental-rerun: not supported; repeat the command of the run")
    return flags


def as_override(unknown: str, arguments: list[str]) -> str:
    """Return "; did you mean KEY=VALUE?" for a key of the configuration written as an option."""
    key, has_value, value = unknown.removeprefix("--").partition("=")
    if key.partition(".")[0] not in KEYS:
        return ""
    if not has_value:
        following = arguments[arguments.index(unknown) + 1 :]
        is_value = bool(following) and "=" not in following[0] and following[0][:1] != "-"
        value = following[0] if is_value else "VALUE"
    return f"; did you mean {key}={value}?"


def refuse_unsupported(overrides: list[str], flags: argparse.Namespace) -> None:
    """Raise UserError for overrides that Hydra would refuse with a traceback, or misread."""
    for group in ("model", "task", "match", "recipe"):
        if {f"{group}=", f"{group}=null"} & set(overrides):
            raise UserError(no_option_text(group))
        check_group(group, overrides)
    for text in overrides:
        if text.startswith("~") and text[1:] not in ("model", "task"):  # explained below
            raise UserError(f"{text}: a key cannot be removed; leave it out or set another value")
    if flags.multirun:
        return
    for text in overrides:
        if text.startswith("seeds=") and "[" not in text and "," in text:
            raise UserError(f"{text}: {SEEDS_IS_ONE_LIST}")
        with contextlib.suppress(HydraException):  # explained when the run is composed
            is_candidate = "," in text or "(" in text
            if is_candidate and OverridesParser.create().parse_override(text).is_sweep_override():
                raise UserError(f"{text}: several values make a sweep: add -m (--multirun)")


def check_group(group: str, overrides: list[str]) -> None:
    """Raise UserError for a list of options of a group, and for one that adds to another."""
    given = [text for text in overrides if text.lstrip("+").startswith(f"{group}=")]
    for text in given:
        value = text.partition("=")[2].strip()
        if value.startswith("["):
            options = value.strip("[] ").replace(" ", "")
            raise UserError(
                f"{text}: a run has one {group}; for a sweep: python run.py -m {group}={options}"
            )
    if len(given) > 1 and any(text.startswith("+") for text in given):
        raise UserError(f"{' and '.join(given)}: set {group} once")


def run_one(overrides: list[str], conf: Path, config_name: str) -> int:
    """Run one configuration, or all baselines of a task, and return the exit code."""
    with hydra_at(conf):
        config = compose_run(overrides, config_name)
    if selects_all_baselines(config) or (
        config.seeds is not None and isinstance(config.model, BaselineSettings)
    ):
        is_resume_set = any(text.lstrip("+").startswith("resume=") for text in overrides)
        return sweep(overrides if is_resume_set else [*overrides, "resume=never"], conf)
    store = open_store(config.results_dir)

    from benchmarks.runner.display import show_row
    from benchmarks.runner.run import RunOptions, how_to_resume, run

    options = RunOptions(overrides=tuple(overrides))
    if config.seeds is not None:
        from benchmarks.runner.multiseed.command import run_all

        return run_all(config, store, options)
    interruption = Interruption()
    interruption.install()
    started: list[str] = []
    try:
        try:
            row = run(config, store, interruption, options, started.append)
        finally:
            with interruption.deferred():
                store.view().update()
        with interruption.deferred():
            show_row(row, config.task.primary_metric, str(store.runs / row.run_id))
    except KeyboardInterrupt:
        if not started:
            raise
    else:
        if row.status != Status.INTERRUPTED:
            return 0 if row.status == Status.OK else 1
    print(how_to_resume([store.run(started[-1])], config.resume), file=sys.stderr)
    return INTERRUPTED

"""Between the command line and the runner: answers to mistakes, and exit codes.

Exit codes: 0 all runs ended ok, 1 a run diverged, ran out of memory or met a bug, 2 the user's
mistake, 130 interrupted. Torch is imported only once everything typed has been found right.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from benchmarks.config.overrides import ONE_LIST, refuse_both
from benchmarks.config.schema import checked_config, none_chosen, register_schemas
from benchmarks.errors import UserError, explain, nearest, telling_of_the_disk
from benchmarks.results.row import Status
from benchmarks.results.store import Store
from benchmarks.sweeps.plan import selects_all_baselines
from benchmarks.sweeps.sweep import sweep
from benchmarks.system.signals import INTERRUPTED
from benchmarks.system.terminal import print_log_messages
from models.baseline import BaselineSettings
from tasks.base import DataError

NO_OPTION = ("debug=null", "experiment=null")

exit_codes: list[int] = []
"""Of the run of this process; Hydra hands nothing back."""

SEVERAL_RUNS = -1
"""In the place of an exit code: one command that is several runs, all baselines of a task."""


def main(hydra_main: Callable[[], None], conf: Path) -> int:
    """Compose and run what the command line asks for; returns the exit code."""
    # Else Hydra prints its own report and exits with 1 before anyone can explain.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # What this profiler's library logs on its own is none of the user's business.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    # Read by cuBLAS when it starts: what its deterministic algorithms need.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    print_log_messages()
    register_schemas(conf)
    exit_codes.clear()
    overrides: list[str] = []
    folders = [conf]
    try:
        flags = parsed_flags(sys.argv[1:])
        overrides = with_folder(flags.overrides, flags.config_dir)
        folders += [Path(flags.config_dir).resolve()] if flags.config_dir else []
        for group in ("model", "task", "match"):
            # Hydra meets these with a traceback.
            if {f"{group}=", f"{group}=null"} & set(overrides):
                raise UserError(none_chosen(group))
        if flags.multirun and not (flags.help or flags.hydra_help or flags.info):
            with telling_of_the_disk():
                return sweep(overrides, conf)
        refuse_several(flags.overrides)
        # No option of these groups is what they begin with, and Hydra has no word for it.
        sys.argv[1:] = [text for text in sys.argv[1:] if text not in NO_OPTION]
        hydra_main()
        if SEVERAL_RUNS in exit_codes:
            with telling_of_the_disk():
                return sweep(anew(overrides), conf)
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {explain(error, overrides, folders)}", file=sys.stderr)
        return 2
    except YAMLError as error:
        print(f"error: not YAML: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except (UserError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted before training began; nothing was written", file=sys.stderr)
        return INTERRUPTED
    return max(exit_codes, default=0)


def parsed_flags(arguments: list[str]) -> argparse.Namespace:
    """Read Hydra's flags.

    Raises:
        UserError: there is no such flag.
    """

    def refuse(message: str) -> NoReturn:
        known = [option for action in parser._actions for option in action.option_strings]
        unknown = next((a for a in arguments if a.startswith("-") and a not in known), "")
        raise UserError(f"{message}{nearest(unknown, known)}; see python run.py --help")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    flags = parser.parse_intermixed_args(arguments)
    if flags.multirun and (flags.config_name or flags.config_path or flags.cfg):
        raise UserError("--config-name, --config-path and --cfg: not in a sweep, without -m")
    return flags


def refuse_several(overrides: list[str]) -> None:
    """Refuse several values of a key where one run is asked for.

    Raises:
        UserError: there are some.
    """
    for text in overrides:
        if text.startswith("seeds=") and "[" not in text and "," in text:
            raise UserError(ONE_LIST)
        with contextlib.suppress(HydraException):  # what is not understood is explained later
            if "," in text and OverridesParser.create().parse_override(text).is_sweep_override():
                raise UserError(f"{text}: several values make a sweep: add -m (--multirun)")


def anew(overrides: list[str]) -> list[str]:
    """Have a command without -m run whatever has been run before, as any single run does."""
    given = any(text.lstrip("+").startswith("resume=") for text in overrides)
    return overrides if given else [*overrides, "resume=never"]


def with_folder(overrides: list[str], config_dir: str | None) -> list[str]:
    """Add a configuration folder of the user's to what a sweep composes from."""
    if config_dir is None:
        return overrides
    folder = Path(config_dir).resolve()
    if not folder.is_dir():
        raise UserError(f"--config-dir {config_dir}: there is no such folder")
    return [*overrides, f"hydra.searchpath=['file://{folder}']"]


def run_one(composed: DictConfig) -> None:
    """Run one composed configuration and note its exit code.

    Mistakes are answered here: Hydra would put a line of its own before the answer.
    """
    try:
        with telling_of_the_disk():
            exit_codes.append(run_composed(composed))
    except (UserError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        exit_codes.append(2)


def run_composed(composed: DictConfig) -> int:
    """Run one composed configuration; returns the exit code.

    Raises:
        UserError, tasks.base.DataError: a mistake.
    """
    sweeper: Any = HydraConfig.get().sweeper
    if sweeper.params or "space" in sweeper:
        raise UserError("this experiment is a sweep: run it with python run.py -m")
    given = list(HydraConfig.get().overrides.task)
    config = checked_config(composed)
    refuse_both(given, config.seeds)
    if selects_all_baselines(config) or (
        config.seeds is not None and isinstance(config.model, BaselineSettings)
    ):
        return SEVERAL_RUNS
    store = Store(Path(config.results_dir))
    store.check_writable()
    from benchmarks.runner.display import show_row
    from benchmarks.runner.run import RunOptions, run
    from benchmarks.system.signals import Interruption

    if config.seeds is not None:
        from benchmarks.runner.multiseed.command import run_all

        return run_all(config, store, RunOptions(overrides=tuple(given)))

    interruption = Interruption()
    interruption.install()
    try:
        row = run(config, store, interruption, RunOptions(overrides=tuple(given)))
    finally:
        with interruption.deferred():
            store.view().update()
    show_row(row, config.task.metric, str(store.runs / row.run_id))
    if row.status == Status.INTERRUPTED:
        print("the same command goes on from its checkpoint", file=sys.stderr)
        return INTERRUPTED
    return 0 if row.status == Status.OK else 1

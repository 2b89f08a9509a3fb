"""The command line that trains a finished run's network again, put together from what it left."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmarks.config.axes import as_word
from benchmarks.config.compose import ROOT, hydra_at
from benchmarks.config.matching import COUNTED
from benchmarks.config.schema import register_schemas
from benchmarks.runner.load_run import FinishedRun
from benchmarks.runner.row_columns import keys_without_effect

PLAIN = re.compile(r"[\w./:+-]*")
"""What Hydra takes for a value without quotes."""


def training_command(run: FinishedRun) -> str:
    """Write the command that trains a run's network, as `python run.py` takes it.

    Everything is in it that the run had otherwise than by default and that a number depends on, and
    where its data lay: of a path the last part, for the rest is of one machine.
    """
    told = OmegaConf.load(run.folder.config)
    assert isinstance(told, DictConfig)
    had = dict(leaves(told))
    words = [f"model={run.row['model']}", f"task={run.row['task']}"]
    if had.get("smoke"):
        words.append("debug=smoke")
    kind = had.get("match.kind", "hidden")
    if kind != "hidden":
        words.append(f"match={kind}")
    usual = defaults(words)
    if usual is None:
        words += (run.row["overrides"] or "").split()
    else:
        unsaid = {key for key in keys_without_effect(run.config) if not key.startswith("task.")}
        unsaid |= {"model.hidden_size"} if kind in COUNTED else set()
        words += [
            f"{key}={in_hydras_words(value)}"
            for key, value in had.items()
            if key in usual and value != usual[key] and key not in unsaid
        ]
    return " ".join(["python run.py", *map(shlex.quote, words)])


def defaults(words: list[str]) -> Mapping[str, Any] | None:
    """Compose what a command line sets by itself, by key; None if it cannot be, as of a user's."""
    register_schemas(ROOT / "conf")
    try:
        with hydra_at(ROOT / "conf"):
            return dict(leaves(compose("config", overrides=words)))
    except (HydraException, OmegaConfBaseException):
        return None


def leaves(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Go through the values of a configuration, by their keys on the command line."""
    for name, value in ((str(key), value) for key, value in config.items()):
        if isinstance(value, DictConfig):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def in_hydras_words(value: object) -> str:
    """Write a value in Hydra's grammar, of a path its last part."""
    text = as_word(value)
    if isinstance(value, str):
        text = Path(text).name if os.sep in text else text
        if not PLAIN.fullmatch(text):
            return "'" + text.replace("'", r"\'") + "'"
    return text

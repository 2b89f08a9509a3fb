"""docs/results.md and docs/settings.md, from dataclasses."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import models
import tasks
from benchmarks.config.launchers import LAUNCHERS
from benchmarks.config.registry import definitions
from benchmarks.config.schema import (
    Config,
    LogSettings,
    MatchSettings,
    MeasureSettings,
    TrainSettings,
)
from benchmarks.config.search import TuneSettings
from benchmarks.config.validation import allowed_text
from benchmarks.results.row import FACTS, KINDS
from models.base import ModelSettings
from scripts.documentation.markdown import text_table
from tasks.base import TaskSettings

GENERATED = "<!-- Written by scripts/write_docs.py from {source}; do not edit by hand. -->\n"


def type_text(annotation: Any) -> str:
    """Name a field's type as a reader would."""
    if isinstance(annotation, types.UnionType):
        return " or ".join(type_text(part) for part in typing.get_args(annotation))
    if typing.get_origin(annotation) is list:
        return f"list of {type_text(typing.get_args(annotation)[0])}"
    return "null" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def results_page() -> str:
    """docs/results.md: every column of the results table."""
    rows = [[f"`{n}`", KINDS[n].__name__, facts.unit, facts.help] for n, facts in FACTS.items()]
    return (
        GENERATED.format(source="benchmarks/results/row.py")
        + "# The results table\n\n"
        + "One row per run. `runs/<run_id>/row.json` is authoritative; `results.csv` is a view of\n"
        + "these rows. A cell that does not apply is empty, never 0. Booleans are `true` and\n"
        + "`false`; times are in seconds unless the unit differs. Text that a spreadsheet would\n"
        + "execute, such as `=1+1`, has an apostrophe in front.\n\n"
        + text_table(["column", "type", "unit", "meaning"], rows)
    )


def settings_table(settings: type, prefix: str) -> str:
    """List a settings dataclass's keys."""
    hints = typing.get_type_hints(settings)
    rows = []
    for entry in dataclasses.fields(settings):
        if dataclasses.is_dataclass(hints[entry.name]):
            continue
        default = "null" if entry.default is None else str(entry.default)
        if entry.default is dataclasses.MISSING:
            default = "empty"
        limits = entry.metadata
        is_limited = limits.keys() & {"choices", "minimum", "above", "below"}
        allowed = allowed_text(limits) if is_limited else ""
        kind = type_text(hints[entry.name])
        rows.append([f"`{prefix}{entry.name}`", kind, default.lower(), allowed, limits["help"]])
    return text_table(["key", "type", "default", "allowed", "meaning"], rows)


def settings_part(title: str, settings: type, prefix: str) -> str:
    """Return the description of a settings class and its keys."""
    return f"{title}\n\n{settings.__doc__}\n\n{settings_table(settings, prefix)}"


def settings_page() -> str:
    """docs/settings.md: every key of the configuration."""
    parts = [
        GENERATED.format(source="the settings dataclasses"),
        "# Settings\n",
        "Every key can be given on the command line as `KEY=VALUE`. A task's YAML in `conf/task/`\n"
        "overrides some of these defaults with its training recipe; `python run.py model=M task=T\n"
        "--cfg job` prints the resolved settings of a pair.\n",
        "## Run\n\n" + settings_table(Config, ""),
        "## train\n\n" + settings_table(TrainSettings, "train."),
        settings_part("## match", MatchSettings, "match."),
        settings_part("## measure", MeasureSettings, "measure."),
        settings_part("## log", LogSettings, "log."),
    ]
    for kind, package, base in (("model", models, ModelSettings), ("task", tasks, TaskSettings)):
        for name, settings in definitions(package, base).items():
            parts.append(settings_part(f"## {kind}: {name}", settings, f"{kind}."))
    parts.append(
        "## Launchers of a sweep\n\n"
        "`python run.py -m hydra/launcher=NAME hydra.launcher.KEY=VALUE`; "
        "the default, `basic`, runs one cell after the other in one process and has no keys.\n"
    )
    for name, settings in LAUNCHERS.items():
        parts.append(settings_part(f"### hydra/launcher={name}", settings, "hydra.launcher."))
    parts.append(settings_part("## Search: experiment=tune", TuneSettings, "hydra.sweeper."))
    return "\n".join(parts)

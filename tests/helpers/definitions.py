"""All models and tasks with a file in the configuration folder, as on the command line."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import tasks
from benchmarks.config.registry import definitions, register_schemas
from benchmarks.config.schema import Config
from benchmarks.config.validation import checked_config
from tasks.base import TaskSettings

CONF = Path(__file__).resolve().parents[2] / "conf"
MODELS = sorted(file.stem for file in (CONF / "model").glob("*.yaml") if file.stem != "baseline")
TASKS = sorted(file.stem for file in (CONF / "task").glob("*.yaml"))
EXAMPLES = {file.stem: file for file in sorted(Path(__file__).parent.glob("example_data/*"))}
"""By task that needs own data (`task.data`): a small file of it."""


@cache
def composed(model: str, task: str, *overrides: str) -> Config:
    """Return the configuration of a pair, on example data if the task requires data."""
    register_schemas()
    data = [f"task.data='{EXAMPLES[task]}'"] if task in EXAMPLES else []
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return checked_config(
            compose("config", overrides=[f"model={model}", f"task={task}", *data, *overrides])
        )


@cache
def is_causal(task: str) -> bool:
    """Return True if a task refuses bidirectional models."""
    settings = definitions(tasks, TaskSettings)[task]
    assert issubclass(settings, TaskSettings)
    return settings.causal


@cache
def is_bidirectional(model: str) -> bool:
    """Return True if a model reads ahead, by its file, as composing takes long at each import."""
    return bool(OmegaConf.load(CONF / "model" / f"{model}.yaml").get("bidirectional", False))


PAIRS = [(m, t) for m in MODELS for t in TASKS if not (is_causal(t) and is_bidirectional(m))]

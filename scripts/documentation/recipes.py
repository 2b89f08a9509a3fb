"""The keys in which recipes differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from benchmarks.config.compose import compose_run, hydra_at
from benchmarks.config.help import CONF, options
from benchmarks.config.registry import register_schemas
from benchmarks.config.validation import ImpossiblePairError
from scripts.documentation.markdown import text_table


def recipe_tables(folder: Path) -> str:
    """Return a table per task of the keys in which a recipe differs from the default one."""
    register_schemas()
    tables = []
    with hydra_at(CONF):
        for task in options(folder.name, folder.parent):
            found = values_by_model(task, folder)
            known = dict.fromkeys(key for default, _ in found.values() for key in default)
            keys = [key for key in known if differs(key, found)]
            columns: dict[tuple[str, ...], list[str]] = {}
            for model, (_, chosen) in found.items():
                columns.setdefault(tuple(str(chosen.get(k, "")) for k in keys), []).append(model)
            rows = []
            for place, key in enumerate(keys):
                defaults = dict.fromkeys(str(of[key]) for of, _ in found.values() if key in of)
                cells = [values[place] for values in columns]
                rows.append([f"`{key}`", ", ".join(defaults), *cells])
            header = ["key", "default", *map(", ".join, columns.values())]
            tables.append(f"**{task}**\n\n" + text_table(header, rows))
    return "\n" + "\n".join(tables) + "\n"


def values_by_model(task: str, folder: Path) -> dict[str, tuple[dict[str, Any], ...]]:
    """Return the values of models that have their own, and of one of the others.

    Composing all models would take a minute.
    """
    models = [name for name in options("model") if name != "baseline"]
    models.sort(key=lambda name: (name.startswith("bi"), name))
    files = sorted(folder.parent.glob(f"*/{task}/*.yaml"))
    special = {file.stem for file in files}
    keys = set[str]()
    for file in [*files, *sorted(folder.parent.glob(f"*/{task}.yaml"))]:
        keys |= model_keys(OmegaConf.select(OmegaConf.load(file), "model"))
    for model in models:
        one_way = CONF / "model" / f"{model.removeprefix('bi')}.yaml"
        if keys & model_keys(OmegaConf.load(one_way)):
            special.add(model)
    found = {}
    for model in models:
        name = model if model in special else "others"
        if name not in found:
            pair = recipe_values(model, task, folder.name)
            if pair is not None:
                found[name] = pair
    if "others" in found:
        found["others"] = found.pop("others")  # the last column
    return found


def model_keys(settings: Any) -> set[str]:
    """Return the keys of a mapping of model settings, which may be missing."""
    return {str(key) for key in settings or {}}


def recipe_values(model: str, task: str, recipe: str) -> tuple[dict[str, Any], ...] | None:
    """Return the settings of a pair by key, by default and with a recipe; None if impossible."""
    groups = [f"model={model}", f"task={task}"]
    try:
        configs = [compose_run([*groups, f"recipe={name}"]) for name in ("default", recipe)]
    except ImpossiblePairError:
        return None
    return tuple(
        {
            f"{part}.{key}": value
            for part in ("model", "train", "task")
            for key, value in dataclasses.asdict(getattr(config, part)).items()
        }
        for config in configs
    )


def differs(key: str, pairs: dict[str, tuple[dict[str, Any], ...]]) -> bool:
    """Return True if a model has another value of a key with the recipe."""
    return any(default.get(key) != other.get(key) for default, other in pairs.values())

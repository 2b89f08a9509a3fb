"""The cells of all models, by the names that `model.layers` and `model.lower` use."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

import models
from models.base import ModelSettings


@cache
def known_cells() -> dict[str, ModelSettings]:
    """Return the settings of every cell of the models in this package, by name."""
    found: dict[str, ModelSettings] = {}
    for info in pkgutil.iter_modules(models.__path__, "models."):
        if info.ispkg:
            continue
        for member in vars(importlib.import_module(info.name)).values():
            if isinstance(member, type) and issubclass(member, ModelSettings):
                found |= {name: member(**options) for name, options in member.cells.items()}
    return found


def check_cell(key: str, name: str) -> None:
    """Raise ValueError if no model has a cell of this name.

    Args:
        key: the setting that names it, for the message.
        name: of the cell.
    """
    known = sorted(known_cells())
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{key}: no cell is called {name} (allowed: {', '.join(known)}){hint}")

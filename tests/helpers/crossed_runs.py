"""Planted results tables of crossed initial weights, data orders and splits."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.result_tables import Row, arm, write

SEEDS = ("init_seed", "order_seed", "split_seed")
A, B, C = np.array([-0.01, 0.0, 0.01]), np.array([0.02, -0.02]), np.array([0.0, 0.03, -0.03])


def design(
    effects: Iterable[tuple[float, ...]] = (), scores: Iterable[float] = (), **more: Any
) -> list[Row]:
    """Return rows of crossed initialisations and data orders with these effects or scores."""
    rows: list[Row] = []
    levels = itertools.product(*map(enumerate, effects))
    known = list(scores)
    for number, cell in enumerate(levels):
        numbers = [level for level, _ in cell]
        seeds = dict(zip(SEEDS, numbers, strict=False))
        score = known[number] if known else 0.8 + sum(effect for _, effect in cell)
        row = arm("lstm", [score], run_id=f"r{number}", split="in order", test_size=80, **more)[0]
        words = [f"train.{key}={seed}" for key, seed in seeds.items()]
        rows.append(row | seeds | {"overrides": " ".join(["train.max_epochs=3", *words[:2]])})
    return rows


def results(folder: Path, rows: list[Row]) -> Path:
    write(folder / "results.csv", rows)
    return folder

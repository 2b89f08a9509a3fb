"""Groups of cells that share a process and its multi-seed training."""

from __future__ import annotations

import dataclasses

from benchmarks.runner.multiseed.eligibility import reason_against_multiseed
from benchmarks.runner.run import prepare
from benchmarks.sweeps.cell import Cell
from benchmarks.system.environment import choose_device


def effective_groups(cells: list[Cell]) -> list[Cell]:
    """Return cells without those groups that multi-seed training does not support.

    Separate processes run such seeds sooner than one process would.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.group is not None:
            groups.setdefault(cell.group, []).append(cell)
    separated: set[str] = set()
    for name, grouped in groups.items():
        reason = reason_to_separate(grouped)
        if reason is not None:
            separated.add(name)
            print(f"{name or 'all cells'}: seeds are trained separately: {reason}")
    return [dataclasses.replace(c, group=None) if c.group in separated else c for c in cells]


def reason_to_separate(cells: list[Cell]) -> str | None:
    """Return why multi-seed training does not support a group; None if it does."""
    config = cells[0].config
    device = choose_device(config.train.device)
    if device.type != "cpu":  # only the runs' own processes may open a GPU
        return f"the device is {device}"
    return reason_against_multiseed(prepare(config), [cell.config.seed for cell in cells])

"""Which cells of a sweep are worth one process, where there could be one for each."""

from __future__ import annotations

import dataclasses

from benchmarks.runner.multiseed.eligibility import reason_against_multiseed
from benchmarks.runner.run import prepare
from benchmarks.sweeps.cell import Cell
from benchmarks.system.environment import choose_device


def effective_groups(cells: list[Cell]) -> list[Cell]:
    """Leave those cells in their groups that would be trained together, and say why the others.

    Those that would take turns in one process are quicker in several at once.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.group is not None:
            groups.setdefault(cell.group, []).append(cell)
    parted: set[str] = set()
    for name, members in groups.items():
        reason = reason_to_separate(members)
        if reason is not None:
            parted.add(name)
            print(f"{name or 'all'}: its seeds are trained each by itself: {reason}")
    return [dataclasses.replace(c, group=None) if c.group in parted else c for c in cells]


def reason_to_separate(members: list[Cell]) -> str | None:
    """Say why cells of a group would not be trained together; None if they would."""
    config = members[0].config
    device = choose_device(config.train.device)
    if device.type != "cpu":  # which is for the runs' processes alone to open
        return f"the device is {device}"
    return reason_against_multiseed(prepare(config), [member.config.seed for member in members])

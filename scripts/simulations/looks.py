"""Tests that are repeated while seeds are added."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.analysis.statistics.common import LEVEL
from benchmarks.analysis.statistics.seeds import paired_by_seed
from benchmarks.analysis.statistics.sequential import nominal_level
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import Array, is_shown, share


def stopped_at(d: Array, levels: dict[int, float]) -> int:
    """Return the number of seeds at which a difference is first shown, 0 if at none."""
    return next(
        (n for n, a in levels.items() if is_shown(paired_by_seed(d[:n], 0 * d[:n]).p, a)), 0
    )


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    rows = []
    for first, planned in ((3, 10), (3, 15), (2, 10)):
        looks = range(first, planned + 1)
        plain = dict.fromkeys(looks, LEVEL)
        spending = {n: nominal_level(n, planned, LEVEL, first) for n in looks}
        rng = np.random.default_rng(planned)
        null, shifted = rng.normal(size=(draws, planned)), rng.normal(1.0, 1.0, (draws, planned))
        false = [[stopped_at(d, levels) > 0 for d in null] for levels in (plain, spending)]
        ends = [stopped_at(d, spending) for d in shifted]
        once = [stopped_at(d, {planned: LEVEL}) > 0 for d in shifted]
        used = float(np.mean([end or planned for end in ends]))
        found = [*map(share, (*false, [end > 0 for end in ends], once))]
        rows.append([f"{first} to {planned}", *found, f"{used:.1f}"])
    header = ["seeds", "false, every test at 5 %", "false, at the levels of the plan, %"]
    header += ["1 sd found, at the levels of the plan, %", "1 sd found, one test at the end, %"]
    caption = "Paired t-tests after every seed until a difference is shown"
    page = markdown_table([*header, "mean seeds used at 1 sd"], rows)
    yield f"{caption}, {draws:,} draws each", page

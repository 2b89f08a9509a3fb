"""Ratios in the output of the performance programs."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from scripts.documentation.markdown import text_table

RATIO = re.compile(
    r"^ratio: ([^=]+?)(?:, [^=]*)? = (\S+) \(target (\S+) (\S+)\): (met|not met)", re.MULTILINE
)


def ratios_table(folder: Path) -> str:
    """Return one row per kind of ratio in the output of the performance programs."""
    rows = []
    for file in sorted(folder.glob("*.md")):
        kinds: dict[tuple[str, str], list[tuple[float, bool]]] = {}
        for name, value, sign, bound, verdict in RATIO.findall(file.read_text(encoding="utf-8")):
            target = f"{'≥' if sign == '>=' else '≤'} {bound}"
            kinds.setdefault((name, target), []).append((float(value), verdict == "met"))
        for (name, target), found in kinds.items():
            values = [value for value, _ in found]
            met = f"{sum(is_met for _, is_met in found)} of {len(found)}"
            numbers = [f"{of(values):.3g}" for of in (min, statistics.median, max)]
            rows.append([f"`{file.stem}`", name, *numbers, target, met])
    return text_table(["program", "ratio", "lowest", "median", "highest", "target", "met"], rows)

"""Reader of the `ratio:` lines that performance programs print."""

from __future__ import annotations

import re
from dataclasses import dataclass

RATIO = re.compile(
    r"^ratio: (?P<name>.+) = (?P<value>-?[\d.]+) \(target (?P<sense>>=|<=) (?P<target>[\d.]+)\): "
    r"(?P<verdict>met|not met)(?P<busy>; busy machine)?$"
)


@dataclass(frozen=True)
class Ratio:
    name: str
    value: float
    target: float
    is_met: bool
    was_busy: bool


def read_ratios(text: str) -> list[Ratio]:
    """Return the ratios in the output of a program."""
    found = [match for line in text.splitlines() if (match := RATIO.match(line))]
    return [
        Ratio(
            line["name"],
            float(line["value"]),
            float(line["target"]),
            line["verdict"] == "met",
            line["busy"] is not None,
        )
        for line in found
    ]

"""From result tables to arms side by side, with what their difference is worth."""

from benchmarks.comparison.changing import changes
from benchmarks.comparison.choosing import Options
from benchmarks.comparison.comparing import compare
from benchmarks.comparison.model import Arm, Change, Changes, Comparison, Group, LeftOut, Pair

__all__ = [
    "Arm",
    "Change",
    "Changes",
    "Comparison",
    "Group",
    "LeftOut",
    "Options",
    "Pair",
    "changes",
    "compare",
]

"""From result tables to arms side by side, with what their difference is worth."""

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import Arm, Change, Changes, Comparison, Group, LeftOut, Pair
from benchmarks.analysis.diff import changes
from benchmarks.analysis.selection import Options

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

"""Comparison of the arms in result tables, with tests of their differences."""

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import (
    Arm,
    Change,
    Changes,
    Comparison,
    ExcludedRows,
    Group,
    Pair,
)
from benchmarks.analysis.diff import changes
from benchmarks.analysis.selection import Options

__all__ = [
    "Arm",
    "Change",
    "Changes",
    "Comparison",
    "ExcludedRows",
    "Group",
    "Options",
    "Pair",
    "changes",
    "compare",
]

"""Rebuild the table of a results folder from its rows, or merge the rows of several.

    python scripts/collect.py RESULTS                             rebuilds RESULTS/results.csv
    python scripts/collect.py A B --out all.csv                   merges two folders
    python scripts/collect.py A B --out all.csv --runs last       the latest run of each question
    python scripts/collect.py A B --out all.csv --mix             though they are not comparable

Rows are read from the run folders, where they are the truth. Exit codes: 0, or 2 for your mistake.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.results.collect import collect
from benchmarks.system.terminal import print_log_messages


def main(arguments: list[str] | None = None) -> int:
    """Collect; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="where a merged table goes")
    parser.add_argument(
        "--runs",
        choices=("last", "all"),
        default="all",
        help="of each question the latest run, or every one (default)",
    )
    parser.add_argument("--mix", action="store_true", help="put rows that differ into one table")
    chosen = parser.parse_args(arguments)
    print_log_messages()
    try:
        collect(chosen.results, chosen.out, chosen.runs, chosen.mix)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

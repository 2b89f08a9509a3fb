"""Rebuild the table of a results folder from its rows, or merge the rows of several.

    python scripts/collect.py RESULTS                             rebuilds RESULTS/results.csv
    python scripts/collect.py A B --out all.csv                   merges two folders
    python scripts/collect.py A B --out all.csv --runs last       latest run of each configuration
    python scripts/collect.py A B --out all.csv --mix             also if they are not comparable

The rows in the run folders are authoritative. Exit codes: 0 on success, 2 for an invalid argument.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.system.program import ScriptParser, prints_user_errors, run_script
from benchmarks.system.terminal import print_log_messages


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = ScriptParser(__doc__)
    add, runs = parser.add_argument, "the latest run of each configuration, or all runs (default)"
    add("results", nargs="+", type=Path, metavar="RESULTS")
    add("--out", type=Path, metavar="FILE.csv", help="file of the merged table")
    add("--runs", choices=("last", "all"), default="all", help=runs)
    add("--mix", action="store_true", help="merge rows that are not comparable")
    chosen = parser.parse_args(arguments)
    print_log_messages()
    # pandas is imported after the arguments are parsed, so that --help is immediate.
    from benchmarks.results.collect import collect

    collect(chosen.results, chosen.out, chosen.runs, chosen.mix)
    return 0


if __name__ == "__main__":
    run_script(main)

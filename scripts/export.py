"""Write result tables for other programs.

    python scripts/export.py RESULTS -o all.parquet               typed, for pandas and others
    python scripts/export.py a.csv b.csv -o all.csv               one table of several
    python scripts/export.py RESULTS -o all.json                  a list of records
    python scripts/export.py RESULTS -o FOLDER --format lm-eval   as lm-evaluation-harness writes:
                                                       FOLDER/MODEL/results_DATE.json, means over
                                                       seeds and their standard errors

RESULTS is a results folder or any CSV with the documented columns. Exit codes: 0, or 2 for your
mistake.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.reporting.export_tables import FORMATS, export
from benchmarks.system.terminal import print_log_messages


def main(arguments: list[str] | None = None) -> int:
    """Export; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--format", choices=FORMATS, help="default: what the file's name ends in")
    chosen = parser.parse_args(arguments)
    print_log_messages()
    try:
        files = export(chosen.results, chosen.out, chosen.format)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for file in files:
        print(f"written: {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write result tables as Parquet, CSV or JSON.

    python scripts/export.py RESULTS -o all.parquet        typed columns
    python scripts/export.py a.csv b.csv -o all.csv        several tables as one
    python scripts/export.py RESULTS -o all.json           a list of records

RESULTS is a results folder or any CSV file with the documented columns. Exit codes: 0 on success,
2 for an invalid argument.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.system.program import ScriptParser, prints_user_errors, run_script


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = ScriptParser(__doc__)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--format", help="parquet, csv or json; default: by the file name")
    chosen = parser.parse_args(arguments)
    # pandas is imported after the arguments are parsed, so that --help is immediate.
    from benchmarks.reporting.export_tables import FORMATS, export
    from benchmarks.system.terminal import print_log_messages

    print_log_messages()
    if chosen.format is not None and chosen.format not in FORMATS:
        parser.error(f"--format {chosen.format}: allowed: {', '.join(FORMATS)}")
    export(chosen.results, chosen.out, chosen.format)
    print(f"written: {chosen.out}")
    return 0


if __name__ == "__main__":
    run_script(main)

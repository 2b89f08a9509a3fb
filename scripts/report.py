"""Write one HTML page of results tables that opens offline: verdicts, figures, samples.

    python scripts/report.py results -o report.html                 a results folder
    python scripts/report.py a.csv b.csv -o report.html             the arms of two tables together
    python scripts/report.py results -o report.html --task sp500    one task
    python scripts/report.py results -o report.html --figures DIR   also write the figures as files

Curves, forecasts and texts come from the folder runs/ next to a table. Exit codes: 0; 2 for a
mistake.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.system.program import ScriptParser, prints_user_errors, run_script
from benchmarks.system.terminal import print_log_messages


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Write the report and return the exit code."""
    parser = ScriptParser(__doc__)
    add, page = parser.add_argument, "file of the page (%(default)s)"
    add("tables", nargs="+", type=Path, metavar="TABLE", help="CSV files or results folders")
    add("-o", "--out", type=Path, metavar="FILE", default="report.html", help=page)
    add("--title", default="Comparison of recurrent networks", help="heading")
    add("--figures", type=Path, metavar="DIR", help="write figures as files too")
    add("--task", help="only this task")
    margin = "smallest difference worth a decision: 0.005, 2%% of the score, or task"
    add("--margin", metavar="SIZE", help=margin)
    add(
        "--planned", type=int, metavar="N", help="number of seeds per arm that was fixed beforehand"
    )
    chosen = parser.parse_args(arguments)
    print_log_messages()
    # Imported late: --help and mistakes need no pandas.
    from benchmarks.analysis.selection import options_of
    from benchmarks.reporting.html.report import report

    options = options_of(task=chosen.task, margin=chosen.margin, planned=chosen.planned)
    print(report(chosen.tables, chosen.out, chosen.title, chosen.figures, options))
    return 0


if __name__ == "__main__":
    run_script(main)

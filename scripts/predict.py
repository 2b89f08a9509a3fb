"""Predict new data with the trained network of a run.

    python scripts/predict.py RUN NEW_DATA -o answers.csv              labels and probabilities
    python scripts/predict.py RUN NEW_DATA -o answers.csv --steps 3    the next 3 steps of a series

RUN is a run id, its beginning, a run folder, latest, or best: the best by validation among the
networks on the data of the latest one. NEW_DATA has the format of the training data; labels are
not needed. Exit codes: 0; 2 for an invalid option, run or file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.results.find_run import BEST, LATEST, find_run
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.output_file import check_output, writing
from benchmarks.system.program import ScriptParser, prints_user_errors, run_script
from benchmarks.system.terminal import print_log_messages, visible
from tasks.base import DataError


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Predict and return the exit code."""
    parser = ScriptParser(__doc__)
    add = parser.add_argument
    add("run", metavar="RUN", help="run id, its beginning, a run folder, latest or best")
    add("new_data", metavar="NEW_DATA", type=Path, help="a file like that of the training")
    add("moved", nargs="*", metavar="task.KEY=PATH", help="new place of training data, if moved")
    add("-o", "--out", type=Path, metavar="FILE.csv", help="default: print")
    add("--steps", type=int, metavar="N", help="of a forecast (default: its horizon)")
    add("--results", type=Path, default=Path("results"), metavar="DIR", help="results folder")
    options = parser.parse_with_settings(arguments)
    print_log_messages()
    if options.out is not None:
        check_output("--out", options.out)
    if not options.new_data.exists():
        raise UserError(f"{options.new_data}: no such file")
    folder = find_run(options.run, options.results)
    # Imports torch, which mistakes of the command line do not need.
    from benchmarks.export.predict import answers_of
    from benchmarks.results.csv_cells import csv_text
    from benchmarks.runner.load_run import load_run, parse_moved

    run = load_run(folder, moved=parse_moved(options.moved))
    try:
        columns = answers_of(run, options.new_data, options.steps)
    except (UserError, DataError) as error:
        if options.run in (LATEST, BEST):
            raise UserError(f"{error}; {options.run} is {folder.name}") from error
        raise
    if total := run.task.total(columns):
        print(f"note: in all: {total}", file=sys.stderr)
    text = csv_text([[*columns], *zip(*columns.values(), strict=True)])
    if options.out is None:
        print(visible(text), end="")
    else:
        with writing("--out", options.out):
            write_atomically(options.out, text)
        count = len(next(iter(columns.values())))
        print(f"written: {options.out}, {count:,} rows")
    return 0


if __name__ == "__main__":
    run_script(main)

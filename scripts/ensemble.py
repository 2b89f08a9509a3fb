"""Combine the predictions of finished runs of one task into an ensemble.

    python scripts/ensemble.py RUN RUN RUN                        mean of the members
    python scripts/ensemble.py RUN RUN --weights validation       weights chosen on validation

RUN is a run id, its beginning, or a run folder; a baseline may be a member. The ensemble becomes
a row of the results table, with its members and summed costs, and a run folder with predictions.
See docs/ensembles.md. Exit codes: 0; 2 for an invalid option or runs that cannot be combined.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.results.store import Store
from benchmarks.system.program import ScriptParser, prints_user_errors, run_script
from benchmarks.system.terminal import print_log_messages


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Combine runs and return the exit code."""
    parser = ScriptParser(__doc__)
    add = parser.add_argument
    about = "run id, its beginning, a run folder, or the new place of moved data: task.KEY=PATH"
    add("runs", nargs="+", metavar="RUN", help=about)
    add("--results", type=Path, default=Path("results"), metavar="DIR", help="results folder")
    about = "equal (default), or chosen on the validation split"
    add("--weights", choices=("equal", "validation"), default="equal", help=about)
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_intermixed_args(given)
    print_log_messages()
    if not options.results.is_dir():
        raise UserError(f"--results {options.results}: no such folder")
    # Imports torch, which mistakes of the command line do not need.
    from benchmarks.runner.ensemble.ensemble import combine_runs
    from benchmarks.runner.ensemble.summary import show_ensemble
    from benchmarks.runner.load_run import parse_moved

    store = Store(options.results)
    command = f"python scripts/ensemble.py {shlex.join(given)}"
    moved = [word for word in options.runs if word.startswith("task.")]
    runs = [word for word in options.runs if word not in moved]
    if not runs:
        raise UserError("no RUN is given")
    ensemble = combine_runs(runs, store, options.weights, parse_moved(moved), command)
    show_ensemble(ensemble, store)
    return 0


if __name__ == "__main__":
    run_script(main)

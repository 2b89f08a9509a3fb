"""Evaluate a finished language model dynamically: text that it has scored updates its weights.

    python scripts/dynamic_evaluation.py RUN                              rate and decay are chosen
    python scripts/dynamic_evaluation.py RUN --rate 1e-4 --decay 0.01     without a choice

RUN is a run id, its beginning, a run folder, latest or best. Each chunk of the text is predicted
before it updates the weights. A rate or decay that is not given is chosen on the validation split.
The result is a row of the track `dynamic`, which comparisons keep apart from static rows. See
docs/recipes.md. Exit codes: 0; 2 for an invalid option or a run that cannot be evaluated.
"""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.results.store import Store
from benchmarks.system.program import ScriptParser, prints_user_errors, run_script
from benchmarks.system.terminal import print_log_messages


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Evaluate a run and return the exit code."""
    parser = ScriptParser(__doc__)
    add = parser.add_argument
    add("run", metavar="RUN", help="run id, its beginning, a run folder, latest or best")
    add("moved", nargs="*", metavar="task.KEY=PATH", help="new place of data that was moved")
    add("--results", type=Path, default=Path("results"), metavar="DIR", help="results folder")
    add("--rate", type=float, metavar="R", help="of the updates (default: chosen on validation)")
    about = "of the weights to the trained ones, per update (default: chosen on validation)"
    add("--decay", type=float, metavar="D", help=about)
    add("--chunk", type=int, default=20, metavar="N", help="tokens per update (default: 20)")
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_with_settings(given)
    print_log_messages()
    check_range("--rate", options.rate, math.inf)
    check_range("--decay", options.decay, 1.0)
    if options.chunk < 1:
        raise UserError(f"--chunk {options.chunk}: must be at least 1")
    if not options.results.is_dir():
        raise UserError(f"--results {options.results}: no such folder")
    # Imports torch, which mistakes of the command line do not need.
    from benchmarks.runner.dynamic.evaluation import Options, evaluate_dynamically
    from benchmarks.runner.dynamic.summary import show_evaluation
    from benchmarks.runner.load_run import parse_moved

    store, moved = Store(options.results), parse_moved(options.moved)
    settings = Options(options.chunk, options.rate, options.decay)
    command = f"python scripts/dynamic_evaluation.py {shlex.join(given)}"
    show_evaluation(evaluate_dynamically(options.run, store, settings, moved, command), store)
    return 0


def check_range(name: str, value: float | None, most: float) -> None:
    """Check that a given value is finite, at least 0 and at most `most`."""
    if value is not None and not (0 <= value <= most and math.isfinite(value)):
        allowed = "at least 0" if math.isinf(most) else f"from 0 to {most:g}"
        raise UserError(f"{name} {value:g}: must be {allowed}")


if __name__ == "__main__":
    run_script(main)

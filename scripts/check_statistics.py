"""Measure on simulated data whether the statistics have the error rates they state.

    python scripts/check_statistics.py                        prints tables, in a few minutes
    python scripts/check_statistics.py --write docs/method.md puts them into the page
    python scripts/check_statistics.py --draws 500            quicker and rougher

Scores are drawn from known distributions and passed to the statistics and to `compare`. The tables
count how often the results are right. Draws are seeded and reproducible.
"""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path
from types import ModuleType

from benchmarks import PROJECT_ROOT
from benchmarks.errors import UserError
from benchmarks.reporting.doc_blocks import put_between
from benchmarks.system.program import ScriptParser, prints_user_errors, run_script
from benchmarks.system.terminal import print_log_messages

MARKS = ("<!-- table: scripts/check_statistics.py -->\n", "<!-- end -->")
DRAWS = 4000
FEWEST_DRAWS = 20


def subjects() -> list[ModuleType]:
    """Return the modules of the tables, in the order of the page."""
    # Started as a file, the program has its own folder on the path, and not the project's.
    sys.path.insert(0, str(PROJECT_ROOT))
    from scripts.simulations import (
        completion,
        dependence,
        equivalence,
        intervals,
        items,
        looks,
        overlap,
        power,
        ranks,
        two_level,
        verdicts,
    )

    by_seeds = [intervals, verdicts, power, overlap, completion, equivalence, looks, ranks]
    return [*by_seeds, items, dependence, two_level]


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    chosen = parser.parse_args(arguments)
    print_log_messages()
    if chosen.draws < FEWEST_DRAWS:
        raise UserError(f"--draws {chosen.draws}: must be at least {FEWEST_DRAWS}")
    if chosen.write is not None:
        put_between(chosen.write, MARKS, "")
    content = ""
    for caption, table in chain.from_iterable(s.tables(chosen.draws) for s in subjects()):
        print(f"{caption}:\n\n{table}\n", flush=True)
        content += f"{caption}:\n\n{table}\n\n"
    if chosen.write is not None:
        put_between(chosen.write, MARKS, content)
    return 0


if __name__ == "__main__":
    run_script(main)

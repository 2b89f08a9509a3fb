"""Show the progress of a sweep, from another terminal or machine.

    python scripts/status.py                    the latest sweep in results/
    python scripts/status.py RESULTS --watch    until it has ended
    python scripts/status.py --sweep ID         a certain sweep

It only reads. Exit codes: 0 no cell has failed, 1 a cell has failed, 2 a user's mistake.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.system.program import ScriptParser, prints_user_errors, run_script
from benchmarks.system.terminal import print_log_messages


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Show a sweep and return the exit code."""
    parser = ScriptParser(__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--sweep", metavar="ID", help="its id, or a prefix of it")
    parser.add_argument("--watch", action="store_true", help="repeat until the sweep has ended")
    chosen = parser.parse_args(arguments)
    print_log_messages()
    # Imported late, so that --help is immediate.
    from benchmarks.sweeps.status import status

    return status(chosen.results, chosen.sweep, chosen.watch)


if __name__ == "__main__":
    run_script(main)

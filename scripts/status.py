"""Show how far a sweep is, from another terminal or machine.

    python scripts/status.py                    the sweep begun last in results/
    python scripts/status.py RESULTS --watch    until it has ended
    python scripts/status.py --sweep ID         another one

It reads and writes nothing. Exit codes: 0 no cell failed so far, 1 one did, 2 your mistake.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.sweeps.status import status
from benchmarks.system.terminal import print_log_messages


def main(arguments: list[str] | None = None) -> int:
    """Show it; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--sweep", metavar="ID", help="its id, or how that begins")
    parser.add_argument("--watch", action="store_true", help="look again until it has ended")
    chosen = parser.parse_args(arguments)
    print_log_messages()
    try:
        return status(chosen.results, chosen.sweep, chosen.watch)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

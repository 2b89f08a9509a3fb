"""The console that tables are printed on."""

from __future__ import annotations

import sys

from rich.console import Console

DEFAULT_WIDTH = 110  # columns of output that is not a terminal; rich would assume 80


class PipedConsole(Console):
    """A console that leaves a closed pipe to the program; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Raise the error again."""
        raise BrokenPipeError


def console() -> Console:
    """Return a console on standard output, of the width of the terminal."""
    return PipedConsole(width=None if sys.stdout.isatty() else DEFAULT_WIDTH, highlight=False)

"""Text on the terminal: of any encoding and data, and what `logging.getLogger(__name__)` logs."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from pathlib import Path

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except line ends and tabs, reversals of direction, and bytes of file names."""


def visible(text: str) -> str:
    r"""Return a text with control characters as escapes, such as `\x1b`; `\n` and `\t` remain.

    Text of data may contain sequences that a terminal obeys, and characters that no file stores.
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def print_any_text() -> None:
    """Let the standard streams escape characters that their encoding lacks, instead of failing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the process was started with a closed stream
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  open until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class TerminalHandler(logging.Handler):
    """Print records as `note: …` or `warning: …` to the current standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        level = "warning" if record.levelno >= logging.WARNING else "note"
        print(f"{level}: {visible(record.getMessage())}", flush=True)


def print_log_messages() -> None:
    """Print what the package `benchmarks` logs; a second call changes nothing."""
    logger = logging.getLogger("benchmarks")
    if not any(isinstance(handler, TerminalHandler) for handler in logger.handlers):
        logger.addHandler(TerminalHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False  # Hydra and other libraries give the root logger handlers

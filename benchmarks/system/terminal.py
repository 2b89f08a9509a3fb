"""Notes and warnings on the terminal, logged with `logging.getLogger(__name__)`."""

from __future__ import annotations

import logging


class TerminalHandler(logging.Handler):
    """Print records as `note: …` or `warning: …` to the current standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        level = "warning" if record.levelno >= logging.WARNING else "note"
        print(f"{level}: {record.getMessage()}", flush=True)


def print_log_messages() -> None:
    """Print what the package `benchmarks` logs; a second call changes nothing."""
    logger = logging.getLogger("benchmarks")
    if not any(isinstance(handler, TerminalHandler) for handler in logger.handlers):
        logger.addHandler(TerminalHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False  # Hydra and other libraries give the root logger handlers

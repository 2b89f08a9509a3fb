"""Text on the terminal: of any encoding and data, and what `logging.getLogger(__name__)` logs."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except line ends and tabs, reversals of direction, and bytes of file names."""


def visible(text: str) -> str:
    r"""Return a text with control characters as escapes, such as `\x1b`; `\n` and `\t` remain.

    Text of data may contain sequences that a terminal obeys, and characters that no file stores.
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Output(io.FileIO):
    """A standard stream that discards all output after the first error, such as a closed pipe.

    Args:
        descriptor: the file descriptor.
        is_result: the output is the program's result, so that an error ends it: BrokenPipeError, or
            UserError with the reason.
    """

    def __init__(self, descriptor: int, is_result: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._is_result = is_result

    def write(self, data: Any) -> int:
        """Write bytes and return their number."""
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            reason = f"the output cannot be written ({error.strerror})"
            if isinstance(error, BrokenPipeError) and self._is_result:
                raise
            if self._is_result:
                raise UserError(reason) from error
            if self.fileno() == 1 and not isinstance(error, BrokenPipeError):
                print(f"note: {reason}; the run goes on", file=sys.stderr)
            return len(data)


def protect_output(is_result: bool = False) -> None:
    """Replace the standard streams by `Output`; it escapes characters missing in their encoding."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # the process was started with a closed stream
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  open until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            raw = getattr(stream.buffer, "raw", stream.buffer)
            if type(raw) is io.FileIO and raw.fileno() == descriptor:
                setattr(sys, name, with_output(stream, Output(descriptor, is_result)))


def with_output(stream: io.TextIOWrapper, output: Output) -> io.TextIOWrapper:
    """Return a stream like another one that writes to `output`."""
    is_direct = stream.write_through  # as with PYTHONUNBUFFERED
    return io.TextIOWrapper(
        output if is_direct else io.BufferedWriter(output),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=is_direct,
    )


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

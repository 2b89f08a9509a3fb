"""Signals that end a run: immediately where that is safe, otherwise after the step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2")
"""Ctrl-C; `kill` and schedulers; a closed terminal; SLURM's warning through submitit."""

INTERRUPTED = 130
"""Exit code of a command that a signal ended."""


class Interruption:
    """Converts signals to KeyboardInterrupt.

    In a `deferred` block the first signal is stored for `check`; a second Ctrl-C is raised at once.

    Attributes:
        requested: name of the signal that was received.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self._deferred = False
        self._shielded = False

    def install(self) -> None:
        """Install the handler, except for signals that the parent process ignores."""
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.handle)

    def handle(self, number: int, frame: object) -> None:
        """Handle a signal."""
        name = signal.Signals(number).name
        if self.requested is not None and number != signal.SIGINT:
            return  # schedulers repeat signals; only a repeated Ctrl-C is a second request
        if self._shielded or (self._deferred and self.requested is None):
            self.requested = name
            return
        self.requested = name
        raise KeyboardInterrupt(name)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal was stored."""
        if self.requested is not None:
            raise KeyboardInterrupt(self.requested)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Store the first signal during a block."""
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Store every signal during a short block that writes results."""
        before, self._shielded = self._shielded, True
        try:
            yield
        finally:
            self._shielded = before

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Raise signals, a stored one included, in a part of a deferred block."""
        before, self._deferred = self._deferred, False
        try:
            self.check()
            yield
        finally:
            self._deferred = before

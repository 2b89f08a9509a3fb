"""Signals that ask a run to end: at once where that is safe, after the step where it is not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2")
"""Ctrl-C; `kill` and schedulers; a closed terminal; SLURM's warning by way of submitit."""

INTERRUPTED = 130
"""Exit code of a command that a signal ended."""


class Interruption:
    """Turns signals into KeyboardInterrupt.

    Inside a `deferred` block the first signal is only noted, for `check` to find; a second one,
    from someone who does not want to wait, is raised wherever the program is.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self._deferred = False
        self._shielded = False

    def install(self) -> None:
        """Take over the signals, except those that whoever started us chose to ignore."""
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.handle)

    def handle(self, number: int, frame: object) -> None:
        """Receive a signal."""
        name = signal.Signals(number).name
        if self.requested is not None and number != signal.SIGINT:
            return  # schedulers repeat themselves; only a person's second Ctrl-C is impatience
        if self._shielded or (self._deferred and self.requested is None):
            self.requested = name
            return
        self.requested = name
        raise KeyboardInterrupt(name)

    def check(self) -> None:
        """Raise what was noted while it was deferred."""
        if self.requested is not None:
            raise KeyboardInterrupt(self.requested)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Keep a block whole."""
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Keep a block whole whoever is impatient: it is short and writes what was measured."""
        before, self._shielded = self._shielded, True
        try:
            yield
        finally:
            self._shielded = before

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Let a signal end a part of a deferred block, one already noted too."""
        before, self._deferred = self._deferred, False
        try:
            self.check()
            yield
        finally:
            self._deferred = before

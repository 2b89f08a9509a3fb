"""Signals that end a run: immediately where that is safe, otherwise after the step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2")  # SIGUSR2: SLURM's warning through submitit
INTERRUPTED = 130  # exit code


class Interruption:
    """Converts signals to KeyboardInterrupt.

    In a `deferred` block the first signal is stored in `requested` for `check`. Further signals are
    ignored there, also in its `immediate` parts, so that the checkpoint and the row are written.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self._deferred = False
        self._shielded = False
        self._depth = 0  # of nested blocks

    def install(self) -> None:
        """Install the handler, except for signals that the parent process ignores."""
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.handle)

    def handle(self, number: int, frame: object) -> None:
        """Handle a signal."""
        name = signal.Signals(number).name
        is_repeated = self.requested is not None
        if is_repeated and (self._depth or number != signal.SIGINT):
            return  # the first one ends the block; schedulers repeat signals outside of blocks too
        self.requested = name
        if self._shielded or self._deferred:
            return
        raise KeyboardInterrupt(name)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal was stored."""
        if self.requested is not None:
            raise KeyboardInterrupt(self.requested)

    def deferred(self) -> AbstractContextManager[None]:
        """Store the first signal during a block; ignore further ones."""
        return self._temporarily("_deferred", True)

    def shielded(self) -> AbstractContextManager[None]:
        """Store every signal during a short block that writes results."""
        return self._temporarily("_shielded", True)

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Raise signals, a stored one included, in a part of a deferred block."""
        with self._temporarily("_deferred", False):
            self.check()
            try:
                yield
            except Exception:  # perhaps of a library that caught KeyboardInterrupt in a C callback
                self.check()
                raise

    @contextmanager
    def _temporarily(self, flag: str, value: bool) -> Iterator[None]:
        before = getattr(self, flag)
        self._depth += 1
        setattr(self, flag, value)
        try:
            yield
        finally:
            setattr(self, flag, before)
            self._depth -= 1

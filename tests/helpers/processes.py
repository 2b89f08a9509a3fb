"""Many real processes that do one thing at the same moment."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable


def at_once(count: int, work: Callable[[int], object]) -> list[bool]:
    """Let so many processes work at once; returns what each found, as true or false.

    They are forked, which costs a hundredth of starting an interpreter for each.
    """
    gate, opening = os.pipe()
    pids = []
    for number in range(count):
        with warnings.catch_warnings():
            # Newer Pythons warn of forking beside threads; these children touch files alone.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            code = 2
            try:
                os.close(opening)
                os.read(gate, 1)  # which ends when the parent closes the other end
                code = 0 if work(number) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        pids.append(pid)
    os.close(gate)
    os.close(opening)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert set(codes) <= {0, 1}, codes
    return [code == 0 for code in codes]

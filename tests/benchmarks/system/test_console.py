"""Every table is printed on a console that leaves a closed pipe to the program."""

from __future__ import annotations

import re

import pytest

from benchmarks.system.console import console
from tests.helpers.paths import ROOT


def test_a_closed_pipe_is_raised() -> None:
    with pytest.raises(BrokenPipeError):
        console().on_broken_pipe()


def test_no_other_console_is_used() -> None:
    sources = [*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("scripts/**/*.py")]
    using = [f.name for f in sources if re.search(r"\bConsole\(", f.read_text(encoding="utf-8"))]
    assert using == []

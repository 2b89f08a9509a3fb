"""Signals end a run where that is safe: at once, or when the step is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.system.signals import NAMES, Interruption
from tests.helpers.paths import ROOT

NUMBERS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """Installed, on signals that this test's own process would listen to."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        signal.signal(number, signal.SIG_DFL)
    interruption = Interruption()
    interruption.install()
    yield interruption
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_raised_at_once_and_by_its_name(
    number: signal.Signals, interruption: Interruption
) -> None:
    with pytest.raises(KeyboardInterrupt, match=f"^{number.name}$"):
        signal.raise_signal(number)
    assert interruption.requested == number.name


@pytest.mark.parametrize("number", NUMBERS)
def test_a_deferred_signal_is_raised_by_check(
    number: signal.Signals, interruption: Interruption
) -> None:
    with interruption.deferred():
        interruption.check()
        signal.raise_signal(number)
        assert interruption.requested == number.name
        with pytest.raises(KeyboardInterrupt, match=number.name):
            interruption.check()
    with pytest.raises(KeyboardInterrupt, match=number.name):
        interruption.check()


@pytest.mark.parametrize("first", NUMBERS)
def test_a_second_ctrl_c_is_raised_outside_of_blocks_alone(
    first: signal.Signals, interruption: Interruption
) -> None:
    with interruption.deferred():
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGINT)
    assert interruption.requested == first.name
    with pytest.raises(KeyboardInterrupt, match="SIGINT"):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("second", NUMBERS)
def test_a_second_signal_does_not_disturb_the_end_of_an_immediate_part(
    second: signal.Signals, interruption: Interruption
) -> None:
    ended = False

    def measure() -> None:
        nonlocal ended
        with interruption.immediate():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(second)
                ended = True

    with interruption.deferred():
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            measure()
        signal.raise_signal(second)
    assert ended


@pytest.mark.parametrize("second", [number for number in NUMBERS if number != signal.SIGINT])
@pytest.mark.parametrize("first", NUMBERS)
def test_what_schedulers_repeat_disturbs_no_checkpoint(
    first: signal.Signals, second: signal.Signals, interruption: Interruption
) -> None:
    with interruption.deferred():
        signal.raise_signal(first)
        try:
            signal.raise_signal(second)
            signal.raise_signal(second)
        except KeyboardInterrupt:
            pytest.fail("disturbed")
    assert interruption.requested == first.name


def test_an_error_of_a_library_that_swallowed_the_signal_is_an_interruption(
    interruption: Interruption,
) -> None:
    def compile_code() -> None:
        with interruption.immediate():
            try:
                signal.raise_signal(signal.SIGTERM)
            except KeyboardInterrupt:
                raise RuntimeError("no compiled object yet") from None

    with interruption.deferred(), pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        compile_code()


def test_a_part_of_a_deferred_block_may_be_left_at_once(interruption: Interruption) -> None:
    def validate() -> None:
        with interruption.immediate():
            signal.raise_signal(signal.SIGTERM)
            pytest.fail("not interrupted")

    with interruption.deferred():
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            validate()
        interruption.requested = None
        signal.raise_signal(signal.SIGTERM)  # deferred again, also after an exception
        assert interruption.requested == "SIGTERM"


def test_what_was_noted_before_an_immediate_block_keeps_it_from_beginning(
    interruption: Interruption,
) -> None:
    def validate() -> None:
        with interruption.immediate():
            pytest.fail("has begun")

    with interruption.deferred():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            validate()


def test_blocks_may_be_nested(interruption: Interruption) -> None:
    with interruption.deferred():
        with interruption.deferred():
            pass
        signal.raise_signal(signal.SIGTERM)
    assert interruption.requested == "SIGTERM"
    interruption.requested = None
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def test_what_the_starter_ignores_stays_ignored() -> None:
    """As under nohup, which must keep a run alive when its terminal closes."""
    program = (
        "import signal\n"
        "from benchmarks.system.signals import Interruption\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "Interruption().install()\n"
        "signal.raise_signal(signal.SIGHUP)\n"
        "print('alive')\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "except KeyboardInterrupt as error:\n"
        "    print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "alive\nSIGTERM\n", "")

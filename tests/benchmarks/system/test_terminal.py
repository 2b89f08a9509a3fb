"""Notes and warnings on the terminal."""

from __future__ import annotations

import contextlib
import io
import logging

import pytest

from benchmarks.system.terminal import print_log_messages

logger = logging.getLogger("benchmarks.system.test_terminal")


def test_messages_go_to_standard_output_with_their_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_log_messages()
    print_log_messages()
    logger.info("%d cores", 2)
    logger.warning("the disk is slow")
    logger.debug("not shown")
    assert capsys.readouterr() == ("note: 2 cores\nwarning: the disk is slow\n", "")


def test_messages_follow_redirected_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_log_messages()
    log = io.StringIO()
    with contextlib.redirect_stdout(log):
        logger.info("in the log of a cell")
    assert log.getvalue() == "note: in the log of a cell\n"
    assert capsys.readouterr().out == ""

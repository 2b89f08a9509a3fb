"""Text cells that a spreadsheet would execute: escaped in files, unchanged after reading."""

from __future__ import annotations

import csv
import io

import pytest

from benchmarks.results.csv_cells import csv_text, escaped, unescaped

EXECUTED = ["=cmd()", "+1+cmd()", "-cmd()", "@SUM(A1)", "\t=cmd()", "\r=cmd()", "\n=cmd()", "-"]
UNTOUCHED = ["lstm", "", "a=b", "'quoted'", "-0.5", "+3", "-1e-05", "-.5E+160", "−1", "1-2"]  # noqa: RUF001


@pytest.mark.parametrize("text", EXECUTED)
def test_text_that_would_be_executed_gets_an_apostrophe(text: str) -> None:
    assert escaped(text) == f"'{text}"


@pytest.mark.parametrize("text", UNTOUCHED)
def test_other_text_and_numbers_are_unchanged(text: str) -> None:
    assert escaped(text) == text


@pytest.mark.parametrize("text", [*EXECUTED, *UNTOUCHED, "'=cmd()", "''-x", "'-0.5", "'"])
def test_reading_returns_what_was_written(text: str) -> None:
    assert unescaped(escaped(text)) == text


def test_values_of_a_file() -> None:
    values = [-0.5, -3, 1e160, None, True, "=1+1", "-1.5"]
    (line,) = csv.reader(io.StringIO(csv_text([values])))
    assert line == ["-0.5", "-3", "1e+160", "", "true", "'=1+1", "-1.5"]


def test_line_ends_within_cells_are_quoted() -> None:
    text = csv_text([["a\rb", "c\nd", "\r"], ["e"]])
    assert text == '"a\rb","c\nd","\'\r"\ne\n'
    assert [*csv.reader(io.StringIO(text, newline=""))] == [["a\rb", "c\nd", "'\r"], ["e"]]

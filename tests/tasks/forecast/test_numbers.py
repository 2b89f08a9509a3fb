"""Numbers in the notations of files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.base import DataError
from tasks.forecast.cells import Place
from tasks.forecast.numbers import are_numbers, parse_numbers


def parse(cells: list[str | None], separator: str = ",", **others: list[str]) -> list[float]:
    lines = range(2, len(cells) + 2)
    frame = pd.DataFrame({"x": cells, **others}, index=lines, dtype=object)
    found = parse_numbers(frame, ["x"], separator, Place("task.data=FILE"))
    assert found["x"].dtype == np.float64
    return found["x"].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1", 1.0),
        ("-0.5", -0.5),
        (" +3.25 ", 3.25),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("0.1", 0.1),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("1,234,567", 1234567.0),
        ("1.234.567", 1234567.0),
        ("12,34,567.5", 1234567.5),
        ("1 234,5", 1234.5),
        ("1\u202f234.5", 1234.5),
        ("1'234.5", 1234.5),
        ("12,5", 12.5),
        ("0,123", 0.123),
        ("1234,567", 1234.567),
        ("$1,234.50", 1234.5),
        ("-$5.25", -5.25),
        ("12,50 €", 12.5),
        ("(7.5)", -7.5),
        ("\u22127.5", -7.5),
        ("-0.94%", -0.94),
        ("1.5K", 1500.0),
        ("2.5M", 2500000.0),
        ("3B", 3e9),
    ],
)
def test_a_number_alone_is_clear(cell: str, expected: float) -> None:
    assert parse([cell], ";") == [expected]


@pytest.mark.parametrize(
    "cell", [None, "", " ", "-", "\u2014", ".", "..", "null", "NaN", "N/A", "?"]
)
def test_empty_cells(cell: str | None) -> None:
    assert np.isnan(parse([cell, "1"])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("cells", "separator", "others", "expected"),
    [
        (["1,234", "2,345"], ",", {}, [1234, 2345]),  # a comma in quotes groups digits
        (["1.234", "2.345"], ",", {}, [1.234, 2.345]),
        (["1,234", "987"], ";", {}, [1234, 987]),
        (["1.234", "987"], ";", {}, [1234, 987]),
        (["1,234", "1234"], ";", {}, [1.234, 1234]),
        (["1,234", "2,345"], "\t", {"y": ["1.5", "2.5"]}, [1234, 2345]),
        (["1,234", "2,345"], ";", {"y": ["1,5", "2,5"]}, [1.234, 2.345]),
        (["1.234", "2.345"], ";", {"y": ["1,5", "2,5"]}, [1234, 2345]),
        (["1,234", "2,5"], ";", {}, [1.234, 2.5]),
        (["1.234", "0.5"], ";", {}, [1.234, 0.5]),
    ],
)
def test_ambiguous_marks_are_decided_by_the_rest_of_the_file(
    cells: list[str | None], separator: str, others: dict[str, list[str]], expected: list[float]
) -> None:
    assert parse(cells, separator, **others) == expected


@pytest.mark.parametrize(("cell", "separator"), [("1,234", ";"), ("1.234", ";"), ("1,234", "\t")])
def test_marks_that_nothing_decides_are_asked_about(cell: str, separator: str) -> None:
    with pytest.raises(DataError, match=r"line 2: x=1.234 is 1234 or 1.234, and no other cell"):
        parse([cell, cell.replace("1", "2")], separator)


def test_two_notations_in_a_column_are_refused() -> None:
    proofs = r"decimal points \(1,234.5 in line 3\) and decimal commas \(1.234,5 in line 2\)"
    with pytest.raises(DataError, match=f"x has {proofs}"):
        parse(["1.234,5", "1,234.5"], ";")


@pytest.mark.parametrize("cell", ["ten", "1.2.3.", "1,2,3", "12:30", "1_000", "0x10", "1 2"])
def test_what_is_not_a_number_is_refused(cell: str) -> None:
    with pytest.raises(DataError, match=r"^task.data=FILE: line 4: x must be a number: "):
        parse(["1", "2", cell])


def test_numbers_are_read_exactly() -> None:
    values = np.random.default_rng(0).normal(size=200).tolist()
    assert parse([repr(value) for value in values]) == values


def test_columns_of_numbers_are_told_from_text() -> None:
    assert are_numbers(pd.Series(["1,5", "-", None, "2%"])) == 1.0
    assert are_numbers(pd.Series(["a", "b"])) == 0.0
    assert are_numbers(pd.Series([None, "-"], dtype=object)) == 0.0

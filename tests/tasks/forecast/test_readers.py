"""The S&P 500 task's CSV files: valid ones, and errors with their line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.base import DataError
from tasks.forecast.readers import read_close_file
from tasks.sp500 import Sp500Settings, Sp500Task, days_needed
from tests.helpers.synthetic_closes import closes_of, load, random_walk

Row = tuple[str, str]
DAYS = [day.date().isoformat() for day in pd.bdate_range("2001-01-01", periods=120)]
PRICES = [f"{close:.2f}" for close in random_walk(120)]


def rows() -> list[Row]:
    return list(zip(DAYS, PRICES, strict=True))


def write(folder: Path, lines: Sequence[Row], header: str = "date,close") -> Path:
    file = folder / "series.csv"
    file.write_text("\n".join([header, *(f"{day},{close}" for day, close in lines)]) + "\n")
    return file


def read(file: Path, window: int = 5) -> Sp500Task:
    return load(Sp500Settings(csv=str(file), start="2001-01-01", window=window))


def refusal(file: Path, window: int = 5) -> str:
    with pytest.raises(DataError) as caught:
        read(file, window)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert file.name in text
    return text


def reformatted(format_day: str) -> list[Row]:
    return [(pd.Timestamp(day).strftime(format_day), close) for day, close in rows()]


def test_the_hash_depends_on_days_and_closes_as_text(tmp_path: Path) -> None:
    content = "".join(f"{day},{float(close)!r}\n" for day, close in rows())
    expected = hashlib.sha256(content.encode()).hexdigest()
    assert read(write(tmp_path, rows())).data.sha256 == expected


@pytest.mark.parametrize("header", ["Date,Close", "DATE,CLOSE", " date , close", "date,Close"])
def test_columns_are_found_in_any_case(tmp_path: Path, header: str) -> None:
    task = read(write(tmp_path, rows(), header))
    np.testing.assert_array_equal(closes_of(task), [float(close) for close in PRICES])


def test_other_columns_are_ignored(tmp_path: Path) -> None:
    lines = [(close, f"{day},x,{close}") for day, close in rows()]
    task = read(write(tmp_path, lines, "open,date,note,close"))
    np.testing.assert_array_equal(closes_of(task), [float(close) for close in PRICES])


@pytest.mark.parametrize(
    "format_day",
    [
        "%Y-%m-%d",
        "%m/%d/%Y",
        "%Y%m%d",
        "%Y-%m-%d 16:00:00",
        "%Y-%m-%dT00:00:00Z",
        "%Y-%m-%d 00:00:00-05:00",
        "%Y-%m-%d 16:00:00-05:00",
        "%Y-%m-%d 20:00:00-05:00",
        "%Y-%m-%d 00:00:00+09:00",
    ],
)
def test_dates_are_local_days(tmp_path: Path, format_day: str) -> None:
    plain = read(write(tmp_path, rows())).data
    assert read(write(tmp_path, reformatted(format_day))).data == plain


def test_dates_of_summer_and_winter_time_may_follow_one_another(tmp_path: Path) -> None:
    plain = read(write(tmp_path, rows())).data
    offsets = ["-05:00"] * 60 + ["-04:00"] * 60
    lines = [
        (f"{day} 00:00:00{offset}", close)
        for (day, close), offset in zip(rows(), offsets, strict=True)
    ]
    assert read(write(tmp_path, lines)).data == plain


@pytest.mark.parametrize(
    ("day", "close", "problem"),
    [
        pytest.param("soon", "10", "not a date like 2001-01-01 in line 2: soon", id="a word"),
        pytest.param("2001-02-30", "10", ": 2001-02-30", id="no such day"),
        pytest.param("20/12/x", "10", ": 20/12/x", id="half a date"),
        pytest.param("03/12/2001", "10", ": 03/12/2001", id="another format"),
        pytest.param("", "10", "no date", id="no date"),
        pytest.param(DAYS[50], "0", "must be a positive number: 0", id="zero"),
        pytest.param(DAYS[50], "-3.5", "must be a positive number: -3.5", id="negative"),
        pytest.param(DAYS[50], "inf", "must be finite: inf", id="infinite"),
        pytest.param(DAYS[50], "ten", "close must be a number: ten", id="close a word"),
        pytest.param(DAYS[50], '"1,00.5"', "must be a number: 1,00.5", id="a comma astray"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_value(
    tmp_path: Path, day: str, close: str, problem: str
) -> None:
    lines = rows()
    lines[50] = (day, close)
    text = refusal(write(tmp_path, lines))
    assert "line 52: " in text
    assert problem in text


@pytest.mark.parametrize(
    ("day", "problem"),
    [
        (DAYS[10], f"duplicate date {DAYS[10]} (lines 12 and 52); keep one row per date"),
        (DAYS[49], f"duplicate date {DAYS[49]} (lines 51 and 52)"),
        (f"{DAYS[49]} 16:00", f"several rows on {DAYS[49]} (lines 51 and 52), as in minute bars"),
    ],
)
def test_a_repeated_day_is_reported_with_both_lines(tmp_path: Path, day: str, problem: str) -> None:
    lines = rows()
    lines[50] = (day, "10")
    assert problem in refusal(write(tmp_path, lines))


@pytest.mark.parametrize("close", ["", "NaN", "null", "-", "."])
def test_days_without_a_close_are_left_out(tmp_path: Path, close: str) -> None:
    lines = rows()
    lines[50] = (DAYS[50], close)
    task = read(write(tmp_path, lines))
    assert task.days == DAYS[:50] + DAYS[51:]
    _, notices = read_close_file(tmp_path / "series.csv", "task.csv=series.csv")
    assert notices == (f"1 row without a value of close left out (the first: line 52, {DAYS[50]})",)


def test_closes_with_grouped_digits_are_numbers(tmp_path: Path) -> None:
    lines = [(day, f'"{float(close):,.2f}"') for day, close in rows()]
    assert "," in lines[0][1]
    np.testing.assert_array_equal(
        closes_of(read(write(tmp_path, lines))), closes_of(read(write(tmp_path, rows())))
    )


def test_blank_lines_count_as_lines(tmp_path: Path) -> None:
    file = write(tmp_path, [*rows()[:50], (DAYS[50], "-1")])
    lines = file.read_text().splitlines()
    lines.insert(10, "")
    file.write_text("\n".join(lines))
    assert lines[52] == f"{DAYS[50]},-1"
    assert "line 53: " in refusal(file)


@pytest.mark.parametrize(
    ("header", "missing"),
    [("date,note", "'close'"), ("when,close", "'date'"), ("a,b", "'date'")],
)
def test_a_missing_column_is_reported_with_the_existing_ones(
    tmp_path: Path, header: str, missing: str
) -> None:
    lines = [("x", "y") if missing == "'close'" else ("x", close) for _, close in rows()]
    text = refusal(write(tmp_path, lines, header))
    assert f"no column {missing}" in text
    assert all(name in text for name in header.split(",") if name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"date,close\n", "no rows", id="header alone"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\x00\xff", "the file is an image", id="picture"),
        pytest.param("date,close\n".encode("utf-16"), "no rows", id="UTF-16"),
        pytest.param(b"<!doctype html>\n<p>no\n", "no column 'date'", id="web page"),
        pytest.param(b'{"date": 1,\n "close": 2}\n', "no column 'date'", id="JSON"),
        pytest.param(b'"a\nb",c\n1,2\n', "no column 'date'", id="name of two lines"),
        pytest.param(
            b"date,close\n1,2\n1,2,3\n", "line 3: 3 cells, but the first line names 2", id="ragged"
        ),
    ],
)
def test_an_invalid_file_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "series.csv"
    file.write_bytes(content)
    assert problem in refusal(file)


@pytest.mark.parametrize("window", [1, 5, 60])
def test_the_window_determines_the_number_of_rows_needed(tmp_path: Path, window: int) -> None:
    needed = days_needed(window)
    text = refusal(write(tmp_path, rows()[: needed - 1]), window)
    assert f"{needed - 1} days" in text
    assert f"task.window={window} needs {needed}" in text
    data = read(write(tmp_path, rows()[:needed]), window).data
    assert data.train_size >= 20
    assert min(data.validation_size, data.test_size) >= 5


def test_a_missing_file_is_refused_at_once(tmp_path: Path) -> None:
    settings = Sp500Settings(csv=str(tmp_path / "missing.csv"))
    with pytest.raises(DataError, match=r"task\.csv=.*missing\.csv: no such file"):
        settings.check()
    with pytest.raises(DataError, match=r"missing\.csv"):
        load(settings)


def test_a_folder_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder \(allowed: a CSV file\)$"):
        Sp500Settings(csv=str(tmp_path)).check()

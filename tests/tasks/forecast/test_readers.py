"""The S&P 500 task's CSV files: valid ones, and errors with their line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.base import DataError
from tasks.forecast.task import Sp500Settings, Sp500Task, days_needed
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
        pytest.param("soon", "10", "not a date like 2015-12-31 or 12/31/2015: soon", id="a word"),
        pytest.param("2001-02-30", "10", ": 2001-02-30", id="no such day"),
        pytest.param("20/12/x", "10", ": 20/12/x", id="half a date"),
        pytest.param("03/12/2001", "10", ": 03/12/2001", id="another format"),
        pytest.param("", "10", "not a date", id="no date"),
        pytest.param(DAYS[10], "10", f"must ascend, this one does not: {DAYS[10]}", id="back"),
        pytest.param(DAYS[49], "10", f"must ascend, this one does not: {DAYS[49]}", id="twice"),
        pytest.param(f"{DAYS[49]} 16:00", "10", DAYS[49], id="twice at another hour"),
        pytest.param(DAYS[50], "", f"close is empty or NaN on the day: {DAYS[50]}", id="no close"),
        pytest.param(DAYS[50], "NaN", f"is empty or NaN on the day: {DAYS[50]}", id="NaN"),
        pytest.param(DAYS[50], "0", "must be a positive number: 0", id="zero"),
        pytest.param(DAYS[50], "-3.5", "must be a positive number: -3.5", id="negative"),
        pytest.param(DAYS[50], "inf", "must be finite: inf", id="infinite"),
        pytest.param(DAYS[50], "ten", "must be a positive number: ten", id="close a word"),
        pytest.param(DAYS[50], '"1,000.5"', "a positive number: 1,000.5", id="thousands' comma"),
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


def test_blank_lines_count_as_lines(tmp_path: Path) -> None:
    file = write(tmp_path, [*rows()[:50], (DAYS[50], "-1")])
    lines = file.read_text().splitlines()
    lines.insert(10, "")
    file.write_text("\n".join(lines))
    assert lines[52] == f"{DAYS[50]},-1"
    assert "line 53: " in refusal(file)


@pytest.mark.parametrize(
    ("header", "missing"),
    [("day,close", "'date'"), ("date,price", "'close'"), ("a,b", "'date'"), ("date,", "'close'")],
)
def test_a_missing_column_is_reported_with_the_existing_ones(
    tmp_path: Path, header: str, missing: str
) -> None:
    text = refusal(write(tmp_path, rows(), header))
    assert f"no column {missing}" in text
    assert all(name in text for name in header.split(",") if name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "cannot be read as CSV", id="empty"),
        pytest.param(b"date,close\n", "no rows", id="header alone"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\x00\xff", "cannot be read as CSV", id="picture"),
        pytest.param("date,close\n".encode("utf-16"), "cannot be read as CSV", id="UTF-16"),
        pytest.param(b"<!doctype html>\n<p>no\n", "no column 'date'", id="web page"),
        pytest.param(b'{"date": 1,\n "close": 2}\n', "no column 'date'", id="JSON"),
        pytest.param(b'"a\nb",c\n1,2\n', "no column 'date'", id="name of two lines"),
        pytest.param(b"date,close\n1,2\n1,2,3\n", "cannot be read as CSV", id="ragged"),
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


@pytest.mark.parametrize("start", [None, "2001-01-01"])
def test_a_notice_says_that_a_long_file_is_cut(start: str | None, tmp_path: Path) -> None:
    days = [day.date().isoformat() for day in pd.bdate_range("2001-01-01", "2010-12-31")]
    closes = [f"{close:.2f}" for close in random_walk(len(days))]
    file = write(tmp_path, list(zip(days, closes, strict=True)))
    task = load(Sp500Settings(csv=str(file), start=start))
    assert isinstance(task, Sp500Task)
    assert task.days[0] == ("2006-01-02" if start is None else start)
    assert task.data.notices == (
        (
            f"task.csv={file}: of 2,610 days (2001-01-01 to 2010-12-31), the last 5 years are used "
            f"(2006-01-02 to 2010-12-31); task.start=2001-01-01 uses all",
        )
        if start is None
        else ()
    )


def test_no_notice_about_the_default_series_or_a_short_file(tmp_path: Path) -> None:
    assert load(Sp500Settings()).data.notices == ()
    assert load(Sp500Settings(csv=str(write(tmp_path, rows())))).data.notices == ()

"""Times as they are written, their order and their frequency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from tasks.base import DataError
from tasks.forecast.readers import SeriesTable, read_series, time_texts


def read(folder: Path, times: Sequence[str], name: str = "date", **given: str) -> SeriesTable:
    file = folder / "series.csv"
    rows = [f'"{time}",{number}.5' for number, time in enumerate(times)]
    file.write_text("\n".join([f"{name},x", *rows]) + "\n")
    return read_series(file, "task.data=series.csv", **given)


def refusal(folder: Path, times: Sequence[str], **given: str) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, times, **given)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def texts(table: SeriesTable) -> list[str]:
    return time_texts(table.times, table.frequency)


@pytest.mark.parametrize(
    ("written", "frequency", "first", "last"),
    [
        (["1949-01", "1949-02", "1949-03"], "MS", "1949-01", "1949-03"),
        (["1949/01", "1949/02", "1949/03"], "MS", "1949-01", "1949-03"),
        (["01/1949", "02/1949", "03/1949"], "MS", "1949-01", "1949-03"),
        (["1949M01", "1949M02", "1949M03"], "MS", "1949-01", "1949-03"),
        (["Jan 1949", "Feb 1949", "Mar 1949"], "MS", "1949-01", "1949-03"),
        (["January 1949", "February 1949"], "MS", "1949-01", "1949-02"),
        (["1949 Jan", "1949 Feb", "1949 Mar"], "MS", "1949-01", "1949-03"),
        (["Jan-49", "Feb-49", "Mar-49"], "MS", "1949-01", "1949-03"),
        (["194901", "194902", "194903"], "MS", "1949-01", "1949-03"),
        (["1949-01-31", "1949-02-28", "1949-03-31"], "MS", "1949-01", "1949-03"),
        (["2015-01-30", "2015-02-27", "2015-03-31"], "MS", "2015-01", "2015-03"),
        (["1949", "1949.0833333", "1949.1666667"], "MS", "1949-01", "1949-03"),
        (["1949", "1950", "1951"], "YS", "1949", "1951"),
        (["1700.0", "1701.0", "1702.0"], "YS", "1700", "1702"),
        (["1990-12-31", "2000-12-31", "2010-12-31"], "10YS", "1990", "2010"),
        (["1990Q1", "1990Q2", "1990Q3"], "QS", "1990Q1", "1990Q3"),
        (["1990-Q1", "1990-Q2", "1990-Q3"], "QS", "1990Q1", "1990Q3"),
        (["Q1 1990", "Q2 1990", "Q3 1990"], "QS", "1990Q1", "1990Q3"),
        (["1990.0", "1990.25", "1990.5"], "QS", "1990Q1", "1990Q3"),
        (["1990-03-31", "1990-06-30", "1990-09-30"], "QS", "1990Q1", "1990Q3"),
        (["2015-W01", "2015-W02", "2015-W03"], "W-MON", "2014-12-29", "2015-01-12"),
        (["1958-03-29", "1958-04-05", "1958-04-12"], "W-SAT", "1958-03-29", "1958-04-12"),
        (["2015-01-05", "2015-01-12", "2015-01-20", "2015-01-27"], "W", "2015-01-05", "2015-01-27"),
        (["20150102", "20150103", "20150104"], "D", "2015-01-02", "2015-01-04"),
        (["Dec 30, 2015", "Dec 31, 2015"], "D", "2015-12-30", "2015-12-31"),
        (["30-Dec-15", "31-Dec-15"], "D", "2015-12-30", "2015-12-31"),
        (["30 December 2015", "31 December 2015"], "D", "2015-12-30", "2015-12-31"),
        (["12/30/98", "12/31/98", "01/01/99"], "D", "1998-12-30", "1999-01-01"),
        (["30.12.2015", "31.12.2015"], "D", "2015-12-30", "2015-12-31"),
        (["2015-01-01", "2015-01-02", "2015-01-05"], "B", "2015-01-01", "2015-01-05"),
        (["2015-01-02", "2015-01-03", "2015-01-04"], "D", "2015-01-02", "2015-01-04"),
        (["2015-01-01 22:00", "2015-01-01 23:00"], "h", "2015-01-01 22:00", "2015-01-01 23:00"),
        (["2015-01-01T00:10", "2015-01-01T00:25"], "15min", "2015-01-01 00:10", "2015-01-01 00:25"),
        (
            ["12/31/2015 11:00:00 PM", "01/01/2016 12:00:00 AM", "01/01/2016 1:00:00 AM"],
            *("h", "2015-12-31 23:00", "2016-01-01 01:00"),
        ),
        (["1420070400", "1420074000"], "h", "2015-01-01 00:00", "2015-01-01 01:00"),
    ],
)
def test_times_and_frequencies(
    tmp_path: Path, written: list[str], frequency: str, first: str, last: str
) -> None:
    table = read(tmp_path, written)
    assert table.frequency == frequency
    assert (texts(table)[0], texts(table)[-1]) == (first, last)
    assert table.title == f"series.csv, {first} to {last}"
    assert table.values["x"].tolist() == [number + 0.5 for number in range(len(written))]


@pytest.mark.parametrize(
    "frequency", ["MS", "QS", "YS", "W-WED", "D", "B", "h", "15min", "s", "2D"]
)
def test_frequencies_agree_with_pandas(tmp_path: Path, frequency: str) -> None:
    times = pd.date_range("2001-01-01", periods=40, freq=frequency)
    table = read(tmp_path, [str(time) for time in times])
    assert table.frequency == frequency
    assert table.times.equals(times)
    after = pd.date_range(table.times[-1], periods=2, freq=table.frequency)[1]
    assert after == pd.date_range(times[0], periods=41, freq=frequency)[-1]


@pytest.mark.parametrize("frequency", ["MS", "W-FRI", "D", "B", "h"])
def test_gaps_are_named_and_not_filled(tmp_path: Path, frequency: str) -> None:
    times = pd.date_range("2001-01-01", periods=40, freq=frequency)
    kept = times.delete([5, 20, 21, 22])
    table = read(tmp_path, [str(time) for time in kept])
    assert table.frequency == frequency
    assert len(table.times) == 36
    (notice,) = table.notices
    shown = time_texts(times, frequency)
    assert f"without a value: 4 of 40 from {shown[0]} to {shown[-1]}" in notice
    assert f"the longest gap is 3, between {shown[19]} and {shown[23]}" in notice


def test_irregular_times_are_named(tmp_path: Path) -> None:
    days = ["2015-01-01", "2015-01-04", "2015-01-05", "2015-02-17", "2015-03-02"]
    table = read(tmp_path, days)
    assert table.frequency == ""
    assert table.notices == (
        "the times are irregular: steps from 1 days 00:00:00 to 43 days 00:00:00",
    )


@pytest.mark.parametrize(
    ("times", "order", "expected"),
    [
        (["02.01.2015", "05.01.2015"], "day_first", ["2015-01-02", "2015-01-05"]),
        (
            ["02/01/2015", "05/01/2015", "06/01/2015"],
            "month_first",
            ["2015-02", "2015-05", "2015-06"],
        ),
        (["02-01-15", "05-01-15"], "day_first", ["2015-01-02", "2015-01-05"]),
    ],
)
def test_ambiguous_dates_are_asked_about(
    tmp_path: Path, times: list[str], order: str, expected: list[str]
) -> None:
    text = refusal(tmp_path, times)
    assert f"ambiguous: {times[0]} in line 2" in text
    assert "set task.dates=day_first or task.dates=month_first" in text
    assert texts(read(tmp_path, times, dates=order)) == expected


def test_dates_that_are_the_same_in_both_orders_need_no_answer(tmp_path: Path) -> None:
    assert texts(read(tmp_path, ["01/01/2015", "02/02/2015", "12/12/2015"]))[1] == "2015-02-02"


def test_the_example_of_an_ambiguous_order_differs_between_both(tmp_path: Path) -> None:
    months = ["1/1/1957", "2/1/1957", "3/1/1957"]
    assert "ambiguous: 2/1/1957 in line 3" in refusal(tmp_path, months)
    assert texts(read(tmp_path, months, dates="month_first")) == ["1957-01", "1957-02", "1957-03"]


def test_one_day_above_twelve_decides_the_order(tmp_path: Path) -> None:
    assert texts(read(tmp_path, ["02/01/2015", "13/01/2015"]))[0] == "2015-01-02"
    assert texts(read(tmp_path, ["01/02/2015", "01/13/2015"]))[0] == "2015-01-02"


def test_a_date_that_contradicts_the_order_is_named(tmp_path: Path) -> None:
    text = refusal(tmp_path, ["02.01.2015", "25.01.2015"], dates="month_first")
    assert "line 3: not a date like 02.01.2015 in line 2: 25.01.2015 (task.dates=month_first)" in (
        text
    )
    text = refusal(tmp_path, ["13/01/2015", "14/01/2015", "01/15/2015"])
    assert "line 4: not a date like 13/01/2015 in line 2: 01/15/2015" in text


def test_a_short_year_in_front_is_not_taken_for_a_day(tmp_path: Path) -> None:
    text = refusal(tmp_path, ["15-12-29", "15-12-30", "15-12-31"])
    assert "ambiguous: 15-12-29 in line 2" in text
    assert "write the dates as 2015-12-31" in text
    assert texts(read(tmp_path, ["98-12-30", "98-12-31"])) == ["1998-12-30", "1998-12-31"]


def test_the_century_of_two_digit_years_is_said(tmp_path: Path) -> None:
    notices = read(tmp_path, ["31-12-98", "01-01-99"]).notices
    assert notices == (
        "the years of two digits in the column date are read as years from 1998 to 1999",
    )


@pytest.mark.parametrize("day", ["2015-13-04", "2015-02-30", "04.01.2015", "x"])
def test_a_cell_in_another_format_is_refused_with_its_line(tmp_path: Path, day: str) -> None:
    text = refusal(tmp_path, ["2015-01-01", "2015-01-02", "2015-01-03", day])
    assert f"line 5: not a date like 2015-01-01 in line 2: {day}" in text


def test_local_days_stay_days(tmp_path: Path) -> None:
    times = ["2015-10-24 00:00:00+02:00", "2015-10-25 00:00:00+02:00", "2015-10-26 00:00:00+01:00"]
    assert texts(read(tmp_path, times)) == ["2015-10-24", "2015-10-25", "2015-10-26"]


def test_hours_across_the_end_of_summer_time_are_converted(tmp_path: Path) -> None:
    offsets = [("01", 2), ("02", 2), ("02", 1), ("03", 1)]
    table = read(tmp_path, [f"2015-10-25T{hour}:00:00+0{zone}:00" for hour, zone in offsets])
    assert table.frequency == "h"
    assert texts(table)[0] == "2015-10-24 23:00"
    assert "converted to UTC" in table.notices[0]


def write(folder: Path, content: str) -> SeriesTable:
    file = folder / "series.csv"
    file.write_text(content)
    return read_series(file, "task.data=series.csv")


@pytest.mark.parametrize(
    ("content", "frequency", "first", "last"),
    [
        ("year,month,x\n1949,January,1\n1949,February,2\n", "MS", "1949-01", "1949-02"),
        ("year,month,x\n1949,1,1\n1949,2,2\n", "MS", "1949-01", "1949-02"),
        ("year,quarter,x\n1959.0,1.0,1\n1959.0,2.0,2\n", "QS", "1959Q1", "1959Q2"),
        ("year,month,day,hour,x\n2010,1,1,0,1\n2010,1,1,1,2\n", "h", *2 * ("2010-01-01 0",)),
        ("Date,Time,x\n01/12/2006,17:24:00,1\n31/12/2006,17:24:00,2\n", None, *2 * ("2006-12-",)),
        ("Date,Time,x\n31/12/2006,17:24:00,1\n31/12/2006,17:25:00,2\n", "min", *2 * ("2006-12-",)),
        ("Date,Hour,x\n2011-01-01,0,1\n2011-01-01,1,2\n", "h", *2 * ("2011-01-01 0",)),
    ],
)
def test_times_joined_from_columns(
    tmp_path: Path, content: str, frequency: str | None, first: str, last: str
) -> None:
    table = write(tmp_path, content)
    assert frequency in (None, table.frequency)
    assert texts(table)[0].startswith(first)
    assert texts(table)[-1].startswith(last)
    assert list(table.values) == ["x"]
    assert table.values["x"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "frequency", "first"),
    [
        (",x\n2015-01-01,1\n2015-01-02,2\n2015-01-03,3\n", "D", "2015-01-01"),
        ("when,x\n2015-01-01,1\n2015-01-02,2\n2015-01-03,3\n", "D", "2015-01-01"),
        (",Date,x\n0,2015-01-01,1\n1,2015-01-02,2\n2,2015-01-03,3\n", "D", "2015-01-01"),
        (",x\n1949,1\n1950,2\n1951,3\n", "YS", "1949"),
        ('"rownames","time","x"\n1,1949,1\n2,1949.0833,2\n3,1949.1667,3\n', "MS", "1949-01"),
        ("day,ds,x\nMon,2015-01-05,1\nTue,2015-01-06,2\nWed,2015-01-07,3\n", "D", "2015-01-05"),
        (",x\n0,1\n1,2\n2,3\n", "row", "0"),
        ("time,x\n0.0,1\n0.1,2\n0.2,3\n", "row", "0"),
        ("x\n1\n2\n3\n", "row", "0"),
    ],
)
def test_the_column_of_times_is_found(
    tmp_path: Path, content: str, frequency: str, first: str
) -> None:
    table = write(tmp_path, content)
    assert table.frequency == frequency
    assert texts(table)[0] == first
    assert table.values["x"].tolist() == [1, 2, 3]
    if frequency == "row":
        assert "the order of the file is taken as time" in table.notices[0]
        assert table.times.equals(pd.RangeIndex(3))

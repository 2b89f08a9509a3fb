"""Files of series as programs and web sites write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.base import DataError
from tasks.forecast.readers import SeriesTable, read_close_file, read_series, usual_column
from tasks.sp500 import Sp500Settings
from tests.helpers.synthetic_closes import load, random_walk

YFINANCE = """\
Price,Adj Close,Close,High,Low,Open,Volume
Ticker,AAPL,AAPL,AAPL,AAPL,AAPL,AAPL
Date,,,,,,
2020-01-02,72.72,75.09,75.15,73.80,74.06,135480400
2020-01-03,72.01,74.36,75.14,74.13,74.29,146322800
2020-01-06,72.58,74.95,74.99,73.19,73.45,118387200
"""
YAHOO = """\
Date,Open,High,Low,Close,Adj Close,Volume
2020-01-02,74.06,75.15,73.80,75.09,72.72,135480400
2020-01-03,74.29,75.14,74.13,74.36,72.01,146322800
2020-01-06,null,null,null,null,null,null
2020-01-07,74.96,75.22,74.37,74.60,74.60,108872000
"""
NASDAQ = """\
Date,Close/Last,Volume,Open,High,Low
12/31/2015,$105.26,40912320,$107.01,$107.03,$104.82
12/30/2015,$107.32,25213780,$108.58,$108.70,$107.18
12/29/2015,$108.74,30931240,$106.96,$109.43,$106.86
"""
INVESTING = """\
\ufeff"Date","Price","Open","High","Low","Vol.","Change %"
"12/31/2015","2,043.94","2,060.59","2,062.54","2,043.62","1.25K","-0.94%"
"12/30/2015","2,063.36","2,077.34","2,077.34","2,061.97","-","-0.72%"
"12/29/2015","2,078.36","2,060.54","2,081.56","2,060.54","2.50M","1.06%"
"""
STOOQ = """\
<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>
^SPX,D,20150102,000000,2058.9,2072.36,2046.04,2058.2,1000,0
^SPX,D,20150105,000000,2054.44,2054.44,2017.34,2020.58,1000,0
^SPX,D,20150106,000000,2022.15,2030.25,1992.44,2002.61,1000,0
"""
FRED = "DATE,DEXUSEU\n2015-01-01,.\n2015-01-02,1.2015\n2015-01-05,1.1918\n"
GERMAN = """\
Datum;Kurs;Stück
02.01.2015;1.234,56;1.000
05.01.2015;1.240,10;987
16.01.2015;999,5;1.200
"""
TICKERS = """\
date,open,close,Name
2015-01-02,1,2,AAL
2015-01-05,1,3,AAL
2015-01-02,1,4,AAPL
2015-01-05,1,5,AAPL
"""


def write(folder: Path, content: str, name: str = "series.csv") -> Path:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return file


def read(folder: Path, content: str, *columns: str, **given: str) -> SeriesTable:
    return read_series(write(folder, content), "task.data=series.csv", columns, **given)


def refusal(folder: Path, content: str, *columns: str, **given: str) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, content, *columns, **given)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert text.startswith(("task.data=series.csv", "task."))
    return text


def days(table: SeriesTable) -> list[str]:
    assert isinstance(table.times, pd.DatetimeIndex)
    return [day.date().isoformat() for day in table.times]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(YFINANCE, {"2020-01-02": 75.09, "2020-01-03": 74.36, "2020-01-06": 74.95}),
        pytest.param(YAHOO, {"2020-01-02": 75.09, "2020-01-03": 74.36, "2020-01-07": 74.60}),
        pytest.param(NASDAQ, {"2015-12-29": 108.74, "2015-12-30": 107.32, "2015-12-31": 105.26}),
        pytest.param(
            INVESTING, {"2015-12-29": 2078.36, "2015-12-30": 2063.36, "2015-12-31": 2043.94}
        ),
        pytest.param(STOOQ, {"2015-01-02": 2058.2, "2015-01-05": 2020.58, "2015-01-06": 2002.61}),
        pytest.param(FRED, {"2015-01-02": 1.2015, "2015-01-05": 1.1918}),
    ],
    ids=["yfinance", "yahoo", "nasdaq", "investing", "stooq", "fred"],
)
def test_closes_of_price_files(tmp_path: Path, content: str, expected: dict[str, float]) -> None:
    closes, _ = read_close_file(write(tmp_path, content), "task.csv=series.csv")
    found = {day.date().isoformat(): close for day, close in closes.items()}  # type: ignore[attr-defined]
    assert found == expected


def test_the_header_lines_of_yfinance_become_one(tmp_path: Path) -> None:
    table = read(tmp_path, YFINANCE)
    assert list(table.values) == ["Adj Close", "Close", "High", "Low", "Open", "Volume"]
    assert "2 header lines are read as one (all columns: AAPL)" in table.notices
    broken = YFINANCE.replace("74.95", "broken")
    assert "line 6: Close must be a number: broken" in refusal(tmp_path, broken, "close")


@pytest.mark.parametrize(
    "header",
    [
        "Price,Close,High\nTicker,AAPL,AAPL",
        "Price,Close,High\nDate,,",
        "Ticker,AAPL,AAPL\nPrice,Close,High\nDate,,",
        "Date,Close,High\n,AAPL,AAPL",
    ],
)
def test_other_header_lines_of_yfinance(tmp_path: Path, header: str) -> None:
    table = read(tmp_path, f"{header}\n2020-01-02,75.09,75.15\n2020-01-03,74.36,75.14\n")
    assert table.values.to_dict("list") == {"Close": [75.09, 74.36], "High": [75.15, 75.14]}
    assert days(table) == ["2020-01-02", "2020-01-03"]


def test_several_tickers_of_yfinance_have_a_column_each(tmp_path: Path) -> None:
    content = "Price,Close,Close\nTicker,AAPL,MSFT\nDate,,\n2020-01-02,75.09,160.62\n"
    assert list(read(tmp_path, content).values) == ["AAPL", "MSFT"]
    content = (
        "Price,Close,Close,High,High\nTicker,AAPL,MSFT,AAPL,MSFT\nDate,,,,\n2020-01-02,1,2,3,4\n"
    )
    assert read(tmp_path, content, "close msft").values.to_dict("list") == {"Close MSFT": [2.0]}
    with pytest.raises(DataError, match=r"several tickers in one file \(Close AAPL, Close MSFT\)"):
        read_close_file(write(tmp_path, content), "task.csv=series.csv")


def test_adjusted_closes_are_usable_and_mentioned_if_they_differ(tmp_path: Path) -> None:
    table = read(tmp_path, YAHOO, "Close")
    assert (
        "Adj Close (adjusted for dividends and splits) differs from Close in 2 of 3 rows; "
        "task.column='Adj Close' uses it" in table.notices
    )
    adjusted = read(tmp_path, YAHOO, "adj close", "volume")
    assert adjusted.values["Adj Close"].tolist() == [72.72, 72.01, 74.60]
    assert not any("differs" in notice for notice in adjusted.notices)
    closes, _ = read_close_file(write(tmp_path, YAHOO), "task.csv=series.csv", "Adj Close")
    assert closes.tolist() == [72.72, 72.01, 74.60]


def test_sp500_takes_the_column_by_name_and_prints_what_was_read(tmp_path: Path) -> None:
    days = pd.bdate_range("2001-01-01", periods=120)
    rows = [
        f"{day.date()},{close},{close / 2}"
        for day, close in zip(days, random_walk(120), strict=True)
    ]
    file = write(tmp_path, "\n".join(["Date,Close,Adj Close", *reversed(rows)]))
    plain = load(Sp500Settings(csv=str(file), window=5))
    adjusted = load(Sp500Settings(csv=str(file), window=5, column="adj close"))
    np.testing.assert_array_equal(plain.closes, random_walk(120))
    np.testing.assert_array_equal(adjusted.closes, random_walk(120) / 2)
    assert adjusted.data.notices == ("newest first in the file: turned around",)
    assert "task.column='Adj Close' uses it" in plain.data.notices[0]


def test_rows_of_holidays_are_left_out_and_counted(tmp_path: Path) -> None:
    table = read(tmp_path, YAHOO, "Close")
    assert "1 row without a value of Close left out (the first: line 4, 2020-01-06)" in (
        table.notices
    )
    assert days(table) == ["2020-01-02", "2020-01-03", "2020-01-07"]


def test_only_rows_without_a_target_are_left_out(tmp_path: Path) -> None:
    table = read(tmp_path, "date,x,f\n2015-01-01,1,\n2015-01-02,,3\n2015-01-03,2,4\n", "x", "f")
    np.testing.assert_array_equal(table.values.to_numpy(), [[1, np.nan], [2, 4]])


@pytest.mark.parametrize("content", [NASDAQ, INVESTING])
def test_files_with_the_newest_day_first_are_turned(tmp_path: Path, content: str) -> None:
    table = read(tmp_path, content)
    assert days(table) == ["2015-12-29", "2015-12-30", "2015-12-31"]
    assert "newest first in the file: turned around" in table.notices


def test_volumes_and_per_cent_of_investing(tmp_path: Path) -> None:
    values = read(tmp_path, INVESTING).values
    np.testing.assert_array_equal(values["Vol."], [2_500_000, np.nan, 1250])
    assert values["Change %"].tolist() == [1.06, -0.72, -0.94]


def test_minute_bars_of_stooq(tmp_path: Path) -> None:
    lines = STOOQ.splitlines()
    bars = [line.replace("20150105", "20150102").replace("20150106", "20150102") for line in lines]
    bars[2], bars[3] = bars[2].replace("000000", "000500"), bars[3].replace("000000", "001000")
    table = read(tmp_path, "\n".join(bars), "close")
    assert table.frequency == "5min"
    assert table.title == "series.csv, 2015-01-02 00:00 to 2015-01-02 00:10"
    with pytest.raises(DataError, match=r"several rows on 2015-01-02 \(lines 2 and 3\), as in min"):
        read_close_file(tmp_path / "series.csv", "task.csv=series.csv")


def test_decimal_commas_with_semicolons(tmp_path: Path) -> None:
    table = read(tmp_path, GERMAN)
    assert table.values["Kurs"].tolist() == [1234.56, 1240.1, 999.5]
    assert table.values["Stück"].tolist() == [1000, 987, 1200]  # decided by the other column
    assert days(table) == ["2015-01-02", "2015-01-05", "2015-01-16"]


def test_the_separator_line_of_excel(tmp_path: Path) -> None:
    table = read(tmp_path, "sep=;\nDate;Value\n2015-01-02;1,5\n2015-01-03;2,5\n")
    assert table.values["Value"].tolist() == [1.5, 2.5]


def test_a_comma_at_the_end_of_rows(tmp_path: Path) -> None:
    content = "Month,Passengers,\n1949-01,112,\n1949-02,118,\n1949-03,{},\n"
    table = read(tmp_path, content.format(132))
    assert table.values.to_dict("list") == {"Passengers": [112.0, 118.0, 132.0]}
    assert "line 4: Passengers must be a number: x" in refusal(tmp_path, content.format("x"))
    rows = "date,close\n2015-01-01,1,\n2015-01-02,2,\n2015-01-03,x,\n"
    assert "line 4: close must be a number: x" in refusal(tmp_path, rows, "close")


def test_line_numbers_count_blank_lines_and_lines_in_quotes(tmp_path: Path) -> None:
    content = 'date,note,x\n\n2015-01-01,"two\nlines",1\n2015-01-02,,ten\n'
    assert "line 5: x must be a number: ten" in refusal(tmp_path, content, "x")


@pytest.mark.parametrize("columns", [("close",), ()])
def test_several_tickers_in_one_file_are_named(tmp_path: Path, columns: tuple[str, ...]) -> None:
    assert refusal(tmp_path, TICKERS, *columns) == (
        "task.data=series.csv: duplicate date 2015-01-02 (lines 2 and 4): several tickers in one "
        "file, in the column Name (AAL, AAPL); keep the rows of one"
    )


def test_minute_bars_with_an_unknown_column_of_times_are_named(tmp_path: Path) -> None:
    content = "date,bar,x\n2015-01-02,09:30,1\n2015-01-02,09:31,2\n2015-01-02,09:32,3\n"
    text = refusal(tmp_path, content)
    assert "duplicate date 2015-01-02 (lines 2 and 3): minute bars" in text
    assert "column bar" in text
    assert read(tmp_path, content.replace("bar", "time")).frequency == "min"


def test_a_repeated_date_is_named_with_both_lines(tmp_path: Path) -> None:
    content = "date,x\n2015-01-02,1\n2015-01-03,2\n2015-01-04,3\n2015-01-02,4\n"
    assert refusal(tmp_path, content) == (
        "task.data=series.csv: duplicate date 2015-01-02 (lines 2 and 5); keep one row per date"
    )


def test_rows_out_of_order_are_sorted(tmp_path: Path) -> None:
    table = read(tmp_path, "date,x\n2015-01-01,1\n2015-01-03,3\n2015-01-02,2\n")
    assert table.values["x"].tolist() == [1, 2, 3]
    assert table.notices == ("sorted by time: line 4 is earlier than the one before",)


def test_two_columns_that_differ_in_case_are_refused_unless_named(tmp_path: Path) -> None:
    content = "date,Close,close\n2015-01-02,1,2\n2015-01-05,1,2\n"
    assert "the columns Close and close differ only in case" in refusal(tmp_path, content)
    assert "the columns Close and close differ only in case" in refusal(tmp_path, content, "CLOSE")
    assert read(tmp_path, content, "close").values["close"].tolist() == [2, 2]
    with pytest.raises(DataError, match="the columns Close and close differ only in case"):
        read_close_file(tmp_path / "series.csv", "task.csv=series.csv")
    dates = "date,Date,x\n2015-01-02,2015-01-02,2\n2015-01-05,2015-01-05,2\n"
    assert "the columns date and Date differ only in case" in refusal(tmp_path, dates)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["Date", "Open", "Close", "Adj Close"], "Close"),
        (["<DATE>", "<OPEN>", "<CLOSE>"], "<CLOSE>"),
        (["Date", "Close/Last", "Open"], "Close/Last"),
        (["Date", "Price", "Open"], "Price"),
        (["Date", "Adj Close"], None),
        (["Month", "Passengers"], None),
    ],
)
def test_usual_names_of_closes(columns: list[str], expected: str | None) -> None:
    assert usual_column(columns) == expected


def test_names_of_columns_on_two_lines_are_one_line(tmp_path: Path) -> None:
    content = 'date,"Sales\n(units)"\n2015-01-02,1\n2015-01-03,x\n'
    assert "line 4: Sales (units) must be a number: x" in refusal(
        tmp_path, content, "sales (units)"
    )


def test_the_header_of_an_unnamed_series_of_pandas(tmp_path: Path) -> None:
    table = read(tmp_path, ",0\n0,269\n1,321\n2,585\n")
    assert table.values["0"].tolist() == [269, 321, 585]
    assert "line 1 contains values (,7)" in refusal(tmp_path, ",7\n0,269\n")


def test_a_file_without_names_of_columns_is_refused(tmp_path: Path) -> None:
    text = refusal(tmp_path, "2015-01-02,1\n2015-01-05,2\n")
    assert "line 1 contains values (2015-01-02,1), but must name the columns" in text


@pytest.mark.parametrize(
    ("content", "columns", "given", "problem"),
    [
        ("date,x\n2015-01-02,a\n", (), {}, "there is no column of numbers"),
        ("date,x\n2015-01-02,\n", ("x",), {}, "the column x contains no numbers"),
        ("date,x\n2015-01-02,1\n", ("date",), {}, "task.column=date: this is the column of times"),
        ("date,Sales\n2015-01-02,1\n", ("Salse",), {}, "did you mean Sales?"),
        ("date,x\n2015-01-02,1\n", ("x", "y"), {}, "task.features=y: no such column"),
        ("date,x\n2015-01-02,1\n", (), {"time": "day"}, "task.time=day: no such column"),
        ("time,x\nsoon,1\n", (), {}, "line 2: the column time contains no dates like"),
        ("a,b,x\n2015-01-02,2015-01-02,1\n", (), {}, "several columns contain times (a, b)"),
        ("date,x\n2015-01-02,inf\n", (), {}, "line 2: x must be finite: inf"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, content: str, columns: tuple[str, ...], given: dict[str, str], problem: str
) -> None:
    assert problem in refusal(tmp_path, content, *columns, **given)


def test_zeros_and_negative_values_are_values(tmp_path: Path) -> None:
    table = read(tmp_path, "date,x\n2015-01-02,-1\n2015-01-03,0\n2015-01-04,(1.5)\n")
    assert table.values["x"].tolist() == [-1, 0, -1.5]


def test_tables_that_are_not_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, np.nan, 0.1]}, index=pd.date_range("2015-01-01", periods=3))
    frame.to_parquet(tmp_path / "series.parquet")  # an index without a name
    table = read_series(tmp_path / "series.parquet", "task.data=series.parquet", ["x"])
    assert days(table) == ["2015-01-01", "2015-01-03"]
    assert table.values["x"].tolist() == [1.0, 0.1]
    assert "the first: row 2" in table.notices[0]
    lines = write(
        tmp_path, '{"date": "2015-01-01", "x": 1}\n{"date": "2015-01-02", "x": 2.5}\n', "a.jsonl"
    )
    assert read_series(lines, "task.data=a.jsonl").values["x"].tolist() == [1, 2.5]
    tabs = write(tmp_path, "date\tx\n2015-01-01\t1,234.5\n", "a.tsv")
    assert read_series(tabs, "task.data=a.tsv").values["x"].tolist() == [1234.5]

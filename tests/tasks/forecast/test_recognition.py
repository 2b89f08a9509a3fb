"""Which files are taken for series to forecast."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tasks.forecast.task import ForecastSettings
from tests.helpers.series_files import AIRLINE

DAYS = [f"2020-01-{day:02d}" for day in range(1, 29)]
SERIES = {
    "prices.csv": "Date,Open,Close\n" + "".join(f"{day},1.5,2.5\n" for day in DAYS),
    "german.csv": "Datum;Wert\n" + "".join(f"{d[8:]}.01.2020;1,5\n" for d in DAYS),
    "tabs.tsv": "month\tsales\n2019-01\t3\n2019-02\t4\n2019-03\t6\n",
    "years.csv": "year,spots\n1900,3\n1901,5\n1902,7\n",
    "rows.jsonl": "".join(f'{{"date": "{day}", "y": 3.5}}\n' for day in DAYS),
    "note.csv": "date,y,remark\n2020-01-01,1,holiday\n2020-01-02,2,\n2020-01-03,3,\n",
}
OTHERS = {
    "reviews.csv": "text,label\na good film,pos\na bad film,neg\n",
    "dated.csv": "date,stars,review\n"
    + "".join(
        f"{day},4,a long review of a film that was not as good as the last\n" for day in DAYS
    ),
    "labelled.csv": "id,time,x,label\n" + "".join(f"{n // 9},{n % 9},0.5,a\n" for n in range(27)),
    "wide.csv": "f1,f2,label\n0.5,0.25,a\n0.1,0.2,b\n",
    "words.csv": "date,word\n2020-01-01,a\n2020-01-02,b\n",
    "book.txt": "Once upon a time there was a series.\nIt had no numbers.\n",
    "empty.csv": "",
    "values.csv": "1,2,3\n4,5,6\n",
    "picture.png": "\x89PNG",
    "broken.jsonl": "{",
}


@pytest.mark.parametrize("name", SERIES)
def test_a_table_with_times_and_numbers_is_a_series(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(SERIES[name], encoding="utf-8")
    assert "a column of times" in ForecastSettings.recognises(path)


def test_parquet_and_the_example_are_series(tmp_path: Path) -> None:
    path = tmp_path / "series.parquet"
    pd.DataFrame({"date": pd.to_datetime(DAYS), "y": range(len(DAYS))}).to_parquet(path)
    for each in (path, AIRLINE):
        assert ForecastSettings.recognises(each)


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_not_series(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(OTHERS[name], encoding="utf-8")
    assert ForecastSettings.recognises(path) == ""


def test_a_folder_or_a_missing_file_is_not_a_series(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "latin.csv").write_bytes(b"date,y\n\xff\xfe,1\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    for name in ("folder.csv", "no.csv", "latin.csv", "broken.parquet"):
        assert ForecastSettings.recognises(tmp_path / name) == ""

"""Tables as people have them: separators, marks, repeated headers, and one line for mistakes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tasks.base import DataError
from tasks.common.tables import Table, read_table


def table(tmp_path: Path, content: str | bytes, name: str = "t.csv") -> Table:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(file, f"task.data={name}")


def refusal(tmp_path: Path, content: str | bytes, name: str = "t.csv") -> str:
    with pytest.raises(DataError) as caught:
        table(tmp_path, content, name)
    text = str(caught.value)
    assert text.startswith(f"task.data={name}: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_separator_is_found(tmp_path: Path, separator: str) -> None:
    lines = ["text", "label"], ['"a, b; c | d\te"', "x"], ["plain", "y"]
    found = table(tmp_path, "".join(separator.join(line) + "\n" for line in lines))
    assert found.separator == separator
    assert found.frame.to_numpy().tolist() == [["a, b; c | d\te", "x"], ["plain", "y"]]


def test_decimal_commas_do_not_separate(tmp_path: Path) -> None:
    found = table(tmp_path, "date;value\n2015-01-02;1,5\n2015-01-05;2,5\n")
    assert found.frame["value"].tolist() == ["1,5", "2,5"]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends_of_windows_and_the_mac(tmp_path: Path, ends: str) -> None:
    content = ends.join(["text,label", "a,x", "", "b,y", ""])
    for encoding in ("utf-8-sig", "utf-16"):
        found = table(tmp_path, content.encode(encoding))
        assert list(found.frame.columns) == ["text", "label"]
        assert found.frame["text"].to_dict() == {2: "a", 4: "b"}


def test_index_numbers_lines_also_after_quoted_line_ends(tmp_path: Path) -> None:
    found = table(tmp_path, 'text,label\n"one\ntwo",x\nthree,y\n')
    assert found.frame["text"].to_dict() == {2: "one\ntwo", 4: "three"}


def test_a_separator_at_the_end_of_lines_is_no_column(tmp_path: Path) -> None:
    for content in ("a,b\n1,2,\n3,4,\n", "a,b,\n1,2,\n3,4,\n"):
        assert table(tmp_path, content).frame.to_numpy().tolist() == [["1", "2"], ["3", "4"]]


def test_repeated_headers_are_left_out_and_counted(tmp_path: Path) -> None:
    found = table(tmp_path, "a,b\n1,2\na,b\n3,4\n")
    assert len(found.frame) == 2
    assert found.notices == ("1 repeated header line is left out",)


def test_empty_cells_are_missing_and_the_index_of_pandas_has_a_name(tmp_path: Path) -> None:
    found = table(tmp_path, ",text,label\n0,a,\n1,,y\n")
    assert list(found.frame.columns) == ["index", "text", "label"]
    assert found.frame["label"].tolist() == [None, "y"]
    assert found.frame["text"].tolist() == ["a", None]


def test_json_lines_and_parquet(tmp_path: Path) -> None:
    lines = '{"text": "a", "stars": 5}\n\n{"text": "b", "stars": null}\n'
    found = table(tmp_path, lines, "t.jsonl")
    assert found.frame["stars"].to_dict() == {1: "5", 3: None}
    file = tmp_path / "t.parquet"
    pd.DataFrame({"text": ["a", "b"], "label": [True, None], "x": [1.5, 2.0]}).to_parquet(file)
    frame = read_table(file, "t").frame
    assert frame.to_numpy().tolist() == [["a", "True", "1.5"], ["b", None, "2"]]


def test_mistakes_get_one_line_with_the_place(tmp_path: Path) -> None:
    assert "line 3: 3 cells, but the first line names 2" in refusal(tmp_path, "a,b\n1,2\n1,2,3\n")
    assert "the file is empty" in refusal(tmp_path, " \n\n")
    assert "two columns are named a" in refusal(tmp_path, "a,b,a\n1,2,3\n")
    assert "column 2 has no name" in refusal(tmp_path, "a,,b\n1,2,3\n")
    assert "line 2: not JSON" in refusal(tmp_path, '{"a": 1}\n{"a": 1\n', "t.jsonl")
    assert "line 1: not JSON Lines; write one object" in refusal(tmp_path, "1\n", "t.jsonl")
    text = refusal(tmp_path, '[\n{"text": "a"}\n]', "t.jsonl")
    assert "a JSON array, not JSON Lines; write one object per line" in text
    text = refusal(tmp_path, 'a,b\n1,2\n"3,4\n5,6\n')
    assert "line 3: a cell begins with a double quote that is never closed" in text
    assert "cannot be read as parquet" in refusal(tmp_path, "no", "t.parquet")
    text = refusal(tmp_path, "text,label\ncaf\xe9,x\n".encode("latin-1"))
    assert "iconv -f WINDOWS-1252 -t UTF-8" in text


def test_halves_of_characters_in_json_are_replaced(tmp_path: Path) -> None:
    """A cut emoji has no encoding."""
    found = table(tmp_path, '{"text": "cut \\ud83d, whole \\ud83d\\ude00"}\n', "t.jsonl")
    assert found.frame["text"].tolist() == ["cut \ufffd, whole \U0001f600"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x: cannot be read"):
        read_table(tmp_path / "none.csv", "x")


def test_columns_are_found_by_usual_names_or_given(tmp_path: Path) -> None:
    found = table(tmp_path, "Id,Review,Stars\n1,a,5\n")
    usual = "text", "review", "label", "stars"
    assert found.column(None, usual[:2], "task.text") == "Review"
    assert found.column("stars", usual, "task.label") == "Stars"
    with pytest.raises(DataError, match=r"task\.label=Star: no such column.*did you mean Stars\?"):
        found.column("Star", usual, "task.label")
    with pytest.raises(DataError, match=r"no column is named body.*set task\.text=NAME.*Id, Rev"):
        found.column(None, ["body"], "task.text")


def test_columns_that_differ_only_in_case_are_asked_about(tmp_path: Path) -> None:
    found = table(tmp_path, "date,Close,close\n2015-01-02,1,2\n")
    with pytest.raises(DataError, match=r"Close and close differ only in case; .*task\.column"):
        found.column(None, ["close"], "task.column")
    assert found.column("close", ["close"], "task.column") == "close"

"""Files that are no text: what they are and what to do, in one line; and Excel's line sep=;."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tasks.base import DataError
from tasks.common.tables import read_table
from tasks.forecast.readers import read_series
from tasks.language.sources import read_corpus
from tasks.series.collection import Columns
from tasks.series.readers import read_collection, recognised
from tasks.text.reading import new_texts
from tasks.text.sources import header_of
from tasks.text.sources import recognised as recognised_documents

CSV = b"text,label\ngood,1\nbad,0\n"


def archive(*names: str) -> bytes:
    """Return a zip archive with files, as office programs write them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, "<xml/>" * 20)
    return content.getvalue()


def arrays() -> bytes:
    content = io.BytesIO()
    np.savez(content, X=np.zeros((3, 4)), y=np.arange(3))
    return content.getvalue()


FILES = {
    "excel": (
        archive("[Content_Types].xml", "xl/workbook.xml"),
        "an Excel workbook; save it as CSV",
    ),
    "old-excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an old Office document"),
    "word": (archive("word/document.xml"), "a Word document; save it as plain text in UTF-8"),
    "zip": (archive("reviews.csv"), "a zip archive; unpack it"),
    "npz": (arrays(), "a NumPy archive; let its name end in .npz"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(99), "a PDF; save its content"),
    "gzip": (gzip.compress(CSV), "compressed with gzip; unpack it, or let its name end in .gz"),
    "bzip2": (bz2.compress(CSV), "compressed with bzip2; unpack it"),
    "xz": (lzma.compress(CSV), "compressed with xz; unpack it"),
    "parquet": (b"PAR1\x15\x04\x15" + bytes(99), "a Parquet table; let its name end in .parquet"),
    "image": (b"\x89PNG\r\n\x1a\n\x00\x00", "an image"),
    "binary": (b"plain\x00\x01\x02binary" * 9, "not a text file (byte 5 is zero)"),
    "utf16": ("text,label\n".encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl", "a.dat"])
def test_every_reader_names_a_format_that_is_no_text(kind: str, name: str, tmp_path: Path) -> None:
    content, expected = FILES[kind]
    file = tmp_path / name
    file.write_bytes(content)
    readers = [
        lambda: new_texts(file, None),
        lambda: read_collection(file, "task.data=a", Columns()),
        lambda: read_corpus(file, "task.data=a"),
    ]
    if name != "a.dat":
        readers.append(lambda: read_table(file, "task.data=a"))
        readers.append(lambda: read_series(file, "task.data=a"))
    for read in readers:
        with pytest.raises(DataError) as caught:
            read()
        text = str(caught.value)
        assert expected in text
        assert "WINDOWS-1252" not in text
        assert "\n" not in text


def test_a_table_with_another_ending_gets_the_allowed_ones(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(CSV)
    (tmp_path / "a").write_bytes(CSV)
    with pytest.raises(DataError, match=r"its name ends in '\.dat' \(allowed: \.csv, "):
        new_texts(tmp_path / "a.dat", None)
    (tmp_path / "a.json").write_text('[{"text": "a"}]')
    with pytest.raises(DataError, match=r"allowed.*; save it as JSON Lines: one object per line"):
        new_texts(tmp_path / "a.json", None)
    with pytest.raises(DataError, match=r"its name has no ending \(allowed: \.ts, \.npz, "):
        read_collection(tmp_path / "a", "task.data=a", Columns())


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r", "\ufeffsep=;"])
def test_the_line_of_excel_declares_the_separator(first: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"{first}\ntext;label\na, b, c;1\nd, e, f;0\n", encoding="utf-8")
    found = read_table(file, "a")
    assert found.separator == ";"
    assert found.frame.to_dict("list") == {"text": ["a, b, c", "d, e, f"], "label": ["1", "0"]}
    assert list(found.frame.index) == [3, 4]
    assert new_texts(file, None) == ["a, b, c", "d, e, f"]


def test_a_declared_separator_need_not_be_a_usual_one(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("sep=:\ntext:label\nx,y:1\n")
    assert read_table(file, "a").frame.to_dict("list") == {"text": ["x,y"], "label": ["1"]}


def test_kinds_recognise_a_table_below_the_line_of_excel(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("sep=;\ntext;label\na;1\n")
    assert header_of(file) == ["text", "label"]
    assert recognised_documents(file) == "columns text and label"
    file.write_text("sep=;\nid;time;label;x\n1;0;a;0,5\n1;1;a;0,7\n2;0;b;1\n2;1;b;2\n")
    assert "one row per step" in recognised(file)
    found = read_collection(file, "a", Columns())
    assert [values[:, 0].tolist() for values in found.values] == [[0.5, 0.7], [1.0, 2.0]]
    assert found.labels == ["a", "b"]


def test_a_file_with_nothing_but_the_line_of_excel_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\n")
    with pytest.raises(DataError, match="the file is empty"):
        read_table(tmp_path / "a.csv", "a")

"""Formats of files that are no text, recognised by their first bytes."""

from __future__ import annotations

import shlex
from pathlib import Path

SNIFFED_BYTES = 4096
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
AS_CSV = "save it as CSV"
UNPACK = "unpack it"
ZIP = b"PK\x03\x04"
ZIPPED = {
    b"xl/": f"an Excel workbook; {AS_CSV}",
    b"word/": "a Word document; save it as plain text in UTF-8",
    b"mimetypeapplication/vnd.oasis": f"an OpenDocument file; {AS_CSV} or plain text in UTF-8",
    b".npy": "a NumPy archive; let its name end in .npz",
}
FORMATS = {
    ZIP: f"a zip archive; {UNPACK}",
    b"\xd0\xcf\x11\xe0": f"an old Office document, such as .xls; {AS_CSV} or plain text in UTF-8",
    b"%PDF": "a PDF; save its content as a table or as plain text in UTF-8",
    b"\x1f\x8b": f"compressed with gzip; {UNPACK}, or let its name end in .gz",
    b"BZh": f"compressed with bzip2; {UNPACK}",
    b"\xfd7zXZ": f"compressed with xz; {UNPACK}",
    b"(\xb5/\xfd": f"compressed with zstd; {UNPACK}",
    b"7z\xbc\xaf": f"a 7z archive; {UNPACK}",
    b"PAR1": "a Parquet table; let its name end in .parquet",
    b"SQLite format 3": f"an SQLite database; {AS_CSV}",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"\xff\xfe\0\0": "UTF-32; save it in UTF-8",
}
"""By first bytes: what a file is, and what to do."""


def encoding_of(begin: bytes) -> str:
    """Return the encoding of a text by its first bytes."""
    return "utf-16" if begin[:2] in UTF16_MARKS else "utf-8-sig"


def other_format(begin: bytes, path: Path) -> str:
    """Return what a file is that is no text, and what to do; empty for text.

    Args:
        begin: its first bytes, decompressed if its name ends in `.gz`.
        path: for a command that converts the file.
    """
    found = next((text for magic, text in FORMATS.items() if begin.startswith(magic)), "")
    if begin.startswith(ZIP):
        found = next((text for mark, text in ZIPPED.items() if mark in begin), found)
    begin = begin[:SNIFFED_BYTES]
    if found or b"\0" not in begin or begin[:2] in UTF16_MARKS:
        return found
    return (
        f"not a text file (byte {begin.index(0)} is zero); if it is UTF-16 without a byte-order "
        f"mark, convert it with: iconv -f UTF-16LE -t UTF-8 {shlex.quote(str(path))} > NEW"
    )

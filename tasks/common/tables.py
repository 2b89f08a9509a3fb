"""Tables of users: CSV with any separator, TSV, JSON Lines and Parquet, read as text."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import re
import shlex
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError
from tasks.common.formats import SNIFFED_BYTES, encoding_of, other_format

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
SNIFFED_LINES = 20
JSON_LINES = 'one object per line, like {"text": "…"}'
ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet")


@dataclass
class Table:
    """A table as text.

    Attributes:
        frame: cells as text, None where empty; the index is the number of the line in the file.
        where: beginning of error messages: the setting and the file.
        separator: between the cells of a line; empty for other formats.
        notices: what was repaired.
    """

    frame: pd.DataFrame
    where: str
    separator: str = ""
    notices: tuple[str, ...] = ()

    def column(self, name: str | None, usual: Sequence[str], setting: str) -> str:
        """Return the column of a setting: the given one, else the only one with a usual name.

        Raises:
            DataError: there is no such column, or several have a usual name.
        """
        columns = list(self.frame.columns)
        if name is not None:
            return self.named(name, setting)
        folded = {c: c.strip().lower() for c in columns}
        found = [c for word in usual for c in columns if folded[c] == word]
        if len(found) == 1 or (found and folded[found[0]] != folded[found[1]]):
            return found[0]
        listed = ", ".join(columns)
        if found:
            raise DataError(
                f"{self.where}: the columns {' and '.join(found)} differ only in case; "
                f"choose one with {setting}=NAME"
            )
        raise DataError(
            f"{self.where}: no column is named {', '.join(usual)}; set {setting}=NAME "
            f"(the columns are: {listed})"
        )

    def named(self, name: str, setting: str) -> str:
        """Return the column of a name, in another case if that is unique; else raise DataError."""
        columns = list(self.frame.columns)
        if name in columns:
            return name
        same = [c for c in columns if c.strip().lower() == name.strip().lower()]
        if len(same) == 1:
            return same[0]
        close = difflib.get_close_matches(name, columns, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise DataError(
            f"{setting}={name}: no such column in {self.where} "
            f"(the columns are: {', '.join(columns)}){hint}"
        )


def ending(path: Path | str) -> str:
    """Return the ending of a file name in lower case; that of `reviews.csv.gz` is `.csv`."""
    return Path(str(path).lower().removesuffix(".gz")).suffix


def open_binary(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """Open a file for reading, decompressed if its name ends in `.gz`."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a file for reading as text, in UTF-8 or, by its mark, UTF-16."""
    with open_binary(path) as file:
        encoding = encoding_of(file.read(2))
    return io.TextIOWrapper(open_binary(path), encoding=encoding)


def unreadable(path: Path, where: str, endings: Sequence[str]) -> DataError:
    """Return the error for a file whose name has no known ending: its format, if that is known."""
    try:
        with open_binary(path) as file:
            other = other_format(file.read(SNIFFED_BYTES), path)
    except OSError as error:
        return DataError(f"{where}: cannot be read ({error.strerror or error})")
    named = f"its name ends in '{path.suffix}'" if path.suffix else "its name has no ending"
    text = f"the file is {other}" if other else f"{named} (allowed: {', '.join(endings)})"
    if path.suffix.lower() == ".json":
        text += f"; save it as JSON Lines: {JSON_LINES}"
    return DataError(f"{where}: {text}")


def read_table(path: Path, where: str) -> Table:
    """Read a table by the ending of its file name; `where` begins error messages.

    Raises:
        DataError: the file cannot be read as a table.
    """
    import pandas as pd

    if ending(path) == ".parquet":
        return Table(as_text(read_parquet(path, where)), where)
    text = read_text(path, where)
    if ending(path) in (".jsonl", ".ndjson"):
        return Table(as_text(pd.DataFrame.from_dict(read_json_lines(text, where), "index")), where)
    return read_separated(text, where)


def read_text(path: Path, where: str) -> str:
    """Return a UTF-8 file as text, without byte-order mark, with the line ends of Unix."""
    try:
        with open_binary(path) as file:
            content = file.read()
        if other := other_format(content, path):
            raise DataError(f"{where}: the file is {other}")
        return content.decode(encoding_of(content)).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: not UTF-8 text (byte {error.start} cannot be decoded); if it was written on "
            "Windows, convert it with: iconv -f WINDOWS-1252 -t UTF-8 "
            f"{shlex.quote(str(path))} > NEW"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{where}: cannot be read ({reason})") from error


def read_parquet(path: Path, where: str) -> pd.DataFrame:
    """Read one Parquet file."""
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{where}: cannot be read as parquet ({reason})") from error


def read_json_lines(text: str, where: str) -> dict[int, dict[str, Any]]:
    """Return the objects of JSON Lines by the number of their line."""
    rows = {}
    if text.lstrip().startswith("["):
        raise DataError(f"{where}: a JSON array, not JSON Lines; write {JSON_LINES}")
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(f"{where}: line {number}: not JSON Lines; write {JSON_LINES}")
        rows[number] = {key: valid_text(cell) for key, cell in row.items()}
    if not rows:
        raise DataError(f"{where}: the file is empty")
    return rows


def valid_text(cell: Any) -> Any:
    """Replace halves of characters, which JSON may have but no encoding can write."""
    if not isinstance(cell, str):
        return cell
    return cell.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cells as text; whole numbers without a fraction, and None where empty.

    An index with a name, or of times or text, becomes a column.
    """
    import pandas as pd

    if frame.index.name is not None or not pd.api.types.is_integer_dtype(frame.index):
        frame = frame.reset_index()
    if frame.columns.nlevels > 1:
        frame.columns = [" ".join(str(level) for level in c if level != "") for c in frame.columns]
    cells = {str(name): [cell_text(value) for value in frame[name]] for name in frame}
    return pd.DataFrame(cells, index=frame.index, dtype=object)


def cell_text(value: Any) -> str | None:
    """Return a cell as text; None if it is missing."""
    if isinstance(value, str):
        return value
    if value is None or value != value:  # NaN and NaT
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def read_separated(text: str, where: str) -> Table:
    """Read lines of separated cells; the first line names the columns."""
    lines, separator = table_lines(text)
    return table_of(lines, separator, where)


def table_lines(text: str) -> tuple[list[str], str]:
    """Return the lines of a table, without Excel's line `sep=;`, and the separator."""
    lines = text.split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    declared = declared_separator(lines[first])
    if declared:
        lines[first] = ""  # line numbers remain
    used = [line for line in lines[first:] if line.strip()][:SNIFFED_LINES]
    return lines, declared or separator_of(used)


def declared_separator(line: str) -> str:
    """Return the separator that a line such as `sep=;` declares for Excel; empty without one."""
    found = re.fullmatch(r'"?sep=(.)"?[,;]*', line.strip(" \r\n"), re.IGNORECASE)
    return found[1] if found else ""


def table_of(lines: list[str], separator: str, where: str) -> Table:
    """Return a table of lines; the first that is not blank names the columns."""
    import pandas as pd

    if not any(line.strip() for line in lines):
        raise DataError(f"{where}: the file is empty")
    rows, numbers = cells_of(lines, separator, where)
    header, rows, numbers, notices = without_repetitions(rows, numbers)
    check_header(header, where)
    width = len(header)
    for cells, number in zip(rows, numbers, strict=True):
        while len(cells) > width and not cells[-1].strip():
            cells.pop()  # a separator at the end of the line
        if len(cells) > width:
            raise DataError(
                f"{where}: line {number}: {len(cells)} cells, but the first line names {width} "
                f"columns; put cells that contain '{separator}' into double quotes"
            )
        cells += [""] * (width - len(cells))
    values = [[cell if cell.strip() else None for cell in cells] for cells in rows]
    frame = pd.DataFrame(values, index=numbers, columns=header, dtype=object)
    return Table(frame, where, separator, notices)


def separator_of(lines: Sequence[str]) -> str:
    """Return the separator that splits the first lines into the most columns of one number."""

    def score(separator: str) -> tuple[bool, int]:
        counts = [len(next(csv.reader([line], delimiter=separator))) for line in lines]
        return min(counts) == max(counts) and counts[0] > 1, counts[0]

    return max(SEPARATORS, key=score) if lines else SEPARATORS[0]


def cells_of(lines: list[str], separator: str, where: str) -> tuple[list[list[str]], list[int]]:
    """Return the cells of all lines that are not blank, and the numbers of their first lines."""
    rows, numbers, begin = [], [], 1
    reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(cells)
                numbers.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{where}: line {reader.line_num}: {error}") from error
    open_cell = numbers and numbers[-1] < reader.line_num
    if open_cell and "\n".join(lines[numbers[-1] - 1 :]).count('"') % 2:
        raise DataError(
            f"{where}: line {numbers[-1]}: a cell begins with a double quote that is never closed"
        )
    return rows, numbers


def without_repetitions(
    rows: list[list[str]], numbers: list[int]
) -> tuple[list[str], list[list[str]], list[int], tuple[str, ...]]:
    """Return header, rows, line numbers and notices, without repeated header lines."""
    header = [cell.strip() for cell in rows[0]]
    while header and not header[-1]:
        header.pop()  # a separator at the end of the line
    if header and not header[0] and "index" not in header:
        header[0] = "index"  # as pandas writes it
    names = [cell.strip() for cell in rows[0]]
    kept = [n for n in range(1, len(rows)) if [cell.strip() for cell in rows[n]] != names]
    dropped = len(rows) - 1 - len(kept)
    lines = "line is" if dropped == 1 else "lines are"
    notices = (f"{dropped} repeated header {lines} left out",) if dropped else ()
    return header, [rows[n] for n in kept], [numbers[n] for n in kept], notices


def check_header(header: Iterable[str], where: str) -> None:
    """Raise DataError for names that are missing or equal."""
    seen: set[str] = set()
    for place, name in enumerate(header, 1):
        if not name:
            raise DataError(f"{where}: column {place} has no name in the first line")
        if name in seen:
            raise DataError(f"{where}: two columns are named {name}")
        seen.add(name)

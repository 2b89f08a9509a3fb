"""Files of the UCR and UEA archives (`.ts`): a header of @-lines, then one series per line."""

from __future__ import annotations

from pathlib import Path

from tasks.base import DataError
from tasks.common.tables import read_text
from tasks.series.collection import Collection, parse_numbers, shown

FLAGS = {"true": True, "false": False}


def read_ts(path: Path, where: str, is_labelled: bool = True) -> Collection:
    """Read a `.ts` file: univariate or multivariate, of equal or unequal length.

    Args:
        path: of the file.
        where: beginning of error messages.
        is_labelled: series without labels are refused.

    Raises:
        DataError: the file cannot be used; the message names the line.
    """
    lines = read_text(path, where).split("\n")
    header, start = read_header(lines, where)
    classes = declared_classes(header, where)
    if is_labelled and classes is None:
        raise DataError(f"{where}: the series have no labels (@classLabel is false or missing)")
    collection = Collection([], None if classes is None else [], [], [])
    for number, line in enumerate(lines[start:], start + 1):
        if line.strip() and line.lstrip()[0] not in "#%":
            add_case(collection, line.strip(), classes, f"{where}: line {number}")
    check_dimensions(header, collection, where)
    return collection


def read_header(lines: list[str], where: str) -> tuple[dict[str, str], int]:
    """Return the header by lower-case keys, and the index of the line after @data."""
    header: dict[str, str] = {}
    for place, line in enumerate(lines):
        text = line.strip()
        if not text or text[0] in "#%":
            continue
        if text[0] != "@":
            raise DataError(
                f"{where}: line {place + 1}: {shown(text)} stands before @data; a .ts file begins "
                f"with lines like '@classLabel true a b' and '@data'"
            )
        key, _, value = text[1:].partition(" ")
        if key.lower() == "data":
            check_header(header, where)
            return header, place + 1
        header[key.lower()] = value.strip()
    raise DataError(f"{where}: there is no @data line: not a .ts file of the UCR/UEA format")


def check_header(header: dict[str, str], where: str) -> None:
    """Raise DataError for series with time stamps or with real-valued targets."""
    if FLAGS.get(header.get("timestamps", "false").lower()) is not False:
        raise DataError(
            f"{where}: series with time stamps (@timeStamps true) are not read; save the values "
            f"alone, or a CSV file with the columns id, time, label and one per channel"
        )
    if FLAGS.get(header.get("targetlabel", "false").lower()):
        raise DataError(
            f"{where}: the targets are numbers (@targetLabel true), and task=series predicts "
            f"classes (@classLabel)"
        )


def declared_classes(header: dict[str, str], where: str) -> set[str] | None:
    """Return the names that @classLabel lists, maybe none; None without labels."""
    flag, *names = header.get("classlabel", "false").split() or ["false"]
    if flag.lower() not in FLAGS:
        raise DataError(f"{where}: @classLabel {shown(flag)}: must be true or false")
    return set(names) if FLAGS[flag.lower()] else None


def add_case(collection: Collection, line: str, classes: set[str] | None, where: str) -> None:
    """Add the series of a line `channel:channel:label`; channels are separated by commas."""
    import numpy as np

    if line.startswith("("):
        raise DataError(f"{where}: the values have time stamps; save the values alone")
    parts = line.split(":")
    if collection.labels is not None and classes is not None:
        label = parts.pop().strip()
        if not label or not parts:
            raise DataError(f"{where}: there is no label; it stands after the last ':'")
        if classes and label not in classes:
            known = ", ".join(sorted(classes))
            raise DataError(f"{where}: label {shown(label)} is not in @classLabel ({known})")
        collection.labels.append(label)
    rows = []
    for place, part in enumerate(parts, 1):
        cells = part.split(",")
        values, wrong = parse_numbers(cells)
        if wrong is not None:
            raise DataError(
                f"{where}: channel {place}, step {wrong + 1}: {shown(cells[wrong])} is not a "
                f"finite number (missing values are written ?)"
            )
        rows.append(values)
        if len(values) != len(rows[0]):
            raise DataError(
                f"{where}: channel {place} has {len(values)} steps, channel 1 has {len(rows[0])}"
            )
    collection.channels = collection.channels or [f"channel {i + 1}" for i in range(len(rows))]
    if len(rows) != len(collection.channels):
        raise DataError(
            f"{where}: {len(rows)} channels, the series before have {len(collection.channels)}"
        )
    collection.values.append(np.stack(rows, axis=1))
    collection.names.append(str(len(collection.values)))


def check_dimensions(header: dict[str, str], collection: Collection, where: str) -> None:
    """Raise DataError if the header states another number of channels than the series have."""
    stated = header.get("dimensions", header.get("dimension", ""))
    if FLAGS.get(header.get("univariate", "").lower()):
        stated = "1"
    if collection.values and stated.isdigit() and int(stated) != len(collection.channels):
        raise DataError(
            f"{where}: the series have {len(collection.channels)} channels, the header states "
            f"{stated}"
        )

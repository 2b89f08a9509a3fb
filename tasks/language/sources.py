"""Texts of users: one file, or the text files of a folder; their split and repeated lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError, Split
from tasks.common.formats import SNIFFED_BYTES, encoding_of
from tasks.common.tables import SEPARATORS, ending, open_binary, read_text
from tasks.language.settings import BOUNDARIES

if TYPE_CHECKING:
    import numpy as np

    Mask = np.ndarray[Any, np.dtype[np.bool_]]

SHORTEST_TEXT = 60  # characters: two of each split
LONG_LINE = 40  # characters from which an equal line is a copy rather than chance


@dataclass(frozen=True)
class Corpus:
    """A text.

    Attributes:
        title: of the text in results.
        where: beginning of error messages: the setting and the path.
        notices: how the text was put together.
    """

    text: str
    title: str
    where: str
    notices: tuple[str, ...] = ()

    def parts(self, split: str) -> dict[Split, str]:
        """Cut the text at characters, so that all levels have the same test text."""
        text = self.text
        train_end, test_start = (int(end * len(text)) for end in BOUNDARIES[split])
        parts: dict[Split, str] = {
            "train": text[:train_end],
            "validation": text[train_end:] if split == "nanogpt" else text[train_end:test_start],
            "test": text[test_start:],
        }
        for name, part in parts.items():
            if len(part) < 2:
                raise DataError(
                    f"{self.where}: the text has {len(text)} characters, {len(part)} of them for "
                    f"{name}; give one of {SHORTEST_TEXT} characters or more"
                )
        return parts


def read_corpus(path: Path, where: str) -> Corpus:
    """Read a UTF-8 text file, or the files *.txt of a folder in the order of their names.

    Raises:
        DataError: a file cannot be read, is no text, or there is nothing to learn from.
    """
    if path.is_dir():
        corpus = read_folder(path, where)
    else:
        corpus = Corpus(read_text(path, where), f"text {path.name}", where)
    text = corpus.text
    if not text.strip():
        raise DataError(f"{where}: the text is empty")
    if len(set(text)) == 1:
        raise DataError(
            f"{where}: the text consists of one character, {text[0]!r}, {len(text):,} times: "
            f"there is nothing to predict"
        )
    return corpus


def read_folder(path: Path, where: str) -> Corpus:
    """Join the files *.txt of a folder."""
    files = sorted(text_files(path), key=natural_order)
    if not files:
        deeper = any(path.glob("*/*.txt"))
        hint = "; its subfolders have some: give one of them" if deeper else ""
        raise DataError(f"{where}: the folder contains no .txt file{hint}")
    texts = [read_text(file, f"{where}: {file.name}") for file in files]
    joined = "".join(text if text.endswith("\n") else text + "\n" for text in texts if text.strip())
    if len(files) == 1:
        return Corpus(joined, f"{files[0].name} of {path.resolve().name}", where)
    notice = (
        f"one text of {len(files):,} files in the order of their names, from {files[0].name!r} to "
        f"{files[-1].name!r}"
    )
    title = f"texts of {path.resolve().name} ({len(files):,} files)"
    return Corpus(joined, title, where, (notice,))


def text_files(folder: Path) -> list[Path]:
    """Return the files *.txt directly in a folder."""
    return [
        file
        for file in folder.iterdir()
        if file.suffix.lower() == ".txt" and not file.name.startswith(".") and file.is_file()
    ]


def natural_order(file: Path) -> list[tuple[int, str]]:
    """Return a sort key by which chapter2 precedes chapter10."""
    parts = re.split(r"(\d+)", file.name)
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def lines_of(text: str) -> Iterator[str]:
    """Iterate over the lines of a text, with their line ends."""
    return (found.group() for found in re.finditer(r"[^\n]*\n|[^\n]+", text))


def repeated(text: str, others: Iterable[str]) -> Mask:
    """Select the characters (characters,) of the long lines of a text that are in others too.

    A line is long from `LONG_LINE` characters, without white space at its ends.
    """
    import numpy as np

    known = {line.strip() for other in others for line in lines_of(other)}
    lines = list(lines_of(text))
    is_known = [len(line.strip()) >= LONG_LINE and line.strip() in known for line in lines]
    mask: Mask = np.repeat(np.array(is_known), [len(line) for line in lines])
    return mask


def recognise(path: Path) -> str:
    """Return why a path is probably a text for language modelling; empty if it is not."""
    try:
        if path.is_dir():
            count = len(text_files(path))
            return f"a folder of {count:,} text files" if count and not has_classes(path) else ""
        if ending(path) not in (".txt", ".text", ".md"):
            return ""
        with open_binary(path) as file:
            begin = file.read(SNIFFED_BYTES)
        # The last character may be cut.
        text = begin.decode(encoding_of(begin), "replace")
    except (OSError, ValueError):
        return ""
    is_text = text.strip() and "\0" not in text and "\ufffd" not in text[:-4]
    return "a text file" if is_text and not is_table(text) else ""


def has_classes(folder: Path) -> bool:
    """Check for subfolders with text files, as a folder per class has them."""
    return any(True for _ in folder.glob("*/*.txt"))


def is_table(text: str) -> bool:
    """Check if all complete lines of a text's beginning have equally many separators."""
    *whole, last = text.split("\n")
    lines = [line for line in whole if line.strip()]
    counts = {each: {line.count(each) for line in lines} for each in SEPARATORS}
    equal = {each: found.pop() for each, found in counts.items() if len(found) == 1}
    return len(lines) > 2 and any(n and last.count(each) <= n for each, n in equal.items())

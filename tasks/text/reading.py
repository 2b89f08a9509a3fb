"""Labelled documents as people have them: tables, folders, and data sets of the hub."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import SPLITS, DataError, Split
from tasks.common.tables import ENDINGS, Table, as_text, ending, read_table, read_text, unreadable
from tasks.text.paths import ClassFolders, Parts, split_of

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("text", "review", "content", "sentence", "document")
LABELS = ("label", "sentiment", "class", "category", "target", "stars")
POINTER = b"version https://git-lfs"

FEWEST_WORDS = 3  # the median of a column that is probably the text
LARGEST_SHARE = 0.2  # of distinct values in a column that is probably the label


@dataclass(frozen=True)
class Columns:
    """The columns that were given; None for those that usual names find."""

    text: str | None = None
    label: str | None = None
    group: str | None = None


@dataclass
class Frames:
    """Documents: frames of text, label (a name) and group, by split.

    Attributes:
        columns: what was read as text, label and group.
        notices: what was chosen or left out.
    """

    splits: dict[Split, pd.DataFrame] = field(default_factory=dict)
    columns: str = ""
    notices: list[str] = field(default_factory=list)

    def notice(self, text: str) -> None:
        """Add a notice, once."""
        if text not in self.notices:
            self.notices.append(text)


def read_parts(parts: Parts, columns: Columns, where: str) -> Frames:
    """Read all splits.

    Raises:
        DataError: a file cannot be read, a column is missing, or a text or label is.
    """
    import pandas as pd

    frames = Frames()
    for split, part in parts.items():
        if isinstance(part, ClassFolders):
            frames.splits[split] = read_class_folders(part, columns, frames, where)
            continue
        tables = [read_documents(file, columns, frames) for file in part.files]
        frames.splits[split] = pd.concat(tables, ignore_index=True)
    if [*frames.splits] == ["train"]:
        frames.splits = by_split_column(frames.splits["train"], frames)
    return without_unlabelled(frames, where)


def by_split_column(rows: pd.DataFrame, frames: Frames) -> dict[Split, pd.DataFrame]:
    """Return the splits that a column `split` of a table gives; else all rows as `train`."""
    if "split" not in rows or rows["split"].isna().all():
        return {"train": rows}
    found = rows["split"].map(lambda cell: split_of(cell) if cell else None)
    unknown = rows["split"][found.isna()]
    if len(unknown) or "train" not in set(found):
        others = sorted({repr(cell) if cell else "an empty cell" for cell in unknown})
        problem = f"contains {others[0]}" if others else "has no train"
        frames.notice(f"the column split {problem}, and is not used as the split")
        return {"train": rows}
    frames.notice("the splits are those of the column split")
    return {split: rows[found == split] for split in SPLITS if (found == split).any()}


def read_documents(file: Path, columns: Columns, frames: Frames) -> pd.DataFrame:
    """Read the documents of one table."""
    table = read_data_table(file)
    for notice in table.notices:
        frames.notice(f"{file.name}: {notice}")
    names = class_names(file) if ending(file) == ".parquet" else {}
    return chosen_columns(table, columns, names, frames)


def read_data_table(file: Path) -> Table:
    """Read a table; a pointer of Git LFS in its place is named as that."""
    if is_pointer(file):
        raise DataError(f"{file}: a pointer of Git LFS, not the data; run: git lfs pull")
    return read_table(file, str(file))


def is_pointer(file: Path) -> bool:
    """Return True if a file is a pointer of Git LFS instead of the data."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(POINTER)) == POINTER
    except OSError:  # the reader of the data gives the reason
        return False


def chosen_columns(
    table: Table, columns: Columns, names: dict[str, list[str]], frames: Frames
) -> pd.DataFrame:
    """Return text, label and group of a table; labels are all None or all present.

    Args:
        table: the table.
        columns: as given.
        names: of the labels 0, 1, … by column.
        frames: receives what was chosen.
    """
    import pandas as pd

    text = table.column(columns.text, TEXTS, "task.text")
    label = table.column(columns.label, LABELS, "task.label")
    group = None if columns.group is None else table.named(columns.group, "task.group")
    chosen = {"text": text, "label": label, "group": group}
    for name in chosen.values():
        roles = [role for role, each in chosen.items() if each == name]
        if len(roles) > 1:
            raise DataError(f"{table.where}: column {name} cannot be {' and '.join(roles)} at once")
    frames.columns = f"text = {text}, label = {label}" + (f", group = {group}" if group else "")
    for setting, taken, usual in (("text", text, TEXTS), ("label", label, LABELS)):
        others = [c for c in map(str, table.frame) if c != taken and c.strip().lower() in usual]
        if getattr(columns, setting) is None and others:
            frames.notice(
                f"column {taken} is the {setting}; task.{setting}=NAME chooses another one "
                f"({', '.join(others)})"
            )
    cells = table.frame
    labels = cells[label].map(label_text)
    if label in names:
        labels = labels.map(
            dict(zip(map(str, range(len(names[label]))), names[label], strict=True))
        )
    found = pd.DataFrame({"text": cells[text], "label": labels.astype(object)})
    found["group"] = None if group is None else cells[group]
    if "split" in cells and "split" not in chosen.values():
        found["split"] = cells["split"]
    no_text, no_label = is_missing(found["text"]), is_missing(found["label"])
    for column, missing in ((text, no_text), (label, no_label)):
        if column == text or not missing.all():  # without any label, see `without_unlabelled`
            found = without_rows(found, missing, f"an empty {column}", table, frames)
    return found


def is_missing(cells: pd.Series[Any]) -> pd.Series[bool]:
    """Return which cells are empty."""
    return cells.map(lambda cell: cell is None or cell != cell or not cell.strip()).astype(bool)


def without_rows(
    found: pd.DataFrame, missing: pd.Series[bool], what: str, table: Table, frames: Frames
) -> pd.DataFrame:
    """Leave out rows, with a notice that counts them and names the first.

    Raises:
        DataError: a class, or everything, would be left out.
    """
    missing = missing.reindex(found.index)
    if not missing.any():
        return found
    first, kept = place_of(table, missing), found[~missing]
    if kept.empty:
        raise DataError(f"{table.where}: every row has {what}")
    lost = sorted({*found["label"].dropna()} - {*kept["label"].dropna(), ""})
    if lost:
        raise DataError(
            f"{table.where}: every row of class {lost[0]} has {what} (the first: {first}); fill or "
            f"remove these rows"
        )
    frames.notice(
        f"{Path(table.where).name}: {counted_rows(missing)} with {what} left out "
        f"(the first: {first})"
    )
    return kept


def counted_rows(mask: pd.Series[bool]) -> str:
    """Return the number of selected rows as text."""
    count = int(mask.sum())
    return "1 row" if count == 1 else f"{count:,} rows"


def place_of(table: Table, mask: pd.Series[bool]) -> str:
    """Return the line, or in a file without lines the row from 1, of the first selected row."""
    first = mask.index[int(mask.to_numpy().argmax())]
    is_text = ending(table.where) in ENDINGS and ending(table.where) != ".parquet"
    return f"line {first}" if is_text else f"row {first + 1}"


def refuse_missing(table: Table, cells: pd.Series[Any], what: str) -> None:
    """Raise DataError for the first cell that is empty."""
    missing = is_missing(cells)
    if missing.any():
        rest = f" ({counted_rows(missing)} in all)" if missing.sum() > 1 else ""
        raise DataError(
            f"{table.where}: {place_of(table, missing)}: {what} is empty{rest}; fill it, or remove "
            f"the row"
        )


def label_text(cell: str | None) -> str | None:
    """Return a label without surrounding spaces; 1.0 is 1."""
    return None if cell is None or cell != cell else re.sub(r"^(-?\d+)\.0+$", r"\1", cell.strip())


def class_names(file: Path) -> dict[str, list[str]]:
    """Return the names of labels by column that `datasets` stores in a Parquet file."""
    import pyarrow.parquet

    metadata = pyarrow.parquet.read_schema(file).metadata or {}
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {name: each["names"] for name, each in features.items() if "names" in each}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


def read_class_folders(
    part: ClassFolders, columns: Columns, frames: Frames, where: str
) -> pd.DataFrame:
    """Read the .txt files of all folders of a folder."""
    import pandas as pd

    given = [name for name in ("text", "label", "group") if getattr(columns, name) is not None]
    if given:
        raise DataError(f"task.{given[0]}: {where} has no columns, but a folder per class")
    rows = [(read_text(file, str(file)), file.parent.name) for file in part.files]
    empty = [str(f) for (text, _), f in zip(rows, part.files, strict=True) if not text.strip()]
    rows = [row for row in rows if row[0].strip()]
    lost = {file.parent.name for file in part.files} - {label for _, label in rows}
    if lost:
        raise DataError(f"{where}: every text of class {min(lost)} is empty; remove the folder")
    if empty:
        files = "file" if len(empty) == 1 else "files"
        frames.notice(f"{len(empty):,} empty {files} left out (the first: {empty[0]})")
    frames.columns = "text = .txt files, label = their folder"
    return pd.DataFrame(rows, columns=["text", "label"], dtype=object).assign(group=None)


def read_dataset(loaded: Any, columns: Columns, where: str) -> Frames:
    """Read a `Dataset` or `DatasetDict` of the library `datasets`."""
    frames = Frames()
    parts = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    for name, dataset in parts.items():
        split = split_of(name)
        if split is None or split in frames.splits:
            frames.notice(f"split {name} is left out")
            continue
        names = {c: f.names for c, f in dataset.features.items() if hasattr(f, "names")}
        table = Table(as_text(dataset.to_pandas()), f"{where} ({name})")
        frames.splits[split] = chosen_columns(table, columns, names, frames)
    return without_unlabelled(frames, where)


def without_unlabelled(frames: Frames, where: str) -> Frames:
    """Leave out splits without any label, as the test splits of competitions are."""
    for split in SPLITS:
        if split in frames.splits and frames.splits[split].empty:
            raise DataError(f"{where}: the {split} split has no rows")
        if split in frames.splits and frames.splits[split]["label"].isna().all():
            del frames.splits[split]
            frames.notice(f"the {split} split has no labels and is left out")
    if "train" not in frames.splits:
        raise DataError(f"{where}: there is no training split with labels")
    return frames


def joined(frames: Frames, test: Frames) -> Frames:
    """Return frames with another test split, which must be the only split of its source."""
    if len(test.splits) > 1:
        names = ", ".join(sorted(test.splits))
        raise DataError(f"task.test: has splits of its own ({names}); give the file of one of them")
    notices = [*frames.notices, *(each for each in test.notices if each not in frames.notices)]
    splits = {split: each for split, each in frames.splits.items() if split != "test"}
    (split,) = test.splits.values()
    return Frames(splits | {"test": split}, frames.columns, notices)


def new_texts(file: Path, column: str | None) -> list[str]:
    """Return the texts of a table, or the lines of a .txt file.

    Raises:
        DataError: the file cannot be read, has no column of texts, or a text is empty.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    if ending(file) == ".txt":
        lines = read_text(file, str(file)).rstrip("\n").split("\n")
        empty = next((n for n, line in enumerate(lines, 1) if not line.strip()), None)
        if empty is not None:
            raise DataError(f"{file}: line {empty}: the text is empty; remove the line")
        return lines
    if ending(file) not in ENDINGS:
        raise unreadable(file, str(file), ENDINGS)
    table = read_data_table(file)
    only = str(table.frame.columns[0]) if len(table.frame.columns) == 1 else None
    name = only or table.column(column, TEXTS, "task.text")
    refuse_missing(table, table.frame[name], f"the text (column {name})")
    return list(table.frame[name])


def likely_columns(path: Path) -> dict[str, str]:
    """Return the columns `text` and `label` of a table, if one column alone looks like each."""
    try:
        frame = read_data_table(path).frame.dropna(how="all")
    except (DataError, OSError):
        return {}
    counts = {str(name): frame[name].nunique() for name in frame}
    words = {name: frame[name].astype("str").str.count(r"\S+").median() for name in counts}
    texts = [name for name in counts if words[name] >= FEWEST_WORDS]
    labels = [
        name
        for name, count in counts.items()
        if name not in texts and 2 <= count <= LARGEST_SHARE * len(frame)
    ]
    found = len(texts) == len(labels) == 1
    return {"text": texts[0], "label": labels[0]} if found else {}

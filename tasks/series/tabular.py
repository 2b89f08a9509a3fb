"""Series in tables: one row per step (long), or one row per series (wide)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError
from tasks.common.tables import Table, ending, read_table, read_text
from tasks.series.collection import Collection, Columns, parse_number, parse_numbers, shown

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Numbers = np.ndarray[Any, Any]

IDS = (
    *("id", "series_id", "sequence_id", "sample_id", "case_id", "unique_id", "series"),
    *("window_id", "segment_id", "trial_id", "recording_id", "episode_id", "sequence", "sample"),
    *("case", "item", "window", "segment", "trial", "recording", "episode"),
)
TIMES = ("time", "timestamp", "time_step", "timestep", "step", "t", "datetime", "date", "ds")
LABELS = ("label", "class", "class_label", "target", "category", "activity", "y")
GROUPS = (
    *("group", "subject", "subject_id", "person", "person_id", "participant", "participant_id"),
    *("patient", "patient_id", "user", "user_id", "speaker", "speaker_id"),
)
ROW_NUMBERS = ("index", "unnamed: 0")  # as pandas writes them
DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*")
STEP = re.compile(r"[a-z]*[ _.-]?(\d+)", re.IGNORECASE)


def read_series_table(
    path: Path, where: str, columns: Columns, is_labelled: bool = True
) -> Collection:
    """Read a table; it is long if a column of ids contains an id twice, else wide.

    Raises:
        DataError: the table cannot be used; the message names column and line.
    """
    table = headless(path, where) or read_table(path, where)
    table.frame = table.frame[~table.frame.isna().all(axis=1)]
    if table.frame.empty:
        raise DataError(f"{where}: there are no rows below the names of the columns")
    ids = find(table, columns.id, IDS, "task.id")
    if ids is None:
        return read_wide(table, columns, ids, is_labelled)
    if columns.time is not None or table.frame[ids].duplicated().any():
        return read_long(table, columns, ids, is_labelled)
    time = find(table, columns.time, TIMES, "task.time")
    if time is not None and columns.features is None:
        raise DataError(
            f"{where}: every {ids} has one row, although there is a column {time}; set "
            f"task.features=[NAME,NAME] to the columns of the steps, or task.id=NAME"
        )
    return read_wide(table, columns, ids, is_labelled)


def headless(path: Path, where: str) -> Table | None:
    """Return a table whose first line has numbers alone, as in the UCR archive; else None.

    Its first column is the label.
    """
    import pandas as pd

    if ending(path) not in (".csv", ".tsv", ".txt"):
        return None
    lines = read_text(path, where).split("\n")
    first = split_cells(next((line for line in lines if line.strip()), ""))
    if len(first) < 3 or any(math.isinf(parse_number(cell)) for cell in first):
        return None
    rows = {number: split_cells(line) for number, line in enumerate(lines, 1) if line.strip()}
    for number, cells in rows.items():
        if len(cells) != len(first):
            raise DataError(
                f"{where}: line {number}: {len(cells)} cells, the first line has {len(first)}"
            )
    names = ["label", *(str(step) for step in range(1, len(first)))]
    frame = pd.DataFrame([*rows.values()], index=[*rows], columns=names, dtype=object)
    frame = frame.map(lambda cell: cell.strip() or None)
    notice = "no line names the columns: the first column is the label, as in the UCR archive"
    return Table(frame, where, notices=(notice,))


def split_cells(line: str) -> list[str]:
    """Split a line of numbers at tabs, else at semicolons, commas or spaces."""
    separator = next((each for each in "\t;," if each in line), None)
    return line.strip("\n ").split(separator)


def find(table: Table, name: str | None, usual: Sequence[str], setting: str) -> str | None:
    """Return the column of a setting; None if none is given or has a usual name."""
    if name is None and not any(c.strip().lower() in usual for c in table.frame.columns):
        return None
    return table.column(name, usual, setting)


def find_label(table: Table, columns: Columns, is_labelled: bool) -> str | None:
    """Return the column of labels; new data may have none, and channels with a usual name."""
    if is_labelled:
        return table.column(columns.label, LABELS, "task.label")
    if columns.label is not None and columns.label not in table.frame.columns:
        return None
    found = find(table, columns.label, LABELS, "task.label")
    return None if found in (columns.features or ()) else found


def find_group(table: Table, columns: Columns, is_labelled: bool) -> str | None:
    """Return the column of groups; new data may have none."""
    if columns.group is None or (not is_labelled and columns.group not in table.frame.columns):
        return None
    return table.named(columns.group, "task.group")


def read_long(table: Table, columns: Columns, ids: str, is_labelled: bool) -> Collection:
    """Read one row per step; the rows of an id are in the order of their times."""
    import numpy as np
    import pandas as pd

    frame = table.frame
    refuse_empty(table, ids)
    codes, names = pd.factorize(frame[ids])
    time = find(table, columns.time, TIMES, "task.time")
    label = find_label(table, columns, is_labelled)
    group = find_group(table, columns, is_labelled)
    others = {ids, time, label, group}
    channels, notices = chosen_features(table, columns, others)
    order = np.argsort(codes, kind="stable")
    if time is not None:
        notices += check_times(table, time, ids, codes)
    values, more = numeric(table, channels)
    if time is None:
        notices += notices_without_times(channels, values[order], codes[order])
    ends = np.cumsum(np.bincount(codes))[:-1]
    said = f"one row per step: id {ids}, time {time or 'none'}, label {label or 'none'}"
    return Collection(
        np.split(values[order], ends),
        None if label is None or not is_labelled else constant_in(table, label, ids, codes),
        [str(name) for name in names],
        channels,
        None if group is None else constant_in(table, group, ids, codes),
        (*table.notices, f"{said}, channels {listed(channels)}", *notices, *more),
        has_named_channels=True,
    )


def notices_without_times(
    channels: Sequence[str], values: Numbers, codes: Numbers
) -> tuple[str, ...]:
    """Return notices on the order of steps, and on channels that count them in every id."""
    import numpy as np

    changes = np.diff(values, axis=0)[np.diff(codes) == 0]
    counts_steps = (changes == 1).all(axis=0) & (len(changes) > 0)
    return (
        "no column of times: the steps of an id are in the order of its rows",
        *(
            f"{name} counts the steps of every id; add task.time={name} unless it is measured"
            for name, is_counter in zip(channels, counts_steps, strict=True)
            if is_counter
        ),
    )


def read_wide(table: Table, columns: Columns, ids: str | None, is_labelled: bool) -> Collection:
    """Read one row per series; empty cells at the end of a row are no steps."""
    import numpy as np

    frame = table.frame
    label = find_label(table, columns, is_labelled)
    group = find_group(table, columns, is_labelled)
    steps, notices = chosen_features(table, columns, {ids, label, group})
    try:
        values, more = numeric(table, steps)
    except DataError as error:
        raise DataError(
            f"{error}. Every row is read as one series; for one row per step set task.id=NAME"
        ) from error
    known = ~np.isnan(values)
    lengths = np.where(known.any(1), values.shape[1] - known[:, ::-1].argmax(1), 1)
    shorter = int((lengths < len(steps)).sum())
    if shorter:
        more += (f"{shorter:,} series end before the last column: trailing empty cells",)
    for column in (label, group, ids):
        if column is not None:
            refuse_empty(table, column)
    said = f"one row per series: label {label or 'none'}, {len(steps)} steps {listed(steps)}"
    return Collection(
        [row[:length, None] for row, length in zip(values, lengths, strict=True)],
        None if label is None or not is_labelled else texts(frame[label]),
        [str(i + 1) for i in range(len(frame))] if ids is None else texts(frame[ids]),
        ["value"],
        None if group is None else texts(frame[group]),
        (*table.notices, said, *notices, *more),
    )


def texts(cells: pd.Series[Any]) -> list[str]:
    """Return cells as text without spaces around it."""
    return [str(cell).strip() for cell in cells]


def listed(names: Sequence[str]) -> str:
    """Return names in a line, shortened if there are many."""
    return ", ".join(names) if len(names) <= 8 else f"{names[0]}, {names[1]}, …, {names[-1]}"


def chosen_features(
    table: Table, columns: Columns, others: set[str | None]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the given columns of values, else all that have no other meaning; and notices."""
    if columns.features is not None:
        names = [table.named(name, "task.features") for name in columns.features]
        for name in names:
            if name in others or names.count(name) > 1:
                raise DataError(
                    f"task.features: {name} is given twice, or is id, time, label or group too"
                )
    else:
        names = [str(name) for name in table.frame.columns if name not in others]
        refuse_groups(table, names)
    numbers = [name for name in names if name.strip().lower() in ROW_NUMBERS]
    notices: tuple[str, ...] = ()
    if numbers and columns.features is None:
        names = [name for name in names if name not in numbers]
        notices = (f"column {numbers[0]} is left out as a row number",)
    if not names:
        known = listed(sorted(filter(None, others)))
        raise DataError(f"{table.where}: no column of values is left beside {known}")
    return names, notices


def refuse_groups(table: Table, names: Sequence[str]) -> None:
    """Raise DataError if a column of values has the name of a group, such as persons."""
    group = next((name for name in names if name.strip().lower() in GROUPS), None)
    if group is not None:
        raise DataError(
            f"{table.where}: {group} is the name of a group: set task.group={group} to keep each "
            f"in one split, or list the columns of values with task.features=[NAME,NAME]"
        )


def numeric(table: Table, names: Sequence[str]) -> tuple[Numbers, tuple[str, ...]]:
    """Return columns as numbers (rows, columns), NaN where missing; and notices.

    Raises:
        DataError: a cell is not a finite number.
    """
    import numpy as np

    cells = table.frame[list(names)]
    notices: tuple[str, ...] = ()
    if table.separator not in ("", ",") and any(
        cell and DECIMAL_COMMA.fullmatch(cell) for name in names for cell in cells[name]
    ):
        cells = cells.map(lambda cell: cell.replace(",", ".") if cell else cell)
        notices = ("decimal commas are read as points",)
    columns = []
    for name in names:
        values, wrong = parse_numbers(cells[name].tolist())
        if wrong is not None:
            line, cell = cells.index[wrong], table.frame[name].iloc[wrong]
            raise DataError(
                f"{table.where}: line {line}: {name} is {shown(cell)}, not a finite number; the "
                f"columns of values can be chosen with task.features=[NAME,NAME]"
            )
        columns.append(values)
    return np.stack(columns, axis=1), notices


def refuse_empty(table: Table, column: str) -> None:
    """Raise DataError for an empty cell."""
    empty = table.frame[column].isna()
    if empty.any():
        count = int(empty.sum())
        rest = f" ({count:,} such rows)" if count > 1 else ""
        raise DataError(
            f"{table.where}: line {table.frame.index[empty][0]}: {column} is empty{rest}; fill it, "
            f"or remove the rows of this series"
        )


def constant_in(table: Table, column: str, ids: str, codes: Numbers) -> list[str]:
    """Return the text of a column of each id; raise DataError if it varies within one."""
    import numpy as np

    refuse_empty(table, column)
    cells = np.array(texts(table.frame[column]), dtype=object)
    first = np.unique(codes, return_index=True)[1]
    varies = np.flatnonzero(cells != cells[first][codes])
    if len(varies):
        row = int(varies[0])
        raise DataError(
            f"{table.where}: line {table.frame.index[row]}: {column} is {shown(cells[row])}, but "
            f"{shown(cells[first][codes[row]])} in the first row of {ids} "
            f"{shown(table.frame[ids].iloc[row])}; it must be constant within an id"
        )
    return [str(cell) for cell in cells[first]]


def check_times(table: Table, time: str, ids: str, codes: Numbers) -> tuple[str, ...]:
    """Raise DataError unless times ascend within every id; return a notice on their intervals."""
    import numpy as np

    refuse_empty(table, time)
    times = parse_times(table, time)
    refuse_repeated(table, time, ids, times, codes)
    order = np.argsort(codes, kind="stable")
    steps, same = np.diff(times[order]), np.diff(codes[order]) == 0
    wrong = np.flatnonzero(same & ~(steps > 0))
    if len(wrong):
        row, before = (int(order[wrong[0] + offset]) for offset in (1, 0))
        cell, earlier = (table.frame[time].iloc[each] for each in (row, before))
        raise DataError(
            f"{table.where}: line {table.frame.index[row]}: {ids} "
            f"{shown(table.frame[ids].iloc[row])}: {time} {shown(cell)} is not after "
            f"{shown(earlier)}; sort the rows by id and time"
        )
    inside = steps[same]
    if len(inside) and not np.allclose(inside, inside[0], rtol=1e-3):
        return ("the intervals between times vary; times set the order of the steps only",)
    return ()


def refuse_repeated(table: Table, time: str, ids: str, times: Numbers, codes: Numbers) -> None:
    """Raise DataError if a pair of id and time occurs twice, with both lines."""
    import pandas as pd

    pairs = pd.DataFrame({"id": codes, "time": times})
    again = pairs.duplicated().to_numpy()
    if not again.any():
        return
    second = int(again.argmax())
    first = int((pairs == pairs.iloc[second]).all(axis=1).to_numpy().argmax())
    lines, count = table.frame.index, int(again.sum())
    raise DataError(
        f"{table.where}: the row of {ids} {shown(table.frame[ids].iloc[second])} and {time} "
        f"{shown(table.frame[time].iloc[second])} occurs twice, in lines {lines[first]} and "
        f"{lines[second]}{f' ({count:,} such rows)' if count > 1 else ''}; keep one of them"
    )


def parse_times(table: Table, time: str) -> Numbers:
    """Return times as numbers: in seconds if the first is a date."""
    import numpy as np
    import pandas as pd

    cells = table.frame[time]
    if math.isfinite(parse_number(cells.iloc[0])):
        times = np.array([parse_number(cell) for cell in cells])
    else:
        dates = pd.to_datetime(cells, errors="coerce", format="ISO8601", utc=True)
        times = (dates - dates.min()).dt.total_seconds().to_numpy(float)
    wrong = np.flatnonzero(~np.isfinite(times))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{table.where}: line {table.frame.index[row]}: {time} is {shown(cells.iloc[row])}, "
            f"not a number or a date like 2015-12-31 09:30, the same kind in all rows"
        )
    return times


def recognised_table(names: Sequence[str]) -> str:
    """Return why column names belong to a table of series; empty if they do not."""
    folded = [name.strip().lower() for name in names]
    has = {
        title: next((name for name in usual if name in folded), None)
        for title, usual in (("id", IDS), ("time", TIMES), ("label", LABELS[:-1]))
    }
    if all(has.values()):
        return f"the columns {', '.join(map(str, has.values()))}: one row per step of a series"
    steps = [int(match[1]) for name in folded if (match := STEP.fullmatch(name))]
    is_counted = len(steps) >= 5 and steps == list(range(steps[0], steps[0] + len(steps)))
    if has["label"] and is_counted:
        return f"a column {has['label']} and {len(steps)} numbered columns: one row per series"
    return ""

"""Tables from what runs have left: one folder's table rebuilt, or several folders' in one.

The rows in the run folders are the truth. They are read one by one, never all at once.
"""

from __future__ import annotations

import csv
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.results.csv_table import TableView, as_text, cells_of, opened, text_of
from benchmarks.results.row import COLUMNS, FACTS, columns_where
from benchmarks.results.source import Cells, Source, named
from benchmarks.system.atomic_files import remove_drafts, replacing

NOT_COMPARABLE = {
    name: "" if FACTS[name].comparable == "table" else str(FACTS[name].comparable)
    for name in columns_where(comparable=("table", "task", "model"))
}
"""Columns that must be equal in all rows of a merged table, or in those of one task or model."""

NOTED = columns_where(comparable="noted")
"""Columns whose differences are reported: times and the last digits of scores may differ too."""


@dataclass(frozen=True, slots=True)
class Found:
    """A row, by where it is.

    Attributes:
        folder: number of the results folder.
        has_folder: it is in a run folder, not in the table alone.
        facts: its cells in the columns that are compared, shared with rows like it.
    """

    run_id: str
    fingerprint: str
    folder: int
    has_folder: bool
    facts: tuple[str, ...]


COMPARED = (*NOT_COMPARABLE, *NOTED, "task", "model")


def survey(sources: list[Source]) -> list[Found]:
    """Read every row once, and remember where it is.

    Raises:
        UserError: a run is in two folders with different rows.
    """
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    found: dict[str, Found] = {}
    nameless: list[Found] = []
    twice = 0
    for number, source in enumerate(sources):
        in_folders = ({name: as_text(v) for name, v in row.items()} for row in source.rows())
        for has_folder, all_cells in ((True, in_folders), (False, source.without_folder())):
            for cells in all_cells:
                facts = tuple(cells.get(name, "") for name in COMPARED)
                facts = known.setdefault(facts, facts)
                run_id = cells.get("run_id", "")
                question = cells.get("fingerprint", "") if run_id else ""
                new = Found(run_id, question, number, has_folder, facts)
                if not run_id:
                    nameless.append(new)
                elif run_id not in found:
                    found[run_id] = new
                else:
                    refuse_different(sources, found[run_id], cells, source)
                    twice += 1
                    if has_folder and not found[run_id].has_folder:
                        found[run_id] = new
    if twice:
        print(f"{twice} rows are in several folders, the same in each, and count once")
    return [*(found[run_id] for run_id in sorted(found)), *nameless]


def refuse_different(sources: list[Source], first: Found, cells: Cells, other: Source) -> None:
    """Refuse two rows of one run that differ in a column that both have.

    Raises:
        UserError: they do.
    """
    source = sources[first.folder]
    if first.has_folder:
        before = {n: as_text(v) for n, v in (source.index.row(first.run_id) or {}).items()}
    else:
        before = next(c for c in source.without_folder() if c.get("run_id") == first.run_id)
    differing = [name for name in before if name in cells and before[name] != cells[name]]
    if differing:
        raise UserError(
            f"{first.run_id}: is in {source.store.directory} and in {other.store.directory} with "
            f"different {named(differing)}; remove one of the two"
        )


def last_only(found: list[Found]) -> list[Found]:
    """Keep the latest run of each question; one without a fingerprint is a question of its own."""
    latest: dict[str, Found] = {}
    for each in found:
        if each.fingerprint:
            latest[each.fingerprint] = max(
                each, latest.get(each.fingerprint, each), key=lambda row: row.run_id
            )
    return [e for e in found if not e.fingerprint or latest[e.fingerprint] is e]


def differences(found: list[Found]) -> tuple[list[str], list[str]]:
    """Say in what the rows differ: what forbids a common table, and what is worth saying.

    An empty cell differs from nothing: the run ended before it was known.
    """
    seen: dict[tuple[str, str], Counter[str]] = {}
    for facts, count in Counter(each.facts for each in found).items():
        cells = dict(zip(COMPARED, facts, strict=True))
        for name in (*NOT_COMPARABLE, *NOTED):
            if cells[name]:
                within = cells.get(NOT_COMPARABLE.get(name, ""), "")
                seen.setdefault((name, within), Counter())[cells[name]] += count
    texts: tuple[list[str], list[str]] = ([], [])
    for (name, within), counts in sorted(seen.items()):
        if len(counts) > 1:
            values = [f"{value[:40]} in {count}" for value, count in counts.most_common()]
            text = f"{name}{f' of {within}' if within else ''} ({named(values)})"
            texts[name not in NOT_COMPARABLE].append(text)
    return texts


def write_table(table: Path, columns: list[str], sources: list[Source], found: list[Found]) -> None:
    """Write a table of the rows found, whole or not at all."""
    remove_drafts(table)
    chosen = {(each.folder, each.run_id) for each in found if not each.has_folder}
    own = [own_cells(source) for source in sources]
    with replacing(table) as binary, text_of(binary) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for each in found:
            row = sources[each.folder].index.row(each.run_id) if each.has_folder else None
            if row is not None:
                extra = own[each.folder].get(each.run_id, {})
                line = [extra.get(name, "") for name in columns]
                writer.writerow(cells_of(row, columns, line))
        for number, source in enumerate(sources):
            for cells in source.without_folder():
                if (number, cells.get("run_id", "")) in chosen:
                    writer.writerow([cells.get(name, "") for name in columns])


def own_cells(source: Source) -> dict[str, Cells]:
    """What people have added to a table, in columns of their own, by run id."""
    own = [name for name in source.header if name not in COLUMNS]
    found: dict[str, Cells] = {}
    for line in source.lines() if own else ():
        cells = {name: line[name] for name in own if line.get(name)}
        if cells:
            found[line.get("run_id", "")] = cells
    return found


def all_columns(first: list[str], sources: list[Source]) -> list[str]:
    """Columns of a table: those it has, today's, and whatever else a row or a table has."""
    columns = dict.fromkeys([*first, *COLUMNS])
    for source in sources:
        columns |= source.columns
    return list(columns)


def rebuild(directory: Path) -> None:
    """Write a results folder's table anew from its rows.

    Raises:
        UserError: it is no results folder, or cannot be written to.
    """
    source = Source(directory)
    source.index.file.unlink(missing_ok=True)
    source = Source(directory)  # which now knows nothing that it has not read itself
    source.open()
    edits = source.edits()
    found = survey([source])
    if edits.count:
        aside = source.table.with_name(f"{source.table.name}.edited-{time.time_ns()}")
        shutil.copy2(source.table, aside)
        print(f"warning: {edits.count} cells of {source.table} were edited by hand:")
        print("".join(f"  {text}\n" for text in edits.cells), end="")
        more = edits.count - len(edits.cells)
        print(f"{f'  and {more} more; ' if more else '  '}the old table is kept as {aside.name}")
    write_table(source.table, all_columns(source.header, [source]), [source], found)
    tell_of(source, found, 0)
    grave, notes = differences(found)
    for text in [*grave, *notes]:
        print(f"note: the rows differ in {text}")
    # Whatever ended while this was at work.
    TableView(source.table, source.index, COLUMNS).update()
    source.index.save()
    print(f"{len(found)} rows in {source.table}")


def merge(directories: list[Path], out: Path, last: bool, mix: bool) -> None:
    """Write one table of the rows of several results folders.

    Raises:
        UserError: something is no results folder, rows contradict each other or must not be mixed.
    """
    if len({directory.resolve() for directory in directories}) < len(directories):
        raise UserError("a results folder is given twice")
    sources = [Source(directory) for directory in directories]
    if out.resolve() in {source.table.resolve() for source in sources}:
        raise UserError(f"--out {out}: is the table of one of the folders; choose another name")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}")
    if out.exists() and not is_table(out):
        raise UserError(f"--out {out}: is there already and is no table of results")
    for source in sources:
        source.open()
    found = survey(sources)
    kept = last_only(found) if last else found
    for number, source in enumerate(sources):
        tell_of(source, found, number)
    grave, notes = differences(kept)
    if grave and not mix:
        raise UserError(
            f"the rows are not comparable, they differ in {'; '.join(grave)}; "
            f"--mix puts them into one table nevertheless"
        )
    for text in grave:
        print(f"warning: the rows are not comparable, they differ in {text}")
    for text in notes:
        print(f"note: the rows differ in {text}")
    try:
        write_table(out, all_columns([], sources), sources, kept)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from error
    left = f", {len(found) - len(kept)} earlier runs of the same left out" if last else ""
    print(f"{len(kept)} rows from {len(sources)} folders in {out}{left}")


def is_table(file: Path) -> bool:
    """Whether a file may be replaced by a table: it is one, or empty."""
    try:
        with opened(file) as (header, _):
            return not header or "run_id" in header
    except (OSError, ValueError, csv.Error):
        return False


def tell_of(source: Source, found: Iterable[Found], number: int) -> None:
    """Say what is unusual about a folder."""
    directory = source.store.directory
    alone = [e.run_id or "(no run_id)" for e in found if e.folder == number and not e.has_folder]
    if alone:
        print(
            f"note: {directory}: {len(alone)} rows of results.csv have no row in a run folder and "
            f"are kept as they are: {named(alone)}"
        )
    unfinished = source.unfinished()
    if unfinished:
        running = len(source.running().intersection(unfinished))
        text = f", {running} of them running now" if running else ""
        print(f"note: {directory}: {len(unfinished)} runs have no row yet{text}")


def collect(directories: list[Path], out: Path | None, runs: str, mix: bool) -> None:
    """Rebuild a table or merge several.

    Raises:
        UserError: see `rebuild` and `merge`.
    """
    if out is not None:
        merge(directories, out, runs == "last", mix)
    elif len(directories) > 1:
        raise UserError("several results folders: say where their table goes with --out FILE.csv")
    elif runs == "last":
        raise UserError(
            "--runs last: results.csv shows every run; with --out FILE.csv a table of the last"
        )
    else:
        try:
            rebuild(directories[0])
        except OSError as error:
            raise UserError(f"{directories[0]}: cannot be written to ({error})") from error
    sys.stdout.flush()

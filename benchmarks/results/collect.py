"""Rebuild the table of a results folder from its run folders, or merge several into one table."""

from __future__ import annotations

import csv
import itertools
import logging
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UserError, counted
from benchmarks.results.csv_cells import as_text
from benchmarks.results.csv_table import TableView, cells_of, opened, table_writer
from benchmarks.results.row import COLUMNS, FACTS, columns_where
from benchmarks.results.source import Cells, Source, named
from benchmarks.system.output_file import check_output, writing

logger = logging.getLogger(__name__)

NOT_COMPARABLE = {
    name: "" if FACTS[name].comparable == "table" else str(FACTS[name].comparable)
    for name in columns_where(comparable=("table", "task", "model"))
}
"""Columns that must be equal in all rows of a merged table, or in those of one task or model."""
NOTED = columns_where(comparable="noted")  # times and the last digits of scores may differ too
COMPARED = (*NOT_COMPARABLE, *NOTED, "task", "model")


@dataclass(frozen=True, slots=True)
class Found:
    """The number of a row's results folder, and its cells in the columns `COMPARED`."""

    run_id: str
    fingerprint: str
    folder: int
    has_folder: bool  # in a run folder, not only in the table
    compared: tuple[str, ...]


def survey(sources: list[Source]) -> list[Found]:
    """Read every row once and return the locations."""
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    found: dict[str, Found] = {}
    without_id: list[Found] = []
    duplicates = 0
    for number, source in enumerate(sources):
        in_folders = ({name: as_text(v) for name, v in row.items()} for row in source.rows())
        for has_folder, all_cells in ((True, in_folders), (False, source.without_folder())):
            for cells in all_cells:
                compared = tuple(cells.get(name, "") for name in COMPARED)
                compared = shared.setdefault(compared, compared)
                run_id = cells.get("run_id", "")
                fingerprint = cells.get("fingerprint", "") if run_id else ""
                new = Found(run_id, fingerprint, number, has_folder, compared)
                if not run_id:
                    without_id.append(new)
                    continue
                first = found.setdefault(run_id, new)
                if first is not new:
                    check_equal(sources, first, cells, source)
                    duplicates += 1
                    if has_folder and not first.has_folder:
                        found[run_id] = new
    if duplicates:
        print(f"{duplicates} equal rows are in several folders and count once")
    return [*(found[run_id] for run_id in sorted(found)), *without_id]


def check_equal(sources: list[Source], first: Found, cells: Cells, other: Source) -> None:
    """Raise a `UserError` if two rows of one run differ in a column of both."""
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
    """Keep the latest run of each configuration, and all rows without a fingerprint."""
    latest = {each.fingerprint: each for each in sorted(found, key=lambda each: each.run_id)}
    return [each for each in found if not each.fingerprint or latest[each.fingerprint] is each]


def differences(found: list[Found]) -> tuple[list[str], list[str]]:
    """Describe differences among filled cells: those that forbid a common table, and others."""
    seen: dict[tuple[str, str], Counter[str]] = {}
    for compared, count in Counter(each.compared for each in found).items():
        cells = dict(zip(COMPARED, compared, strict=True))
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
    """Write a table of the rows found."""
    chosen = {(each.folder, each.run_id) for each in found if not each.has_folder}
    added = [added_cells(source) for source in sources]
    with table_writer(table) as writer:
        writer.writerow(columns)
        for each in found:
            row = sources[each.folder].index.row(each.run_id) if each.has_folder else None
            if row is not None:
                extra = added[each.folder].get(each.run_id, {})
                line = [extra.get(name, "") for name in columns]
                writer.writerow(cells_of(row, columns, line))
        for number, source in enumerate(sources):
            for cells in source.without_folder():
                if (number, cells.get("run_id", "")) in chosen:
                    writer.writerow([cells.get(name, "") for name in columns])


def added_cells(source: Source) -> dict[str, Cells]:
    """Return the cells of columns that users added to a table, by run id."""
    added = [name for name in source.header if name not in COLUMNS]
    found: dict[str, Cells] = {}
    for line in source.lines() if added else ():
        cells = {name: line[name] for name in added if line.get(name)}
        if cells:
            found[line.get("run_id", "")] = cells
    return found


def all_columns(first: list[str], sources: list[Source]) -> list[str]:
    """Return the first columns, the documented ones, and those of the sources."""
    return [*dict.fromkeys([*first, *COLUMNS, *(name for s in sources for name in s.columns)])]


def rebuild(directory: Path) -> None:
    """Rebuild the table of a results folder from its rows."""
    Source(directory).index.file.unlink(missing_ok=True)
    source = Source(directory)  # with an empty index
    source.open()
    found = survey([source])
    write_table(source.table, all_columns(source.header, [source]), [source], found)
    report_unusual(source, found, 0)
    for text in itertools.chain(*differences(found)):
        logger.info("the rows differ in %s", text)
    TableView(source.table, source.index, COLUMNS).update()  # runs that ended in the meantime
    source.index.save()
    print(f"{counted(len(found), 'row')} in {source.table}")


def merge(directories: list[Path], out: Path, last: bool, mix: bool) -> None:
    """Write one table of the rows of several results folders, or raise UserError."""
    resolved = [directory.resolve() for directory in directories]
    for place, directory in enumerate(directories):
        if resolved[place] in resolved[:place]:
            raise UserError(f"{directory}: duplicate results folder")
    sources = [*map(Source, directories)]
    if out.resolve() in {source.table.resolve() for source in sources}:
        raise UserError(f"--out {out}: is the table of one of the folders; choose another name")
    check_output("--out", out)
    if out.exists() and not is_table(out):
        raise UserError(f"--out {out}: exists and is no table of results")
    for source in sources:
        source.open()
    found = survey(sources)
    kept = last_only(found) if last else found
    for number, source in enumerate(sources):
        report_unusual(source, found, number)
    forbidden, notes = differences(kept)
    if forbidden and not mix:
        raise UserError(
            f"the rows are not comparable, they differ in {'; '.join(forbidden)}; "
            f"merge them nevertheless with --mix"
        )
    for text in forbidden:
        logger.warning("the rows are not comparable, they differ in %s", text)
    for text in notes:
        logger.info("the rows differ in %s", text)
    with writing("--out", out):
        write_table(out, all_columns([], sources), sources, kept)
    earlier = counted(len(found) - len(kept), "earlier run")
    omitted = f", without {earlier} of these" if last else ""
    folders = counted(len(sources), "folder")
    print(f"{counted(len(kept), 'row')} from {folders} in {out}{omitted}")


def is_table(file: Path) -> bool:
    """Return True if a file is a results table or empty."""
    try:
        with opened(file) as (header, _):
            return not header or "run_id" in header
    except (OSError, ValueError, csv.Error):
        return False


def report_unusual(source: Source, found: Iterable[Found], number: int) -> None:
    """Report rows without a folder and runs without a row."""
    directory = source.store.directory
    alone = [e.run_id or "(no run_id)" for e in found if e.folder == number and not e.has_folder]
    if alone:
        logger.info(
            "%s: %s of results.csv %s: %s",
            *(directory, counted(len(alone), "row")),
            "has no row in a run folder and is kept"
            if len(alone) == 1
            else "have no row in a run folder and are kept",
            named(alone),
        )
    unfinished = source.unfinished()
    if unfinished:
        leases = source.store.leases
        live = {lease.run_id for lease in leases.all() if leases.is_live(lease)}
        running = len(live.intersection(unfinished))
        those = "" if len(unfinished) == 1 else f"{running} of them "
        text = f", {those}running now" if running else ""
        have = "has" if len(unfinished) == 1 else "have"
        runs = counted(len(unfinished), "run")
        logger.info("%s: %s %s no row yet%s", directory, runs, have, text)


def collect(directories: list[Path], out: Path | None, runs: str, mix: bool) -> None:
    """Rebuild a table, or merge several; see `rebuild` and `merge`."""
    if out is not None:
        merge(directories, out, runs == "last", mix)
    elif len(directories) > 1:
        raise UserError("several results folders require --out FILE.csv for the merged table")
    elif runs == "last":
        raise UserError("--runs last requires --out FILE.csv; results.csv contains every run")
    else:
        try:
            rebuild(directories[0])
        except OSError as error:
            raise UserError(f"{directories[0]}: cannot be written to ({error})") from error
    sys.stdout.flush()

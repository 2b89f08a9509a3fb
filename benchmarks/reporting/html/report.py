"""From result tables to a page, and pictures of its figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.analysis import Comparison, Group, Options, compare
from benchmarks.errors import UserError
from benchmarks.reporting.html.costs import cost_figures
from benchmarks.reporting.html.curves import curve_figures
from benchmarks.reporting.html.figure import Figure
from benchmarks.reporting.html.figure_files import export
from benchmarks.reporting.html.forecasts import forecast_figures
from benchmarks.reporting.html.formatting import metric_name, nets, plural
from benchmarks.reporting.html.page import Part, page, part_of
from benchmarks.reporting.html.run_files import Runs, first_runs
from benchmarks.reporting.html.samples import hardest, samples
from benchmarks.reporting.html.scores import score_figure, seed_figure
from benchmarks.reporting.html.theme import Looks
from benchmarks.reporting.html.trials import trial_figure
from benchmarks.results.reader import read_tables
from benchmarks.system.atomic_files import write_atomically

MOST_GROUPS = 12


def parts_of(comparison: Comparison, rows: pd.DataFrame) -> list[Part]:
    """Make what the page shows of each group.

    Args:
        comparison: of the tables.
        rows: of the tables, all of them: a search's trials are not in the comparison.
    """
    runs_ = Runs(Path(source) for source in comparison.sources)
    groups = comparison.groups[:MOST_GROUPS]
    looks = Looks(groups, rows.loc[rows["trial"].notna(), "model"].astype(str).unique())
    names = anchors([f"{group.task}-{group.metric}" for group in groups])
    return [
        _part(group, rows, runs_, looks, name, title)
        for group, name, title in zip(groups, names, titles(groups), strict=True)
    ]


def titles(groups: list[Group]) -> list[str]:
    """Titles of the groups, with the metric where a task has several of them."""
    plain = [group.title for group in groups]
    return [
        f"{group.title}, {metric_name(group, with_unit=False)}"
        if plain.count(group.title) > 1
        else group.title
        for group in groups
    ]


def _part(
    group: Group, rows: pd.DataFrame, runs_: Runs, looks: Looks, name: str, title: str
) -> Part:
    trials = trial_figure(group, rows, looks, name)
    scores: list[Figure | None] = [
        score_figure(group, looks, name),
        seed_figure(group, looks, name),
    ]
    figures = [
        ("Scores", [figure for figure in scores if figure is not None]),
        ("Learning", curve_figures(group, runs_, looks, name)),
        ("What quality costs", cost_figures(group, looks, name)),
        ("Forecasts", forecast_figures(group, runs_, looks, name)),
        ("Tuning", [trials] if trials is not None else []),
    ]
    return part_of(
        name,
        title,
        group,
        figures,
        samples(group, runs_),
        hardest(group, runs_),
        notes(group, runs_),
    )


def notes(group: Group, runs_: Runs) -> list[str]:
    """Say for how many runs there is nothing but their row."""
    ids = [run_id for arm in nets(group) for run_id, _ in first_runs(arm, len(arm.rows))]
    bare = sum(runs_.file(run_id, lambda run: run.history) is None for run_id in ids)
    if not bare:
        return []
    return [
        f"{bare:,} of {len(ids):,} runs of nets have left no history beside their table: learning "
        "curves, forecasts and texts are drawn from the others, or not at all."
    ]


def anchors(names: list[str]) -> list[str]:
    """Names for files and places in the page: each once, of harmless letters alone."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "task"
        same, candidate = 1, plain
        while candidate in found:
            same += 1
            candidate = f"{plain}-{same}"
        found.append(candidate)
    return found


def check_writable(out: Path, figures: Path | None) -> None:
    """Refuse places that could not be written to, before anything is computed.

    Raises:
        UserError: the page's folder is missing or it is one itself, or the figures' is a file.
    """
    if figures is not None and figures.exists() and not figures.is_dir():
        raise UserError(f"--figures {figures}: is a file; name a folder")
    if out.is_dir():
        raise UserError(f"-o {out}: is a folder; name a file, such as {out / 'report.html'}")
    if not out.parent.is_dir():
        raise UserError(f"-o {out}: there is no folder {out.parent}")


def write(text: str, out: Path) -> None:
    """Write the page.

    Raises:
        UserError: that cannot be done.
    """
    try:
        write_atomically(out, text)
    except OSError as error:
        raise UserError(f"-o {out}: cannot be written ({error.strerror})") from error


def report(
    tables: Sequence[Path],
    out: Path,
    title: str = "Comparison of recurrent nets",
    figures: Path | None = None,
    task: str | None = None,
) -> str:
    """Compare the arms of some tables and write the page, and the figures if a folder is given.

    Args:
        tables: CSV files or results folders.
        out: the page.
        title: its heading.
        figures: where the figures and tables go as files.
        task: the only one that is shown.

    Returns:
        What was written, in words.

    Raises:
        UserError: a table cannot be used, there is nothing to show, or a place cannot be written.
    """
    check_writable(out, figures)
    comparison = compare(tables, Options(task=task))
    if not comparison.groups:
        left = "; ".join(f"{left.reason}: {left.count:,}" for left in comparison.left_out)
        raise UserError(f"there is nothing to show; of all rows none counts ({left})")
    parts = parts_of(comparison, read_tables(tables).frame)
    write(page(title, comparison, parts), out)
    said = f"{plural(len(parts), 'comparison')} in {out}"
    if figures is None:
        return said
    try:
        count = export(parts, figures)
    except OSError as error:
        raise UserError(f"--figures {figures}: cannot be written ({error.strerror})") from error
    return f"{said}\n{plural(count, 'figure')} as PNG and SVG, arms.md and arms.tex in {figures}"

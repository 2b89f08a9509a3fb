"""Write the report page of results tables, and its figures as files."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import Comparison, Group
from benchmarks.analysis.selection import DEFAULTS, Options
from benchmarks.errors import UserError
from benchmarks.reporting.answer import nets
from benchmarks.reporting.html.confusion import confusion_figures
from benchmarks.reporting.html.costs import cost_figures
from benchmarks.reporting.html.curves import curve_figures
from benchmarks.reporting.html.figure import Figure
from benchmarks.reporting.html.figure_files import export
from benchmarks.reporting.html.forecasts import forecast_figures
from benchmarks.reporting.html.formatting import metric_name, plural
from benchmarks.reporting.html.hardest import hardest
from benchmarks.reporting.html.overview import arm_table, pair_table
from benchmarks.reporting.html.page import Part, page
from benchmarks.reporting.html.ranks import rank_figure
from benchmarks.reporting.html.run_files import Runs, first_runs
from benchmarks.reporting.html.samples import samples
from benchmarks.reporting.html.scores import score_figure, seed_figure
from benchmarks.reporting.html.step_errors import step_figure
from benchmarks.reporting.html.summary import summarise
from benchmarks.reporting.html.theme import Looks
from benchmarks.reporting.html.trials import trial_figure
from benchmarks.results.reader import read_tables
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.output_file import check_output, writing

MOST_GROUPS = 12


def parts_of(comparison: Comparison, rows: pd.DataFrame) -> list[Part]:
    """Return the sections of the page.

    The rows are those of the tables: trials of a search are not in the comparison.
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
    """Return the titles of the groups, with the metric where a task has several."""
    plain = [group.title for group in groups]
    more = [f", {metric_name(g, with_unit=False)}" * (plain.count(g.title) > 1) for g in groups]
    return [title + metric for title, metric in zip(plain, more, strict=True)]


def _part(
    group: Group, rows: pd.DataFrame, runs_: Runs, looks: Looks, name: str, title: str
) -> Part:
    figures: list[tuple[str, Sequence[Figure | None]]] = [
        ("Scores", [score_figure(group, looks, name), seed_figure(group, looks, name)]),
        ("Learning", curve_figures(group, runs_, looks, name)),
        ("Score against cost", cost_figures(group, looks, name)),
        ("Forecasts", forecast_figures(group, runs_, looks, name)),
        ("Errors by step ahead", [step_figure(group, runs_, looks, name)]),
        ("Confusion matrices", confusion_figures(group, runs_, looks, name)),
        ("Tuning", [trial_figure(group, rows, looks, name)]),
    ]
    drawn = [(heading, [figure for figure in row if figure]) for heading, row in figures]
    notes = list(group.notes)
    ids = [run_id for arm in nets(group) for run_id, _ in first_runs(arm, len(arm.rows))]
    if bare := sum(runs_.file(run_id, "history") is None for run_id in ids):
        effect = "come from the others" if bare < len(ids) else "are missing"
        notes.append(
            f"{bare:,} of {len(ids):,} runs of networks have no files next to their table: "
            f"learning curves and what is drawn from predictions {effect}."
        )
    return Part(
        name,
        title,
        group,
        summarise(group),
        arm_table(group),
        pair_table(group),
        [(heading, row) for heading, row in drawn if row],
        samples(group, runs_),
        hardest(group, runs_),
        notes,
    )


def anchors(names: list[str]) -> list[str]:
    """Return unique names for files and anchors, of safe characters only."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "task"
        numbered = (f"{plain}-{same}" for same in itertools.count(2))
        found.append(next(each for each in itertools.chain([plain], numbered) if each not in found))
    return found


def _check_writable(out: Path, figures: Path | None) -> None:
    if figures is not None and figures.exists() and not figures.is_dir():
        raise UserError(f"--figures {figures}: is a file; name a folder")
    check_output("-o", out)


def report(
    tables: Sequence[Path],
    out: Path,
    title: str,
    figures: Path | None,
    options: Options = DEFAULTS,
) -> str:
    """Write the page of a comparison, and figures as files; return a message that names them.

    Raises:
        UserError: a table cannot be used, no row can be shown, or a file cannot be written.
    """
    _check_writable(out, figures)
    comparison = compare(tables, options)
    if not comparison.groups:
        left = "; ".join(f"{left.reason}: {left.count:,}" for left in comparison.left_out)
        raise UserError(f"no rows to show ({left})")
    parts = parts_of(comparison, read_tables(tables).frame)
    ranks = rank_figure(comparison.across)
    with writing("-o", out):
        write_atomically(out, page(title, comparison, parts, ranks))
    message = f"{plural(len(parts), 'comparison')} in {out}"
    if figures is None:
        return message
    with writing("--figures", figures):
        count = export(parts, ranks, figures)
    return f"{message}\n{plural(count, 'figure')} as PNG and SVG, arms.md and arms.tex in {figures}"

"""Compare the arms of result tables with tests of their differences, or compare two tables.

    python scripts/compare.py results/results.csv               arms best first, pairs, verdicts
    python scripts/compare.py results --task imdb --baseline rnn     all arms with one
    python scripts/compare.py before.csv after.csv              changes between two tables
    python scripts/compare.py a.csv b.csv --merge               two tables as one
    python scripts/compare.py results --by model --metric train_seconds --format markdown
    python scripts/compare.py results/tuning --choose model.dropout  its value, by validation score

A folder means its results.csv. docs/compare.md explains the output. Exit codes: 0; 1 with
--fail-on-worse if an arm is worse; 2 for an invalid argument.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.system.program import ScriptParser, prints_user_errors, run_script

if TYPE_CHECKING:
    from benchmarks.analysis.comparison import Changes, Comparison
    from benchmarks.reporting.renderers import Section

FORMATS = ("table", "markdown", "csv", "json", "latex")


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = ScriptParser(__doc__)
    add = parser.add_argument
    add("tables", nargs="+", type=Path, metavar="TABLE", help="a CSV file or a results folder")
    add("--by", default="arm", metavar="COLUMNS", help="columns that define an arm: a,b,…")
    add("--task", metavar="NAME", help="compare only this task")
    add("--metric", metavar="COLUMN", help="instead of the task's own metric: train_seconds, …")
    reference = "only pairs with this arm or model; baseline means the best baseline"
    add("--baseline", metavar="ARM", help=reference)
    add(
        "--margin", metavar="SIZE", help="smallest difference worth a decision: 0.005, 2%%, or task"
    )
    planned = "number of seeds per arm that was fixed beforehand; fewer may be looked at"
    add("--planned", type=int, metavar="N", help=planned)
    add("--choose", metavar="KEY", help="choose the value of a setting for each model instead")
    add("--format", choices=FORMATS, default="table", help="default: table")
    add("--only-changed", action="store_true", help="only differences and untested changes")
    add("--fail-on-worse", action="store_true", help="exit with 1 if an arm is worse or failed")
    add("--merge", action="store_true", help="read two tables as one")
    chosen = parser.parse_args(arguments)
    # pandas and scipy are imported after the arguments are parsed, so that --help is immediate.
    from benchmarks.analysis.compare import compare
    from benchmarks.analysis.comparison import Changes
    from benchmarks.analysis.diff import changes
    from benchmarks.analysis.selection import options_of
    from benchmarks.reporting.sentences import untested_text
    from benchmarks.system.terminal import print_log_messages

    print_log_messages()
    is_change = len(chosen.tables) == 2 and not chosen.merge
    by = tuple(dict.fromkeys(name for name in chosen.by.split(",") if name and name != "arm"))
    check_combination(chosen, is_change)
    if chosen.choose is not None:
        return show_choices(chosen)
    options = options_of(
        task=chosen.task,
        metric=chosen.metric,
        by=by,
        baseline=chosen.baseline,
        margin=chosen.margin,
        planned=chosen.planned,
    )
    found: Changes | Comparison
    if is_change:
        before, after = chosen.tables
        found = changes(before, after, options)
    else:
        found = compare(chosen.tables, options)
    write(found, chosen.format, chosen.only_changed)
    if chosen.fail_on_worse and isinstance(found, Changes) and (why := untested_text(found)):
        print(why, file=sys.stderr)
    worse = worse_arms(found) if chosen.fail_on_worse else []
    for text in worse:
        print(f"worse: {text}", file=sys.stderr)
    return int(bool(worse))


def check_combination(chosen: argparse.Namespace, is_change: bool) -> None:
    """Check that no option is without effect."""
    from benchmarks.errors import UserError

    if chosen.choose is not None:
        others = ("metric", "baseline", "margin", "planned", "only_changed", "fail_on_worse")
        given = [name for name in others if getattr(chosen, name) not in (None, False)]
        given += ["by"] if chosen.by != "arm" else []
        given += ["format"] if chosen.format in ("csv", "json") else []
        if given:
            raise UserError(f"--{given[0].replace('_', '-')}: cannot be combined with --choose")
    if is_change and chosen.baseline is not None:
        raise UserError(
            f"--baseline {chosen.baseline}: two tables are compared arm by arm; "
            f"--merge reads them as one"
        )
    if chosen.fail_on_worse and not is_change and chosen.baseline is None:
        raise UserError("--fail-on-worse: give two tables, or --baseline ARM as the reference")


def show_choices(chosen: argparse.Namespace) -> int:
    """Print the choice of a setting's value for each model, task and recipe."""
    from benchmarks.analysis.choice import choices
    from benchmarks.config.compose import hydra_at, recipe_value
    from benchmarks.config.help import CONF
    from benchmarks.config.registry import register_schemas
    from benchmarks.reporting.tables import choice_section

    register_schemas()
    with hydra_at(CONF):
        found = choices(chosen.tables, chosen.choose, chosen.task, recipe_value)
    print_sections([choice_section(each, chosen.choose) for each in found], chosen.format)
    return 0


def write(found: Changes | Comparison, form: str, only_changed: bool) -> None:
    """Print a result in a format."""
    from benchmarks.analysis.comparison import Changes
    from benchmarks.reporting import json_csv, tables

    as_csv: Any = json_csv.comparison_csv
    as_data: Any = json_csv.comparison_json
    as_sections: Any = tables.sections_of
    if isinstance(found, Changes):
        as_csv, as_data = json_csv.changes_csv, json_csv.changes_json
        as_sections = tables.change_sections
    if form == "csv":
        sys.stdout.write(as_csv(found, only_changed))
    elif form == "json":
        sys.stdout.write(json_csv.as_json(as_data(found, only_changed)))
    else:
        print_sections(as_sections(found, only_changed), form)
    sys.stdout.flush()


def print_sections(sections: list[Section], form: str) -> None:
    """Print sections as a table, Markdown or LaTeX."""
    from benchmarks.reporting import renderers

    if form == "table":
        renderers.show(sections)
    else:
        as_text = {"markdown": renderers.as_markdown, "latex": renderers.as_latex}[form]
        sys.stdout.write(as_text(sections))


def worse_arms(found: Changes | Comparison) -> list[str]:
    """Return the arms that are worse, failed, or have a larger share of failed runs, with why."""
    from benchmarks.analysis.comparison import FAILED, FLIPPED, WORSE, Changes

    if isinstance(found, Changes):
        judged = [(c.label, c.verdict, c.completion, 1) for c in found.changes]
    else:
        judged = [
            (pair.b, FLIPPED.get(pair.verdict, pair.verdict), pair.completion, -1)
            if pair.a == group.asked
            else (pair.a, pair.verdict, pair.completion, 1)
            for group in found.groups
            for pair in group.pairs
        ]
    texts = []
    for label, verdict, completion, sign in judged:
        if verdict in (WORSE, FAILED):
            texts.append(f"{label}: {verdict}")
        elif completion is not None and sign * completion.excess > 0:
            done, runs = completion.a if sign > 0 else completion.b
            texts.append(f"{label}: a larger share of runs failed ({done} of {runs} completed)")
    return texts


if __name__ == "__main__":
    run_script(main)

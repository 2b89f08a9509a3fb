"""Compare the arms of a result table, with what their differences are worth, or two tables.

    python scripts/compare.py results/results.csv               arms best first, pairs, verdicts
    python scripts/compare.py results --task imdb --baseline rnn     all against one
    python scripts/compare.py before.csv after.csv              what improved, what got worse
    python scripts/compare.py a.csv b.csv --merge               two tables as one
    python scripts/compare.py results --by model --metric train_seconds --format markdown

A folder stands for its results.csv. How to read it: docs/compare.md. Exit codes: 0, 1 with
--fail-on-worse if an arm is worse, 2 for your mistake.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.analysis import Changes, Comparison

FORMATS = ("table", "markdown", "csv", "json", "latex")


def main(arguments: list[str] | None = None) -> int:
    """Compare; returns the exit code."""
    chosen = parser().parse_args(arguments)
    # What takes a second to import comes after what may be answered at once.
    from benchmarks.analysis import Changes, Options, changes, compare
    from benchmarks.errors import UserError
    from benchmarks.reporting.sentences import untested_text
    from benchmarks.system.terminal import print_log_messages

    print_log_messages()
    is_change = len(chosen.tables) == 2 and not chosen.merge
    by = tuple(dict.fromkeys(name for name in chosen.by.split(",") if name and name != "arm"))
    options = Options(chosen.task, chosen.metric, by, chosen.baseline)
    try:
        refuse_idle(chosen, is_change)
        found: Changes | Comparison
        if is_change:
            before, after = chosen.tables
            found = changes(before, after, options)
        else:
            found = compare(chosen.tables, options)
        write(found, chosen.format, chosen.only_changed)
        if chosen.fail_on_worse and isinstance(found, Changes) and (why := untested_text(found)):
            print(why, file=sys.stderr)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return int(chosen.fail_on_worse and is_worse(found))


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("tables", nargs="+", type=Path, metavar="TABLE", help="a CSV file or a results folder")
    add("--by", default="arm", metavar="COLUMNS", help="what makes an arm, a,b,…; default: arm")
    add("--task", metavar="NAME", help="only this one")
    add("--metric", metavar="COLUMN", help="instead of the task's own; train_seconds, …")
    add(
        "--baseline",
        metavar="ARM",
        help="only the pairs with this arm, or model; baseline is the best one",
    )
    add("--format", choices=FORMATS, default="table", help="default: table")
    add("--only-changed", action="store_true", help="only what is better or worse, or may be")
    add("--fail-on-worse", action="store_true", help="exit with 1 if an arm is worse or failed")
    add("--merge", action="store_true", help="two tables are one comparison, as three are")
    return parser


def refuse_idle(chosen: argparse.Namespace, is_change: bool) -> None:
    """Refuse options that would have no effect.

    Raises:
        UserError: there is one.
    """
    from benchmarks.errors import UserError

    if is_change and chosen.baseline is not None:
        raise UserError(
            f"--baseline {chosen.baseline}: two tables are compared arm by arm; "
            f"--merge makes one comparison of them"
        )
    if chosen.fail_on_worse and not is_change and chosen.baseline is None:
        raise UserError(
            "--fail-on-worse: give two tables, or --baseline ARM to say worse than what"
        )


def write(found: Changes | Comparison, form: str, only_changed: bool) -> None:
    """Print what was found."""
    from benchmarks.analysis import Changes
    from benchmarks.reporting import json_csv as data
    from benchmarks.reporting import renderers as formats
    from benchmarks.reporting import tables as grids

    if form == "csv":
        if isinstance(found, Changes):
            sys.stdout.write(data.changes_csv(found, only_changed))
        else:
            sys.stdout.write(data.comparison_csv(found, only_changed))
    elif form == "json":
        if isinstance(found, Changes):
            sys.stdout.write(data.as_json(data.changes_json(found, only_changed)))
        else:
            sys.stdout.write(data.as_json(data.comparison_json(found, only_changed)))
    else:
        if isinstance(found, Changes):
            sections = grids.change_sections(found, only_changed)
        else:
            sections = grids.sections_of(found, only_changed)
        if form == "table":
            formats.show(sections)
        else:
            as_text = {"markdown": formats.as_markdown, "latex": formats.as_latex}[form]
            sys.stdout.write(as_text(sections))
    sys.stdout.flush()


def is_worse(found: Changes | Comparison) -> bool:
    """Whether an arm got worse or failed, or is worse than the one all are compared with."""
    from benchmarks.analysis import Changes
    from benchmarks.analysis.comparison import FAILED, WORSE

    if isinstance(found, Changes):
        return any(change.verdict in (WORSE, FAILED) for change in found.changes)
    return any(pair.verdict == WORSE for group in found.groups for pair in group.pairs)


if __name__ == "__main__":
    sys.exit(main())

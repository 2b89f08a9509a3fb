"""Print the variance components of the runs of experiment=variance.

    python run.py -m experiment=variance task=sp500 model=lstm
    python scripts/variance.py results                         one table per model and task
    python scripts/variance.py results --write docs/method.md  puts them into the page

A folder means its results.csv; predictions are read from the run folders beside it. The estimates
are described in docs/method.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.system.program import ScriptParser, prints_user_errors, run_script

if TYPE_CHECKING:
    from benchmarks.analysis.variance import Component, VarianceTable

MARKS = ("<!-- table: scripts/variance.py -->\n", "<!-- end -->")
HEADER = ["source", "n", "sd", "95 % interval", "share, %", "95 % interval, %"]


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = ScriptParser(__doc__)
    add = parser.add_argument
    add("tables", nargs="+", type=Path, metavar="RESULTS", help="a results folder or a CSV file")
    add("--task", metavar="NAME", help="only this task")
    add("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    chosen = parser.parse_args(arguments)
    # pandas and scipy are imported after the arguments are parsed, so that --help is immediate.
    from benchmarks.analysis.variance import variance_tables
    from benchmarks.reporting.doc_blocks import put_between

    text = "\n".join(as_markdown(each) for each in variance_tables(chosen.tables, chosen.task))
    print(text, end="")
    if chosen.write is not None:
        put_between(chosen.write, MARKS, text)
    return 0


def as_markdown(table: VarianceTable) -> str:
    """Format a table with its caption and notes."""
    from benchmarks.reporting.renderers import in_markdown, markdown_table

    settings = f", {table.overrides}" if table.overrides else ""
    caption = f"{table.model} on {table.task}{settings}: {table.runs} runs, sd of {table.metric}:"
    lines = [
        in_markdown(caption),
        "",
        markdown_table(HEADER, [cells(each) for each in table.components]),
    ]
    lines += ["", *(f"- {in_markdown(note)}" for note in table.notes)] if table.notes else []
    return "\n".join(lines) + "\n"


def cells(component: Component) -> list[str]:
    """Format a component."""
    from benchmarks.analysis.formatting import significant

    def percent(share: float) -> str:
        return significant(100 * share, 2)

    low, high = component.interval
    shares = component.share_interval
    return [
        component.source,
        "" if component.levels is None else f"{component.levels:,}",
        significant(component.deviation),
        f"[{significant(low)}, {significant(high)}]",
        "" if component.share is None else percent(component.share),
        "" if shares is None else f"[{percent(shares[0])}, {percent(shares[1])}]",
    ]


if __name__ == "__main__":
    run_script(main)

"""The tables of a dynamic evaluation: the choice, and static and dynamic scores."""

from __future__ import annotations

from rich.table import Table

from benchmarks.results.store import Store
from benchmarks.runner.display import readable, show_text
from benchmarks.runner.dynamic.evaluation import DynamicEvaluation
from benchmarks.system.console import console

SCORES = ("val_score", "test_score", "val_loss", "test_loss")
HEADINGS = ("validation", "test", "validation nats", "test nats")


def show_evaluation(found: DynamicEvaluation, store: Store) -> None:
    """Print the trials, if there was a choice, and both tracks."""
    on, metric = console(), found.run.config.task.primary_metric.name
    if len(found.trials) > 1:
        on.print(trial_table(found, metric))
    title = f"{found.row.model} on {found.row.task} ({metric})"
    table = Table("track", title=title, title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for track, row in (("static", found.run.row), (str(found.row.track), vars(found.row))):
        cells = [row.get(name) for name in SCORES]
        table.add_row(track, *("" if cell is None else readable(cell) for cell in cells))
    on.print(table)
    show_text(on, f"stored in {store.run(found.row.run_id).path}")


def trial_table(found: DynamicEvaluation, metric: str) -> Table:
    """Return the table of the rates and decays with their validation scores."""
    table = Table(title="choice on the validation split", title_justify="left")
    for heading in ("rate", "decay", f"validation {metric}", ""):
        table.add_column(heading, justify="right")
    for trial in found.trials:
        score = readable(trial.metrics[metric]) if trial.metrics else "diverged"
        mark = "chosen" if trial is found.chosen else ""
        table.add_row(f"{trial.rate:g}", f"{trial.decay:g}", score, mark)
    return table

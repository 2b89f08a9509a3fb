"""The comparison of an ensemble with its members and with one model of its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.errors import counted
from benchmarks.results.row import Row, Status
from benchmarks.results.store import Store
from benchmarks.runner.derived_row import SAME
from benchmarks.runner.display import readable, show_text
from benchmarks.runner.ensemble.ensemble import Ensemble, validation_is_test
from benchmarks.system.console import console

TOLERANCE = 0.1  # relative difference of the parameters of one model from those of an ensemble
COLUMNS = ("val_score", "test_score", "parameters", "train_seconds", "latency_ms_p50")
HEADINGS = (
    *("weight", "temperature"),
    *("validation", "test", "parameters", "training s", "latency ms"),
)


@dataclass(frozen=True)
class Line:
    """A line of the table: a name, the numbers of `COLUMNS`, and the weights of a member."""

    name: str
    numbers: tuple[float | None, ...] = (None,) * len(COLUMNS)
    weight: float | None = None
    temperature: float | None = None

    @property
    def cells(self) -> list[str]:
        """The cells in the order of `HEADINGS`."""
        numbers = (self.weight, self.temperature, *self.numbers)
        return ["" if number is None else readable(number) for number in numbers]


def show_ensemble(ensemble: Ensemble, store: Store) -> None:
    """Print the members, the ensemble, and what it is compared with."""
    metric, row = ensemble.metric, ensemble.row
    direction = "higher" if metric.higher_is_better else "lower"
    title = f"ensemble on {row.task} ({metric.name}, {direction} is better)"
    table = Table(title=title, title_justify="left")
    table.add_column("", overflow="fold")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for line in member_lines(ensemble):
        table.add_row(line.name, *line.cells)
    table.add_section()
    for line in comparison_lines(ensemble, store):
        table.add_row(line.name, *line.cells)
    on = console()
    on.print(table)
    if validation_is_test(ensemble.members):
        show_text(on, "validation = test in this split: the best member is chosen on test")
    show_text(on, f"stored in {store.run(row.run_id).path}")


def member_lines(ensemble: Ensemble) -> list[Line]:
    """Return a line for each member."""
    weights, count = ensemble.weights, len(ensemble.members)
    scales = [None] * count if weights.temperatures is None else weights.temperatures.tolist()
    parts = zip(ensemble.members, weights.weights.tolist(), scales, strict=True)
    return [line_of(name_of(m.row), m.row, weight, scale) for m, weight, scale in parts]


def comparison_lines(ensemble: Ensemble, store: Store) -> list[Line]:
    """Return the ensemble, its mean and best member, and one model of its parameters."""
    rows = [member.row for member in ensemble.members]
    is_higher = ensemble.metric.higher_is_better
    best = best_by_validation(rows, is_higher)
    return [
        line_of(f"ensemble of {len(rows)}", vars(ensemble.row)),
        mean_line("mean member", rows),
        line_of(f"best member by validation: {name_of(best)}", best),
        one_model_line(rows, equally_large(ensemble.row, store), is_higher),
    ]


def name_of(row: dict[str, Any]) -> str:
    """Return the model of a run and its seed, if it has one."""
    return str(row["model"]) if row.get("seed") is None else f"{row['model']} seed {row['seed']}"


def line_of(
    name: str, row: dict[str, Any], weight: float | None = None, temperature: float | None = None
) -> Line:
    """Return the line of a row."""
    return Line(name, tuple(row.get(column) for column in COLUMNS), weight, temperature)


def mean_line(name: str, rows: Sequence[dict[str, Any]]) -> Line:
    """Return the line of the means of several rows."""
    values: list[list[Any]] = [[row.get(column) for row in rows] for column in COLUMNS]
    means = [None if None in each else fmean(each) for each in values]
    return Line(name, tuple(mean and (round(mean) if mean > 1000 else mean) for mean in means))


def best_by_validation(rows: Sequence[dict[str, Any]], is_higher: bool) -> dict[str, Any]:
    """Return the row with the best validation score, the first of equal ones."""
    return (max if is_higher else min)(rows, key=lambda row: row["val_score"])


def equally_large(row: Row, store: Store) -> list[list[dict[str, Any]]]:
    """Return the runs of each network with about as many parameters as an ensemble, by arm."""
    index, arms = store.index(repair=False), dict[str, list[dict[str, Any]]]()
    total = row.parameters or 0
    for entry in index.entries.values():
        other = index.row(entry.run_id) if entry.status == Status.OK else None
        if other is None or other.get("baseline") or other.get("members"):
            continue
        is_close = abs((other.get("parameters") or 0) - total) <= TOLERANCE * total
        is_scored = other.get("val_score") is not None
        if is_close and is_scored and all(other.get(n) == getattr(row, n) for n in SAME):
            arms.setdefault(str(other.get("arm")), []).append(other)
    return list(arms.values())


def one_model_line(
    members: Sequence[dict[str, Any]], arms: Sequence[list[dict[str, Any]]], is_higher: bool
) -> Line:
    """Return the mean of the arm with the best validation score; its cells may be empty."""
    times = f"{len(members)} times the parameters"
    if not arms:
        return Line(f"one model of {times}: none in this folder")
    choose = max if is_higher else min
    rows = choose(arms, key=lambda rows: fmean(row["val_score"] for row in rows))
    first, runs = rows[0], counted(len(rows), "run")
    size = f" hidden size {first['hidden_size']}" if first.get("hidden_size") else ""
    return mean_line(f"one model of {times}: {first['model']}{size}, {runs}", rows)

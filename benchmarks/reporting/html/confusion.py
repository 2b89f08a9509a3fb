"""Confusion matrices of classifiers; of many classes, their largest confusions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.reporting.answer import nets
from benchmarks.reporting.html.answers import (
    MOST_SEEDS,
    TWO_CLASSES,
    answers_of,
    class_names,
    name_of,
)
from benchmarks.reporting.html.figure import Figure, Record, chart, encode, rounded, spec_of
from benchmarks.reporting.html.formatting import data_unit, number, plural
from benchmarks.reporting.html.run_files import Runs, first_runs
from benchmarks.reporting.html.theme import COLOURS, GRID, INK, Looks

MOST_ARMS = 3  # networks, besides the best baseline
MOST_CLASSES = 20
MOST_WITH_NUMBERS = 10  # classes of a matrix with numbers in its cells
MOST_IN_A_LINE = 40  # characters of the names of all columns
MOST_CONFUSIONS = 20
ROW_HEIGHT = 26  # pixels of a class

CORRECT, WRONG = "correct", "wrong"
OPACITIES = [0.0, 0.75]  # of 0 % and 100 %: numbers in cells stay legible


@dataclass(frozen=True)
class Confusion:
    """The answers of an arm: test items per run by (true class, predicted class)."""

    counts: pd.Series[float]
    runs: int

    def items(self, label: int, predicted: int) -> float:
        """Return the mean number of items of a class that are predicted as another."""
        return float(self.counts.get((label, predicted), 0.0))

    def size(self, label: int) -> float:
        """Return the mean number of items of a true class."""
        counts = self.counts
        return float(counts[counts.index.get_level_values("label") == label].sum())

    def share(self, label: int, predicted: int) -> float:
        """Return the items predicted as a class in per cent of those of the true class."""
        return 100 * self.items(label, predicted) / (self.size(label) or 1.0)


def read(group: Group, runs_: Runs) -> dict[str, Confusion]:
    """Return the confusions of the best networks and the best baseline that have predictions."""
    found = {}
    for arm in [*nets(group)[:MOST_ARMS], group.best_baseline]:
        confusion = None if arm is None else _confusion(arm, runs_)
        if arm is not None and confusion is not None:
            found[arm.label] = confusion
    return found


def _confusion(arm: Arm, runs_: Runs) -> Confusion | None:
    ids = (run_id for run_id, _ in first_runs(arm, MOST_SEEDS))
    tables = [answers_of(runs_.predictions(run_id)) for run_id in ids]
    counts = [table[["label", "predicted"]].value_counts() for table in tables if table is not None]
    if not counts:
        return None
    total = pd.concat(counts).groupby(level=["label", "predicted"]).sum()
    return Confusion(total / len(counts), len(counts))


def confusion_figures(group: Group, runs_: Runs, looks: Looks, name: str) -> list[Figure]:
    """Plot a matrix per arm, or the largest confusions of many classes; empty without classes."""
    confusions = read(group, runs_)
    if not confusions:
        return []
    most = max(int(max(map(max, confusion.counts.index))) for confusion in confusions.values())
    known = class_names(group, runs_) or (TWO_CLASSES if most < 2 else [])
    names = [name_of(label, known) for label in range(max(len(known), most + 1))]
    if len(names) > MOST_CLASSES:
        figure = _largest(group, confusions, looks, names, name)
        return [] if figure is None else [figure]
    return [
        _matrix(label, confusion, names, f"{name}-confusion-{place}")
        for place, (label, confusion) in enumerate(confusions.items(), start=1)
    ]


def _matrix(label: str, confusion: Confusion, names: list[str], name: str) -> Figure:
    classes = range(len(names))
    shares = [[confusion.share(true, other) for other in classes] for true in classes]
    errors = {(i, j): shares[i][j] for i in classes for j in classes if i != j and shares[i][j]}
    (i, j) = max(errors, key=errors.__getitem__, default=(0, 0))
    largest = f"{names[i]} as {names[j]} ({number(shares[i][j], 3)} %)" if errors else "none"
    mean = f"Mean of {confusion.runs} seeds. " if confusion.runs > 1 else ""
    return Figure(
        name=name,
        title=f"Confusion matrix of {label}",
        caption=f"Each row is a true class: its test items by predicted class, in %. {mean}"
        f"Largest confusion: {largest}.",
        summary="Correct by class: "
        + "; ".join(f"{names[i]} {number(shares[i][i], 3)} %" for i in classes),
        spec=spec_of(
            _matrix_layers(confusion, names), [CORRECT, WRONG], 60 + ROW_HEIGHT * len(names)
        ),
        header=["true class", "test items", *(f"predicted {each} (%)" for each in names)],
        rows=[
            [names[i], items_text(confusion.size(i)), *(number(share, 3) for share in shares[i])]
            for i in classes
        ],
    )


def _matrix_layers(confusion: Confusion, names: list[str]) -> list[Any]:
    """Return the cells, and their numbers if there is space."""
    records: list[Record] = [
        {
            "truth": names[i],
            "predicted": names[j],
            "outcome": CORRECT if i == j else WRONG,
            "share": rounded(confusion.share(i, j), 3),
            "items": rounded(confusion.items(i, j), 4),
        }
        for i in range(len(names))
        for j in range(len(names))
    ]
    is_short = max(map(len, names)) * len(names) < MOST_IN_A_LINE
    angle = 0 if is_short else -40 if len(names) <= MOST_WITH_NUMBERS else -90
    cells = chart(records).encode(
        x=alt.X(
            "predicted:N",
            title="predicted class",
            sort=names,
            axis=alt.Axis(labelAngle=angle, labelLimit=110, labelOverlap=False),
        ),
        y=alt.Y("truth:N", title="true class", sort=names, axis=alt.Axis(labelLimit=110)),
    )
    layers = [
        cells.mark_rect(stroke=GRID, strokeWidth=1).encode(
            color=alt.Color(
                "outcome:N",
                scale=alt.Scale(domain=[CORRECT, WRONG], range=[*COLOURS[:2]]),
                legend=alt.Legend(),
            ),
            fillOpacity=alt.FillOpacity(
                "share:Q",
                # The square root keeps small confusions visible.
                scale=alt.Scale(type="sqrt", domain=[0, 100], range=OPACITIES),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("truth:N", title="true class"),
                alt.Tooltip("predicted:N", title="predicted class"),
                alt.Tooltip("share:Q", title="% of the true class"),
                alt.Tooltip("items:Q", title="test items"),
            ],
        )
    ]
    if len(names) <= MOST_WITH_NUMBERS:
        text = alt.Text("share:Q", format=".3~g")
        layers.append(cells.mark_text(color=INK, fontSize=11).encode(text=text))
    return layers


def _largest(
    group: Group, confusions: dict[str, Confusion], looks: Looks, names: list[str], name: str
) -> Figure | None:
    """Plot the pairs of classes with the most confused items on average over the arms."""
    total = pd.concat([c.counts for c in confusions.values()]).groupby(level=[0, 1]).sum()
    true, predicted = (total.index.get_level_values(level) for level in (0, 1))
    pairs = total[true != predicted].nlargest(MOST_CONFUSIONS).index.tolist()
    if not pairs:
        return None
    all_looks = looks.style(group.arms)
    style = {label: all_looks[label] for label in confusions}
    texts = [f"{names[i]} → {names[j]}" for i, j in pairs]
    unit = data_unit(group, "test items")
    records: list[Record] = [
        {
            "arm": label,
            "pair": text,
            "items": rounded(confusion.items(i, j)),
            "share": rounded(confusion.share(i, j), 3),
        }
        for label, confusion in confusions.items()
        for text, (i, j) in zip(texts, pairs, strict=True)
    ]
    marks = chart(records).mark_point(filled=True, size=60, opacity=0.85)
    layer = marks.encode(
        x=alt.X("items:Q", title=f"{unit} of the test split (mean over seeds)"),
        y=alt.Y(
            "pair:N",
            title=None,
            sort=texts,
            axis=alt.Axis(grid=True, labelLimit=240),
        ),
        color=encode(style, "color", "shape"),
        shape=encode(style, "shape", "shape"),
        tooltip=["arm:N", "pair:N", "items:Q", alt.Tooltip("share:Q", title="% of the class")],
    )
    return Figure(
        name=f"{name}-confusions",
        title="Largest confusions: true → predicted class",
        caption=f"The {plural(len(pairs), 'pair')} of {len(names):,} classes with the most "
        f"confused {unit}, on average over the arms.",
        summary=f"The largest confusion is {texts[0]}.",
        spec=spec_of([layer], style, 60 + 20 * len(pairs)),
        header=["true class", "predicted class", *(f"{each}: items (%)" for each in style)],
        rows=[
            [names[i], names[j], *(_cell(confusion, i, j) for confusion in confusions.values())]
            for i, j in pairs
        ],
    )


def _cell(confusion: Confusion, label: int, predicted: int) -> str:
    items = items_text(confusion.items(label, predicted))
    return f"{items} ({number(confusion.share(label, predicted), 3)} %)"


def items_text(mean: float) -> str:
    """Format a mean number of items."""
    return f"{mean:,.1f}".removesuffix(".0")

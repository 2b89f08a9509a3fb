"""Confusion matrices are those of the predictions, with the names of the classes."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import Group
from benchmarks.reporting.html.confusion import MOST_CONFUSIONS, confusion_figures
from benchmarks.reporting.html.figure import Figure
from benchmarks.reporting.html.run_files import Runs
from benchmarks.reporting.html.theme import Looks
from scripts.report import main
from tests.helpers import planted
from tests.helpers.planted import drawn

NAMES = ["apple", "Birne", planted.HOSTILE]
LABELS = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
ANSWERS = {  # by model and seed
    ("gru", 0): [0, 0, 0, 1, 1, 1, 1, 2, 2, 0],
    ("gru", 1): [0, 0, 2, 1, 1, 1, 1, 2, 2, 2],
    ("lstm", 0): [1, 1, 1, 1, 1, 0, 0, 2, 0, 0],
    ("lstm", 1): [1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
}


def leave(
    folder: Path, answers: dict[tuple[str, int], Any], labels: Any, classes: list[str]
) -> Path:
    """Leave runs of a task with classes; accuracies are those of the answers."""
    rows = []
    for (model, seed), predicted in answers.items():
        accuracy = float(np.mean(np.equal(predicted, labels)))
        rows.append(planted.row("text", model, seed, accuracy))
        columns = {"label": np.int32(labels), "predicted_label": np.int32(predicted)}
        planted.leave_predictions(folder, rows[-1], columns, classes)
    return planted.write(folder, rows)


def figures_of(folder: Path) -> tuple[Group, list[Figure]]:
    (group,) = compare([folder]).groups
    runs = Runs([folder / "results.csv"])
    return group, confusion_figures(group, runs, Looks([group]), "x")


def test_shares_are_means_over_the_seeds(tmp_path: Path) -> None:
    _, figures = figures_of(leave(tmp_path, ANSWERS, LABELS, NAMES))
    assert [figure.name for figure in figures] == ["x-confusion-1", "x-confusion-2"]
    for model, figure in zip(("gru", "lstm"), figures, strict=True):
        assert figure.title == f"Confusion matrix of {model}"
        by_seed = [
            confusion_matrix(LABELS, ANSWERS[model, seed], normalize="true") for seed in (0, 1)
        ]
        expected = 100 * np.mean(by_seed, axis=0)
        cells = {(r["truth"], r["predicted"]): r for r in drawn(figure)}
        assert len(cells) == 9
        for i, true in enumerate(NAMES):
            for j, predicted in enumerate(NAMES):
                cell = cells[true, predicted]
                assert cell["share"] == pytest.approx(expected[i, j], abs=0.05)
                assert cell["outcome"] == ("correct" if i == j else "wrong")
    assert figures[0].rows[0] == ["apple", "4", "62.5", "25.0", "12.5"]
    assert "Mean of 2 seeds" in figures[0].caption
    assert "Largest confusion: apple as Birne (25.0 %)" in figures[0].caption
    assert "Largest confusion: apple as Birne (100 %)" in figures[1].caption


def test_runs_without_names_have_numbers(tmp_path: Path) -> None:
    _, figures = figures_of(leave(tmp_path, ANSWERS, LABELS, []))
    assert [row[0] for row in figures[0].rows] == ["0", "1", "2"]


def test_two_classes_have_the_names_of_the_metadata(tmp_path: Path) -> None:
    line = planted.row("text", "gru", 0, 0.5)
    columns = {
        "logit": np.float32([2.0, -1.0, 0.5, -3.0]),
        "positive": [True, True, False, False],
    }
    planted.leave_predictions(tmp_path, line, columns, ["ham", "spam"])
    _, (figure,) = figures_of(planted.write(tmp_path, [line]))
    assert figure.rows == [["ham", "2", "50.0", "50.0"], ["spam", "2", "50.0", "50.0"]]
    assert "seeds" not in figure.caption


def test_old_runs_of_two_classes_are_negative_and_positive(tmp_path: Path) -> None:
    _, figures = figures_of_task(planted.full(tmp_path), "imdb")
    assert [row[0] for row in figures[0].rows] == ["negative", "positive"]
    # All reviews are positive; those with the numbers 1 and 2 are misclassified.
    assert figures[0].rows[1] == ["positive", "4", "50.0", "50.0"]
    assert figures[0].rows[0] == ["negative", "0", "0", "0"]


def figures_of_task(folder: Path, task: str) -> tuple[Group, list[Figure]]:
    (group,) = (group for group in compare([folder]).groups if group.task == task)
    runs = Runs([folder / "results.csv"])
    return group, confusion_figures(group, runs, Looks([group]), "x")


def test_other_tasks_have_no_matrix(tmp_path: Path) -> None:
    planted.full(tmp_path)
    for task in ("sp500", "shakespeare"):
        assert figures_of_task(tmp_path, task)[1] == []


def test_of_many_classes_the_largest_confusions_are_drawn(tmp_path: Path) -> None:
    classes = [f"class {number}" for number in range(30)]
    labels = np.repeat(np.arange(30), 10)
    predicted = labels.copy()
    predicted[50:57] = 9  # 7 items of class 5
    predicted[120:122] = 3  # 2 items of class 12
    predicted[0::10] = (labels[0::10] + 1) % 30  # 1 item of each, but of class 5 one more of 9
    predicted[50] = 9
    _, (figure,) = figures_of(
        leave(tmp_path, {("gru", 0): predicted, ("lstm", 0): labels}, labels, classes)
    )
    assert figure.name == "x-confusions"
    assert len(figure.rows) == MOST_CONFUSIONS
    assert figure.header == ["true class", "predicted class", "lstm: items (%)", "gru: items (%)"]
    assert figure.rows[0] == ["class 5", "class 9", "0 (0 %)", "7 (70.0 %)"]
    (record,) = drawn(figure, arm="gru", pair="class 5 → class 9")
    assert (record["items"], record["share"]) == (7, 70)


def test_no_confusion_of_many_classes_is_no_figure(tmp_path: Path) -> None:
    labels = np.arange(25)
    folder = leave(tmp_path, {("gru", 0): labels}, labels, [str(each) for each in labels])
    assert figures_of(folder)[1] == []


@pytest.mark.parametrize(
    "columns",
    [
        {"label": [0, -1], "predicted_label": [0, 1]},
        {"label": [0.5, None], "predicted_label": [0, 1]},
        {"label": ["a", "b"], "predicted_label": [0, 1]},
        {"label": [0, 2**40], "predicted_label": [0, 1]},
    ],
)
def test_cells_that_are_no_labels_are_as_missing(tmp_path: Path, columns: dict[str, Any]) -> None:
    line = planted.row("text", "gru", 0, 0.5)
    (tmp_path / "runs" / line["run_id"]).mkdir(parents=True)
    table = pd.DataFrame({"item": [0, 1], **columns})
    table.to_parquet(tmp_path / "runs" / line["run_id"] / "predictions.parquet")
    assert figures_of(planted.write(tmp_path, [line]))[1] == []


@pytest.mark.parametrize("count", [3, 20, 26])
def test_matrices_are_pictures_and_names_are_text(tmp_path: Path, count: int) -> None:
    classes = [f"{planted.HOSTILE} \x1b[31m {'long name ' * 8}{number}" for number in range(count)]
    labels = np.tile(np.arange(count), 4)
    predicted = np.roll(labels, 1)
    folder = leave(tmp_path / "results", {("gru", 0): predicted}, labels, classes)
    page, files = tmp_path / "page.html", tmp_path / "files"
    assert main([str(folder), "-o", str(page), "--figures", str(files)]) == 0
    kind = "confusion-1" if count <= 20 else "confusions"
    name = f"text-accuracy-{kind}"
    text = page.read_text(encoding="utf-8")
    assert "Confusion matrices" in text
    assert planted.HOSTILE not in text
    assert "\x1b" not in text
    assert "\\x1b[31m" in text
    width, height = struct.unpack(">II", (files / f"{name}.png").read_bytes()[16:24])
    assert width > 1000
    assert height > 15 * count
    svg = (files / f"{name}.svg").read_text(encoding="utf-8")
    assert "\x1b" not in svg
    assert planted.HOSTILE not in svg
    charts = text.partition('id="charts">')[2].partition("</script>")[0]
    assert name in json.loads(charts)["specs"]

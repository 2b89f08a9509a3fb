"""The hardest items are those of the largest loss, with the answers of the arms."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.analysis.compare import compare
from benchmarks.reporting.html.hardest import Hardest, hardest
from benchmarks.reporting.html.run_files import Runs
from scripts.report import main
from tests.helpers import planted

NAMES = ["apple", "Birne", planted.HOSTILE]
LABELS = [0, 1, 2]
PROBABILITIES = {  # of the true class, and the predicted class, by model, seed and item
    ("gru", 0): ([0.9, 0.2, 0.1], [0, 0, 1]),
    ("gru", 1): ([0.8, 0.4, 0.1], [0, 0, 1]),
    ("gru", 2): ([0.8, 0.6, 0.4], [0, 1, 0]),
    ("lstm", 0): ([0.9, 0.7, 0.3], [0, 1, 0]),
}


def found(folder: Path, task: str) -> Hardest | None:
    (group,) = (group for group in compare([folder]).groups if group.task == task)
    return hardest(group, Runs([folder / "results.csv"]))


def leave(
    folder: Path, with_predictions: bool = True, names: dict[str, list[str]] | None = None
) -> Path:
    """Leave runs of three classes, with excerpts unless the items have names."""
    rows = []
    for (model, seed), (probabilities, predicted) in PROBABILITIES.items():
        rows.append(planted.row("text", model, seed, 0.3 + 0.1 * (model == "gru")))
        nats = -np.log(np.float32(probabilities))
        columns = {"label": np.int32(LABELS), "predicted_label": np.int32(predicted), "nats": nats}
        if with_predictions:
            planted.leave_predictions(folder, rows[-1], columns, NAMES, names)
        if names is None:
            excerpts = [
                {
                    "item": item,
                    "nats": float(nats[item]),
                    "label": NAMES[LABELS[item]],
                    "predicted_label": NAMES[predicted[item]],
                    "text": f"document {item}",
                }
                for item in (2, 1)
            ]
            planted.leave_excerpts(folder, rows[-1], excerpts)
    return planted.write(folder, rows)


@pytest.mark.parametrize("with_predictions", [True, False])
def test_answers_of_three_classes(tmp_path: Path, with_predictions: bool) -> None:
    shown = found(leave(tmp_path, with_predictions), "text")
    assert shown is not None
    assert shown.unit == "documents"
    first, second = shown.items
    assert (first.beginning, first.truth, first.wrong) == ("document 2", NAMES[2], "4 of 4")
    # gru: Birne by two of three seeds; mean probability of the true class (0.1 + 0.1 + 0.4) / 3.
    assert first.answers == [
        ("gru", f"Birne ({planted.HOSTILE}: 0.20)", True),
        ("lstm", f"apple ({planted.HOSTILE}: 0.30)", True),
    ]
    assert (second.beginning, second.truth, second.wrong) == ("document 1", "Birne", "2 of 4")
    assert second.answers == [("gru", "apple (Birne: 0.40)", True), ("lstm", "Birne (0.70)", False)]


def test_items_without_text_have_their_name(tmp_path: Path) -> None:
    shown = found(leave(tmp_path, names={"series": ["a", "b", "c"]}), "text")
    assert shown is not None
    assert [item.beginning for item in shown.items] == ["series c", "series b", "series a"]


def test_items_without_text_and_name_are_not_shown(tmp_path: Path) -> None:
    assert found(leave(tmp_path, names={}), "text") is None


def test_two_classes_have_the_probability_of_the_second(tmp_path: Path) -> None:
    line = planted.row("text", "gru", 0, 0.5)
    logits, positive = [1.0, -2.0, 3.0], [True, True, False]
    columns = {"logit": np.float32(logits), "positive": positive}
    planted.leave_predictions(tmp_path, line, columns, ["ham", "spam"])
    excerpts: list[dict[str, Any]] = [
        {"item": i, "logit": logits[i], "positive": positive[i], "text": f"mail {i}"}
        for i in (2, 1)
    ]
    planted.leave_excerpts(tmp_path, line, excerpts)
    shown = found(planted.write(tmp_path, [line]), "text")
    assert shown is not None
    assert shown.answer == "the probability of spam by arm (mean over seeds)"
    first, second = shown.items
    assert (first.beginning, first.truth, first.answers) == (
        "mail 2",
        "ham",
        [("gru", "0.95", True)],
    )
    assert (second.truth, second.answers) == ("spam", [("gru", "0.12", True)])


def test_old_reviews_are_positive_or_negative(tmp_path: Path) -> None:
    shown = found(planted.full(tmp_path), "imdb")
    assert shown is not None
    assert (shown.unit, shown.answer[:26]) == ("reviews", "the probability of positiv")
    first, second = shown.items
    assert first.beginning.startswith("review 2\n")
    assert second.beginning.startswith("review 1\n")
    assert (first.truth, first.wrong) == ("positive", "15 of 15")
    chances = {label: chance for label, chance, _ in second.answers}
    assert chances == {"gru": "0.27", "lstm": "0.12", planted.HOSTILE: "0.05"}
    assert all(wrong for _, _, wrong in second.answers)


def test_the_page_names_the_unit_and_the_classes(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main([str(leave(tmp_path / "results")), "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert planted.HOSTILE not in text
    plain = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))
    assert "The hardest documents Test documents with" in plain
    assert (
        f"Label: {NAMES[2]} ; wrong in 4 of 4 runs. gru Birne ({NAMES[2]}: 0.20) (wrong)" in plain
    )
    assert "review" not in plain.partition("@media")[0].partition("vega")[0]


def test_control_characters_of_texts_are_escaped(tmp_path: Path) -> None:
    line = planted.row("shakespeare", "gru", 0, 5.0)
    planted.leave_sample(tmp_path, line, f"KING \x1b]0;owned\x07 \u202eback {planted.HOSTILE}")
    page = tmp_path / "page.html"
    assert main([str(planted.write(tmp_path, [line])), "-o", str(page)]) == 0
    content = page.read_bytes().decode("utf-8")
    sample = re.search(r'<pre tabindex="0">(.*?)</pre>', content, re.DOTALL)
    assert sample is not None
    assert html.unescape(sample[1]) == (f"KING \\x1b]0;owned\\x07 \\u202eback {planted.HOSTILE}")
    assert "<script>alert" not in sample[1]

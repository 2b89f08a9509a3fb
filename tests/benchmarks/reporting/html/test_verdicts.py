"""The report page states the verdicts of compare for the same table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.analysis.comparison import Group
from benchmarks.analysis.margin import parse_margin
from benchmarks.reporting.html.overview import arm_table, pair_table
from benchmarks.reporting.html.summary import SHOWN, summarise
from benchmarks.reporting.sentences import pair_text
from scripts.report import main as report
from tests.helpers.result_tables import GRU, LSTM, RNN, Row, arm, fixed, grouped
from tests.helpers.stored_forecasts import DOWN, arm_of, forecasts, group_of

ARMS = [*arm("gru", GRU), *arm("lstm", LSTM), *arm("rnn", RNN), *fixed("majority", 0.5)]


def diverging(count: int) -> list[Row]:
    """Return an arm with the best scores of all, of which other runs diverged."""
    lost = arm("mamba", [0.0] * count, list(range(5, 5 + count)), status="diverged")
    return arm("mamba", [score + 0.05 for score in LSTM]) + [r | {"test_score": ""} for r in lost]


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ([], {}),
        ([], {"margin": parse_margin("0.05")}),
        ([], {"planned": 10}),
        (diverging(20), {}),
        (diverging(1), {"baseline": "lstm"}),
    ],
)
def test_every_pair_has_the_verdict_of_compare(
    tmp_path: Path, more: list[Row], options: dict[str, Any]
) -> None:
    group = grouped(tmp_path, ARMS, more, **options)
    cells = {(row[0].text, row[1].text): row[2].text for row in pair_table(group).rows}
    assert cells == {(pair.a, pair.b): pair.verdict for pair in group.pairs}
    for pair in group.pairs:
        assert pair.verdict in pair_text(pair, group)


def score_tone(group: Group, label: str) -> str:
    return next(row[1].tone for row in arm_table(group).rows if row[0].text == label)


def test_an_arm_that_fails_is_not_the_best_of_the_page(tmp_path: Path) -> None:
    rivals = [*arm("gru", GRU), *fixed("majority", 0.5)]
    complete = grouped(tmp_path, rivals, diverging(0))
    assert (summarise(complete).tone, score_tone(complete, "mamba")) == (SHOWN, "among-best")
    group = grouped(tmp_path, rivals, diverging(20))
    summary = summarise(group)
    assert summary.tone != SHOWN
    assert "mamba fails more often" in summary.text
    assert score_tone(group, "mamba") == ""
    (seeds,) = [row[2].text for row in arm_table(group).rows if row[0].text == "mamba"]
    assert seeds == "5 of 25"


@pytest.mark.parametrize("failed", [0, 1, 3, 5])
def test_a_page_of_arms_with_few_failures_is_written(tmp_path: Path, failed: int) -> None:
    """No arm is shown to fail more often, so the page names none."""
    group = grouped(tmp_path, arm("gru", GRU), diverging(failed))
    text = summarise(group).text
    assert ("Completed runs: mamba 5 of" in text) == (failed > 0)
    assert "fails more often" not in text


@pytest.mark.parametrize("is_walk", [True, False], ids=["dependent", "independent"])
def test_the_page_warns_of_dependent_items_as_compare_does(tmp_path: Path, is_walk: bool) -> None:
    """Errors that wander have an autocorrelation near 1 from day to day."""
    errors = np.random.default_rng(0).normal(size=(2, 3, 400))
    errors = 5 + np.cumsum(errors, axis=2) / 10 if is_walk else errors
    arms = [
        arm_of(name, [forecasts(tmp_path, f"{name}{n}", e) for n, e in enumerate(each)], **DOWN)
        for name, each in zip(("gru", "rnn"), errors, strict=True)
    ]
    group = group_of(tmp_path, *arms)
    (pair,) = group.pairs
    assert pair.items is not None
    assert pair.population is not None
    warnings = [found.warning for found in (pair.population, pair.items)]
    start = "p is too small: autocorrelation"
    assert [warning.startswith(start) for warning in warnings] == [is_walk] * 2
    text, page = pair_text(pair, group), tmp_path / "page.html"
    assert report([str(tmp_path), "-o", str(page)]) == 0
    html = page.read_text(encoding="utf-8")
    assert (text.count(start), html.count(start)) == (2 * is_walk, 2 * is_walk)
    assert all(warning in text and warning in html for warning in warnings)

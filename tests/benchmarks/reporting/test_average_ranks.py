"""Average ranks as text, Markdown and JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from benchmarks.analysis.over_groups import AcrossTasks
from benchmarks.reporting.average_ranks import rank_section, verdict_texts
from scripts.compare import main
from tests.helpers.result_tables import arm, write

FOUND = AcrossTasks(
    arms=["gru", "lstm", "rnn"],
    ranks=[1.25, 1.75, 3.0],
    groups=[f"t{n} (accuracy)" for n in range(14)],
    statistic=math.inf,
    p=0.0004,
    critical_difference=1.1716,
    not_shown=[["gru", "lstm"]],
    notes=["bigru is not ranked: it is in 2 of 14 groups"],
)


def test_the_section_has_the_ranks_and_the_tests() -> None:
    section = rank_section(FOUND)
    assert section.table is not None
    assert section.table.rows == [["gru", "1.25"], ["lstm", "1.75"], ["rnn", "3.00"]]
    assert section.about[0].startswith("14 groups: t0 (accuracy), t1 (accuracy)")
    assert section.about[0].endswith("and 2 more")
    assert section.about[1] == (
        "Friedman's test: F = inf, p < 0.001; Nemenyi's critical difference: 1.17"
    )
    assert section.below == ["not shown to differ: gru, lstm"]
    assert section.lists == [("notes", FOUND.notes)]


@pytest.mark.parametrize(
    ("p", "not_shown", "text"),
    [
        (0.05, FOUND.not_shown, "no difference between these arms is shown"),
        (0.049, [], "all of these arms are shown to differ"),
    ],
)
def test_the_verdict_follows_from_the_tests(
    p: float, not_shown: list[list[str]], text: str
) -> None:
    assert verdict_texts(dataclasses.replace(FOUND, p=p, not_shown=not_shown)) == [text]


def test_every_format_of_compare_has_the_ranks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        row
        for task in range(6)
        for model, score in (("gru", 0.9), ("lstm", 0.8), ("rnn", 0.7))
        for row in arm(model, [score], task=f"t{task:02d}")
    ]
    table = write(tmp_path / "t.csv", rows)
    for form in ("table", "markdown", "json"):
        assert main([str(table), "--format", form]) == 0
        text = capsys.readouterr().out
        if form == "json":
            across = json.loads(text)["across"]
            assert (across["arms"], across["ranks"]) == (["gru", "lstm", "rnn"], [1.0, 2.0, 3.0])
            assert across["statistic"] is None  # F is infinite
            assert across["not_shown"] == [["gru", "lstm"], ["lstm", "rnn"]]
            assert across["p"] < 0.001
        else:
            assert "across tasks: average ranks" in text
            assert "not shown to differ: gru, lstm" in text
    assert main([str(write(tmp_path / "u.csv", rows[:12])), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["across"] is None

"""A comparison as data: valid JSON, and CSV that a spreadsheet does not execute."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reporting.json_csv import as_json, comparison_csv, comparison_json, finite
from benchmarks.reporting.renderers import as_markdown
from benchmarks.reporting.tables import sections_of
from scripts.compare import main
from tests.helpers.result_tables import LSTM, RNN, arm, compared, fixed, write

PERPLEXITY = {"metric": "perplexity", "higher_is_better": "false"}


def strict(text: str) -> Any:
    """Parse JSON as its standard defines it."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_numbers_that_are_not_finite_are_null() -> None:
    data = {"a": math.inf, "b": [1.0, (math.nan, -math.inf)], "c": "inf", "d": 2**70, "e": True}
    expected = {"a": None, "b": [1.0, [None, None]], "c": "inf", "d": 2**70, "e": True}
    assert finite(data) == expected
    assert strict(as_json(data)) == expected


@pytest.mark.parametrize("size", [1e160, 1e304, 1.6e308])
def test_huge_scores_are_compared(tmp_path: Path, size: float) -> None:
    found = compared(
        tmp_path,
        arm("huge", [size, size * 1.1, size * 0.9], val_score=size, **PERPLEXITY),
        arm("net", [5.1, 5.3, 5.2], **PERPLEXITY),
        fixed("uniform", 65.0, **PERPLEXITY),
    )
    data = strict(as_json(comparison_json(found)))
    (group,) = data["groups"]
    assert [each["label"] for each in group["arms"]] == ["net", "uniform", "huge"]
    huge = group["arms"][-1]
    assert huge["score"]["mean"] == pytest.approx(size)
    assert huge["skill"] == pytest.approx(-size / 64)
    # Student's t at two degrees of freedom is 4.303; the standard deviation is a tenth.
    half = 4.302653 / 10 / math.sqrt(3) * size
    assert huge["score"]["low"] == pytest.approx(size - half)
    is_finite = size < 1.4e308
    assert huge["score"]["high"] == (pytest.approx(size + half) if is_finite else None)
    for text in (comparison_csv(found), as_markdown(sections_of(found, False))):
        assert "e+" in text
        assert not re.search(r"(\d,?){30}", text)
        assert "nan" not in text


def test_csv_of_a_comparison_is_not_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["=cmd()", "+1", "-x", "@SUM(A1)", "\t=1", "a|b"]
    down = [[-score for score in LSTM], *([-score - n for score in RNN] for n in range(5))]
    rows = [row for each in zip(labels, down, strict=True) for row in arm(*each)]
    table = write(tmp_path / "t.csv", rows)
    other = write(tmp_path / "u.csv", [row | {"test_score": row["test_score"] - 9} for row in rows])
    texts = set()
    for tables in ([table], [table, other]):
        assert main([*map(str, tables), "--format", "csv"]) == 0
        for line in csv.DictReader(io.StringIO(capsys.readouterr().out)):
            texts |= {line["label"], line.get("against", "")}
            means = [line[name] for name in ("mean", "before_mean", "after_mean") if name in line]
            assert all(float(mean) < 0 for mean in means)  # numbers have no apostrophe
    assert {"'=cmd()", "+1", "'-x", "'@SUM(A1)", "'\t=1", "a|b"} <= texts
    assert not texts & {"=cmd()", "-x", "@SUM(A1)", "\t=1"}

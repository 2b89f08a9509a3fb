"""Numbers as text, whatever their size."""

from __future__ import annotations

import pytest

from benchmarks.analysis.arms import budget_name
from benchmarks.analysis.formatting import (
    decimals_of,
    interval_text,
    mean_text,
    rounded,
    short_count,
    significant,
)
from benchmarks.analysis.statistics.common import Interval
from benchmarks.reporting.html.formatting import number, score_texts

LARGE = [1e12, 1e160, 1.7e308, -1e160]


@pytest.mark.parametrize("value", LARGE)
def test_large_numbers_have_an_exponent(value: float) -> None:
    texts = [rounded(value, n) for n in (3, 0, -200, None)]
    texts += [significant(value), short_count(value), number(value)]
    texts.append(budget_name("flops", value).partition(" FLOPs")[0])
    for text in texts:
        assert len(text) <= 16
        assert float(text.replace("−", "-")) == pytest.approx(value, rel=0.05)  # noqa: RUF001


def test_a_large_mean_has_the_digits_of_its_interval() -> None:
    score = Interval(1.23456e160, 1.2e160, 1.26912e160, 5)
    assert mean_text(score) == "1.235e+160"
    assert score_texts(score) == ("1.235e+160", "1.200e+160 to 1.269e+160")
    assert interval_text(-3e157, 1.5e160, decimals_of(1e159)) == "[-3.0e+157, 1.50e+160]"
    assert (rounded(1e160, None), significant(1e160, 2)) == ("1.000e+160", "1.0e+160")


@pytest.mark.parametrize(
    ("value", "text"), [(999_999_999_999.0, "999,999,999,999"), (-12.4, "-12"), (0.4, "0")]
)
def test_smaller_numbers_have_all_digits_before_the_point(value: float, text: str) -> None:
    assert rounded(value, decimals_of(300.0)) == text

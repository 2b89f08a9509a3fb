"""Variance components of planted results folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.variance import Component, variance_tables
from benchmarks.errors import UserError
from tests.helpers.crossed_runs import A, B, C, design, results
from tests.helpers.result_tables import Row, arm, compared, keep_predictions


def components(folder: Path, rows: list[Row]) -> dict[str, Component]:
    (table,) = variance_tables([results(folder, rows)])
    return {each.source: each for each in table.components}


def test_planted_components_are_recovered_in_any_order_of_rows(tmp_path: Path) -> None:
    rows = design([A, B])
    (table,) = variance_tables([results(tmp_path, rows[::-1])])
    assert (table.model, table.task, table.runs) == ("lstm", "toy", 6)
    assert table.overrides == "train.max_epochs=3"
    found = {each.source: each for each in table.components}
    assert [*found] == ["initialisation", "data order", "their combination", "all seeds", "total"]
    expected = {"initialisation": A.var(ddof=1), "data order": B.var(ddof=1)}
    total = sum(expected.values())
    for source, variance in expected.items():
        assert found[source].deviation == pytest.approx(np.sqrt(variance))
        assert found[source].share == pytest.approx(variance / total)
    assert found["their combination"].deviation == pytest.approx(0, abs=1e-9)
    assert found["total"].deviation == pytest.approx(np.sqrt(total))
    assert found["initialisation"].levels == 3


def test_a_random_split_is_a_third_source(tmp_path: Path) -> None:
    rows = design([A, B, C])
    found = components(tmp_path, rows)
    assert found["split"].deviation == pytest.approx(C.std(ddof=1))
    for row in rows:
        row["split_seed"] = row["split_seed"] or ""  # the default split is one of them
    assert components(tmp_path, rows)["split"] == found["split"]


def test_sources_that_do_not_vary_are_named(tmp_path: Path) -> None:
    (table,) = variance_tables([results(tmp_path, design([A, B[:1]]))])
    sources = [each.source for each in table.components]
    assert sources == ["initialisation", "the varied seeds", "total"]
    assert table.notes == [
        "data order: one seed, its share is unknown and no part of the total",
        "split: the same in all runs (in order)",
        "test items: their share is unknown: no predictions of r0",
    ]


def test_each_model_and_setting_has_its_table(tmp_path: Path) -> None:
    rows = design([A, B]) + design([A, B, C], hidden_size=7) + arm("lstm", [0.5], run_id="other")
    tables = variance_tables([results(tmp_path, rows)])
    assert [table.runs for table in tables] == [18, 6]


# --- test items, by predictions beside the table


def classes(folder: Path, runs: int, items: int, share: float) -> list[Row]:
    """Leave runs that are right on the same share of items."""
    right = np.arange(items) < share * items
    for number in range(runs):
        logit = np.where(right, 1.0, -1.0).astype(np.float32)
        keep_predictions(folder, f"r{number}", {"logit": logit, "positive": np.full(items, True)})
    return design([A, B], [float(right.mean())] * runs)


def test_the_items_of_an_accuracy_are_binomial(tmp_path: Path) -> None:
    found = components(tmp_path, classes(tmp_path, 6, 2000, 0.9))
    assert found["test items"].deviation == pytest.approx(np.sqrt(0.9 * 0.1 / 2000), rel=1e-3)
    assert found["test items"].share == 1
    assert found["all seeds"].deviation == 0


def test_items_of_an_rmse_and_a_perplexity_agree_with_a_bootstrap(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    errors, nats = rng.standard_t(8, 1000), rng.gamma(2, 1, 1000)
    reference = {
        "rmse": (errors, lambda x, axis: np.sqrt((x**2).mean(axis=axis))),
        "perplexity": (nats, lambda x, axis: np.exp(x.mean(axis=axis))),
    }
    for metric, (values, score) in reference.items():
        folder = tmp_path / metric
        for number in range(6):
            actual = np.full(len(values), 10.0)
            columns = {"actual": actual, "predicted": actual + values}
            keep_predictions(
                folder, f"r{number}", columns if metric == "rmse" else {"nats": values}
            )
        rows = design([A, B], [float(score(values, 0))] * 6, metric=metric, higher_is_better=False)
        found = components(folder, rows)["test items"]
        expected = stats.bootstrap((values,), score, n_resamples=2000, rng=4).standard_error
        assert found.deviation == pytest.approx(expected, rel=0.25)  # of few blocks, not of items
        assert found.interval[0] < expected < found.interval[1]


def test_predictions_that_contradict_a_score_are_not_used(tmp_path: Path) -> None:
    rows = classes(tmp_path, 6, 200, 0.9)
    rows[4]["test_score"] = 0.6
    (table,) = variance_tables([results(tmp_path, rows)])
    assert "test items" not in {each.source for each in table.components}
    assert table.notes[-1].endswith("the predictions of r4 give a score of 0.9, not 0.6")


def test_few_items_have_no_share(tmp_path: Path) -> None:
    (table,) = variance_tables([results(tmp_path, classes(tmp_path, 6, 40, 0.9))])
    assert table.notes[-1].endswith("40 items are too few")


# --- mistakes, and comparisons


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "diverged", "test_score": ""}, r"1 of 6 runs of the design failed or are miss"),
        ({"order_seed": 0, "init_seed": 0}, r"equal seeds have different scores .*init_seed=0 tr"),
        ({"smoke": "true"}, r"such as train.init_seed=1 train.order_seed=1; run the same sweep"),
    ],
)
def test_an_incomplete_design_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    rows = design([A, B])
    rows[3] |= change
    with pytest.raises(UserError, match=message):
        variance_tables([results(tmp_path, rows)])


def test_a_table_without_such_runs_and_an_unknown_task_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no runs with train.init_seed and train.order_seed"):
        variance_tables([results(tmp_path, arm("lstm", [0.1, 0.2]))])
    with pytest.raises(UserError, match="one run is not enough"):
        variance_tables([results(tmp_path, design([A[:1], B[:1]]))])
    with pytest.raises(UserError, match=r"--task tyo: no runs .* did you mean toy"):
        variance_tables([results(tmp_path, design([A, B]))], "tyo")


def test_a_comparison_leaves_these_runs_out(tmp_path: Path) -> None:
    """They share initial weights and orders: they are no independent seeds of an arm."""
    plain = arm("lstm", [0.8, 0.81, 0.82], seeds=[1, 2, 3])
    alone = compared(tmp_path, plain)
    both = compared(tmp_path, plain, design([A, B]))
    assert [each.score for each in both.groups[0].arms] == [alone.groups[0].arms[0].score]
    (excluded,) = both.left_out
    assert (excluded.count, excluded.reason) == (
        6,
        "runs of variance components (scripts/variance.py)",
    )


def test_one_fixed_stream_is_compared_as_an_arm(tmp_path: Path) -> None:
    rows = arm("lstm", [0.8, 0.82], init_seed=1, arm="a") + arm("lstm", [0.7, 0.71], arm="b")
    assert len(compared(tmp_path, rows).groups[0].arms) == 2

"""Changes between two tables and their verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.diff import changes
from tests.helpers.result_tables import arm, changed, fixed, write

BEFORE = [0.81, 0.84, 0.83, 0.86, 0.82]
BETTER = [0.90, 0.92, 0.93, 0.94, 0.91]
ABOUT = [0.80, 0.85, 0.82, 0.86, 0.83]


def test_improved_and_worse(tmp_path: Path) -> None:
    before = [*arm("up", BEFORE), *arm("down", BETTER), *arm("about", BEFORE), *arm("gone", BEFORE)]
    after = [*arm("up", BETTER), *arm("down", BEFORE), *arm("about", ABOUT), *arm("new", BEFORE)]
    found = changed(tmp_path, before, after)
    assert {label: each.verdict for label, each in found.items()} == {
        "down": "worse",
        "up": "improved",
        "about": "no difference shown",
        "gone": "only in A",
        "new": "only in B",
    }
    p = {
        "up": stats.ttest_rel(BETTER, BEFORE).pvalue,
        "about": stats.ttest_rel(ABOUT, BEFORE).pvalue,
    }
    up, about = found["up"], found["about"]
    assert up.seeds is not None
    assert up.seeds.difference == pytest.approx(np.mean(BETTER) - np.mean(BEFORE))
    assert up.p_adjusted == pytest.approx(3 * p["up"])  # both changes have the same p
    assert about.p_adjusted == pytest.approx(p["about"])
    assert about.detectable is not None
    assert (found["gone"].after, found["new"].before) == (None, None)
    assert up.before is not None
    assert up.before.mean == pytest.approx(np.mean(BEFORE))


def test_holm_runs_over_all_arms(tmp_path: Path) -> None:
    """One arm's p of 0.03 shows a change; three of them are expected once in ten tables."""
    after = np.add(BEFORE, [0.01, 0.03, 0.02, 0.04, 0.005]).tolist()
    p = stats.ttest_rel(after, BEFORE).pvalue
    assert 0.02 < p < 0.05
    alone = changed(tmp_path, arm("a", BEFORE), arm("a", after))["a"]
    assert (alone.verdict, alone.p_adjusted) == ("improved", pytest.approx(p))
    names = ("a", "b", "c")
    before, later = ([row for n in names for row in arm(n, s)] for s in (BEFORE, after))
    among = changed(tmp_path, before, later)
    assert [each.verdict for each in among.values()] == ["no difference shown"] * 3
    assert among["a"].p_adjusted == pytest.approx(3 * p)


def test_where_lower_is_better(tmp_path: Path) -> None:
    down: dict[str, Any] = {"metric": "rmse", "higher_is_better": "false"}
    found = changed(tmp_path, arm("lstm", BEFORE, **down), arm("lstm", BETTER, **down))
    assert found["lstm"].verdict == "worse"


def test_equal_numbers_are_the_same(tmp_path: Path) -> None:
    before = [*arm("lstm", BEFORE), *arm("one", [0.5]), *fixed("majority", 0.5)]
    found = changed(tmp_path, before, before)
    assert {each.verdict for each in found.values()} == {"same"}
    assert found["lstm"].reason == "the same at all 5 seeds"


@pytest.mark.parametrize("scores", [BEFORE, BEFORE[:1]])
def test_differences_by_rounding_are_the_same(scores: list[float], tmp_path: Path) -> None:
    """As of multi-seed and single runs: a test would find the sign of the rounding."""
    noise = np.array([1e-7, 2e-7, 3e-7, 2e-7, 1e-7])[: len(scores)]  # t = 4.8
    after = np.multiply(scores, 1 + noise).tolist()
    change = changed(tmp_path, arm("lstm", scores), arm("lstm", after))["lstm"]
    assert change.verdict == "same"
    assert "up to rounding" in change.reason
    beyond = changed(tmp_path, arm("lstm", BEFORE), arm("lstm", [s * (1 + 1e-5) for s in BEFORE]))
    assert beyond["lstm"].verdict == "improved"


def test_counts_are_never_rounded(tmp_path: Path) -> None:
    large, larger = (arm("lstm", BEFORE, parameters=n) for n in (20_000_000, 20_000_001))
    assert changed(tmp_path, large, larger, metric="parameters")["lstm"].verdict == "worse"


def test_one_seed_is_not_tested(tmp_path: Path) -> None:
    change = changed(tmp_path, arm("lstm", [0.5]), arm("lstm", [0.9]))["lstm"]
    assert change.verdict == "not comparable"
    assert change.reason.startswith("n = 1")


def test_a_deterministic_baseline_that_differs_has_changed(tmp_path: Path) -> None:
    found = changed(tmp_path, fixed("majority", 0.5), fixed("majority", 0.51))
    assert found["majority"].verdict == "improved"
    assert changed(tmp_path, fixed("majority", 0.5), fixed("majority", 0.5 + 1e-12))[
        "majority"
    ].verdict == "same"  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"train_size": 10}, {"train_size": 20}, "train_size 10 in A, 20 in B"),
        ({"dataset_sha256": "a"}, {"dataset_sha256": "b"}, "dataset_sha256 a in A, b in B"),
        ({"task_version": 1}, {"task_version": 2}, "task_version 1 in A, 2 in B"),
        ({"model_version": 1}, {"model_version": 2}, "model version 1 in A, 2 in B"),
    ],
)
@pytest.mark.parametrize("hashes", [("", ""), ("x", "y")])
def test_other_data_or_versions_are_not_comparable(
    tmp_path: Path,
    before: dict[str, Any],
    after: dict[str, Any],
    reason: str,
    hashes: tuple[str, str],
) -> None:
    a = arm("lstm", BEFORE, arm=hashes[0], **before)
    b = arm("lstm", BETTER, arm=hashes[1], **after)
    (change,) = changed(tmp_path, a, b).values()
    assert (change.verdict, change.reason) == ("not comparable", reason)


def test_arms_with_equal_settings_are_compared_although_their_hashes_differ(tmp_path: Path) -> None:
    a = arm("lstm", BEFORE, arm="old", hidden_size=8, overrides="task.window=20")
    b = arm("lstm", BETTER, arm="new", hidden_size=8, overrides="task.window=20")
    change = changed(tmp_path, a, b)["lstm"]
    assert change.verdict == "improved"
    assert change.reason.endswith("the same settings, but the column arm differs")
    other = arm("lstm", BETTER, arm="new", hidden_size=8, overrides="task.window=60")
    assert {each.verdict for each in changed(tmp_path, a, other).values()} == {
        "only in A",
        "only in B",
    }


def test_ambiguous_settings_are_not_paired(tmp_path: Path) -> None:
    a = arm("lstm", BEFORE, arm="old", hidden_size=8)
    b = [*arm("lstm", BETTER, arm="p", hidden_size=8), *arm("lstm", ABOUT, arm="q", hidden_size=8)]
    found = changed(tmp_path, a, b)
    assert sorted(each.verdict for each in found.values()) == [
        "only in A",
        "only in B",
        "only in B",
    ]
    assert len(found) == 3


def test_a_table_without_the_column_arm(tmp_path: Path) -> None:
    found = changed(tmp_path, arm("lstm", BEFORE), arm("lstm", BETTER, arm="hash"))
    assert found["lstm"].verdict == "improved"


def test_labels_contain_the_differing_settings(tmp_path: Path) -> None:
    both = [*arm("lstm", BEFORE, hidden_size=8), *arm("lstm", ABOUT, hidden_size=16)]
    assert set(changed(tmp_path, both, both)) == {"lstm hidden_size=8", "lstm hidden_size=16"}
    assert set(changed(tmp_path, both, both, by=("model",))) == {"lstm"}


def test_changes_of_times_need_runs_without_load_on_one_machine(tmp_path: Path) -> None:
    def timed(seconds: list[float], **more: Any) -> list[dict[str, Any]]:
        rows = arm("lstm", BEFORE, device_name="x", threads=1, **more)
        return [r | {"train_seconds": s} for r, s in zip(rows, seconds, strict=True)]

    slow, fast = [3.0, 3.1, 3.2, 3.3, 3.0], [1.0, 1.2, 1.1, 1.3, 1.1]
    by_time = {"metric": "train_seconds"}
    assert changed(tmp_path, timed(slow), timed(fast), **by_time)["lstm"].verdict == "improved"
    shared = timed(fast, concurrent_runs=2)
    change = changed(tmp_path, timed(slow), shared, **by_time)["lstm"]
    assert (change.verdict, change.reason) == (
        "not comparable",
        "unreliable times: other runs on the machine",
    )
    elsewhere = [row | {"device_name": "y"} for row in timed(fast)]
    change = changed(tmp_path, timed(slow), elsewhere, **by_time)["lstm"]
    assert change.reason.startswith("times of x, 1 threads, PyTorch unknown in A, of y")


def test_excluded_rows_are_listed_for_each_table(tmp_path: Path) -> None:
    a = write(tmp_path / "a.csv", [*arm("lstm", BEFORE), *arm("rnn", [0.5], smoke="true")])
    b = write(tmp_path / "b.csv", [*arm("lstm", BEFORE), *arm("rnn", [0.5], status="failed")])
    found = changes(a, b)
    assert [[left.reason for left in each] for each in found.left_out] == [
        ["smoke tests"],
        ["runs that ended as failed"],
    ]
    assert {each.label: each.verdict for each in found.changes} == {
        "lstm": "same",
        "rnn": "failed in B",
    }


def test_tables_without_rows_to_compare(tmp_path: Path) -> None:
    assert changed(tmp_path, arm("a", [0.5], smoke="true"), arm("a", [0.5], smoke="true")) == {}
    assert changed(tmp_path, arm("a", [0.5]), arm("a", [0.5], smoke="true"))["a"].verdict == (
        "only in A"
    )


def test_an_arm_whose_runs_all_failed_has_failed(tmp_path: Path) -> None:
    a = [*arm("lstm", BEFORE, arm="x"), *arm("rnn", BEFORE), *arm("gru", BEFORE, arm="y")]
    diverged = arm("lstm", [float("nan")] * 2, arm="x", status="diverged")
    b = [*diverged, *arm("rnn", [0.5], status="failed"), *arm("gru", [0.5], arm="z")]
    stopped = arm("gru", [0.5], seeds=[1], arm="y", status="interrupted")
    found = changed(tmp_path, a, [*b, *stopped])
    assert [found[name].verdict for name in ("lstm", "rnn")] == ["failed in B"] * 2
    assert {each.verdict for label, each in found.items() if "gru" in label} == {"not comparable"}
    partly = [*arm("lstm", BETTER, arm="x"), *arm("lstm", [0], [9], arm="x", status="failed")]
    assert changed(tmp_path, a, partly)["lstm"].verdict == "no difference shown"


def test_another_arm_that_failed_is_not_this_one(tmp_path: Path) -> None:
    """Equal settings are not enough where both tables have the column arm."""
    a = arm("lstm", BEFORE, arm="x", hidden_size=8)
    for other in ({"arm": "y", "hidden_size": 8}, {"hidden_size": 16}, {"arm": "x", "smoke": 1}):
        b = [*arm("rnn", BEFORE), *arm("lstm", [0.1], status="failed", **other)]
        found = changed(tmp_path, a, b)
        kept = [
            c for label, c in found.items() if label.startswith("lstm") and c.before is not None
        ]
        assert [each.verdict for each in kept] == ["only in A"]


def test_the_difference_is_that_of_the_means_over_all_seeds(tmp_path: Path) -> None:
    a, b = arm("lstm", BEFORE), arm("lstm", BETTER[:4], seeds=[2, 3, 4, 9])
    change = changed(tmp_path, a, b)["lstm"]
    assert change.before is not None
    assert change.after is not None
    assert change.seeds is not None
    assert (change.before.n, change.after.n) == (len(BEFORE), 4)
    assert change.before.mean == pytest.approx(np.mean(BEFORE))
    assert change.after.mean - change.before.mean == pytest.approx(change.seeds.difference)
    assert change.reason.endswith("4 and 5 seeds, 3 in common")
    same = changed(tmp_path, arm("lstm", BEFORE), arm("lstm", BEFORE[:3]))["lstm"]
    assert same.verdict == "same"
    assert same.reason == "the same at all 3 seeds in common; 2 more are in one table only"


@pytest.mark.parametrize("factor", [1.0, 1 + 5e-7])
def test_equal_scores_at_common_seeds_do_not_hide_other_scores_at_other_seeds(
    factor: float, tmp_path: Path
) -> None:
    a = [0.80, 0.81, 0.79, 0.82, 0.805]
    b = [*(factor * score for score in a[:2]), 0.5, 0.51, 0.52, 0.49, 0.5, 0.53]
    after = arm("gru", b, seeds=[0, 1, *range(20, 26)])
    change = changed(tmp_path, arm("gru", a), after)["gru"]
    assert change.verdict == "worse"
    assert change.after is not None
    assert (change.after.n, change.after.mean) == (8, pytest.approx(np.mean(b)))

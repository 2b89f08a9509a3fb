"""Kernel and precision of arms: labels, older tables and changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.analysis.diff import changes
from benchmarks.analysis.selection import Options
from tests.helpers.result_tables import changed, compared, fixed, grouped, timed, write


def without(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{name: v for name, v in row.items() if name not in columns} for row in rows]


NEW = ("kernel", "precision", "peak_gflops", "model_flops_utilisation")


def test_an_older_table_is_compared_without_a_note(tmp_path: Path) -> None:
    old = [without(timed(name, 1e5, 0.1), *NEW) for name in ("rnn", "lstm")]
    found = compared(tmp_path, *old)
    (group,) = found.groups
    assert len(group.arms) == 2
    assert not any(name in note for note in [*found.notes, *group.notes] for name in NEW)


def test_older_rows_join_the_arm_with_their_settings(tmp_path: Path) -> None:
    old = without(timed("lstm", 4e5, 0.4, hidden_size=8), *NEW)
    new = timed("lstm", 4e5, 0.4, hidden_size=8, arm="a hash")
    for place, row in enumerate(new):
        row["seed"] = 10 + place
    (only,) = grouped(tmp_path, old, new).arms
    assert only.score.n == 6
    assert (only.precision, only.kernel) == ("highest", "torch")


def test_another_precision_is_another_arm(tmp_path: Path) -> None:
    both = [timed("lstm", 4e5, 0.4), timed("lstm", 4e5, 0.4, precision="bfloat16")]
    labels = {each.label for each in grouped(tmp_path, *both).arms}
    assert labels == {"lstm precision=highest", "lstm precision=bfloat16"}


# Labels


def named(folder: Path, *arms: tuple[str, str]) -> set[str]:
    """Return the labels of arms of one model with these kernels and overrides."""
    rows = [
        timed("lstm", 4e5, 0.4, kernel=ran, overrides=overrides, arm=f"hash {place}")
        for place, (ran, overrides) in enumerate(arms)
    ]
    return {each.label for each in grouped(folder, *rows).arms}


AUTO, FUSED, TORCH = (f"model.kernel={name}" for name in ("auto", "fused", "torch"))


@pytest.mark.parametrize(
    ("arms", "labels"),
    [
        ([("fused", AUTO), ("fused", FUSED)], {f"lstm {AUTO}", f"lstm {FUSED}"}),
        ([("fused", ""), ("fused", FUSED)], {"lstm", f"lstm {FUSED}"}),
        (
            [("torch", TORCH), ("fused", AUTO), ("fused", FUSED)],
            {f"lstm {TORCH}", f"lstm {AUTO}", f"lstm {FUSED}"},
        ),
        ([("torch", TORCH), ("fused", "")], {"lstm kernel=torch", "lstm kernel=fused"}),
        ([("torch", ""), ("fused", "")], {"lstm kernel=torch", "lstm kernel=fused"}),
        # The table has no overrides.
        ([("fused", ""), ("fused", "")], {"lstm arm=hash 0", "lstm arm=hash 1"}),
        (
            [("torch", f"x=1 {TORCH}"), ("torch", f"x=2 {TORCH}"), ("fused", "x=1")],
            {"lstm kernel=torch x=1", "lstm kernel=torch x=2", "lstm kernel=fused"},
        ),
    ],
)
def test_labels_contain_the_kernel_that_ran_or_was_requested(
    arms: list[tuple[str, str]], labels: set[str], tmp_path: Path
) -> None:
    assert named(tmp_path, *arms) == labels


# From one table to another


def change_notes(folder: Path, a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[str]:
    tables = write(folder / "a.csv", a), write(folder / "b.csv", b)
    return [note for note in changes(*tables).notes if " in A, " in note]


def test_a_change_of_the_kernel_has_a_note(tmp_path: Path) -> None:
    before = [*timed("rnn", 1e5, 0.1), *timed("lstm", 4e5, 0.4), *fixed("majority", 0.5)]
    after = [*timed("rnn", 1e5, 0.4, kernel="fused"), *timed("lstm", 4e5, 0.4)]
    after += fixed("majority", 0.5)
    notes = change_notes(tmp_path, before, after)
    assert notes == ["kernel torch in A, fused in B: rnn; this affects times"]
    old = without(before, *NEW)
    assert change_notes(tmp_path, old, after) == notes  # which had PyTorch's
    assert change_notes(tmp_path, old, before) == []
    assert change_notes(tmp_path, before, before) == []


def test_arms_with_different_kernels_are_paired(tmp_path: Path) -> None:
    """`model.kernel` is part of the hash `arm`, but changes scores only by rounding."""
    a = timed("lstm", 4e5, 0.1, arm="x", overrides=f"task.window=9 {TORCH}")
    b = timed("lstm", 4e5, 0.4, arm="y", kernel="fused", overrides="task.window=9")
    assert changed(tmp_path, a, b)["lstm"].verdict == "same"
    assert change_notes(tmp_path, a, b) != []
    labels = {each.label for each in grouped(tmp_path, a, b).arms}
    assert labels == {"lstm kernel=torch", "lstm kernel=fused"}


def test_times_of_different_kernels_are_compared(tmp_path: Path) -> None:
    """The effect of the kernel may be the purpose of the comparison."""

    def run(kernel: str, seconds: float) -> list[dict[str, Any]]:
        rows = timed("rnn", 1e5, 0.1, kernel=kernel)
        return [r | {"train_seconds": seconds * (1 + n / 100)} for n, r in enumerate(rows)]

    found = changed(tmp_path, run("torch", 3.0), run("fused", 1.0), metric="train_seconds")
    assert found["rnn"].verdict == "improved"


def test_a_change_of_the_precision_has_a_note(tmp_path: Path) -> None:
    before, after = timed("lstm", 4e5, 0.4), timed("lstm", 4e5, 0.1, precision="bfloat16")
    tables = write(tmp_path / "a.csv", before), write(tmp_path / "b.csv", after)
    found = changes(*tables, Options(by=("model",)))
    note = "precision highest in A, bfloat16 in B: lstm; this affects times and scores"
    assert note in found.notes
    assert {each.verdict for each in changes(*tables).changes} == {"only in A", "only in B"}


def test_an_arm_without_precision_has_the_default(tmp_path: Path) -> None:
    old = without(timed("lstm", 4e5, 0.4), *NEW)
    found = changed(tmp_path, [r | {"arm": "x"} for r in old], timed("lstm", 4e5, 0.4, arm="y"))
    assert found["lstm"].verdict == "same"


def test_rounding_between_kernels_is_no_difference(tmp_path: Path) -> None:
    """A test would find a difference in rounding errors of one sign."""
    rounding = (1e-7, 2e-7, 1.5e-7)
    torch = timed("lstm", 4e5, 0.1)
    fused = [
        row | {"kernel": "fused", "arm": "y", "test_score": row["test_score"] * (1 + e)}
        for row, e in zip(torch, rounding, strict=True)
    ]
    by_both = ([r | {"arm": "x"} for r in torch], fused)
    (pair,) = grouped(tmp_path, *by_both).pairs
    assert (pair.verdict, pair.p_adjusted) == ("no difference shown", 1.0)
    assert all(each.is_among_best for each in grouped(tmp_path, *by_both).arms)
    apart = [row | {"test_score": row["test_score"] * (1 + 1e-3)} for row in fused]
    (pair,) = grouped(tmp_path, by_both[0], apart).pairs
    assert pair.verdict == "better"

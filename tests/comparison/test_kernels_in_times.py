"""Times that speak of kernels are told of; those that follow the arithmetic are not."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from handmade import arm, changed, compared, fixed, grouped, write

from benchmarks.comparison import Options, changes
from benchmarks.comparison.data import as_json, comparison_csv, comparison_json
from benchmarks.comparison.formats import as_latex, as_markdown
from benchmarks.comparison.grids import sections_of

SCORES = [0.81, 0.84, 0.83]
PEAK = 100.0
QUIET: dict[str, Any] = {
    "device": "cpu",
    "device_name": "x",
    "threads": 1,
    "torch_version": "2",
    "concurrent_runs": 1,
    "load_average": 0.2,
}


def timed(
    model: str, flops: float, utilisation: float, peak: float = PEAK, **more: Any
) -> list[dict[str, Any]]:
    """An arm whose forward pass takes so many FLOPs per token, at so much of the peak."""
    columns = {
        "model_flops_utilisation": utilisation,
        "peak_gflops": peak,
        "tokens_per_second": utilisation * peak * 1e9 / (3 * flops),
        "kernel": "torch",
        "precision": "highest",
    }
    return arm(model, SCORES, **(QUIET | columns | more))


def told(folder: Path, *arms: list[dict[str, Any]], **options: Any) -> list[str]:
    """The notes on kernels."""
    notes = grouped(folder, *arms, **options).notes
    return [note for note in notes if "arithmetic" in note]


def test_an_arm_that_leaves_the_machine_idle_is_told_of(tmp_path: Path) -> None:
    """A quarter of the arithmetic in nearly the same time."""
    rnn, lstm = timed("rnn", 1e5, 0.09), timed("lstm", 4e5, 0.38, kernel="fused")
    assert told(tmp_path, lstm, rnn) == [
        "rnn trains at 9.0 % (kernel torch) of this machine's peak, lstm at 38 % (kernel fused): "
        "the ratio of their times per token, 1 : 0.95, speaks of kernels as much as of the cells, "
        "whose arithmetic is 1 : 4.0"
    ]


@pytest.mark.parametrize(
    ("utilisation", "is_told"),
    [(0.25, True), (0.31, True), (0.33, False), (0.49, False), (0.51, True)],
)
def test_a_quarter_more_or_less_is_let_pass(
    utilisation: float, is_told: bool, tmp_path: Path
) -> None:
    found = told(tmp_path, timed("rnn", 1e5, utilisation), timed("lstm", 4e5, 0.4))
    assert bool(found) == is_told


def test_times_as_the_arithmetic_has_them_are_not_told_of(tmp_path: Path) -> None:
    arms = [timed("rnn", 1e5, 0.3), timed("gru", 3e5, 0.32), timed("lstm", 4e5, 0.29)]
    assert told(tmp_path, *arms) == []


def test_what_is_set_against_what_does_not_change_with_the_peak(tmp_path: Path) -> None:
    """The share halves where a later measurement of the peak was twice as high; the speed stays."""
    assert told(tmp_path, timed("rnn", 1e5, 0.4), timed("lstm", 4e5, 0.2, 2 * PEAK)) == []
    assert told(tmp_path, timed("rnn", 1e5, 0.4), timed("lstm", 4e5, 0.4, 2 * PEAK)) != []


@pytest.mark.parametrize(
    "apart",
    [
        {"concurrent_runs": 2},
        {"load_average": 4.0},
        {"device_name": "y"},
        {"tokens_per_second": "", "model_flops_utilisation": ""},
        {"model_flops_utilisation": "", "peak_gflops": ""},
        {"precision": "bfloat16"},
        {"tokens_per_second": 0},
    ],
    ids=str,
)
def test_what_cannot_be_set_against_another_is_not(apart: dict[str, Any], tmp_path: Path) -> None:
    """Times in doubt or unknown, as of seeds trained together, and other precisions."""
    slow = timed("rnn", 1e5, 0.1)
    assert told(tmp_path, slow, timed("lstm", 4e5, 0.4), timed("gru", 3e5, 0.4)) != []
    odd = [row | apart for row in slow]
    assert told(tmp_path, odd, timed("lstm", 4e5, 0.4), timed("gru", 3e5, 0.4)) == []


def test_medians_are_told_and_rows_without_are_left_out(tmp_path: Path) -> None:
    rnn = timed("rnn", 1e5, 0.1)
    rnn[0] |= {"model_flops_utilisation": "", "peak_gflops": "", "tokens_per_second": ""}
    (note,) = told(tmp_path, rnn, timed("lstm", 4e5, 0.4))
    assert note.startswith("rnn trains at 10 %")


def test_baselines_have_no_kernel(tmp_path: Path) -> None:
    fast = fixed("majority", 0.5, **(QUIET | {"train_seconds": 0.001}))
    assert told(tmp_path, fast, timed("lstm", 4e5, 0.4)) == []


def test_of_many_pairs_the_worst_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    shares = {"a": 0.01, "b": 0.02, "c": 0.04, "d": 0.08}
    found = told(tmp_path, *(timed(name, 1e5, share) for name, share in shares.items()))
    assert len(found) == 4
    assert found[0].startswith("a trains at 1.0 %") or found[0].startswith("d trains at 8.0 %")
    assert found[3] == "the times of 3 more pairs are off their arithmetic by more than 1.25"


def test_every_format_has_it(tmp_path: Path) -> None:
    found = compared(tmp_path, timed("rnn", 1e5, 0.09), timed("lstm", 4e5, 0.38, kernel="fused"))
    sections = sections_of(found, only_changed=False)
    (grid,) = [section.grid for section in sections if section.grid is not None]
    names = [name.replace("\n", " ") for name in grid.header]
    cells = {row[names.index("arm")]: row for row in grid.rows}
    assert cells["rnn"][names.index("peak %")] == "9.0"
    assert cells["rnn"][names.index("kernel")] == "torch"
    assert cells["lstm"][names.index("peak %")] == "38"
    assert names.index("kernel") in grid.words
    for text in (as_markdown(sections), as_latex(sections), as_json(comparison_json(found))):
        assert "speaks of kernels as much as of the cells" in text
    arms = {
        each["label"]: each
        for each in json.loads(as_json(comparison_json(found)))["groups"][0]["arms"]
    }
    assert (arms["rnn"]["utilisation"], arms["rnn"]["kernel"]) == (0.09, "torch")
    assert arms["lstm"]["precision"] == "highest"
    lines = {line["label"]: line for line in csv.DictReader(io.StringIO(comparison_csv(found)))}
    assert (lines["lstm"]["utilisation"], lines["lstm"]["kernel"]) == ("0.38", "fused")


def test_a_kernel_that_all_have_takes_no_room(tmp_path: Path) -> None:
    group = compared(tmp_path, timed("rnn", 1e5, 0.3), timed("lstm", 4e5, 0.3))
    (grid,) = [s.grid for s in sections_of(group, only_changed=False) if s.grid is not None]
    assert "kernel" not in grid.header


def test_a_share_of_the_peak_in_doubt_is_marked(tmp_path: Path) -> None:
    slow = [row | {"load_average": 9.0} for row in timed("rnn", 1e5, 0.09)]
    found = compared(tmp_path, slow, timed("lstm", 4e5, 0.38))
    (grid,) = [s.grid for s in sections_of(found, only_changed=False) if s.grid is not None]
    assert {"9.0?", "38"} <= {cell for row in grid.rows for cell in row}


def test_utilisation_may_be_compared_as_a_time_may(tmp_path: Path) -> None:
    arms = [timed("rnn", 1e5, 0.1), timed("lstm", 4e5, 0.4)]
    group = grouped(tmp_path, *arms, metric="model_flops_utilisation")
    assert group.higher_is_better
    assert [each.label for each in group.arms] == ["lstm", "rnn"]
    assert "worse" not in {pair.verdict for pair in group.pairs}


# Rows of before


def without(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{name: v for name, v in row.items() if name not in columns} for row in rows]


NEW = ("kernel", "precision", "peak_gflops", "model_flops_utilisation")


def test_a_table_of_before_is_compared_without_a_word(tmp_path: Path) -> None:
    old = [without(timed(name, 1e5, 0.1), *NEW) for name in ("rnn", "lstm")]
    found = compared(tmp_path, *old)
    (group,) = found.groups
    assert len(group.arms) == 2
    assert not any(name in note for note in [*found.notes, *group.notes] for name in NEW)


def test_rows_of_before_join_the_arm_that_has_their_settings(tmp_path: Path) -> None:
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


# From one table to another


def change_notes(folder: Path, a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[str]:
    tables = write(folder / "a.csv", a), write(folder / "b.csv", b)
    return [note for note in changes(*tables).notes if " in A, " in note]


def test_another_kernel_is_told_of(tmp_path: Path) -> None:
    before = [*timed("rnn", 1e5, 0.1), *timed("lstm", 4e5, 0.4), *fixed("majority", 0.5)]
    after = [*timed("rnn", 1e5, 0.4, kernel="fused"), *timed("lstm", 4e5, 0.4)]
    after += fixed("majority", 0.5)
    notes = change_notes(tmp_path, before, after)
    assert notes == ["kernel torch in A, fused in B: rnn; their times speak of it too"]
    old = without(before, *NEW)
    assert change_notes(tmp_path, old, after) == notes  # which had PyTorch's
    assert change_notes(tmp_path, old, before) == []
    assert change_notes(tmp_path, before, before) == []


def test_an_arm_of_another_kernel_is_the_same_arm_of_another_table(tmp_path: Path) -> None:
    """Though `model.kernel` is part of what `arm` hashes: its numbers are alike to rounding."""
    a = timed("lstm", 4e5, 0.1, arm="x")
    b = timed("lstm", 4e5, 0.4, arm="y", kernel="fused")
    assert changed(tmp_path, a, b)["lstm"].verdict == "same"
    assert change_notes(tmp_path, a, b) != []
    labels = {each.label for each in grouped(tmp_path, a, b).arms}
    assert labels == {"lstm kernel=torch", "lstm kernel=fused"}


def test_times_of_another_kernel_are_compared_all_the_same(tmp_path: Path) -> None:
    """It may be what one wants to know."""

    def run(kernel: str, seconds: float) -> list[dict[str, Any]]:
        rows = timed("rnn", 1e5, 0.1, kernel=kernel)
        return [r | {"train_seconds": seconds * (1 + n / 100)} for n, r in enumerate(rows)]

    found = changed(tmp_path, run("torch", 3.0), run("fused", 1.0), metric="train_seconds")
    assert found["rnn"].verdict == "improved"


def test_another_precision_of_an_arm_is_told_of(tmp_path: Path) -> None:
    before, after = timed("lstm", 4e5, 0.4), timed("lstm", 4e5, 0.1, precision="bfloat16")
    tables = write(tmp_path / "a.csv", before), write(tmp_path / "b.csv", after)
    found = changes(*tables, Options(by=("model",)))
    note = "precision highest in A, bfloat16 in B: lstm; times and scores speak of it"
    assert note in found.notes
    assert {each.verdict for each in changes(*tables).changes} == {"only in A", "only in B"}


def test_an_arm_without_precision_is_the_one_of_before(tmp_path: Path) -> None:
    old = without(timed("lstm", 4e5, 0.4), *NEW)
    found = changed(tmp_path, [r | {"arm": "x"} for r in old], timed("lstm", 4e5, 0.4, arm="y"))
    assert found["lstm"].verdict == "same"

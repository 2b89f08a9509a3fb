"""Notes on times that depend on kernels; times that follow the arithmetic have none."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reporting.json_csv import as_json, comparison_csv, comparison_json
from benchmarks.reporting.renderers import as_latex, as_markdown
from benchmarks.reporting.tables import sections_of
from tests.helpers.result_tables import QUIET, compared, fixed, grouped, timed

PEAK = 100.0


def kernel_notes(folder: Path, *arms: list[dict[str, Any]], **options: Any) -> list[str]:
    """Return the notes on kernels."""
    notes = grouped(folder, *arms, **options).notes
    return [note for note in notes if "kernel" in note or "arithmetic" in note]


def test_an_arm_with_low_utilisation_has_a_note(tmp_path: Path) -> None:
    """A quarter of the arithmetic in nearly the same time."""
    rnn, lstm = timed("rnn", 1e5, 0.09), timed("lstm", 4e5, 0.38, kernel="fused")
    assert kernel_notes(tmp_path, lstm, rnn) == [
        "lstm does 4.0 times the arithmetic of rnn in 0.95 times the time per token, "
        "at 38 % (fused) and 9.0 % (torch) of this machine's peak: "
        "these times depend on kernels as much as on cells"
    ]


def test_cells_of_the_same_arithmetic(tmp_path: Path) -> None:
    assert kernel_notes(
        tmp_path, timed("rnn", 1e5, 0.1), timed("lstm", 1e5 * (1 + 1e-12), 0.4)
    ) == [
        "rnn takes 4.0 times as long per token as lstm for the same arithmetic, at 10 % (torch) "
        "and 40 % (torch) of this machine's peak: these times depend on kernels as much as on cells"
    ]


def test_one_network_by_two_kernels(tmp_path: Path) -> None:
    def by_both(share: float) -> list[str]:
        own = timed("rnn", 1e5, 0.1, arm="a")
        return kernel_notes(tmp_path, own, timed("rnn", 1e5, share, kernel="fused", arm="b"))

    assert by_both(0.35) == [
        "rnn kernel=torch takes 3.5 times as long per token as rnn kernel=fused: the same "
        "arithmetic, so the whole difference is the kernel's"
    ]
    assert by_both(0.12) == []


def test_several_networks_by_two_kernels_share_a_line(tmp_path: Path) -> None:
    """One pair of kernels per network, however the kernel was requested."""
    arms = [
        timed(model, 1e5, share, kernel=kernel, arm=f"{model} {asked}", overrides=f"x=1 {word}")
        for model, shares in (("rnn", (0.1, 0.3, 0.31)), ("gru", (0.11, 0.22, 0.22)))
        for share, kernel, asked in zip(shares, ("torch", "fused", "fused"), "tfa", strict=True)
        for word in [{"t": "model.kernel=torch", "f": "model.kernel=fused", "a": ""}[asked]]
    ]
    assert kernel_notes(tmp_path, *arms)[0] == (
        "rnn model.kernel=torch takes 3.1 times as long per token as rnn, gru model.kernel=torch "
        "takes 2.0 times as long per token as gru model.kernel=fused: the same arithmetic, so the "
        "whole difference is the kernel's"
    )


AUTO, FUSED, TORCH = (f"model.kernel={name}" for name in ("auto", "fused", "torch"))


def requested(word: str, share: float, kernel: str = "fused", **more: Any) -> list[dict[str, Any]]:
    """Return the rows of an RNN that requested a kernel."""
    return timed("rnn", 1e5, share, kernel=kernel, arm=f"{word} {more}", overrides=word, **more)


def test_an_unavailable_fused_kernel_has_a_note(tmp_path: Path) -> None:
    lstm = timed("lstm", 1e5, 0.1)
    assert kernel_notes(tmp_path, requested(FUSED, 0.1, "torch"), lstm) == [
        "model.kernel=fused was requested, PyTorch's kernel ran: rnn; the first lines of such a "
        "run state the reason"
    ]
    for word, ran in ((AUTO, "torch"), (TORCH, "torch"), (FUSED, "fused"), (FUSED, "")):
        assert kernel_notes(tmp_path, requested(word, 0.1, ran), lstm) == []


def test_a_note_on_a_single_run(tmp_path: Path) -> None:
    once, lstm = timed("rnn", 1e5, 0.1)[:1], timed("lstm", 4e5, 0.4)
    beside = timed("gru", 4e5, 0.4)[:1]
    *_, note = kernel_notes(tmp_path, once, lstm)
    assert note == ("the notes on kernels rest on one run of rnn: add a second seed")
    assert kernel_notes(tmp_path, beside, lstm) == []  # no note on kernels
    assert "rest on one run of gru" not in " ".join(
        kernel_notes(tmp_path, timed("rnn", 4e5, 0.4), once)
    )


@pytest.mark.parametrize(
    "other", [{"batch_size": 8}, {"dropout": 0.5}, {"overrides": "task.window=9"}], ids=str
)
def test_other_settings_than_the_kernel_may_explain_a_time(
    other: dict[str, Any], tmp_path: Path
) -> None:
    """The batch size may explain the time, the cell does not."""
    usual = {"batch_size": 64, "dropout": 0.0, "overrides": ""}
    slow = timed("rnn", 1e5, 0.1, arm="a", **(usual | other))
    fast = timed("rnn", 1e5, 0.4, arm="b", kernel="fused", **usual)
    (note,) = kernel_notes(tmp_path, slow, fast)
    assert "4.0 times as long per token" in note
    assert note.endswith("this machine's peak: the cell does not explain the difference")


@pytest.mark.parametrize(
    ("utilisation", "has_note"),
    [(0.25, True), (0.31, True), (0.33, False), (0.49, False), (0.51, True)],
)
def test_a_factor_of_a_quarter_has_no_note(
    utilisation: float, has_note: bool, tmp_path: Path
) -> None:
    found = kernel_notes(tmp_path, timed("rnn", 1e5, utilisation), timed("lstm", 4e5, 0.4))
    assert bool(found) == has_note


def test_times_that_follow_the_arithmetic_have_no_note(tmp_path: Path) -> None:
    arms = [timed("rnn", 1e5, 0.3), timed("gru", 3e5, 0.32), timed("lstm", 4e5, 0.29)]
    assert kernel_notes(tmp_path, *arms) == []


def test_speeds_do_not_depend_on_the_measured_peak(tmp_path: Path) -> None:
    """The share halves if a later measurement of the peak is twice as high; the speed stays."""
    assert kernel_notes(tmp_path, timed("rnn", 1e5, 0.4), timed("lstm", 4e5, 0.2, 2 * PEAK)) == []
    assert kernel_notes(tmp_path, timed("rnn", 1e5, 0.4), timed("lstm", 4e5, 0.4, 2 * PEAK)) != []


@pytest.mark.parametrize(
    "apart",
    [
        {"tokens_per_second": "", "model_flops_utilisation": ""},
        {"model_flops_utilisation": "", "peak_gflops": ""},
        {"precision": "bfloat16"},
        {"tokens_per_second": 0},
    ],
    ids=str,
)
def test_speeds_that_are_not_comparable(apart: dict[str, Any], tmp_path: Path) -> None:
    """Unknown times, as of multi-seed runs, and other precisions."""
    slow = timed("rnn", 1e5, 0.1)
    assert kernel_notes(tmp_path, slow, timed("lstm", 4e5, 0.4), timed("gru", 3e5, 0.4)) != []
    odd = [row | apart for row in slow]
    assert kernel_notes(tmp_path, odd, timed("lstm", 4e5, 0.4), timed("gru", 3e5, 0.4)) == []


DOUBTS = [{"concurrent_runs": 2}, {"load_average": 4.0}, {"device_name": "y"}]


@pytest.mark.parametrize("doubt", DOUBTS, ids=str)
def test_unreliable_times_are_not_analysed(doubt: dict[str, Any], tmp_path: Path) -> None:
    odd = [row | doubt for row in timed("rnn", 1e5, 0.1)]
    assert kernel_notes(tmp_path, odd, timed("lstm", 4e5, 0.4), timed("gru", 3e5, 0.4)) == [
        "the effect of kernels is not analysed for rnn: times are unreliable"
    ]


def test_arms_with_unreliable_times_share_a_line(tmp_path: Path) -> None:
    busy = {"load_average": 4.0}
    arms = [timed(name, 1e5, 0.1, **busy) for name in ("rnn", "lstm")]
    (note,) = kernel_notes(tmp_path, *arms)
    assert "not analysed for rnn, lstm" in note or "not analysed for lstm, rnn" in note
    assert kernel_notes(tmp_path, arms[0]) == []  # a single arm
    assert kernel_notes(tmp_path, arms[0], timed("lstm", 1e5, 0.4, precision="bfloat16")) == []
    assert kernel_notes(tmp_path, arms[0], fixed("majority", 0.5, **busy)) == []


def test_speeds_are_medians_of_the_known_rows(tmp_path: Path) -> None:
    rnn = timed("rnn", 1e5, 0.1)
    rnn[0] |= {"model_flops_utilisation": "", "peak_gflops": "", "tokens_per_second": ""}
    (note,) = kernel_notes(tmp_path, rnn, timed("lstm", 4e5, 0.4))
    assert "at 40 % (torch) and 10 % (torch) of this" in note


def test_baselines_have_no_kernel(tmp_path: Path) -> None:
    fast = fixed("majority", 0.5, **(QUIET | {"train_seconds": 0.001}))
    assert kernel_notes(tmp_path, fast, timed("lstm", 4e5, 0.4)) == []


def test_few_pairs_have_a_line_each_the_worst_first(tmp_path: Path) -> None:
    shares = {"a": 0.02, "b": 0.04, "c": 0.16}
    found = kernel_notes(tmp_path, *(timed(name, 1e5, share) for name, share in shares.items()))
    assert [note[:35] for note in found] == [
        "a takes 8.0 times as long per token",
        "b takes 4.0 times as long per token",
        "a takes 2.0 times as long per token",
    ]


def test_many_pairs_share_a_line(tmp_path: Path) -> None:
    shares = {"a": 0.01, "b": 0.02, "c": 0.04, "d": 0.041, "e": 0.08}
    assert kernel_notes(tmp_path, *(timed(name, 1e5, share) for name, share in shares.items())) == [
        "in 9 of 10 pairs of nets the times depend on kernels as much as on cells: these train at "
        "1.0 % (a) to 8.0 % (e) of this machine's peak"
    ]


def test_every_format_contains_the_note(tmp_path: Path) -> None:
    found = compared(tmp_path, timed("rnn", 1e5, 0.09), timed("lstm", 4e5, 0.38, kernel="fused"))
    sections = sections_of(found, only_changed=False)
    (table,) = [section.table for section in sections if section.table is not None]
    names = [name.replace("\n", " ") for name in table.header]
    cells = {row[names.index("arm")]: row for row in table.rows}
    assert cells["rnn"][names.index("peak %")] == "9.0"
    assert cells["rnn"][names.index("kernel")] == "torch"
    assert cells["lstm"][names.index("peak %")] == "38"
    assert names.index("kernel") in table.text_columns
    for text in (as_markdown(sections), as_latex(sections), as_json(comparison_json(found))):
        assert "depend on kernels as much as on cells" in text
    arms = {
        each["label"]: each
        for each in json.loads(as_json(comparison_json(found)))["groups"][0]["arms"]
    }
    assert (arms["rnn"]["utilisation"], arms["rnn"]["kernel"]) == (0.09, "torch")
    assert arms["lstm"]["precision"] == "highest"
    lines = {line["label"]: line for line in csv.DictReader(io.StringIO(comparison_csv(found)))}
    assert (lines["lstm"]["utilisation"], lines["lstm"]["kernel"]) == ("0.38", "fused")


def test_a_common_kernel_has_no_column(tmp_path: Path) -> None:
    group = compared(tmp_path, timed("rnn", 1e5, 0.3), timed("lstm", 4e5, 0.3))
    (table,) = [s.table for s in sections_of(group, only_changed=False) if s.table is not None]
    assert "kernel" not in table.header


def test_an_unreliable_share_of_the_peak_is_marked(tmp_path: Path) -> None:
    slow = [row | {"load_average": 9.0} for row in timed("rnn", 1e5, 0.09)]
    found = compared(tmp_path, slow, timed("lstm", 4e5, 0.38))
    (table,) = [s.table for s in sections_of(found, only_changed=False) if s.table is not None]
    assert {"9.0?", "38"} <= {cell for row in table.rows for cell in row}


def test_utilisation_is_compared_like_a_time(tmp_path: Path) -> None:
    arms = [timed("rnn", 1e5, 0.1), timed("lstm", 4e5, 0.4)]
    group = grouped(tmp_path, *arms, metric="model_flops_utilisation")
    assert group.higher_is_better
    assert [each.label for each in group.arms] == ["lstm", "rnn"]
    assert "worse" not in {pair.verdict for pair in group.pairs}

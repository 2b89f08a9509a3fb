"""Notes of a comparison on ensembles."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.result_tables import LSTM, Row, arm, grouped


def ensembles(*members: str) -> list[Row]:
    """Return rows of one arm, one per text of members."""
    rows = arm("ensemble", [0.88, 0.89, 0.90][: len(members)], arm="e")
    return [row | {"members": text} for row, text in zip(rows, members, strict=True)]


def notes(folder: Path, *members: str) -> list[str]:
    group = grouped(folder, ensembles(*members), arm("lstm", LSTM, arm="l"))
    return [note for note in group.notes if "ensemble" in note and "sources" not in note]


def test_a_note_counts_the_members_and_says_that_costs_are_sums(tmp_path: Path) -> None:
    (note, *others) = notes(tmp_path, "r0 r1 r2", "r3 r4 r5")
    assert note == (
        "ensembles: ensemble: 3 members; parameters, training time and latency are their sums"
    )
    assert not any("in common" in other for other in others)


def test_ensembles_with_common_members_are_not_independent(tmp_path: Path) -> None:
    found = notes(tmp_path, "r0 r1", "r1 r2")
    assert any(note.startswith("ensembles with members in common: ensemble;") for note in found)


def test_single_runs_cause_no_note(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM))
    assert not any("ensemble" in note for note in group.notes)

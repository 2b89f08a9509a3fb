"""Notes on changed source code, undertrained runs and per cents, in one table and between two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.analysis.compare import compare
from benchmarks.analysis.diff import changes
from benchmarks.reporting.html.overview import arm_table
from benchmarks.reporting.html.overview import pair_table as html_pairs
from benchmarks.reporting.html.summary import summarise
from benchmarks.reporting.json_csv import comparison_json
from benchmarks.reporting.renderers import as_latex, as_markdown
from benchmarks.reporting.sentences import pair_text
from benchmarks.reporting.tables import sections_of
from tests.helpers.result_tables import (
    GRU,
    LSTM,
    QUIET,
    RNN,
    Row,
    arm,
    compared,
    fixed,
    grouped,
    write,
)

LAST = {"epochs": 4, "best_epoch": 4, "stopped_by": "epochs"}
EARLY = LAST | {"best_epoch": 3}


def notes_between(folder: Path, before: list[Row], after: list[Row]) -> list[str]:
    return changes(write(folder / "a.csv", before), write(folder / "b.csv", after)).notes


def mixed(first: str, second: str) -> list[Row]:
    """Return an arm of which the last two runs have another source."""
    rows = arm("lstm", LSTM, source_sha256=first)
    return rows[:3] + [row | {"source_sha256": second} for row in rows[3:]]


def about(notes: list[str], words: str) -> list[str]:
    return [note for note in notes if words in note]


def test_an_arm_of_two_programs_is_named(tmp_path: Path) -> None:
    rows = mixed("m1-t1", "m2-t1")
    (note,) = about(grouped(tmp_path, rows, arm("gru", GRU, source_sha256="m1-t1")).notes, "code")
    assert note.startswith("the code has changed between the runs of lstm (3 + 2 runs)")
    assert "resume=never" in note
    (note,) = about(notes_between(tmp_path, rows, arm("lstm", LSTM)), "code")
    assert note.startswith("A: the code has changed between the runs of lstm")


def test_arms_may_have_other_models_but_not_another_task_or_training(tmp_path: Path) -> None:
    own_models = (arm("gru", GRU, source_sha256="m1-t"), arm("lstm", LSTM, source_sha256="m2-t"))
    assert not about(grouped(tmp_path, *own_models).notes, "code")
    other = arm("rnn", RNN, source_sha256="m1-u"), fixed("naive", 0.5, source_sha256="m3-t")
    (note,) = about(grouped(tmp_path, *own_models, *other).notes, "code")
    assert "differs between arms: t of lstm, gru, naive, u of rnn (source_sha256)" in note


def test_rows_without_a_source_cause_no_note(tmp_path: Path) -> None:
    assert not about(grouped(tmp_path, mixed("", "m-t"), arm("gru", GRU)).notes, "code")
    assert not about(notes_between(tmp_path, mixed("", "m-t"), arm("lstm", LSTM)), "code")


@pytest.mark.parametrize("stored", [{}, {"undertrained": "true"}], ids=["derived", "stored"])
def test_an_undertrained_network_is_marked_in_note_table_and_verdict(
    stored: dict[str, Any], tmp_path: Path
) -> None:
    rnn = arm("rnn", RNN, **LAST, **stored)
    rnn[0] |= EARLY | dict.fromkeys(stored, "false")
    gru = arm("gru", GRU, **EARLY)
    group = grouped(tmp_path, rnn, gru, fixed("naive", 0.78))
    assert (group.arm("rnn").undertrained, group.arm("gru").undertrained) == (4, 0)
    assert about(group.notes, "undertrained") == [
        "undertrained: rnn in 4 of 5 runs; the best epoch is the last, so longer training may "
        "improve the score; raise train.max_epochs of all networks"
    ]
    comparison = compared(tmp_path, rnn, gru, fixed("naive", 0.78))
    text = as_markdown(sections_of(comparison, False))
    assert "| 0.712† |" in text
    assert "† undertrained, see the notes" in text
    assert "worse than its best baseline, naive: rnn (undertrained in 4 of 5 runs)\n" in text
    lines = [line for line in text.splitlines() if line.startswith("- ") and " than " in line]
    assert [line.endswith("; rnn is undertrained in 4 of 5 runs") for line in lines] == [
        "rnn" in line for line in lines
    ]
    assert r"0.712\dag{}" in as_latex(sections_of(comparison, False))
    (against,) = [row[4] for row in arm_table(group).rows if row[0].text == "rnn"]
    assert against.text == "worse than its best baseline, naive"
    assert against.more == "undertrained in 4 of 5 runs"
    remarks = {(row[0].text, row[1].text): row[2].more for row in html_pairs(group).rows}
    assert all(("rnn is undertrained" in text) == ("rnn" in ends) for ends, text in remarks.items())
    (data,) = comparison_json(comparison)["groups"]
    assert {each["label"]: each["undertrained"] for each in data["arms"]} == {
        "gru": 0,
        "rnn": 4,
        "naive": 0,
    }


def test_a_headline_against_networks_says_that_they_are_undertrained(tmp_path: Path) -> None:
    nets = arm("rnn", RNN, **LAST), arm("gru", GRU, **LAST)
    group = grouped(tmp_path, *nets, fixed("naive", 0.99))
    worse = "every network is worse than naive, the best baseline"
    assert f"{worse}; 2 of 2 networks undertrained" in summarise(group).headline
    patient = [[row | {"stopped_by": "patience"} for row in net] for net in nets]
    group = grouped(tmp_path, *patient, fixed("naive", 0.99))
    headline = summarise(group).headline
    assert worse in headline
    assert "undertrained" not in headline
    assert not about(group.notes, "undertrained")


def test_every_verdict_names_undertrained_networks(tmp_path: Path) -> None:
    comparison = compared(tmp_path, arm("gru", GRU, **LAST), fixed("naive", 0.5))
    text = as_markdown(sections_of(comparison, False))
    assert "beats its best baseline, naive: gru (undertrained in 5 of 5 runs)\n" in text
    assert "; gru is undertrained in 5 of 5 runs" in text
    better = arm("rnn", RNN, **EARLY), arm("gru", GRU, **LAST)
    open_ = arm("lstm", LSTM, **EARLY), arm("gru", GRU, **LAST)
    for nets, verdict in ((better, "better"), (open_, "no difference shown")):
        group = grouped(tmp_path, *nets)
        (pair,) = group.pairs
        assert pair.verdict == verdict
        assert pair_text(pair, group).endswith("; gru is undertrained in 5 of 5 runs")
        assert html_pairs(group).rows[0][2].more.endswith("; gru is undertrained in 5 of 5 runs")
    group = grouped(tmp_path, arm("rnn", RNN, **LAST), arm("gru", GRU, **LAST))
    assert pair_text(group.pairs[0], group).endswith("; both are undertrained in 5 of 5 runs")


@pytest.mark.parametrize(("load", "match"), [(0.2, "time"), (2.2, "time"), (2.2, "hidden")])
def test_load_during_an_equal_time_of_training_is_a_note(
    load: float, match: str, tmp_path: Path
) -> None:
    used = QUIET | {"match": match, "match_budget": 20.0 if match == "time" else None}
    busy = arm("lstm", LSTM, **used | {"load_average": load})
    notes = grouped(tmp_path, busy, arm("rnn", RNN, **used)).notes
    expected = "match=time: other processes used the machine while lstm trained, so their"
    assert any(note.startswith(expected) for note in notes) == (load > 2 and match == "time")


def test_runs_that_time_ended_are_undertrained_whatever_the_table_says(tmp_path: Path) -> None:
    cut = EARLY | {"stopped_by": "seconds", "undertrained": "false"}
    group = grouped(tmp_path, arm("gru", GRU, **cut), arm("rnn", RNN, **EARLY))
    assert group.arm("gru").undertrained == 5
    assert about(group.notes, "undertrained: ") == [
        "undertrained: gru in 5 of 5 runs; the time limit ended the training before its schedule, "
        "so longer training may improve the score; raise train.max_seconds of all networks"
    ]
    assert about(group.notes, "speed and load") == [
        "train.max_seconds ended runs of gru: their scores depend on the speed and load of the "
        "machine"
    ]
    assert not grouped(tmp_path, arm("gru", GRU, match="time", **cut)).arm("gru").undertrained


def test_costs_have_no_remark_on_training(tmp_path: Path) -> None:
    nets = arm("rnn", RNN, train_seconds=2, **LAST), arm("gru", GRU, train_seconds=3, **LAST)
    assert not about(grouped(tmp_path, *nets, metric="train_seconds").notes, "undertrained")


@pytest.mark.parametrize(
    ("more", "setting"),
    [
        ({"stopped_by": "steps"}, "raise train.max_steps"),
        ({"stopped_by": "seconds"}, "raise train.max_seconds"),
        ({"stopped_by": "seconds", "match": "time"}, "raise match.budget_seconds"),
    ],
)
def test_the_note_names_the_limit(more: dict[str, str], setting: str, tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("gru", GRU, **(LAST | more)), arm("rnn", RNN, **EARLY))
    assert about(group.notes, setting)


def test_undertrained_runs_are_named_between_two_tables(tmp_path: Path) -> None:
    notes = notes_between(tmp_path, arm("rnn", RNN, **LAST), arm("rnn", RNN, **EARLY))
    assert about(notes, ": undertrained: ") == ["A: undertrained: rnn in 5 of 5 runs"]


def test_per_cents_are_doubted_in_two_tables_as_in_one(tmp_path: Path) -> None:
    scores = [100 * score for score in LSTM]
    tables = [write(tmp_path / f"{name}.csv", arm("lstm", scores)) for name in "ab"]
    doubt = "accuracy of lstm is above the perfect score 1: are these per cent?"
    assert doubt in compare(tables[:1]).groups[0].notes
    assert changes(*tables).notes[-2:] == [f"A: {doubt}", f"B: {doubt}"]
    glue = {"metric": "glue", "perfect_score": 1}
    notes = notes_between(tmp_path, arm("lstm", scores, **glue), arm("lstm", scores, **glue))
    assert len(about(notes, "glue of lstm is above")) == 2
    whole = {"metric": "glue", "perfect_score": 100}
    notes = notes_between(tmp_path, arm("lstm", scores, **whole), arm("lstm", scores, **whole))
    assert not about(notes, "per cent")

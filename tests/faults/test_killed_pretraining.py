"""SIGKILL of a run in its pretraining, between the phases and in the training after it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from tests.helpers.faulty import (
    ALWAYS,
    MACHINE,
    FaultTable,
    checkpoints,
    differences,
    numbers_of,
    rows_of,
)
from tests.helpers.warm import WarmStarts

COMMAND = [
    *("model=bigru", "task=imdb", "task.source=bundled", "task.max_length=20"),
    *("task.embedding_size=4", "task.vocabulary_size=50", "model.hidden_size=8"),
    *("train.pretrain=self", "train.pretrain_epochs=2", "train.max_steps=3"),
    *("train.max_evaluation_batches=1", ALWAYS, *MACHINE),
]


def lines_of(folder: Path, run_id: str) -> list[dict[str, str]]:
    with (folder / "runs" / run_id / "pretraining.csv").open(newline="") as file:
        return [
            {name: value for name, value in line.items() if "seconds" not in name}
            for line in csv.DictReader(file)
        ]


def test_killed_in_either_phase(
    warm: WarmStarts, shared_cache: Path, faults: FaultTable, tmp_path: Path
) -> None:
    """Each checkpoint is the last thing that a killed process began to write."""
    fault = faults("SIGKILL of a run with pretraining")
    command = [*COMMAND, f"cache_dir={shared_cache}"]
    whole = warm.run(command, tmp_path / "right", place=0)
    assert whole.code == 0, whole.errors
    (run_id,) = rows_of(tmp_path / "right")
    right, lines = numbers_of(tmp_path / "right", run_id), lines_of(tmp_path / "right", run_id)
    assert right.row["pretrain_sha256"]
    assert [line["steps"] for line in lines] == ["3"]  # train.max_steps limits each phase
    drafts = [n for n, call in enumerate(whole.calls, 1) if "/.checkpoint" in call]
    drafts = [n for n in drafts if whole.calls[n - 1].startswith("open ")]
    (between,) = [n for n, call in enumerate(whole.calls, 1) if is_draft_of_lines(call)]
    assert sum(n < between for n in drafts) >= 3
    assert sum(n > between for n in drafts) >= 3
    resumed = set()
    for place in [*drafts[1:], between, between + 1]:
        folder = tmp_path / f"at-{place}"
        killed = warm.run(command, folder, place=place, act="SIGKILL")
        assert killed.was_killed, killed.errors
        fault.injected += 1
        last = warm.run(command, folder)
        assert last.code == 0, last.errors
        resumed |= {"pretraining" if "resuming the pretraining" in last.output else "training"}
        assert "resuming" in last.output
        (run_id,) = rows_of(folder)
        fault.nothing_wrong(differences(numbers_of(folder, run_id), right))
        assert lines_of(folder, run_id) == lines
        assert not checkpoints(folder)
        shutil.rmtree(folder)
    assert resumed == {"pretraining", "training"}


def is_draft_of_lines(call: str) -> bool:
    return call.startswith("open ") and "/.pretraining" in call

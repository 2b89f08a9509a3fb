"""The launcher for SLURM, with an imitated answer of its controller."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.results.index import Entry
from benchmarks.results.row import Status
from benchmarks.sweeps.launchers.slurm import SlurmLauncher


@pytest.mark.parametrize(
    ("restarts", "status", "text"),
    [
        (9, Status.TIMEOUT, "not finished after 10 starts of 5 minutes; SLURM: job 7 ended as "),
        (2, Status.INTERRUPTED, "SLURM: job 7 ended as "),
    ],
)
def test_starts_that_ended_before_the_run_wrote_a_row_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: int, status: Status, text: str
) -> None:
    answer = f"JobId=7 Requeue=1 Restarts={restarts} JobState=FAILED ExitCode=1:0"
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f"#!/bin/sh\necho '{answer}'\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    entry = Entry("run-0", "f", Status.INTERRUPTED, starts=2, sweep="", changed_ns=1)
    index = SimpleNamespace(latest=lambda fingerprints: entry, entries={"run-0": entry})
    launcher: Any = object.__new__(SlurmLauncher)
    launcher.context = SimpleNamespace(index=index, is_leased=lambda cell: False)
    launcher.settings = SimpleNamespace(starts=10, minutes=5)
    item = SimpleNamespace(cell=SimpleNamespace(fingerprints=["f"]), resumes=None)
    job: Any = SimpleNamespace(item=item, before=None, tries=1, job_id="7")
    completion = launcher._completion_of(job)
    assert completion.run_id == "run-0"
    assert completion.termination.status == status
    assert completion.termination.text == f"{text}FAILED (exit code 1)"

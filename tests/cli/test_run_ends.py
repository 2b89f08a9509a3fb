"""How the real command ends: diverged, as a smoke test, interrupted, by a bug."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.calling import ENVIRONMENT, MACHINE, RUN_PY, run_py
from tests.helpers.paths import ROOT
from tests.helpers.results_folder import Results

BUNDLED_TEXT = ROOT / "tasks" / "data" / "tinyshakespeare.txt"


def test_a_run_that_diverges_is_a_row(tmp_path: Path) -> None:
    results = Results(tmp_path / "results")
    places = [f"results_dir={results.folder}"]
    answer = run_py("model=rnn", "task=sp500", "train.learning_rate=1e30", *MACHINE, *places)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert "rnn on sp500: diverged" in answer.stdout
    (row,) = results.rows
    assert row["status"] == "diverged"
    assert row["error"].startswith("NotFiniteError: ")
    assert row["test_score"] == row["val_score"] == row["rmse"] == ""
    assert int(row["steps"]) > 0
    for name in ("weights.safetensors", "predictions.parquet", "predictions-validation.parquet"):
        assert not (results.run(row) / name).exists()


def test_a_smoke_test_marks_its_row(tmp_path: Path) -> None:
    results = Results(tmp_path / "results")
    places = [f"results_dir={results.folder}"]
    answer = run_py("model=gru", "task=shakespeare", "debug=smoke", *MACHINE, *places)
    assert answer.returncode == 0, answer.stderr
    (row,) = results.rows
    assert (row["status"], row["smoke"]) == ("ok", "true")
    assert row["test_score"] == row["perplexity"] != ""
    assert row["rmse"] == row["accuracy"] == ""
    sample = (results.run(row) / "sample.txt").read_text(encoding="utf-8")
    assert len(sample) == 400
    assert sample in answer.stdout


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="Ctrl-C is ignored here"
)
@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (signal.SIGINT, "KeyboardInterrupt: SIGINT"),
        (signal.SIGTERM, "KeyboardInterrupt: SIGTERM"),
        (signal.SIGHUP, "KeyboardInterrupt: SIGHUP"),
    ],
)
def test_ctrl_c_and_kill_leave_a_row_of_what_there_was(
    sent: signal.Signals, error: str, tmp_path: Path
) -> None:
    results = Results(tmp_path / "results")
    corpus = tmp_path / "text.txt"
    corpus.write_text(BUNDLED_TEXT.read_text(encoding="utf-8")[:20_000], encoding="utf-8")
    running = subprocess.Popen(
        [
            *(sys.executable, RUN_PY, *MACHINE, f"results_dir={results.folder}"),
            *("model=lstm", "task=shakespeare", f"task.corpus={corpus}"),
            *("model.hidden_size=16", "train.max_epochs=100000"),
        ],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    try:
        before = running.stderr.readline()
        running.send_signal(sent)
        output, after = running.communicate(timeout=300)
    finally:
        running.kill()
        running.wait()
    assert before.startswith("epoch 1/")
    assert running.returncode == 130
    assert "Traceback" not in after
    assert "lstm on shakespeare: interrupted" in output
    (row,) = results.rows
    assert (row["status"], row["error"]) == ("interrupted", error)
    assert row["test_score"] == row["perplexity"] == row["stopped_by"] == ""
    assert len(results.history(row)) == int(row["epochs"]) >= 1
    assert float(row["val_score"]) > 1
    assert "resumes from the checkpoint" in after
    assert (results.run(row) / "checkpoint.safetensors").is_file()
    assert not [*(results.folder / "running").iterdir()]


# Put before the command, these stand for what happens to it.
CTRL_C_WHILE_READING = """
from tasks.sp500 import Sp500Settings
def load(self, cache):
    raise KeyboardInterrupt
Sp500Settings.load = load
"""
BUG_IN_THE_LOSS = """
from tasks.sp500 import Sp500Task
def loss(self, outputs, batch):
    raise ZeroDivisionError("a bug")
Sp500Task.loss = loss
"""


# As of an impatient user: in a step, while the checkpoint is written, and while the row is.
MANY_CTRL_C = """
import os, signal
from benchmarks.results.store import Store
from benchmarks.runner import checkpointing
from benchmarks.training.trainer import Trainer
compute, save, store = Trainer.forward_backward, checkpointing.write_checkpoint, Store.write_row
interrupted = False
def press():
    if interrupted:
        os.kill(os.getpid(), signal.SIGINT)
def forward_backward(self, *arguments):
    global interrupted
    interrupted = self.state.steps == 2
    press()
    press()
    return compute(self, *arguments)
def write_checkpoint(*arguments):
    press()
    save(*arguments)
    press()
def write_row(*arguments):
    press()
    store(*arguments)
    press()
Trainer.forward_backward, checkpointing.write_checkpoint = forward_backward, write_checkpoint
Store.write_row = write_row
"""
CTRL_C_BEFORE_THE_FIRST_STEP = """
import os, signal
from benchmarks.training.trainer import Trainer
Trainer.warm_up = lambda self: os.kill(os.getpid(), signal.SIGINT)
"""


def run_py_after(happening: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    return run_py(*overrides, *MACHINE, before=happening)


def test_ctrl_c_before_there_is_a_row_is_no_traceback_either(tmp_path: Path) -> None:
    answer = run_py_after(CTRL_C_WHILE_READING, "task=sp500", f"results_dir={tmp_path}")
    assert "Traceback" not in answer.stderr
    assert answer.returncode == 130


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_further_ctrl_c_wait_until_the_checkpoint_is_written(
    sweep: list[str], tmp_path: Path
) -> None:
    command = [*sweep, "model=lstm", "task=sp500", "train.max_steps=4", f"results_dir={tmp_path}"]
    answer = run_py_after(MANY_CTRL_C, *command)
    assert answer.returncode == 130, answer.stderr
    assert "Traceback" not in answer.stderr
    promise = "run the same command to resume" if sweep else "resumes from the checkpoint"
    assert promise in answer.stderr
    (row,) = Results(tmp_path).rows
    assert (row["status"], row["steps"]) == ("interrupted", "3")
    again = run_py(*command, *MACHINE)
    assert again.returncode == 0, again.stderr
    logs = "".join(file.read_text() for file in tmp_path.glob("sweeps/*/logs/*"))
    assert f"resuming {row['run_id']} from step 3 of 4" in again.stdout + logs


def test_ctrl_c_before_the_first_step_promises_no_checkpoint(tmp_path: Path) -> None:
    answer = run_py_after(CTRL_C_BEFORE_THE_FIRST_STEP, "task=sp500", f"results_dir={tmp_path}")
    assert answer.returncode == 130
    assert answer.stderr.splitlines()[-1] == (
        "there is no checkpoint yet: re-running the same command trains from the beginning"
    )


CONCURRENT = """
import dataclasses
from benchmarks.results.leases import Lease, Leases
from benchmarks.system.processes import ProcessIdentity
acquire = Leases.acquire
def acquire_second(self, lease):
    elsewhere = ProcessIdentity(host="elsewhere", boot="", pid=123456, born="")
    acquire(self, Lease(lease.key, "the-first", elsewhere))
    Leases.acquire = acquire
    return acquire(self, lease)
Leases.acquire = acquire_second
"""


def test_a_second_run_of_a_configuration_reports_the_first(tmp_path: Path) -> None:
    smoke = ["task=sp500", "debug=smoke", f"results_dir={tmp_path}"]
    answer = run_py_after(CONCURRENT, *smoke)
    assert answer.returncode == 0, answer.stderr
    (note,) = [line for line in answer.stdout.splitlines() if "same configuration" in line]
    assert note == (
        "note: process 123456 runs the same configuration (the-first); this run is independent of "
        "it and trains it a second time"
    )


def test_of_several_unfinished_runs_the_note_names_two(tmp_path: Path) -> None:
    """The run with more steps is resumed, although the other one started later."""
    command = ["model=lstm", "task=sp500", "train.max_steps=4", f"results_dir={tmp_path}"]
    assert run_py_after(MANY_CTRL_C, *command).returncode == 130
    (first,) = Results(tmp_path).rows
    assert run_py_after(CTRL_C_BEFORE_THE_FIRST_STEP, *command, "resume=never").returncode == 130
    (second,) = [row for row in Results(tmp_path).rows if row["run_id"] != first["run_id"]]
    again = run_py(*command, *MACHINE)
    assert again.returncode == 0, again.stderr
    assert (
        f"note: {first['run_id']} has the most steps of several unfinished runs of this "
        f"configuration and is resumed; {second['run_id']} remains"
    ) in again.stdout
    assert f"resuming {first['run_id']} from step 3 of 4" in again.stdout


def test_a_bug_is_a_row_and_a_traceback(tmp_path: Path) -> None:
    answer = run_py_after(BUG_IN_THE_LOSS, "task=sp500", f"results_dir={tmp_path}")
    assert answer.returncode == 1
    assert answer.stderr.rstrip().endswith("ZeroDivisionError: a bug")
    (row,) = Results(tmp_path).rows
    assert (row["status"], row["error"]) == ("failed", "ZeroDivisionError: a bug")

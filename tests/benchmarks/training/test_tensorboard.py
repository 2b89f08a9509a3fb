"""TensorBoard's event files equal history.csv, each step once, however often a run resumed."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hydra import compose, initialize_config_dir

from benchmarks.config.fingerprint import identity
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import LogSettings
from benchmarks.config.validation import checked_config
from benchmarks.errors import UserError
from benchmarks.runner.row_columns import effective_overrides
from benchmarks.training.tensorboard import tensorboard_log
from benchmarks.training.trainer import Trainer
from tests.helpers.calling import run_py
from tests.helpers.composing import composed
from tests.helpers.paths import ROOT

event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="TensorBoard is not installed: pip install -e '.[tensorboard]'",
)

REQUESTED = LogSettings(tensorboard=True)


@pytest.fixture(autouse=True)
def _each_start_is_a_second_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers sort event files by the second of their start, which starts of one test share."""
    seconds = itertools.count(1_700_000_000)
    clock = SimpleNamespace(time=lambda: float(next(seconds)))
    monkeypatch.setattr("tensorboard.summary.writer.event_file_writer.time", clock)


def curves_of(run: Path) -> dict[str, dict[int, float]]:
    """Read a run's event files like TensorBoard; a duplicate step fails."""
    reader = event_accumulator.EventAccumulator(str(run / "tensorboard"), {"scalars": 0})
    reader.Reload()
    curves = {}
    for tag in reader.Tags()["scalars"]:
        points = reader.Scalars(tag)
        curves[tag] = {point.step: point.value for point in points}
        assert len(curves[tag]) == len(points), f"{tag} has a step twice"
        assert list(curves[tag]) == sorted(curves[tag]), f"{tag} goes back"
    return curves


def check_against_history(run: Path) -> dict[str, dict[int, float]]:
    curves = curves_of(run)
    with (run / "history.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    steps = [int(line["steps"]) for line in lines]
    for name in set(lines[0]) - {"epoch", "steps"}:
        expected = [float(line[name]) for line in lines]
        assert list(curves[f"epoch/{name}"]) == steps
        assert list(curves[f"epoch/{name}"].values()) == pytest.approx(expected, rel=1e-6)
    for name in ("train_loss", "gradient_norm", "learning_rate"):
        at_ends = [curves[f"step/{name}"][step] for step in steps]
        assert at_ends == pytest.approx([float(line[name]) for line in lines], rel=1e-6)
    return curves


class Listener:
    """Record the steps of reports and epochs."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.epochs: list[float] = []

    def step(self, line: dict[str, float]) -> None:
        self.steps.append(line["steps"])

    def epoch(self, line: dict[str, float]) -> None:
        self.epochs.append(line["steps"])


def line_at(steps: int) -> dict[str, float]:
    facts = {"epoch": -(-steps // 4), "steps": steps, "train_loss": 1 / steps}
    return facts | {"gradient_norm": float(steps), "learning_rate": 0.1}


def trainer_at(steps: int, epoch_steps: int, epochs: list[int]) -> Any:
    """Return the part of a trainer at a checkpoint that the log uses."""
    history = [line_at(each) | {"validation_rmse": 2.0 * each} for each in epochs]
    return SimpleNamespace(
        progress=Listener(),
        state=SimpleNamespace(steps=steps, history=history),
        epoch=SimpleNamespace(steps=epoch_steps),
        line=lambda: line_at(steps),
    )


def train(trainer: Any, reports: list[int], epochs: list[int], folder: Path) -> Listener:
    listener = trainer.progress
    with tensorboard_log(cast(Trainer, trainer), REQUESTED, folder):
        for steps in sorted({*reports, *epochs}):
            if steps in reports:
                trainer.progress.step(line_at(steps))
            if steps in epochs:
                trainer.progress.step(line_at(steps))
                trainer.progress.epoch(line_at(steps) | {"validation_rmse": 2.0 * steps})
    assert trainer.progress is listener
    assert isinstance(listener, Listener)
    return listener


@pytest.mark.parametrize(
    ("checkpoint", "epoch_steps", "epochs_known"),
    [(6, 2, [4]), (8, 4, [4]), (8, 0, [4, 8]), (7, 3, [4]), (0, 0, [])],
    ids=["after a report", "before validation", "after an epoch", "at no report", "at none"],
)
def test_events_after_the_checkpoint_are_purged(
    checkpoint: int, epoch_steps: int, epochs_known: list[int], tmp_path: Path
) -> None:
    """Killed at step 11, resumed from an earlier one, with reports at other steps."""
    seen = train(trainer_at(0, 0, []), [3, 6, 8, 9, 11], [4, 8], tmp_path)
    assert seen.steps == [3, 4, 6, 8, 8, 9, 11]
    assert seen.epochs == [4, 8]
    later = trainer_at(checkpoint, epoch_steps, epochs_known)
    epochs = [each for each in (4, 8, 12) if each not in epochs_known]
    seen = train(later, [each for each in (6, 10) if each > checkpoint], epochs, tmp_path)
    assert seen.epochs == epochs  # the display receives nothing twice
    curves = curves_of(tmp_path)
    assert list(curves["epoch/validation_rmse"]) == [4, 8, 12]
    reports = {4, 8, 10, 12} | {each for each in (3, 6) if each <= checkpoint} | {checkpoint, 6}
    assert set(curves["step/train_loss"]) == reports - {0}
    assert all(value == float(step) for step, value in curves["step/gradient_norm"].items())


def test_nothing_is_written_by_default(tmp_path: Path) -> None:
    trainer = trainer_at(0, 0, [])
    with tensorboard_log(trainer, LogSettings(), tmp_path):
        assert isinstance(trainer.progress, Listener)
    assert list(tmp_path.iterdir()) == []


def test_a_lost_file_leaves_the_others_alone(tmp_path: Path) -> None:
    for steps in (0, 4, 8):
        train(trainer_at(steps, 0, []), [steps + 2], [], tmp_path)
    first, second, _ = sorted((tmp_path / "tensorboard").iterdir())
    first.unlink()
    kept = second.read_bytes()
    train(trainer_at(12, 0, []), [14], [], tmp_path)
    assert second.read_bytes() == kept
    assert list(curves_of(tmp_path)["step/train_loss"]) == [6, 10, 14]


def test_a_missing_tensorboard_is_reported_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.config.validation.find_spec", lambda name: None)
    assert not composed("task=sp500").log.tensorboard
    with pytest.raises(UserError, match=r"log.tensorboard=true: requires TensorBoard: pip install"):
        composed("task=sp500", "log.tensorboard=true")


KILLED_AT = 2
KILL = f"""
import os, signal
import benchmarks.runner.checkpointing as checkpointing

write = checkpointing.write_checkpoint
def write_and_die(path, tensors, facts):
    write(path, tensors, facts)
    if facts["training"]["epoch"] == {KILLED_AT} and facts["training"]["epoch_steps"] > 3:
        os.kill(os.getpid(), signal.SIGKILL)
checkpointing.write_checkpoint = write_and_die
"""


def test_a_killed_and_resumed_run_has_every_step_once(tmp_path: Path, shared_cache: Path) -> None:
    folder = tmp_path / "results"
    settings = ["model=rnn", "task=sp500", "train.device=cpu", "train.threads=1"]
    settings += ["train.max_epochs=3", f"results_dir={folder}", f"cache_dir={shared_cache}"]
    wanted = [*settings, "log.tensorboard=true", "train.checkpoint_seconds=0"]

    killed = run_py(*wanted, before=KILL)
    assert killed.returncode == -9, killed.stderr
    ended = run_py(*wanted)
    assert ended.returncode == 0, ended.stderr
    assert "resuming" in ended.stdout
    (run,) = (folder / "runs").iterdir()
    curves = check_against_history(run)
    # Every step was reported, as there was a checkpoint at every step.
    steps = list(curves["step/train_loss"])
    assert steps == list(range(1, steps[-1] + 1))


def test_the_log_does_not_change_the_identity() -> None:
    register_schemas()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        configs = [
            checked_config(compose("config", overrides=["task=sp500", *extra]))
            for extra in ([], ["log.tensorboard=true"])
        ]
    identities = [identity(config) for config in configs]
    assert identities[0] == identities[1]
    assert "log" not in identities[0]
    assert effective_overrides(configs[1], ["log.tensorboard=true"]) is None

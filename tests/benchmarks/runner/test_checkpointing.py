"""A resumed training equals an uninterrupted one bit for bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from benchmarks.training.checkpoint import read_checkpoint
from tasks.base import Batch
from tests.helpers.one_training import KINDS, Load, Process, composed, results
from tests.helpers.short_trainings import EPOCHS, STEPS, Silent


@pytest.fixture(scope="module")
def whole(
    load_shortened: Load, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, Any]]:
    """Return the results of an uninterrupted training, with no checkpoint before its end."""

    @cache
    def train(*overrides: str) -> dict[str, Any]:
        config = composed(*overrides, "train.checkpoint_seconds=null")
        process = Process(config, load_shortened(config), tmp_path_factory.mktemp("whole"))
        process.trainer.fit()
        assert process.writes == 1
        return results(process.trainer)

    return train


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1, 2, STEPS, STEPS + 1, 2 * STEPS + 3, EPOCHS * STEPS])
def test_a_signal_after_any_step_changes_no_bit(
    kind: str, step: int, load_shortened: Load, whole: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    config = composed(*KINDS[kind])
    first = Process(config, load_shortened(config), tmp_path)
    first.signal_after(step)
    first.stop()
    assert first.trainer.state.steps == step
    assert results(Process(config, load_shortened(config), tmp_path).resume()) == whole(
        *KINDS[kind]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_killed_after_each_step_ends_with_the_same_bits(
    kind: str, load_shortened: Load, whole: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Each process does one step and one checkpoint; its later work is lost."""
    config = composed(*KINDS[kind], "train.checkpoint_seconds=0")
    reached = []
    for number in itertools.count():
        process = Process(config, load_shortened(config), tmp_path)
        write = process.write

        def write_and_die(
            tensors: dict[str, Tensor], facts: dict[str, Any], w: Any = write
        ) -> None:
            w(tensors, facts)
            if facts["state"]["stopped_by"] is None:
                raise SystemExit("killed")

        process.trainer.save_checkpoint = write_and_die
        if number:
            process.trainer.restore(*read_checkpoint(process.path))
        try:
            process.trainer.fit()
        except SystemExit:
            reached.append(process.trainer.state.steps)
        else:
            break
    assert reached == list(range(1, EPOCHS * STEPS + 1))
    assert results(process.trainer) == whole(*KINDS[kind])
    # And the last, killed before its row: nothing is trained again.
    again = Process(config, load_shortened(config), tmp_path)
    assert results(again.resume()) == whole(*KINDS[kind])


@pytest.mark.parametrize("kind", ["one output", "state carried on", "both directions"])
@pytest.mark.parametrize("epoch", [1, EPOCHS])
def test_a_signal_during_a_validation_changes_no_bit(
    kind: str,
    epoch: int,
    load_shortened: Load,
    whole: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = composed(*KINDS[kind])
    task = load_shortened(config)
    first = Process(config, task, tmp_path)
    sums = task.sums

    def sums_and_signal(outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        if first.trainer.state.epochs == epoch - 1:
            first.interruption.handle(15, None)
        return sums(outputs, batch)

    with monkeypatch.context() as patch:
        patch.setattr(task, "sums", sums_and_signal)
        first.stop()
    assert first.trainer.state.epochs == epoch - 1
    assert results(Process(config, task, tmp_path).resume()) == whole(*KINDS[kind])


def test_a_signal_between_two_epochs_changes_no_bit(
    load_shortened: Load, whole: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    kind = KINDS["state carried on"]
    config = composed(*kind)
    first = Process(config, load_shortened(config), tmp_path)

    class Signals(Silent):
        def epoch(self, record: dict[str, float]) -> None:
            if record["epoch"] == 2:
                first.interruption.requested = "SIGTERM"

    first.trainer.progress = Signals()
    first.stop()
    assert first.trainer.state.epochs == 2
    assert results(Process(config, load_shortened(config), tmp_path).resume()) == whole(*kind)


@pytest.mark.parametrize("max_steps", [STEPS + 2, 2 * STEPS])
@pytest.mark.parametrize("step", [STEPS + 1, STEPS + 2])
def test_a_bound_on_steps_counts_those_of_all_starts(
    max_steps: int,
    step: int,
    load_shortened: Load,
    whole: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    overrides = [*KINDS["one output"], f"train.max_steps={max_steps}"]
    config = composed(*overrides)
    first = Process(config, load_shortened(config), tmp_path)
    first.signal_after(step)
    first.stop()
    trainer = Process(config, load_shortened(config), tmp_path).resume()
    assert results(trainer) == whole(*overrides)
    assert (trainer.state.steps, trainer.state.stopped_by) == (max_steps, "steps")

"""Training throughput of the harness beside a bare loop over the same batches.

    python -m scripts.perf.loop
    python -m scripts.perf.loop --models gru lstm --tasks sp500 --turns 15

The bare loop is what a careful person writes for one experiment: fused optimiser, gradients set to
None, parameters listed once, clipping, the schedule's rate set before each step, the state carried.
It counts nothing and keeps nothing. Both build their batches by the task's own iterator, over the
same order, and run on copies of one network.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.perf.measuring import (
    Report,
    Times,
    interleaved,
    parser_of,
    run_benchmark,
    speed,
    spread,
)
from scripts.perf.pairs import add_run_options, composed, load, pairs, trainer_of

if TYPE_CHECKING:
    import torch

    from benchmarks.config.schema import Config
    from benchmarks.training.trainer import Trainer
    from tasks.base import Batch, Task

TARGET = 0.98


def bare_epoch(trainer: Trainer, steps: int) -> None:
    """Train on the first batches of the first epoch with nothing but what training takes."""
    import torch

    from benchmarks.training.optim import schedule_factor
    from benchmarks.training.seeding import SeedStreams

    network, task, settings = trainer.network, trainer.task, trainer.settings
    optimizer, total_steps = trainer.optimizer, trainer.total_steps
    peak, bound = trainer.peak_learning_rate, settings.clip_norm
    parameters = list(network.parameters())
    assert total_steps is not None
    order = SeedStreams(trainer.seed).data_order(0)
    batches = task.batches("train", settings.batch_size, order)
    network.train()
    state = None
    for step, batch in enumerate(itertools.islice(batches, steps)):
        rate = peak * schedule_factor(settings, step, total_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        outputs, state = network(batch.inputs, batch.lengths, state if batch.continues else None)
        loss = task.loss(outputs, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        if bound is not None:
            torch.nn.utils.clip_grad_norm_(parameters, bound)
        optimizer.step()
        # Here rather than before the next backward pass: their memory serves the forward pass.
        optimizer.zero_grad(set_to_none=True)
        if state is not None:
            state = tuple(part.detach() for part in state)


class First:
    """A task whose training split ends after so many batches."""

    def __init__(self, task: Task, steps: int) -> None:
        self.task, self.steps = task, steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def batches(self, *arguments: Any) -> Iterator[Batch]:
        """See `Task.batches`."""
        return itertools.islice(self.task.batches(*arguments), self.steps)


def harness_epoch(trainer: Trainer, steps: int) -> None:
    """Run the harness's own epoch over the same batches."""
    from benchmarks.training.state import EpochInProgress

    whole = trainer.task
    trainer.task = First(whole, steps)  # type: ignore[assignment]
    trainer.epoch, trainer.record.steps = EpochInProgress(), 0
    try:
        trainer._train_epoch()
    finally:
        trainer.task = whole


@dataclass(frozen=True)
class Turn:
    """What is timed at once: so many steps of the first epoch, so many times."""

    steps: int
    times: int

    @staticmethod
    def lasting(seconds: float, trainer: Trainer) -> Turn:
        """Take as many steps as last about so long, whole epochs where one is too short."""
        bare_epoch(trainer, 3)
        started = time.perf_counter()
        bare_epoch(trainer, 3)
        wanted = max(3, round(3 * seconds / (time.perf_counter() - started)))
        # An epoch may turn out one batch shorter than planned.
        most = max(1, trainer.task.steps_per_epoch(trainer.settings.batch_size) - 1)
        return Turn(min(most, wanted), max(1, round(wanted / most)))

    def run(self, epoch: Callable[[Trainer, int], None], trainer: Trainer) -> None:
        """Take the steps."""
        for _ in range(self.times):
            epoch(trainer, self.steps)


def compare(
    config: Config, task: Task, device: torch.device, turns: int, seconds: float
) -> tuple[Times, int]:
    """Time both loops in turn; returns seconds by loop, and the steps of a turn."""
    trainers = [trainer_of(config, task, device) for _ in range(2)]
    turn = Turn.lasting(seconds, trainers[0])
    arms = {
        "bare": lambda: turn.run(bare_epoch, trainers[0]),
        "harness": lambda: turn.run(harness_epoch, trainers[1]),
    }
    return interleaved(arms, turns, str(device)), turn.steps * turn.times


def measure(chosen: argparse.Namespace, report: Report) -> None:
    """Compare the loops for each pair of model and task."""
    from benchmarks.system.environment import choose_device

    device = choose_device(chosen.device)
    tasks: dict[str, Task] = {}
    for model, name in pairs(chosen.models, chosen.tasks):
        config = composed(model, name, *chosen.set)
        task = tasks[name] = tasks.get(name) or load(config, device)
        times, steps = compare(config, task, device, chosen.turns, chosen.seconds)
        bare, harness = (1e3 * min(times[arm]) / steps for arm in ("bare", "harness"))
        turns = spread(times, "harness", over="bare")
        report.say(
            f"{model} on {name}: a step takes {bare:.3f} ms bare, {harness:.3f} ms in the harness "
            f"({1e3 * (harness - bare):+.0f} us); speed turn by turn {turns}"
        )
        throughput = speed(times, "harness", over="bare")
        report.ratio(f"harness / bare loop, {model} on {name}", throughput, at_least=TARGET)


def main(arguments: list[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = parser_of(__doc__)
    add_run_options(parser)
    parser.add_argument("--tasks", nargs="+", default=[], metavar="T", help="default: all")
    parser.add_argument("--turns", type=int, default=9, help="of each loop")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn, about")
    return run_benchmark("loop", parser, arguments, measure)


if __name__ == "__main__":
    sys.exit(main())

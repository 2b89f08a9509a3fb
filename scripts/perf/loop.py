"""Training throughput of the harness compared with a bare loop over the same batches.

    python -m scripts.perf.loop
    python -m scripts.perf.loop --models gru lstm --tasks sp500 --turns 15

The bare loop is efficient code for a single experiment: fused optimiser, gradients set to None, a
list of parameters, clipping, the scheduled rate, the carried state. It records nothing. Both loops
use the batches of the task in the same order, and copies of one network.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from functools import partial
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
from scripts.perf.pairs import add_run_options, loaded_pairs, trainer_of

if TYPE_CHECKING:
    import torch

    from benchmarks.config.schema import Config
    from benchmarks.training.trainer import Trainer
    from tasks.base import Batch, Task

TARGET = 0.98


def bare_epoch(trainer: Trainer, steps: int) -> None:
    """Train on the first batches of the first epoch without any bookkeeping."""
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
        # Before the next forward pass, which reuses the memory.
        optimizer.zero_grad(set_to_none=True)
        if state is not None:
            state = tuple(part.detach() for part in state)


class ShortTask:
    """A task with only the first batches of its training split."""

    def __init__(self, task: Task, steps: int) -> None:
        self.task, self.steps = task, steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def batches(self, *arguments: Any) -> Iterator[Batch]:
        """See `Task.batches`."""
        return itertools.islice(self.task.batches(*arguments), self.steps)


def harness_epoch(trainer: Trainer, steps: int) -> None:
    """Train on the same batches with the harness."""
    from benchmarks.training.state import EpochState

    whole = trainer.task
    trainer.task = ShortTask(whole, steps)  # type: ignore[assignment]
    trainer.epoch, trainer.state.steps = EpochState(), 0
    try:
        trainer._train_epoch()
    finally:
        trainer.task = whole


def steps_lasting(seconds: float, trainer: Trainer) -> tuple[int, int]:
    """Return steps per epoch and epochs that take about so long."""
    bare_epoch(trainer, 3)
    started = time.perf_counter()
    bare_epoch(trainer, 3)
    wanted = max(3, round(3 * seconds / (time.perf_counter() - started)))
    # An epoch may have one batch less than planned.
    most = max(1, trainer.task.steps_per_epoch(trainer.settings.batch_size) - 1)
    return min(most, wanted), max(1, round(wanted / most))


def compare(
    config: Config, task: Task, device: torch.device, turns: int, seconds: float
) -> tuple[Times, int]:
    """Time both loops in turns; return seconds by loop, and the steps of a turn."""
    trainers = {name: trainer_of(config, task, device) for name in ("bare", "harness")}
    steps, epochs = steps_lasting(seconds, trainers["bare"])

    arms = {
        "bare": partial(bare_epoch, trainers["bare"], steps),
        "harness": partial(harness_epoch, trainers["harness"], steps),
    }
    return interleaved(arms, turns, str(device), epochs), steps * epochs


def measure(options: argparse.Namespace, report: Report) -> None:
    """Compare the loops for each pair of model and task."""
    from benchmarks.system.environment import choose_device

    device = choose_device(options.device)
    for pair, config, task in loaded_pairs(options.models, options.tasks, device, *options.set):
        times, steps = compare(config, task, device, options.turns, options.seconds)
        bare, harness = (1e3 * min(times[arm]) / steps for arm in ("bare", "harness"))
        turns = spread(times, "harness", over="bare")
        report.write(
            f"{pair}: a step takes {bare:.3f} ms bare, {harness:.3f} ms in the harness "
            f"({1e3 * (harness - bare):+.0f} us); speed turn by turn {turns}"
        )
        throughput = speed(times, "harness", over="bare")
        report.ratio(f"harness / bare loop, {pair}", throughput, at_least=TARGET)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add_run_options(parser, tasks=[])
    parser.add_argument("--turns", type=int, default=9, help="of each loop")
    parser.add_argument("--seconds", type=float, default=0.5, help="approximate length of a turn")
    return run_benchmark("loop", parser, arguments, measure)


if __name__ == "__main__":
    sys.exit(main())

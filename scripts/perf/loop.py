"""Training throughput of the harness compared with a bare loop over the same batches.

    python -m scripts.perf.loop
    python -m scripts.perf.loop --models gru lstm --tasks sp500 --turns 15

The bare loop is efficient code for a single experiment and records nothing. Both loops use the
batches of the task in the same order, and copies of one network.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING
from unittest.mock import patch

from benchmarks.system.program import run_script
from scripts.perf.measuring import Report, interleaved, parser_of, run_benchmark, speed, spread
from scripts.perf.pairs import add_run_options, loaded_pairs, trainer_of

if TYPE_CHECKING:
    from benchmarks.training.trainer import Trainer

TARGET = 0.98


def bare_epoch(trainer: Trainer, steps: int) -> None:
    """Train on the first batches of the first epoch without any bookkeeping."""
    import torch

    from benchmarks.training.optim import schedule_factor

    network, task, settings = trainer.network, trainer.task, trainer.settings
    optimizer, total_steps = trainer.optimizer, trainer.total_steps
    peak, bound = trainer.peak_learning_rate, settings.clip_norm
    parameters = list(network.parameters())
    assert total_steps is not None
    order = trainer.streams.data_order(0)
    batches = task.batches("train", settings.batch_size, order)
    network.train()
    state = None
    for step, batch in enumerate(islice(batches, steps)):
        rate = peak * schedule_factor(settings, step, total_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        outputs, state = network(batch.inputs, batch.lengths, state if batch.continues else None)
        loss = task.loss(outputs, batch)
        # PyTorch's `backward` has no annotations.
        loss.backward()  # type: ignore[no-untyped-call]
        if bound is not None:
            torch.nn.utils.clip_grad_norm_(parameters, bound)
        optimizer.step()
        # Before the next forward pass, which reuses the memory.
        optimizer.zero_grad(set_to_none=True)
        if state is not None:
            state = tuple(part.detach() for part in state)


def harness_epoch(trainer: Trainer, steps: int) -> None:
    """Train on the same batches with the harness."""
    from benchmarks.training.state import EpochState

    whole = trainer.task.batches
    trainer.epoch, trainer.state.steps = EpochState(), 0
    with patch.object(trainer.task, "batches", lambda *given: islice(whole(*given), steps)):
        trainer._train_epoch()


def steps_lasting(seconds: float, trainer: Trainer) -> tuple[int, int]:
    """Return steps per epoch and number of epochs that take about `seconds`."""
    bare_epoch(trainer, 3)
    started = time.perf_counter()
    bare_epoch(trainer, 3)
    wanted = max(3, round(3 * seconds / (time.perf_counter() - started)))
    # An epoch may have one batch less than planned.
    most = max(1, trainer.task.steps_per_epoch(trainer.settings.batch_size) - 1)
    return min(most, wanted), max(1, round(wanted / most))


def measure(options: argparse.Namespace, report: Report) -> None:
    """Compare the loops for each pair of model and task."""
    from benchmarks.system.environment import choose_device

    device = choose_device(options.device)
    for pair, config, task in loaded_pairs(options.models, options.tasks, device, *options.set):
        trainers = [trainer_of(config, task, device) for _ in range(2)]
        steps, epochs = steps_lasting(options.seconds, trainers[0])
        variants = {
            "bare": partial(bare_epoch, trainers[0], steps),
            "harness": partial(harness_epoch, trainers[1], steps),
        }
        times = interleaved(variants, options.turns, str(device), epochs)
        bare, harness = (1e3 * min(times[name]) / (steps * epochs) for name in variants)
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
    run_script(main)

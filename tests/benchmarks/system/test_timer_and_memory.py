"""What the clock counts and what memory means."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from benchmarks.config.schema import Config, TrainSettings
from benchmarks.runner.display import TrainingDisplay, step_bar
from benchmarks.runner.stages import measure_memory
from benchmarks.system import timer as clocks
from benchmarks.system.disk_cache import DiskCache
from benchmarks.system.environment import reset_process
from benchmarks.system.memory import (
    MIB,
    peak_rss_mib,
    persistent_bytes,
    reset_peak_rss,
    step_peak_mib,
    tensor_bytes,
)
from benchmarks.system.signals import Interruption
from benchmarks.system.timer import Timer
from benchmarks.training.trainer import Trainer
from models.recurrent import RecurrentSettings
from tasks.base import Task
from tasks.sp500 import Sp500Settings

CPU = torch.device("cpu")


class FakeClock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(clocks, "time", SimpleNamespace(perf_counter=lambda: fake.now))
    return fake


def test_only_running_blocks_count(clock: FakeClock) -> None:
    timer = Timer(CPU)
    assert timer.seconds == 0
    clock.pass_seconds(100)
    for seconds in (1, 2):
        with timer.running():
            clock.pass_seconds(seconds)
        clock.pass_seconds(100)
    assert timer.seconds == 3


def test_the_time_so_far_can_be_read_while_running(clock: FakeClock) -> None:
    timer = Timer(CPU)
    with timer.running():
        clock.pass_seconds(2)
        assert timer.seconds == 2
        clock.pass_seconds(3)
        with timer.paused():
            clock.pass_seconds(100)
            assert timer.seconds == 5
        assert timer.seconds == 5


def test_pauses_do_not_count(clock: FakeClock) -> None:
    timer = Timer(CPU)
    with timer.running():
        for _ in range(3):
            clock.pass_seconds(1)
            with timer.paused():
                clock.pass_seconds(100)
        clock.pass_seconds(1)
    assert timer.seconds == 4


@pytest.mark.parametrize("is_paused", [False, True])
def test_an_exception_stops_the_clock(is_paused: bool, clock: FakeClock) -> None:
    timer = Timer(CPU)

    def fail() -> None:
        clock.pass_seconds(7)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), timer.running():  # noqa: PT012  the clock is the point
        clock.pass_seconds(2)
        if is_paused:
            with timer.paused():
                fail()
        fail()
    clock.pass_seconds(100)
    assert timer.seconds == (2 if is_paused else 9)
    with timer.running():
        clock.pass_seconds(1)
    assert timer.seconds == (3 if is_paused else 10)


def test_the_device_is_waited_for_at_both_ends(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work given before a block is not counted, work given inside it is."""
    pending = [5.0]

    def synchronise(device: torch.device) -> None:
        assert device == CPU
        while pending:
            clock.pass_seconds(pending.pop())

    monkeypatch.setattr(clocks, "synchronise", synchronise)
    timer = Timer(CPU)
    with timer.running():
        pending.append(1.0)
        with timer.paused():
            pending.append(50.0)
        pending.append(2.0)
    assert timer.seconds == 3


def mebibytes(count: int) -> Tensor:
    return torch.empty(count * MIB, dtype=torch.uint8)


def peak(step: Callable[[], None], lasting: int = 0) -> float:
    found = step_peak_mib(step, lasting, CPU)
    assert found is not None
    return found


def free_before_next() -> None:
    first = mebibytes(8)
    del first
    mebibytes(4)


def keep_both() -> None:
    both = [mebibytes(8), mebibytes(4)]
    assert len(both) == 2


def grow_after_a_release() -> None:
    first, second = mebibytes(8), mebibytes(4)
    del first
    third = mebibytes(6)
    assert len(second) < len(third)


@pytest.mark.parametrize(
    ("step", "mib"), [(free_before_next, 8), (keep_both, 12), (grow_after_a_release, 12)]
)
@pytest.mark.parametrize("lasting", [0, 3 * MIB])
def test_the_peak_is_of_what_is_alive_at_once(
    step: Callable[[], None], mib: int, lasting: int
) -> None:
    assert peak(step, lasting) == pytest.approx(mib + lasting / MIB, abs=0.05)


def test_the_peak_of_a_backward_pass_is_what_autograd_keeps() -> None:
    """Each exp keeps its result: three of them, and two gradients at the widest place."""
    inputs = torch.zeros(MIB, requires_grad=True)  # 4 MiB

    def step() -> None:
        inputs.exp().exp().exp().sum().backward()  # type: ignore[no-untyped-call]
        inputs.grad = None

    assert 4 * 4 <= peak(step) <= 6 * 4 + 0.1


def test_twice_the_steps_keep_twice_the_activations() -> None:
    encoder = RecurrentSettings(hidden_size=32, cell="lstm").build(8)

    def step_of(steps: int) -> float:
        inputs = torch.randn(16, steps, 8)

        def step() -> None:
            outputs, _ = encoder(inputs)
            outputs.sum().backward()
            encoder.zero_grad()

        return peak(step)

    assert step_of(400) / step_of(200) == pytest.approx(2, rel=0.15)


def test_what_lasts_is_parameters_buffers_and_optimiser_state() -> None:
    network = nn.Sequential(nn.Linear(10, 10), nn.BatchNorm1d(10))
    optimizer = torch.optim.Adam(network.parameters())
    parameters, buffers = 4 * (110 + 20), 2 * 4 * 10 + 8  # running mean and variance, a counter
    assert persistent_bytes(network, optimizer) == parameters + buffers
    network(torch.randn(4, 10)).sum().backward()
    optimizer.step()
    counters = 4 * len(optimizer.state)
    assert persistent_bytes(network, optimizer) == 3 * parameters + buffers + counters


def test_bytes_of_tensors() -> None:
    assert tensor_bytes(torch.zeros(3), None, torch.zeros(2, 2, dtype=torch.float64)) == 12 + 32


@pytest.fixture(scope="module")
def sp500(shared_cache: Path) -> Task:
    task = Sp500Settings().load(DiskCache(shared_cache))
    task.to(CPU, torch.float32)
    return task


def test_a_larger_batch_needs_more_memory(sp500: Task) -> None:
    def needed(batch_size: int) -> float:
        torch.manual_seed(0)
        network = sp500.network(RecurrentSettings(hidden_size=16).build(sp500.input_size))
        train = TrainSettings(batch_size=batch_size, max_epochs=1, learning_rate=0.01)
        config = Config(Sp500Settings(), RecurrentSettings(), train)
        display = TrainingDisplay(step_bar("", 0), config.task.primary_metric, 0, 1, {})
        trainer = Trainer(
            *(config, network, sp500, CPU, display),
            *(lambda tensors, facts: None, Interruption()),
        )
        trainer.fit()
        found = measure_memory(trainer, CPU)
        assert found is not None
        return found

    small, middle, large = needed(8), needed(80), needed(800)
    assert small < middle < large
    # What lasts is the same for all three; the rest grows with the batch.
    assert (large - middle) / (middle - small) == pytest.approx(10, rel=0.15)


def test_the_process_was_at_least_as_large_as_it_is() -> None:
    held = np.ones(64 * MIB, dtype=np.uint8)
    now = psutil.Process().memory_info().rss / MIB
    assert held.nbytes / MIB < 0.99 * now <= peak_rss_mib() < psutil.virtual_memory().total / MIB


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process forget its peak")
def test_a_run_does_not_inherit_the_peak_of_the_one_before() -> None:
    held = np.ones(256 * MIB, dtype=np.uint8)
    before = peak_rss_mib()
    del held
    reset_process()
    reset_peak_rss()
    assert peak_rss_mib() < before - 200

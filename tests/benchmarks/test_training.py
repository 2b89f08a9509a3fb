"""The loop, the choice of weights, and what becomes of a run however it ends."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import benchmarks.training
from benchmarks import clocks
from benchmarks.cache import DiskCache
from benchmarks.config import Config, TrainSettings
from benchmarks.environment import stream
from benchmarks.evaluation import NotFiniteError, evaluate, latencies_ms
from benchmarks.interruption import Interruption
from benchmarks.measurement import build_network
from benchmarks.optimisation import make_optimizer, schedule_factor
from benchmarks.results import Row, Store
from benchmarks.runner import Start, run
from benchmarks.training import Trainer
from models.base import ModelSettings
from models.recurrent import RecurrentSettings
from tasks.base import (
    Batch,
    Cache,
    DataDescription,
    Metric,
    SequenceEncoder,
    Split,
    Task,
    TaskSettings,
)
from tasks.sp500 import Sp500Settings, Sp500Task

CPU = torch.device("cpu")
RMSE = Metric("rmse", "points", higher_is_better=False, perfect=0.0)
ACCURACY = Metric("accuracy", "share", higher_is_better=True, perfect=1.0)
ITEMS = 8
TARGETS = {"train": 1.0, "validation": 0.0, "test": 0.0}


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(deterministic)


class ToyNetwork(nn.Module):
    """One number, and a state that counts the batches it was carried over."""

    def __init__(self, encoder: SequenceEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.weight = nn.Parameter(torch.zeros(()))
        self.states: list[tuple[Tensor, ...] | None] = []

    def forward(
        self, inputs: Tensor, lengths: Tensor | None, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        self.states.append(state)
        counted = state[0] if state else torch.zeros(())
        return self.weight.expand(len(inputs)), (counted + 1 + 0 * self.weight,)


class ToyTask(Task):
    """Training pulls the number to 1 while validation and test want it to stay at 0."""

    def __init__(self, continues: bool = False) -> None:
        self.data = DataDescription("toy", "ab" * 32, "none", ITEMS, ITEMS, ITEMS, "numbers")
        self.input_size = 1
        self.continues = continues

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        pass

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        return ToyNetwork(encoder)

    def steps_per_epoch(self, batch_size: int) -> int:
        return math.ceil(ITEMS / batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        items = np.arange(ITEMS) if order is None else order.permutation(ITEMS)
        for start in range(0, ITEMS, batch_size):
            inputs = torch.from_numpy(items[start : start + batch_size]).float().view(-1, 1, 1)
            targets = torch.full((len(inputs),), TARGETS[split])
            continues = self.continues and start > 0
            yield Batch(inputs, targets, len(inputs), inputs.flatten().long(), continues=continues)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return (outputs - batch.targets).square().mean()

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        squares = (outputs - batch.targets).square().sum()
        return {"squares": squares, "count": squares.new_tensor(len(outputs))}

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        loss = sums["squares"] / sums["count"]
        return {"loss": loss, "rmse": math.sqrt(loss)}

    def single_sequences(self, count: int) -> Iterator[Batch]:
        first = torch.zeros(1).long()
        return (Batch(torch.zeros(1, 1, 1), torch.zeros(1), 1, first) for _ in range(count))

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"actual": batch.targets, "predicted": outputs}


class ToySettings(TaskSettings):
    name: ClassVar[str] = "toy"
    metric: ClassVar[Metric] = RMSE

    def load(self, cache: Cache) -> Task:
        return ToyTask()


class Listener:
    """Takes down what the loop tells."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def step(self, line: dict[str, float]) -> None:
        assert math.isfinite(line["train_loss"])

    def epoch(self, line: dict[str, float]) -> None:
        self.epochs.append(line)


def trainer_of(
    network: nn.Module,
    task: Task,
    metric: Metric,
    settings: TrainSettings,
    learning_rate: float,
    seed: int,
) -> Trainer:
    """A trainer whose checkpoints nobody keeps."""
    return Trainer(
        network,
        task,
        metric,
        settings,
        learning_rate,
        seed,
        CPU,
        Listener(),
        lambda tensors, facts: None,
        Interruption(),
    )


def toy_trainer(metric: Metric = RMSE, task: Task | None = None, **settings: Any) -> Trainer:
    """Two steps an epoch, unless told otherwise."""
    task = task or ToyTask()
    network = task.network(RecurrentSettings(hidden_size=2).build(1))
    train = TrainSettings(**({"batch_size": ITEMS // 2} | settings))
    return trainer_of(network, task, metric, train, 0.1, 0)


def run_toy(folder: Path) -> Row:
    train = TrainSettings(
        learning_rate=0.1, batch_size=ITEMS // 2, max_epochs=3, device="cpu", threads=1
    )
    config = Config(ToySettings(), RecurrentSettings(hidden_size=2), train, cache_dir=str(folder))
    store = Store(folder)
    try:
        return run(config, store, Interruption(), Start())
    finally:
        store.view().update()


def at_step(
    monkeypatch: pytest.MonkeyPatch, step: int | None, happening: Callable[[Trainer], None]
) -> None:
    """Let something happen after the gradients of a step, counted from 0, or of all of them."""
    original = Trainer.forward_backward

    def forward_backward(self: Trainer, batch: Batch, state: object) -> Any:
        result = original(self, batch, state)
        if step in (None, self.record.steps):
            happening(self)
        return result

    monkeypatch.setattr(Trainer, "forward_backward", forward_backward)


def script_validation(monkeypatch: pytest.MonkeyPatch, *scores: dict[str, float]) -> None:
    remaining = iter(scores)
    monkeypatch.setattr(benchmarks.training, "evaluate", lambda *arguments: next(remaining))


def weight_of(trainer: Trainer) -> Tensor:
    weight = trainer.network.weight
    assert isinstance(weight, Tensor)
    return weight


# One step


@pytest.mark.parametrize(("clip_norm", "kept"), [(0.5, 0.5), (5.0, 2.0), (None, 2.0)])
def test_gradients_are_clipped_by_their_norm(clip_norm: float | None, kept: float) -> None:
    trainer = toy_trainer(clip_norm=clip_norm)
    batch = next(trainer.task.batches("train", ITEMS))
    loss, norm, _ = trainer.forward_backward(batch, None)
    gradient = weight_of(trainer).grad
    assert gradient is not None
    assert abs(gradient.item()) == pytest.approx(kept, rel=1e-5)
    assert loss.item() == 1.0
    assert norm.item() == pytest.approx(2.0)


def test_warming_up_teaches_nothing() -> None:
    trainer = toy_trainer()
    trainer.warm_up()
    assert weight_of(trainer).item() == 0
    assert weight_of(trainer).grad is None
    assert not trainer.optimizer.state
    assert trainer.record.steps == trainer.record.tokens == trainer.clock.seconds == 0


@pytest.mark.parametrize("continues", [True, False])
def test_state_is_carried_where_a_batch_goes_on_and_cut_from_the_graph(continues: bool) -> None:
    trainer = toy_trainer(
        task=ToyTask(continues), batch_size=2, evaluation_batch_size=2, max_epochs=2
    )
    trainer.fit()
    assert isinstance(trainer.network, ToyNetwork)
    carried = [None if state is None else state[0].item() for state in trainer.network.states]
    one_pass = [None, 1.0, 2.0, 3.0] if continues else [None] * 4
    assert carried == 4 * one_pass  # training and validation, twice
    given = [state for state in trainer.network.states if state]
    assert not any(part.requires_grad for state in given for part in state)


@pytest.mark.parametrize(
    ("schedule", "warmup_steps", "step", "total_steps", "factor"),
    [
        ("cosine", 0, 0, 9, 1.0),
        ("cosine", 0, 4, 9, 0.55),
        ("cosine", 0, 8, 9, 0.1),
        ("cosine", 0, 99, 9, 0.1),
        ("cosine", 0, 0, 1, 1.0),
        ("cosine", 4, 0, 13, 0.2),
        ("cosine", 4, 3, 13, 0.8),
        ("cosine", 4, 4, 13, 1.0),
        ("cosine", 4, 8, 13, 0.55),
        ("cosine", 4, 12, 13, 0.1),
        ("constant", 0, 0, 9, 1.0),
        ("constant", 4, 1, 9, 0.4),
        ("constant", 4, 8, 9, 1.0),
    ],
)
def test_schedule(
    schedule: str, warmup_steps: int, step: int, total_steps: int, factor: float
) -> None:
    settings = TrainSettings(
        schedule=schedule, warmup_steps=warmup_steps, final_learning_rate_factor=0.1
    )
    assert schedule_factor(settings, step, total_steps) == pytest.approx(factor)


@pytest.mark.parametrize("bound", [{"max_epochs": 5}, {"max_epochs": 99, "max_steps": 7}])
def test_the_last_step_is_taken_at_the_lowest_rate(bound: dict[str, Any]) -> None:
    trainer = toy_trainer(final_learning_rate_factor=0.25, warmup_steps=2, **bound)
    trainer.fit()
    assert trainer.record.history[-1]["learning_rate"] == pytest.approx(0.1 * 0.25)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimizers(name: str, kind: type) -> None:
    settings = TrainSettings(optimizer=name, beta2=0.9, weight_decay=0.5)
    optimizer = make_optimizer(nn.Linear(1, 1), settings, 0.3, CPU)
    assert type(optimizer).__bases__ == (kind,)  # AdamW may be an Adam
    (group,) = optimizer.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.3, (0.9, 0.9), 0.5)


# How long


@pytest.mark.parametrize(
    ("bound", "epochs", "steps", "stopped_by"),
    [
        ({"max_epochs": 3}, 3, 6, "epochs"),
        ({"max_steps": 4}, 2, 4, "steps"),
        ({"max_steps": 5}, 3, 5, "steps"),
        ({"max_epochs": 2, "max_steps": 99}, 2, 4, "epochs"),
    ],
)
def test_bounds_on_epochs_and_steps(
    bound: dict[str, Any], epochs: int, steps: int, stopped_by: str
) -> None:
    trainer = toy_trainer(**bound)
    trainer.fit()
    assert (trainer.record.epochs, trainer.record.steps) == (epochs, steps)
    assert trainer.record.stopped_by == stopped_by
    assert trainer.record.tokens == steps * ITEMS // 2
    assert isinstance(trainer.progress, Listener)
    assert trainer.progress.epochs == trainer.record.history
    assert len(trainer.record.history) == epochs


def test_a_bound_on_seconds_counts_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clocks, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow_step(trainer: Trainer) -> None:
        now[0] += 2

    def slow_validation(*arguments: object) -> dict[str, float]:
        now[0] += 100
        return {"loss": 1.0, "rmse": 1.0}

    at_step(monkeypatch, None, slow_step)
    monkeypatch.setattr(benchmarks.training, "evaluate", slow_validation)
    trainer = toy_trainer(max_seconds=7.0, max_epochs=99)
    trainer.fit()
    record = trainer.record
    assert (record.steps, record.epochs, record.stopped_by) == (4, 2, "seconds")
    assert record.train_seconds == 8
    assert record.evaluation_seconds == 200
    assert record.time_to_best_seconds == 4


def scores(name: str, *values: float, loss: float = 1.0) -> list[dict[str, float]]:
    return [{name: value, "loss": loss} for value in values]


@pytest.mark.parametrize(
    ("metric", "values", "patience", "epochs", "best_epoch"),
    [
        (RMSE, (3, 2, 2.5, 2.4, 1), 2, 4, 2),
        (RMSE, (3, 2, 2.5, 1, 1.5, 1.4), 2, 6, 4),
        (RMSE, (1, 2), 1, 2, 1),
        (RMSE, (1, 2, 3, 4, 5, 0), None, 6, 6),
        (ACCURACY, (0.5, 0.6, 0.4, 0.5), 2, 4, 2),
    ],
)
def test_patience(
    metric: Metric,
    values: tuple[float, ...],
    patience: int | None,
    epochs: int,
    best_epoch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script_validation(monkeypatch, *scores(metric.name, *values))
    trainer = toy_trainer(metric, max_epochs=6, patience=patience)
    trainer.fit()
    assert (trainer.record.epochs, trainer.record.best_epoch) == (epochs, best_epoch)
    assert trainer.record.stopped_by == ("epochs" if patience is None else "patience")
    assert trainer.record.best_metrics[metric.name] == values[best_epoch - 1]


def test_a_tie_goes_to_the_lower_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    tied = [scores("accuracy", 0.5, loss=loss)[0] for loss in (0.9, 0.7, 0.8, 0.7)]
    script_validation(monkeypatch, *tied)
    trainer = toy_trainer(ACCURACY, max_epochs=4)
    trainer.fit()
    assert trainer.record.best_epoch == 2


# What is seen, and what is scored


@pytest.fixture(scope="module")
def sp500(shared_cache: Path) -> Task:
    task = Sp500Settings().load(DiskCache(shared_cache))
    task.to(CPU, torch.float32)
    return task


def inputs_seen(task: Task, model: ModelSettings, seed: int) -> list[Tensor]:
    """The inputs of every training step that a model takes."""
    config = Config(Sp500Settings(), model, TrainSettings(max_epochs=2, batch_size=200), seed)
    network, _ = build_network(config, task, CPU)
    trainer = trainer_of(network, task, RMSE, config.train, 0.01, seed)
    seen = []
    original = trainer.forward_backward

    def forward_backward(batch: Batch, state: object) -> Any:
        seen.append(batch.inputs.clone())
        return original(batch, state)

    trainer.forward_backward = forward_backward  # type: ignore[method-assign]
    trainer.fit()
    return seen


def test_every_model_sees_the_same_batches_in_the_same_order(sp500: Task) -> None:
    one = inputs_seen(sp500, RecurrentSettings(cell="rnn", hidden_size=4, dropout=0.5), seed=3)
    other = inputs_seen(sp500, RecurrentSettings(hidden_size=5, bidirectional=True), seed=3)
    assert len(one) == len(other) == 2 * sp500.steps_per_epoch(200)
    assert all(map(torch.equal, one, other))
    wanted = [
        batch.inputs
        for epoch in range(2)
        for batch in sp500.batches("train", 200, stream(3, "data order", epoch))
    ]
    assert all(map(torch.equal, one, wanted))


def test_another_seed_and_another_epoch_see_another_order(sp500: Task) -> None:
    first = inputs_seen(sp500, RecurrentSettings(hidden_size=4), seed=0)
    second = inputs_seen(sp500, RecurrentSettings(hidden_size=4), seed=1)
    epoch = len(first) // 2
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0], first[epoch])


def test_models_of_one_size_get_the_same_layers_around_them(sp500: Task) -> None:
    def built(cell: str, seed: int) -> tuple[Tensor, Tensor]:
        config = Config(Sp500Settings(), RecurrentSettings(cell=cell, hidden_size=4), seed=seed)
        network, encoder = build_network(config, sp500, CPU)
        return network.head.weight, next(encoder.parameters())  # type: ignore[union-attr, return-value]

    assert torch.equal(built("rnn", 0)[0], built("gru", 0)[0])
    assert not torch.equal(built("rnn", 0)[0], built("rnn", 1)[0])
    assert not torch.equal(built("rnn", 0)[1], built("rnn", 1)[1])


def test_dropout_has_a_stream_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much chance was used before, in building and warming up."""
    states = []

    def fit(self: Trainer) -> None:
        states.append(torch.get_rng_state())
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "fit", fit)
    train = TrainSettings(device="cpu", threads=1)
    for seed, hidden_size in ((0, 2), (0, 3), (1, 2)):
        model = RecurrentSettings(hidden_size=hidden_size, dropout=0.5)
        config = Config(Sp500Settings(), model, train, seed=seed)
        run(config, Store(tmp_path), Interruption(), Start())
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("settings", "definition"), [(ToySettings(), ToyTask), (Sp500Settings(), Sp500Task)]
)
def test_the_test_split_is_read_once_and_last(
    settings: TaskSettings, definition: type[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = definition.batches

    def batches(self: Task, split: Split, *arguments: Any) -> Iterator[Batch]:
        asked.append(split)
        return original(self, split, *arguments)

    monkeypatch.setattr(definition, "batches", batches)
    train = TrainSettings(max_epochs=3, device="cpu", threads=1)
    config = Config(settings, RecurrentSettings(hidden_size=2), train)
    run(config, Store(tmp_path), Interruption(), Start())
    assert asked.count("test") == 1
    assert asked.count("validation") == 3
    assert "validation" not in asked[asked.index("test") :]


def test_the_best_weights_are_tested_not_the_last(tmp_path: Path) -> None:
    row = run_toy(tmp_path)
    folder = tmp_path / "runs" / row.run_id
    with (folder / "history.csv").open(newline="") as file:
        curve = [float(line["validation_rmse"]) for line in csv.DictReader(file)]
    assert curve == sorted(curve)  # worse each epoch
    assert curve[0] < curve[-1]
    assert (row.status, row.epochs, row.best_epoch) == ("ok", 3, 1)
    assert row.val_score == row.test_score == curve[0]
    kept = load_file(folder / "weights.safetensors")["weight"].item()
    assert kept == pytest.approx(curve[0])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_scores_do_not_depend_on_the_batch_size(split: Split, sp500: Task) -> None:
    network, _ = build_network(Config(Sp500Settings(), RecurrentSettings()), sp500, CPU)
    whole, *others = (evaluate(network, sp500, split, size) for size in (1000, 1, 7))
    for other in others:
        assert other == pytest.approx(whole, rel=1e-6)


def test_an_evaluation_can_be_cut_short_and_leaves_no_graph() -> None:
    task = ToyTask()
    network = task.network(RecurrentSettings(hidden_size=2).build(1))
    assert isinstance(network, ToyNetwork)
    evaluate(network.train(), task, "validation", 2, max_batches=3)
    assert len(network.states) == 3
    assert not network.training


def test_latency_is_measured_often_enough_for_its_percentiles() -> None:
    task = ToyTask()
    network = task.network(RecurrentSettings(hidden_size=2).build(1))
    latencies = latencies_ms(network.train(), task, CPU)
    assert len(latencies) >= 100
    assert min(latencies) > 0
    assert not network.training


# How a run may end


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def raising(error: BaseException) -> Callable[[Trainer], None]:
    def happening(trainer: Trainer) -> None:
        raise error

    return happening


def lose_the_weights(trainer: Trainer) -> None:
    weight_of(trainer).data.fill_(math.nan)


def lose_the_gradient(trainer: Trainer) -> None:
    gradient = weight_of(trainer).grad
    assert gradient is not None
    gradient.fill_(math.inf)


NO_MEMORY = "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: 9 bytes"


@pytest.mark.parametrize(
    ("happening", "status", "error"),
    [
        (raising(KeyboardInterrupt()), "interrupted", "KeyboardInterrupt"),
        (raising(RuntimeError(NO_MEMORY)), "out_of_memory", f"RuntimeError: {NO_MEMORY}"),
        (raising(torch.OutOfMemoryError("CUDA,\nfull")), "out_of_memory", "CUDA, full"),
        (raising(MemoryError()), "out_of_memory", "MemoryError"),
        (lose_the_weights, "diverged", "NotFiniteError: the training loss is not finite"),
        (lose_the_gradient, "diverged", "NotFiniteError: the validation loss is not finite"),
    ],
)
def test_a_run_that_ends_early_is_a_row(
    happening: Callable[[Trainer], None],
    status: str,
    error: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # In the last step of the second epoch, for what comes of it may show in the validation only.
    at_step(monkeypatch, 3 if happening is lose_the_gradient else 2, happening)
    row = run_toy(tmp_path)
    assert row.status == status
    assert row.error is not None
    assert error in row.error
    assert "\n" not in row.error
    assert (row.epochs, row.best_epoch, row.test_score, row.rmse) == (1, 1, None, None)
    assert row.val_score is not None
    assert row.total_seconds is not None
    folder = tmp_path / "runs" / row.run_id
    assert len((folder / "history.csv").read_text().splitlines()) == 2
    assert (folder / "weights.safetensors").exists()
    (line,) = table(tmp_path)
    assert (line["run_id"], line["status"], line["error"]) == (row.run_id, status, row.error)
    assert json.loads((folder / "row.json").read_text())["status"] == status


def test_a_bug_goes_on_and_its_row_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_step(monkeypatch, 2, raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run_toy(tmp_path)
    (line,) = table(tmp_path)
    assert (line["status"], line["error"]) == ("failed", "ZeroDivisionError: a bug")
    assert (line["epochs"], line["steps"], line["test_score"]) == ("1", "2", "")


def test_what_does_not_apply_is_empty_in_a_run_that_ends_before_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "warm_up", raising(KeyboardInterrupt()))
    row = run_toy(tmp_path)
    assert row.status == "interrupted"
    empty = (row.val_score, row.best_epoch, row.tokens_per_second, row.peak_memory_mib)
    assert empty == (None, None, None, None)
    assert not (tmp_path / "runs" / row.run_id / "history.csv").exists()


def test_ctrl_c_in_an_evaluation_counts_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Task, sums: dict[str, float]) -> dict[str, float]:
        raise KeyboardInterrupt

    monkeypatch.setattr(ToyTask, "metrics", interrupted)
    row = run_toy(tmp_path)
    assert (row.status, row.steps, row.epochs) == ("interrupted", 2, 0)
    assert row.train_seconds is not None
    assert row.eval_seconds is not None
    assert row.train_seconds > 0 < row.eval_seconds


def test_not_finite_is_an_arithmetic_error() -> None:
    network = ToyTask().network(RecurrentSettings(hidden_size=2).build(1))
    assert isinstance(network, ToyNetwork)
    network.weight.data.fill_(math.inf)
    with pytest.raises(NotFiniteError, match="the test loss is not finite"):
        evaluate(network, ToyTask(), "test", 4)

"""Only reports synchronise with the device during training, for every task."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import benchmarks.training.trainer
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.config.validation import checked_config
from benchmarks.system.disk_cache import DiskCache
from benchmarks.training.trainer import Trainer
from scripts.perf.pairs import trainer_of
from tests.helpers.paths import ROOT

CPU = torch.device("cpu")
STEPS = 6

METHODS = (
    *("item", "tolist", "cpu", "numpy", "__array__", "__contains__"),
    *("__bool__", "__float__", "__int__", "__index__"),
)
"""Methods by which Python reads the values of a tensor."""

OPERATIONS = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.is_nonzero.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten._unique2.default,
    torch.ops.aten.repeat_interleave.Tensor,
)
"""Operations whose shape depends on tensor values, so that they synchronise."""

TASKS = {
    "sp500": ["model=gru", "model.num_layers=2", "model.dropout=0.3", "train.ema=0.99"],
    "shakespeare": [
        *("model=lstm", "task.chunk_length=16", "task.chunk_jitter=0.3", "train.schedule=constant"),
        *("model.variational_dropout=true", "model.weight_dropout=0.2", "task.tied=true"),
        *("task.embedding_size=8", "task.embedding_dropout=0.2", "train.optimizer=sgd"),
    ],
    "imdb": [
        *("model=bilstm", "task.source=bundled", "task.max_length=40", "task.embedding_size=4"),
        *("task.word_dropout=0.1", "train.batch_size=16", "train.clip_norm=null"),
    ],
    "imdb in chunks": [
        *("model=bigru", "task.source=bundled", "task.max_length=40", "task.embedding_size=4"),
        *("task.chop=16", "train.batch_size=16"),
    ],
}
"""Models and settings that cover lengths, states and random numbers."""


class WaitsError(AssertionError):
    """An operation read the values of a tensor."""


class Watch(TorchDispatchMode):
    """Refuse synchronisation while closed, and count the operations."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += self.is_closed
        # A boolean mask as an index requires the positions of its true values.
        indices = args[1] if func is torch.ops.aten.index.Tensor else ()
        if any(part is not None and part.dtype == torch.bool for part in indices):
            self.refuse(str(func))
        if func in OPERATIONS:
            self.refuse(str(func))
        return func(*args, **(kwargs or {}))

    def refuse(self, what: str) -> None:
        if self.is_closed:
            raise WaitsError(what)

    def during(self, is_closed: bool, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that it runs closed, or open."""

        def done(*arguments: Any) -> Any:
            before, self.is_closed = self.is_closed, is_closed
            try:
                return work(*arguments)
            finally:
                self.is_closed = before

        return done

    def refusing(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Refuse a method of tensors."""

        def refused(tensor: Tensor, *arguments: Any, **options: Any) -> Any:
            self.refuse(f"Tensor.{name}")
            return method(tensor, *arguments, **options)

        return refused


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    for name in METHODS:
        monkeypatch.setattr(Tensor, name, watch.refusing(name, getattr(Tensor, name)))
    return watch


@cache
def composed(*overrides: str) -> Config:
    register_schemas()
    bounds = [
        "model.hidden_size=8",
        "train.max_epochs=2",
        f"train.max_steps={STEPS}",
        "train.max_evaluation_batches=1",
    ]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return checked_config(compose("config", overrides=[*bounds, *overrides]))


def watched_trainer(config: Config, cache_dir: Path, watch: Watch) -> Trainer:
    """Return a trainer that may synchronise within an epoch only to report or to save."""
    task = config.task.load(DiskCache(cache_dir))
    task.to(CPU, torch.float32)
    trainer = trainer_of(config, task, CPU)
    trainer._train_epoch = watch.during(True, trainer._train_epoch)  # type: ignore[method-assign]
    trainer.report = watch.during(False, trainer.report)  # type: ignore[method-assign]
    trainer.save = watch.during(False, trainer.save)  # type: ignore[method-assign]
    return trainer


@pytest.mark.parametrize("precision", ["highest", "bfloat16"])
@pytest.mark.parametrize("name", TASKS)
def test_only_reports_synchronise(
    name: str, precision: str, shared_cache: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = composed(f"task={name.split()[0]}", *TASKS[name], f"train.precision={precision}")
    trainer = watched_trainer(config, shared_cache, watch)
    with watch:
        trainer.fit()
    assert trainer.state.steps == STEPS
    assert watch.seen > 20 * STEPS


WAITS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda loss: loss.item(),
    "float": float,
    "bool": lambda loss: bool(loss > 0),
    "tolist": lambda loss: loss.tolist(),
    "copy": lambda loss: loss.cpu(),
    "numpy": lambda loss: loss.numpy(),
    "a mask": lambda loss: loss.expand(3)[loss.expand(3) > 0],
    "where": lambda loss: torch.where(loss.expand(3) > 0),
    "format": lambda loss: f"{loss:.3f}",
    "equal": lambda loss: torch.equal(loss, loss + 1),
}


@pytest.mark.parametrize("kind", WAITS)
def test_synchronisation_is_detected(
    kind: str, shared_cache: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = watched_trainer(composed("task=sp500", "model=rnn"), shared_cache, watch)
    compute = trainer.forward_backward

    def waiting(batch: Any, state: object) -> Any:
        loss, norm, after = compute(batch, state)
        WAITS[kind](loss)
        return loss, norm, after

    monkeypatch.setattr(trainer, "forward_backward", waiting)
    with watch, pytest.raises(WaitsError):
        trainer.fit()


def test_reports_are_not_made_at_every_step(
    shared_cache: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = []
    for seconds, count in ((0.0, STEPS + 1), (1e9, 1)):
        monkeypatch.setattr(benchmarks.training.trainer, "REPORT_SECONDS", seconds)
        trainer = watched_trainer(composed("task=sp500", "model=rnn"), shared_cache, watch)
        monkeypatch.setattr(trainer.progress, "step", lambda line: reports.append(line["steps"]))
        reports.clear()
        with watch:
            trainer.fit()
        assert len(reports) == count

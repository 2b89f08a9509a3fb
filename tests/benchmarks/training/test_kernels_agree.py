"""Training with the fused kernel gives the weights of PyTorch's kernel, dropout included."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.training.seeding import SeedStreams
from models.kernels.compiler import unavailable_reason
from scripts.perf.pairs import load, trainer_of
from tests.helpers.composing import composed
from tests.helpers.short_trainings import CPU, STEPS

pytestmark = pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))

PAIRS = [
    *((model, "shakespeare") for model in ("rnn", "lstm", "gru")),
    *((model, task) for task in ("imdb", "sp500") for model in ("rnn", "bilstm", "bigru")),
]


INGREDIENTS = ("model.variational_dropout=true", "model.weight_dropout=0.3", "model.residual=true")


def weights_after(model: str, task: str, kernel: str, cache: Path, *more: str) -> list[Tensor]:
    given = ["model.hidden_size=12", "model.num_layers=2", "model.dropout=0.3"]
    given += [f"model.kernel={kernel}", "train.dtype=float64", "train.device=cpu", *more]
    given += ["train.batch_size=8", f"cache_dir={cache}"]
    if task == "imdb":
        given += ["task.source=bundled", "task.max_length=60"]
    config = composed(f"model={model}", f"task={task}", *given)
    data = load(config, CPU)
    trainer = trainer_of(config, data, CPU)
    SeedStreams(config.seed).seed_dropout()
    batches = data.batches("train", config.train.batch_size, SeedStreams(0).data_order(0))
    state = None
    for batch in itertools.islice(batches, STEPS):
        _, _, state = trainer.forward_backward(batch, state)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
    encoder = trainer.network.encoder
    assert getattr(encoder, "kernel", None) == kernel
    return [parameter.detach() for parameter in trainer.parameters]


@pytest.mark.parametrize(
    ("model", "task", "more"),
    [
        *((*pair, ()) for pair in PAIRS),
        ("lstm", "shakespeare", INGREDIENTS),
        ("bigru", "imdb", INGREDIENTS),
    ],
)
def test_both_kernels_train_the_same_weights(
    model: str, task: str, more: tuple[str, ...], shared_cache: Path
) -> None:
    found = [weights_after(model, task, k, shared_cache, *more) for k in ("torch", "fused")]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)

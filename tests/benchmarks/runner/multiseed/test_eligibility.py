"""Eligibility of an arm for multi-seed training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from benchmarks.runner.multiseed.eligibility import reason_against_multiseed
from benchmarks.runner.run import prepare
from models.kernels.compiler import unavailable_reason
from tasks.modules.network import SequenceNetwork
from tests.helpers.several_trainings import SEEDS, composed

pytestmark = pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))
SP500 = ("task=sp500", "model=lstm")
SHAKESPEARE = ("task=shakespeare", "model=gru")


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (SP500, None),
        (SHAKESPEARE, None),
        (("task=sp500", "model=region"), None),
        (("task=shakespeare", "model=region", "model.table=true"), None),
        ((*SHAKESPEARE, "model.table=true"), None),
        ((*SP500, "match=time", "match.budget_seconds=1"), "a time limit ends the training"),
        ((*SP500, "train.max_seconds=1"), "a time limit ends the training"),
        ((*SP500, "train.precision=bfloat16"), "train.precision is bfloat16"),
        ((*SP500, "train.optimizer=sgd"), "train.optimizer is sgd"),
        ((*SHAKESPEARE, "task.chunk_jitter=0.2"), "the batches have different shapes"),
        ((*SHAKESPEARE, "train.ema=0.99", "model.weight_dropout=0.2"), None),
        ((*SHAKESPEARE, "task.embedding_size=8", "task.tied=true"), None),
        ((*SP500, "model.kernel=torch"), "the kernel torch computes one network"),
        ((*SP500, "model.hidden_size=512"), "uses all threads"),
        (("task=sp500", "model=baseline", "model.baseline=ar"), "a baseline trains no network"),
        (("task=imdb", "task.source=bundled", "model=rnn"), "different lengths"),
        (("task=imdb", "task.source=bundled", "train.pretrain=self"), "train.pretrain is self"),
    ],
)
def test_reasons_against_multiseed_training(
    overrides: tuple[str, ...], reason: str | None, shared_cache: Path
) -> None:
    prepared = prepare(composed(*overrides, f"cache_dir='{shared_cache}'", "train.threads=1"))
    found = reason_against_multiseed(prepared, SEEDS)
    assert found is reason is None or reason in cast(str, found)


def test_a_single_seed_is_not_eligible(shared_cache: Path) -> None:
    prepared = prepare(composed(*SP500, f"cache_dir='{shared_cache}'", "train.threads=1"))
    assert reason_against_multiseed(prepared, [3]) == "only one seed"


class Noisy(SequenceNetwork):
    def forward(self, inputs: Tensor, lengths: Any = None, state: Any = None) -> Any:
        return super().forward(inputs + 0.1 * torch.rand_like(inputs))


class Normalised(SequenceNetwork):
    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self.norm = nn.LayerNorm(2)

    def forward(self, inputs: Tensor, lengths: Any = None, state: Any = None) -> Any:
        return super().forward(self.norm(inputs))


class Centred(SequenceNetwork):
    """Each row depends on the others of its batch."""

    def forward(self, inputs: Tensor, lengths: Any = None, state: Any = None) -> Any:
        return super().forward(inputs - 3 * inputs.mean(0))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Noisy, "random numbers other than dropout"),
        (Normalised, "an unsupported layer: LayerNorm"),
        (Centred, "other gradients with stacked parameters"),
    ],
)
def test_unsupported_networks_are_detected(
    network: type, reason: str, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.modules.network.SequenceNetwork", network)
    prepared = prepare(composed(*SP500, f"cache_dir='{shared_cache}'", "train.threads=1"))
    assert reason in cast(str, reason_against_multiseed(prepared, SEEDS))

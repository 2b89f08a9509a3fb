"""Small networks of every kind of task, and sequences for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn

from models.modules.encoder import Encoder
from models.recurrent import RecurrentSettings
from tasks.base import Batch, Task
from tasks.modules.network import SequenceNetwork

WORDS, FEATURES = 30, 5


class Sequences:
    """A task with random sequences of several lengths; the first is the longest."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def single_sequences(self, count: int) -> Iterator[Batch]:
        rng = torch.Generator().manual_seed(0)
        for i in range(count):
            time = int(torch.randint(1, 12, (1,), generator=rng)) if self.kind == "text" else 12
            time = 13 if i == 0 else time
            shape = (1, time, FEATURES) if self.kind == "windows" else (1, time)
            inputs = torch.randint(0, WORDS, shape, generator=rng)
            if self.kind == "windows":
                inputs = torch.randn(shape, generator=rng)
            lengths = torch.tensor([time]) if self.kind == "text" else None
            if self.kind != "text":
                inputs = inputs[:, :12]
            nothing = torch.zeros(1)
            yield Batch(inputs, nothing, inputs.shape[1], nothing, lengths)


def built(
    kind: str, pooling: str = "mean_max", chop: int | None = None, **settings: Any
) -> tuple[nn.Module, Task]:
    """Return a network with random weights and biases, and sequences for it."""
    torch.manual_seed(1)
    options = {"hidden_size": 7, "kernel": "torch"} | settings
    network, task = around(RecurrentSettings(**options).build(FEATURES), kind, pooling, chop)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network, task


def around(
    encoder: Encoder, kind: str, pooling: str = "mean_max", chop: int | None = None
) -> tuple[nn.Module, Task]:
    """Return a network with a given encoder, and sequences for it."""
    network: nn.Module
    if kind == "text":
        dropout: Any = {"embedding_dropout": 0.5, "word_dropout": 0.1, "unknown": 1}
        network = SequenceNetwork(
            encoder, None, pooling, vocabulary_size=WORDS, chop=chop, **dropout
        )
    elif kind in ("stream", "tied"):
        is_tied = kind == "tied"
        network = SequenceNetwork(encoder, WORDS, vocabulary_size=WORDS, is_tied=is_tied)
    else:
        network = SequenceNetwork(encoder, None, "last")
    return network.eval(), cast(Task, Sequences(kind))

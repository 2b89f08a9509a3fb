"""The network of a run: an encoder and the head of the task."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.config.schema import Config
from benchmarks.training.precision import in_precision
from benchmarks.training.seeding import SeedStreams
from models.modules.encoder import Encoder
from tasks.base import Task


def build_network(config: Config, task: Task, device: torch.device) -> tuple[nn.Module, Encoder]:
    """Build the encoder and the task's network around it, each from its own random stream.

    The task's own layers therefore start equal for every model of one size.
    """
    streams = SeedStreams.of(config)
    streams.seed_encoder()
    encoder = config.model.build(task.input_size)
    streams.seed_task()
    network = task.network(encoder)
    network = network.to(device, getattr(torch, config.train.dtype))
    return in_precision(network, config.train.precision, device), encoder


def count_parameters(module: nn.Module) -> int:
    """Count the trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def encoder_of(network: nn.Module) -> Encoder:
    """Return the encoder inside a network."""
    return next(module for module in network.modules() if isinstance(module, Encoder))

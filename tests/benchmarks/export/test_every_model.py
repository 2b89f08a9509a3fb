"""Programs of `torch.export` for every model, and the files of an export without ONNX."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.errors import UserError
from benchmarks.export.runtimes import ProgramNetwork
from benchmarks.export.signature import Signature, real_batches
from benchmarks.export.torch_program import export_program
from benchmarks.export.verification import largest_difference
from models.modules.encoder import Encoder
from tasks.base import Task
from tests.helpers.built_networks import FEATURES, around
from tests.helpers.definitions import MODELS, composed, is_bidirectional

STEPWISE = {"xlstm"}  # sLSTM


def network_of(model: str, kind: str, **changes: Any) -> tuple[nn.Module, Task]:
    settings = dataclasses.replace(composed(model, "imdb").model, hidden_size=8, **changes)
    torch.manual_seed(0)
    network, task = around(settings.build(FEATURES), kind)
    for module in network.modules():
        if isinstance(module, Encoder):
            module.requested_kernel = "torch"
    return network.eval(), task


def difference_of_program(network: nn.Module, task: Task) -> float:
    example = real_batches(task, 3, 1)[0]
    signature = Signature.of(network, example)
    program = export_program(network, example, signature.zero_state(example.inputs))
    return largest_difference("it", ProgramNetwork(program, signature), network, task)


ONE_WAY = [model for model in MODELS if not is_bidirectional(model)]


@pytest.mark.parametrize("model", [model for model in ONE_WAY if model not in STEPWISE])
def test_a_program_equals_the_network(model: str) -> None:
    """With a state, and layers in residual blocks; other shapes have no part of their own."""
    network, task = network_of(model, "stream", block="residual", num_layers=3)
    assert difference_of_program(network, task) < 1e-5


@pytest.mark.parametrize("model", ["mingru", "tcn", "transformer"])
def test_a_program_of_both_directions_equals_the_network(model: str) -> None:
    network, task = network_of(model, "text", bidirectional=True)
    assert difference_of_program(network, task) < 1e-5


@pytest.mark.parametrize("model", ["mingru", "lru", "mamba", "hierarchical", "tcn"])
def test_a_program_runs_sequences_longer_than_its_example(model: str) -> None:
    network, task = network_of(model, "windows")
    example = real_batches(task, 3, 1)[0]
    program = export_program(network, example, None)
    inputs = torch.randn(2, 333, FEATURES)
    expected = network(inputs, None, None)[0]
    torch.testing.assert_close(program.module()(inputs), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model", sorted(STEPWISE))
def test_a_loop_over_steps_is_refused_in_one_line(model: str) -> None:
    network, task = network_of(model, "windows")
    with pytest.raises(UserError, match="no exported form of SLstmLayer") as refused:
        difference_of_program(network, task)
    assert "\n" not in str(refused.value)

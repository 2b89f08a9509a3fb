"""Attention over the outputs of all steps, against its equations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.recurrent import RecurrentSettings
from tasks.modules.network import SequenceNetwork

LENGTHS = torch.tensor([7, 3, 1])


def network_of(pooling: str) -> SequenceNetwork:
    torch.manual_seed(0)
    encoder = RecurrentSettings(hidden_size=6).build(5)
    return SequenceNetwork(encoder, 2, pooling).double().eval()


def scores_of(network: SequenceNetwork, states: Tensor) -> Tensor:
    """Return the scores of the states (time, width) of one sequence."""
    if network.pooling == "max_attention":
        return states @ states.max(0).values
    assert isinstance(network.attention, nn.Sequential)
    first, _, second = network.attention
    hidden = torch.tanh(states @ first.weight.T + first.bias)
    return (hidden @ second.weight.T).squeeze(-1)


@pytest.mark.parametrize("pooling", ["attention", "max_attention"])
def test_steps_are_averaged_by_the_softmax_of_their_scores(pooling: str) -> None:
    network, inputs = network_of(pooling), torch.randn(3, 7, 5, dtype=torch.float64)
    outputs, _ = network(inputs, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        states = network.encoder(inputs[row : row + 1, :length])[0][0]
        weights = scores_of(network, states).softmax(0)
        torch.testing.assert_close(outputs[row], network.head(weights @ states))


@pytest.mark.parametrize("pooling", ["attention", "max_attention"])
def test_all_parameters_are_trained(pooling: str) -> None:
    network = network_of(pooling)
    network(torch.randn(3, 7, 5, dtype=torch.float64), LENGTHS)[0].square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name

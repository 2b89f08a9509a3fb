"""Attention with a window, against the written-out equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.attention import AttentionSettings
from models.modules.attention import AttentionLayer, rotated


def layer(window: int | None) -> AttentionLayer:
    torch.manual_seed(0)
    return AttentionLayer(5, 10, 2, window, 0.0).double()


def expected(attention: AttentionLayer, inputs: Tensor) -> Tensor:
    """Return the outputs of one sequence (time, features), step by step and head by head."""
    time, size = len(inputs), attention.head_size
    projected = attention.projection(inputs).split(attention.output_size, dim=-1)
    places = torch.arange(time)
    rows = []
    for t in range(time):
        heads = []
        for head in range(attention.heads):
            part = slice(head * size, (head + 1) * size)
            query, key, value = (each[:, part] for each in projected)
            query, key = rotated(query, places), rotated(key, places)
            first = 0 if attention.window is None else max(0, t - attention.window + 1)
            last = time if attention.window is None else t + 1
            weights = (key[first:last] @ query[t] / math.sqrt(size)).softmax(0)
            heads.append(weights @ value[first:last])
        rows.append(torch.cat(heads))
    return torch.stack(rows)


@pytest.mark.parametrize("window", [None, 1, 3, 50])
def test_outputs_are_those_of_the_equations(window: int | None) -> None:
    attention, inputs = layer(window), torch.randn(1, 7, 5, dtype=torch.float64)
    outputs, _ = attention(inputs)
    torch.testing.assert_close(outputs[0], expected(attention, inputs[0]))


@pytest.mark.parametrize("cuts", [[1] * 9, [2, 5, 2], [0, 9]])
@pytest.mark.parametrize("window", [1, 4, 50])
def test_chunks_of_any_length_equal_one_pass(window: int, cuts: list[int]) -> None:
    """The ring buffer contains at most window - 1 steps, and drops older ones."""
    attention, inputs = layer(window), torch.randn(2, 9, 5, dtype=torch.float64)
    whole, _ = attention(inputs)
    parts, state = [], None
    for chunk in inputs.split(cuts, dim=1):
        outputs, state = attention(chunk, None, state)
        parts.append(outputs)
        assert state is not None
        assert state[0].shape == (1, 2, window - 1, 2 * 10 + 1)
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_a_batch_mixes_fresh_and_carried_sequences_of_different_lengths() -> None:
    attention, inputs = layer(4), torch.randn(2, 8, 5, dtype=torch.float64)
    _, state = attention(inputs[:, :5], torch.tensor([5, 2]))
    outputs, _ = attention(inputs[:, 5:], None, state)
    for row, length in enumerate([5, 2]):
        alone = torch.cat([inputs[row, :length], inputs[row, 5:]])
        torch.testing.assert_close(outputs[row], expected(attention, alone)[length:])


def test_products_of_rotated_features_depend_on_distances_alone() -> None:
    query, key = torch.randn(2, 1, 8, dtype=torch.float64)
    near, far = (
        (rotated(query, torch.tensor([t + 3])) * rotated(key, torch.tensor([t]))).sum()
        for t in (0, 1000)
    )
    other = (rotated(query, torch.tensor([4])) * rotated(key, torch.tensor([0]))).sum()
    torch.testing.assert_close(near, far)
    assert not torch.isclose(near, other)


def test_a_transformer_has_the_parameters_of_the_formula() -> None:
    """12 d^2 per block without biases, two norms per block and one at the end, and the inputs."""
    settings = AttentionSettings(hidden_size=16, num_layers=3, block="residual")
    count = sum(each.numel() for each in settings.build(5).parameters())
    assert count == 3 * (12 * 16**2 + 2 * 16) + 16 + (5 + 1) * 16

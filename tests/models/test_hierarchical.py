"""Hierarchies of two levels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.errors import UserError
from models.hierarchical import HierarchicalSettings
from models.modules.hierarchical import HierarchicalLayer
from tests.helpers.definitions import composed

CELLS = [("rnn", "lstm"), ("lstm", "rnn"), ("mlstm", "attention"), ("tcn", "mamba")]


def layer(lower: str = "rnn", upper: str = "lstm", chunk: int = 3) -> HierarchicalLayer:
    torch.manual_seed(0)
    settings = HierarchicalSettings(lower=lower, upper=upper, chunk=chunk, hidden_size=4)
    built = settings.layer(5, 0).double().eval()
    assert isinstance(built, HierarchicalLayer)
    assert built.output_size == settings.layer_size
    return built


def by_the_definition(hierarchy: HierarchicalLayer, sequence: Tensor) -> Tensor:
    """Return the outputs (time, size) of one sequence (time, input size), chunk by chunk."""
    size, upper_size = hierarchy.chunk, hierarchy.upper.output_size
    rows, summaries = [], []
    for start in range(0, len(sequence), size):
        low = hierarchy.lower(sequence[None, start : start + size])[0][0]
        high = torch.zeros(upper_size, dtype=sequence.dtype)
        if summaries:
            high = hierarchy.upper(torch.stack(summaries)[None])[0][0, -1]
        rows.append(torch.cat([low, high.expand(len(low), -1)], 1))
        summaries.append(torch.cat([low.mean(0), low.amax(0)]))
    return torch.cat(rows)


@pytest.mark.parametrize(("lower", "upper"), CELLS)
def test_outputs_are_those_of_the_definition(lower: str, upper: str) -> None:
    hierarchy = layer(lower, upper)
    inputs = torch.randn(4, 11, 5, dtype=torch.float64)
    lengths = torch.tensor([11, 9, 2, 1])
    outputs, _ = hierarchy(inputs, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(
            outputs[row, :length], by_the_definition(hierarchy, inputs[row, :length])
        )


@pytest.mark.parametrize(("lower", "upper"), CELLS)
@pytest.mark.parametrize("chunk", [1, 3, 20])
def test_a_state_continues_rows_of_different_lengths(lower: str, upper: str, chunk: int) -> None:
    hierarchy = layer(lower, upper, chunk)
    inputs = torch.randn(3, 20, 5, dtype=torch.float64)
    lengths = torch.tensor([7, 3, 1])
    _, state = hierarchy(inputs[:, :7], lengths)
    continued = torch.stack([row[n : n + 8] for row, n in zip(inputs, lengths, strict=True)])
    outputs, last = hierarchy(continued, None, state)
    for row, length in enumerate(lengths.tolist()):
        whole, final = hierarchy(inputs[row : row + 1, : length + 8])
        torch.testing.assert_close(outputs[row], whole[0, length:])
        for part, other in zip(last, final, strict=True):
            torch.testing.assert_close(part[:, row : row + 1], other)


def test_the_upper_level_is_trained() -> None:
    hierarchy = layer()
    outputs, _ = hierarchy(torch.randn(2, 7, 5, dtype=torch.float64), need_state=False)
    outputs.square().sum().backward()
    for name, parameter in hierarchy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_an_unknown_cell_is_one_line() -> None:
    with pytest.raises(UserError, match=r"model\.lower: no cell is called rn .*; did you mean rnn"):
        composed("hierarchical", "imdb", "model.lower=rn")

"""Random streams of a run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from benchmarks.training.seeding import SeedStreams

STREAMS = [(0, "data order", 0), (0, "data order", 1), (1, "data order", 0)]
STREAMS += [(0, "dropout"), (1, "dropout"), (0, "encoder initialisation")]


@pytest.fixture
def _random_state_as_before() -> Iterator[None]:
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


def numbers(seed: int, purpose: str, *indices: int, count: int = 100) -> np.ndarray:
    return SeedStreams(seed)._generator(None, purpose, *indices).random(count)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_repeats(stream: tuple[int, str]) -> None:
    assert np.array_equal(numbers(*stream), numbers(*stream))


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(STREAMS, 2)])
def test_streams_are_independent(one: tuple[int, str], other: tuple[int, str]) -> None:
    count = 20_000
    drawn = [numbers(*stream, count=count) for stream in (one, other)]
    correlation = np.corrcoef(*drawn)[0, 1]
    # Six standard deviations of the correlation of independent numbers.
    assert abs(correlation) < 6 / np.sqrt(count)


def test_data_order_depends_on_seed_and_epoch() -> None:
    orders = [SeedStreams(seed).data_order(epoch) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    assert np.array_equal(orders[0].random(100), numbers(0, "data order", 0))
    assert len({order.random() for order in orders}) == 3


@pytest.mark.usefixtures("_random_state_as_before")
def test_torch_draws_by_seed_and_purpose() -> None:
    def drawn(seed: int, purpose: str) -> tuple[float, ...]:
        getattr(SeedStreams(seed), f"seed_{purpose}")()
        return tuple(torch.rand(3).tolist())

    streams = [(0, "dropout"), (1, "dropout"), (0, "encoder"), (0, "task")]
    assert len({drawn(*stream) for stream in streams}) == 4
    assert drawn(0, "dropout") == drawn(0, "dropout")

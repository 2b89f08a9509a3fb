"""What sequences of different lengths cost: batches with lengths, without, and packed by PyTorch.

    python -m scripts.perf.variable_length
    python -m scripts.perf.variable_length --models gru bigru --device cuda

The encoders of imdb's default runs, forward and backward, on the bundled reviews' real lengths.
Four ways in turn:

    lengths     batches of similar length, as training draws them, with their lengths
    padded      the same batches without: what the arithmetic on the padding costs anyway
    packed      PyTorch's own way, pack_padded_sequence through nn.RNN, nn.LSTM or nn.GRU, on the
                same batches and with the same weights
    unsorted    the same on reviews batched as they come

Throughput counts real tokens; padding is no work done.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError
from scripts.perf.measuring import Report, interleaved, parser_of, run_benchmark
from scripts.perf.pairs import add_run_options, composed, load, pairs

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from benchmarks.config.schema import Config
    from models.modules.recurrent import RecurrentEncoder
    from tasks.text.task import ImdbTask

WITHOUT_LENGTHS = 0.95
OVER_PACKED = {"cpu": 7.0, "cuda": 1.0}
"""Targets."""

TOLERANCE = 1e-4
"""How far outputs may lie apart that are the same to rounding."""

Sample = tuple["Tensor", "Tensor", int]
"""Features (batch, time, input), lengths on the CPU and how many real tokens they come to."""


def samples(task: ImdbTask, config: Config, batches: int, is_sorted: bool) -> list[Sample]:
    """Take batches of the training split, embedded by chance."""
    import torch

    from benchmarks.training.seeding import SeedStreams

    size, order = config.train.batch_size, SeedStreams(config.seed).data_order(0)
    drawn = task.batches("train", size, order) if is_sorted else as_they_come(task, size, order)
    torch.manual_seed(config.seed)
    found = []
    for batch in itertools.islice(drawn, batches):
        features = torch.randn(*batch.inputs.shape, task.input_size, device=batch.inputs.device)
        assert batch.lengths is not None
        found.append((features.requires_grad_(), batch.lengths.cpu(), batch.tokens))
    return found


def as_they_come(task: ImdbTask, size: int, order: Any) -> Any:
    """Batch reviews without a look at their lengths."""
    reviews = task.reviews["train"]
    shuffled = order.permutation(len(reviews))
    batches: Any = (reviews.batch(shuffled[i : i + size]) for i in range(0, len(shuffled), size))
    return batches


def packable(encoder: RecurrentEncoder, config: Config) -> nn.RNNBase:
    """Make PyTorch's module of an encoder's weights."""
    import torch

    from models.modules.pytorch_cells import CELLS

    module = CELLS[config.model.cell](  # type: ignore[attr-defined]
        encoder.input_size,
        encoder.hidden_size,
        encoder.num_layers,
        batch_first=True,
        dropout=encoder.dropout if encoder.num_layers > 1 else 0.0,
        bidirectional=encoder.directions == 2,
    ).to(next(encoder.parameters()).device)
    with torch.no_grad():
        for place, cell in enumerate(encoder.cells):
            layer, backwards = divmod(place, encoder.directions)
            for name, weight in cell.named_parameters():
                ending = f"l{layer}_reverse" if backwards else f"l{layer}"
                getattr(module, name.replace("l0", ending)).copy_(weight)
    return module


def through_encoder(encoder: nn.Module, sample: Sample, with_lengths: bool) -> Tensor:
    """Run an encoder as imdb's network does."""
    features, lengths, _ = sample
    given = lengths.to(features.device) if with_lengths else None
    outputs: Tensor = encoder(features, given, need_state=False)[0]
    return outputs


def through_packing(module: nn.RNNBase, sample: Sample) -> Tensor:
    """Run PyTorch's module on the packed batch."""
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    features, lengths, _ = sample
    packed = pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False)
    outputs, _ = pad_packed_sequence(module(packed)[0], batch_first=True)
    return outputs


def both_ways(run: Callable[[Sample], Tensor], found: list[Sample]) -> None:
    """Run batches forward and backward, each output's gradient being 1."""
    for sample in found:
        run(sample).sum().backward()  # type: ignore[no-untyped-call]
        sample[0].grad = None


def throughputs(
    config: Config, task: ImdbTask, device: torch.device, batches: int, turns: int
) -> dict[str, float]:
    """Measure the real tokens per second of each way.

    Raises:
        UserError: the encoder is not made of PyTorch's cells, so that nothing can be packed.
    """
    import torch

    from models.modules.recurrent import RecurrentEncoder

    torch.manual_seed(config.seed)
    encoder = config.model.build(task.input_size).to(device).eval()
    if not isinstance(encoder, RecurrentEncoder):
        raise UserError(f"{config.model.label}: PyTorch has no packed form of it")
    module = packable(encoder, config).eval()
    bucketed = samples(task, config, batches, is_sorted=True)
    unsorted = samples(task, config, batches, is_sorted=False)
    ways: dict[str, tuple[Callable[[Sample], Tensor], list[Sample]]] = {
        "lengths": (lambda s: through_encoder(encoder, s, with_lengths=True), bucketed),
        "padded": (lambda s: through_encoder(encoder, s, with_lengths=False), bucketed),
        "packed": (lambda s: through_packing(module, s), bucketed),
        "unsorted": (lambda s: through_packing(module, s), unsorted),
    }
    # Else the ratios would compare two different things.
    ours, theirs = (ways[name][0](bucketed[0]) for name in ("lengths", "packed"))
    torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)
    encoder.train()
    module.train()
    arms = {name: partial(both_ways, *way) for name, way in ways.items()}
    times = interleaved(arms, turns, str(device))
    return {
        name: sum(tokens for *_, tokens in found) / min(times[name])
        for name, (_, found) in ways.items()
    }


def measure(chosen: argparse.Namespace, report: Report) -> None:
    """Compare the four ways for each encoder."""
    from benchmarks.system.environment import choose_device

    device = choose_device(chosen.device)
    task: Any = None
    for model, name in pairs(chosen.models, ["imdb"]):
        config = composed(model, name, "task.source=bundled", *chosen.set)
        task = task or load(config, device)
        speeds = throughputs(config, task, device, chosen.batches, chosen.turns)
        told = ", ".join(f"{name} {speed / 1e3:.1f}" for name, speed in speeds.items())
        report.say(f"{model}, thousand real tokens/s: {told}")
        ours = speeds["lengths"]
        report.ratio(
            f"with lengths / without, {model}", ours / speeds["padded"], at_least=WITHOUT_LENGTHS
        )
        target = OVER_PACKED[device.type]
        for name, words in (("packed", "packed and bucketed"), ("unsorted", "packed, unsorted")):
            report.ratio(f"bucketed / {words}, {model}", ours / speeds[name], at_least=target)


def main(arguments: list[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = parser_of(__doc__)
    add_run_options(parser)
    parser.add_argument("--batches", type=int, default=8, help="a turn runs through")
    parser.add_argument("--turns", type=int, default=5, help="of each way")
    return run_benchmark("variable_length", parser, arguments, measure)


if __name__ == "__main__":
    sys.exit(main())

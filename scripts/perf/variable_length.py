"""Throughput on sequences of different lengths: with lengths, without, and packed by PyTorch.

    python -m scripts.perf.variable_length
    python -m scripts.perf.variable_length --models gru bigru --device cuda

Runs the encoders of imdb's default runs forward and backward in four ways:

    lengths     batches of similar length, as in training, with their lengths
    padded      the same batches without lengths: includes the arithmetic on the padding
    packed      pack_padded_sequence and nn.RNN, nn.LSTM or nn.GRU with the same batches and weights
    unsorted    packed, with batches of random lengths
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError
from benchmarks.system.program import run_script
from scripts.perf.measuring import Report, interleaved, parser_of, run_benchmark
from scripts.perf.pairs import add_run_options, loaded_pairs

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from benchmarks.config.schema import Config
    from models.modules.recurrent import RecurrentEncoder
    from tasks.imdb import ImdbTask

WITHOUT_LENGTHS = 0.95
OVER_PACKED = {"cpu": 7.0, "cuda": 1.0}
"""Targets."""

TOLERANCE = 1e-4  # of outputs, for rounding

Sample = tuple["Tensor", "Tensor", int]
"""Features (batch, time, input), lengths on the CPU and the number of tokens."""


def samples(task: ImdbTask, config: Config, batches: int, is_sorted: bool) -> list[Sample]:
    """Return batches of the training split with random embeddings."""
    import torch

    from benchmarks.training.seeding import SeedStreams

    size, order = config.train.batch_size, SeedStreams.of(config).data_order(0)
    drawn = task.batches("train", size, order)
    if not is_sorted:
        reviews = task.documents["train"]
        shuffled = order.permutation(len(reviews))
        drawn = (reviews.batch(shuffled[i : i + size]) for i in range(0, len(shuffled), size))
    torch.manual_seed(config.seed)
    found = []
    for batch in itertools.islice(drawn, batches):
        features = torch.randn(*batch.inputs.shape, task.input_size, device=batch.inputs.device)
        assert batch.lengths is not None
        found.append((features.requires_grad_(), batch.lengths.cpu(), batch.tokens))
    return found


def packable(encoder: RecurrentEncoder, config: Config) -> nn.RNNBase:
    """Return PyTorch's module with the weights of an encoder."""
    import torch

    from models.modules.pytorch_cells import CELLS

    # The settings of recurrent models have a cell.
    module = CELLS[config.model.cell](  # type: ignore[attr-defined]
        encoder.input_size,
        encoder.hidden_size,
        encoder.num_layers,
        batch_first=True,
        dropout=encoder.dropout if encoder.num_layers > 1 else 0.0,
        bidirectional=encoder.directions == 2,
    ).to(next(encoder.parameters()).device)
    assert isinstance(module, torch.nn.RNNBase)
    with torch.no_grad():
        for place, cell in enumerate(encoder.cells):
            layer, backwards = divmod(place, encoder.directions)
            for name, weight in cell.named_parameters():
                ending = f"l{layer}_reverse" if backwards else f"l{layer}"
                getattr(module, name.replace("l0", ending)).copy_(weight)
    return module


def through_encoder(encoder: nn.Module, sample: Sample, with_lengths: bool) -> Tensor:
    """Run an encoder as the network of imdb does."""
    features, lengths, _ = sample
    given = lengths.to(features.device) if with_lengths else None
    outputs: Tensor = encoder(features, given, need_state=False)[0]
    return outputs


def through_packing(module: nn.RNNBase, sample: Sample) -> Tensor:
    """Run PyTorch's module on a packed batch."""
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    features, lengths, _ = sample
    packed = pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False)
    outputs, _ = pad_packed_sequence(module(packed)[0], batch_first=True)
    return outputs


def forward_backward(run: Callable[[Sample], Tensor], found: list[Sample]) -> None:
    """Run batches forward and backward with output gradients of 1."""
    for sample in found:
        # PyTorch's `backward` has no annotations.
        run(sample).sum().backward()  # type: ignore[no-untyped-call]
        sample[0].grad = None


def throughputs(
    config: Config, task: ImdbTask, device: torch.device, batches: int, turns: int
) -> dict[str, float]:
    """Return the tokens per second of each way."""
    import torch

    from models.modules.recurrent import RecurrentEncoder

    torch.manual_seed(config.seed)
    encoder = config.model.build(task.input_size).to(device).eval()
    if not isinstance(encoder, RecurrentEncoder) or encoder.cell == "region" or encoder.table:
        raise UserError(f"{config.model.label}: PyTorch has no packed form of this model")
    module = packable(encoder, config).eval()
    bucketed = samples(task, config, batches, is_sorted=True)
    unsorted = samples(task, config, batches, is_sorted=False)
    ways: dict[str, tuple[Callable[[Sample], Tensor], list[Sample]]] = {
        "lengths": (lambda s: through_encoder(encoder, s, with_lengths=True), bucketed),
        "padded": (lambda s: through_encoder(encoder, s, with_lengths=False), bucketed),
        "packed": (lambda s: through_packing(module, s), bucketed),
        "unsorted": (lambda s: through_packing(module, s), unsorted),
    }
    # The ratios compare equal computations.
    ours, theirs = (ways[name][0](bucketed[0]) for name in ("lengths", "packed"))
    torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)
    encoder.train()
    module.train()
    variants = {name: partial(forward_backward, *way) for name, way in ways.items()}
    times = interleaved(variants, turns, str(device))
    return {
        name: sum(tokens for *_, tokens in found) / min(times[name])
        for name, (_, found) in ways.items()
    }


def measure(options: argparse.Namespace, report: Report) -> None:
    """Compare the four ways for each encoder."""
    from benchmarks.system.environment import choose_device

    device = choose_device(options.device)
    given = ["task.source=bundled", *options.set]
    for pair, config, loaded in loaded_pairs(options.models, ["imdb"], device, *given):
        task: Any = loaded
        model = pair.split()[0]
        speeds = throughputs(config, task, device, options.batches, options.turns)
        text = ", ".join(f"{name} {speed / 1e3:.1f}" for name, speed in speeds.items())
        report.write(f"{model}, thousand tokens/s, without padding: {text}")
        ours = speeds["lengths"]
        report.ratio(
            f"with lengths / without, {model}", ours / speeds["padded"], at_least=WITHOUT_LENGTHS
        )
        target = OVER_PACKED[device.type]
        for way, text in (("packed", "packed and bucketed"), ("unsorted", "packed, unsorted")):
            report.ratio(f"bucketed / {text}, {model}", ours / speeds[way], at_least=target)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add_run_options(parser)
    parser.add_argument("--batches", type=int, default=8, help="of a turn")
    parser.add_argument("--turns", type=int, default=5, help="of each way")
    return run_benchmark("variable_length", parser, arguments, measure)


if __name__ == "__main__":
    run_script(main)

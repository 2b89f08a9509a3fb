"""Time of a training step of every model relative to the LSTM's, at equal encoder parameters.

    python -m scripts.perf.rivals
    python -m scripts.perf.rivals --models mingru lru --lengths 256

Each encoder has the blocks and layers of its file in conf/model/, and the hidden size of
`match=parameters match.budget=250000`. A step is a forward and a backward pass on a batch of random
features without padding; the LSTM runs on the fused kernel, the others on their default one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks.config.matching import matched
from benchmarks.errors import UserError
from benchmarks.system.program import run_script
from scripts.perf.measuring import Report, interleaved, parser_of, run_benchmark, spread
from scripts.perf.pairs import add_run_options, composed, pairs

BATCH, FEATURES, BUDGET = 32, 128, 250_000
LENGTHS = (64, 256, 1000)
REFERENCE = "lstm"

AT_MOST = {"mingru": 0.7, "lru": 0.8, "tcn": 0.8, "xlstm": 1.4, "mamba": 1.8}
TRANSFORMER = {64: 1.0, 256: 1.0, 1000: 2.0}
"""Targets: time relative to the LSTM's; of the Transformer by length."""

MODELS = ["rnn", "gru", "mingru", "minlstm", "lru", "tcn", "transformer", "xlstm", "mamba"]


def training_step(model: str, length: int, overrides: list[str]) -> tuple[Callable[[], None], str]:
    """Return the training step of an encoder, and its kernel."""
    import torch

    budget = ["match=parameters", f"match.budget={BUDGET}", "match.max_factor=100"]
    config = matched(composed(model, "imdb", *budget, *overrides), FEATURES)
    torch.manual_seed(0)
    encoder = config.model.build(FEATURES).train()
    inputs = torch.randn(BATCH, length, FEATURES, requires_grad=True)
    gradient = torch.randn(BATCH, length, encoder.output_size)

    def step() -> None:
        outputs, _ = encoder(inputs, need_state=False)
        outputs.backward(gradient)
        for parameter in encoder.parameters():
            parameter.grad = None
        inputs.grad = None

    step()
    return step, f"{encoder.kernel}, {config.model.hidden_size} units"


def target_of(model: str, length: int) -> float | None:
    """Return the largest relative time that is aimed at, if there is a target."""
    if model == "transformer":
        return TRANSFORMER.get(length)
    return AT_MOST.get(model)


def measure(chosen: argparse.Namespace, report: Report) -> None:
    """Time every model in turns with the LSTM, at every length."""
    from models.kernels.compiler import unavailable_reason

    if unavailable_reason() is not None:
        raise UserError(f"the fused kernel is not available: {unavailable_reason()}")
    rows = []
    for length in chosen.lengths:
        reference, about = training_step(REFERENCE, length, [])
        for model, _ in pairs(chosen.models, ["imdb"]):
            step, kernel = training_step(model, length, chosen.set)
            times = interleaved({REFERENCE: reference, model: step}, chosen.turns)
            ratio = min(times[model]) / min(times[REFERENCE])
            target = target_of(model, length)
            if target is not None and not chosen.set:
                name = f"time of {model} over the lstm's, {length} steps"
                report.ratio(name, ratio, at_most=target)
            both = [f"{1e3 * min(times[name]):.1f}" for name in (model, REFERENCE)]
            turns = spread(times, REFERENCE, over=model)
            rows.append([model, str(length), kernel, about, *both, turns])
    header = ["model", "steps", "kernel, size", "lstm", "ms", "lstm ms", "time over the lstm's"]
    report.table(header, rows)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add_run_options(parser, models=MODELS)
    add = parser.add_argument
    add("--lengths", nargs="+", type=int, default=[*LENGTHS], metavar="T", help="steps")
    add("--turns", type=int, default=7, help="of each model")
    return run_benchmark("rivals", parser, arguments, measure)


if __name__ == "__main__":
    run_script(main)

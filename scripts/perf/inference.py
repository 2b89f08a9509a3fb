"""Latency and throughput of exported forms and kernels compared with PyTorch's own.

    python -m scripts.perf.inference
    python -m scripts.perf.inference --models lstm --tasks imdb --seconds 3

The networks have the default shapes of the tasks and are not trained, as weights do not change
times. Ratios are of speeds: by p50 at batch 1, by throughput above.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError
from benchmarks.system.program import run_script
from scripts.perf.measuring import Report, parser_of, run_benchmark
from scripts.perf.pairs import loaded_pairs

if TYPE_CHECKING:
    from torch import nn

    from benchmarks.config.schema import Config
    from tasks.base import Task

TARGET = 1.0
EAGER, FUSED, RUNTIME, INT8 = "torch", "fused", "onnxruntime", "int8"
RATIOS = ((RUNTIME, EAGER), (INT8, RUNTIME), (FUSED, EAGER))


def forms(config: Config, task: Task, threads: int, folder: Path) -> dict[str, nn.Module]:
    """Build a network in every available form; int8 for LSTMs only."""
    try:
        from benchmarks.export.onnx_network import onnx_model
        from benchmarks.export.runtimes import OnnxNetwork
    except ModuleNotFoundError as error:
        raise UserError(f"inference needs {error.name}: pip install -e '.[export]'") from error
    from benchmarks.export.signature import Signature, real_batches

    network, _ = build(config, task, EAGER)
    example = real_batches(task, 2, 1)[0]
    signature = Signature.of(network, example)
    found = {EAGER: network}
    fused, encoder = build(config, task, FUSED)
    Signature.of(fused, example)  # the encoder chooses its kernel in the first call
    if encoder.kernel == FUSED:
        found[FUSED] = fused
    # int8 arithmetic is for LSTMs only.
    for name in (RUNTIME, INT8) if getattr(config.model, "cell", None) == "lstm" else (RUNTIME,):
        path = folder / f"{name}.onnx"
        path.write_bytes(onnx_model(network, signature, name == INT8, {}).SerializeToString())
        found[name] = OnnxNetwork(path, signature, threads)
    return found


def build(config: Config, task: Task, kernel: str) -> tuple[nn.Module, Any]:
    """Return a network in eval mode and its encoder; the weights are equal for every kernel."""
    import torch

    from benchmarks.training.network import build_network

    only: dict[str, Any] = {"kernel": kernel}
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, **only))
    network, encoder = build_network(config, task, torch.device("cpu"))
    return network.eval(), encoder


def measure(options: argparse.Namespace, report: Report) -> None:
    """Compare the forms of each pair of model and task at each batch size."""
    import torch

    from benchmarks.export.timing import speeds, speedup

    cpu = torch.device("cpu")
    for pair, config, task in loaded_pairs(options.models, options.tasks, cpu):
        with tempfile.TemporaryDirectory() as folder:
            networks = forms(config, task, options.threads, Path(folder))
            for size in options.batch_sizes:
                found = speeds(networks, task, size, options.seconds, cpu)
                report.write(f"{pair}, batch {size}:")
                for form, speed in found.items():
                    report.write(
                        f"  {form:11} p50 {speed.latency_ms_p50:9.3f} ms, "
                        f"p95 {speed.latency_ms_p95:9.3f} ms, "
                        f"{speed.sequences_per_second:9,.0f} sequences/s, "
                        f"{speed.tokens_per_second:11,.0f} tokens/s"
                    )
                by = "by p50" if size == 1 else "by throughput"
                for ours, theirs in RATIOS:
                    if ours in found:
                        gain = speedup(found[ours], found[theirs], size)
                        name = f"{ours} / {theirs} {by}, {pair}, batch {size}"
                        report.ratio(name, gain, at_least=TARGET)


def size_of(text: str) -> int:
    """Read a batch size from the command line."""
    size = int(text)
    if size < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return size


def seconds_of(text: str) -> float:
    """Read a duration from the command line."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: must be a number above 0")
    return seconds


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    add(
        "--models",
        nargs="+",
        default=["rnn", "lstm", "gru"],
        metavar="M",
        help="default: rnn lstm gru",
    )
    add("--tasks", nargs="+", default=[], metavar="T", help="default: all")
    add("--batch-sizes", nargs="+", type=size_of, default=[1, 8, 64, 512], metavar="N")
    add("--seconds", type=seconds_of, default=1.0, help="per form and batch size")
    return run_benchmark("inference", parser, arguments, measure)


if __name__ == "__main__":
    run_script(main)

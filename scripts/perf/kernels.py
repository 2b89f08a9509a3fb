"""Speed of the fused kernel compared with PyTorch's, and efficiency of the cells.

    python -m scripts.perf.kernels
    python -m scripts.perf.kernels --shapes 32,240,128,128 --threads 1

Times a training step of one layer at shapes (batch, time, features, hidden) on one thread and on
all. Arithmetic counts the matrix products, 2 operations per multiply-add. The share of the peak is
arithmetic per second relative to the fastest matrix product.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.errors import UserError
from benchmarks.system.program import run_script
from scripts.perf.measuring import Report, interleaved, parser_of, run_benchmark, spread

CELLS = {"rnn": 1, "gru": 3, "lstm": 4}  # numbers of gates

LIKE_LSTM, ARITHMETIC, NOT_SLOWER = 0.8, 1.25, 1.0
"""Targets: share of the peak relative to the LSTM's; factor between the ratio of two cells' times
and that of their arithmetic; speed of the chosen kernel relative to PyTorch's."""

TURN_SECONDS = 0.05  # long compared with disturbances by the scheduler
RAW_FEATURES = 5


@dataclass(frozen=True)
class Shape:
    """Sizes of a layer and its inputs."""

    batch: int
    time: int
    features: int
    hidden: int

    def __str__(self) -> str:
        return f"({self.batch}, {self.time}, {self.features}, {self.hidden})"

    @property
    def has_raw_inputs(self) -> bool:
        """Return True for raw data, whose gradient is not computed."""
        return self.features <= RAW_FEATURES

    def operations(self, gates: int) -> float:
        """Return the operations of the matrix products of a training step."""
        per_pass = 2.0 * self.batch * self.time * gates * self.hidden
        return per_pass * ((2 if self.has_raw_inputs else 3) * self.features + 3 * self.hidden)


COMPARED = (
    Shape(64, 200, 256, 256),
    Shape(32, 240, 128, 128),
    Shape(64, 60, 5, 64),
    Shape(64, 30, 1, 32),
)
"""Shapes at which cells are compared; the second is that of imdb, the last that of sp500."""

OTHERS = (
    *(Shape(32, 64, 256, 256), Shape(1, 200, 128, 128), Shape(256, 30, 1, 32)),
    *(Shape(32, 64, 512, 512), Shape(32, 32, 1024, 1024), Shape(8, 1, 256, 256)),
)
"""Further shapes; the first is that of shakespeare."""


def shape_of(text: str) -> Shape:
    """Read a shape from the command line."""
    numbers = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if len(numbers) != 4 or min(numbers) < 1:
        raise argparse.ArgumentTypeError(
            f"{text}: must be batch,time,features,hidden, as 64,30,1,32"
        )
    return Shape(*numbers)


def training_step(shape: Shape, cell: str, kernel: str) -> tuple[Callable[[], None], str]:
    """Return the training step of a layer and its kernel."""
    import torch

    from models.recurrent import RecurrentSettings

    settings = RecurrentSettings(
        cell=cell, hidden_size=shape.hidden, kernel=kernel, initialisation="pytorch"
    )
    torch.manual_seed(0)
    encoder = settings.build(shape.features)
    inputs = torch.randn(
        shape.batch, shape.time, shape.features, requires_grad=not shape.has_raw_inputs
    )
    gradient = torch.randn(shape.batch, shape.time, shape.hidden)

    def step() -> None:
        outputs, _ = encoder(inputs, need_state=False)
        outputs.backward(gradient)
        for parameter in encoder.parameters():
            parameter.grad = None
        inputs.grad = None

    step()
    return step, encoder.kernel


def measure_cell(
    report: Report, shape: Shape, cell: str, turns: int, threads: int, peak: float
) -> tuple[list[str], float]:
    """Time both kernels; return a table row and the seconds of the chosen kernel."""
    (own, _), (fused, _) = (training_step(shape, cell, kernel) for kernel in ("torch", "fused"))
    chosen = training_step(shape, cell, "auto")[1]
    operations = shape.operations(CELLS[cell])
    started = time.perf_counter()
    own(), fused()
    steps = max(1, round(2 * TURN_SECONDS / (time.perf_counter() - started)))
    times = interleaved({"torch": own, "fused": fused}, turns, calls=steps)
    least = {kernel: min(seconds) / steps for kernel, seconds in times.items()}
    gain = least["torch"] / least["fused"]
    name = f"{cell} {shape}, {threads} threads"
    if chosen == "fused":
        report.ratio(f"speed of fused over torch's, {name}", gain, at_least=NOT_SLOWER)
    else:
        report.write(f"{name}: auto chooses PyTorch; fused would be {gain:.2f} times as fast")
    shares = [operations / seconds / 1e9 / peak for seconds in least.values()]
    cells = [f"{1e3 * least['torch']:.3f}", f"{1e3 * least['fused']:.3f}", chosen]
    line = [str(shape), cell, str(threads), *cells, spread(times, "fused", over="torch")]
    return [*line, *(f"{share:.2f}" for share in shares)], least[chosen]


def compare_cells(report: Report, shape: Shape, threads: int, seconds: dict[str, float]) -> None:
    """Print the shares of the peak relative to the LSTM, and the factors off the arithmetic."""
    rates = {cell: shape.operations(gates) / seconds[cell] for cell, gates in CELLS.items()}
    for cell in ("rnn", "gru"):
        name = f"{cell} {shape}, {threads} threads"
        share = rates[cell] / rates["lstm"]
        report.ratio(f"share of the peak over the lstm's, {name}", share, at_least=LIKE_LSTM)
        off = max(share, 1 / share)
        report.ratio(
            f"factor between time and arithmetic, {name} relative to lstm", off, at_most=ARITHMETIC
        )


def measure(chosen: argparse.Namespace, report: Report) -> None:
    """Compare kernels at each shape, and cells at the shapes `COMPARED`."""
    import torch

    from benchmarks.system.peak_flops import measure as measure_peak
    from models.kernels.compiler import unavailable_reason

    if unavailable_reason() is not None:
        raise UserError(f"the fused kernel is not available: {unavailable_reason()}")
    shapes = chosen.shapes or [*COMPARED, *OTHERS]
    lines = []
    for threads in sorted({1, chosen.threads}):
        torch.set_num_threads(threads)
        peak = measure_peak(torch.device("cpu"), torch.float32)
        assert peak is not None
        report.write(f"peak of matrix products, {threads} threads: {peak:.0f} GFLOP/s")
        for shape in shapes:
            seconds = {}
            for cell in CELLS:
                line, seconds[cell] = measure_cell(report, shape, cell, chosen.turns, threads, peak)
                lines.append(line)
            if shape in COMPARED:
                compare_cells(report, shape, threads, seconds)
    header = ["batch, time, features, hidden", "cell", "threads", "torch ms", "fused ms", "auto"]
    report.table([*header, "speed, fused over torch", "torch of peak", "fused of peak"], lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("--shapes", nargs="+", type=shape_of, metavar="B,T,F,H", help="default: those published")
    add("--turns", type=int, default=7, help="of each kernel")
    return run_benchmark("kernels", parser, arguments, measure)


if __name__ == "__main__":
    run_script(main)

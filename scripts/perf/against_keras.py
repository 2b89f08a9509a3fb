"""Training throughput and score compared with Keras 3 on TensorFlow, on the CPU.

    python -m scripts.perf.against_keras --keras-python ENVIRONMENT/bin/python

The environment is made by `pip install keras tensorflow-cpu`, apart from that of rnnbench. Both
sides train on the same reviews with the same number of threads and Adam at its default rate. Keras
predicts from the last output, rnnbench from all. Throughput counts tokens without padding in the
fastest epoch, so Keras's tracing is not included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError
from benchmarks.system.program import run_script
from scripts.perf import keras_side
from scripts.perf.measuring import Report, parser_of, run_benchmark, run_process
from scripts.perf.pairs import composed, load, trainer_of
from tasks.base import SPLITS

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.config.schema import Config
    from tasks.imdb import ImdbTask

SPEED, SCORE = 4.0, 1.0
"""Targets: throughput and validation accuracy relative to Keras."""

RECIPE = (
    *("task.embedding_dropout=0", "task.word_dropout=0", "model.dropout=0"),
    *("train.optimizer=adam", "train.learning_rate=1e-3", "train.beta2=0.999"),
    *("train.schedule=constant", "train.warmup_steps=0", "train.weight_decay=0"),
    *("train.clip_norm=null", "train.batch_size=32", "train.patience=null", "train.device=cpu"),
)

SHAPES = {
    "LSTM 128": ("lstm", "model.hidden_size=128", "model.num_layers=1", "task.max_length=400"),
    "GRU 128": ("gru", "model.hidden_size=128", "model.num_layers=1", "task.max_length=400"),
    "BiLSTM 2x64": ("bilstm", "model.hidden_size=64", "model.num_layers=2", "task.max_length=200"),
}


def job_of(config: Config, task: ImdbTask, threads: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return data and settings for Keras."""
    import numpy as np

    job: dict[str, np.ndarray[Any, Any]] = {}
    for split in SPLITS[:2]:
        reviews = task.documents[split]
        batch = reviews.batch(np.arange(len(reviews)))
        assert batch.lengths is not None
        tokens, lengths = batch.inputs.numpy(), batch.lengths.numpy()
        job[f"{split}_tokens"] = tokens[np.arange(tokens.shape[1]) < lengths[:, None]]
        job[f"{split}_lengths"] = lengths
        job[f"{split}_labels"] = batch.targets.numpy()
    settings = {
        "threads": threads,
        "seed": config.seed,
        # The settings of recurrent models have a cell.
        "cell": config.model.cell,  # type: ignore[attr-defined]
        "hidden": config.model.hidden_size,
        "layers": config.model.num_layers,
        "bidirectional": config.model.bidirectional,
        "vocabulary": task.vocabulary_size,
        "embedding": task.input_size,
        "length": task.settings.max_length,
        "batch": config.train.batch_size,
        "epochs": config.train.max_epochs,
    }
    return job | {"settings": np.array(json.dumps(settings))}


def keras_run(python: Path, job: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    """Train with Keras and return its versions, seconds and accuracies."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="rnnbench-keras-") as folder:
        file = Path(folder) / "job.npz"
        # NumPy's stubs take any keyword for `allow_pickle`.
        np.savez(file, **job)  # type: ignore[arg-type]
        command = [str(python), str(keras_side.__file__), str(file)]
        try:
            result, _ = run_process(command, f"--keras-python {python}: training failed: ")
        except OSError as error:
            reason = f"cannot be started ({error.strerror})"
            raise UserError(f"--keras-python {python}: {reason}") from error
    return dict(result)


def our_run(config: Config, task: ImdbTask) -> tuple[float, list[float]]:
    """Train like a run; return tokens per second of the fastest epoch, and accuracies."""
    import torch

    trainer = trainer_of(config, task, torch.device("cpu"))
    trainer.warm_up()
    trainer.streams.seed_dropout()
    trainer.fit()
    lines: list[dict[str, Any]] = [{"tokens": 0, "train_seconds": 0.0}, *trainer.state.history]
    speeds = [
        (line["tokens"] - before["tokens"]) / (line["train_seconds"] - before["train_seconds"])
        for before, line in itertools.pairwise(lines)
    ]
    return max(speeds), [line["validation_accuracy"] for line in lines[1:]]


def measure(options: argparse.Namespace, report: Report) -> None:
    """Compare both sides at each shape."""
    import torch

    for name in options.shapes:
        model, *shape = SHAPES[name]
        given = [f"train.max_epochs={options.epochs}", f"task.source={options.source}"]
        config = composed(model, "imdb", *shape, *RECIPE, *given, *options.set)
        task: Any = load(config, torch.device("cpu"))
        job = job_of(config, task, options.threads)
        theirs = keras_run(options.keras_python, job)
        speed, accuracies = our_run(config, task)
        tokens = int(job["train_lengths"].sum())
        keras_speed = tokens / min(theirs["seconds"])
        report.write(
            f"{name}, {len(job['train_lengths']):,} reviews up to {task.settings.max_length} "
            f"tokens, batch {config.train.batch_size}, {options.epochs} epochs; "
            f"{theirs['versions']}"
        )
        both = ("Keras", keras_speed, theirs["accuracies"]), ("rnnbench", speed, accuracies)
        for side, fast, scores in both:
            text = ", ".join(f"{score:.3f}" for score in scores)
            rate = f"{fast / 1e3:.1f} thousand tokens/s, without padding"
            report.write(f"    {side}: {rate}; accuracies {text}")
        report.ratio(f"throughput over Keras's, {name}", speed / keras_speed, at_least=SPEED)
        score = accuracies[-1] / theirs["accuracies"][-1]
        report.ratio(f"validation accuracy over Keras's, {name}", score, at_least=SCORE)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add, shapes = parser.add_argument, list(SHAPES)
    add("--keras-python", type=Path, required=True, help="of an environment with Keras")
    add("--shapes", nargs="+", choices=shapes, default=shapes, help="default: all")
    add("--epochs", type=int, default=3, help="of both sides")
    add("--source", default="bundled", help="bundled, or a folder as task.source")
    add("--set", nargs="+", default=[], metavar="KEY=VALUE", help="as for run.py")
    return run_benchmark("against_keras", parser, arguments, measure)


if __name__ == "__main__":
    run_script(main)

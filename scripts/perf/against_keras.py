"""Training throughput and score beside Keras 3 on TensorFlow, both on this machine's processor.

    python -m scripts.perf.against_keras --keras-python ENVIRONMENT/bin/python

The environment, made by `pip install keras tensorflow-cpu`, is no part of rnnbench's. Both sides
get the same reviews, already cut to length, and as many threads, one side after the other. Both
train recurrent layers of the same shapes as Keras's own IMDB examples do: Adam at its default rate,
nothing dropped. Keras predicts from the last output, rnnbench from all, as its imdb task does by
default. Throughput counts real tokens, of each side's fastest epoch, so that what Keras traces in
its first is not held against it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError
from scripts.perf import keras_side
from scripts.perf.measuring import Report, parser_of, run_benchmark
from scripts.perf.pairs import composed, load, trainer_of

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.config.schema import Config
    from tasks.base import Split
    from tasks.text.task import ImdbTask

SPEED, SCORE = 4.0, 1.0
"""Targets: throughput and validation accuracy over Keras's."""

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
"""The last is that of Keras's bidirectional IMDB example."""


def job_of(config: Config, task: ImdbTask, threads: int) -> dict[str, np.ndarray[Any, Any]]:
    """Gather what Keras is to train on, and how."""
    import numpy as np

    job: dict[str, np.ndarray[Any, Any]] = {}
    splits: tuple[Split, ...] = ("train", "validation")
    for split in splits:
        reviews = task.reviews[split]
        batch = reviews.batch(np.arange(len(reviews)))
        assert batch.lengths is not None
        tokens, lengths = batch.inputs.numpy(), batch.lengths.numpy()
        job[f"{split}_tokens"] = tokens[np.arange(tokens.shape[1]) < lengths[:, None]]
        job[f"{split}_lengths"] = lengths
        job[f"{split}_labels"] = batch.targets.numpy()
    settings = {
        "threads": threads,
        "seed": config.seed,
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
    """Let Keras train.

    Raises:
        UserError: the environment cannot do so.
    """
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="rnnbench-keras-") as folder:
        file = Path(folder) / "job.npz"
        np.savez(file, **job)  # type: ignore[arg-type]
        command = [str(python), str(keras_side.__file__), str(file)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            reason = f"cannot be started ({error.strerror})"
            raise UserError(f"--keras-python {python}: {reason}") from error
    if ended.returncode:
        reason = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"--keras-python {python}: training failed there: {reason}")
    said: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return said


def our_run(config: Config, task: ImdbTask) -> tuple[float, list[float]]:
    """Train as a run would; returns tokens per second of the best epoch, and accuracies."""
    import torch

    from benchmarks.training.seeding import SeedStreams

    trainer = trainer_of(config, task, torch.device("cpu"))
    trainer.warm_up()
    SeedStreams(config.seed).seed_dropout()
    trainer.fit()
    lines: list[dict[str, Any]] = [{"tokens": 0, "train_seconds": 0.0}, *trainer.record.history]
    speeds = [
        (line["tokens"] - before["tokens"]) / (line["train_seconds"] - before["train_seconds"])
        for before, line in itertools.pairwise(lines)
    ]
    return max(speeds), [line["validation_accuracy"] for line in lines[1:]]


def measure(chosen: argparse.Namespace, report: Report) -> None:
    """Compare both at each shape."""
    import torch

    for name in chosen.shapes:
        model, *shape = SHAPES[name]
        asked = [f"train.max_epochs={chosen.epochs}", f"task.source={chosen.source}"]
        config = composed(model, "imdb", *shape, *RECIPE, *asked, *chosen.set)
        task: Any = load(config, torch.device("cpu"))
        job = job_of(config, task, chosen.threads)
        theirs = keras_run(chosen.keras_python, job)
        speed, accuracies = our_run(config, task)
        tokens = int(job["train_lengths"].sum())
        keras_speed = tokens / min(theirs["seconds"])
        report.say(
            f"{name}, {len(job['train_lengths']):,} reviews up to {task.settings.max_length} "
            f"tokens, batch {config.train.batch_size}, {chosen.epochs} epochs; {theirs['versions']}"
        )
        for side, fast, scores in (
            ("Keras", keras_speed, theirs["accuracies"]),
            ("rnnbench", speed, accuracies),
        ):
            told = ", ".join(f"{score:.3f}" for score in scores)
            report.say(f"    {side}: {fast / 1e3:.1f} thousand real tokens/s, accuracies {told}")
        report.ratio(f"throughput over Keras's, {name}", speed / keras_speed, at_least=SPEED)
        score = accuracies[-1] / theirs["accuracies"][-1]
        report.ratio(f"validation accuracy over Keras's, {name}", score, at_least=SCORE)


def main(arguments: list[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--keras-python", type=Path, required=True, help="of an environment that has Keras"
    )
    parser.add_argument(
        "--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES), help="default: all"
    )
    parser.add_argument("--epochs", type=int, default=3, help="on both sides")
    parser.add_argument("--source", default="bundled", help="bundled, or a folder as task.source")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="as for run.py")
    return run_benchmark("against_keras", parser, arguments, measure)


if __name__ == "__main__":
    sys.exit(main())

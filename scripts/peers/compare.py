"""A recipe that people run today, and rnnbench's, on the same data and split, one after the other.

    python -m scripts.peers.compare packed_lstm
    python -m scripts.peers.compare keras_bilstm --python ENVIRONMENT/bin/python

The docstring of each program in this folder names its requirements, which are not those of
rnnbench; `--python` names an environment with them. Both sides train with the same threads. The
score of a side is that of the test split after its best epoch by validation; its seconds are those
of training up to that epoch, without evaluations.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError
from benchmarks.system.program import run_script
from scripts.perf.measuring import Report, parser_of, run_benchmark, run_process
from scripts.perf.pairs import composed, load, trainer_of
from tasks.base import SPLITS

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.config.schema import Config

    Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Peer:
    """A program of this folder.

    Attributes:
        task, model: of the run of rnnbench that it is compared with.
        epochs: of the peer, as in the recipe that it follows.
        job: function of the loaded task that returns arrays and settings.
    """

    task: str
    model: str
    epochs: int
    job: Callable[[Any], tuple[Arrays, dict[str, int]]]


def reviews(task: Any) -> tuple[Arrays, dict[str, int]]:
    """Return all tokens of each review, and labels."""
    arrays: Arrays = {}
    for split in SPLITS:
        documents = task.documents[split]
        arrays[f"{split}_tokens"] = documents.tokens.numpy()
        arrays[f"{split}_lengths"] = documents.offsets.diff().numpy()
        arrays[f"{split}_labels"] = documents.labels.numpy()
    return arrays, {"vocabulary": task.vocabulary_size}


def characters(task: Any) -> tuple[Arrays, dict[str, int]]:
    """Return the characters of each split as numbers."""
    arrays: Arrays = {split: task.splits[split].numpy() for split in SPLITS}
    return arrays, {"vocabulary": len(task.vocabulary.tokens)}


def closes(task: Any) -> tuple[Arrays, dict[str, int]]:
    """Return the closes, and the days before those to forecast."""
    arrays = {f"{split}_origins": task.origins[split].numpy() for split in SPLITS}
    return {"closes": task.closes} | arrays, {"window": task.settings.window + 1}


PEERS = {
    "keras_bilstm": Peer("imdb", "bilstm", 10, reviews),
    "packed_lstm": Peer("imdb", "bilstm", 10, reviews),
    "char_language_model": Peer("shakespeare", "lstm", 40, characters),
    "neuralforecast_lstm": Peer("sp500", "lstm", 1, closes),
}

Epochs = list[dict[str, Any]]
"""Seconds of training, validation and test score after each epoch."""


def peer_epochs(python: Path, name: str, task: Any, settings: dict[str, int]) -> Epochs:
    """Run a peer in its environment and return its epochs."""
    import numpy as np

    arrays, sizes = PEERS[name].job(task)
    job = arrays | {"settings": np.array(json.dumps(settings | sizes))}
    with tempfile.TemporaryDirectory(prefix="rnnbench-peer-") as folder:
        file = Path(folder) / "job.npz"
        np.savez(file, **job)
        command = [str(python), str(Path(__file__).with_name(f"{name}.py")), str(file)]
        try:
            result, _ = run_process(command, f"--python {python}: {name} failed: ")
        except OSError as error:
            reason = f"cannot be started ({error.strerror})"
            raise UserError(f"--python {python}: {reason}") from error
    return list(result)


def our_epochs(config: Config, task: Any) -> Epochs:
    """Train as a run does and return its epochs; only the best has a test score."""
    import torch

    from benchmarks.training.evaluation import evaluate

    metric = config.task.primary_metric.name
    trainer = trainer_of(config, task, torch.device("cpu"))
    trainer.warm_up()
    trainer.streams.seed_dropout()
    trainer.fit()
    state = trainer.state
    assert state.best_weights is not None
    trainer.network.load_state_dict(state.best_weights)
    test = evaluate(trainer.network, task, "test", config.train.evaluation_batch_size)[metric]
    return [
        {
            "seconds": line["train_seconds"],
            "validation": line[f"validation_{metric}"],
            "test": test if line["epoch"] == state.best_epoch else None,
        }
        for line in state.history
    ]


def best_of(epochs: Epochs, is_higher_better: bool) -> dict[str, Any]:
    """Return the epoch of the best validation score; the first of equal ones."""
    choose = max if is_higher_better else min
    found: dict[str, Any] = choose(epochs, key=lambda each: each["validation"])
    return found


def measure(options: argparse.Namespace, report: Report) -> None:
    """Run both sides and report scores, seconds and our score at the peer's time."""
    import torch

    peer = PEERS[options.peer]
    config = composed(peer.model, peer.task, f"seed={options.seed}", *options.set)
    task: Any = load(config, torch.device("cpu"))
    epochs = options.epochs or peer.epochs
    settings = {"threads": options.threads, "seed": options.seed, "epochs": epochs}
    theirs = peer_epochs(options.python, options.peer, task, settings)
    ours = our_epochs(config, task)
    metric = config.task.primary_metric
    best, our_best = (best_of(each, metric.higher_is_better) for each in (theirs, ours))
    in_time = [each for each in ours if each["seconds"] <= best["seconds"]]
    report.write(
        f"{options.peer} ({theirs[0]['versions']}) on {task.data.name}; {metric.name}, "
        f"{'higher' if metric.higher_is_better else 'lower'} is better"
    )
    cells = [
        [name, str(len(each)), *(f"{top[key]:.4g}" for key in ("validation", "test", "seconds"))]
        for name, each, top in (
            (options.peer, theirs, best),
            (f"rnnbench {peer.model}", ours, our_best),
        )
    ]
    if in_time:
        then = best_of(in_time, metric.higher_is_better)
        name = "the same after the peer's seconds"
        cells.append(
            [name, str(len(in_time)), f"{then['validation']:.4g}", "", f"{then['seconds']:.4g}"]
        )
    header = ["side", "epochs", "validation", "test", "seconds to the best epoch"]
    report.table(header, cells)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("peer", choices=[*PEERS], help="the recipe")
    add("--python", type=Path, default=Path(sys.executable), help="of an environment for it")
    add("--epochs", type=int, help="of the peer (default: as its recipe)")
    add("--seed", type=int, default=0, help="of both sides")
    add("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of rnnbench, as for run.py")
    return run_benchmark("scripts.peers.compare", parser, arguments, measure)


if __name__ == "__main__":
    run_script(main)

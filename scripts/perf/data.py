"""Cost of imdb's data: the first start, later starts, batches and memory.

    python -m scripts.perf.data
    python -m scripts.perf.data --source FOLDER      the full 50,000 reviews

The first start has an empty cache and tokenises. The second is `python run.py`, stopped before its
first training step. Finally, several processes read all data and report their memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import PROJECT_ROOT
from benchmarks.errors import UserError
from benchmarks.system.program import run_script
from scripts.perf.measuring import Report, parser_of, program, run_benchmark, run_process
from scripts.perf.pairs import add_run_options, composed, load, pairs, trainer_of

if TYPE_CHECKING:
    import torch

    from benchmarks.config.schema import Config

REVIEWS = 50_000
TOKENISING_SECONDS, START_SECONDS, BATCH_SHARE, SHARED = 15.0, 1.0, 0.02, 1.05
"""Targets; the share of batches is that of the training loop, which waits for the iterator."""

HOLDERS = 2
IMPORTED = re.compile(r"^import time:\s+(\d+) \|", re.MULTILINE)
"""Microseconds of one import without nested imports, in the output of `python -X importtime`."""


def prepare(overrides: list[str]) -> None:
    """Read the data and print the seconds and the number of reviews."""
    import torch

    config = composed("lstm", "imdb", *overrides)
    import tokenizers  # noqa: F401

    started = time.perf_counter()
    data = load(config, torch.device("cpu")).data
    seconds = time.perf_counter() - started
    count = data.train_size + data.validation_size + data.test_size
    print(json.dumps({"seconds": seconds, "reviews": count, "name": data.name}))


def start_run(overrides: list[str]) -> None:
    """Run `python run.py` until its first training step and print the age of the process."""
    import runpy

    import psutil

    from benchmarks.training.trainer import Trainer

    def stop(trainer: Trainer, batch: object) -> None:
        seconds = time.time() - psutil.Process().create_time()
        print(json.dumps({"seconds": seconds}), flush=True)
        sys.stderr.flush()
        os._exit(0)

    # Only this process is affected.
    Trainer._step = stop  # type: ignore[method-assign, assignment]
    sys.argv = ["run.py", "task=imdb", *overrides]
    runpy.run_path(str(PROJECT_ROOT / "run.py"), run_name="__main__")


def hold(overrides: list[str]) -> None:
    """Read all batches of all splits, then print the memory used for the cached files."""
    import torch

    from benchmarks.training.seeding import SeedStreams

    config = composed("lstm", "imdb", *overrides)
    task = load(config, torch.device("cpu"))
    for split in ("train", "validation", "test"):
        order = SeedStreams(0).data_order(0) if split == "train" else None
        for batch in task.batches(split, config.train.batch_size, order):
            batch.inputs.sum()
    print("ready", flush=True)
    sys.stdin.readline()  # until all processes are ready
    print(json.dumps(mapped_memory(Path(str(config.cache_dir)))), flush=True)
    sys.stdin.readline()


def mapped_memory(folder: Path) -> dict[str, int]:
    """Return the bytes of this process that map files of a folder (Linux only)."""
    import psutil

    held = [part for part in psutil.Process().memory_maps() if part.path.startswith(str(folder))]
    return {
        "resident (RSS)": sum(part.rss for part in held),
        "proportional (PSS)": sum(part.pss for part in held),
        # Dirty pages would include those of a file that has just been written.
        "private": sum(part.anonymous for part in held),
    }


def shared_memory(overrides: list[str]) -> list[dict[str, int]]:
    """Return the memory of processes that have loaded the data at the same time."""
    command = program("data", "--part", "hold", "--set", *overrides)
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    holders: list[Any] = [
        subprocess.Popen(command, cwd=PROJECT_ROOT, **pipes) for _ in range(HOLDERS)
    ]
    try:
        for line in [holder.stdout.readline().strip() for holder in holders]:
            if line != "ready":
                raise UserError(f"a process could not load the data: {line}")
        for holder in holders:
            holder.stdin.write("continue\n")
            holder.stdin.flush()
        return [json.loads(holder.stdout.readline()) for holder in holders]
    finally:
        for holder in holders:
            holder.communicate()


def measure_starts(overrides: list[str], report: Report) -> None:
    """Time a start with an empty cache, then one with a full cache."""
    first, _ = run_process(program("data", "--part", "prepare", "--set", *overrides))
    report.write(
        f"first start: {first['reviews']:,} reviews read, split, tokenised and cached in "
        f"{first['seconds']:.2f} s ({first['name']})"
    )
    scaled = first["seconds"] * REVIEWS / first["reviews"]
    name = f"seconds for {REVIEWS:,} reviews"
    if first["reviews"] != REVIEWS:
        name += f", scaled from {first['reviews']:,}"
    report.ratio(name, scaled, at_most=TOKENISING_SECONDS)
    run = ["train.max_steps=1", "log.tensorboard=false", *overrides]
    python, *command = program("data", "--part", "start", "--set", *run)
    started, log = run_process([python, "-X", "importtime", *command])
    imports = sum(map(int, IMPORTED.findall(log))) / 1e6
    seconds = started["seconds"]
    report.write(f"run.py to its first step: {seconds:.2f} s, {imports:.2f} s of it imports")
    beyond = seconds - imports
    report.ratio("seconds to the first step beyond imports", beyond, at_most=START_SECONDS)


def measure_batches(config: Config, device: torch.device, steps: int, report: Report) -> None:
    """Time the batches of an epoch without training, and training steps on the first batches."""
    from benchmarks.training.seeding import SeedStreams

    task = load(config, device)
    trainer = trainer_of(config, task, device)
    size = config.train.batch_size
    epoch = task.batches("train", size, SeedStreams(0).data_order(0))
    batches = list(itertools.islice(epoch, steps))
    trainer.warm_up()
    started = time.perf_counter()
    for batch in batches:
        trainer._step(batch)
    step = (time.perf_counter() - started) / len(batches)
    started = time.perf_counter()
    count = sum(1 for _ in task.batches("train", size, SeedStreams(0).data_order(0)))
    each = (time.perf_counter() - started) / count
    report.write(
        f"{config.model.label}: {1 / each:,.0f} batches of {size} a second by the iterator, "
        f"{1 / step:.1f} training steps a second"
    )
    name = f"time of a batch / of a step, {config.model.label}"
    report.ratio(name, each / step, at_most=BATCH_SHARE)


def measure_memory(overrides: list[str], cache: Path, report: Report) -> None:
    """Measure the memory that several processes use for the cached files."""
    if not sys.platform.startswith("linux"):
        report.write("memory: shared pages can be measured on Linux only")
        return
    size = sum(file.stat().st_size for file in cache.rglob("*.npy"))
    held = shared_memory(overrides)
    for number, memory in enumerate(held, 1):
        text = ", ".join(f"{name} {value / 2**20:.1f}" for name, value in memory.items())
        report.write(f"process {number} of {len(held)}, MiB of {size / 2**20:.1f} cached: {text}")
    shares = sum(memory["proportional (PSS)"] for memory in held)
    share = shares / max(memory["resident (RSS)"] for memory in held)
    name = f"memory of the cached data in {HOLDERS} processes / in one"
    report.ratio(name, share, at_most=SHARED)


def measure(options: argparse.Namespace, report: Report) -> None:
    """Measure starts, batches and memory with a temporary cache."""
    from benchmarks.system.environment import choose_device

    source = options.source if options.source == "bundled" else str(Path(options.source).resolve())
    with tempfile.TemporaryDirectory(prefix="rnnbench-data-") as folder:
        cache = Path(folder).resolve() / "cache"
        overrides = [f"task.source={source}", f"cache_dir={cache}", f"results_dir={folder}/results"]
        overrides += [f"train.threads={options.threads}", *options.set]
        configs = [composed(*pair, *overrides) for pair in pairs(options.models, ["imdb"])]
        device = choose_device(options.device)
        measure_starts(overrides, report)
        for config in configs:
            measure_batches(config, device, options.steps, report)
        measure_memory(overrides, cache, report)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add_run_options(parser)
    parser.add_argument("--source", default="bundled", help="bundled, or a folder as task.source")
    parser.add_argument("--steps", type=int, default=30, help="of training, per model")
    parts = {"prepare": prepare, "start": start_run, "hold": hold}
    return run_benchmark("data", parser, arguments, measure, parts)


if __name__ == "__main__":
    run_script(main)

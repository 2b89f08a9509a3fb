"""The checkpoint of a run, and the code and machine it is valid for."""

from __future__ import annotations

import hashlib
import logging
import time
from functools import cache
from typing import Any

from torch import Tensor

from benchmarks import PROJECT_ROOT
from benchmarks.results.row import Row
from benchmarks.results.run_folder import RunFolder
from benchmarks.system.atomic_files import remove_drafts, set_aside
from benchmarks.system.load import ConcurrentRuns
from benchmarks.training.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from benchmarks.training.state import TrainingState

logger = logging.getLogger(__name__)

SAME_COLUMNS = ("fingerprint", "torch_version")
"""Columns that must be unchanged for a resumption; the number of threads may change."""

SOURCE_SUFFIXES = (".py", ".cpp", ".h")


@cache
def source_sha256() -> str:
    """Hash the code that determines the results of a run, the C++ of the fused kernel included."""
    sha = hashlib.sha256()
    for package in ("benchmarks", "models", "tasks"):
        for file in sorted((PROJECT_ROOT / package).rglob("*")):
            if file.suffix in SOURCE_SUFFIXES:
                sha.update(file.read_bytes())
    return sha.hexdigest()[:16]


class RunCheckpoint:
    """Read and write the checkpoint of one run.

    Args:
        folder: folder of the run.
        row: row of the run, with its configuration and environment.
        device_type: random states of another kind of device cannot be used.
        concurrent: counts the concurrent runs on this machine.
        started: start time by `time.perf_counter`.

    Attributes:
        earlier_seconds: total time of the run before this start, up to its checkpoint.
        is_kept: the checkpoint remains after the end of the run.
        finished: earlier refits of the run, which the checkpoint contains.
    """

    def __init__(
        self,
        folder: RunFolder,
        row: Row,
        device_type: str,
        concurrent: ConcurrentRuns,
        started: float,
    ) -> None:
        self.path = folder.checkpoint
        self.code = {name: getattr(row, name) for name in SAME_COLUMNS}
        self.code |= {"device_type": device_type, "source code": source_sha256()}
        self.concurrent = concurrent
        self.started = started
        self.earlier_seconds = 0.0
        self.is_kept = False
        self.finished: list[TrainingState] = []
        remove_drafts(self.path, older_than=0.0)

    @property
    def total_seconds(self) -> float:
        """Total time of the run so far, over all its starts."""
        return self.earlier_seconds + time.perf_counter() - self.started

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the checkpoint for `Trainer.restore`, or None; set an unusable one aside."""
        if not self.path.exists():
            return None
        try:
            tensors, metadata = read_checkpoint(self.path)
            for name, value in self.code.items():
                if (stored := metadata["code"].get(name)) != value:
                    raise CheckpointError(f"its {name} is {stored}, not {value}")
        except CheckpointError as error:
            aside = set_aside(self.path, "unusable")
            kept = f"kept as {aside.name}" if aside else "it is gone"
            logger.warning("%s cannot be used: %s; %s, the run restarts", self.path, error, kept)
            return None
        self.earlier_seconds = metadata["total_seconds"]
        self.concurrent.maximum = max(self.concurrent.maximum, metadata["concurrent_runs"])
        self.finished = []
        for number, plain in enumerate(metadata["finished"]):
            start = f"finished.{number}."
            weights = {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
            self.finished.append(TrainingState(**plain, best_weights=weights))
        return tensors, metadata["training"]

    def write(self, tensors: dict[str, Tensor], training: dict[str, Any]) -> None:
        """Write a checkpoint; if the disk is full, the earlier checkpoint remains."""
        plain = []
        for number, state in enumerate(self.finished):
            weights = {f"finished.{number}.{k}": t for k, t in (state.best_weights or {}).items()}
            tensors = tensors | weights
            plain.append({k: value for k, value in vars(state).items() if k != "best_weights"})
        metadata = {
            "code": self.code,
            "finished": plain,
            "total_seconds": self.total_seconds,
            "concurrent_runs": self.concurrent.maximum,
            "training": training,
        }
        write_checkpoint(self.path, tensors, metadata)

    def remove_if_obsolete(self) -> None:
        """Remove the checkpoint unless the run may resume from it."""
        if not self.is_kept:
            self.path.unlink(missing_ok=True)

"""Going on with a run that was interrupted: which one, and from where."""

from __future__ import annotations

import hashlib
import time
from functools import cache
from typing import Any

from torch import Tensor

from benchmarks import PROJECT_ROOT
from benchmarks.results.row import Row
from benchmarks.results.run_folder import RunFolder
from benchmarks.system.atomic_files import remove_drafts, set_aside
from benchmarks.system.load import Neighbours
from benchmarks.training.checkpoint import CheckpointError, read_checkpoint, write_checkpoint

CODE = ("fingerprint", "torch_version")
"""Columns that must be equal before and after; the number of threads may change, for rounding."""

SOURCES = (".py", ".cpp", ".h")
"""How the names of files with code end."""


@cache
def source_sha256() -> str:
    """Hash the code that decides a run's numbers: that of a commit, or of changes not committed.

    The fused kernel's C++ is part of it, for a run goes on with what that computed.
    """
    sha = hashlib.sha256()
    for room in ("benchmarks", "models", "tasks"):
        for file in sorted((PROJECT_ROOT / room).rglob("*")):
            if file.suffix in SOURCES:
                sha.update(file.read_bytes())
    return sha.hexdigest()[:16]


class RunCheckpoint:
    """The checkpoint of one run.

    Args:
        folder: of the run.
        row: the run's, filled with what was asked and where it runs.
        device_type: of this start; a random state of another kind of device cannot be used.
        neighbours: who count the runs on this machine.
        started: when this start began, by `time.perf_counter`.

    Attributes:
        total_seconds: of the starts before this one, as far as they count.
        is_wanted: whether the checkpoint is to outlive this start.
    """

    def __init__(
        self, folder: RunFolder, row: Row, device_type: str, neighbours: Neighbours, started: float
    ) -> None:
        self.path = folder.checkpoint
        self.code = {name: getattr(row, name) for name in CODE}
        self.code |= {"device_type": device_type, "source code": source_sha256()}
        self.neighbours = neighbours
        self.started = started
        self.total_seconds = 0.0
        self.is_wanted = False
        remove_drafts(self.path, older_than=0.0)

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the checkpoint for `Trainer.restore`, or None; a useless one is set aside."""
        if not self.path.exists():
            return None
        try:
            tensors, facts = read_checkpoint(self.path)
            for name, value in self.code.items():
                if facts["code"].get(name) != value:
                    raise CheckpointError(f"its {name} is {facts['code'].get(name)}, not {value}")
        except CheckpointError as error:
            aside = set_aside(self.path, "unusable")
            name = aside.name if aside else "nothing"
            print(f"warning: {self.path} cannot be used: {error}; kept as {name}, begun anew")
            return None
        self.total_seconds = facts["total_seconds"]
        self.neighbours.most = max(self.neighbours.most, facts["concurrent_runs"])
        return tensors, facts["training"]

    def write(self, tensors: dict[str, Tensor], training: dict[str, Any]) -> None:
        """Write a checkpoint.

        Raises:
            OSError: the disk is full; the earlier checkpoint is still there.
        """
        facts = {
            "code": self.code,
            "total_seconds": self.total_seconds + time.perf_counter() - self.started,
            "concurrent_runs": self.neighbours.most,
            "training": training,
        }
        write_checkpoint(self.path, tensors, facts)

    def finish(self) -> None:
        """Remove the checkpoint once the row is kept, unless the run may go on from it."""
        if not self.is_wanted:
            self.path.unlink(missing_ok=True)

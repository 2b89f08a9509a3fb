"""Predictions of new data by the network of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.errors import UserError
from benchmarks.runner.load_run import FinishedRun

BATCH_SIZE = 64


def answers_of(run: FinishedRun, file: Path, steps: int | None = None) -> dict[str, list[Any]]:
    """Return columns of predictions for the items of a file, in its order.

    Args:
        run: its network computes on the CPU.
        file: new data of the format of the task's data.
        steps: of a forecast, at most its horizon; None for all.

    Raises:
        UserError: the task has no predictions of new data, or not that many steps.
        tasks.base.DataError: the file cannot be used.
    """
    task, name = run.task, run.row["task"]
    horizon = getattr(run.config.task, "horizon", None)
    if steps is not None and (horizon is None or not 1 <= steps <= horizon):
        allowed = f"1 to {horizon}, the task.horizon of the run" if horizon else "forecasts only"
        raise UserError(f"--steps {steps}: not possible for this run (allowed: {allowed})")
    try:
        batches = iter(task.new_batches(str(file), BATCH_SIZE))
    except NotImplementedError as error:
        raise UserError(f"task {name} has no predictions of new data") from error
    network, _ = run.network("torch")
    columns: dict[str, list[Any]] = {}
    state = None
    with torch.inference_mode():
        for batch in batches:
            outputs, state = network(
                batch.inputs, batch.lengths, state if batch.continues else None
            )
            for column, values in task.answers(outputs, batch).items():
                columns.setdefault(column, []).extend(values)
    if not columns:
        raise UserError(f"{file}: there are no items")
    return {column: values[:steps] for column, values in columns.items()}

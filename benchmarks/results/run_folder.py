"""The folder of one run and the names of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Self

ROW = "row.json"


class RunFolder:
    """Paths of the files of one run; a file may be missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.command = path / "command.txt"
        self.config = path / "config.yaml"
        self.row = path / ROW
        self.checkpoint = path / "checkpoint.safetensors"
        self.weights = path / "weights.safetensors"
        self.history = path / "history.csv"
        self.pretraining = path / "pretraining.csv"
        self.predictions = path / "predictions.parquet"
        self.validation_predictions = path / "predictions-validation.parquet"
        self.excerpts = path / "excerpts.jsonl"
        self.sample = path / "sample.txt"
        self.export = path / "export"
        self.ensemble = path / "ensemble.json"
        self.dynamic = path / "dynamic.json"

    def predictions_of(self, split: str) -> Path:
        """Return the file of the predictions of the validation or the test split."""
        return self.predictions if split == "test" else self.validation_predictions

    def create(self) -> Self:
        """Create the folder if it does not exist."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self

"""The names of a run's files, which older results folders share."""

from __future__ import annotations

from pathlib import Path

from benchmarks.results.run_folder import RunFolder


def test_names_of_files(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "a").create()
    assert run.path.is_dir()
    names = {key: path.name for key, path in vars(run).items() if key != "path"}
    assert names == {
        "command": "command.txt",
        "config": "config.yaml",
        "row": "row.json",
        "checkpoint": "checkpoint.safetensors",
        "weights": "weights.safetensors",
        "history": "history.csv",
        "pretraining": "pretraining.csv",
        "predictions": "predictions.parquet",
        "validation_predictions": "predictions-validation.parquet",
        "excerpts": "excerpts.jsonl",
        "sample": "sample.txt",
        "export": "export",
        "ensemble": "ensemble.json",
        "dynamic": "dynamic.json",
    }

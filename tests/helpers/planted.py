"""Results folders with known contents, as runs would leave them, made without running any."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.reporting.html.figure import Figure
from benchmarks.training.predictions import write_predictions

DAYS = [str(day.date()) for day in pd.bdate_range("2024-01-02", periods=80)]
HOSTILE = "<script>alert(1)</script>"

TASKS: dict[str, dict[str, Any]] = {
    "sp500": {"metric": "rmse", "higher_is_better": False, "perfect_score": 0.0},
    "shakespeare": {"metric": "perplexity", "higher_is_better": False, "perfect_score": 1.0},
    "imdb": {
        "metric": "accuracy",
        "higher_is_better": True,
        "perfect_score": 1.0,
        "data_unit": "reviews",
    },
    "text": {
        "metric": "accuracy",
        "higher_is_better": True,
        "perfect_score": 1.0,
        "data_unit": "documents",
    },
    "forecast": {
        "metric": "rmse",
        "metric_unit": "passengers",
        "higher_is_better": False,
        "perfect_score": 0.0,
        "data_unit": "forecasts of 3 months",
    },
}


def row(task: str, model: str, seed: int | None, score: float, **columns: Any) -> dict[str, Any]:
    """A row of a table; what is not given is alike in all."""
    return {
        "run_id": f"r-{task}-{model}-{seed}".replace("/", "").replace("<", "").replace(">", ""),
        "status": "ok",
        "schema_version": 1,
        "smoke": "false",
        "task": task,
        "task_version": 1,
        "model": model,
        "model_version": 1,
        "baseline": "",
        "seed": "" if seed is None else seed,
        "hidden_size": 32 if seed is not None else "",
        "match": "hidden" if seed is not None else "",
        "parameters": 1000 + 10 * len(model),
        "dataset": "planted",
        "dataset_sha256": "d",
        "split": "70/15/15",
        "train_size": 100,
        "validation_size": 20,
        "test_size": 80,
        "val_score": score,
        "test_score": score,
        "train_seconds": 2.0 + len(model),
        "latency_ms_p50": 0.5,
        "peak_memory_mib": 3.0 + len(model),
        "concurrent_runs": 1,
        "load_average": 0.1,
        "device_name": "one",
        "threads": 1,
        "torch_version": "2",
        "arm": f"{task}-{model}",
        "overrides": "",
        **TASKS[task],
        **columns,
    }


def write(folder: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write the table of a results folder."""
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    pd.DataFrame(list(rows)).to_csv(folder / "results.csv", index=False)
    return folder


def leave_history(folder: Path, line: dict[str, Any], scores: list[float]) -> None:
    """Leave a run's learning curve: an epoch is 10 steps, 100 tokens and half a second."""
    run = folder / "runs" / line["run_id"]
    run.mkdir(parents=True, exist_ok=True)
    epochs = np.arange(1, len(scores) + 1)
    pd.DataFrame(
        {
            "epoch": epochs,
            "steps": 10 * epochs,
            "tokens": 100 * epochs,
            "train_seconds": 0.5 * epochs,
            f"validation_{line['metric']}": scores,
        }
    ).to_csv(run / "history.csv", index=False)


def leave_forecast(folder: Path, line: dict[str, Any], predicted: np.ndarray[Any, Any]) -> None:
    """Leave a run's forecasts of `closes`."""
    run = folder / "runs" / line["run_id"]
    run.mkdir(parents=True, exist_ok=True)
    last, actual = closes()
    table = {"item": np.arange(len(DAYS), dtype=np.int32), "day": DAYS, "last": last}
    pd.DataFrame({**table, "actual": actual, "predicted": predicted}).to_parquet(
        run / "predictions.parquet"
    )


def closes() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Yesterday's and today's close on each of the days."""
    series = 1000.0 + 10.0 * np.random.default_rng(1).normal(size=len(DAYS) + 1)
    return series[:-1], series[1:]


def leave_reviews(folder: Path, line: dict[str, Any], logits: list[float]) -> None:
    """Leave logits of reviews that are all positive, and as excerpts those that were got wrong."""
    run = folder / "runs" / line["run_id"]
    run.mkdir(parents=True, exist_ok=True)
    items = np.arange(len(logits), dtype=np.int32)
    table = {"item": items, "logit": np.float32(logits), "positive": [True] * len(logits)}
    pd.DataFrame(table).to_parquet(run / "predictions.parquet")
    wrong = [
        {"item": i, "logit": logit, "positive": True, "text": f"review {i}<br /><br />{HOSTILE}"}
        for i, logit in enumerate(logits)
        if logit < 0
    ]
    leave_excerpts(folder, line, wrong)


def leave_predictions(
    folder: Path,
    line: dict[str, Any],
    columns: dict[str, Any],
    classes: Sequence[str] = (),
    names: dict[str, list[str]] | None = None,
) -> None:
    """Leave predictions as a run writes them, with the names of the classes."""
    run = folder / "runs" / line["run_id"]
    run.mkdir(parents=True, exist_ok=True)
    tensors = {name: torch.as_tensor(np.asarray(values)) for name, values in columns.items()}
    items = torch.arange(len(next(iter(tensors.values()))))
    write_predictions(run / "predictions.parquet", items, tensors, names or {}, classes)


def leave_excerpts(folder: Path, line: dict[str, Any], excerpts: list[dict[str, Any]]) -> None:
    """Leave the excerpts of a run."""
    run = folder / "runs" / line["run_id"]
    run.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(each) + "\n" for each in excerpts)
    (run / "excerpts.jsonl").write_text(text, encoding="utf-8")


def leave_other_metrics(folder: Path, line: dict[str, Any], metrics: dict[str, float]) -> None:
    """Leave the row of a run with the metrics that have no column."""
    run = folder / "runs" / line["run_id"]
    run.mkdir(parents=True, exist_ok=True)
    row = line | {"other_metrics": json.dumps(metrics)}
    (run / "row.json").write_text(json.dumps(row), encoding="utf-8")


def leave_sample(folder: Path, line: dict[str, Any], text: str) -> None:
    """Leave what a run's net wrote."""
    run = folder / "runs" / line["run_id"]
    run.mkdir(parents=True, exist_ok=True)
    (run / "sample.txt").write_text(text, encoding="utf-8")


def full(folder: Path) -> Path:
    """A results folder with everything a page shows: three tasks, baselines, a search.

    On sp500 gru is far ahead of lstm, which is far ahead of the model with a hostile name; on imdb
    the baseline nbsvm is far ahead of all.
    """
    noise = np.random.default_rng(0).normal(size=(3, 3, 5))
    models = ("gru", "lstm", HOSTILE)
    rows = [
        row("sp500", "random_walk", None, 30.0, baseline="naive"),
        row("sp500", "ar", None, 29.5, baseline="classical"),
        row("shakespeare", "uniform", None, 65.0, baseline="naive"),
        row("shakespeare", "kneser_ney", None, 5.0, baseline="classical"),
        row("imdb", "majority", None, 0.5, baseline="naive"),
        row("imdb", "nbsvm", None, 0.9, baseline="classical"),
        row("sp500", "gru", 9, 1.0, smoke="true", run_id="r-smoke"),
    ]
    last, actual = closes()
    for m, model in enumerate(models):
        for seed in range(5):
            line = row("sp500", model, seed, 20 + 3 * m + 0.1 * noise[0, m, seed])
            leave_history(folder, line, [40 - m, 30 - m, 25 + m + 0.1 * seed][: 3 - seed // 4])
            leave_forecast(folder, line, last + (0.5 - 0.1 * m) * (actual - last))
            rows.append(line)
            line = row("shakespeare", model, seed, 6 + 0.5 * noise[1, m, seed])
            leave_history(folder, line, [9.0, 7.0, 6.0])
            leave_sample(folder, line, f"KING: {HOSTILE}\nI am {model}, seed {seed}.")
            rows.append(line)
            line = row("imdb", model, seed, 0.8 + 0.01 * noise[2, m, seed])
            leave_reviews(folder, line, [3.0, -1.0 - m, -4.0, 2.0])
            rows.append(line)
    for trial in range(6):
        for model in models[:2]:
            where = {"study": f"s-{model}", "trial": trial, "arm": f"t-{model}-{trial}"}
            score = 24 - trial + (model == "gru")
            rows.append(row("sp500", model, 0, score, run_id=f"r-t-{model}-{trial}", **where))
    return write(folder, rows)


def drawn(figure: Figure, **wanted: Any) -> list[dict[str, Any]]:
    """The records of a figure's layers that have these fields."""
    layers = figure.spec.get("layer", [figure.spec])
    sources = [layer["data"] for layer in layers if "data" in layer]
    sources += [{"values": v} for v in figure.spec.get("datasets", {}).values()]
    records = [record for source in sources for record in source.get("values", [])]
    assert records
    return [r for r in records if all(r.get(k) == v for k, v in wanted.items())]

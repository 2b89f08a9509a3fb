"""scripts/predict.py and `load_run`, for every kind with own data."""

from __future__ import annotations

import csv
import io
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks.errors import UserError
from benchmarks.runner.load_run import load_run
from scripts.predict import main
from tests.helpers.definitions import EXAMPLES
from tests.helpers.trained_runs import Train, refusal_of


def answers(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, str]]:
    capsys.readouterr()
    assert main([*map(str, words)]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    return refusal_of(main, capsys, *words)


def folder_of(train: Train, kind: str, tmp_path: Path) -> tuple[Path, Path]:
    """Return a run of a kind for this test alone, and its data."""
    folder = train("model=gru", f"task={kind}", f"task.data={EXAMPLES[kind]}")
    copy = tmp_path / "results" / "runs" / folder.name
    return Path(shutil.copytree(folder, copy)), EXAMPLES[kind]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_kind_predicts_its_own_file(
    kind: str, trained: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = folder_of(trained, kind, tmp_path)
    rows = answers(capsys, folder, data)
    assert rows
    if kind == "text":
        assert [row["row"] for row in rows] == [str(n + 1) for n in range(len(pd.read_csv(data)))]
    if kind == "lm":
        tokens, nats = (sum(float(row[name]) for row in rows) for name in ("tokens", "nats"))
        main([str(folder), str(data)])
        expected = f"note: in all: {tokens:,.0f} tokens, perplexity {math.exp(nats / tokens):.4g}\n"
        assert expected in capsys.readouterr().err
    if kind in ("text", "series"):
        chances = [name for name in rows[0] if name.startswith("probability of ")]
        for row in rows:
            assert sum(float(row[name]) for name in chances) == pytest.approx(1)
            most = max(chances, key=lambda name: float(row[name]))
            assert row["label"] == most.removeprefix("probability of ")


def test_answers_are_written_to_a_file(
    trained: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = folder_of(trained, "series", tmp_path)
    printed = answers(capsys, folder, data)
    out = tmp_path / "answers.csv"
    assert main([str(folder), str(data), "-o", str(out)]) == 0
    assert list(csv.DictReader(io.StringIO(out.read_text()))) == printed
    assert f"written: {out}, {len(printed)} rows" in capsys.readouterr().out


def test_mistakes_get_one_line(
    trained: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = folder_of(trained, "series", tmp_path)
    assert "nowhere: no such file" in refusal(capsys, folder, "nowhere")
    assert "there is no folder" in refusal(capsys, folder, data, "-o", tmp_path / "none" / "a.csv")
    assert "is a folder (allowed: a file)" in refusal(capsys, folder, data, "-o", tmp_path)
    assert "cannot be written (" in refusal(capsys, folder, data, "-o", "/dev/full")
    assert "allowed: forecasts only" in refusal(capsys, folder, data, "--steps", 3)
    assert "not the new place of data" in refusal(capsys, folder, data, "task.data")
    assert "task.source=x: not a path of this run's task" in refusal(
        capsys, "task.source=x", folder, data
    )
    assert "there is no such" in refusal(capsys, tmp_path / "gone", data)


def test_a_run_is_loaded_from_another_folder_although_its_path_was_relative(
    trained: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES["series"].parent)
    folder = trained("model=rnn", "task=series", f"task.data={EXAMPLES['series'].name}")
    monkeypatch.chdir(tmp_path)
    assert load_run(folder).task.data.test_size > 0


def test_the_new_place_of_moved_data_is_accepted_if_it_is_the_same_data(
    trained: Train, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.ts", tmp_path / "b.ts"
    shutil.copy(EXAMPLES["series"], first)
    folder = trained("model=rnn", "task=series", f"task.data={first}")
    first.rename(second)
    with pytest.raises(UserError, match=r"no such file; if the data was moved, add task\.data="):
        load_run(folder)
    with pytest.raises(UserError, match=r"no such file$"):
        load_run(folder, moved={"data": str(first)})
    run = load_run(folder, moved={"data": str(second)})
    network, encoder = run.network("torch")
    batch = next(run.task.batches("validation", 8))
    with torch.inference_mode():
        outputs, _ = network(batch.inputs, batch.lengths, None)
    assert outputs.isfinite().all()
    assert encoder.output_size > 0
    lines = second.read_text().splitlines()
    second.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UserError, match="the data has changed since the training"):
        load_run(folder, moved={"data": str(second)})


def test_data_of_another_task_names_the_run_that_was_chosen(
    trained: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = folder_of(trained, "forecast", tmp_path)
    capsys.readouterr()
    results = str(tmp_path / "results")
    assert main(["latest", str(EXAMPLES["text"]), "--results", results]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith(f"; latest is {folder.name}")


def test_a_run_is_found_by_the_beginning_of_its_id(trained: Train) -> None:
    folder = trained("model=gru", "task=series", f"task.data={EXAMPLES['series']}")
    found = load_run(folder.name[:-1], results=folder.parents[1])
    assert found.row["run_id"] == folder.name

"""The recipes of other libraries: their data, and the comparison with them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scripts.peers import char_language_model, compare, keras_bilstm
from scripts.perf.pairs import composed, load

FAKE = """#!{python}
import json, sys
import numpy as np
job = np.load(sys.argv[2])
settings = json.loads(str(job["settings"]))
assert sys.argv[1].endswith("keras_bilstm.py")
assert settings["epochs"] == 2 and settings["threads"] == 1 and settings["seed"] == 3
assert all(len(job[s + "_tokens"]) == job[s + "_lengths"].sum() for s in ("train", "test"))
epochs = [
    {{"versions": "Fake 1.0", "seconds": 1e6, "validation": 0.75, "test": 0.5}},
    {{"versions": "Fake 1.0", "seconds": 2e6, "validation": 0.75, "test": 0.25}},
]
print(json.dumps(epochs))
"""


def test_a_peer_and_rnnbench_side_by_side(
    reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    python.write_text(FAKE.format(python=sys.executable))
    python.chmod(0o755)
    sizes = ["model.hidden_size=4", "train.max_epochs=2", f"task.source={reviews}"]
    options = ["--threads", "1", "--epochs", "2", "--seed", "3", "--set", *sizes]
    assert compare.main(["keras_bilstm", "--python", str(python), *options]) == 0
    output = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines()[-3:]]
    # The first of two equal epochs is the best.
    assert rows[0] == ["keras_bilstm", "2", "0.75", "0.5", "1e+06"]
    assert rows[1][:2] == ["rnnbench bilstm", "2"]
    # All epochs of rnnbench lie within the seconds of the peer.
    assert rows[2][1:4] == ["2", rows[1][2], ""]


def test_keras_rows_end_with_the_last_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_bilstm, "LENGTH", 3)
    job: Any = {"test_tokens": np.arange(1, 8), "test_lengths": np.array([2, 5])}
    assert keras_bilstm.padded(job, "test").tolist() == [[0, 1, 2], [5, 6, 7]]


def epochs_of(name: str, task: Any) -> list[dict[str, Any]]:
    """Train a peer that needs torch alone for two epochs."""
    settings = {"threads": 1, "seed": 0, "epochs": 2}
    first, second = compare.peer_epochs(Path(sys.executable), name, task, settings)
    assert 0 < first["seconds"] < second["seconds"]
    assert first["versions"] == second["versions"] == f"PyTorch {torch.__version__}"
    return [first, second]


def test_the_packed_lstm_learns_labels_from_tokens(reviews: Path) -> None:
    options = [f"task.source={reviews}", "task.vocabulary_size=20"]
    task: Any = load(composed("bilstm", "imdb", *options), torch.device("cpu"))
    for documents in task.documents.values():
        lengths = documents.offsets.diff()
        documents.tokens[:] = 2 + documents.labels.long().repeat_interleave(lengths)
    _, last = epochs_of("packed_lstm", task)
    assert (last["validation"], last["test"]) == (1.0, 1.0)


def test_the_character_model_learns() -> None:
    task: Any = load(composed("lstm", "shakespeare"), torch.device("cpu"))
    task.splits = {split: ids[:400] for split, ids in task.splits.items()}
    first, _ = epochs_of("char_language_model", task)
    # The perplexity without training is near the size of the vocabulary.
    assert 1 < first["test"] < 0.7 * len(task.vocabulary.tokens)


def test_perplexity_of_a_uniform_model_is_the_vocabulary() -> None:
    model = char_language_model.LanguageModel(7)
    torch.nn.init.zeros_(model.head.weight)
    tokens = torch.arange(5000) % 7
    assert char_language_model.perplexity(model, tokens) == pytest.approx(7, rel=1e-5)


def test_closes_are_those_before_the_days_to_forecast() -> None:
    task: Any = load(composed("lstm", "sp500"), torch.device("cpu"))
    arrays, sizes = compare.closes(task)
    origins = arrays["test_origins"]
    assert (np.diff(origins) == 1).all()
    assert origins[-1] == len(arrays["closes"]) - 2  # the last day is forecast
    assert sizes["window"] == task.settings.window + 1


def test_a_missing_environment_is_one_line(
    reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--threads", "1", "--set", f"task.source={reviews}"]
    assert compare.main(["keras_bilstm", "--python", "/nowhere", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --python /nowhere: cannot be started")


def test_a_job_has_all_tokens_of_the_reviews(reviews: Path) -> None:
    options = [f"task.source={reviews}", "task.max_length=3"]
    task: Any = load(composed("lstm", "imdb", *options), torch.device("cpu"))
    arrays, sizes = compare.reviews(task)
    counts = {split: len(arrays[f"{split}_labels"]) for split in ("train", "validation", "test")}
    assert counts["train"] + counts["validation"] == 60
    assert counts["test"] == 10
    lengths = arrays["test_lengths"].tolist()
    assert sorted(lengths) == sorted(2 + 4 * (1 + i % 7) for i in range(10))
    assert len(arrays["test_tokens"]) == sum(lengths)
    assert arrays["test_labels"].sum() == 5
    assert arrays["train_tokens"].max() < sizes["vocabulary"]
    assert json.loads(json.dumps(sizes)) == {"vocabulary": task.vocabulary_size}

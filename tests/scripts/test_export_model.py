"""A run's network leaves the project: files that others can use, and what they cost."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from places import ROOT
from safetensors.torch import load_file, save_file

from benchmarks.config import checked_config, register_schemas
from benchmarks.deployment import verifying
from benchmarks.deployment.finished import FinishedRun, load_run
from benchmarks.interruption import Interruption
from benchmarks.results import Row, Store
from benchmarks.runner import Start, run
from tasks.text import UNKNOWN

Answer = Callable[..., tuple[int, str, str]]
Train = Callable[..., Path]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "export_model", ROOT / "scripts" / "export_model.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def answer(script: ModuleType, capfd: pytest.CaptureFixture[str]) -> Answer:
    """Run the script: its exit code, and what it printed on both streams."""

    def ask(*words: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = script.main([*map(str, words), "--threads", "1"])
        said = capfd.readouterr()
        return code, said.out, said.err

    return ask


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Train:
    """Train a pair, each once, for a few steps; returns its folder."""
    store = Store(tmp_path_factory.mktemp("results"))
    known: dict[tuple[str, ...], Path] = {}

    def train(*words: str) -> Path:
        if words not in known:
            register_schemas(ROOT / "conf")
            more = ["debug=smoke", "train.threads=1", "train.device=cpu", "model.kernel=torch"]
            more += [f"cache_dir={shared_cache}", f"results_dir={store.directory}"]
            with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
                config = checked_config(compose("config", overrides=[*more, *words]))
            row: Row = run(config, store, Interruption(), Start())
            assert row.status == "ok"
            known[words] = store.folder(row.run_id)
        return known[words]

    return train


@pytest.fixture
def forecaster(trained: Train, tmp_path: Path) -> Path:
    """The folder of a run on sp500, for this test alone."""
    folder = trained("model=gru", "task=sp500")
    return Path(shutil.copytree(folder, tmp_path / "results" / "runs" / folder.name))


def elsewhere(program: str, folder: Path, **given: Any) -> None:
    """Run a program that knows ONNX Runtime but neither PyTorch nor this project."""
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    whole = (
        "import json, sys\nimport numpy, onnxruntime\n"
        "given = json.load(open('given.json', encoding='utf-8'))\n"
        "known = json.load(open('inputs.json', encoding='utf-8'))\n"
        "about = known['preprocessing']\n"
        "run = onnxruntime.InferenceSession('model.onnx').run\n"
        f"{program}"
        "assert not {'torch', 'benchmarks', 'models', 'tasks'} & set(sys.modules)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", whole], cwd=folder, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


REVIEWS = """
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file('tokenizer.json')
tokenizer.encode_special_tokens = True
rows = []
for text in given['texts']:
    ids = tokenizer.encode(text).ids or [about['no_token']]
    if len(ids) > about['max_length']:
        ids = ids[:about['first']] + ids[-about['last']:]
    rows.append(ids)
lengths = numpy.array([len(ids) for ids in rows], numpy.int64)
tokens, one = (each for each in known['inputs'])
inputs = numpy.full((len(rows), lengths.max()), about['padding'], tokens['dtype'])
for row, ids in zip(inputs, rows):
    row[:len(ids)] = ids
logits = run(None, {tokens['name']: inputs, one['name']: lengths})[0]
numpy.testing.assert_allclose(logits, given['logits'], atol=1e-5)
"""


def test_reviews_are_judged_with_onnxruntime_and_tokenizers_alone(
    answer: Answer, trained: Train, tmp_path: Path
) -> None:
    folder = trained("model=bilstm", "task=imdb", "task.source=bundled", "task.max_length=50")
    code, said, _ = answer(folder, "--no-times", "--out", tmp_path)
    assert code == 0
    files = {"model.onnx", "model.int8.onnx", "model.pt2", "inputs.json", "tokenizer.json"}
    assert {path.name for path in tmp_path.iterdir()} == files
    assert said.count("written: ") == len(files)
    finished = load_run(folder)
    task: Any = finished.task
    longest = int(np.argmax(task.reviews["validation"].offsets.diff().numpy()))
    chosen = np.array([longest, 0, 1, 2])
    batch = task.reviews["validation"].batch(chosen)
    assert batch.lengths.max() == 50
    with torch.inference_mode():
        logits = finished.network("torch")[0](batch.inputs, batch.lengths)[0].tolist()
        nothing = torch.tensor([[UNKNOWN]]), torch.tensor([1])
        logits += finished.network("torch")[0](*nothing)[0].tolist()
    texts = [*task.texts["validation"].read(chosen.tolist()), " "]
    elsewhere(REVIEWS, tmp_path, texts=texts, logits=logits)


CHARACTERS = """
ids = [about['characters'].index(letter) for letter in given['text']]
names = [each['name'] for each in known['inputs'][1:]]
state = {
    each['name']: numpy.zeros([n if n != 'batch' else 1 for n in each['shape']], each['dtype'])
    for each in known['inputs'][1:]
}
nats = []
for now, following in zip(ids, ids[1:]):
    outputs, *state_now = run(None, {'inputs': numpy.array([[now]]), **state})
    state = dict(zip(names, state_now))
    logits = outputs[0, 0] - outputs.max()
    nats.append(numpy.log(numpy.exp(logits).sum()) - logits[following])
numpy.testing.assert_allclose(nats, given['nats'], atol=1e-4)
"""


@pytest.mark.parametrize("model", ["lstm", "gru"])
def test_characters_are_predicted_one_by_one_with_onnxruntime_alone(
    model: str, answer: Answer, trained: Train, tmp_path: Path
) -> None:
    folder = trained(f"model={model}", "task=shakespeare", "task.sample_chars=0")
    assert answer(folder, "--no-times", "--out", tmp_path)[0] == 0
    finished = load_run(folder)
    task: Any = finished.task
    ids = task.parts["validation"][:60]
    with torch.inference_mode():
        logits, _ = finished.network("torch")[0](ids[None, :-1])
    nats = torch.nn.functional.cross_entropy(logits[0], ids[1:], reduction="none")
    text = "".join(task.characters[i] for i in ids)
    elsewhere(CHARACTERS, tmp_path, text=text, nats=nats.tolist())


CLOSES = """
closes = numpy.array(given['closes'])
if given['target'] == 'price':
    features = ((closes - about['mean']) / about['deviation'])[-about['window']:, None]
else:
    r = numpy.log(closes[1:] / closes[:-1]) / about['deviation']
    features = numpy.stack([r, abs(r)], axis=1)[-about['window']:]
output = run(None, {'inputs': features[None].astype(known['inputs'][0]['dtype'])})[0][0]
forecast = {
    'log_return': lambda: closes[-1] * numpy.exp(output * about['deviation']),
    'price': lambda: output * about['deviation'] + about['mean'],
    'volatility': lambda: output * about['size_deviation'] + about['size_mean'],
}[given['target']]()
numpy.testing.assert_allclose(forecast, given['forecast'], rtol=1e-5)
"""


@pytest.mark.parametrize("target", ["log_return", "price", "volatility"])
def test_days_are_forecast_from_closes_with_onnxruntime_alone(
    target: str, answer: Answer, trained: Train, tmp_path: Path
) -> None:
    folder = trained("model=rnn", "task=sp500", f"task.target={target}")
    assert answer(folder, "--no-times", "--out", tmp_path)[0] == 0
    finished = load_run(folder)
    task: Any = finished.task
    kept = pd.read_parquet(folder / "predictions.parquet").iloc[3]
    day = task.bounds["test"][0] + int(kept["item"])
    closes = task.closes[day - 31 : day].tolist()
    elsewhere(CLOSES, tmp_path, closes=closes, forecast=kept["predicted"], target=target)


def test_every_form_is_scored_and_timed(answer: Answer, forecaster: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    code, said, _ = answer(forecaster, "--seconds", 0, "--csv", table)
    assert code == 0
    with table.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    row = json.loads((forecaster / "row.json").read_text())
    names = ["PyTorch", "torch.export", "ONNX Runtime", "ONNX Runtime, int8 weights"]
    found = {line["form"]: line for line in lines}
    assert {*found} - {"PyTorch, fused"} == {*names}
    assert [line["batch_size"] for line in lines] == ["1", "8", "64", "512"] * len(found)
    for line in lines:
        assert line["run_id"] == row["run_id"]
        assert 0 < float(line["latency_ms_p50"]) <= float(line["latency_ms_p95"])
        assert float(line["tokens_per_second"]) == pytest.approx(
            30 * float(line["sequences_per_second"])
        )
    # The scores are those of training's evaluation: on validation, with its bounds.
    for name in names[:3]:
        assert float(found[name]["val_score"]) == pytest.approx(row["val_score"], rel=1e-6)
    assert 0 < float(found["ONNX Runtime"]["largest_difference"]) < 1e-5
    assert found["PyTorch"]["largest_difference"] == ""
    whole, small = (float(found[name]["file_mib"]) for name in names[2:])
    size = (forecaster / "export" / "model.onnx").stat().st_size
    assert whole == size / 2**20
    text = " ".join(said.split())
    assert f"int8: {small / whole:.2f} of the file" in text
    assert "its arithmetic is float32" in text
    assert "one sequence: " in text
    assert "512 sequences at once: " in text


def test_a_page_is_given_what_was_shown(answer: Answer, forecaster: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    code, _, said = answer(forecaster, "--write", page)
    wanted = f"error: {page}: has no line <!-- export: gru on sp500 --> to write after\n"
    assert (code, said) == (2, wanted)
    assert not (forecaster / "export").exists()
    page.write_text("# A page\n<!-- export: gru on sp500 -->\nold\n<!-- end -->\nits end\n")
    changed(forecaster, overrides="train.max_epochs=2")
    code, shown, _ = answer(forecaster, "--write", page, "--seconds", 0)
    assert code == 0
    begin, first, second, *lines, fence, end, last = page.read_text().splitlines()[1:]
    assert (begin, first) == ("<!-- export: gru on sp500 -->", "```")
    assert second == "$ python run.py model=gru task=sp500 train.max_epochs=2"
    assert lines.pop(0) == "$ python scripts/export_model.py latest"
    assert (fence, end, last) == ("```", "<!-- end -->", "its end")
    printed = [line.rstrip() for line in shown.splitlines() if not line.startswith("written: ")]
    assert lines == printed


def test_what_is_not_equal_is_not_kept(
    answer: Answer, forecaster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "TOLERANCE", 1e-12)
    code, _, said = answer(forecaster, "--no-times")
    assert code == 1
    assert said.count("\n") == 1
    assert said.startswith(f"error: nothing was kept in {forecaster / 'export'}: model.onnx, ")
    assert list((forecaster / "export").iterdir()) == []


def test_a_run_is_found_by_what_it_is_called(
    answer: Answer, forecaster: Path, tmp_path: Path
) -> None:
    runs = forecaster.parent
    later = Row(run_id="29990101T-sp500-x", status="failed")
    Store(runs.parent).keep(later)

    def ask(name: str) -> str:
        code, said, wrong = answer(name, "--results", runs.parent, "--no-times")
        assert code in (0, 2)
        assert wrong.count("\n") == (code == 2)
        return said + wrong

    assert str(forecaster / "export" / "model.onnx") in ask("latest")
    assert str(forecaster / "export" / "model.onnx") in ask(forecaster.name[:12])
    assert f"there is no such run in {runs}; did you mean {forecaster.name}?" in ask(
        forecaster.name.replace("sp500", "sp50")
    )
    assert "2 runs begin like this" in ask("2")
    assert "29990101T-sp500-x: cannot be read as a run" in ask("2999")
    (tmp_path / "empty").mkdir()
    assert "there are no runs in" in answer("latest", "--results", tmp_path / "empty")[2]


def changed(folder: Path, **values: Any) -> Path:
    row = json.loads((folder / "row.json").read_text()) | values
    (folder / "row.json").write_text(json.dumps(row))
    return folder


def test_a_run_that_cannot_be_taken_is_refused(answer: Answer, forecaster: Path) -> None:
    def refused(**values: Any) -> str:
        code, _, said = answer(changed(forecaster, **values), "--no-times")
        assert code == 2
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        return said

    row = json.loads((forecaster / "row.json").read_text())
    assert "ended as interrupted" in refused(status="interrupted")
    assert "is a baseline and has no network" in refused(status="ok", baseline="naive")
    assert "its model gruu is not defined here" in refused(baseline=None, model="gruu")
    assert "other data than there is now" in refused(model="gru", dataset_sha256="0" * 64)
    (forecaster / "weights.safetensors").unlink()
    assert "weights.safetensors: cannot be read" in refused(dataset_sha256=row["dataset_sha256"])


def test_a_network_that_is_not_the_one_of_the_row_is_refused(
    answer: Answer, forecaster: Path
) -> None:
    weights = load_file(forecaster / "weights.safetensors")
    other = {name: tensor + 0.5 for name, tensor in weights.items()}
    save_file(other, forecaster / "weights.safetensors")
    code, _, said = answer(forecaster, "--seconds", 0)
    assert code == 2
    assert "code has changed since it was trained" in said


def test_a_run_of_float64_and_of_an_older_version_is_taken(
    answer: Answer, trained: Train, tmp_path: Path
) -> None:
    folder = trained("model=gru", "task=sp500", "train.dtype=float64")
    folder = Path(shutil.copytree(folder, tmp_path / folder.name))
    told = (folder / "config.yaml").read_text()
    assert "  kernel: torch\n" in told
    (folder / "config.yaml").write_text(told.replace("  kernel: torch\n", ""))
    assert answer(folder, "--no-times")[0] == 0
    finished: FinishedRun = load_run(folder)
    assert {tensor.dtype for tensor in finished.weights.values()} == {torch.float32}


def test_mistakes_are_answered_in_one_line(
    answer: Answer, forecaster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = forecaster / "row.json"
    for words, wanted in (
        (("--csv", "none/t.csv"), "error: --csv none/t.csv: there is no folder none\n"),
        (("--out", file, "--no-times"), f"error: {file}: cannot be written (File exists)\n"),
        (("--seconds", "-1"), "error: --seconds -1.0: must be a number of seconds\n"),
        (("--seconds", "nan"), "error: --seconds nan: must be a number of seconds\n"),
        (("--no-times", "--csv", "t.csv"), "error: --csv t.csv: there is nothing to write"),
        (("--no-times", "--write", "t.md"), "error: --write t.md: there is nothing to write"),
    ):
        code, _, said = answer(forecaster, *words)
        assert code == 2
        assert said.startswith(wanted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, said = answer(forecaster, "--device", "cuda")
    assert (code, said) == (
        2,
        "error: --device cuda: this machine has no such device (allowed: cpu)\n",
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, said = answer(forecaster)
    assert (code, said) == (
        2,
        "error: export needs onnx and onnxruntime: pip install -e '.[export]'\n",
    )

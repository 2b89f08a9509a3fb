"""Exported networks in programs that import neither PyTorch nor this project."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.runner.load_run import load_run
from tasks.text.tokenizer import UNKNOWN
from tests.helpers.paths import ROOT
from tests.helpers.trained_runs import RunScript, Train


def elsewhere(program: str, folder: Path, **given: Any) -> None:
    """Run a program with ONNX Runtime but without PyTorch and this project."""
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
    printed(whole, folder)


def printed(program: str, folder: Path) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def example(mark: str) -> str:
    """Return the program of docs/inference.md that contains a text."""
    page = (ROOT / "docs" / "inference.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (found,) = (program for program in programs if mark in program)
    return str(found)


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


def test_reviews_are_classified_with_onnxruntime_and_tokenizers_only(
    run_script: RunScript, trained: Train, tmp_path: Path
) -> None:
    folder = trained("model=bilstm", "task=imdb", "task.source=bundled", "task.max_length=50")
    code, output, _ = run_script(folder, "--no-times", "--out", tmp_path)
    assert code == 0
    files = {"model.onnx", "model.int8.onnx", "model.pt2", "inputs.json", "tokenizer.json"}
    assert {path.name for path in tmp_path.iterdir()} == files
    assert output.count("written: ") == len(files)
    finished = load_run(folder)
    task: Any = finished.task
    longest = int(np.argmax(task.documents["validation"].offsets.diff().numpy()))
    chosen = np.array([longest, 0, 1, 2])
    batch = task.documents["validation"].batch(chosen)
    assert batch.lengths.max() == 50
    with torch.inference_mode():
        logits = finished.network("torch")[0](batch.inputs, batch.lengths)[0].tolist()
        nothing = torch.tensor([[UNKNOWN]]), torch.tensor([1])
        logits += finished.network("torch")[0](*nothing)[0].tolist()
    texts = [*task.texts["validation"].read(chosen.tolist()), " "]
    elsewhere(REVIEWS, tmp_path, texts=texts, logits=logits)
    program = example("tokenizer.json")
    (text,) = re.findall(r'encode\((".+")\)', program)
    program = program.replace(text, json.dumps(texts[0]))
    assert float(printed(program, tmp_path).strip("[]\n")) == pytest.approx(logits[0], abs=1e-5)


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
def test_characters_are_predicted_one_by_one_with_onnxruntime_only(
    model: str, run_script: RunScript, trained: Train, tmp_path: Path
) -> None:
    folder = trained(f"model={model}", "task=shakespeare", "task.sample_chars=0")
    assert run_script(folder, "--no-times", "--out", tmp_path)[0] == 0
    finished = load_run(folder)
    task: Any = finished.task
    ids = task.splits["validation"][:60]
    with torch.inference_mode():
        logits, _ = finished.network("torch")[0](ids[None, :-1])
    nats = torch.nn.functional.cross_entropy(logits[0], ids[1:], reduction="none")
    text = "".join(task.vocabulary.tokens[i] for i in ids)
    elsewhere(CHARACTERS, tmp_path, text=text, nats=nats.tolist())


CLOSES = """
closes = numpy.array(given['closes'])[-about['closes']:]

if given['target'] == 'price':
    features = ((closes - about['mean']) / about['deviation'])[:, None]
else:
    r = numpy.log(closes[1:] / closes[:-1]) / about['deviation']
    features = numpy.stack([r, abs(r)], axis=1)
assert len(features) == about['window'] == 30
output = run(None, {'inputs': features[None].astype(known['inputs'][0]['dtype'])})[0][0]
forecast = {
    'log_return': lambda: closes[-1] * numpy.exp(output * about['deviation']),
    'price': lambda: output * about['deviation'] + about['mean'],
    'volatility': lambda: output * about['size_deviation'] + about['size_mean'],
}[given['target']]()
numpy.testing.assert_allclose(forecast, given['forecast'], rtol=1e-5)
"""


@pytest.mark.parametrize("target", ["log_return", "price", "volatility"])
def test_days_are_forecast_from_closes_with_onnxruntime_only(
    target: str, run_script: RunScript, trained: Train, tmp_path: Path
) -> None:
    folder = trained("model=rnn", "task=sp500", f"task.target={target}")
    assert run_script(folder, "--no-times", "--out", tmp_path)[0] == 0
    finished = load_run(folder)
    task: Any = finished.task
    kept = pd.read_parquet(folder / "predictions.parquet").iloc[3]
    day = int(task.origins["test"][int(kept["item"])]) + 1
    closes = task.closes[day - 40 : day].tolist()
    elsewhere(CLOSES, tmp_path, closes=closes, forecast=kept["predicted"], target=target)


def test_the_example_of_the_docs_writes_text(
    run_script: RunScript, trained: Train, tmp_path: Path
) -> None:
    folder = trained("model=lstm", "task=shakespeare", "task.sample_chars=0")
    assert run_script(folder, "--no-times", "--out", tmp_path)[0] == 0
    program = example('"characters"')
    start = json.loads(re.findall(r'^new = (".+")$', program, re.MULTILINE)[0])
    text = printed(program, tmp_path)
    finished = load_run(folder)
    characters = list(finished.task.vocabulary.tokens)  # type: ignore[attr-defined]
    ids = torch.tensor([[characters.index(letter) for letter in start + text]])
    with torch.inference_mode():
        logits = finished.network("torch")[0](ids)[0][0, len(start) - 1 : -1]
    assert len(logits) == len(text) == 200
    rng = np.random.default_rng(0)
    odds = torch.softmax(logits.double(), dim=1).numpy()
    assert "".join(rng.choice(characters, p=each) for each in odds) == text


def test_the_example_of_the_docs_forecasts_a_close(
    run_script: RunScript, trained: Train, tmp_path: Path
) -> None:
    folder = trained("model=rnn", "task=sp500", "task.target=log_return")
    assert run_script(folder, "--no-times", "--out", tmp_path)[0] == 0
    task: Any = load_run(folder).task
    kept = pd.read_parquet(folder / "predictions.parquet").iloc[3]
    day = int(task.origins["test"][int(kept["item"])]) + 1
    np.savetxt(tmp_path / "closes.txt", task.closes[:day])
    assert float(printed(example("closes.txt"), tmp_path)) == pytest.approx(
        kept["predicted"], rel=1e-6
    )

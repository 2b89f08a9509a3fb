"""The training loop computes what a bare loop does, without further work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.config.schema import TrainSettings
from benchmarks.training.optim import clip_gradients, make_optimizer, without_compiler
from scripts.perf.loop import bare_epoch, harness_epoch
from scripts.perf.pairs import composed, load, trainer_of
from tests.helpers.paths import ROOT

CPU = torch.device("cpu")


@pytest.mark.parametrize("bound", [0.1, 1e6, None])
def test_clipping_equals_that_of_torch(bound: float | None) -> None:
    torch.manual_seed(0)
    pairs = []
    for size in ((3, 4), (4,), ()):
        gradient = torch.randn(size)
        pairs.append([nn.Parameter(torch.zeros(size)) for _ in range(2)])
        for parameter in pairs[-1]:
            parameter.grad = gradient.clone()
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    ours.append(nn.Parameter(torch.zeros(2)))  # without a gradient
    norm = clip_gradients(ours, bound)
    expected = nn.utils.clip_grad_norm_(theirs, float("inf") if bound is None else bound)
    assert torch.equal(norm, expected)
    for mine, other in pairs:
        assert torch.equal(mine.grad, other.grad)
    assert (norm > 0.1).item()  # the first bound is effective


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_optimiser_equals_that_of_torch(name: str) -> None:
    settings = TrainSettings(optimizer=name, weight_decay=0.1)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    torch.manual_seed(0)
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    options = {"betas": (0.9, settings.beta2), "weight_decay": 0.1, "fused": True}
    mine = make_optimizer(ours, settings, 0.01, CPU)
    other = kind(theirs.parameters(), lr=0.01, **options)
    for _ in range(3):
        inputs = torch.randn(4, 3)
        for network, optimizer in ((ours, mine), (theirs, other)):
            optimizer.zero_grad()
            network(inputs).square().sum().backward()
            optimizer.step()
    for one, another in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, another)
        assert one.requires_grad
    assert mine.state_dict().keys() == other.state_dict().keys()
    assert type(mine).__name__ == kind.__name__


def test_an_unwrapped_optimiser_steps_without_recording_gradients() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = without_compiler(torch.optim.Adam)([weight], lr=0.1, fused=True)
    weight.grad = torch.ones(2)
    optimizer.step()  # fails on a leaf that requires a gradient
    assert (weight < 1).all()
    assert weight.is_leaf


@pytest.mark.parametrize(("model", "task"), [("lstm", "sp500"), ("gru", "shakespeare")])
def test_the_bare_loop_ends_in_the_same_weights(model: str, task: str) -> None:
    config = composed(model, task, "model.hidden_size=8", "train.batch_size=16", "train.threads=1")
    loaded = load(config, CPU)
    weights = []
    for epoch in (bare_epoch, harness_epoch):
        trainer = trainer_of(config, loaded, CPU)
        torch.manual_seed(1)
        epoch(trainer, 5)
        weights.append(trainer.network.state_dict())
        begun = trainer_of(config, loaded, CPU).network.state_dict()
        assert any(not torch.equal(weights[-1][name], begun[name]) for name in begun)
    for name in weights[0]:
        assert torch.equal(weights[0][name], weights[1][name]), name


def test_a_run_never_imports_the_compiler(tmp_path: Path) -> None:
    """The import takes more than a second, which would count as the first step."""
    program = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_path('run.py', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "late = {'torch._dynamo', 'torch._inductor'} & set(sys.modules)\n"
        "assert not late, late\n"
    )
    small = ["model=lstm", "task=sp500", "debug=smoke", "train.threads=1"]
    ended = subprocess.run(
        [sys.executable, "-c", program, *small, f"results_dir={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr

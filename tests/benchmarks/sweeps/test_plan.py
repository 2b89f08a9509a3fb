"""Cells composed from shared parts equal those that Hydra composes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hydra import compose
from omegaconf.errors import OmegaConfBaseException

import benchmarks.config.compose
from benchmarks.config.compose import CellComposer
from benchmarks.config.schema import Config
from benchmarks.config.validation import ImpossiblePairError, checked_config
from benchmarks.errors import UserError
from benchmarks.sweeps.directory import SweepDirectory
from benchmarks.sweeps.plan import left_out_lines

FIXED = ["task=sp500", "train.max_epochs=3"]


pytestmark = pytest.mark.usefixtures("hydra")


def by_hydra(chosen: list[str]) -> Config:
    return checked_config(compose("config", overrides=[*FIXED, *chosen]))


CELLS = [
    ["model=gru"],
    ["model=gru", "seed=7"],
    ["model=lstm", "seed=7", "train.learning_rate=3e-3"],
    ["model=lstm", "seed=7", "train.learning_rate=1", "train.clip_norm=null"],
    ["model=lstm", "train.learning_rate=1", "train.clip_norm=0.5", "seed=8"],
    ["model=bigru", "model.hidden_size=12", "model.num_layers=2"],
    ["model=rnn", "smoke=true", "train.optimizer=adamw"],
    ["model=rnn", "train={batch_size: 8, patience: 2}", "train.beta2=0.9"],
    ["model=rnn", "train.batch_size=${seed}", "seed=5"],
    ["model=rnn", "model.bidirectional=true", "debug=smoke"],
    ["train.learning_rate=0.25", "model.hidden_size=3", "task=shakespeare"],
]


@pytest.mark.parametrize("order", [1, -1])
def test_cells_are_what_hydra_composes(order: int) -> None:
    composer = CellComposer(FIXED)
    for chosen in [*CELLS, *CELLS][::order]:
        config = composer.compose(chosen)
        assert config == by_hydra(chosen), chosen
        # Equal is not enough: 1 == 1.0 == True, and their fingerprints differ.
        assert repr(config) == repr(by_hydra(chosen))


def test_cells_that_differ_in_values_are_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    composer = CellComposer(FIXED)
    composer.compose(["model=gru", "seed=0"])

    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("composed again")

    monkeypatch.setattr(benchmarks.config.compose, "compose", fail)
    monkeypatch.setattr(benchmarks.config.compose, "checked_config", fail)
    found = [composer.compose(["model=gru", "train.beta2=0.5", f"seed={n}"]) for n in range(3)]
    assert [config.seed for config in found] == [0, 1, 2]
    assert found[0].train is found[2].train  # a hundred thousand cells must fit into memory


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        (["model=gru", "seed=-1"], "seed=-1: must be"),
        (["model=gru", "train.beta2=1.5"], "train.beta2=1.5: must be"),
        (["model=gru", "train.beta2=nan"], "train.beta2=nan: must be"),
        (["model=gru", "train.betatwo=0.5"], "betatwo"),
        (["model=gru", "train.beta2=much"], "much"),
        (["seed=1"], ""),
    ],
)
def test_mistakes_are_found_in_any_cell(chosen: list[str], named: str) -> None:
    composer = CellComposer(FIXED)
    composer.compose(["model=gru", "seed=1", "train.beta2=0.9"])
    for _ in range(2):
        if not named:  # the default model
            assert composer.compose(chosen) == by_hydra(chosen)
            continue
        with pytest.raises((UserError, OmegaConfBaseException), match=named):
            composer.compose(chosen)


def test_a_forbidden_combination_of_values_is_found() -> None:
    composer = CellComposer(["task=shakespeare"])
    composer.compose(["model=gru", "model.bidirectional=false", "seed=1"])
    with pytest.raises(ImpossiblePairError):
        composer.compose(["model=gru", "model.bidirectional=true", "seed=1"])
    with pytest.raises(ImpossiblePairError):
        composer.compose(["model=bigru", "seed=1"])
    # What is wrong alone may be right together.
    assert composer.compose(["model=bigru", "model.bidirectional=false", "seed=1"]).seed == 1


@pytest.mark.parametrize("cells", [1, 2, 3, 50])
@pytest.mark.parametrize("in_order", [True, False])
def test_a_job_finds_its_cell(
    cells: int, in_order: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SweepDirectory(tmp_path)
    rng = random.Random(0)
    plain = {"overrides": [], "fingerprints": ["f"], "log": "é", "study": None, "trial": None}
    lines = [
        json.dumps({"number": 2 * n, "label": "x" * rng.randrange(300)} | plain) + "\n"
        for n in range(cells)
    ]
    if not in_order:
        rng.shuffle(lines)
    folder.cells_path.write_text("".join(lines) + '{"number": 3, "label": "torn')
    with pytest.raises(StopIteration):
        folder.record(3)
    if in_order:  # then it is found without reading them all
        monkeypatch.setattr(SweepDirectory, "records", None)
    for n in range(cells):
        assert folder.record(2 * n).number == 2 * n


def test_equal_reasons_get_one_line_without_the_seeds() -> None:
    arms = [("dtw_1nn", seed) for seed in (0, 1)] + [("minirocket_ridge", seed) for seed in (0, 1)]
    found = [
        (
            f"model=baseline seed={seed} model.baseline={name}",
            f"model.baseline={name}: requires aeon: pip install x",
        )
        for name, seed in arms
    ]
    found += [(f"seed={seed}", "model=bilstm reads backwards") for seed in (0, 1)]
    assert left_out_lines(found) == [
        "left out: model.baseline=dtw_1nn; model.baseline=minirocket_ridge: requires aeon: "
        "pip install x",
        "left out: every cell: model=bilstm reads backwards",
    ]

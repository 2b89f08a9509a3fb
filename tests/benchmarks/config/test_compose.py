"""Cells equal what Hydra itself would compose, and all are checked before any runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from benchmarks.config.compose import CellComposer, sweep_axes
from benchmarks.config.schema import Config
from benchmarks.config.validation import ImpossiblePairError, checked_config
from benchmarks.errors import UserError
from benchmarks.sweeps.plan import make_plan
from tasks.base import DataDescription, DataError
from tests.helpers.plans import data, on_cpu, plan_of

pytestmark = pytest.mark.usefixtures("hydra")


def ours(overrides: list[str]) -> list[Config]:
    axes = sweep_axes(overrides)
    composer = CellComposer(axes.fixed)
    return [composer.compose(chosen) for chosen in axes.cells()]


def parsed_by_hydra(overrides: list[str]) -> list[list[str]]:
    """Return the command lines of the jobs that Hydra's own sweeper would run."""
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    (jobs,) = BasicSweeper.split_arguments(parser.parse_overrides(overrides), None)
    return [list(job) for job in jobs]


def hydras(overrides: list[str]) -> list[Config]:
    jobs = parsed_by_hydra(overrides)
    return [checked_config(compose("config", overrides=job)) for job in jobs]


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        (["task=sp500"], 1),
        (["task=sp500", "seed=0,1,2"], 3),
        (["seed=1,0", "model=rnn,gru", "task=sp500"], 4),
        (["model=rnn,lstm", "task=sp500,shakespeare", "seed=range(0,2)"], 8),
        (["task=sp500,shakespeare", "model.hidden_size=8,16"], 4),
        (["task=sp500,imdb", "model=bigru", "train.max_epochs=3"], 2),
        (["task=sp500", "train.learning_rate=1e-3,3e-4,1"], 3),
        (["task=sp500", "train.patience=null,3", "train.deterministic=true,false"], 4),
        (["task=sp500", "model.bidirectional=yes,off", "model.dropout=0,0.5"], 4),
        (["task=sp500", "seed=choice(4,2)", "train.batch_size=range(8,25,8)"], 6),
        (["task=sp500", "seed=shuffle(range(5))"], 5),
        (["model=glob(bi*)", "task=sp500"], 4),
        (["task=sp500", "debug=smoke", "train.max_steps=5,6"], 2),
        (["task=sp500", "++model.hidden_size=8,16", "++seed=1,2"], 4),
        (["task=sp500", "~debug", "seed=3"], 1),
        (["task=sp500", "model={hidden_size:8,dropout:0.1}", "model.num_layers=1,2"], 2),
        (["task=sp500", "train.batch_size=8,16", "train.evaluation_batch_size='9','10'"], 4),
        (["task=sp500", "model.hidden_size=${seed},8", "seed=5,6"], 4),
        (["task=sp500", "train.max_steps=${train.batch_size}", "train.batch_size=5,6"], 2),
        (["task=sp500", "task.start='2016-01-04','2017-01-03'", "task.end=2020-12-31"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_cells_are_those_of_hydra_in_its_order(overrides: list[str], count: int) -> None:
    found = ours(overrides)
    if "shuffle" in str(overrides):
        assert sorted(config.seed for config in found) == [0, 1, 2, 3, 4]
        return
    assert found == hydras(overrides)
    assert len(found) == count
    types = [type(value) for config in found for value in vars(config.train).values()]
    expected = [
        type(value) for config in hydras(overrides) for value in vars(config.train).values()
    ]
    assert types == expected  # 1 is equal to 1.0, and makes another fingerprint


def test_values_may_have_commas_quotes_and_spaces(tmp_path: Path) -> None:
    names = ["a,b.csv", "c d.csv", "e=f.csv", "it's.csv", "#x.csv"]
    for name in names:
        (tmp_path / name).touch()
    quoted = ",".join("'" + str(tmp_path / name).replace("'", r"\'") + "'" for name in names)
    overrides = ["task=sp500", f"task.csv={quoted}", "seed=0,1"]
    found = ours(overrides)
    assert found == hydras(overrides)
    assert [Path(c.task.csv).name for c in found[::2]] == names  # type: ignore[attr-defined]
    # A cell's own command line, which a cluster's job composes again, gives it again.
    axes = sweep_axes(overrides)
    assert [CellComposer([]).compose([*axes.fixed, *chosen]) for chosen in axes.cells()] == found


def test_cells_share_no_mutable_state(tmp_path: Path) -> None:
    """Each cell is the same, whichever cells were composed before."""
    overrides = ["task=sp500", "model.hidden_size=8,16", "train.batch_size=4,5", "seed=0,1"]
    axes = sweep_axes(overrides)
    alone = [CellComposer(axes.fixed).compose(chosen) for chosen in axes.cells()]
    composer = CellComposer(axes.fixed)
    for chosen in reversed([*axes.cells()]):
        composer.compose(chosen)
    assert [composer.compose(chosen) for chosen in axes.cells()] == alone


EXPERIMENT = """\
# @package _global_
model: {dropout: 0.25}
train: {max_epochs: 2}
hydra:
  sweeper:
    params: {model: "rnn,gru", task: sp500, seed: "range(0,2)", train.batch_size: 8}
"""
PARAMS = ["model=rnn,gru", "task=sp500", "seed=range(0,2)", "train.batch_size=8"]


@pytest.fixture
def experiment(tmp_path: Path) -> list[str]:
    folder = tmp_path / "own conf"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "mine.yaml").write_text(EXPERIMENT)
    return [f"hydra.searchpath=['file://{folder}']", "experiment=mine"]


def test_an_experiment_lists_its_cells(experiment: list[str]) -> None:
    found = ours(experiment)
    assert found == hydras([*PARAMS, *experiment])
    assert len(found) == 4
    assert {config.model.dropout for config in found} == {0.25}


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        (["seed=7"], ["model=rnn,gru", "task=sp500", "train.batch_size=8", "seed=7"]),
        (
            ["model=lstm", "train.batch_size=4,5", "task=shakespeare"],
            ["model=lstm", "task=shakespeare", "seed=range(0,2)", "train.batch_size=4,5"],
        ),
        (
            ["train.max_epochs=1,3"],
            [*PARAMS, "train.max_epochs=1,3"],
        ),
    ],
    ids=["one value", "others", "more"],
)
def test_the_command_line_wins_over_an_experiment(
    given: list[str], merged: list[str], experiment: list[str]
) -> None:
    assert ours([*experiment, *given]) == hydras([*merged, *experiment])


@pytest.mark.parametrize("key", ["results_dir", "cache_dir", "resume", "hydra/launcher"])
def test_a_sweep_has_one_value_of_some_keys(key: str) -> None:
    with pytest.raises(UserError, match=f"{key}=basic,local: must have a single value in a sweep"):
        sweep_axes(["task=sp500", f"{key}=basic,local"])


def test_an_interval_is_for_a_search() -> None:
    with pytest.raises(UserError, match=re.escape("seed=interval(0,1): a sweep takes lists")):
        sweep_axes(["task=sp500", "seed=interval(0,1)"])


# Plans


@pytest.mark.parametrize(
    "wrong",
    [
        "seed=0,1,two",
        "seed=0,1,-1",
        "train.batch_size=8,16,0",
        "model.hidden_size=8,1.5",
        "model=rnn,lstm,lsmt",
        "model.dropout=0.1,1.0",
        "train.optimizer=adam,adamv",
        "+foo=1,2",
        "model.hiden_size=1,2",
        "task.csv=null,/nope",
        "resume=later",
    ],
)
def test_no_data_is_read_before_all_cells_were_checked(wrong: str, tmp_path: Path) -> None:
    read: list[str] = []

    def describe(config: Config) -> DataDescription:
        read.append(config.task.name)
        return data(config)

    with pytest.raises((UserError, DataError, HydraException, OmegaConfBaseException)):
        make_plan(
            sweep_axes(["task=sp500", wrong, f"results_dir={tmp_path / 'r'}"]), describe, on_cpu
        )
    assert read == []
    assert [*tmp_path.iterdir()] == []


def test_the_results_directory_is_checked_before_data_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def describe(config: Config) -> DataDescription:
        pytest.fail("was read")

    axes = sweep_axes(["task=sp500", "seed=0,1", f"results_dir={tmp_path / 'file' / 'below'}"])
    with pytest.raises(UserError, match="cannot be written to"):
        make_plan(axes, describe, on_cpu)


def test_impossible_pairs_are_left_out_with_a_reason(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "task=sp500,shakespeare", "model=bigru,gru")
    assert [cell.label for cell in plan.cells] == [
        "task=sp500 model=bigru",
        "task=sp500 model=gru",
        "task=shakespeare model=gru",
    ]
    assert [cell.number for cell in plan.cells] == [0, 1, 2]
    ((label, reason),) = plan.left_out
    assert label == "task=shakespeare model=bigru"
    assert "would see the steps" in reason
    with pytest.raises(UserError, match="no cells to run: model=bigru"):
        plan_of(tmp_path, "task=shakespeare", "model=bigru,bilstm")
    with pytest.raises(ImpossiblePairError):
        ours(["task=shakespeare", "model=bigru"])


def test_equal_configurations_are_one_cell(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "task=sp500", "seed=0,1,0", "train.threads=1,2")
    assert [cell.config.seed for cell in plan.cells] == [0, 1]


def test_the_sweep_id_depends_on_the_cells(tmp_path: Path) -> None:
    first = plan_of(tmp_path, "task=sp500", "seed=0,1")
    assert plan_of(tmp_path, "seed=0,1", "task=sp500", "train.threads=2").sweep_id == first.sweep_id
    # Cluster jobs identify their cell by its number.
    assert plan_of(tmp_path, "task=sp500", "seed=1,0").sweep_id != first.sweep_id
    assert plan_of(tmp_path, "task=sp500", "seed=0,2").sweep_id != first.sweep_id
    assert plan_of(tmp_path, "task=sp500", "seed=0").sweep_id != first.sweep_id


def test_the_label_of_a_cell_is_a_file_name(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "task=sp500", "model={hidden_size:8},{hidden_size:9}", "seed=0,1")
    names = [cell.log_name for cell in plan.cells]
    assert len(set(names)) == 4
    assert not [name for name in names if re.search(r"[^\w=.,-]", name)]

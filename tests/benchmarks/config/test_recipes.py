"""Recipes: values per task and model, what overrides them, and experiments built on them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hydra import compose
from omegaconf import OmegaConf

from benchmarks.config.compose import CellComposer, compose_run, recipe_value, sweep_axes
from benchmarks.config.fingerprint import arm, fingerprint
from benchmarks.config.help import help_text, options, recipes
from benchmarks.config.schema import Config
from benchmarks.config.validation import ImpossiblePairError, checked_config
from benchmarks.errors import UserError
from benchmarks.runner.row_columns import configuration_columns, effective_overrides
from benchmarks.sweeps.plan import left_out_lines
from tasks.base import DataDescription
from tests.helpers.definitions import EXAMPLES
from tests.helpers.paths import ROOT
from tests.helpers.plans import plan_of

CONF = ROOT / "conf"
DATA = DataDescription("toy", "ab" * 32, "in order", 8, 1, 1, "numbers")
TASKS = ("imdb", "shakespeare", "sp500")
MODELS = ("rnn", "lstm", "gru", "birnn", "bilstm", "bigru")
PAIRS = [(m, t) for t in TASKS for m in MODELS if t != "shakespeare" or not m.startswith("bi")]


pytestmark = pytest.mark.usefixtures("hydra")


def values_of(file: Path) -> dict[str, object]:
    """Return the keys that a file of a recipe sets, with their values."""
    content = OmegaConf.to_container(OmegaConf.load(file)) if file.exists() else {}
    assert isinstance(content, dict)
    return {
        f"{part}.{key}": value
        for part in ("model", "train", "task")
        for key, value in content.get(part, {}).items()
    }


def settings_of(config: Config) -> dict[str, object]:
    return {
        f"{part}.{key}": value
        for part in ("model", "train", "task")
        for key, value in vars(getattr(config, part)).items()
    }


@pytest.mark.parametrize(("model", "task"), PAIRS)
def test_a_recipe_changes_the_keys_of_its_files_alone(model: str, task: str) -> None:
    folder = CONF / "recipe" / "strong"
    own = values_of(folder / f"{task}.yaml") | values_of(folder / task / f"{model}.yaml")
    default = compose_run([f"model={model}", f"task={task}"])
    strong = compose_run([f"model={model}", f"task={task}", "recipe=strong"])
    of_default = {*values_of(CONF / "recipe" / "default" / task / f"{model}.yaml")} - {*own}
    found, expected = settings_of(strong), settings_of(default) | own
    assert found.keys() == expected.keys()
    assert {key for key in found if found[key] != expected[key]} == of_default
    assert own
    assert (default.recipe, strong.recipe) == ("default", "strong")


def test_every_file_of_a_recipe_belongs_to_a_task_and_a_model() -> None:
    assert recipes() == {"strong": list(TASKS)}
    files = sorted(CONF.glob("recipe/strong/*/*.yaml"))
    assert files
    for file in files:
        assert file.parent.name in TASKS
        assert file.stem in options("model")


@pytest.mark.parametrize("task", sorted({*options("task")} - {*TASKS}))
def test_a_task_without_the_recipe_is_refused_in_one_line(task: str) -> None:
    given = [f"task={task}", f"task.data='{EXAMPLES[task]}'", "recipe=strong"]
    with pytest.raises(ImpossiblePairError) as refused:
        compose_run(given)
    assert str(refused.value) == (
        f"recipe: task={task} has only recipe=default "
        "(recipe=strong is for imdb, shakespeare, sp500)"
    )


def test_the_command_line_and_experiments_win_over_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "experiment" / "mine").mkdir(parents=True)
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /recipe: strong\n"
        "model: {dropout: 0.25}\ntrain: {max_epochs: 3}\n"
    )
    (tmp_path / "experiment" / "mine" / "imdb.yaml").write_text(
        "# @package _global_\ntrain: {max_epochs: 2}\n"
    )
    search = f"hydra.searchpath=['file://{tmp_path}']"
    given = [search, "experiment=mine", "model=gru", "train.beta2=0.5"]
    imdb, sp500 = compose_run(given), compose_run([*given, "task=sp500"])
    assert (imdb.recipe, imdb.model.hidden_size, imdb.model.dropout) == ("strong", 224, 0.25)
    assert (imdb.train.max_epochs, sp500.train.max_epochs, imdb.train.beta2) == (2, 3, 0.5)
    assert compose_run([*given, "recipe=default"]).model.hidden_size == 128
    smoke = compose_run(["model=gru", "recipe=strong", "debug=smoke", "train.max_epochs=4"])
    assert (smoke.model.hidden_size, smoke.train.max_epochs) == (8, 4)


def test_a_user_may_add_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe" / "mine").mkdir(parents=True)
    (tmp_path / "recipe" / "mine.yaml").write_text("# @package _global_\nrecipe: null\n")
    (tmp_path / "recipe" / "mine" / "sp500.yaml").write_text(
        "# @package _global_\nrecipe: mine\nmodel: {hidden_size: 7}\n"
    )
    given = [f"hydra.searchpath=['file://{tmp_path}']", "recipe=mine"]
    config = compose_run([*given, "task=sp500"])
    assert (config.recipe, config.model.hidden_size) == ("mine", 7)
    with pytest.raises(ImpossiblePairError, match="task=imdb has only recipe=default"):
        compose_run(given)


def test_a_sweep_over_recipes_is_what_hydra_composes() -> None:
    axes = sweep_axes(["recipe=default,strong", "model=gru,rnn", "task=sp500,imdb", "seed=0,1"])
    composer = CellComposer(axes.fixed)
    cells = [*axes.cells()]
    assert len(cells) == 16
    for chosen in cells:
        expected = checked_config(compose("config", overrides=chosen))
        assert repr(composer.compose(chosen)) == repr(expected)


def test_the_row_names_the_recipe_and_what_was_overridden() -> None:
    given = ["model=lstm", "task=imdb", "recipe=strong", "model.dropout=0.1", "seed=3"]
    config = compose_run(given)
    assert configuration_columns(config)["recipe"] == "strong"
    assert effective_overrides(config, given) == "model.dropout=0.1"
    assert configuration_columns(compose_run([]))["recipe"] == "default"


def test_the_values_of_a_recipe_enter_the_fingerprint_and_its_name_does_not() -> None:
    default = compose_run(["model=gru", "task=sp500"])
    strong = compose_run(["model=gru", "task=sp500", "recipe=strong"])
    by_hand = ["model=gru", "task=sp500", "model.hidden_size=16", "model.dropout=0.2"]
    assert arm(strong, DATA) != arm(default, DATA)
    assert arm(strong, DATA) == arm(compose_run(by_hand), DATA)


def test_a_run_without_test_is_another_arm() -> None:
    prints = [
        fingerprint(compose_run(["task=sp500", *more]), DATA, "cpu")
        for more in ([], ["train.test=true"], ["train.test=false"])
    ]
    assert prints[0] == prints[1] != prints[2]


def test_the_help_lists_the_recipes() -> None:
    assert "recipe=     default | strong" in help_text(CONF)


def test_the_value_of_a_recipe() -> None:
    groups = {"model": "rnn", "task": "imdb", "recipe": "strong"}
    assert recipe_value("train.clip_norm", groups) == 0.5
    assert recipe_value("train.clip_norm", groups | {"model": "gru"}) == 1.0
    assert recipe_value("train.patience", groups) is None
    assert recipe_value("seed", groups) == 0
    for key, model in (("train.nope", "rnn"), ("nope.clip_norm", "rnn"), ("seed", "nope")):
        with pytest.raises(UserError, match=f"{key}: has no value for model={model} task=imdb"):
            recipe_value(key, groups | {"model": model})


@pytest.mark.parametrize("recipe", ["default", "strong"])
@pytest.mark.parametrize(("name", "source"), [("headline", "auto"), ("headline_small", "bundled")])
def test_the_headline_has_all_models_and_baselines(
    name: str, source: str, recipe: str, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, f"experiment={name}", f"recipe={recipe}")
    configs = [cell.config for cell in plan.cells]
    nets = Counter((c.model.label, c.task.name) for c in configs if c.model.label in MODELS)
    assert nets == dict.fromkeys(PAIRS, 5)
    assert {getattr(c.task, "source", source) for c in configs} == {source}
    assert {c.recipe for c in configs} == {recipe}
    seeded = Counter(c.model.label for c in configs if c.model.label not in MODELS)
    expected = {
        (label, 5 if known.is_seeded else 1)
        for c in configs
        for label, known in c.task.baselines().items()
    }
    assert {*seeded.items()} == expected
    assert [label for label, _ in plan.left_out] == [
        f"model={model} task=shakespeare seed={seed}"
        for model in ("birnn", "bilstm", "bigru")
        for seed in range(5)
    ]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("learning_rate", "model.learning_rate_factor"),
        ("width", "model.hidden_size"),
        ("dropout", "model.dropout"),
        ("clipping", "train.clip_norm"),
    ],
)
def test_a_grid_has_the_same_values_for_every_model(name: str, key: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"experiment=tune_{name}", "recipe=strong")
    section, _, field = key.partition(".")
    values = Counter(
        (c.config.model.label, c.config.task.name, getattr(getattr(c.config, section), field))
        for c in plan.cells
    )
    assert {*values.values()} == {3}
    grids = {
        (model, task): [v for m, t, v in values if (m, t) == (model, task)]
        for model in ("rnn", "lstm", "gru")
        for task in TASKS
    }
    assert len({tuple(grid) for grid in grids.values()}) == 1
    assert 4 <= len(next(iter(grids.values()))) <= 6
    assert {cell.config.train.test for cell in plan.cells} == {False}


def test_the_grid_of_learning_rates_contains_every_recipes_own() -> None:
    (grid,) = [
        {float(value.partition("=")[2]) for value in values}
        for values in sweep_axes(["experiment=tune_learning_rate"]).values
        if values[0].startswith("model.learning_rate_factor=")
    ]
    for recipe in ("default", "strong"):
        for model, task in PAIRS:
            groups = {"model": model, "task": task, "recipe": recipe}
            assert recipe_value("model.learning_rate_factor", groups) in grid


def test_a_task_without_the_recipe_is_left_out_of_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "experiment" / "mine").mkdir(parents=True)
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: "
        '{task: "sp500,series", recipe: "default,strong", seed: "0,1"}}}\n'
    )
    (tmp_path / "experiment" / "mine" / "series.yaml").write_text(
        f"# @package _global_\ntask: {{data: '{EXAMPLES['series']}'}}\n"
    )
    search = f"hydra.searchpath=['file://{tmp_path}']"
    plan = plan_of(tmp_path / "results", search, "experiment=mine", "model=gru")
    found = Counter((cell.config.task.name, cell.config.recipe) for cell in plan.cells)
    assert found == {("sp500", "default"): 2, ("sp500", "strong"): 2, ("series", "default"): 2}
    labels = [label for label, _ in plan.left_out]
    assert labels == ["task=series recipe=strong seed=0", "task=series recipe=strong seed=1"]
    (line,) = left_out_lines(plan.left_out)
    text = "left out: task=series recipe=strong: recipe: task=series has only recipe=default"
    assert line.startswith(text)

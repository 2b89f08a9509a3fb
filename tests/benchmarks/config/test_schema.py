"""Ranges are enforced, and the fingerprint depends on what can change a score."""

from __future__ import annotations

import csv
import dataclasses
import math
import re
import typing
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

import models
import tasks
from benchmarks.config.fingerprint import arm, fingerprint, identity
from benchmarks.config.registry import definitions, register_schemas
from benchmarks.config.schema import Config, MatchSettings, TrainSettings
from benchmarks.config.validation import allowed_text, checked_config, is_allowed
from benchmarks.errors import UserError, nearest
from models.base import ModelSettings, setting
from models.baseline import BaselineSettings
from models.recurrent import RecurrentSettings
from tasks.base import DataDescription, TaskSettings
from tasks.imdb import ImdbSettings
from tasks.shakespeare import ShakespeareSettings
from tasks.sp500 import Sp500Settings

CONF = Path(__file__).resolve().parents[3] / "conf"
DATA = DataDescription("reviews", "ab" * 32, "in order", 8, 1, 1, "reviews")
SECTIONS: dict[type, str] = {
    Config: "",
    TrainSettings: "train.",
    MatchSettings: "match.",
    RecurrentSettings: "model.",
    ImdbSettings: "task.",
    ShakespeareSettings: "task.",
    Sp500Settings: "task.",
}


def composed(*overrides: str) -> Config:
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return checked_config(compose("config", overrides=list(overrides)))


def published_runs() -> list[dict[str, str]]:
    """Return a row of each network with its default recipe."""
    rows = []
    for name in ("imdb-full.csv", "headline-small.csv"):
        table = CONF.parent / "results" / "published" / name
        with table.open(newline="", encoding="utf-8") as file:
            rows += [row for row in csv.DictReader(file) if row["seed"] == "0"]
    return [row for row in rows if not row["baseline"]]


def hash_of(*overrides: str, data: DataDescription = DATA, device_type: str = "cpu") -> str:
    return fingerprint(composed(*overrides), data, device_type)


def values_beyond_bounds() -> list[Any]:
    """For every bounded number of every settings dataclass, a value just beyond each bound."""
    found = []
    for settings, section in SECTIONS.items():
        for entry in dataclasses.fields(settings):
            limits = entry.metadata
            beyond = [limits["minimum"] - 1] if "minimum" in limits else []
            beyond += [limits[name] for name in ("above", "below") if name in limits]
            task = settings.name if issubclass(settings, TaskSettings) else "imdb"
            written = "[0, {}]" if "list" in str(entry.type) else "{}"
            found += [(task, f"{section}{entry.name}={written.format(v)}") for v in beyond]
    return found


@pytest.mark.parametrize(("task", "override"), values_beyond_bounds())
def test_what_lies_beyond_a_bound_is_refused(task: str, override: str) -> None:
    with pytest.raises(UserError) as refused:
        composed(f"task={task}", override)
    assert str(refused.value).startswith(f"{override}: must be ")


@pytest.mark.parametrize("settings", SECTIONS)
def test_every_whole_number_has_a_minimum_and_every_field_its_help(settings: type) -> None:
    for entry in dataclasses.fields(settings):
        if dataclasses.is_dataclass(typing.get_type_hints(settings)[entry.name]):
            continue
        assert entry.metadata["help"], entry.name
        if "int" in str(entry.type):
            assert "minimum" in entry.metadata, entry.name
        if "choices" in entry.metadata:
            is_optional = "None" in str(entry.type) and entry.default is None
            assert is_optional or entry.default in entry.metadata["choices"]


@pytest.mark.parametrize(
    ("limits", "text", "allowed", "refused"),
    [
        ({"minimum": 1}, "at least 1", [1, 7], [0, -1]),
        ({"above": 0.0}, "above 0.0", [1e-9], [0.0, -1.0]),
        ({"minimum": 0.0, "below": 1.0}, "at least 0.0 and below 1.0", [0.0, 0.99], [1.0, -0.1]),
        ({"choices": ("a", "b")}, "one of a, b", ["a"], ["c", "A"]),
        ({}, "a finite number", [0.0, -3.0], [math.nan, math.inf, -math.inf]),
    ],
)
def test_limits_mean_what_they_say(
    limits: dict[str, Any], text: str, allowed: list[Any], refused: list[Any]
) -> None:
    assert allowed_text(limits) == text
    assert all(is_allowed(value, limits) for value in allowed)
    assert not any(is_allowed(value, limits) for value in refused)


@pytest.mark.parametrize("key", ["train.clip_norm", "train.max_seconds", "model.forget_bias"])
def test_null_is_allowed_for_optional_types(key: str) -> None:
    section, _, name = key.partition(".")
    config = composed("model=lstm", f"{key}=null")
    assert getattr(getattr(config, section), name) is None


def test_seed_zero_is_a_seed() -> None:
    assert composed("seed=0").seed == 0
    assert hash_of("seed=0") != hash_of("seed=1")


@pytest.mark.parametrize(
    ("given", "hint"), [("lsmt", "; did you mean lstm?"), ("transformer", ""), ("", "")]
)
def test_nearest(given: str, hint: str) -> None:
    assert nearest(given, ["rnn", "lstm", "gru"]) == hint


@pytest.mark.parametrize(
    ("given", "meant"),
    [("float32", "highest"), ("fp32", "highest"), ("bf16", "bfloat16"), ("TF32", "tf32")],
)
def test_what_is_known_by_another_name_is_meant(given: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"one of highest, tf32, bfloat16; did you mean {meant}.$"):
        composed("model=rnn", f"train.precision={given}")


def test_definitions_are_found_by_file() -> None:
    known = {"forecast", "imdb", "lm", "series", "shakespeare", "sp500", "text"}
    assert set(definitions(tasks, TaskSettings)) == known
    found = definitions(models, ModelSettings)
    names = {"attention", "hierarchical", "lru", "mamba", "minimal", "stack", "tcn", "xlstm"}
    assert found.keys() == names | {"baseline", "recurrent"}
    assert found["baseline"] is BaselineSettings
    assert found["recurrent"] is RecurrentSettings


def test_bilstm_is_lstm_in_both_directions() -> None:
    assert composed("model=bilstm") == composed("model=lstm", "model.bidirectional=true")


@pytest.mark.parametrize(
    "override",
    [
        "results_dir=elsewhere",
        "cache_dir=elsewhere",
        "train.threads=2",
        "train.evaluation_batch_size=7",
        "train.device=cpu",
        "task.source=bundled",
        "task.source={tmp_path}",
        "train.weight_decay=0",  # as the default, spelled as a whole number
        "model.weight_dropout=0",
        "model.residual=false",
        "train.ema=null",
        "train.momentum=0.9",
    ],
)
def test_fingerprint_stays(override: str, tmp_path: Path) -> None:
    assert hash_of(override.format(tmp_path=tmp_path)) == hash_of()


def test_fingerprint_does_not_depend_on_how_a_model_is_selected() -> None:
    assert hash_of("model=bilstm") == hash_of("model=lstm", "model.bidirectional=true")


@pytest.mark.parametrize(
    "override",
    ["task.sample_chars=0", "task.temperature=0.5", "task.corpus={tmp_path}/text.txt"],
)
def test_fingerprint_stays_with_the_sample_and_the_place_of_the_text(
    override: str, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("To be")
    given = override.format(tmp_path=tmp_path)
    assert hash_of("task=shakespeare", given) == hash_of("task=shakespeare")


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "model=rnn",
        "model=gru",
        "model=bilstm",
        "model.hidden_size=3",
        "model.num_layers=2",
        "model.dropout=0.1",
        "model.forget_bias=0",
        "model.initialisation=pytorch",
        "model.learning_rate_factor=2",
        "model.variational_dropout=true",
        "model.output_dropout=0.1",
        "model.weight_dropout=0.1",
        "train.ema=0.99",
        "train.beta1=0",
        "task.max_length=10",
        "task.pooling=last",
        "task.chop=64",
        "task.vocabulary_size=99",
        "train.optimizer=adamw",
        "train.learning_rate=0.5",
        "train.weight_decay=0.5",
        "train.beta2=0.5",
        "train.schedule=constant",
        "train.warmup_steps=5",
        "train.final_learning_rate_factor=0.5",
        "train.clip_norm=null",
        "train.batch_size=5",
        "train.max_epochs=5",
        "train.max_seconds=5",
        "train.max_steps=5",
        "train.max_evaluation_batches=5",
        "train.patience=5",
        "train.dtype=float64",
        "train.pretrain=self",
        "train.init_seed=0",  # as the seed is, but it stays when another seed is set
        "train.order_seed=0",
        "debug=smoke",
    ],
)
def test_fingerprint_changes_with_what_changes_numbers(override: str) -> None:
    assert hash_of(override) != hash_of()


@pytest.mark.parametrize(
    "change", [{"sha256": "cd" * 32}, {"split": "nanogpt"}], ids=["content", "split"]
)
def test_fingerprint_changes_with_the_data(change: dict[str, Any]) -> None:
    assert hash_of(data=dataclasses.replace(DATA, **change)) != hash_of()


@pytest.mark.parametrize("row", published_runs(), ids=lambda row: f"{row['model']}-{row['task']}")
def test_published_runs_keep_their_fingerprints(row: dict[str, str]) -> None:
    """Earlier runs are found again, but for those of another version of their task.

    A new setting does not enter if it has its default value.
    """
    data = DataDescription("", row["dataset_sha256"], row["split"], 0, 0, 0, "")
    config = composed(f"model={row['model']}", f"task={row['task']}", f"seed={row['seed']}")
    is_current = int(row["task_version"]) == config.task.version
    assert (fingerprint(config, data, "cpu") == row["fingerprint"]) == is_current
    assert (arm(config, data) == row["arm"]) == is_current


def test_a_later_setting_enters_the_identity_only_if_it_is_not_the_default() -> None:
    @dataclasses.dataclass
    class Settings:
        first: int = setting(1, "of the first version", minimum=0)
        factor: float = setting(0.5, "added later", identity="unless default")
        bound: float | None = setting(None, "added later", identity="unless default")
        place: str = setting("a", "a path", identity=False)

    assert identity(Settings(place="b")) == {"first": 1}
    assert identity(Settings(factor=0, bound=0.0)) == {"first": 1, "factor": 0, "bound": 0.0}


def test_epochs_of_the_pretraining_enter_the_fingerprint() -> None:
    hashes = {hash_of("train.pretrain=self", f"train.pretrain_epochs={n}") for n in (5, 6)}
    assert len(hashes) == 2
    assert hash_of("train.pretrain=self") in hashes


@pytest.mark.parametrize("given", ["seed=1", "seeds=[0,1]"])
def test_a_seed_without_effect_is_refused(given: str) -> None:
    fixed = ["train.init_seed=4", "train.order_seed=4"]
    with pytest.raises(UserError, match=f"^{re.escape(given)}: has no effect, because train.init"):
        composed(given, *fixed)
    assert composed(given, fixed[0]).train.init_seed == 4
    baseline = composed(given, *fixed, "model=baseline", "model.baseline=majority_class")
    assert baseline.train.init_seed == 4


def test_fingerprint_does_not_know_where_the_data_came_from() -> None:
    assert hash_of(data=dataclasses.replace(DATA, name="another folder")) == hash_of()


def test_fingerprint_changes_with_the_kind_of_device() -> None:
    assert hash_of(device_type="cuda") != hash_of()


@pytest.mark.parametrize("settings", [ImdbSettings, RecurrentSettings])
def test_fingerprint_changes_with_a_version(
    settings: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hash_of()
    monkeypatch.setattr(settings, "version", 99)
    assert hash_of() != before


def test_fingerprint_differs_between_tasks() -> None:
    assert hash_of("task=sp500") != hash_of("task=shakespeare") != hash_of("task=imdb")


def test_the_schema_can_be_registered_twice() -> None:
    register_schemas()
    register_schemas()
    assert composed("task=sp500").task.name == "sp500"

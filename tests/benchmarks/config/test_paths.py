"""Paths in settings: `~` and variables; absolute in the configuration of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.config.paths import expand_paths, make_paths_absolute
from benchmarks.config.schema import Config
from benchmarks.errors import UserError
from models.recurrent import RecurrentSettings
from tasks.base import TaskSettings
from tests.helpers.composing import composed
from tests.helpers.toys import ToySettings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory that is also the working directory, with a corpus in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CORPORA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a text of some words\n" * 20)
    return tmp_path


@pytest.mark.parametrize("given", ["~/a.txt", "$CORPORA/a.txt", "${oc.env:CORPORA}/a.txt"])
def test_home_and_variables_are_expanded_in_data(home: Path, given: str) -> None:
    config = composed("model=rnn", "task=shakespeare", f"task.corpus='{given}'")
    assert corpus(config.task) == str(home / "a.txt")


def corpus(settings: TaskSettings) -> str:
    return str(vars(settings)["corpus"])


@pytest.mark.parametrize("key", ["results_dir", "cache_dir"])
def test_home_is_expanded_in_directories(home: Path, key: str) -> None:
    config = composed("model=rnn", "task=sp500", f"{key}='~/out'")
    assert getattr(config, key) == str(home / "out")


def test_an_unknown_variable_is_named(home: Path) -> None:
    with pytest.raises(UserError, match=r"results_dir=\$NOWHERE/x: .* no variable NOWHERE"):
        composed("model=rnn", "task=sp500", "results_dir='$NOWHERE/x'")


def test_a_file_with_a_dollar_or_tilde_in_its_name_is_kept(home: Path) -> None:
    for name in ("$CORPORA.txt", "~.txt"):
        (home / name).write_text("text")
        config = Config(ToySettings(), RecurrentSettings(), results_dir=name)
        expand_paths(config)
        assert config.results_dir == name


def test_existing_paths_become_absolute_and_names_stay(home: Path) -> None:
    (home / "auto").mkdir()
    config = composed("model=rnn", "task=imdb", "task.source=auto", "results_dir=a.txt")
    make_paths_absolute(config)
    assert vars(config.task)["source"] == "auto"
    assert config.results_dir == str(home / "a.txt")
    config = composed("model=rnn", "task=shakespeare", "task.corpus=a.txt", "results_dir=none")
    make_paths_absolute(config)
    assert corpus(config.task) == str(home / "a.txt")
    assert config.results_dir == "none"

"""A search: equal conditions for every configuration, studies, and resuming."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from benchmarks.config.schema import Config
from benchmarks.config.search import TuneSettings
from benchmarks.errors import UserError
from benchmarks.results.row import Status
from benchmarks.sweeps.cell import Cell, Outcome
from benchmarks.sweeps.search import Search, Study, distribution_of, sampler_for
from models.recurrent import RecurrentSettings
from tasks.imdb import ImdbSettings
from tests.helpers.calling import RUN_PY, run_py
from tests.helpers.halting import Halt

COMMAND = [
    "-m",
    "experiment=tune",
    "model=rnn,lstm",
    "task=sp500",
    "train.max_epochs=2",
    "hydra.sweeper.trials=3",
    "train.device=cpu",
    "train.threads=1",
]
SAME = ("model", "trial", "learning_rate", "hidden_size", "val_score", "test_score", "status")


def command(results: Path, cache: Path, *more: str) -> list[str]:
    return [*COMMAND, f"results_dir={results}", f"cache_dir={cache}", *more]


def tune(results: Path, cache: Path, *more: str) -> CompletedProcess[str]:
    return run_py(*command(results, cache, *more))


def rows(results: Path) -> list[dict[str, str]]:
    with (results / "results.csv").open(newline="", encoding="utf-8") as file:
        return sorted(csv.DictReader(file), key=lambda row: (row["model"], row["trial"]))


def numbers(results: Path) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in SAME) for row in rows(results)]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    results = tmp_path_factory.mktemp("tune") / "results"
    answer = tune(results, shared_cache)
    assert answer.returncode == 0, answer.stderr
    assert "best by validation" in answer.stdout
    return results


def test_every_arm_gets_the_same_number_of_trials_from_the_same_space(tuned: Path) -> None:
    found = rows(tuned)
    assert [(row["model"], row["trial"]) for row in found] == [
        (model, trial) for model in ("lstm", "rnn") for trial in ("0", "1", "2")
    ]
    assert all(row["study"].startswith(f"sp500-{row['model']}-s0-") for row in found)
    # The first trial is sampled without earlier results, so it is equal in both arms.
    first = [row for row in found if row["trial"] == "0"]
    assert len({(row["learning_rate"], row["hidden_size"], row["dropout"]) for row in first}) == 1
    assert len({row["learning_rate"] for row in found if row["model"] == "rnn"}) == 3


def test_the_study_holds_the_validation_scores(tuned: Path) -> None:
    storage = JournalStorage(JournalFileBackend(str(tuned / "studies" / "journal.log")))
    for row in rows(tuned):
        study = optuna.load_study(study_name=row["study"], storage=storage)
        trial = study.trials[int(row["trial"])]
        assert trial.state == TrialState.COMPLETE
        assert trial.value == float(row["val_score"])
        assert trial.params["train.learning_rate"] == float(row["learning_rate"])


def test_the_same_command_again_runs_nothing(tuned: Path, shared_cache: Path) -> None:
    before = (tuned / "results.csv").read_bytes()
    answer = tune(tuned, shared_cache)
    assert answer.returncode == 0, answer.stderr
    assert "6 of 6 cells already finished" in answer.stdout
    assert (tuned / "results.csv").read_bytes() == before


def test_a_killed_search_resumes_with_the_same_trials(
    tuned: Path, tmp_path: Path, shared_cache: Path
) -> None:
    results = tmp_path / "results"
    halt = Halt(tmp_path / "halt", file="row.json", rows=2)
    process = subprocess.Popen(
        [sys.executable, RUN_PY, *command(results, shared_cache)],
        env=os.environ | halt.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert halt.wait(process) == process.pid
    finally:
        process.kill()
        process.wait()
    assert len(list(results.glob("runs/*/row.json"))) == 2
    answer = tune(results, shared_cache)
    assert answer.returncode == 0, answer.stderr
    assert numbers(results) == numbers(tuned)


def test_a_space_from_the_command_line(tmp_path: Path, shared_cache: Path) -> None:
    results = tmp_path / "results"
    answer = tune(
        results,
        shared_cache,
        "model=gru",
        "train.learning_rate=choice(0.001,0.002)",
        "model.hidden_size=8",
        "hydra.sweeper.sampler=random",
        f"hydra.sweeper.storage=sqlite:///{tmp_path}/study.db",
    )
    assert answer.returncode == 0, answer.stderr
    found = rows(results)
    assert {row["hidden_size"] for row in found} == {"8"}
    assert {row["learning_rate"] for row in found} <= {"0.001", "0.002"}
    assert not (results / "studies").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["hydra.sweeper.trials=0"], "hydra.sweeper.trials=0: must be at least 1"),
        (["hydra.sweeper.storage=nonsense://x"], "hydra.sweeper.storage=nonsense://x: "),
        (["train.warmup_steps=interval(0.5,2.5)"], "train.warmup_steps"),
        (["train.batch_size=tag(log,interval(0,8))"], "train.batch_size"),
    ],
)
def test_mistakes_are_reported_in_one_line(
    more: list[str], message: str, tmp_path: Path, shared_cache: Path
) -> None:
    answer = tune(tmp_path / "results", shared_cache, *more)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not list(tmp_path.glob("results/runs/*"))


def test_a_search_needs_the_sweep_flag(tmp_path: Path) -> None:
    answer = run_py("experiment=tune", f"results_dir={tmp_path}/r")
    assert answer.returncode == 2
    assert "add -m, as in python run.py -m experiment=tune" in answer.stderr


def test_a_launcher_killed_while_sampling_leaves_a_complete_trial() -> None:
    """The later trials are equal too, whichever settings the study contained."""
    space = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}

    def search(study: Study) -> Search:
        scores = iter((3.0, 1.0, 2.0, 0.0))
        return Search(TuneSettings(trials=4), [study], space, made, lambda run_id: next(scores))

    def made(number: int, overrides: list[str], label: str, study: str, trial: int) -> Cell:
        config = Config(ImdbSettings(), RecurrentSettings())
        return Cell(number, overrides, label, config, [], study, trial)

    def trials(search: Search) -> list[list[str]]:
        found = []
        while cells := search.ask(1):
            found.append(cells[0].overrides)
            search.tell(Outcome(cells[0], Status.OK, "run"))
        return found

    whole = trials(search(Study("", [], optuna.create_study())))
    assert len(whole) == 4
    for heard in ({}, {"x": space["x"]}, space):
        study = optuna.create_study()
        first = {key: float(value) for key, value in (text.split("=") for text in whole[0])}
        study.enqueue_trial(first)
        study.ask(heard)
        assert trials(search(Study("", [], study))) == whole
    study = optuna.create_study()
    study.enqueue_trial(first)  # and it was not even asked for
    assert trials(search(Study("", [], study))) == whole


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a=interval(1,5)", FloatDistribution(1.0, 5.0)),
        ("a=tag(log,interval(1e-4,3e-2))", FloatDistribution(1e-4, 3e-2, log=True)),
        ("a=tag(log,int(interval(16,256)))", IntDistribution(16, 256, log=True)),
        ("a=choice(adam,adamw)", CategoricalDistribution(["adam", "adamw"])),
    ],
)
def test_hydra_overrides_are_converted_to_distributions(written: str, expected: object) -> None:
    assert distribution_of(OverridesParser.create().parse_override(written)) == expected


def test_an_impossible_space_is_refused() -> None:
    with pytest.raises(UserError, match="a=tag"):
        distribution_of(OverridesParser.create().parse_override("a=tag(log,interval(0,1))"))


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_a_trial_depends_on_its_number_and_earlier_results(name: str) -> None:
    """Restarts of the launcher change nothing."""
    settings = TuneSettings(trials=6, sampler=name)
    space = {"x": FloatDistribution(0.0, 1.0)}
    once, twice = optuna.create_study(), optuna.create_study()
    for number in range(6):
        for study in (once, twice):
            study.sampler = sampler_for(settings, number)
            trial = study.ask(space)
            study.tell(trial, (trial.params["x"] - 0.3) ** 2)
    assert [t.params for t in once.trials] == [t.params for t in twice.trials]
    assert len({t.params["x"] for t in once.trials}) == 6

"""Sweeps as a user meets them: what they print, skip, leave out and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.calling import LOCAL, QUICK, rows, run_py


def scores(results: Path) -> dict[tuple[str, str], str]:
    return {(row["model"], row["seed"]): row["test_score"] for row in rows(results)}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> list[str]:
    return [f"results_dir={tmp_path_factory.mktemp('sweep') / 'r'}", f"cache_dir={shared_cache}"]


@pytest.fixture(scope="module")
def swept(places: list[str]) -> Path:
    answer = run_py("-m", "model=rnn,gru", "seed=0,1", *QUICK, *places)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count("done") == 4
    assert "4 of 4 cells: 4 ok" in answer.stdout
    return Path(places[0].partition("=")[2])


def test_every_cell_is_a_row_of_one_sweep(swept: Path) -> None:
    found = rows(swept)
    assert [(row["model"], row["seed"]) for row in found] == [
        ("rnn", "0"),
        ("rnn", "1"),
        ("gru", "0"),
        ("gru", "1"),
    ]
    assert len({row["sweep"] for row in found}) == 1
    (folder,) = (swept / "sweeps").iterdir()
    assert folder.name == found[0]["sweep"]
    assert json.loads((folder / "sweep.json").read_text())["cells"] == 4
    assert len(list((folder / "logs").iterdir())) == 4
    assert not list((swept / "running").iterdir())


def test_the_same_command_runs_nothing_again_and_a_larger_one_the_rest(
    swept: Path, places: list[str]
) -> None:
    before = (swept / "results.csv").read_bytes()
    again = run_py("-m", "model=rnn,gru", "seed=0,1", *QUICK, *places)
    assert again.returncode == 0
    assert "4 of 4 cells already finished" in again.stdout
    assert (swept / "results.csv").read_bytes() == before
    larger = run_py("-m", "model=rnn,gru", "seed=0,1,2", *QUICK, *places, *LOCAL)
    assert larger.returncode == 0, larger.stderr
    assert "4 of 6 cells already finished" in larger.stdout
    assert (swept / "results.csv").read_bytes().startswith(before)
    assert len(rows(swept)) == 6


def test_a_fresh_process_per_cell_gives_the_numbers_of_one_for_all(
    swept: Path, tmp_path: Path, shared_cache: Path
) -> None:
    results = tmp_path / "local"
    folders = [f"results_dir={results}", f"cache_dir={shared_cache}"]
    answer = run_py("-m", "model=rnn,gru", "seed=0,1", *QUICK, *folders, *LOCAL)
    assert answer.returncode == 0, answer.stderr
    expected = {key: score for key, score in scores(swept).items() if key[1] != "2"}
    assert scores(results) == expected
    # At least, because other runs on this machine count too. One may have run alone.
    concurrent = [int(row["concurrent_runs"]) >= 2 for row in rows(results)]
    assert sum(concurrent) >= 2


def test_a_single_run_always_runs(swept: Path, places: list[str]) -> None:
    before = len(rows(swept))
    assert run_py("model=rnn", "seed=0", *QUICK, *places).returncode == 0
    found = rows(swept)
    assert len(found) == before + 1
    assert found[-1]["fingerprint"] in {row["fingerprint"] for row in found[:-1]}


def test_resume_never_runs_everything_again(tmp_path: Path, shared_cache: Path) -> None:
    arguments = ["-m", "model=rnn", "seed=0,1", *QUICK, f"cache_dir={shared_cache}"]
    folder = f"results_dir={tmp_path / 'r'}"
    assert run_py(*arguments, folder).returncode == 0
    assert run_py(*arguments, folder, "resume=never").returncode == 0
    found = rows(tmp_path / "r")
    assert [row["seed"] for row in found] == ["0", "1", "0", "1"]
    assert len({row["test_score"] for row in found}) == 2


@pytest.mark.parametrize("launcher", [[], LOCAL], ids=["basic", "local"])
def test_a_failing_cell_is_named_and_the_others_finish(
    launcher: list[str], tmp_path: Path, shared_cache: Path
) -> None:
    arguments = ["-m", "model=rnn", "train.learning_rate=0.001,1e30", "train.clip_norm=null"]
    folders = [f"results_dir={tmp_path / 'r'}", f"cache_dir={shared_cache}"]
    answer = run_py(*arguments, "train.weight_decay=1", *QUICK, *folders, *launcher)
    assert answer.returncode == 1
    assert "2 of 2 cells: 1 ok, 1 diverged" in answer.stdout
    assert "diverged: train.learning_rate=1e+30: NotFiniteError" in answer.stdout
    (log,) = (line for line in answer.stdout.splitlines() if line.startswith("  log: "))
    assert Path(log.removeprefix("  log: ")).exists()
    left = run_py(
        *arguments, "train.weight_decay=1", *QUICK, *folders, *launcher, "resume=skip_failed"
    )
    assert left.returncode == 1
    assert "2 of 2 cells already finished" in left.stdout
    assert sorted(row["status"] for row in rows(tmp_path / "r")) == ["diverged", "ok"]


def test_impossible_pairs_are_left_out_with_the_reason(tmp_path: Path, shared_cache: Path) -> None:
    folders = [f"results_dir={tmp_path / 'r'}", f"cache_dir={shared_cache}"]
    answer = run_py("-m", "model=rnn,birnn", "task=shakespeare", *QUICK[1:], *folders)
    assert answer.returncode == 0, answer.stderr
    assert "left out: model=birnn: a bidirectional model would see the steps" in answer.stdout
    assert [row["model"] for row in rows(tmp_path / "r")] == ["rnn"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=rnn", "train.batch_size=8,0"], "train.batch_size=0: must be at least 1"),
        (["model=rnn,lsmt"], "model=lsmt: there is no such model"),
        (["results_dir=a,b"], "results_dir=a,b: must have a single value in a sweep"),
        (["train.dropout=0.1,0.2"], "train.dropout=0.1,0.2: there is no such key"),
        (["model=birnn", "task=shakespeare"], "no cells to run"),
        (["train.learning_rate=interval(0,1)"], "to search an interval add experiment=tune"),
        (["hydra/launcher=joblib"], "allowed: basic, local, slurm, ray"),
        (["hydra/launcher=locla"], "did you mean local?"),
        (["hydra/launcher=local", "hydra.launcher.jbos=2"], "did you mean hydra.launcher.jobs?"),
        (["hydra/launcher=local", "hydra.launcher.jobs=0"], "hydra.launcher.jobs=0: must be at"),
        (["hydra/launcher=local", "hydra.launcher.jobs=x"], "whole number of at least 1 or null"),
        (["hydra.launcher.jobs=2"], "the launcher basic has no settings; add hydra/launcher=local"),
        (["results_dir="], "results_dir=: is empty"),
        (
            ["experiment=headline,tune"],
            "experiment=headline,tune: must have a single value in",
        ),
        (["--cfg", "job"], "--cfg: cannot be combined with -m"),
        (["--mutlirun"], "did you mean --multirun?"),
        (["--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
        (["task=sp500", "task.csv=nowhere.csv"], "nowhere.csv"),
    ],
)
def test_a_mistake_in_any_cell_is_explained_before_any_runs(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    folder = (
        []
        if any("results_dir" in text for text in arguments)
        else [f"results_dir={tmp_path / 'r'}"]
    )
    answer = run_py("-m", "debug=smoke", "seed=0,1", *folder, *arguments)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not list(tmp_path.glob("r/runs/*"))


def test_an_experiment_of_the_users_own(tmp_path: Path, shared_cache: Path) -> None:
    experiment = tmp_path / "conf" / "experiment" / "mine.yaml"
    experiment.parent.mkdir(parents=True)
    experiment.write_text(
        "# @package _global_\n"
        "hydra: {sweeper: {params: {model: 'rnn,gru', seed: 'range(0,2)'}}}\n"
        "train: {max_epochs: 1}\n"
    )
    folders = [f"results_dir={tmp_path / 'r'}", f"cache_dir={shared_cache}"]
    answer = run_py(
        "-m", "--config-dir", str(tmp_path / "conf"), "experiment=mine", "seed=4", *QUICK, *folders
    )
    assert answer.returncode == 0, answer.stderr
    assert sorted(scores(tmp_path / "r")) == [("gru", "4"), ("rnn", "4")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hydra: {sweeper: {params: {model: 'rnn,lsmt'}}}", "in the experiment: model=lsmt: "),
        ("hydra: {sweeper: {params: {train.learnin_rate: 1}}}", "did you mean train.learning_rate"),
        ("trian: {max_epochs: 2}", "experiment=mine: "),
        ("train: {max_epochs: 2", "mine.yaml"),
    ],
)
def test_a_mistake_in_an_experiment_is_found_in_it(text: str, message: str, tmp_path: Path) -> None:
    experiment = tmp_path / "experiment" / "mine.yaml"
    experiment.parent.mkdir()
    experiment.write_text(f"# @package _global_\n{text}\n")
    answer = run_py("-m", "--config-dir", str(tmp_path), "experiment=mine", "debug=smoke")
    assert answer.returncode == 2
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_axes_may_be_yaml_lists_and_smoke_one_of_them(tmp_path: Path, shared_cache: Path) -> None:
    experiment = tmp_path / "experiment" / "mine.yaml"
    experiment.parent.mkdir()
    axes = "{model: [rnn, gru], task: sp500, debug: [smoke, null]}"
    experiment.write_text(
        f"# @package _global_\nhydra: {{sweeper: {{params: {axes}}}}}\ntrain: {{max_steps: 2}}\n"
    )
    folders = [f"results_dir={tmp_path / 'r'}", f"cache_dir={shared_cache}"]
    answer = run_py("-m", "--config-dir", str(tmp_path), "experiment=mine", *QUICK[2:], *folders)
    assert answer.returncode == 0, answer.stderr
    assert sorted((row["model"], row["smoke"]) for row in rows(tmp_path / "r")) == [
        ("gru", "false"),
        ("gru", "true"),
        ("rnn", "false"),
        ("rnn", "true"),
    ]


def test_several_values_without_the_sweep_flag(tmp_path: Path) -> None:
    answer = run_py("model=rnn,lstm", f"results_dir={tmp_path / 'r'}")
    assert answer.returncode == 2
    assert (
        answer.stderr == "error: model=rnn,lstm: several values make a sweep: add -m (--multirun)\n"
    )

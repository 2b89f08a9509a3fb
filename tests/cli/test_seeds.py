"""`seeds=[0,1,2]`: rows, errors, and sweeps that resume one another."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from models.kernels.compiler import unavailable_reason
from tests.helpers.calling import LOCAL, QUICK, rows, run_py

pytestmark = pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))

CLOCKS = ("train_seconds", "tokens_per_second", "time_to_best_seconds", "total_seconds")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "r"


@pytest.fixture
def places(results: Path, shared_cache: Path) -> list[str]:
    return [*QUICK, f"results_dir={results}", f"cache_dir={shared_cache}"]


def test_seeds_leave_a_row_each_without_times_and_with_all_else(
    results: Path, places: list[str]
) -> None:
    answer = run_py("model=lstm", "seeds=[3,1]", *places)
    assert answer.returncode == 0, answer.stderr
    assert "multi-seed training of 2 seeds: training time is not recorded" in answer.stdout
    assert "lstm on sp500, seeds 3, 1; cpu, 1 thread" in answer.stdout
    assert run_py("model=lstm", "seed=1", *places).returncode == 0
    third, first, single = rows(results)
    assert [row["seed"] for row in (third, first, single)] == ["3", "1", "1"]
    assert first["fingerprint"] == single["fingerprint"] != third["fingerprint"]
    assert first["arm"] == third["arm"] == single["arm"]
    assert float(first["test_score"]) == pytest.approx(float(single["test_score"]), abs=1e-4)
    assert [row["trained_together"] for row in (third, first, single)] == ["2", "2", ""]
    for row in (third, first):
        assert [row[name] for name in CLOCKS] == [""] * len(CLOCKS)
        empty = {name for name in row if not row[name]}
        left_out = {"peak_rss_mib", "peak_gflops", "model_flops_utilisation"}
        assert empty - {name for name in single if not single[name]} <= {*CLOCKS, *left_out}
        for name in ("eval_seconds", "prepare_seconds", "latency_ms_p50", "peak_memory_mib"):
            assert float(row[name]) > 0, name
        folder = results / "runs" / row["run_id"]
        own = OmegaConf.load(folder / "config.yaml")
        assert (own.seed, own.seeds) == (int(row["seed"]), None)
        words = shlex.split((folder / "command.txt").read_text())
        assert words[-1] == f"seed={row['seed']}"
        assert not any(word.startswith("seeds=") for word in words)
        history = (folder / "history.csv").read_text().splitlines()
        assert "train_seconds" not in history[0]
        assert (folder / "predictions.parquet").exists()
        assert (folder / "predictions-validation.parquet").exists()
        assert not (folder / "checkpoint.safetensors").exists()
    assert not list((results / "running").iterdir())


def test_ineligible_seeds_run_one_after_another(results: Path, places: list[str]) -> None:
    answer = run_py("model=rnn", "seeds=[0,1]", "model.kernel=torch", *places)
    assert answer.returncode == 0, answer.stderr
    assert "2 seeds are trained one after the other: the kernel torch computes" in answer.stdout
    for row in rows(results):
        assert (row["status"], row["trained_together"]) == ("ok", "")
        assert all(float(row[name]) > 0 for name in CLOCKS)


def test_baselines_have_a_row_for_each_seed_that_matters(results: Path, places: list[str]) -> None:
    answer = run_py("model=baseline", "model.baseline=ar", "seeds=[0,1]", *places)
    assert answer.returncode == 0, answer.stderr
    assert [(row["model"], row["seed"]) for row in rows(results)] == [("ar", "")]


@pytest.mark.parametrize("launcher", [[], LOCAL], ids=["basic", "local"])
def test_a_sweep_with_seeds_and_one_over_seed_go_on_from_each_other(
    launcher: list[str], results: Path, places: list[str]
) -> None:
    first = run_py("-m", "model=rnn,gru", "seeds=[0,1]", *places, *launcher)
    assert first.returncode == 0, first.stderr
    assert "4 of 4 cells: 4 ok" in first.stdout
    assert {row["trained_together"] for row in rows(results)} == {"2"}
    assert {row["overrides"] for row in rows(results)} == {""}
    more = run_py("-m", "model=rnn,gru", "seed=0,1,2", *places, *launcher)
    assert more.returncode == 0, more.stderr
    assert "4 of 6 cells already finished" in more.stdout
    most = run_py("-m", "model=rnn,gru", "seeds=[0,1,2,3,4]", *places, *launcher)
    assert most.returncode == 0, most.stderr
    assert "6 of 10 cells already finished" in most.stdout
    found = rows(results)
    assert len({(row["model"], row["seed"]) for row in found}) == len(found) == 10
    last = {row["seed"]: row["trained_together"] for row in found}
    assert last == {"0": "2", "1": "2", "2": "", "3": "2", "4": "2"}
    assert not list((results / "running").iterdir())
    for record in results.glob("sweeps/*/cells.jsonl"):
        for line in record.read_text().splitlines():
            assert Path(record.parent, "logs", json.loads(line)["log"]).exists() or "seed" in line


def test_local_gives_seeds_that_gain_nothing_a_process_each(
    results: Path, places: list[str]
) -> None:
    answer = run_py("-m", "model=rnn,lstm", "seeds=[0,1]", "model.kernel=torch", *places, *LOCAL)
    assert answer.returncode == 0, answer.stderr
    assert "model=rnn: seeds are trained separately: the kernel torch" in answer.stdout
    assert sorted(row["trained_together"] for row in rows(results)) == [""] * 4


def test_one_that_diverges_is_named_and_the_others_finish(results: Path, places: list[str]) -> None:
    rates = ["train.learning_rate=1e30", "train.clip_norm=null", "train.weight_decay=1"]
    answer = run_py("-m", "model=rnn", "seeds=[0,1]", *rates, *places)
    assert answer.returncode == 1
    assert "2 of 2 cells: 2 diverged" in answer.stdout
    assert "NotFiniteError" in answer.stdout
    alone = run_py("model=rnn", "seeds=[0,1]", *rates, *places)
    assert alone.returncode == 1
    assert "seed 1, diverged: NotFiniteError" in alone.stdout
    assert not list((results / "running").iterdir())


def test_an_experiment_may_have_seeds_and_the_command_line_others(
    tmp_path: Path, results: Path, places: list[str]
) -> None:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    sweeper = "hydra: {sweeper: {params: {model: 'rnn,gru'}}}\n"
    (folder / "mine.yaml").write_text(f"# @package _global_\n{sweeper}seeds: [0, 1]\n")
    (folder / "axis.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: {model: rnn, seed: 'range(0,5)'}}}\n"
    )
    where = ["-m", "--config-dir", str(tmp_path / "conf"), *places]
    assert run_py(*where, "experiment=mine", "model=rnn").returncode == 0
    assert [row["seed"] for row in rows(results)] == ["0", "1"]
    assert run_py(*where, "experiment=axis", "seeds=[6]").returncode == 0
    assert [row["seed"] for row in rows(results)] == ["0", "1", "6"]
    both = run_py(*where, "experiment=mine", "seed=4")
    assert (both.returncode, both.stderr) == (
        2,
        "error: seed=4 and seeds=[0,1]: set only one of them\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seeds=[]"], "seeds=[]: is empty; give seeds, as in seeds=[0,1,2], or seed=0"),
        (["seeds=[0,1,0]"], "seeds=[0,1,0]: duplicate seed 0"),
        (["seeds=[0,-1]"], "seeds=[0, -1]: must be at least 0 and below 4294967296"),
        (["-m", "seeds=[0,-1]"], "must be at least 0 and below 4294967296"),
        (["-m", "seeds=[]"], "seeds=[]: is empty; give seeds, as in seeds=[0,1,2]"),
        (["-m", "seeds=[1,1]"], "duplicate seed 1"),
        (["-m", "seeds=[0],[1]"], "seeds=[0],[1]: must be one list, as in seeds=[0,1,2]"),
        (["-m", "seeds=range(0,3)"], "seeds=range(0,3): must be one list, as in seeds=[0,1,2]"),
        (["-m", "seeds=[0,1]", "seed=1,2"], "seed=1,2 and seeds=[0,1]: set only one of them"),
        (["seeds=3"], "seeds=3: must be a list of whole numbers, as in [0,1,2] or null"),
        (["seeds=[a]"], "must be a list of whole numbers"),
        (["seeds=0,1"], "seeds=0,1: must be one list, as in seeds=[0,1,2]"),
        (["seeds=range(0,3)"], "seeds=range(0,3): must be one list, as in seeds=[0,1,2]"),
        (["seeds=[0,1]", "seed=1"], "seed=1 and seeds=[0,1]: set only one of them"),
        (["sedes=[0,1]"], "did you mean seeds?"),
    ],
)
def test_a_mistake_is_explained_in_one_line(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    folder = f"results_dir={tmp_path / 'r'}"
    answer = run_py("model=rnn", "task=sp500", *arguments, folder)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert not list(tmp_path.glob("r/runs/*"))

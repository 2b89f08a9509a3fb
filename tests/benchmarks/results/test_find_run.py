"""Runs are found by id, prefix, folder, as the latest or as the best."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.results.find_run import find_run
from benchmarks.results.row import Row
from benchmarks.results.store import Store

OK, FAILED, BASELINE = "20260101T-sp500-gru", "20260102T-sp500-x", "20260103T-sp500-naive"
EARLIER = "20250101T-imdb-lstm"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create `results` in the working folder, with four finished runs and an unfinished one."""
    store = Store(tmp_path / "results")
    for run_id in (EARLIER, OK):
        store.write_row(Row(run_id=run_id, status="ok"))
    store.write_row(Row(run_id=FAILED, status="failed"))
    store.write_row(Row(run_id=BASELINE, status="ok", baseline="naive"))
    store.run("20260104T-running").create()
    (store.run(OK).create().path / "export").mkdir()
    monkeypatch.chdir(tmp_path)
    return Path("results")


@pytest.mark.parametrize(
    ("name", "run_id"),
    [
        (OK, OK),
        ("2025", EARLIER),
        ("20260102", FAILED),  # found here, refused later because of its status
        ("latest", OK),
        (f"results/runs/{OK}", OK),
        (f"results/runs/{OK}/", OK),
    ],
)
def test_a_run_is_found_by_id_prefix_and_path(name: str, run_id: str, results: Path) -> None:
    assert find_run(name, results) == results / "runs" / run_id


def test_an_exact_id_wins_over_a_prefix(results: Path) -> None:
    Store(results).write_row(Row(run_id=f"{OK}-2", status="ok"))
    assert find_run(OK, results).name == OK


def test_the_run_that_is_the_latest_is_printed(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row(run_id="20270101T-a", status="ok", model="lstm", task="text", dataset="a.csv")
    row.metric, row.test_score = "accuracy", 0.8125
    Store(results).write_row(row)
    assert find_run("latest", results).name == "20270101T-a"
    expected = "note: latest is 20270101T-a: lstm on text (a.csv), test accuracy 0.8125\n"
    assert capsys.readouterr() == ("", expected)
    find_run("20270101T-a", results)
    assert capsys.readouterr().err == ""


def test_the_best_run_is_that_by_validation_on_the_latest_data(results: Path) -> None:
    def store(run_id: str, val_score: float, dataset: str = "a.csv", higher: bool = True) -> None:
        row = Row(run_id=run_id, status="ok", model="lstm", task="text", dataset=dataset)
        row.metric, row.val_score, row.higher_is_better = "accuracy", val_score, higher
        row.test_score = 1 - val_score
        Store(results).write_row(row)

    assert find_run("best", results).name == OK  # without a score: the latest
    store("2027-other", 0.99, "b.csv")
    for run_id, score in (("2028-a", 0.8), ("2028-b", 0.9), ("2028-c", 0.7)):
        store(run_id, score)
    assert find_run("best", results).name == "2028-b"
    for run_id, score in (("2029-a", 1.5), ("2029-b", 1.25), ("2029-c", 2.0)):
        store(run_id, score, "c.csv", higher=False)
    assert find_run("best", results).name == "2029-b"


NOWHERE = [
    ("", "RUN is empty (allowed: a run's id, a prefix of it, its folder, latest, best)"),
    ("/path/nope", "/path/nope: there is no such folder"),
    ("nope", f"nope: there is no such run in results/runs (latest is {OK})"),
    ("lates", "lates: there is no such run in results/runs; did you mean latest?"),
    ("2026", f"2026: 3 runs have this prefix: {OK}, {FAILED}, …"),
    (
        OK.replace("500", "50"),
        f"{OK.replace('500', '50')}: there is no such run in results/runs; did you mean {OK}?",
    ),
    (
        f"elsewhere/{OK.replace('500', '50')}",
        f"elsewhere/{OK.replace('500', '50')}: there is no such folder; did you mean {OK}?",
    ),
    ("20260104T-running", "results/runs/20260104T-running: has no row.json: it is not the folder "),
    (
        "results",
        "results: is a results folder, not that of a run; use latest --results results",
    ),
    ("results/runs", f"results/runs: is a folder of runs; did you mean results/runs/{BASELINE}?"),
    (
        f"results/runs/{OK}/row.json",
        f"results/runs/{OK}/row.json: is a file, not the folder of a run; "
        f"did you mean results/runs/{OK}?",
    ),
    (
        f"results/runs/{OK}/export",
        f"results/runs/{OK}/export: has no row.json: it is not the folder of a run, or its run "
        f"has not ended; did you mean results/runs/{OK}?",
    ),
]


@pytest.mark.parametrize(("name", "wanted"), NOWHERE, ids=lambda text: text[:30])
def test_an_unknown_name_is_refused_with_the_nearest(name: str, wanted: str, results: Path) -> None:
    with pytest.raises(UserError) as raised:
        find_run(name, results)
    assert str(raised.value).startswith(wanted)
    assert "\n" not in str(raised.value)


def test_messages_for_results_without_runs(results: Path) -> None:
    Path("empty/runs").mkdir(parents=True)
    for folder, wanted in (
        ("results/runs", "latest: results/runs is a folder of runs; use --results results"),
        ("nope", "latest: there is no folder nope of results (another: --results DIR)"),
        ("empty", "latest: there are no runs in empty/runs (another folder: --results DIR)"),
    ):
        with pytest.raises(UserError) as raised:
            find_run("latest", Path(folder))
        assert str(raised.value) == wanted
    Store(Path("empty")).write_row(Row(run_id="a", status="failed"))
    with pytest.raises(UserError, match="no run of a network in empty/runs has the status ok"):
        find_run("latest", Path("empty"))

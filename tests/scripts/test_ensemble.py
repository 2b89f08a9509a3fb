"""scripts/ensemble.py on trained runs: scores, rows, comparisons and mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.analysis.compare import compare
from benchmarks.errors import UserError
from benchmarks.results.find_run import find_run
from benchmarks.results.row import Row, Status
from benchmarks.results.store import Store
from benchmarks.runner.ensemble.summary import equally_large, one_model_line
from benchmarks.runner.load_run import load_run
from scripts.ensemble import main
from tests.helpers.definitions import EXAMPLES
from tests.helpers.trained_runs import predictions_of, refusal_of, row_of, trained_run

Words = tuple[str, ...]
Members = Callable[[str], list[Path]]
Combine = Callable[..., Path]

NETWORKS: dict[str, Words] = {
    "text": ("model=lstm", "task=text", f"task.data={EXAMPLES['text']}"),
    "two_classes": ("model=lstm", "task=imdb", "debug=smoke"),
    "forecast": ("model=gru", "task=forecast", f"task.data={EXAMPLES['forecast']}"),
    "steps": ("model=gru", "task=forecast", f"task.data={EXAMPLES['forecast']}", "task.horizon=3"),
    "sp500": ("model=gru", "task=sp500"),
    "lm": ("model=rnn", "task=lm", f"task.data={EXAMPLES['lm']}"),
}
BASELINES = {"text": "nb_lr", "two_classes": "nb_bigram_lr"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("ensembles") / "results")


@pytest.fixture(scope="module")
def members(store: Store, shared_cache: Path) -> Members:
    """Train two seeds of a network, and a baseline where one is named; each once."""
    known: dict[str, list[Path]] = {}

    def of(kind: str) -> list[Path]:
        if kind not in known:
            small = ("model.kernel=torch", "model.hidden_size=8", "train.max_epochs=2")
            words = [(*NETWORKS[kind], *small, f"seed={seed}") for seed in (0, 1)]
            if kind in BASELINES:
                model = ("model=baseline", f"model.baseline={BASELINES[kind]}")
                words.append((*model, *NETWORKS[kind][1:]))
            known[kind] = [trained_run(store, shared_cache, *each) for each in words]
        return known[kind]

    return of


@pytest.fixture
def combine(store: Store, capsys: pytest.CaptureFixture[str]) -> Combine:
    """Run the script; return the folder of the ensemble."""

    def call(folders: list[Path], *words: str) -> Path:
        capsys.readouterr()
        names = [folder.name for folder in folders]
        assert main([*names, "--results", str(store.directory), *words]) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        return Path(last.removeprefix("stored in "))

    return call


def refusal(capsys: pytest.CaptureFixture[str], results: Path, *words: object) -> str:
    return refusal_of(main, capsys, *words, "--results", results)


def naive_score(kind: str, tables: list[pd.DataFrame], weights: list[float]) -> float:
    """Score the weighted mean of predictions by a formula of its own."""
    first = tables[0]

    def total(column: str) -> Any:
        columns = (table[column].astype(float) for table in tables)
        return sum(weight * column for weight, column in zip(weights, columns, strict=True))

    if kind == "two_classes":
        return float(((total("logit") > 0) == first["positive"]).mean())
    if kind == "text":
        names = [name for name in first if name.startswith("log_probability_")]
        logits = np.stack([total(name) for name in names], axis=1)
        return float((logits.argmax(axis=1) == first["label"]).mean())
    if kind == "lm":
        chances = [
            w * np.exp(-t["nats"].astype(float)) for w, t in zip(weights, tables, strict=True)
        ]
        return float(np.exp(-np.log(np.sum(chances, axis=0)).mean()))
    errors = total("predicted") - first["actual"]
    return float(np.sqrt((errors**2).mean()))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_scores_are_those_of_the_mean_prediction(
    kind: str, members: Members, combine: Combine
) -> None:
    folders = members(kind)
    count = len(folders)
    row = row_of(combine(folders))
    for split, score in (("validation", "val_score"), ("test", "test_score")):
        tables = [predictions_of(folder, split) for folder in folders]
        expected = naive_score(kind, tables, [1 / count] * count)
        assert row[score] == pytest.approx(expected, rel=1e-6), split
        for folder, table in zip(folders, tables, strict=True):
            assert row_of(folder)[score] == pytest.approx(naive_score(kind, [table], [1.0]))


@pytest.mark.parametrize("kind", NETWORKS)
def test_an_ensemble_of_one_member_has_its_metrics_and_predictions(
    kind: str, members: Members, combine: Combine
) -> None:
    folder = members(kind)[0]
    found = combine([folder])
    expected, row = row_of(folder), row_of(found)
    columns = ("val_score", "test_score", "val_loss", "test_loss", "accuracy", "macro_f1", "auroc")
    columns += ("log_loss", "calibration_error", "perplexity", "bits_per_character", "rmse", "mae")
    columns += ("rmse_naive", "mase", "smape", "direction_accuracy", "parameters")
    for name in (*columns, "train_seconds", "latency_ms_p50", "latency_ms_p95", "seed", "match"):
        if isinstance(expected[name], float):
            assert row[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-7), name
        else:
            assert row[name] == expected[name], name
    for split in ("validation", "test"):
        pd.testing.assert_frame_equal(
            predictions_of(found, split),
            predictions_of(folder, split),
            check_dtype=False,
            rtol=1e-5,
            atol=1e-6,
        )


def test_costs_are_summed_and_members_recorded(members: Members, combine: Combine) -> None:
    folders = members("text")
    rows = [row_of(folder) for folder in folders]
    folder = combine(folders)
    row = row_of(folder)
    for name in ("parameters", "train_seconds", "latency_ms_p50", "latency_ms_p95"):
        assert row[name] == pytest.approx(sum(each[name] for each in rows)), name
    assert row["encoder_parameters"] is None  # a baseline has none
    assert (row["model"], row["seed"], row["status"]) == ("ensemble", 0, "ok")
    assert row["members"].split() == [each.name for each in folders]
    assert "members=2*lstm+nb_lr weights=equal" in row["overrides"]
    record = json.loads((folder / "ensemble.json").read_text())
    assert record["weights"] == "equal"
    assert [each["weight"] for each in record["members"]] == pytest.approx([1 / 3] * 3)
    command = (folder / "command.txt").read_text()
    assert command.startswith(f"python scripts/ensemble.py {folders[0].name} ")


@pytest.mark.parametrize("kind", ["forecast", "lm"])
def test_weights_of_two_members_are_the_best_shares_on_validation(
    kind: str, members: Members, combine: Combine
) -> None:
    folders = members(kind)
    folder = combine(folders, "--weights", "validation")
    entries = json.loads((folder / "ensemble.json").read_text())["members"]
    weights = [each["weight"] for each in entries]
    assert sum(weights) == pytest.approx(1)
    assert [each["temperature"] for each in entries] == [None, None]
    tables = [predictions_of(each, "validation") for each in folders]
    grid = np.linspace(0, 1, 2001)
    scores = [naive_score(kind, tables, [share, 1 - share]) for share in grid]
    assert weights[0] == pytest.approx(grid[int(np.argmin(scores))], abs=2e-3)
    assert row_of(folder)["val_score"] == pytest.approx(min(scores), rel=1e-5)
    tests = [predictions_of(each) for each in folders]
    assert row_of(folder)["test_score"] == pytest.approx(naive_score(kind, tests, weights))


def cross_entropy(table: pd.DataFrame, logits: Any) -> float:
    chance = 1 / (1 + np.exp(-np.where(table["positive"], logits, -logits)))
    return float(-np.log(chance).mean())


def test_weights_of_classes_minimise_the_validation_loss(
    members: Members, combine: Combine
) -> None:
    folders = members("two_classes")
    folder = combine(folders, "--weights", "validation")
    entries = json.loads((folder / "ensemble.json").read_text())["members"]
    tables = [predictions_of(each, "validation") for each in folders]
    logits = [table["logit"].to_numpy(float) for table in tables]
    weights = np.array([each["weight"] for each in entries])
    scaled = [each / entry["temperature"] for each, entry in zip(logits, entries, strict=True)]
    for single, entry in zip(logits, entries, strict=True):
        own = cross_entropy(tables[0], single / entry["temperature"])
        for factor in (0.97, 1.03):
            assert own <= cross_entropy(tables[0], factor * single / entry["temperature"]) + 1e-9
    best = cross_entropy(tables[0], weights @ scaled)
    assert row_of(folder)["val_loss"] == pytest.approx(best, rel=1e-5)
    generator = np.random.default_rng(0)
    for _ in range(200):
        other = np.maximum(0, weights + 0.1 * generator.standard_normal(len(weights)))
        assert best <= cross_entropy(tables[0], other @ scaled) + 1e-9


def test_weights_do_not_depend_on_the_test_split(
    members: Members, store: Store, tmp_path: Path
) -> None:
    folders = [Path(shutil.copytree(f, tmp_path / "runs" / f.name)) for f in members("forecast")]
    for folder in folders:
        table = predictions_of(folder)
        table["predicted"] = 100.0
        table.to_parquet(folder / "predictions.parquet")
    names = [folder.name for folder in folders]
    for results in (tmp_path, store.directory):
        assert main([*names, "--weights", "validation", "--results", str(results)]) == 0
    found = [
        json.loads(max(each.glob("runs/*/ensemble.json")).read_text())
        for each in (tmp_path, store.directory)
    ]
    assert found[0] == found[1]


def test_two_ensembles_of_the_same_arms_are_one_arm(
    members: Members, combine: Combine, store: Store
) -> None:
    a, b = members("forecast")
    rows = [row_of(combine([each])) for each in (a, b)]
    assert rows[0]["arm"] == rows[1]["arm"] != row_of(combine([a, b]))["arm"]
    assert rows[0]["fingerprint"] != rows[1]["fingerprint"]
    groups = [each for each in compare([store.directory]).groups if each.task == "forecast"]
    size = rows[0]["test_size"]  # forecasts of several steps are another group
    (group,) = [each for each in groups if each.arms[0].rows["test_size"].iloc[0] == size]
    counts = {arm.label.removesuffix(" weights=equal"): arm.score.n for arm in group.arms}
    assert counts["ensemble members=gru"] == 2
    assert counts["gru"] == 2
    note = next(note for note in group.notes if note.startswith("ensembles:"))
    assert "ensemble members=gru: 1 member" in note
    assert not any("members in common" in note for note in group.notes)
    assert "members: " not in group.also_differ
    labels = [label for label in (arm.label for arm in group.arms) if "2*gru" in label]
    pair = next(pair for pair in group.pairs if {pair.a, pair.b} == {labels[0], "gru"})
    assert pair.items is not None


def test_the_table_names_mean_and_best_member_and_one_large_model(
    members: Members, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = members("text")[:2]
    rows = [row_of(folder) for folder in folders]
    best = max(rows, key=lambda row: row["val_score"])
    capsys.readouterr()
    assert main([*(folder.name for folder in folders), "--results", str(store.directory)]) == 0
    lines = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    names = " ".join(line[1].strip() for line in lines)  # long names are folded
    scores = [line[5].strip() for line in lines if line[5].strip()]
    mean = np.mean([row["test_score"] for row in rows])
    single = [f"{row['test_score']:.4g}" for row in rows]
    assert scores[:2] == single
    assert scores[3:] == [f"{mean:.4g}", f"{best['test_score']:.4g}"]
    assert f"mean member best member by validation: lstm seed {best['seed']} one model" in names
    assert names.endswith("one model of 2 times the parameters: none in this folder")


def test_one_model_of_the_ensembles_size_is_the_best_arm_by_validation(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def stored(arm: str, seed: int, val: float, test: float, **more: Any) -> Row:
        run_id = f"{arm}-{seed}{len(more)}"
        scores = {"task": "toy", "arm": arm, "seed": seed, "val_score": val, "test_score": test}
        row = Row(run_id, Status.OK, model="lstm", **(scores | {"parameters": 1050} | more))
        store.write_row(row)
        return row

    for seed in (0, 1):
        stored("a", seed, 0.8 + seed / 100, 0.6)
        stored("b", seed, 0.9 + seed / 100, 0.5 + seed / 10)
    stored("c", 0, 0.99, 0.99, parameters=1200)
    stored("c", 0, 0.99, 0.99, baseline="classical")
    stored("c", 0, 0.99, 0.99, members="a-00 a-10")
    stored("c", 0, 0.99, 0.99, task="other")
    ensemble = Row("e", Status.OK, task="toy", parameters=1000)
    arms = equally_large(ensemble, store)
    assert sorted(len(rows) for rows in arms) == [2, 2]
    line = one_model_line([{}, {}], arms, is_higher=True)
    assert line.name == "one model of 2 times the parameters: lstm, 2 runs"
    assert line.numbers[:3] == (pytest.approx(0.905), pytest.approx(0.55), 1050)
    assert one_model_line([{}], arms, is_higher=False).numbers[1] == pytest.approx(0.6)


def test_mistakes_get_one_line(
    members: Members,
    combine: Combine,
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = (folder.name for folder in members("text")[:2])
    other = members("forecast")[0].name
    results = store.directory
    assert f"{first}: is given twice" in refusal(capsys, results, first, first)
    assert "task differs (text, forecast); an ensemble has one" in refusal(
        capsys, results, first, other
    )
    assert f"did you mean {first}?" in refusal(capsys, results, first + "x", second)
    steps = members("steps")[0].name
    assert "train_size differs (76, 74)" in refusal(capsys, results, other, steps)
    ensemble = combine(members("text")).name
    assert "is an ensemble; give one of its members" in refusal(capsys, results, ensemble)
    assert "--results none: no such folder" in refusal(capsys, Path("none"), first)
    assert "no RUN is given" in refusal(capsys, results, "task.data=x.csv")
    assert "no such file" in refusal(capsys, results, first, "task.data=x.csv")
    with_option_before = [first, "--results", str(results), "task.data=x.csv"]
    assert main(with_option_before) == 2
    assert "no such file" in capsys.readouterr().err
    with pytest.raises(UserError, match="is an ensemble; give one of its members"):
        load_run(ensemble, results)
    assert find_run("latest", results).name != ensemble

    copy = Path(shutil.copytree(results / "runs" / first, tmp_path / "runs" / first))
    shutil.copytree(results / "runs" / second, tmp_path / "runs" / second)

    def changed(**values: Any) -> str:
        row = row_of(results / "runs" / first) | values
        (copy / "row.json").write_text(json.dumps(row))
        return refusal(capsys, tmp_path, first, second)

    assert "requires a run of status ok, not failed" in changed(status="failed")
    assert "dataset_sha256 differs" in changed(dataset_sha256="0" * 64)
    assert "split differs (other, " in changed(split="other")
    same = row_of(results / "runs" / second)["fingerprint"]
    assert "runs of one configuration and seed" in changed(fingerprint=same)
    table = predictions_of(copy, "validation")
    table[1:].to_parquet(copy / "predictions-validation.parquet")
    assert "their predictions are of other validation items" in changed()
    names = [name for name in table if not name.startswith("log_probability")]
    table[names].to_parquet(copy / "predictions-validation.parquet")
    assert "its predictions cannot be combined" in changed()
    (copy / "predictions-validation.parquet").write_bytes(b"PAR1 nothing")
    assert "predictions-validation.parquet: cannot be read" in changed()
    (copy / "predictions-validation.parquet").unlink()
    assert "has no predictions-validation.parquet" in changed()


def test_no_weights_are_chosen_where_validation_is_test(
    members: Members, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [Path(shutil.copytree(f, tmp_path / "runs" / f.name)) for f in members("lm")]
    for folder in folders:
        shutil.copy(folder / "predictions.parquet", folder / "predictions-validation.parquet")
    names = [folder.name for folder in folders]
    assert "is its test split" in refusal(capsys, tmp_path, *names, "--weights", "validation")

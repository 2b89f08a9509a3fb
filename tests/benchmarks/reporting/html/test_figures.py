"""What figures draw is what runs have left: means, bands, fronts, forecasts, searches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import Group
from benchmarks.reporting.html.curves import POINTS, curve_figures, mean_and_band, thinned
from benchmarks.reporting.html.forecasts import advantage, forecast_figures, read
from benchmarks.reporting.html.run_files import Runs
from benchmarks.reporting.html.samples import samples
from benchmarks.reporting.html.scores import score_figure, seed_figure
from benchmarks.reporting.html.theme import Looks
from benchmarks.reporting.html.trials import scores_by_search, trial_figure
from benchmarks.results.reader import read_tables
from tests.helpers import planted
from tests.helpers.planted import drawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.full(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def groups(folder: Path) -> dict[str, Group]:
    return {group.task: group for group in compare([folder]).groups}


@pytest.fixture(scope="module")
def runs(folder: Path) -> Runs:
    return Runs([folder / "results.csv"])


def test_a_band_holds_mean_and_extremes_until_the_first_seed_stops() -> None:
    x = np.array([10.0, 20.0, 30.0])
    curves = [(x, np.array([4.0, 3.0, 2.0])), (x[:2], np.array([6.0, 3.5]))]
    band = mean_and_band(curves)
    assert band["x"].tolist() == [10, 20]
    assert band["mean"].tolist() == [5, 3.25]
    assert band["low"].tolist() == [4, 3]
    assert band["high"].tolist() == [6, 3.5]


def test_seeds_measured_at_different_times_are_joined_between_them() -> None:
    curves = [
        (np.array([0.0, 2.0]), np.array([0.0, 2.0])),
        (np.array([1.0, 3.0]), np.array([3.0, 1.0])),
    ]
    band = mean_and_band(curves)
    assert (band["x"].iloc[0], band["x"].iloc[-1]) == (1, 2)
    assert band["mean"].to_numpy() == pytest.approx(2.0)
    assert band["low"].to_numpy() == pytest.approx(np.minimum(band["x"], 4 - band["x"]))


def test_curves_without_a_stretch_in_common_have_no_mean() -> None:
    one, other = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    assert mean_and_band([(one, one), (other, other)]).empty


def test_long_curves_are_thinned_to_their_shape() -> None:
    x = np.arange(10_000.0)
    short = thinned((x, x**2))
    assert len(short[0]) == POINTS
    assert (short[0][0], short[0][-1]) == (0, 9999)
    assert (short[1] == short[0] ** 2).all()
    band = mean_and_band([(x, x), (x, 3 * x)])
    assert len(band) == POINTS
    assert band["mean"].to_numpy() == pytest.approx(2 * band["x"].to_numpy())


def test_learning_curves_show_what_the_histories_hold(groups: dict[str, Group], runs: Runs) -> None:
    group = groups["sp500"]
    figures = curve_figures(group, runs, Looks([group]), "sp500")
    assert [figure.name for figure in figures] == [
        "sp500-curve-steps",
        "sp500-curve-seconds",
        "sp500-curve-tokens",
    ]
    # Seed 4 has stopped after two epochs, so the mean of five seeds ends there.
    steps = [r for r in drawn(figures[0], arm="gru") if "mean" in r]
    assert [(r["x"], r["mean"]) for r in steps] == [(10, 40), (20, 30)]
    ends = [r for r in drawn(figures[0], arm="gru", x=30.0) if "y" in r]
    assert sorted(r["y"] for r in ends) == [25, 25.1, 25.2, 25.3]
    assert {r["x"] for r in drawn(figures[1], arm="gru") if "mean" in r} == {0.5, 1.0}
    assert figures[0].rows[0] == ["gru", "5", "28.00", "25.00"]


def test_runs_without_a_history_are_not_drawn_and_said(
    groups: dict[str, Group], tmp_path: Path
) -> None:
    group = groups["sp500"]
    assert curve_figures(group, Runs([tmp_path / "results.csv"]), Looks([group]), "x") == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("history.csv", b"\xff\xfe\x00"),
        ("history.csv", b""),
        ("predictions.parquet", b"PAR1rubbish"),
        ("excerpts.jsonl", b'{"item": 1'),
        ("excerpts.jsonl", b"\xff[1]\n"),
    ],
)
def test_damaged_files_are_as_missing(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "runs" / "r" / name).write_bytes(content)
    runs = Runs([tmp_path / "results.csv"])
    assert runs.history("r") is None
    assert runs.predictions("r") is None
    assert runs.excerpts("r") == []


def test_a_run_id_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "a" / "runs").mkdir(parents=True)
    (tmp_path / "sample.txt").write_text("secret")
    runs = Runs([tmp_path / "a" / "results.csv"])
    for run_id in ("../..", str(tmp_path), "..", ""):
        assert runs.sample(run_id) is None


@pytest.mark.parametrize("seeds", [1, 3])
def test_curves_of_one_evaluation_are_points(tmp_path: Path, seeds: int) -> None:
    rows = [planted.row("sp500", m, s, 20.0 + s) for m in ("gru", "lstm") for s in range(seeds)]
    for line in rows:
        planted.leave_history(tmp_path, line, [25.0 + line["seed"]])
        file = tmp_path / "runs" / line["run_id"] / "history.csv"
        history = pd.read_csv(file)
        history["train_seconds"] += 0.1 * line["seed"]  # no two seeds take the same time
        history.to_csv(file, index=False)
    (group,) = compare([planted.write(tmp_path, rows)]).groups
    steps, time, _ = curve_figures(group, Runs([tmp_path / "results.csv"]), Looks([group]), "x")
    for figure, expected in ((steps, 2), (time, 2 * seeds)):
        (marks,) = [
            layer
            for layer in figure.spec["layer"]
            if layer["mark"]["type"] == "point" and layer["mark"]["opacity"] == 1
        ]
        values = figure.spec["datasets"][marks["data"]["name"]]
        assert len(values) == expected
        low, high = marks["encoding"]["y"]["scale"]["domain"]
        assert all(low <= r["mean"] <= high for r in values)


def test_scores_of_every_arm_are_drawn_or_said_to_be_beyond(groups: dict[str, Group]) -> None:
    group = groups["shakespeare"]
    figure = score_figure(group, Looks([group]), "x")
    assert [line[0] for line in figure.rows] == [arm.label for arm in group.arms]
    (beyond,) = [r for r in drawn(figure) if "edge" in r]
    assert beyond["arm"] == "uniform"
    assert beyond["text"].startswith("65")
    gru = next(arm for arm in group.arms if arm.label == "gru")
    (mean,) = {r["mean"] for r in drawn(figure, arm="gru") if "mean" in r}
    assert mean == pytest.approx(gru.score.mean, rel=1e-4)
    assert len([r for r in drawn(figure, arm="gru") if "seed" in r]) == 5


def test_one_seed_shows_no_interval_and_no_paired_lines(tmp_path: Path) -> None:
    rows = [planted.row("imdb", model, 0, 0.8) for model in ("gru", "lstm")]
    (group,) = compare([planted.write(tmp_path, rows)]).groups
    figure = score_figure(group, Looks([group]), "x")
    assert {line[2] for line in figure.rows} == {"n = 1"}
    assert not [r for r in drawn(figure) if "low" in r]
    assert seed_figure(group, Looks([group]), "x") is None


def test_each_seed_is_joined_through_the_arms(groups: dict[str, Group]) -> None:
    group = groups["imdb"]
    figure = seed_figure(group, Looks([group]), "x")
    assert figure is not None
    assert {r["arm"] for r in drawn(figure)} == {"gru", "lstm", planted.HOSTILE}
    assert {r["seed"] for r in drawn(figure)} == {"0", "1", "2", "3", "4"}


def test_the_race_ends_at_the_squared_errors_saved(groups: dict[str, Group], runs: Runs) -> None:
    group = groups["sp500"]
    forecasts = read(group, runs)
    assert forecasts is not None
    # gru foresees half of every change, lstm 0.4: they save 1 - 0.5² and 1 - 0.6² of the errors.
    ends = advantage(forecasts).iloc[-1]
    assert ends["gru"] == pytest.approx(75)
    assert ends["lstm"] == pytest.approx(64)
    truth, residuals, race = forecast_figures(group, runs, Looks([group]), "x")
    assert {r["arm"] for r in drawn(truth)} >= {"actual", "random walk", "gru", "lstm"}
    last, actual = planted.closes()
    half = float(np.sqrt(((actual - last) ** 2).mean())) / 2
    assert {line[0]: line[1] for line in residuals.rows}["gru"] == f"{half:.3f}"
    assert race.rows[0] == ["gru", "75.0"]


def test_the_race_draws_the_best_baseline(tmp_path: Path) -> None:
    last, actual = planted.closes()
    models = {"random_walk": (0.0, "naive"), "ar": (0.3, "classical"), "gru": (0.5, "")}
    rows = []
    for model, (share, kind) in models.items():
        seed = None if kind else 0
        rows.append(planted.row("sp500", model, seed, 30 - 20 * share, baseline=kind))
        planted.leave_forecast(tmp_path, rows[-1], last + share * (actual - last))
    (group,) = compare([planted.write(tmp_path, rows)]).groups
    figures = forecast_figures(group, Runs([tmp_path / "results.csv"]), Looks([group]), "x")
    race = figures[-1]
    assert race.rows == [["gru", "75.0"], ["ar", "51.0"]]
    assert "random_walk, the naive" in race.caption
    assert "that of ar, the best baseline" in race.caption


def test_every_time_is_drawn_once_of_forecasts_several_steps_ahead(tmp_path: Path) -> None:
    origins, horizon = 20, 3
    times = np.arange(origins)[:, None] + np.arange(1, horizon + 1)
    for model in ("random_walk", "gru"):
        run = tmp_path / "runs" / model
        run.mkdir(parents=True)
        table = {
            "item": np.arange(origins * horizon, dtype=np.int32),
            "day": [planted.DAYS[time] for time in times.ravel()],
            "step": np.tile(np.arange(1, horizon + 1), origins),
            "last": np.zeros(origins * horizon),
            "actual": times.ravel() + 1.0,
            "predicted": times.ravel() * (1.0 if model == "gru" else 0.0),
        }
        pd.DataFrame(table).to_parquet(run / "predictions.parquet")
    rows = [
        planted.row("sp500", "random_walk", None, 30.0, baseline="naive", run_id="random_walk"),
        planted.row("sp500", "gru", 0, 20.0, run_id="gru"),
    ]
    (group,) = compare([planted.write(tmp_path, rows)]).groups
    runs = Runs([tmp_path / "results.csv"])
    forecasts = read(group, runs)
    assert forecasts is not None
    assert forecasts.horizon == horizon
    # The last origin is 19; it is followed by the times 20 to 22.
    assert forecasts.times == planted.DAYS[2 : origins + horizon]
    assert forecasts.by_arm["gru"].tolist() == [*range(2, origins + horizon)]
    figure = forecast_figures(group, runs, Looks([group]), "x")[0]
    assert "begin 3 steps apart" in figure.caption


def test_forecasts_without_dates_are_drawn_by_row(tmp_path: Path) -> None:
    last, _ = planted.closes()
    row = planted.row("sp500", "gru", 0, 20.0)
    planted.leave_forecast(tmp_path, row, last)
    file = tmp_path / "runs" / row["run_id"] / "predictions.parquet"
    table = pd.read_parquet(file)
    table["day"] = [str(number) for number in range(101, 101 + len(table))]
    table.to_parquet(file)
    (group,) = compare([planted.write(tmp_path, [row])]).groups
    figures = forecast_figures(group, Runs([tmp_path / "results.csv"]), Looks([group]), "x")
    axes = [layer["encoding"]["x"] for layer in figures[0].spec["layer"]]
    assert {(axis["type"], axis["title"]) for axis in axes} == {("quantitative", "row")}
    assert figures[0].rows[0][0] == "121"


def test_a_search_is_drawn_as_its_expected_best(folder: Path, groups: dict[str, Group]) -> None:
    group, frame = groups["sp500"], read_tables([folder]).frame
    searches = scores_by_search(frame, "sp500", "rmse")
    assert searches == {
        "gru": [25, 24, 23, 22, 21, 20],
        "lstm": [24, 23, 22, 21, 20, 19],
    }
    figure = trial_figure(group, frame, Looks([group]), "x")
    assert figure is not None
    assert drawn(figure, arm="lstm", k=1)[0]["best"] == pytest.approx(21.5)
    assert trial_figure(groups["imdb"], frame, Looks([group]), "x") is None


def test_two_searches_of_a_model_are_two_lines(tmp_path: Path) -> None:
    rows = [
        planted.row("sp500", "gru", 0, 20.0 + t, run_id=f"{study}{t}", study=study, trial=t)
        for study in ("a", "b")
        for t in range(3)
    ]
    frame = read_tables([planted.write(tmp_path, rows)]).frame
    assert list(scores_by_search(frame, "sp500", "rmse")) == ["gru (a)", "gru (b)"]
    assert scores_by_search(pd.DataFrame(frame.iloc[:1]), "sp500", "rmse") == {}


def test_samples_are_of_the_first_seed_of_each_net(groups: dict[str, Group], runs: Runs) -> None:
    found = {sample.source for sample in samples(groups["shakespeare"], runs)}
    assert found == {"gru, seed 0", "lstm, seed 0", f"{planted.HOSTILE}, seed 0"}
    assert samples(groups["sp500"], runs) == []


def test_a_model_looks_alike_everywhere_and_like_no_other(groups: dict[str, Group]) -> None:
    looks = Looks(groups.values())
    by_label = {
        label: [looks.of(a) for g in groups.values() for a in g.arms if a.label == label]
        for label in ("gru", "lstm", planted.HOSTILE)
    }
    firsts = [found[0] for found in by_label.values()]
    assert all(look == found[0] for found in by_label.values() for look in found)
    assert len({look.colour for look in firsts}) == 3
    assert len({look.shape for look in firsts}) == 3
    assert len({str(look.dash) for look in firsts}) == 3


def test_an_arm_has_the_colour_of_its_model_and_a_mark_of_its_own(tmp_path: Path) -> None:
    rows = [
        planted.row("sp500", "gru", 0, 20.0, arm="a"),
        planted.row("sp500", "gru", 0, 21.0, arm="b", hidden_size=64, run_id="b"),
        planted.row("sp500", "lstm", 0, 22.0),
    ]
    (group,) = compare([planted.write(tmp_path, rows)]).groups
    looks = Looks([group], ["gru", "rnn"])
    small, large, lstm = (looks.of(arm) for arm in group.arms)
    assert small.colour == large.colour != lstm.colour
    assert small.shape != large.shape
    assert small.dash != large.dash
    assert looks.of_search("gru", 0).colour == small.colour
    assert len({small.colour, lstm.colour, looks.of_search("rnn", 0).colour}) == 3

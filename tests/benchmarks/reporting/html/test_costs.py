"""Score beside cost: the front, and names that find their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.analysis.compare import compare
from benchmarks.reporting.html.costs import cost_figures, pareto, placed
from benchmarks.reporting.html.theme import Looks
from tests.helpers import planted
from tests.helpers.planted import drawn


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_front_is_what_nothing_beats_in_both(higher_is_better: bool) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        # Few values, so that ties are met.
        points = [(float(c), float(s)) for c, s in generator.integers(0, 6, (12, 2))]
        sign = -1 if higher_is_better else 1
        front = pareto(points, higher_is_better)
        kept = {points[i] for i in front}
        losses = [(c, sign * s) for c, s in points]
        undominated = {
            points[i]
            for i, (c, loss) in enumerate(losses)
            if not any(c2 <= c and l2 <= loss and (c2, l2) != (c, loss) for c2, l2 in losses)
        }
        assert kept == undominated
        assert len(kept) == len(front)


def test_costs_name_the_front_and_doubtful_times_have_none(tmp_path: Path) -> None:
    costs = {"rnn": (100, 22.0), "gru": (200, 20.0), "lstm": (300, 21.0)}
    rows = [
        planted.row("sp500", model, seed, score + 0.1 * seed, parameters=size, concurrent_runs=2)
        for model, (size, score) in costs.items()
        for seed in range(3)
    ]
    (group,) = compare([planted.write(tmp_path, rows)]).groups
    time, _, parameters = cost_figures(group, Looks([group]), "x")
    assert [line[0] for line in parameters.rows if line[-1] == "yes"] == ["gru", "rnn"]
    steps = [r for r in drawn(parameters) if "place" in r]
    assert [(r["cost"], r["arm"]) for r in steps] == [(100, "rnn"), (200, "gru")]
    assert {line[-1] for line in time.rows} == {"no"}
    assert not [r for r in drawn(time) if "place" in r]
    assert "doubt" in time.caption


def test_what_has_no_parameters_is_drawn_and_on_the_front(tmp_path: Path) -> None:
    rows = [
        planted.row("sp500", model, seed, score + 0.1 * seed, parameters=size)
        for model, (size, score) in {"gru": (3489, 20.0), "lstm": (46410, 21.0)}.items()
        for seed in range(3)
    ]
    free = {"parameters": 0, "peak_memory_mib": "", "baseline": "naive"}
    rows.append(planted.row("sp500", "random_walk", None, 22.0, **free))
    (group,) = compare([planted.write(tmp_path, rows)]).groups
    _, memory, parameters = cost_figures(group, Looks([group]), "x")
    assert [line[0] for line in parameters.rows if line[-1] == "yes"] == ["gru", "random_walk"]
    (walk,) = [r for r in drawn(parameters, arm="random_walk") if "low" in r][:1]
    assert (walk["cost"], walk["at"]) == (0, 100)
    assert "parameters are 0" in parameters.caption
    assert [line[0] for line in memory.rows] == ["gru", "lstm"]
    assert "baselines have none" in memory.caption


def test_names_that_find_no_place_are_left_out() -> None:
    records = [{"arm": f"kneser_ney_{i}", "at": 1.0, "score": 5.0} for i in range(30)]
    sides = placed(records, records, (4.0, 6.0), is_log=False)
    written = [r["arm"] for _, there in sides for r in there]
    assert 0 < len(written) < 10
    assert "kneser_ney_0" in written


def test_names_beside_points_do_not_cover_each_other() -> None:
    records = [{"arm": f"arm{i}", "at": 1.0 + 0.2 * i, "score": 5.0} for i in range(6)]
    sides = placed(records, records, (4.0, 6.0), is_log=False)
    assert sum(len(there) for _, there in sides) == len(records)
    assert len(sides) > 1

"""Memory and time per new step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.training.streaming import STEPS_BEFORE, streaming_costs
from models.attention import AttentionSettings
from models.base import ModelSettings
from models.recurrent import RecurrentSettings
from tests.helpers.calling import QUICK, rows, run_py

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (RecurrentSettings(cell="lstm", hidden_size=8, num_layers=2), 2 * 2 * 8 * 4),
        (RecurrentSettings(cell="gru", hidden_size=8), 8 * 4),
        (AttentionSettings(hidden_size=8, window=16), 15 * (2 * 8 + 1) * 4),
    ],
)
def test_the_state_has_the_bytes_of_its_definition(settings: ModelSettings, expected: int) -> None:
    costs = streaming_costs(settings.build(3), CPU, "highest")
    assert costs["state_bytes"] == expected
    assert all(costs[column] > 0 for column in STEPS_BEFORE)


def test_a_step_is_computed_in_the_precision_of_the_run() -> None:
    settings = AttentionSettings(hidden_size=8, window=16)
    lower = streaming_costs(settings.build(3), CPU, "bfloat16")
    assert lower["state_bytes"] == 15 * (2 * 8 + 1) * 2


@pytest.mark.parametrize(("model", "is_measured"), [("gru", True), ("bigru", False)])
def test_a_run_measures_encoders_in_one_direction(
    model: str, is_measured: bool, tmp_path: Path
) -> None:
    folder = f"results_dir={tmp_path}"
    done = run_py(*QUICK, f"model={model}", folder, "measure.streaming=true")
    assert done.returncode == 0, done.stderr
    (row,) = rows(tmp_path)
    assert {bool(row[name]) for name in ("state_bytes", *STEPS_BEFORE)} == {is_measured}
    assert "measure.streaming" not in row["overrides"]

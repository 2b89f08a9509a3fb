"""The override that Hydra refused is the one that is named, beside others of any form."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from benchmarks.config.compose import compose_run, hydra_at
from benchmarks.config.help import CONF
from benchmarks.config.hydra_errors import explain
from benchmarks.config.registry import register_schemas


def explained(*overrides: str) -> str:
    register_schemas()
    words = ["model=lstm", "task=forecast", f"task.data={Path(__file__)}", *overrides]
    with hydra_at(CONF), pytest.raises((HydraException, OmegaConfBaseException)) as caught:
        compose_run(words)
    return explain(caught.value, words, [CONF])


@pytest.mark.parametrize(
    "right",
    [
        "task.features=[Station temp]",
        "task.features=['Station temp',\"b\"]",
        "task.features=[a]",
        "task.features=null",
        "task.features=[]",
        "seeds=[0,1,2]",
        "train.max_steps=null",
        "train.learning_rate=1e-3",
        "task.column='null and (void)'",
        "smoke=true",
    ],
)
def test_a_wrong_key_is_named_beside_right_values(right: str) -> None:
    text = explained(right, "results=../res")
    assert text.startswith("results=../res: there is no such key; did you mean results_dir?")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("task.features=a", "task.features=a: must be a list of names, as in [a,b] or null"),
        ("task.horizon=two", "task.horizon=two: must be a whole number of at least 1"),
        ("task.horizon=[1]", "task.horizon=[1]: must be a whole number of at least 1"),
        ("smoke=7x", "smoke=7x: must be true or false"),
    ],
)
def test_a_wrong_type_is_named_beside_a_list(wrong: str, expected: str) -> None:
    assert explained("seeds=[0,1]", wrong) == expected

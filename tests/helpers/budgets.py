"""Runs and sweeps on sp500 that may have a budget."""

from __future__ import annotations

from typing import Any

from benchmarks.config.compose import hydra_at, sweep_axes
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.sweeps.plan import DataDescriptions, make_plan
from tests.helpers import composing
from tests.helpers.composing import CONF

SP500_BUDGET = 4575  # what an RNN, a GRU and an LSTM on two features come within 1 % of


def composed(*overrides: str) -> Config:
    return composing.composed("task=sp500", *overrides)


def plan_of(*overrides: str) -> Any:
    register_schemas()
    descriptions = DataDescriptions()
    with hydra_at(CONF):
        axes = sweep_axes(["task=sp500", *overrides])
        return make_plan(
            axes, descriptions, lambda config: ["cpu"], descriptions.with_matched_sizes
        )

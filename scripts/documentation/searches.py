"""Searches and ablations of settings: their scores on validation, and what the rules choose."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.analysis.choice import Candidate, Choice, choices
from benchmarks.analysis.formatting import mean_text
from benchmarks.analysis.statistics.common import Interval
from benchmarks.analysis.statistics.seeds import interval
from benchmarks.config.compose import hydra_at, recipe_value
from benchmarks.config.help import CONF
from benchmarks.config.registry import register_schemas
from scripts.documentation.markdown import text_table
from scripts.documentation.scores import with_interval

LARGEST_LOSS = {"accuracy": (0.001, "accuracy"), "perplexity": (0.003, "nats")}
"""Largest loss in the interval of an accepted ingredient, and its unit (docs/recipes.md)."""


def choices_of(table: Path, key: str) -> list[Choice]:
    """Return the choices of a setting's value in a table of validation scores."""
    register_schemas()
    with hydra_at(CONF):
        return choices([table], key, None, recipe_value)


def choice_table(table: Path, key: str) -> str:
    """Return the validation scores of a search by model and value, and the reason of the choice."""
    found = choices_of(table, key)
    values = list(dict.fromkeys(each.value for choice in found for each in choice.candidates))
    rows = []
    for choice in found:
        cells = dict.fromkeys(values, "")
        for each in choice.candidates:
            text = "" if each.score is None else with_interval(mean_text(each.score), each.score)
            cells[each.value] = f"**{text}**" if each.value == choice.chosen else text
        model = choice.settings.split()[0]
        rows.append([choice.task, choice.metric, model, *cells.values(), choice.reason])
    return text_table(["task", "metric", "model", *values, f"`{key}`"], rows)


def ablation_table(table: Path, key: str) -> str:
    """Return the paired gain of each value of a setting over the recipe's, and the decision."""
    rows = []
    for choice in choices_of(table, key):
        own = next(each for each in choice.candidates if each.is_of_recipe)
        for each in choice.candidates:
            if each is own:
                continue
            gain = gain_over(own, each, choice)
            worst, unit = LARGEST_LOSS[choice.metric]
            assert gain.low is not None
            accepted = "accepted" if gain.mean > 0 and gain.low > -worst else "rejected"
            text = with_interval(f"{'+' * (gain.mean > 0)}{mean_text(gain)}", gain)
            seeds = str(gain.n)
            rows.append(
                [choice.task, choice.settings, each.value, f"{text} {unit}", seeds, accepted]
            )
    return text_table(["task", "settings", f"`{key}`", "gain on validation", "seeds", "rule"], rows)


def gain_over(own: Candidate, other: Candidate, choice: Choice) -> Interval:
    """Return the interval of the paired gains of a value, in nats for a perplexity."""
    _, own_places, places = np.intersect1d(own.seeds, other.seeds, return_indices=True)
    a, b = own.scores[own_places], other.scores[places]
    if choice.metric == "perplexity":
        a, b = np.log(a), np.log(b)
    return interval(b - a if choice.higher_is_better else a - b)

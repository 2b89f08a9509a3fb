"""False differences of the tests over items."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.analysis.statistics.items import (
    diebold_mariano,
    mcnemar,
    model_confidence_set,
)
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import PART, is_shown, share


def items(draws: int) -> str:
    """Measure the false differences of tests over items, and the coverage of the confidence set."""
    rng = np.random.default_rng(3)
    rows = []
    for n in (200, 2000, 25_000):
        hard = rng.beta(8, 2, size=(draws, n)) if n < 25_000 else rng.beta(8, 2, size=(1, n))
        hits = [
            is_shown(mcnemar(rng.random(n) < easy, rng.random(n) < easy).p)
            for easy in np.broadcast_to(hard, (draws, n))
        ]
        rows.append(["McNemar", f"{n:,} reviews of different difficulty", share(hits)])
    for n, tails in ((60, "normal"), (184, "normal"), (184, "heavy-tailed")):
        size = (draws, 2, n)
        errors = rng.normal(size=size) if tails == "normal" else rng.standard_t(4, size=size)
        hits = [is_shown(diebold_mariano(a, b).p) for a, b in errors]
        rows.append(["Diebold-Mariano (EWC)", f"{n} days, {tails} errors", share(hits)])
    losses = rng.normal(size=(draws // PART, 4, 500)) + np.array([0, 0, 0.1, 0.3])[:, None]
    kept = [model_confidence_set(list(each), seed=s, block=1)[0] for s, each in enumerate(losses)]
    lost = [not {0, 1} <= set(places) for places in kept]
    rows.append(["Model Confidence Set", "4 models, the best 2 equal: one lost", share(lost)])
    return markdown_table(["test", "two equal models, on", "false, %"], rows)


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    few = draws // PART
    caption = "Tests over items of equal models (5 % allowed)"
    yield f"{caption}, {few:,} draws each", items(few)

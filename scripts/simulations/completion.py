"""Arms of which some runs fail."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.analysis.comparison import BETTER, FAILS_MORE, NOT_SHOWN, WORSE
from benchmarks.analysis.completion import completion_of, in_view_of_failures, with_correction
from benchmarks.analysis.seed_tests import Scores, difference
from benchmarks.analysis.statistics.completion import fisher_p, ranked_with_failures
from benchmarks.analysis.statistics.seeds import unpaired
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import Array, is_shown, share

CASES = (  # probabilities that a run of A, and of B, fails; difference of the scores in sd
    (0.0, 0.0, 0.0),
    (0.1, 0.1, 0.0),
    (0.3, 0.3, 0.0),
    (0.5, 0.5, 0.0),
    (0.0, 0.5, 0.0),
    (0.0, 0.8, 0.0),
    (0.0, 0.5, -1.0),
)


def ranked_p(a: Array, b: Array) -> float:
    """Return the p of the ranks of scores, NaN for a failed run."""
    kept, other = a[~np.isnan(a)], b[~np.isnan(b)]
    return ranked_with_failures(kept, len(a) - len(kept), other, len(b) - len(other), True)[0]


def survivors_p(a: Array, b: Array) -> float | None:
    """Return the p of the scores of the completed runs alone."""
    kept, other = a[~np.isnan(a)], b[~np.isnan(b)]
    return unpaired(kept, other).p if len(kept) and len(other) else None


def verdict(a: Array, b: Array) -> str:
    """Return the verdict on two arms of runs at the same seeds, NaN for a failed run."""
    arms = [
        Scores(np.flatnonzero(~np.isnan(x)), x[~np.isnan(x)], False, int(np.isnan(x).sum()))
        for x in (a, b)
    ]
    found = difference(arms[0], arms[1])[0] if all(arm.n for arm in arms) else None
    of_scores = NOT_SHOWN
    if found is not None and is_shown(found.p):
        of_scores = BETTER if found.difference > 0 else WORSE
    (completion,) = with_correction([completion_of(arms[0], arms[1], True)])
    return in_view_of_failures(of_scores, completion, NOT_SHOWN)


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    rng, rows = np.random.default_rng(10), []
    for *failing, lead in CASES:
        for n in (5, 10, 20):
            scores = rng.normal(size=(draws, 2, n))
            scores[:, 0] += lead
            scores[rng.random(scores.shape) < np.array(failing)[:, None]] = np.nan
            done = (~np.isnan(scores)).sum(axis=2)
            fisher = [is_shown(fisher_p(int(a), n, int(b), n)) for a, b in done]
            ranked = [is_shown(ranked_p(a, b)) for a, b in scores]
            survivors = [is_shown(survivors_p(a, b)) for a, b in scores]
            found = [verdict(a, b) for a, b in scores]
            favours_b = [each in (WORSE, FAILS_MORE) for each in found]
            verdicts = [each != NOT_SHOWN for each in found], favours_b
            name = f"{failing[0]:.0%} and {failing[1]:.0%} fail".replace("%", " %")
            if lead:
                name += f", A {-lead:.0f} sd worse if completed"
            rows.append([name, str(n), *map(share, (fisher, ranked, survivors, *verdicts))])
    header = ["runs of A and B", "runs each", "completion (Fisher), %"]
    header += ["ranks with failures, %", "completed runs alone (Welch), %"]
    header += ["verdict, any, %", "verdict for B, %"]
    caption = (
        "Differences shown between arms with failed runs (5 % allowed if both fail equally often)"
    )
    yield f"{caption}, {draws:,} draws each", markdown_table(header, rows)

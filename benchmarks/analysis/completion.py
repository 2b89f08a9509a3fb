"""Failed runs of two arms: tests of completion, and verdicts that consider them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from benchmarks.analysis.comparison import (
    BETTER,
    FAILS_LESS,
    FAILS_MORE,
    NOT_COMPARABLE,
    WORSE,
    Completion,
)
from benchmarks.analysis.seed_tests import Scores
from benchmarks.analysis.statistics.common import LEVEL, Vector
from benchmarks.analysis.statistics.completion import fisher_p, ranked_with_failures
from benchmarks.analysis.statistics.power import adjusted


def completion_of(a: Scores, b: Scores, higher_is_better: bool) -> Completion | None:
    """Compare the completion of two arms; None if no run failed."""
    if not a.failed and not b.failed:
        return None
    is_fixed = a.is_deterministic or b.is_deterministic
    ranked = ranked_with_one_score if is_fixed else ranked_with_failures
    counts = (len(a.runs), a.attempted), (len(b.runs), b.attempted)
    p, probability = ranked(a.runs, a.failed, b.runs, b.failed, higher_is_better)
    fisher = None if is_fixed else fisher_p(*counts[0], *counts[1])
    return Completion(*counts, fisher, p, probability)


def without_scores(a: Scores, attempted: int, higher_is_better: bool) -> Completion:
    """Compare the completion of an arm with one of which no run was completed."""
    p, probability = ranked_with_failures(a.runs, a.failed, [], attempted, higher_is_better)
    counts = (len(a.runs), a.attempted), (0, attempted)
    return Completion(*counts, fisher_p(*counts[0], *counts[1]), p, probability)


def ranked_with_one_score(
    a: Vector, failed_a: int, b: Vector, failed_b: int, higher_is_better: bool
) -> tuple[float, float]:
    """Compare runs, failures ranked worst, with one exact score by a sign test.

    Returns:
        The p-value, and the probability that a run of A is better than a run of B.
    """
    difference = np.subtract(a, b) * (1 if higher_is_better else -1)  # one side has a single score
    better = int((difference > 0).sum()) + failed_b
    worse = int((difference < 0).sum()) + failed_a
    total = len(difference) + failed_a + failed_b
    p = min(1.0, 2 * float(special.bdtr(min(better, worse), better + worse, 0.5)))
    return p, (better + (total - better - worse) / 2) / total


def with_correction(
    completions: Sequence[Completion | None], family: int = 0
) -> list[Completion | None]:
    """Return the completions with p-values of Fisher's test corrected as in `adjusted`."""
    tested = [each for each in completions if each is not None and each.p is not None]
    pvalues = iter(adjusted([each.p or 0.0 for each in tested], family))
    return [
        each if each is None or each.p is None else replace(each, p_adjusted=next(pvalues))
        for each in completions
    ]


def in_view_of_failures(
    verdict: str, completion: Completion | None, undecided: str, level: float = LEVEL
) -> str:
    """Return the verdict on A against B in view of their failed runs, with tests at a level.

    A verdict on the scores of completed runs stands if it favours the arm that fails less often.
    Otherwise the arms differ in completion if Fisher's test shows it, and a verdict in favour of
    the arm that fails more often needs the same result with failures ranked worst.
    """
    if completion is None or completion.excess == 0:
        return verdict
    a_fails_more = completion.excess > 0
    if verdict == (WORSE if a_fails_more else BETTER):
        return verdict
    if completion.p_adjusted is not None and completion.p_adjusted < level:
        return FAILS_MORE if a_fails_more else FAILS_LESS
    if verdict in (BETTER, WORSE) and completion.ranked_p < level:
        is_agreed = (completion.probability > 0.5) == a_fails_more
        return verdict if is_agreed else undecided
    return NOT_COMPARABLE if verdict == NOT_COMPARABLE else undecided


def withheld_by(sides: tuple[str, str], completion: Completion | None, is_withheld: bool) -> str:
    """Return the side whose failed runs withhold the verdict on the scores, or an empty string."""
    if completion is None or not is_withheld:
        return ""
    return sides[0] if completion.excess > 0 else sides[1]

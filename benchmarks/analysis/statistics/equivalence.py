"""Equivalence within a margin, and the size of a difference in standard deviations."""

from __future__ import annotations

import math

from scipy import special

from benchmarks.analysis.statistics.common import CONFIDENCE, Interval, Paired

LARGE_STATISTIC = 1000.0


def tost_p(found: Paired, margin: float) -> float | None:
    """Return the p of two one-sided t-tests (Schuirmann 1987): the difference is below the margin.

    None without a t statistic. p < 0.05 if and only if the 90 % interval lies between -margin and
    margin. Scores that are equal at all seeds have no spread and are equivalent.
    """
    if margin <= 0:
        raise ValueError("a margin is above 0")
    if found.error is None or found.freedom is None:
        return None
    if found.error == 0:
        return 0.0
    within = margin - abs(found.difference)  # the smaller distance has the larger p
    return float(special.stdtr(found.freedom, -within / found.error))


def effect_size(found: Paired) -> Interval | None:
    """Return the difference in standard deviations with its 95 % interval; None without spread.

    The unit is the sd of the difference of two scores at one seed: sd of the differences if paired,
    sqrt(s_a**2 + s_b**2) for arms without common seeds, so that both have the same scale. The
    interval is that of the noncentrality of t = difference / error (Steiger and Fouladi 1997). It
    is exact for the paired t-test; for Welch's it takes the ratio of the variances as known.
    """
    if not found.error or not found.deviation or found.freedom is None:
        return None
    statistic, unit = found.difference / found.error, found.error / found.deviation
    tails = ((1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2)
    low, high = (noncentrality(found.freedom, p, statistic) * unit for p in tails)
    return Interval(found.difference / found.deviation, low, high, found.n)


def noncentrality(freedom: float, p: float, statistic: float) -> float:
    """Return the noncentrality at which t is at most `statistic` with probability p.

    The inversion takes minutes for a large t, where the normal part of t is negligible: t is then
    noncentrality / sqrt(chi-squared / freedom).
    """
    if abs(statistic) <= LARGE_STATISTIC:
        return float(special.nctdtrinc(freedom, p, statistic))
    share = 1 - p if statistic > 0 else p
    return statistic * math.sqrt(2 * float(special.gammaincinv(freedom / 2, share)) / freedom)

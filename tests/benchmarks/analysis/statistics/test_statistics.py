"""Statistics compared with independent references and simulated data."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from arch.bootstrap import CircularBlockBootstrap
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from benchmarks.analysis.statistics.common import Paired
from benchmarks.analysis.statistics.items import (
    block_bootstrap,
    block_length,
    block_means,
    mcnemar,
    model_confidence_set,
)
from benchmarks.analysis.statistics.power import (
    detectable,
    expected_best,
    holm,
    holm_levels,
    paired_power,
)
from benchmarks.analysis.statistics.seeds import (
    interquartile_mean,
    interval,
    paired_by_seed,
    unpaired,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_one_seed_has_no_interval_and_no_test() -> None:
    assert (interval([0.8]).low, interval([0.8]).high, interval([0.8]).n) == (None, None, 1)
    found = paired_by_seed([0.8], [0.7])
    assert (found.low, found.high, found.p, found.n) == (None, None, None, 1)
    assert found.difference == pytest.approx(0.1)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_interval_is_students(n: int) -> None:
    x = rng().normal(size=n)
    found = interval(x)
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_have_the_stated_coverage(n: int) -> None:
    """2,000 draws: 0.95 is measured to within 0.01."""
    draws = rng(n).normal(1.0, 2.0, size=(2000, n))
    covered = [i.low <= 1.0 <= i.high for i in map(interval, draws)]  # type: ignore[operator]
    assert 0.93 <= float(np.mean(covered)) <= 0.97


def test_arms_of_one_distribution_rarely_differ() -> None:
    draws = rng(1).normal(size=(1000, 2, 5))
    assert np.mean([paired_by_seed(a, b).p < 0.05 for a, b in draws]) <= 0.065  # type: ignore[operator]


def test_a_planted_difference_is_found_with_the_stated_power() -> None:
    effect = detectable(1 / np.sqrt(5), 4)
    assert effect is not None
    draws = rng(2).normal(size=(1000, 5)) + effect
    found = np.mean([paired_by_seed(d, np.zeros(5)).p < 0.05 for d in draws])  # type: ignore[operator]
    assert 0.76 <= found <= 0.84


@pytest.mark.parametrize("n", [2, 9, 30])
def test_common_seeds_are_tested_by_the_paired_t_test(n: int) -> None:
    a, b = rng(3).normal(size=(2, n))
    found, expected = paired_by_seed(a, b), stats.ttest_rel(a, b)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.deviation == pytest.approx(np.std(a - b, ddof=1))
    assert found.error == pytest.approx(stats.sem(a - b))
    assert (found.freedom, found.method) == (n - 1, "paired t")


def test_the_probability_of_improvement_counts_ties_half() -> None:
    assert paired_by_seed([1, 2, 3, 4], [0, 2, 4, 0]).probability == 0.625


@pytest.mark.parametrize("rounding", [0.0, 1e-17, 1e-13])
def test_equal_differences_are_no_evidence(rounding: float) -> None:
    """A t-test would divide by zero; scores in coarse steps often have equal differences."""
    base = np.array([0.81, 0.84, 0.83])
    wobble = np.array([0.0, rounding, 2 * rounding])
    found = paired_by_seed(base + 0.01 + wobble, base)
    assert (found.p, found.low, found.deviation, found.error) == (None, None, 0.0, None)
    assert found.difference == pytest.approx(0.01)
    assert paired_by_seed(base + wobble, base).p == 1.0


@pytest.mark.parametrize("test", [paired_by_seed, unpaired])
def test_scores_that_no_seed_changes_are_no_evidence(test: Callable[..., Paired]) -> None:
    """Six identical differences would otherwise give p = 0.03."""
    found = test([0.81] * 6, [0.8] * 6)
    assert (found.p, found.low, found.error) == (None, None, None)
    assert found.method == "scores do not vary over seeds: no test"
    assert found.difference == pytest.approx(0.01)
    assert test([0.8] * 6, [0.8] * 6).p is None
    # One arm whose scores vary is enough for a t-test.
    assert test([0.8] * 6, [0.7, 0.71, 0.69, 0.7, 0.72, 0.71]).p < 1e-4


def test_arms_without_common_seeds_are_welchs() -> None:
    a, b = rng(15).normal(size=4), rng(16).normal(1.0, 3.0, size=7)
    found, expected = unpaired(a, b), stats.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.error == pytest.approx(np.sqrt(a.var(ddof=1) / 4 + b.var(ddof=1) / 7))
    assert found.freedom == pytest.approx(expected.df)
    assert found.deviation == pytest.approx(np.sqrt(a.var(ddof=1) + b.var(ddof=1)))
    assert unpaired(a[:1], b).p is None


def test_unequal_numbers_of_seeds_do_not_pair() -> None:
    for test in (paired_by_seed, mcnemar, block_bootstrap):
        with pytest.raises(ValueError, match=r"3 and 2 .* do not pair"):
            test([1, 2, 3], [1, 2])


def test_mcnemar_agrees_with_statsmodels() -> None:
    a, b = rng(7).random(2000) < 0.9, rng(8).random(2000) < 0.88
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    found = mcnemar(a, b)
    assert found.p == pytest.approx(reference_mcnemar(table, exact=True).pvalue)
    assert found.difference == pytest.approx(a.mean() - b.mean())
    # For independent classifiers the interval is near that of two proportions.
    widths = [np.diff(proportion_confint(x.sum(), 2000))[0] for x in (a, b)]
    assert found.high is not None
    assert found.low is not None
    assert found.high - found.low == pytest.approx(float(np.hypot(*widths)), rel=0.02)


def test_mcnemar_of_equal_classifiers() -> None:
    right = rng(9).random(100) < 0.9
    assert (mcnemar(right, right).p, mcnemar(right, right).difference) == (1.0, 0.0)


def autocorrelated(n: int, seed: int) -> np.ndarray:
    noise, x = rng(seed).normal(size=n), np.zeros(n)
    for t in range(1, n):
        x[t] = 0.8 * x[t - 1] + noise[t]
    return x


def test_blocks_account_for_dependent_steps() -> None:
    """Assuming independence would show differences in a third of the draws."""
    false = 0
    for seed in range(200):
        found = block_bootstrap(autocorrelated(1500, seed), np.zeros(1500), seed, draws=300)
        assert found.p is not None
        false += found.p < 0.05
    assert false / 200 <= 0.12


def test_blocks_vary_as_those_of_arch() -> None:
    x = autocorrelated(997, 4)
    ours = block_means(x, 20, 4000, rng(17))
    theirs = CircularBlockBootstrap(20, x, seed=rng(18)).apply(np.mean, 4000)[:, 0]
    assert ours.mean() == pytest.approx(x.mean(), abs=0.02)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.05)
    # No step counts more than another, nor does the last block, which is shorter.
    assert block_means(np.ones(997), 20, 10, rng(17)) == pytest.approx(1.0, abs=1e-12)
    # Blocks of one are the bootstrap of what does not depend on its neighbours.
    assert block_means(x, 1, 4000, rng(17)).std() == pytest.approx(x.std() / 997**0.5, rel=0.05)


def test_blocks_are_as_long_as_the_dependence() -> None:
    independent, dependent = rng(19).normal(size=8000), autocorrelated(8000, 5)
    assert block_length(independent) == 20
    assert block_length(dependent) > 40
    assert block_length(np.cumsum(rng(20).normal(size=200))) == 20


def test_sequences_that_cannot_be_tested() -> None:
    ramp = np.arange(1000.0)
    assert block_bootstrap(ramp, ramp).p == 1.0
    # A difference that is the same at every step is no rounding.
    found = block_bootstrap(ramp + 0.5, ramp)
    assert found.difference == 0.5
    assert found.p is not None
    assert found.p < 1e-9
    assert block_bootstrap(ramp[:199] ** 2, ramp[:199]).p is None


def test_a_difference_along_a_sequence_is_found_and_repeats() -> None:
    x = autocorrelated(5000, 1)
    found = block_bootstrap(x + 0.5, x * 0.9, seed=3)
    assert found == block_bootstrap(x + 0.5, x * 0.9, seed=3)
    assert found.p is not None
    assert found.p < 0.01
    assert found.low is not None
    assert found.low > 0


def test_the_confidence_set_keeps_the_best_and_drops_the_worse() -> None:
    losses = rng(12).normal(size=(3, 2000)) ** 2
    losses[2] += 0.3
    kept, pvalues = model_confidence_set(list(losses), block=1)
    assert kept == [0, 1]
    assert pvalues[2] < 0.05
    assert model_confidence_set(list(losses), block=1) == (kept, pvalues)
    assert model_confidence_set([losses[0], losses[0], losses[2]])[0] == [0, 1]
    assert model_confidence_set([losses[0], losses[0]]) == ([0, 1], [1.0, 1.0])


def test_models_with_equal_statistics_are_ordered() -> None:
    # The first two models differ from the others by the same numbers of wrong items.
    wrong = np.zeros((4, 24))
    wrong[1, 0], wrong[0, 1] = 1, 1
    wrong[2, 2:20], wrong[3, 3:21] = 1, 1
    kept, pvalues = model_confidence_set(list(wrong), block=1)
    assert kept == [0, 1]
    assert max(pvalues) == 1
    assert max(pvalues[2:]) < 0.05


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    p = rng(22).random(12) ** 3
    assert holm(list(p)) == pytest.approx(list(multipletests(p, method="holm")[1]))


@pytest.mark.parametrize("power", [0.5, 1, 3, 6])
def test_holms_levels_agree_with_the_corrected_verdicts(power: float) -> None:
    """Step by step: the smallest p against 5 % / 7, the next against 5 % / 6, until one fails."""
    for seed in range(200):
        p = np.round(rng(seed).random(7) ** power, 3)  # with ties and zeros
        shown = np.zeros(7, dtype=bool)
        for place, tests in zip(np.argsort(p), range(7, 0, -1), strict=True):
            if p[place] >= 0.05 / tests:
                break
            shown[place] = True
        levels = np.array(holm_levels(list(p)))
        assert list(p < levels) == list(shown)
        assert ((levels * (1 + 1e-12) >= 0.05 / 7) & (levels <= 0.05)).all()
    assert holm_levels([]) == []
    assert holm_levels([0.0, 0.0, 0.02]) == pytest.approx([0.05 / 3, 0.05 / 3, 0.05])


@pytest.mark.parametrize("n", [3, 5, 10, 100])
def test_power_agrees_with_statsmodels(n: int) -> None:
    assert paired_power(0.7, n) == pytest.approx(TTestPower().power(0.7, n, 0.05), abs=1e-6)


def test_the_interquartile_mean_needs_enough_values() -> None:
    x = [*range(10), 1000.0]
    assert interquartile_mean(x) == pytest.approx(stats.trim_mean(x, 0.25))
    assert interquartile_mean(x[:7]) is None


def test_the_expected_best_agrees_with_random_draws() -> None:
    scores = rng(13).normal(size=8)
    drawn = rng(14).choice(scores, size=(200_000, 3))
    assert expected_best(scores, True)[2] == pytest.approx(drawn.max(axis=1).mean(), abs=0.01)
    assert expected_best(scores, False)[2] == pytest.approx(drawn.min(axis=1).mean(), abs=0.01)
    assert expected_best(scores, True)[0] == pytest.approx(scores.mean())


def test_the_expected_best_agrees_with_all_draws() -> None:
    scores = [0.3, 0.9, 0.5]
    drawn = [max(draw) for draw in product(scores, repeat=3)]
    assert expected_best(scores, True)[2] == pytest.approx(np.mean(drawn))


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [float("inf")]])
def test_non_finite_numbers_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="all of them finite"):
        interval(bad)


def test_a_constant_difference_excludes_the_worse_model() -> None:
    """There is no spread to divide by."""
    losses = np.abs(np.random.default_rng(0).normal(size=80))
    stay, pvalues = model_confidence_set([losses + 1.0, losses, np.full(80, 9.0), np.full(80, 8.0)])
    assert stay == [1]
    assert pvalues[0] == pvalues[2] == 0.0

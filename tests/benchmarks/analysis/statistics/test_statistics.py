"""Statistics compared with independent references and simulated data."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from arch.bootstrap import CircularBlockBootstrap
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from benchmarks.analysis.statistics.items import (
    block_bootstrap,
    block_length,
    block_means,
    diebold_mariano,
    mcnemar,
    model_confidence_set,
)
from benchmarks.analysis.statistics.power import (
    expected_best,
    holm,
    minimum_detectable,
    paired_power,
    seeds_needed,
)
from benchmarks.analysis.statistics.seeds import (
    interquartile_mean,
    interval,
    paired_by_seed,
    sign_flip_p,
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
    effect = minimum_detectable(1.0, 5)
    assert effect is not None
    draws = rng(2).normal(size=(1000, 5)) + effect
    found = np.mean([paired_by_seed(d, np.zeros(5)).p < 0.05 for d in draws])  # type: ignore[operator]
    assert 0.76 <= found <= 0.84


def test_few_pairs_are_tested_by_t_and_many_by_permutation() -> None:
    a, b = rng(3).normal(size=(2, 30))
    few = paired_by_seed(a[:9], b[:9])
    assert few.method == "paired t"
    assert few.p == pytest.approx(stats.ttest_rel(a[:9], b[:9]).pvalue)
    assert few.deviation == pytest.approx(np.std(a[:9] - b[:9], ddof=1))
    many = paired_by_seed(a, b)
    assert many.method == "paired permutation"
    assert many.p == sign_flip_p(a - b)


def test_a_permutation_can_show_a_difference_among_fifty_arms() -> None:
    """Ten pairs could not among eight: 28 comparisons times 2 / 2**10 is above 0.05."""
    for n in range(5, 30):
        p = paired_by_seed(np.arange(n) + 100.0, np.zeros(n)).p
        assert p is not None
        assert holm([p] * (50 * 49 // 2))[0] < 0.05


@pytest.mark.parametrize("n", [6, 12])
@pytest.mark.parametrize("step", [None, 0.1], ids=["", "ties"])
def test_sign_flips_agree_with_scipy(n: int, step: float | None) -> None:
    d = rng(4).normal(0.4, 1.0, size=n)
    if step:
        d = np.round(d / step) * step
    expected = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_p(d) == pytest.approx(expected)


def test_equal_sums_are_equal_despite_rounding() -> None:
    tenths = rng(23).integers(-9, 10, size=(20, 12))
    assert [sign_flip_p(d * 0.1) for d in tenths] == [sign_flip_p(d) for d in tenths]


def test_drawn_sign_flips_are_near_enumerated_ones_and_repeat() -> None:
    d = rng(5).normal(0.3, 1.0, size=40)
    expected = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=20_000, rng=rng(6)
    ).pvalue
    assert sign_flip_p(d, seed=1) == sign_flip_p(d, seed=1)
    assert sign_flip_p(d) == pytest.approx(expected, abs=0.01)


def test_the_probability_of_improvement_counts_ties_half() -> None:
    assert paired_by_seed([1, 2, 3, 4], [0, 2, 4, 0]).probability == 0.625


@pytest.mark.parametrize("rounding", [0.0, 1e-17, 1e-13])
def test_equal_differences_are_tested_by_their_signs(rounding: float) -> None:
    """A t-test would divide by zero; scores in coarse steps often have equal differences."""
    base = np.array([0.81, 0.84, 0.83])
    wobble = np.array([0.0, rounding, 2 * rounding])
    found = paired_by_seed(base + 0.01 + wobble, base)
    assert (found.p, found.low, found.deviation) == (0.25, None, 0.0)
    assert found.difference == pytest.approx(0.01)
    assert paired_by_seed(base + wobble, base).p == 1.0
    assert unpaired([0.81] * 3, [0.8] * 3).p == 0.1
    assert unpaired([0.8] * 3, [0.8] * 3).p == 1.0


def test_arms_without_common_seeds_are_welchs() -> None:
    a, b = rng(15).normal(size=4), rng(16).normal(1.0, 3.0, size=7)
    found, expected = unpaired(a, b), stats.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert unpaired(a[:1], b).p is None


def test_unequal_numbers_of_seeds_do_not_pair() -> None:
    for test in (paired_by_seed, mcnemar, block_bootstrap, diebold_mariano):
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
    assert block_bootstrap(ramp[:20] ** 2, ramp[:20]).p is None
    assert diebold_mariano([3.0], [1.0]).p is None
    assert diebold_mariano(ramp, -ramp).p == 1.0


def test_a_difference_along_a_sequence_is_found_and_repeats() -> None:
    x = autocorrelated(5000, 1)
    found = block_bootstrap(x + 0.5, x * 0.9, seed=3)
    assert found == block_bootstrap(x + 0.5, x * 0.9, seed=3)
    assert found.p is not None
    assert found.p < 0.01
    assert found.low is not None
    assert found.low > 0


def test_diebold_mariano_by_hand() -> None:
    """One day ahead it is a t statistic with the population's variance, corrected for n."""
    a, b = rng(10).normal(size=(2, 60))
    d = a**2 - b**2
    t = d.mean() / np.sqrt(d.var() / 60) * np.sqrt(59 / 60)
    assert diebold_mariano(a, b).p == pytest.approx(2 * stats.t.sf(abs(t), 59))
    assert diebold_mariano(a, b).difference == pytest.approx(d.mean())
    assert diebold_mariano(a, b).p == pytest.approx(stats.ttest_1samp(d, 0).pvalue)


def test_the_confidence_set_keeps_the_best_and_drops_the_worse() -> None:
    losses = rng(12).normal(size=(3, 2000)) ** 2
    losses[2] += 0.3
    kept, pvalues = model_confidence_set(list(losses), block=1)
    assert kept == [0, 1]
    assert pvalues[2] < 0.05
    assert model_confidence_set(list(losses), block=1) == (kept, pvalues)
    assert model_confidence_set([losses[0], losses[0], losses[2]])[0] == [0, 1]
    assert model_confidence_set([losses[0], losses[0]]) == ([0, 1], [1.0, 1.0])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    p = rng(22).random(12) ** 3
    assert holm(list(p)) == pytest.approx(list(multipletests(p, method="holm")[1]))


@pytest.mark.parametrize("n", [3, 5, 10, 100])
def test_power_agrees_with_statsmodels(n: int) -> None:
    assert paired_power(0.7, n) == pytest.approx(TTestPower().power(0.7, n, 0.05), abs=1e-6)
    expected = TTestPower().solve_power(None, n, 0.05, 0.8)
    assert minimum_detectable(2.0, n) == pytest.approx(2 * expected, rel=1e-4)


def test_seeds_needed_are_the_first_that_suffice() -> None:
    n = seeds_needed(1.0, 1.0)
    assert n == 10
    assert paired_power(1.0, n) >= 0.8 > paired_power(1.0, n - 1)
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-6, 1.0) is None
    assert minimum_detectable(1.0, 1) is None
    assert minimum_detectable(0.0, 5) is None
    assert seeds_needed(1.0, 0.0) is None
    assert seeds_needed(-50.0, 1.0) == 2


@pytest.mark.parametrize("effect", [0.1, 0.45, 2.0, 4.0])
def test_seeds_needed_agree_with_statsmodels(effect: float) -> None:
    n = seeds_needed(effect, 1.0)
    assert n is not None
    assert TTestPower().power(effect, n, 0.05) >= 0.8
    assert n == 2 or TTestPower().power(effect, n - 1, 0.05) < 0.8


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

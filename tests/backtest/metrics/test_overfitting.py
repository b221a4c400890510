"""Luck and skill: the published example, the properties of the formulas, and cross-validation by brute force."""

import math
import statistics
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from mm.backtest.metrics import overfitting
from mm.errors import MMError

# Bailey, López de Prado (2014): annual Sharpe 2.5 of 250 periods, skew −3, kurtosis 10, variance ½ of annual ratios.
PER_PERIOD = 2.5 / math.sqrt(250)
EXAMPLE = {"periods": 1250, "skew": -3.0, "kurtosis": 10.0}
VARIANCE = 0.5 / 250
SHARPES = st.floats(-0.5, 0.5)


def test_deflated_sharpe_equals_the_papers_example():
    """Of 100 trials the ratio is not significant at 95 %, of 46 it just is."""
    assert overfitting.expected_best_sharpe(VARIANCE, 100) == pytest.approx(0.113172, abs=5e-7)
    of_100 = overfitting.deflated_sharpe(PER_PERIOD, variance=VARIANCE, trials=100, **EXAMPLE)
    of_46 = overfitting.deflated_sharpe(PER_PERIOD, variance=VARIANCE, trials=46, **EXAMPLE)
    assert of_100 == pytest.approx(0.900397, abs=5e-7)
    assert of_46 == pytest.approx(0.950502, abs=5e-7)


@given(SHARPES, st.integers(2, 10_000))
def test_sharpe_of_normal_returns_has_the_error_of_lo(sharpe, periods):
    """Skew 0 and raw kurtosis 3 leave √((1 + SR²/2) / (n − 1)): with excess kurtosis it would be another."""
    value = overfitting.probabilistic_sharpe(sharpe, periods=periods, skew=0.0, kurtosis=3.0)
    error = math.sqrt((1 + sharpe**2 / 2) / (periods - 1))
    assert value == pytest.approx(0.5 * math.erfc(-sharpe / error / math.sqrt(2)), abs=1e-12)


@pytest.mark.parametrize(("inflation", "factor"), [(4.0, 2.0), (1.0, 1.0), (0.25, 1.0)])
def test_dependent_periods_widen_the_error_and_never_narrow_it(inflation, factor):
    """Four times the variance of the mean is twice the error."""
    value = overfitting.probabilistic_sharpe(0.1, periods=101, skew=0.0, kurtosis=3.0, inflation=inflation)
    error = factor * math.sqrt((1 + 0.1**2 / 2) / 100)
    assert value == pytest.approx(0.5 * math.erfc(-0.1 / error / math.sqrt(2)), abs=1e-12)


def test_probability_at_the_benchmark_is_one_half():
    """Whatever the moments."""
    value = overfitting.probabilistic_sharpe(0.2, benchmark=0.2, periods=9, skew=-2.0, kurtosis=9.0)
    assert value == 0.5


@given(SHARPES, st.floats(0, 0.1), st.integers(1, 1000))
def test_deflated_sharpe_does_not_rise_with_trials(sharpe, variance, trials):
    """One trial has no correction; each further one raises the maximum explained by chance."""
    moments = {"periods": 500, "skew": 0.0, "kurtosis": 3.0}
    now, later = (
        overfitting.deflated_sharpe(sharpe, variance=variance, trials=count, **moments)
        for count in (trials, trials + 1)
    )
    assert now >= later
    alone = overfitting.deflated_sharpe(sharpe, variance=variance, trials=1, **moments)
    assert alone == overfitting.probabilistic_sharpe(sharpe, **moments)


def test_expected_best_sharpe_equals_mean_of_drawn_maxima():
    """Within the few percent of the approximation."""
    random = np.random.default_rng(5)
    for trials in (10, 100):
        drawn = random.normal(0, 0.3, (20_000, trials)).max(axis=1).mean()
        assert overfitting.expected_best_sharpe(0.09, trials) == pytest.approx(drawn, rel=0.03)


@pytest.mark.parametrize(("periods", "skew", "kurtosis"), [(1, 0.0, 3.0), (0, 0.0, 3.0), (50, 2.0, 1.0)])
def test_probabilistic_sharpe_is_none_without_periods_or_variance(periods, skew, kurtosis):
    """There is no division by zero."""
    assert overfitting.probabilistic_sharpe(1.0, periods=periods, skew=skew, kurtosis=kurtosis) is None


@pytest.mark.parametrize(("variance", "trials"), [(-0.1, 5), (math.nan, 5), (0.1, 0)])
def test_invalid_trials_raise_an_error(variance, trials):
    """A negative variance or no trial is an error of the caller, reported with its value."""
    with pytest.raises(MMError, match=f"best of {trials} trials"):
        overfitting.expected_best_sharpe(variance, trials)


def plain_overfitting(performance, blocks):
    """Return the probability of overfitting by plain cross-validation: lists, statistics, and the paper's logit."""
    length = len(performance) // blocks
    rows = performance[len(performance) - length * blocks :]
    cut = [rows[i * length : (i + 1) * length] for i in range(blocks)]
    trials = range(len(performance[0]))
    logits = []
    for half in combinations(range(blocks), blocks // 2):
        rest = [i for i in range(blocks) if i not in half]
        inside, outside = (
            [bound([row[trial] for i in part for row in cut[i]]) for trial in trials] for part in (half, rest)
        )
        best = max(trials, key=lambda trial: inside[trial])
        share = sum(value <= outside[best] for value in outside) / (len(outside) + 1)
        logits.append(math.log(share / (1 - share)))
    return sum(logit <= 0 for logit in logits) / len(logits)


def bound(changes):
    error = statistics.stdev(changes) / math.sqrt(len(changes))
    return statistics.fmean(changes) - student.ppf(0.975, len(changes) - 1) * error


def test_drawdowns_of_halves_are_those_of_their_blocks_in_order():
    """Against the drawdown of the joined PnL, for every half."""
    cut = np.random.default_rng(5).normal(size=(6, 4, 3))
    halves = np.array(list(combinations(range(6), 3)))
    for half, found in zip(halves, overfitting._drawdowns(cut)(halves), strict=True):
        level = np.cumsum(np.concatenate([np.zeros((1, 3)), cut[half].reshape(-1, 3)]), axis=0)
        assert -found == pytest.approx((np.maximum.accumulate(level, axis=0) - level).max(axis=0))


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([2, 4, 6]), st.integers(2, 7), st.integers(8, 40))
def test_backtest_overfitting_equals_plain_cross_validation(seed, blocks, trials, periods):
    """Every half, every trial, in plain loops; periods that fill no block are the earliest ones."""
    performance = np.random.default_rng(seed).normal(0.02, 1.0, (periods + blocks, trials))
    expected = plain_overfitting(performance.tolist(), blocks)
    assert overfitting.backtest_overfitting(performance, blocks) == pytest.approx(expected, abs=1e-12)


def test_skill_is_not_overfit_and_noise_is_undecided():
    """A trial that is always better is no overfit; among worthless ones the choice is random."""
    noise = np.random.default_rng(1).normal(0, 1, (640, 20))
    skilled = noise.copy()
    skilled[:, 7] += 1.0
    assert overfitting.backtest_overfitting(skilled) == 0.0
    assert 0.2 < overfitting.backtest_overfitting(noise) < 0.9


def test_alternating_trials_are_overfit_with_certainty():
    """Two trials that win in turns: the winner of one half loses the other."""
    wave = np.repeat([1.0, -1.0], 20)
    jitter = np.tile([0.1, -0.1], 20)
    value = overfitting.backtest_overfitting(np.stack([wave + jitter, -wave + jitter], axis=1), blocks=2)
    assert value == 1.0


def test_order_of_trials_does_not_matter_with_ties():
    """Ties are shared: a sweep in which most runs never trade has one result."""
    performance = np.random.default_rng(2).integers(-3, 4, (60, 4)).astype(float)
    tied = np.concatenate([performance, performance[:, :2], np.zeros((60, 5))], axis=1)
    value = overfitting.backtest_overfitting(tied, blocks=6)
    assert value == pytest.approx(overfitting.backtest_overfitting(tied[:, ::-1], blocks=6), abs=1e-12)
    assert overfitting.backtest_overfitting(np.zeros((60, 5)), blocks=6) == 1.0


def test_large_constant_gain_does_not_hide_the_variation():
    """Trials shifted by a million keep the order of their ratios: sums of squares are taken about the mean."""
    performance = np.random.default_rng(3).normal(0, 1, (40, 3))
    shifted = performance + 1e6
    assert overfitting.backtest_overfitting(shifted, 4) == pytest.approx(
        plain_overfitting(shifted.tolist(), 4), abs=1e-12
    )


@pytest.mark.parametrize("shape", [(100, 1), (3, 3), (0, 3)])
def test_overfitting_of_too_little_data_is_none(shape):
    """A single trial, or fewer periods than blocks."""
    assert overfitting.backtest_overfitting(np.ones(shape)) is None


def test_blocks_must_be_even_and_numbers_finite():
    """Halves need an even number of blocks; a missing value would make comparisons meaningless."""
    for blocks in (0, 3):
        with pytest.raises(MMError, match=f"in {blocks} blocks"):
            overfitting.backtest_overfitting(np.ones((9, 2)), blocks)
    with pytest.raises(MMError, match="not finite"):
        overfitting.backtest_overfitting(np.array([[0.0, math.nan]] * 8), 4)


def test_expected_best_sharpe_grows_with_the_trials():
    """Strictly, from one on."""
    lucky = [overfitting.expected_best_sharpe(1.0, trials) for trials in (1, 2, 3, 10, 1000)]
    assert lucky[0] == 0
    assert all(a < b for a, b in pairwise(lucky))

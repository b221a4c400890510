"""Each ratio against its formula in plain Python, and at the edges where it is undefined."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.metrics import ratios

YEAR = math.sqrt(525_600)
MINUTE = 60_000_000
CHANGES = st.lists(st.integers(-50, 50), min_size=2, max_size=60)


def normal(size, seed=3):
    return np.random.default_rng(seed).normal(0.05, 1.0, size)


@given(CHANGES)
def test_sharpe_is_mean_over_sample_deviation_of_a_year(changes):
    """ddof 1, and None rather than infinity where nothing varies."""
    value = ratios.sharpe(np.array(changes, float))
    if len(set(changes)) == 1:
        assert value is None
    else:
        assert value == pytest.approx(statistics.mean(changes) / statistics.stdev(changes) * YEAR, rel=1e-9, abs=1e-9)


@given(CHANGES)
def test_sortino_divides_by_the_losses_over_all_periods(changes):
    """Periods that gained count in the denominator as zeros."""
    value = ratios.sortino(np.array(changes, float))
    downside = math.sqrt(sum(min(change, 0) ** 2 for change in changes) / len(changes))
    if downside == 0:
        assert value is None
    else:
        assert value == pytest.approx(statistics.mean(changes) / downside * YEAR, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("changes", [[], [1.0], [2.0, 2.0, 2.0]])
def test_ratios_of_too_little_are_undefined(changes):
    """One period, or periods all alike, have no deviation."""
    changes = np.array(changes)
    assert ratios.sharpe(changes) is None
    assert ratios.sharpe_autocorr(changes) is None
    assert ratios.sharpe_ci95(changes, seed=1) is None
    assert ratios.sortino(changes) is None


def test_the_corrected_ratio_is_that_of_lo_with_fading_weights():
    """q / √(q + 2·Σ (q − j)·ρ_j), written out."""
    changes = normal(300)
    mean, n, q = statistics.mean(changes), len(changes), 525_600
    variance = sum((x - mean) ** 2 for x in changes)
    last = int(4 * (n / 100) ** (2 / 9))
    weighted = 0.0
    for j in range(1, last + 1):
        rho = sum((changes[t] - mean) * (changes[t - j] - mean) for t in range(j, n)) / variance
        weighted += (1 - j / (last + 1)) * (q - j) * rho
    expected = mean / statistics.stdev(changes) * q / math.sqrt(q + 2 * weighted)
    assert ratios.sharpe_autocorr(changes) == pytest.approx(expected, rel=1e-12)


def test_gains_that_come_in_runs_are_worth_less():
    """Periods that repeat each other are fewer than they look."""
    noise = normal(4_000)
    runs = np.convolve(noise, [0.5, 0.5, 0.5, 0.5], mode="valid")
    assert ratios.sharpe_autocorr(runs) < 0.75 * ratios.sharpe(runs)
    assert ratios.sharpe_autocorr(noise) == pytest.approx(ratios.sharpe(noise), rel=0.1)


@given(CHANGES)
def test_the_corrected_ratio_exists_whenever_the_ratio_does(changes):
    """The weights fade so that the variance of the sum stays positive."""
    changes = np.array(changes, float)
    assert (ratios.sharpe_autocorr(changes) is None) == (ratios.sharpe(changes) is None)


def influence(changes):
    """The influence of each period on the ratio of mean and deviation (ddof 0)."""
    ratio, scaled = changes.mean() / changes.std(), (changes - changes.mean()) / changes.std()
    return scaled - ratio / 2 * (scaled**2 - 1)


@pytest.mark.parametrize("size", [50, 77, 840])
def test_the_interval_is_that_of_copied_blocks(size):
    """Running sums give what 2000 copied series give, each in units of its own error."""
    changes = normal(size)
    block = ratios.block_length(size)
    blocks = -(-size // block)
    first = np.random.default_rng(5).integers(0, size, size=(2_000, blocks))
    centre, drawn, errors = changes.mean() / changes.std(), [], []
    for starts in first:
        copied = changes[np.concatenate([(start + np.arange(block)) % size for start in starts])[:size]]
        parts = np.add.reduceat(influence(copied), np.arange(0, size, block))
        drawn.append(copied.mean() / copied.std())
        errors.append(math.sqrt((parts**2).sum()) / size)
    wrapped = np.concatenate([influence(changes)] * 2)
    own = math.sqrt(np.mean([wrapped[at : at + block].sum() ** 2 for at in range(size)]) / block / size)
    near, far = np.quantile((np.array(drawn) - centre) / errors, [0.025, 0.975])
    low, high = np.quantile(drawn, [0.025, 0.975])
    scale = YEAR * math.sqrt((size - 1) / size)
    expected = [min(low, centre - far * own) * scale, max(high, centre - near * own) * scale]
    assert ratios.sharpe_ci95(changes, seed=5) == pytest.approx(expected, rel=1e-6)


def test_the_interval_holds_where_a_few_large_fills_make_the_day():
    """Fourteen hours of small noise with a large gain in fifty minutes and a loss in a hundred; .85 to .92 before."""
    random = np.random.default_rng(8)
    mean, square = 0.02 * 2 - 0.01 * 3, 0.01 + 0.02 * 8 + 0.01 * 18
    truth = mean / math.sqrt(square - mean**2) * YEAR
    held = 0
    for day in range(200):
        noise, gains, losses = 0.1 * random.standard_normal(840), random.exponential(2, 840), random.exponential(3, 840)
        changes = noise + gains * (random.random(840) < 0.02) - losses * (random.random(840) < 0.01)
        low, high = ratios.sharpe_ci95(changes, seed=day)
        held += low <= truth <= high
    assert held / 200 >= 0.93 - 1.5 * math.sqrt(0.95 * 0.05 / 200)


def test_the_interval_is_as_wide_as_theory_says():
    """For independent periods the ratio's error is √((1 + ½·SR²)/n), Lo 2002."""
    changes = normal(840)
    low, high = ratios.sharpe_ci95(changes, seed=0)
    assert low < ratios.sharpe(changes) < high
    assert (high - low) / YEAR == pytest.approx(2 * 1.96 * math.sqrt(1 / 840), rel=0.15)


def test_the_interval_is_the_same_for_the_same_seed():
    """Equal work leaves equal files."""
    changes = normal(200)
    assert ratios.sharpe_ci95(changes, seed=1) == ratios.sharpe_ci95(changes, seed=1)
    assert ratios.sharpe_ci95(changes, seed=1) != ratios.sharpe_ci95(changes, seed=2)


def test_a_handful_of_periods_has_no_interval():
    """Resampling three numbers says nothing about a fourth."""
    assert ratios.sharpe_ci95(normal(19), seed=0) is None
    assert ratios.sharpe_ci95(normal(20), seed=0) is not None


def test_one_change_among_many_periods_cannot_be_resampled():
    """Many draws would miss it and have no variation at all."""
    changes = np.zeros(400)
    changes[7] = -1.0
    assert ratios.sharpe(changes) is not None
    assert ratios.sharpe_ci95(changes, seed=0) is None


@pytest.mark.parametrize("periods", [1, 2, 10, 100, 840, 100_000])
def test_a_block_is_longer_than_the_correlation_it_keeps(periods):
    """And never longer than the data."""
    assert min(periods, ratios.lags(periods) + 1) <= ratios.block_length(periods) <= periods


def test_periods_read_the_last_row_before_their_ends():
    """Equity holds until the next row."""
    us = np.array([0, 1, MINUTE, MINUTE + 1, 2 * MINUTE - 1, 3 * MINUTE - 2])
    equity = np.array([5, 7, 8, 100, 20, 300])
    changes, left_out = ratios.period_changes(us, equity, np.ones(6, bool))
    assert changes.tolist() == [3.0, 12.0]
    assert left_out == 0


def test_periods_with_an_end_that_has_no_equity_are_left_out():
    """A missing mid, or a stretch without rows, is not a period without change."""
    us = np.array([0, 1, 2, 5, 6, 7]) * MINUTE
    valid = np.array([True, True, False, True, True, True])
    changes, left_out = ratios.period_changes(us, np.array([1, 2, 9, 9, 12, 16]), valid)
    assert changes.tolist() == [1.0, 3.0, 4.0]
    assert left_out == 4


def test_no_rows_are_no_periods():
    """A run without a state row has nothing to judge."""
    changes, left_out = ratios.period_changes(np.empty(0, np.int64), np.empty(0), np.empty(0, bool))
    assert len(changes) == left_out == 0


def test_calmar_is_a_years_gain_over_the_deepest_fall():
    """Half a year that gains 3 with a fall of 2 is 3 a year for each unit of fall."""
    assert ratios.calmar(3.0, 2.0, ratios.YEAR_US // 2) == pytest.approx(3.0)
    assert ratios.calmar(3.0, 0.0, ratios.YEAR_US) is None
    assert ratios.calmar(3.0, 2.0, 0) is None


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(-9, 9), st.booleans()), min_size=1, max_size=150),
    st.integers(20, 40),
)
def test_a_rolling_ratio_is_that_of_the_periods_in_its_window(steps, window):
    """Of those that count; undefined where they are few, or alike."""
    us = np.cumsum([wait * 1_000_000 for wait, _, _ in steps])
    equity, valid = np.array([float(value) for _, value, _ in steps]), np.array([known for *_, known in steps])
    ends, ratio = ratios.rolling_sharpe(us, np.where(valid, equity, np.nan), valid, window)
    row, used = ratios.periods(us, valid)
    assert len(ends) == len(ratio) == len(used)
    for place in range(len(used)):
        inside = [equity[row[i + 1]] - equity[row[i]] for i in range(max(0, place + 1 - window), place + 1) if used[i]]
        assert ends[place] == us[0] + (place + 1) * MINUTE
        if len(inside) < ratios.LEAST_PERIODS or len(set(inside)) == 1:
            assert math.isnan(ratio[place])
        else:
            expected = statistics.mean(inside) / statistics.stdev(inside) * YEAR
            assert ratio[place] == pytest.approx(expected, rel=1e-9, abs=1e-9)

"""Each metric against its formula in plain Python, and at the edges where it is undefined."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.backtest import metrics

YEAR = math.sqrt(525_600)
MINUTE = 60_000_000
CHANGES = st.lists(st.integers(-50, 50), min_size=2, max_size=60)
PATH = st.lists(st.tuples(st.integers(0, 5), st.integers(-20, 20)), min_size=1, max_size=40)


def path(steps):
    """Instants that never fall, and values."""
    return np.cumsum([wait for wait, _ in steps]), np.array([value for _, value in steps])


def normal(size, seed=3):
    return np.random.default_rng(seed).normal(0.05, 1.0, size)


@given(CHANGES)
def test_sharpe_is_mean_over_sample_deviation_of_a_year(changes):
    """ddof 1, and None rather than infinity where nothing varies."""
    value = metrics.sharpe(np.array(changes, float))
    if len(set(changes)) == 1:
        assert value is None
    else:
        assert value == pytest.approx(statistics.mean(changes) / statistics.stdev(changes) * YEAR, rel=1e-9, abs=1e-9)


@given(CHANGES)
def test_sortino_divides_by_the_losses_over_all_periods(changes):
    """Periods that gained count in the denominator as zeros."""
    value = metrics.sortino(np.array(changes, float))
    downside = math.sqrt(sum(min(change, 0) ** 2 for change in changes) / len(changes))
    if downside == 0:
        assert value is None
    else:
        assert value == pytest.approx(statistics.mean(changes) / downside * YEAR, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("changes", [[], [1.0], [2.0, 2.0, 2.0]])
def test_ratios_of_too_little_are_undefined(changes):
    """One period, or periods all alike, have no deviation."""
    changes = np.array(changes)
    assert metrics.sharpe(changes) is None
    assert metrics.sharpe_autocorr(changes) is None
    assert metrics.sharpe_ci95(changes, seed=1) is None
    assert metrics.sortino(changes) is None


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
    assert metrics.sharpe_autocorr(changes) == pytest.approx(expected, rel=1e-12)


def test_gains_that_come_in_runs_are_worth_less():
    """Periods that repeat each other are fewer than they look."""
    noise = normal(4_000)
    runs = np.convolve(noise, [0.5, 0.5, 0.5, 0.5], mode="valid")
    assert metrics.sharpe_autocorr(runs) < 0.75 * metrics.sharpe(runs)
    assert metrics.sharpe_autocorr(noise) == pytest.approx(metrics.sharpe(noise), rel=0.1)


@given(CHANGES)
def test_the_corrected_ratio_exists_whenever_the_ratio_does(changes):
    """The weights fade so that the variance of the sum stays positive."""
    changes = np.array(changes, float)
    assert (metrics.sharpe_autocorr(changes) is None) == (metrics.sharpe(changes) is None)


@pytest.mark.parametrize("size", [50, 77, 840])
def test_the_interval_is_that_of_copied_blocks(size):
    """Running sums give what 2000 copied series give."""
    changes = normal(size)
    block = metrics.block_length(size)
    blocks = -(-size // block)
    first = np.random.default_rng(5).integers(0, size, size=(2_000, blocks))
    ratios = []
    for starts in first:
        drawn = np.concatenate([(start + np.arange(block)) % size for start in starts])[:size]
        ratios.append(changes[drawn].mean() / changes[drawn].std(ddof=1) * YEAR)
    assert metrics.sharpe_ci95(changes, seed=5) == pytest.approx(list(np.quantile(ratios, [0.025, 0.975])), rel=1e-6)


def test_the_interval_is_as_wide_as_theory_says():
    """For independent periods the ratio's error is √((1 + ½·SR²)/n), Lo 2002."""
    changes = normal(840)
    low, high = metrics.sharpe_ci95(changes, seed=0)
    assert low < metrics.sharpe(changes) < high
    assert (high - low) / YEAR == pytest.approx(2 * 1.96 * math.sqrt(1 / 840), rel=0.15)


def test_the_interval_is_the_same_for_the_same_seed():
    """Equal work leaves equal files."""
    changes = normal(200)
    assert metrics.sharpe_ci95(changes, seed=1) == metrics.sharpe_ci95(changes, seed=1)
    assert metrics.sharpe_ci95(changes, seed=1) != metrics.sharpe_ci95(changes, seed=2)


def test_a_handful_of_periods_has_no_interval():
    """Resampling three numbers says nothing about a fourth."""
    assert metrics.sharpe_ci95(normal(19), seed=0) is None
    assert metrics.sharpe_ci95(normal(20), seed=0) is not None


def test_one_change_among_many_periods_cannot_be_resampled():
    """Many draws would miss it and have no variation at all."""
    changes = np.zeros(400)
    changes[7] = -1.0
    assert metrics.sharpe(changes) is not None
    assert metrics.sharpe_ci95(changes, seed=0) is None


@pytest.mark.parametrize("periods", [1, 2, 10, 100, 840, 100_000])
def test_a_block_is_longer_than_the_correlation_it_keeps(periods):
    """And never longer than the data."""
    assert min(periods, metrics.lags(periods) + 1) <= metrics.block_length(periods) <= periods


def test_periods_read_the_last_row_before_their_ends():
    """Equity holds until the next row."""
    us = np.array([0, 1, MINUTE, MINUTE + 1, 2 * MINUTE - 1, 3 * MINUTE - 2])
    equity = np.array([5, 7, 8, 100, 20, 300])
    changes, left_out = metrics.period_changes(us, equity, np.ones(6, bool))
    assert changes.tolist() == [3.0, 12.0]
    assert left_out == 0


def test_periods_with_an_end_that_has_no_equity_are_left_out():
    """A missing mid, or a stretch without rows, is not a period without change."""
    us = np.array([0, 1, 2, 5, 6, 7]) * MINUTE
    valid = np.array([True, True, False, True, True, True])
    changes, left_out = metrics.period_changes(us, np.array([1, 2, 9, 9, 12, 16]), valid)
    assert changes.tolist() == [1.0, 3.0, 4.0]
    assert left_out == 4


def test_no_rows_are_no_periods():
    """A run without a state row has nothing to judge."""
    changes, left_out = metrics.period_changes(np.empty(0, np.int64), np.empty(0), np.empty(0, bool))
    assert len(changes) == left_out == 0


@given(PATH)
def test_drawdown_is_the_deepest_fall_from_any_earlier_row(steps):
    """Depth and duration as a double loop finds them."""
    us, equity = path(steps)
    rows = range(len(us))
    assert metrics.max_drawdown(equity) == max(equity[i] - equity[j] for j in rows for i in rows if i <= j)
    longest = 0
    for i in rows:
        if i + 1 == len(us) or equity[i + 1] >= equity[i] or equity[i] < max(equity[: i + 1]):
            continue
        back = next((j for j in range(i + 1, len(us)) if equity[j] >= equity[i]), len(us) - 1)
        longest = max(longest, us[back] - us[i])
    assert metrics.drawdown_duration_us(us, equity) == longest


def test_level_equity_is_not_a_drawdown():
    """Waiting at the peak is not under water."""
    us, equity = np.array([0, 10, 20, 30]), np.array([3, 3, 3, 4])
    assert metrics.max_drawdown(equity) == 0
    assert metrics.drawdown_duration_us(us, equity) == 0


def test_no_equity_has_no_drawdown():
    """Undefined, not zero."""
    assert metrics.max_drawdown(np.empty(0)) is None
    assert metrics.drawdown_duration_us(np.empty(0, np.int64), np.empty(0)) is None


def test_calmar_is_a_years_gain_over_the_deepest_fall():
    """Half a year that gains 3 with a fall of 2 is 3 a year for each unit of fall."""
    assert metrics.calmar(3.0, 2.0, metrics.YEAR_US // 2) == pytest.approx(3.0)
    assert metrics.calmar(3.0, 0.0, metrics.YEAR_US) is None
    assert metrics.calmar(3.0, 2.0, 0) is None


@given(PATH)
def test_inventory_is_weighted_by_the_time_it_was_held(steps):
    """A position of an instant counts for nothing, except in the maximum."""
    us, held = path(steps)
    every = [value for wait, value in zip(np.diff(us).tolist(), held[:-1].tolist(), strict=True) for _ in range(wait)]
    moments = metrics.inventory_moments(us, held)
    assert moments["max"] == max(abs(held))
    if not every:
        assert (moments["mean"], moments["abs_mean"], moments["rms"]) == (None, None, None)
        return
    assert moments["mean"] == pytest.approx(statistics.mean(every))
    assert moments["abs_mean"] == pytest.approx(statistics.mean(map(abs, every)))
    assert moments["rms"] == pytest.approx(math.sqrt(statistics.mean(value**2 for value in every)))


@settings(deadline=None)
@given(PATH)
def test_half_life_is_the_first_lag_whose_autocorrelation_is_below_a_half(steps):
    """The transform finds what the sum of products finds."""
    us, held = path(steps)
    us = us * 700_000
    grid = [held[np.flatnonzero(us <= at)[-1]] for at in range(us[0], us[-1] + 1, 1_000_000)]
    centred = [value - statistics.mean(map(float, grid)) for value in grid]
    found = metrics.half_life_s(us, held)
    if len(set(grid)) == 1:
        assert found is None
        return
    products = [math.fsum(a * b for a, b in zip(centred, centred[lag:], strict=False)) for lag in range(len(grid))]
    lag = next(lag for lag, product in enumerate(products) if product < 0.5 * products[0])
    # Exactly one half may fall to either side of the rounding.
    assert found == lag or abs(products[min(int(found), lag)] - 0.5 * products[0]) < 1e-9 * products[0]


def test_half_life_of_a_fading_position_is_that_of_its_decay():
    """An AR(1) with half-life 20 s."""
    random = np.random.default_rng(0)
    held = np.zeros(50_000)
    for i in range(1, len(held)):
        held[i] = held[i - 1] * 0.5 ** (1 / 20) + random.normal()
    us = np.arange(len(held)) * 1_000_000
    assert metrics.half_life_s(us, (1_000 * held).astype(int)) == pytest.approx(21, abs=2)


def test_half_life_without_rows_is_undefined():
    """There is no grid to read."""
    assert metrics.half_life_s(np.empty(0, np.int64), np.empty(0, np.int64)) is None


def test_partial_orders_are_counted_once():
    """Two parts of one order, one order filled whole, one filled short."""
    ids, lots = np.array([4, 4, 5, 9]), np.array([1, 2, 7, 3])
    assert metrics.partial_orders(ids, lots, np.array([4, 5, 9]), np.array([3, 7, 8])) == 2


def test_a_quotient_by_nothing_is_undefined():
    """Not zero, not infinity."""
    assert metrics.quotient(3, 4) == 0.75
    assert metrics.quotient(3, 0) is None


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_a_sum_of_quantities_is_exact_beyond_64_bits(values):
    """An order may have as many lots as 64 bits hold, and there are many orders."""
    assert metrics.exact_sum(np.array(values, np.int64)) == sum(values)


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), max_size=50))
def test_products_are_summed(pairs):
    """As the formula says, in an order that no machine chooses."""
    first, second = np.array(pairs, float).reshape(-1, 2).T
    assert metrics.dot(first, second) == sum(a * b for a, b in pairs)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=50), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values, share):
    """Without what numpy would import for them."""
    assert metrics.quantiles(np.array(values), [share]) == pytest.approx([np.quantile(values, share)], abs=1e-9)


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(-9, 9), st.booleans()), min_size=1, max_size=150),
    st.integers(20, 40),
)
def test_a_rolling_ratio_is_that_of_the_periods_in_its_window(steps, window):
    """Of those that count; undefined where they are few, or alike."""
    us = np.cumsum([wait * 1_000_000 for wait, _, _ in steps])
    equity, valid = np.array([float(value) for _, value, _ in steps]), np.array([known for *_, known in steps])
    ends, ratio = metrics.rolling_sharpe(us, np.where(valid, equity, np.nan), valid, window)
    row, used = metrics.periods(us, valid)
    assert len(ends) == len(ratio) == len(used)
    for place in range(len(used)):
        inside = [equity[row[i + 1]] - equity[row[i]] for i in range(max(0, place + 1 - window), place + 1) if used[i]]
        assert ends[place] == us[0] + (place + 1) * MINUTE
        if len(inside) < metrics.LEAST_PERIODS or len(set(inside)) == 1:
            assert math.isnan(ratio[place])
        else:
            expected = statistics.mean(inside) / statistics.stdev(inside) * YEAR
            assert ratio[place] == pytest.approx(expected, rel=1e-9, abs=1e-9)

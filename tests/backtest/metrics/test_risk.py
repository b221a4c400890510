"""Gain over risk, falls of equity, inventory over time and returns, against loops, fractions and figures by hand."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import PATH, path

from journals import Scribe, books
from mm.backtest.metrics import risk
from mm.backtest.metrics.overfitting import probabilistic_sharpe
from mm.backtest.metrics.summary import summarise

YEAR = math.sqrt(525_600)
MINUTE = 60_000_000
CHANGES = st.lists(st.integers(-50, 50), min_size=2, max_size=60)
DAY = 86_400_000_000


def normal(size, seed=3):
    return np.random.default_rng(seed).normal(0.05, 1.0, size)


@given(CHANGES)
def test_sharpe_is_mean_over_sample_deviation_of_a_year(changes):
    """ddof 1, and None rather than infinity where nothing varies."""
    value = risk.sharpe(np.array(changes, float))
    if len(set(changes)) == 1:
        assert value is None
    else:
        assert value == pytest.approx(statistics.mean(changes) / statistics.stdev(changes) * YEAR, rel=1e-9, abs=1e-9)


@given(CHANGES)
def test_sortino_divides_by_the_losses_over_all_periods(changes):
    """Periods that gained count in the denominator as zeros."""
    value = risk.sortino(np.array(changes, float))
    downside = math.sqrt(sum(min(change, 0) ** 2 for change in changes) / len(changes))
    if downside == 0:
        assert value is None
    else:
        assert value == pytest.approx(statistics.mean(changes) / downside * YEAR, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("changes", [[], [1.0], [2.0, 2.0, 2.0]])
def test_ratios_of_too_little_are_undefined(changes):
    """One period, or periods all alike, have no deviation."""
    changes = np.array(changes)
    assert risk.sharpe(changes) is None
    assert risk.sharpe_autocorr(changes) is None
    assert risk.sharpe_ci95(changes, seed=1) is None
    assert risk.sortino(changes) is None


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
    assert risk.sharpe_autocorr(changes) == pytest.approx(expected, rel=1e-12)


def test_gains_that_come_in_runs_are_worth_less():
    """Periods that repeat each other are fewer than they look."""
    noise = normal(4_000)
    runs = np.convolve(noise, [0.5, 0.5, 0.5, 0.5], mode="valid")
    assert risk.sharpe_autocorr(runs) < 0.75 * risk.sharpe(runs)
    assert risk.sharpe_autocorr(noise) == pytest.approx(risk.sharpe(noise), rel=0.1)


@given(CHANGES)
def test_the_corrected_ratio_exists_whenever_the_ratio_does(changes):
    """The weights fade so that the variance of the sum stays positive."""
    changes = np.array(changes, float)
    assert (risk.sharpe_autocorr(changes) is None) == (risk.sharpe(changes) is None)


def influence(changes):
    """The influence of each period on the ratio of mean and deviation (ddof 0)."""
    ratio, scaled = changes.mean() / changes.std(), (changes - changes.mean()) / changes.std()
    return scaled - ratio / 2 * (scaled**2 - 1)


@pytest.mark.parametrize("size", [50, 77, 840])
def test_the_interval_is_that_of_copied_blocks(size):
    """Running sums give what 2000 copied series give, each in units of its own error."""
    changes = normal(size)
    block = risk.block_length(size)
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
    assert risk.sharpe_ci95(changes, seed=5) == pytest.approx(expected, rel=1e-6)


def test_the_interval_holds_where_a_few_large_fills_make_the_day():
    """Fourteen hours of small noise with a large gain in fifty minutes and a loss in a hundred; .85 to .92 before."""
    random = np.random.default_rng(8)
    mean, square = 0.02 * 2 - 0.01 * 3, 0.01 + 0.02 * 8 + 0.01 * 18
    truth = mean / math.sqrt(square - mean**2) * YEAR
    held = 0
    for day in range(200):
        noise, gains, losses = 0.1 * random.standard_normal(840), random.exponential(2, 840), random.exponential(3, 840)
        changes = noise + gains * (random.random(840) < 0.02) - losses * (random.random(840) < 0.01)
        low, high = risk.sharpe_ci95(changes, seed=day)
        held += low <= truth <= high
    assert held / 200 >= 0.93 - 1.5 * math.sqrt(0.95 * 0.05 / 200)


def test_the_interval_is_as_wide_as_theory_says():
    """For independent periods the ratio's error is √((1 + ½·SR²)/n), Lo 2002."""
    changes = normal(840)
    low, high = risk.sharpe_ci95(changes, seed=0)
    assert low < risk.sharpe(changes) < high
    assert (high - low) / YEAR == pytest.approx(2 * 1.96 * math.sqrt(1 / 840), rel=0.15)


def test_the_interval_is_the_same_for_the_same_seed():
    """Equal work leaves equal files."""
    changes = normal(200)
    assert risk.sharpe_ci95(changes, seed=1) == risk.sharpe_ci95(changes, seed=1)
    assert risk.sharpe_ci95(changes, seed=1) != risk.sharpe_ci95(changes, seed=2)


def test_a_handful_of_periods_has_no_interval():
    """Resampling three numbers gives no information about a fourth."""
    assert risk.sharpe_ci95(normal(19), seed=0) is None
    assert risk.sharpe_ci95(normal(20), seed=0) is not None


def test_one_change_among_many_periods_cannot_be_resampled():
    """Many draws would miss it and have no variation at all."""
    changes = np.zeros(400)
    changes[7] = -1.0
    assert risk.sharpe(changes) is not None
    assert risk.sharpe_ci95(changes, seed=0) is None


@pytest.mark.parametrize("periods", [1, 2, 10, 100, 840, 100_000])
def test_a_block_is_longer_than_the_correlation_it_keeps(periods):
    """And never longer than the data."""
    assert min(periods, risk.lags(periods) + 1) <= risk.block_length(periods) <= periods


def test_periods_read_the_last_row_before_their_ends():
    """Equity holds until the next row."""
    us = np.array([0, 1, MINUTE, MINUTE + 1, 2 * MINUTE - 1, 3 * MINUTE - 2])
    equity = np.array([5, 7, 8, 100, 20, 300])
    changes, left_out = risk.period_changes(equity, risk.periods(us, np.ones(6, bool)))
    assert changes.tolist() == [3.0, 12.0]
    assert left_out == 0


def test_periods_with_an_end_that_has_no_equity_are_left_out():
    """A missing mid, or a stretch without rows, is not a period without change."""
    us = np.array([0, 1, 2, 5, 6, 7]) * MINUTE
    valid = np.array([True, True, False, True, True, True])
    changes, left_out = risk.period_changes(np.array([1, 2, 9, 9, 12, 16]), risk.periods(us, valid))
    assert changes.tolist() == [1.0, 3.0, 4.0]
    assert left_out == 4


def test_no_rows_are_no_periods():
    """A run without a state row has nothing to judge."""
    changes, left_out = risk.period_changes(np.empty(0), risk.periods(np.empty(0, np.int64), np.empty(0, bool)))
    assert len(changes) == left_out == 0


def test_calmar_is_a_years_gain_over_the_deepest_fall():
    """Half a year that gains 3 with a fall of 2 is 3 a year for each unit of fall."""
    assert risk.calmar(3.0, 2.0, risk.YEAR_US // 2) == pytest.approx(3.0)
    assert risk.calmar(3.0, 0.0, risk.YEAR_US) is None
    assert risk.calmar(3.0, 2.0, 0) is None


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(-9, 9), st.booleans()), min_size=1, max_size=150),
    st.integers(20, 40),
)
def test_a_rolling_ratio_is_that_of_the_periods_in_its_window(steps, window):
    """Of those that count; undefined where they are few, or alike."""
    us = np.cumsum([wait * 1_000_000 for wait, _, _ in steps])
    equity, valid = np.array([float(value) for _, value, _ in steps]), np.array([known for *_, known in steps])
    ends, ratio = risk.rolling_sharpe(us, np.where(valid, equity, np.nan), valid, window)
    row, used = risk.periods(us, valid)
    assert len(ends) == len(ratio) == len(used)
    for place in range(len(used)):
        inside = [equity[row[i + 1]] - equity[row[i]] for i in range(max(0, place + 1 - window), place + 1) if used[i]]
        assert ends[place] == us[0] + (place + 1) * MINUTE
        if len(inside) < risk.LEAST_PERIODS or len(set(inside)) == 1:
            assert math.isnan(ratio[place])
        else:
            expected = statistics.mean(inside) / statistics.stdev(inside) * YEAR
            assert ratio[place] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("scale", [1, 2**70])
@given(PATH)
def test_drawdown_is_the_deepest_fall_from_any_earlier_row(scale, steps):
    """Depth and duration as a double loop finds them, also where 64 bits do not hold equity."""
    us, equity = path(steps)
    equity = equity if scale == 1 else equity.astype(object) * scale
    rows, found = range(len(us)), risk.falls_of(us, equity)
    assert found.deepest == max(equity[i] - equity[j] for j in rows for i in rows if i <= j)
    longest = 0
    for i in rows:
        if i + 1 == len(us) or equity[i + 1] >= equity[i] or equity[i] < max(equity[: i + 1]):
            continue
        back = next((j for j in range(i + 1, len(us)) if equity[j] >= equity[i]), len(us) - 1)
        longest = max(longest, us[back] - us[i])
    assert found.longest_us == longest
    below = [int(us[i + 1] - us[i]) for i in rows[:-1] if equity[i] < max(equity[: i + 1])]
    assert (found.below_us, found.span_us) == (sum(below), us[-1] - us[0])
    assert found.unrecovered == bool(equity[-1] < max(equity))


def test_level_equity_is_not_a_drawdown():
    """Waiting at the peak is not under water."""
    found = risk.falls_of(np.array([0, 10, 20, 30]), np.array([3, 3, 3, 4]))
    assert found == risk.Falls(0, 0, 0, 30, unrecovered=False)


def test_no_equity_has_no_drawdown():
    """Undefined, not zero."""
    found = risk.falls_of(np.empty(0, np.int64), np.empty(0, np.int64))
    assert found.deepest is found.longest_us is None
    assert found.under_water() == {"s": None, "share": None, "unrecovered": None}


def test_time_under_water_counts_every_fall_until_its_recovery():
    """Down for 2 s, at the peak for 1 s, down for the last 3 s: 5 of 7 s, and not recovered."""
    us = np.array([0, 1, 3, 4, 7]) * 1_000_000
    found = risk.falls_of(us, np.array([5, 3, 5, 4, 2])).under_water()
    assert found == {"s": 5.0, "share": 5 / 7, "unrecovered": True}
    assert risk.falls_of(us, np.array([1, 2, 2, 3, 3])).under_water() == {
        "s": 0.0,
        "share": 0.0,
        "unrecovered": False,
    }
    one = risk.falls_of(us[:1], np.array([1])).under_water()
    assert one == {"s": 0.0, "share": None, "unrecovered": False}


@given(PATH)
def test_inventory_is_weighted_by_the_time_it_was_held(steps):
    """A position of an instant counts for nothing, except in the maximum."""
    us, held = path(steps)
    every = [value for wait, value in zip(np.diff(us).tolist(), held[:-1].tolist(), strict=True) for _ in range(wait)]
    moments = risk.inventory_moments(us, held)
    assert moments["max"] == max(abs(held))
    if not every:
        assert (moments["mean"], moments["abs_mean"], moments["rms"]) == (None, None, None)
        return
    assert moments["mean"] == pytest.approx(statistics.mean(every))
    assert moments["abs_mean"] == pytest.approx(statistics.mean(map(abs, every)))
    assert moments["rms"] == pytest.approx(math.sqrt(statistics.mean(value**2 for value in every)))
    assert risk.inventory_moments(us, held, 3) == risk.inventory_moments(us, held - 3)


@settings(deadline=None)
@given(PATH)
def test_half_life_is_the_first_lag_whose_autocorrelation_is_below_a_half(steps):
    """The transform finds what the sum of products finds."""
    us, held = path(steps)
    us = us * 700_000
    grid = [held[np.flatnonzero(us <= at)[-1]] for at in range(us[0], us[-1] + 1, 1_000_000)]
    centred = [value - statistics.mean(map(float, grid)) for value in grid]
    found = risk.half_life_s(us, held)
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
    assert risk.half_life_s(us, (1_000 * held).astype(int)) == pytest.approx(21, abs=2)


def test_half_life_without_rows_is_undefined():
    """There is no grid to read."""
    assert risk.half_life_s(np.empty(0, np.int64), np.empty(0, np.int64)) is None


def held_over(moves, lots=100):
    """A run that holds *lots*, a day a move of the mid in ticks; its summary with the days told apart."""
    scribe = Scribe(initial_lots=lots)
    scribe.move(20_000)
    starts = []
    for move in moves:
        starts.append(scribe.us)
        scribe.state()
        scribe.wait(3_600_000_000)
        scribe.move(scribe.mid2 + 2 * move)
        scribe.state()
        scribe.wait(DAY - 3_600_000_000)
    terms = {"days": tuple(f"2026010{day + 1}" for day in range(len(moves))), "starts_us": tuple(starts)}
    return summarise(scribe.journal(), books(scribe.instrument, **terms))


def test_days_add_up_and_have_a_sharpe_ratio_of_their_own():
    """Mean over deviation of three days, times √365."""
    summary = held_over([10, -4, 6])
    pnl = [day["pnl"] for day in summary["daily"]]
    assert pnl == pytest.approx([10 * 1e-5, -4 * 1e-5, 6 * 1e-5])
    assert sum(pnl) == pytest.approx(summary["pnl_total"])
    assert summary["sharpe_daily"] == pytest.approx(statistics.mean(pnl) / statistics.stdev(pnl) * math.sqrt(365))
    assert [day["day"] for day in summary["daily"]] == ["20260101", "20260102", "20260103"]


def test_one_day_has_no_sharpe_ratio_of_days():
    """Null, and why."""
    summary = held_over([3])
    assert summary["sharpe_daily"] is None
    assert any("fewer than two days" in line for line in summary["warnings"])


def test_skew_and_kurtosis_are_those_of_the_definition():
    """One loss of 9 among nine gains of 1: kurtosis raw, so that a normal distribution has 3."""
    found = risk.moments(np.array([1.0] * 9 + [-9.0]))
    assert found["mean"] == 0.0
    assert found["skew"] == pytest.approx((9 * 1 - 729) / 10 / 9**1.5)
    assert found["kurtosis"] == pytest.approx((9 + 6561) / 10 / 81)
    assert (found["worst"], found["median"], found["best"], found["lost"]) == (-9.0, 1.0, 1.0, 0.1)
    normal = risk.moments(np.random.default_rng(1).normal(0, 1, 200_000))
    assert normal["kurtosis"] == pytest.approx(3.0, abs=0.05)


def test_the_probability_is_that_of_these_moments():
    """psr of the summary is the formula on its own returns."""
    changes = np.random.default_rng(2).normal(0.1, 1, 500)
    found = risk.moments(changes)
    shape = {"periods": 500, "skew": found["skew"], "kurtosis": found["kurtosis"]}
    assert risk.psr(found) == probabilistic_sharpe(found["sharpe_per_period"], **shape)
    assert risk.psr(risk.moments(np.zeros(9))) is None


def test_autocovariance_of_many_rows_is_the_sum_of_products():
    """Stretch by stretch or whole, each lag has the sum that its definition gives."""
    values = np.random.default_rng(3).normal(size=1_001).cumsum()
    centred = values - values.mean()
    wanted = [float((centred[lag:] * centred[: len(centred) - lag]).sum()) for lag in range(64)]
    for lags in (64, 128, 600):
        np.testing.assert_allclose(risk.autocovariance(centred, lags)[:64], wanted, rtol=1e-9)


def test_half_life_longer_than_the_first_lags(monkeypatch):
    """More lags are taken until one is found, which is that of the changes."""
    held = np.repeat(np.tile([0, 1], 5), 2_000)
    us = np.arange(len(held)) * 1_000_000
    whole = risk.half_life_s(us, held)
    monkeypatch.setattr(risk, "_FEW_CHANGES", 0)
    assert risk.half_life_s(us, held) == whole
    monkeypatch.setattr(risk, "_LAGS", 16)
    assert risk.half_life_s(us, held) == whole
    assert whole > 128


@pytest.mark.parametrize("period", [5, 90, 700, 3_000, 20_000])
def test_half_life_is_the_first_lag_with_less_than_half_of_the_products(period):
    """However many lags are taken for it: lag by lag, from the definition."""
    random = np.random.default_rng(period)
    held = np.repeat(random.integers(-50, 50, 50_000 // period + 1), period)[:50_000]
    centred = held - held.mean()
    half = 0.5 * float((centred**2).sum())
    found = risk.half_life_s(np.arange(len(held)) * 1_000_000, held)
    assert float((centred[int(found) :] * centred[: len(held) - int(found)]).sum()) < half
    before = range(max(1, int(found) - 70), int(found))
    assert all(float((centred[lag:] * centred[: len(held) - lag]).sum()) >= half for lag in before)


def test_transforms_have_lengths_of_few_small_factors():
    """At least as long as requested, and at most a quarter longer."""
    for least in range(8, 5_000):
        size = risk._size(least)
        assert least <= size <= least * 1.25
        for factor in (2, 3, 5):
            while size % factor == 0:
                size //= factor
        assert size == 1


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3)), max_size=30),
    st.integers(1, 3),
    st.integers(-2, 2),
)
def test_the_share_at_the_bound_is_the_time_of_the_rows_that_reach_it(rows, bound, target):
    """Each row counts until the next one."""
    us = np.cumsum([step for step, _ in rows], dtype=np.int64)
    held = np.array([lots for _, lots in rows], np.int64)
    steps = [(later - us[at], held[at]) for at, later in enumerate(us[1:])]
    total = sum(step for step, _ in steps)
    reached = sum(step for step, lots in steps if abs(lots - target) >= bound)
    assert risk.share_beyond(us, held, bound, target) == (reached / total if total else None)

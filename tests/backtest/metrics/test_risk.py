"""Sharpe and similar ratios, drawdowns, inventory and returns, against loops, fractions and values by hand."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import PATH, path

from journals import Scribe, run_terms
from mm import Result
from mm.backtest.metrics import risk

PER_YEAR = 525_600
YEAR = math.sqrt(PER_YEAR)
MINUTE = 60_000_000
CHANGES = st.lists(st.integers(-50, 50), min_size=2, max_size=60)
DAY = 86_400_000_000


def normal_changes(size, seed=3):
    return np.random.default_rng(seed).normal(0.05, 1.0, size)


@given(CHANGES)
def test_sharpe_is_annualised_mean_over_sample_deviation(changes):
    """ddof 1, and None rather than infinity without variation."""
    value = risk.sharpe(np.array(changes, float), PER_YEAR)
    if len(set(changes)) == 1:
        assert value is None
    else:
        assert value == pytest.approx(statistics.mean(changes) / statistics.stdev(changes) * YEAR, rel=1e-9, abs=1e-9)


@given(CHANGES)
def test_sortino_divides_by_downside_deviation_of_all_periods(changes):
    """Periods with a gain count as zeros in the denominator."""
    value = risk.sortino(np.array(changes, float), PER_YEAR)
    downside = math.sqrt(sum(min(change, 0) ** 2 for change in changes) / len(changes))
    if downside == 0:
        assert value is None
    else:
        assert value == pytest.approx(statistics.mean(changes) / downside * YEAR, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("changes", [[], [1.0], [2.0, 2.0, 2.0]])
def test_ratios_of_too_little_data_are_none(changes):
    """A single period, or equal periods, have no deviation."""
    changes = np.array(changes)
    assert risk.sharpe(changes, PER_YEAR) is None
    assert risk.sharpe_autocorr(changes, PER_YEAR) is None
    assert risk.sharpe_ci95(changes, PER_YEAR, seed=1) is None
    assert risk.sortino(changes, PER_YEAR) is None


def test_sharpe_autocorr_equals_lo_with_falling_weights():
    """q / √(q + 2·Σ (q − j)·ρ_j), written out."""
    changes = normal_changes(300)
    mean, n, q = statistics.mean(changes), len(changes), 525_600
    variance = sum((x - mean) ** 2 for x in changes)
    last = int(4 * (n / 100) ** (2 / 9))
    weighted = 0.0
    for j in range(1, last + 1):
        rho = sum((changes[t] - mean) * (changes[t - j] - mean) for t in range(j, n)) / variance
        weighted += (1 - j / (last + 1)) * (q - j) * rho
    expected = mean / statistics.stdev(changes) * q / math.sqrt(q + 2 * weighted)
    assert risk.sharpe_autocorr(changes, PER_YEAR) == pytest.approx(expected, rel=1e-4), "a year is many lags"


def test_autocorrelated_gains_lower_the_corrected_sharpe():
    """Periods that repeat each other contain less information."""
    noise = normal_changes(4_000)
    runs = np.convolve(noise, [0.5, 0.5, 0.5, 0.5], mode="valid")
    assert risk.sharpe_autocorr(runs, PER_YEAR) < 0.75 * risk.sharpe(runs, PER_YEAR)
    assert risk.sharpe_autocorr(noise, PER_YEAR) == pytest.approx(risk.sharpe(noise, PER_YEAR), rel=0.1)


@given(CHANGES)
def test_sharpe_autocorr_exists_whenever_sharpe_does(changes):
    """The weights keep the variance of the sum positive."""
    changes = np.array(changes, float)
    assert (risk.sharpe_autocorr(changes, PER_YEAR) is None) == (risk.sharpe(changes, PER_YEAR) is None)


def influence(changes):
    """Return the influence of each period on the ratio of mean and deviation (ddof 0)."""
    ratio, scaled = changes.mean() / changes.std(), (changes - changes.mean()) / changes.std()
    return scaled - ratio / 2 * (scaled**2 - 1)


def few_gains(size):
    """Return small noise and a gain in one of ten periods: plain draws reach farther than studentised ones."""
    random = np.random.default_rng(0)
    return 0.1 * random.standard_normal(size) + random.exponential(2, size) * (random.random(size) < 0.1)


SLOW_SIZES = [pytest.param(size, normal_changes, marks=pytest.mark.slow) for size in (50, 77, 840)]


@pytest.mark.parametrize(("size", "made"), [(50, few_gains), *SLOW_SIZES])
def test_sharpe_interval_equals_that_of_copied_blocks(size, made):
    """Running sums give the same as 2000 copied series, each in units of its own error."""
    changes = made(size)
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
    assert risk.sharpe_ci95(changes, PER_YEAR, seed=5) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_sharpe_interval_covers_days_with_few_large_fills():
    """Fourteen hours of small noise with a large gain every fifty minutes and a loss every hundred."""
    random = np.random.default_rng(8)
    mean, square = 0.02 * 2 - 0.01 * 3, 0.01 + 0.02 * 8 + 0.01 * 18
    truth = mean / math.sqrt(square - mean**2) * YEAR
    covered = 0
    for day in range(200):
        noise, gains, losses = 0.1 * random.standard_normal(840), random.exponential(2, 840), random.exponential(3, 840)
        changes = noise + gains * (random.random(840) < 0.02) - losses * (random.random(840) < 0.01)
        low, high = risk.sharpe_ci95(changes, PER_YEAR, seed=day)
        covered += low <= truth <= high
    assert covered / 200 >= 0.93 - 1.5 * math.sqrt(0.95 * 0.05 / 200)


def test_sharpe_interval_has_the_theoretical_width():
    """For independent periods the ratio's error is √((1 + ½·SR²)/n), Lo 2002."""
    changes = normal_changes(840)
    low, high = risk.sharpe_ci95(changes, PER_YEAR, seed=0)
    assert low < risk.sharpe(changes, PER_YEAR) < high
    assert (high - low) / YEAR == pytest.approx(2 * 1.96 * math.sqrt(1 / 840), rel=0.15)


def test_sharpe_interval_is_reproducible_per_seed():
    """Another seed gives another interval."""
    changes = normal_changes(200)
    assert risk.sharpe_ci95(changes, PER_YEAR, seed=1) == risk.sharpe_ci95(changes, PER_YEAR, seed=1)
    assert risk.sharpe_ci95(changes, PER_YEAR, seed=1) != risk.sharpe_ci95(changes, PER_YEAR, seed=2)


def test_few_periods_have_no_sharpe_interval():
    """At least twenty periods are required."""
    assert risk.sharpe_ci95(normal_changes(19), PER_YEAR, seed=0) is None
    assert risk.sharpe_ci95(normal_changes(20), PER_YEAR, seed=0) is not None


def test_single_change_among_many_periods_has_no_interval():
    """Many draws would miss it and have no variation at all."""
    changes = np.zeros(400)
    changes[7] = -1.0
    assert risk.sharpe(changes, PER_YEAR) is not None
    assert risk.sharpe_ci95(changes, PER_YEAR, seed=0) is None


@pytest.mark.parametrize("periods", [1, 2, 10, 100, 840, 100_000])
def test_block_length_exceeds_lags_and_fits_the_data(periods):
    """For any number of periods."""
    assert min(periods, risk.lags(periods) + 1) <= risk.block_length(periods) <= periods


def test_calmar_is_annual_gain_over_maximum_drawdown():
    """A gain of 3 in half a year with a drawdown of 2 is 6 per year, 3 per unit of drawdown."""
    assert risk.calmar(3.0, 2.0, 0.5) == pytest.approx(3.0)
    assert risk.calmar(3.0, 0.0, 1.0) is None
    assert risk.calmar(3.0, 2.0, 0) is None


@pytest.mark.parametrize("scale", [1, 2**70])
@given(PATH)
def test_drawdown_is_the_largest_fall_from_any_earlier_row(scale, steps):
    """Depth and duration as found by a double loop, also beyond 64 bits."""
    us, equity = path(steps)
    equity = equity if scale == 1 else equity.astype(object) * scale
    rows, found = range(len(us)), risk.drawdowns_of(us, equity)
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


def test_constant_equity_is_not_a_drawdown():
    """Time at the peak is not under water."""
    found = risk.drawdowns_of(np.array([0, 10, 20, 30]), np.array([3, 3, 3, 4]))
    assert found == risk.Drawdowns(0, 0, 0, 30, unrecovered=False)


def test_drawdown_without_equity_is_none():
    """Undefined, not zero."""
    found = risk.drawdowns_of(np.empty(0, np.int64), np.empty(0, np.int64))
    assert found.deepest is found.longest_us is None
    assert found.under_water() == {"s": None, "share": None, "unrecovered": None}


def test_time_under_water_counts_each_fall_until_recovery():
    """Down for 2 s, at the peak for 1 s, down for the last 3 s: 5 of 7 s, and not recovered."""
    us = np.array([0, 1, 3, 4, 7]) * 1_000_000
    found = risk.drawdowns_of(us, np.array([5, 3, 5, 4, 2])).under_water()
    assert found == {"s": 5.0, "share": 5 / 7, "unrecovered": True}
    assert risk.drawdowns_of(us, np.array([1, 2, 2, 3, 3])).under_water() == {
        "s": 0.0,
        "share": 0.0,
        "unrecovered": False,
    }
    single = risk.drawdowns_of(us[:1], np.array([1])).under_water()
    assert single == {"s": 0.0, "share": None, "unrecovered": False}


@given(PATH)
def test_inventory_moments_are_weighted_by_time(steps):
    """A position held for no time counts only in the maximum."""
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
def test_half_life_is_the_first_lag_with_autocorrelation_below_half(steps):
    """The transform gives the same as sums of products."""
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
    # A value of exactly one half may be rounded either way.
    assert found == lag or abs(products[min(int(found), lag)] - 0.5 * products[0]) < 1e-9 * products[0]


def test_half_life_of_an_ar1_process_equals_its_decay():
    """With a half-life of 20 s."""
    random = np.random.default_rng(0)
    held = np.zeros(50_000)
    for i in range(1, len(held)):
        held[i] = held[i - 1] * 0.5 ** (1 / 20) + random.normal()
    us = np.arange(len(held)) * 1_000_000
    assert risk.half_life_s(us, (1_000 * held).astype(int)) == pytest.approx(21, abs=2)


def test_half_life_without_rows_is_none():
    """There is no grid."""
    assert risk.half_life_s(np.empty(0, np.int64), np.empty(0, np.int64)) is None


def summary_of_days(moves, lots=100):
    """Return the summary of a run that holds *lots*, with one move of the mid in ticks per day."""
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
    return Result(scribe.journal(), run_terms(scribe.instrument, **terms)).summary


def test_daily_pnl_adds_up_and_gives_sharpe_daily():
    """The mean over the deviation of three days, times √365."""
    summary = summary_of_days([10, -4, 6])
    pnl = [day["pnl"] for day in summary["daily"]]
    assert pnl == pytest.approx([10 * 1e-5, -4 * 1e-5, 6 * 1e-5])
    assert sum(pnl) == pytest.approx(summary["pnl_total"])
    assert summary["sharpe_daily"] == pytest.approx(statistics.mean(pnl) / statistics.stdev(pnl) * math.sqrt(365))
    assert [day["day"] for day in summary["daily"]] == ["20260101", "20260102", "20260103"]


def test_sharpe_daily_of_one_day_is_null():
    """With the reason in the warnings."""
    summary = summary_of_days([3])
    assert summary["sharpe_daily"] is None
    assert any("fewer than two days" in line for line in summary["warnings"])


def test_skew_and_kurtosis_equal_their_definition():
    """One loss of 9 among nine gains of 1; kurtosis is raw, so a normal distribution has 3."""
    found = risk.moments(np.array([1.0] * 9 + [-9.0]), PER_YEAR)
    assert found["mean"] == 0.0
    assert found["skew"] == pytest.approx((9 * 1 - 729) / 10 / 9**1.5)
    assert found["kurtosis"] == pytest.approx((9 + 6561) / 10 / 81)
    assert (found["worst"], found["median"], found["best"], found["lost"]) == (-9.0, 1.0, 1.0, 0.1)
    of_normal = risk.moments(np.random.default_rng(1).normal(0, 1, 200_000), PER_YEAR)
    assert of_normal["kurtosis"] == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("period", [5, 90, 700, 3_000, 20_000])
def test_half_life_is_the_first_lag_with_less_than_half_of_the_products(period):
    """Lag by lag from the definition, however many lags are computed."""
    random = np.random.default_rng(period)
    held = np.repeat(random.integers(-50, 50, 50_000 // period + 1), period)[:50_000]
    centred = held - held.mean()
    half = 0.5 * float((centred**2).sum())
    found = risk.half_life_s(np.arange(len(held)) * 1_000_000, held)
    assert float((centred[int(found) :] * centred[: len(held) - int(found)]).sum()) < half
    before = range(max(1, int(found) - 70), int(found))
    assert all(float((centred[lag:] * centred[: len(held) - lag]).sum()) >= half for lag in before)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3)), max_size=30),
    st.integers(1, 3),
    st.integers(-2, 2),
)
def test_share_beyond_is_the_time_share_of_rows_at_the_bound(rows, bound, target):
    """Each row counts until the next one."""
    us = np.cumsum([step for step, _ in rows], dtype=np.int64)
    held = np.array([lots for _, lots in rows], np.int64)
    steps = [(later - us[at], held[at]) for at, later in enumerate(us[1:])]
    total = sum(step for step, _ in steps)
    reached = sum(step for step, lots in steps if abs(lots - target) >= bound)
    assert risk.share_beyond(us, held, bound, target) == (reached / total if total else None)


@pytest.mark.parametrize(("share", "half_life", "few", "many"), [(0.0, 1.0, 0.0, 0.08), (1 / 3, 30.0, 0.8, 1.0)])
def test_a_drift_of_the_mean_is_found(share, half_life, few, many):
    """A third of the variance with half an hour, in six hours; hardly ever in noise."""
    random, found = np.random.default_rng(4), []
    keep = 2 ** (-1 / half_life)
    for _ in range(60):
        drift = np.zeros(860)
        for at, noise in enumerate(random.normal(0.0, math.sqrt(1 - keep**2), 859), 1):
            drift[at] = keep * drift[at - 1] + noise
        changes = math.sqrt(1 - share) * random.standard_normal(360) + math.sqrt(share) * drift[500:]
        found.append(risk.drift_half_life_s(changes))
    noted = np.mean([60 * each > 360 * 60 for each in found])
    assert few <= noted <= many
    assert risk.drift_half_life_s(np.zeros(60)) is None


@pytest.mark.parametrize("seed", range(20))
def test_draw_ratios_equal_those_of_copied_blocks(seed):
    """Mean over deviation of each draw, and its error from the influence of its blocks; 0 without variation."""
    random = np.random.default_rng(seed)
    values, lengths = random.normal(size=30), np.array([4] * 7 + [2])
    values[:8] = values[0]
    first = random.integers(0, 30, (50, 8))
    first[0] = 0
    wrapped, centre = np.tile(values, 2), 0.3
    parts = [[wrapped[at : at + size] for at, size in zip(starts, lengths, strict=True)] for starts in first]
    sums = np.array([[(part.sum(), (part**2).sum()) for part in row] for row in parts])
    for row, ratio, error in zip(parts, *risk._draw_ratios(sums, lengths, centre), strict=True):
        drawn = np.concatenate(row)
        if drawn.std() < 1e-6:
            assert error == 0
            continue
        scaled = (drawn - drawn.mean()) / drawn.std()
        expected = (centre + drawn.mean()) / drawn.std()
        influence = np.split(scaled - expected / 2 * (scaled**2 - 1), np.cumsum(lengths)[:-1])
        assert ratio == pytest.approx(expected, rel=1e-9)
        assert error == pytest.approx(math.sqrt(sum(part.sum() ** 2 for part in influence)) / 30, rel=1e-9)

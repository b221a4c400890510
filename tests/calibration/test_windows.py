"""Training windows, and the fit of each."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm import Points, WindowPlan, fit_poisson
from mm.calibration.fit_points import FitOptions, fit_window
from mm.calibration.windows import MODES, Window, WindowFit, WindowFitter
from mm.errors import UsageError

MIN = 60_000_000
HOURS = 60 * MIN
START = 1_767_600_000_000_000


def test_fourteen_hours_at_120_and_15_minutes_are_48_segments():
    windows = WindowPlan().windows(START, START + 14 * HOURS)
    assert len(windows) == 48
    assert windows[0].start_us == START + 2 * HOURS
    assert windows[-1].end_us == START + 14 * HOURS


def test_rolling_window_ends_order_latency_before_segment():
    """Later data is unknown when the first order of the segment must leave."""
    window = WindowPlan(latency_us=50_000).windows(START, START + 14 * HOURS)[3]
    assert window.train_end_us == window.start_us - 50_000
    assert window.train_end_us - window.train_start_us == 2 * HOURS


NIGHT = 10 * HOURS
TWO_DAYS = [(START, START + 14 * HOURS), (START + 14 * HOURS + NIGHT, START + 28 * HOURS + NIGHT)]


def test_second_day_is_traded_from_first_minute():
    """It trains on the evening before; the night belongs to the last segment before it."""
    windows = WindowPlan().over(TWO_DAYS)
    assert len(windows) == 48 + 56
    evening, morning, next_one = windows[47:50]
    assert (evening.start_us, evening.end_us) == (TWO_DAYS[0][1] - 15 * MIN, TWO_DAYS[1][0])
    assert (morning.start_us, morning.train_end_us) == (TWO_DAYS[1][0], TWO_DAYS[1][0] - 50_000)
    assert morning.train_start_us == TWO_DAYS[0][1] - 2 * HOURS
    assert next_one.train_end_us == TWO_DAYS[1][0] + 15 * MIN - 50_000
    assert next_one.train_start_us == TWO_DAYS[0][1] - 105 * MIN - 50_000


def test_consecutive_days_are_joined():
    halves = [(START, START + 5 * HOURS), (START + 5 * HOURS, START + 9 * HOURS)]
    for mode in MODES:
        assert WindowPlan(mode=mode).over(halves) == WindowPlan(mode=mode).windows(START, START + 9 * HOURS)


def test_first_day_shorter_than_window_only_trains():
    """One hour, then another day: the first segment starts after two recorded hours."""
    windows = WindowPlan().over([(START, START + HOURS), (START + NIGHT, START + NIGHT + 3 * HOURS)])
    assert windows[0] == Window(
        START + NIGHT + HOURS, START + NIGHT + HOURS + 15 * MIN, START - 50_000, START + NIGHT + HOURS - 50_000
    )


def test_last_segment_ends_with_day():
    windows = WindowPlan().windows(START, START + 2 * HOURS + 20 * MIN)
    assert [window.end_us - window.start_us for window in windows] == [15 * MIN, 5 * MIN]


def test_day_not_longer_than_training_window_has_no_segment():
    assert WindowPlan().windows(START, START + 2 * HOURS) == ()


@pytest.mark.parametrize("mode", ["expanding", "ewma", "pooled_k"])
def test_expanding_modes_train_from_start(mode):
    windows = WindowPlan(mode=mode).windows(START, START + 5 * HOURS)
    assert {window.train_start_us for window in windows} == {START}
    assert all(window.train_end_us == window.start_us - 50_000 for window in windows)


def test_static_schedule_is_trained_once():
    """Every window has the training period of the first one."""
    windows = WindowPlan(mode="static").windows(START, START + 5 * HOURS)
    assert len({(window.train_start_us, window.train_end_us) for window in windows}) == 1


@given(
    st.floats(0.05, 300),
    st.floats(0.5, 60),
    st.integers(0, 10**6),
    st.sampled_from(MODES),
    st.integers(0, 24 * 60 * MIN),
    st.integers(0, 20 * HOURS),
)
def test_segments_are_adjacent_and_train_only_on_past(train_min, step_min, latency_us, mode, length_us, night_us):
    days = [(START, START + length_us), (START + length_us + night_us, START + length_us + night_us + 7 * HOURS)]
    windows = WindowPlan(train_min, step_min, latency_us, mode).over(days[: 1 + (night_us > 0)])
    end_us = days[night_us > 0][1]
    assert all(before.end_us == after.start_us for before, after in itertools.pairwise(windows))
    assert all(window.start_us < window.end_us <= end_us for window in windows)
    assert all(any(a <= window.start_us < b for a, b in days) for window in windows)
    assert all(window.train_start_us < window.train_end_us <= window.start_us - latency_us for window in windows)


@pytest.mark.parametrize(
    ("knob", "value", "message"),
    [
        ("train_window_min", 0, "^train_window_min is 0"),
        ("step_min", -1, "^step_min is"),
        ("step_min", float("nan"), "^step_min is"),
        ("half_life_min", 0, "^half_life_min is 0"),
        ("latency_us", -1, "latency_us, is -0.001 ms"),
        ("latency_us", 120 * MIN, "shorter than the training window of 120 minutes"),
        ("mode", "magic", "choose one of rolling, expanding, ewma, pooled_k, static"),
    ],
)
def test_invalid_plan_is_rejected(knob, value, message):
    with pytest.raises(UsageError, match=message):
        WindowPlan(**{knob: value})


def cells(fills):
    """Return three distances in each of two blocks of 5 minutes, the last cell open."""
    delta = np.tile([1.0, 2.0, 3.0], 2)
    return Points.of(
        delta,
        [100, 100, 100, 50, 50, 50],
        fills,
        side=[1] * 6,
        block=[0, 0, 0, 1, 1, 1],
        width_ticks=np.where(delta < 3, 1, np.inf),
    )


def fitted(mode, points, fit=fit_poisson):
    """Fit a window of 10 minutes with a half-life of 5: the older block weighs 2^-1.5, the newer 2^-0.5."""
    return WindowFitter(lambda *_: points, fit, WindowPlan(mode=mode, half_life_min=5)).one(0, 10 * MIN)


@pytest.mark.parametrize("mode", ["rolling", "expanding", "static"])
def test_unweighted_mode_equals_fit(mode):
    points = cells([9, 4, 2, 6, 3, 1])
    assert fitted(mode, points) == WindowFit.of(fit_poisson(points))


def test_ewma_weights_fills_and_exposure_by_age():
    """The same fitter gets fractional counts; k and A are those of the weighted table."""
    tables = []

    def fit(points):
        tables.append(points)
        return fit_poisson(points)

    points = cells([9, 4, 2, 6, 3, 1])
    found = fitted("ewma", points, fit)
    weights = np.repeat([2**-1.5, 2**-0.5], 3)
    np.testing.assert_allclose(tables[0].fills, points.fills * weights)
    np.testing.assert_allclose(tables[0].exposure_s, points.exposure_s * weights)
    assert (found.A, found.k) == (found.fit.A, found.fit.k)
    assert found.fit.n_fills == pytest.approx(15 * 2**-1.5 + 10 * 2**-0.5)


def test_pooled_k_uses_k_of_all_data_and_recent_a():
    points = cells([90, 40, 20, 6, 3, 1])
    pooled, found = fit_poisson(points), fitted("pooled_k", points)
    gain = np.exp(-pooled.k * 1) * (100 * 2**-1.5 + 50 * 2**-0.5)  # sweeps of any depth reach the nearest cell
    assert found.k == pooled.k
    expected = (150 * 2**-1.5 + 10 * 2**-0.5) / gain
    assert abs(found.A / expected - 1) < 1e-12
    assert found.A < pooled.A


@pytest.mark.parametrize("mode", ["ewma", "pooled_k"])
def test_weighted_modes_equal_fit_for_steady_flow(mode):
    points = cells([80, 40, 40, 40, 20, 20])
    found, plain = fitted(mode, points), fit_poisson(points)
    assert (found.A, found.k) == (pytest.approx(plain.A), pytest.approx(plain.k))


def quick_fit(points):
    """Return the fit with its intervals by blocks, without checks."""
    return fit_window(points, FitOptions(intervals="block"))


@pytest.mark.parametrize("mode", ["ewma", "pooled_k"])
@pytest.mark.parametrize("bursts", [False, True])
def test_intervals_of_weighted_fits_hold_the_truth(mode, bursts):
    """Over 300 days of one truth; where the rate of a block is drawn, naive intervals of A hold .6."""
    rng = np.random.default_rng(5)
    A, k, blocks = 0.5, 0.7, 24
    delta, block = np.tile(np.arange(1.0, 11.0), blocks), np.repeat(np.arange(blocks), 10)
    width = np.where(delta < 10, 1.0, np.inf)
    mean = 300 * A * (np.exp(-k * delta) - np.where(delta < 10, np.exp(-k * (delta + 1)), 0))

    def points(_start_us, _end_us):
        level = np.repeat(rng.gamma(4.0, 0.25, blocks), 10) if bursts else 1.0
        return Points.of(delta, np.full(delta.size, 300.0), rng.poisson(mean * level), block=block, width_ticks=width)

    fitter = WindowFitter(points, quick_fit, WindowPlan(mode=mode, half_life_min=30))
    found = [fitter.one(0, blocks * 5 * MIN) for _ in range(300)]
    for true, ends, values in (
        (k, [fit.ci95_k for fit in found], [fit.k for fit in found]),
        (A, [fit.ci95_A for fit in found], [fit.A for fit in found]),
    ):
        low, high = np.array(ends).T
        assert np.mean((low < true) & (true < high)) > 0.9
        assert np.median(high - low) < 10 * np.std(values)  # of Student's t with two degrees of freedom: 8.6


@pytest.mark.parametrize("mode", MODES)
def test_window_without_fills_has_no_parameters(mode):
    found = fitted(mode, cells([0] * 6))
    assert (found.A, found.k, found.se_k, found.se_logA, found.fit.status) == (None, None, None, None, "no_fills")


def test_very_old_data_still_gives_fit():
    """The only fills are hundreds of half-lives old: no division by zero."""
    points = cells([9, 4, 2, 0, 0, 0])
    fitter = WindowFitter(lambda *_: points, fit_poisson, WindowPlan(mode="pooled_k", half_life_min=0.01))
    assert fitter.one(0, 24 * HOURS).A > 0


def test_windows_have_start_end_and_training_times():
    assert WindowPlan(10, 5, 7).windows(0, 16 * MIN) == (
        Window(10 * MIN, 15 * MIN, -7, 10 * MIN - 7),
        Window(15 * MIN, 16 * MIN, 5 * MIN - 7, 15 * MIN - 7),
    )


@pytest.mark.parametrize("latency_us", [0, 250_000])
def test_what_is_chosen_once_sees_no_more_than_the_first_training_window(latency_us):
    """The reference price and the clustering are those of `WindowPlan.first_us` from the start."""
    plan = WindowPlan(train_window_min=60, step_min=15, latency_us=latency_us)
    first = plan.windows(0, 4 * 3600 * 1_000_000)[0]
    assert first.train_end_us == plan.first_us == first.start_us - latency_us

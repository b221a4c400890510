"""Calibrator: from any window of days to points and a fit, for every method."""

from dataclasses import replace

import pytest
from scipy import stats

from calibrators import calibrator_of, config_of
from mm import CalibrationConfig, Rules, Tape, calibrate, fit_poisson
from mm.base.estimate import cosines
from mm.calibration.calibrate import measure
from mm.errors import UsageError
from mm.instrument import Instrument

A, K = 1.2, 0.4


def test_simulated_orders_are_one_lot_and_ignore_balances(tape):
    """A probe fills completely at the first print and is never blocked by balances."""
    runs = {}
    measure(
        tape,
        CalibrationConfig(reference="mid", method="ladder", permutations=1),
        keep=lambda name, play: runs.setdefault(name, play(all_rows=True)),
    )
    run = runs["ladder"].result
    assert set(run.journal.fills[:, 4].tolist()) == {1}
    assert run.summary["n_partial"] == 0
    assert run.journal.state[:, 1].min() < 0, "sells never waited for an inventory"


@pytest.mark.parametrize("method", ["marks", "ladder"])
def test_data_outside_window_does_not_change_fit(tape, method):
    """Windows are slices: the fit equals that of the sliced tape."""
    calibrator = calibrator_of(tape, CalibrationConfig(reference="mid", method=method))
    a = tape.start_us + 20 * 60_000_000
    b = a + 30 * 60_000_000
    fit, _ = calibrator.fit(a, b)
    assert (fit.window.start_us, fit.window.end_us) == (a, b)
    if method == "marks":
        alone = calibrate(tape.between(a, b), CalibrationConfig(reference="mid"))
        extras = {"reference_choice": None, "shape": None, "lambda_curve": (), "adverse_moves": ()}  # of whole days
        assert replace(alone, **extras).to_json() == fit.to_json()


def test_unknown_method_and_distance_are_rejected():
    """The message lists the known methods."""
    with pytest.raises(UsageError, match="marks, ladder, fixed"):
        CalibrationConfig(reference="mid", method="guess")
    with pytest.raises(UsageError, match="distance is"):
        CalibrationConfig(reference="mid", distance="far")
    with pytest.raises(UsageError, match=r"^reference is 'last'; choose one of mid"):
        CalibrationConfig(reference="last")
    with pytest.raises(UsageError, match=r"^fills is queue_prob_power, and marks have no orders"):
        config_of(fills="queue_prob_power")


@pytest.mark.parametrize("method", ["marks", "ladder"])
def test_days_are_pooled_with_separate_blocks(days, method):
    """Seconds and fills add up, no block spans two days, and the night is not counted."""
    config = CalibrationConfig(reference="mid", method=method, seed=5)
    measurement = measure(days, config)
    alone = [measurement.calibrator.points(day.start_us, day.end_us) for day in days]
    pooled = measurement.measured.fitted
    assert pooled.fills.sum() == sum(points.fills.sum() for points in alone)
    assert pooled.exposure_s.sum() == pytest.approx(sum(points.exposure_s.sum() for points in alone))
    assert measurement.fit.n_blocks == sum(len(set(points.block.tolist())) for points in alone)
    assert measurement.fit.day == "20260105-20260106"
    assert abs(measurement.fit.k - K) < 4 * measurement.fit.se_k
    low, high = measurement.fit.ci95_A_block
    assert low < A < high


@pytest.mark.parametrize("method", ["ladder", "fixed"])
def test_anchor_distance_equals_quoted_distance(tape, method):
    """A mid on whole or half ticks leaves only the deltas and half a tick more."""
    points = calibrator_of(
        tape, CalibrationConfig(reference="mid", method=method, distance="anchor", deltas=(2.0, 5.0))
    ).between(tape.start_us, tape.end_us)
    assert set(points.fitted.delta_ticks.tolist()) <= {2, 2.5, 5, 5.5}
    current = calibrator_of(tape, CalibrationConfig(reference="mid", method=method, deltas=(2.0, 5.0))).between(
        tape.start_us, tape.end_us
    )
    assert len(set(current.fitted.delta_ticks.tolist())) > 6


@pytest.mark.slow
@pytest.mark.parametrize("method", ["marks", "ladder", "fixed"])
def test_larger_order_and_queue_get_fewer_hits(tape, method):
    """The sweeps have random quantities: a larger order is hit less often, and even less behind a queue."""
    rules = [{}, {"order_e8": 400_000_000}, {"order_e8": 400_000_000, "queue_ahead": 1.0}]
    fills = [
        calibrator_of(tape, method=method, hit=rule).between(tape.start_us, tape.end_us).fitted.fills.sum()
        for rule in rules
    ]
    assert fills[0] > fills[1] > fills[2] > 0


def test_gap_stops_exposure_until_next_snapshot():
    """A gap cancels the orders: 20 s of quotes, 10 s without, 20 s of quotes, less the latencies."""
    second = 1_000_000
    grid = Instrument("SIMUSDT", 1_000_000, 100_000)
    book = ([(100, 5)], [(102, 5)])
    beats = [(n * second, "depth", [(90 + n % 2, 1)], []) for n in (*range(1, 20), *range(31, 51))]
    events = [(0, "snapshot", *book), *beats[:19], (20 * second, "gap"), (30 * second, "snapshot", *book), *beats[19:]]
    tape = Tape.of(grid, events)
    rules = Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8, order_latency_us=50_000)
    points = (
        calibrator_of(tape, CalibrationConfig(reference="mid", method="fixed", deltas=(1.0,)), rules)
        .between(0, 50 * second)
        .fitted
    )
    assert set(points.delta_ticks.tolist()) == {1}
    assert sum(points.exposure_s) == pytest.approx(2 * (20 - 0.05 + 20 - 0.05), abs=0.6)
    assert points.fills.sum() == 0


@pytest.mark.slow
def test_ladder_pools_its_permutations(tape):
    """The fit uses the points of all permutations: counts are summed, the weight is that of one."""
    config = CalibrationConfig(reference="mid", method="ladder", dwell_ms=5_000)
    runs = {}
    measurement = measure(
        tape, replace(config, permutations=3), keep=lambda name, play: runs.setdefault(name, play(all_rows=True))
    )
    alone = [measure(tape, replace(config, seed=seed, permutations=1)) for seed in (0, 1, 2)]
    assert list(measurement.calibrator.played) == sorted(runs) == ["ladder", "ladder_1", "ladder_2"]
    seconds, fills = (sum(getattr(one.measured.shown, name).sum() for one in alone) for name in ("exposure_s", "fills"))
    assert measurement.measured.shown.exposure_s.sum() == pytest.approx(seconds)
    assert measurement.measured.shown.fills.sum() == fills
    assert (measurement.fit.n_fills, measurement.fit.exposure_s) == pytest.approx((fills, seconds))
    pooled = fit_poisson(measurement.measured.shown, min_exposure_s=5, min_usable_deltas=3)
    assert (measurement.fit.A, measurement.fit.k) == pytest.approx((pooled.A, pooled.k), rel=1e-9)
    low, high = measurement.fit.ci95_k_block
    freedom = cosines(measurement.fit.n_blocks)
    assert measurement.fit.se_k == pytest.approx((high - low) / 2 / stats.t.ppf(0.975, freedom), rel=1e-6)
    # permutations see the same prints: never narrower than independent fills of one of them
    assert low <= pooled.ci95_k_block[0] < pooled.ci95_k_block[1] <= high


def test_ladder_without_permutations_is_rejected():
    """Zero permutations measure nothing."""
    with pytest.raises(UsageError, match="0 permutations"):
        CalibrationConfig(reference="mid", method="ladder", permutations=0)

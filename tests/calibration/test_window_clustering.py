"""Clustering of a schedule: means per window against plain sums, and fills on a growing market."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from mm import CalibrationConfig, Rules, Schedule, WindowPlan, backtest, build_schedule, load_day
from mm.backtest.fills.intensity import Intensity
from mm.backtest.models import fixed_spread, hawkes, poisson, trade_cross
from mm.backtest.quotes.steps import Gated
from mm.calibration.calibrator import Calibrator
from mm.calibration.intensities import intensity_of
from mm.calibration.window_clustering import WindowClustering
from mm.calibration.windows import MODES, WEIGHING, Fallback
from mm.errors import BrokenFile, FitError
from mm.walkforward.walkforward import study
from simulation import simulate_day

PLAN = WindowPlan(40, 10, mode="rolling", half_life_min=20, clustered=True)


def integrated(orders, law, spans, until_s):
    """Return integrated intensities and exposed time up to an instant, summed over all orders of each span."""
    (mu, branching, beta), found = law, np.zeros(3)
    for begin, end in spans:
        stop = min(end, until_s)
        if stop <= begin:
            continue
        found += [mu[0] * (stop - begin), mu[1] * (stop - begin), stop - begin]
        for j in (0, 1):
            for past in orders[j][orders[j] < stop]:
                decay = np.exp(-beta * max(begin - past, 0.0)) - np.exp(-beta * (stop - past))
                found[:2] += branching[:, j, :] @ decay
    return found


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Return two two-hour days of self-exciting orders; the second has three times as many."""
    root, found = tmp_path_factory.mktemp("data"), []
    for day, mu_per_s in (("20260105", 0.2), ("20260106", 0.6)):
        folder = simulate_day(
            root,
            "hawkes",
            hours=2.0,
            seed=4,
            day=day,
            mu_per_s=mu_per_s,
            branching_ratio=0.7,
            cross_share=0.2,
            beta_per_s=0.2,
            sigma_ticks_per_sqrt_s=0.0,
            k_per_tick=0.2,
        )
        found.append(load_day(folder.path))
    return found


def orders_of(days):
    """Return receive times of orders that hit bids and asks, in s; prints of one side and trade time are one."""
    found = {-1: [], 1: []}
    for tape in days:
        last = {}
        for event in tape.trades.tolist():
            side, stamp = tape.rows(event)[0][0], int(tape.event_exch_us[event])
            if stamp != last.get(side) and tape.event_us[event] >= tape.start_us:
                found[side].append(tape.event_us[event] / 1e6)
            last[side] = stamp
    return np.array(found[-1]), np.array(found[1])


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_segment_mean_equals_weighted_mean_of_training_data(days, mode):
    """By sums over all orders so far, with the block weights of the fit."""
    plan = replace(PLAN, mode=mode)
    schedule, calibrator = build_schedule(days, plan), Calibrator(days, CalibrationConfig(reference="mid"))
    block, sides = schedule.clustering, ("bid", "ask")
    law = (
        np.array([block["mu_per_s"][side] for side in sides]),
        np.array([[[one["branching"][i][j] for one in block["kernels"]] for j in sides] for i in sides]),
        np.array([one["beta_per_s"] for one in block["kernels"]]),
    )
    orders = orders_of(days)
    for segment in schedule.segments[::5]:
        ages, total = [], []
        for _, begin_us, stop_us in calibrator.parts(segment.train_start_us, segment.train_end_us):
            edges = np.append(np.arange(begin_us, stop_us, 300_000_000), stop_us) / 1e6
            for begin, stop in itertools.pairwise(edges):
                total.append(integrated(orders, law, [(begin, stop)], stop))
                ages.append(len(ages) * 300 + 150)
        length_s = calibrator.length_s(segment.train_start_us, segment.train_end_us)
        weights = 0.5 ** ((length_s - np.array(ages)) / 1200) if mode in WEIGHING else np.ones(len(ages))
        bid, ask, exposed_s = weights @ np.array(total)
        means = (segment.mean_bid_per_s, segment.mean_ask_per_s)
        assert means == pytest.approx((bid / exposed_s, ask / exposed_s), rel=1e-3)  # the first book is slightly late


@pytest.mark.slow
def test_clustering_is_fitted_on_first_window_only(days):
    """Equal for all modes and numbers of days, near the true ratio; other fields do not change."""
    first, *others = (build_schedule(days, replace(PLAN, mode=mode)) for mode in ("rolling", "expanding", "ewma"))
    assert all(one.clustering == first.clustering for one in others)
    assert build_schedule(days[:1], PLAN).clustering == first.clustering
    assert abs(first.clustering["branching_ratio"] - 0.7) < 4 * first.clustering["se_branching_ratio"]
    unclustered = build_schedule(days, replace(PLAN, clustered=False))
    assert unclustered.clustering is None
    segments_without_means = [replace(one, mean_bid_per_s=None, mean_ask_per_s=None) for one in first.segments]
    assert unclustered == replace(first, clustering=None, segments=tuple(segments_without_means))
    assert study(Calibrator(days, CalibrationConfig(reference="mid")), PLAN).schedule == replace(
        first, reference_choice=None
    )


@pytest.mark.slow
def test_clustered_schedule_round_trips_through_json(days):
    """The schedule and the fills drawn from it are equal."""
    schedule = build_schedule(days, PLAN)
    again = Schedule.from_json(json.loads(json.dumps(schedule.to_json(), allow_nan=False)), "it")
    assert again == schedule
    of_original, of_copy = (played(days[:1], one, hawkes) for one in (intensity_of(schedule), intensity_of(again)))
    assert len(of_original.fills) > 1000
    assert of_original.fills.tobytes() == of_copy.fills.tobytes()


@pytest.mark.slow
def test_means_and_clustering_must_come_together(days):
    """The message contains the number of the segment."""
    schedule = build_schedule(days[:1], PLAN)
    with pytest.raises(BrokenFile, match=r"segments\[0\]: mean_bid_per_s and mean_ask_per_s are .* must be null"):
        replace(schedule, clustering=None).check("it")
    halves = (replace(schedule.segments[0], mean_ask_per_s=None), *schedule.segments[1:])
    with pytest.raises(BrokenFile, match=r"segments\[0\]: .* must be above 0, as the clustering is usable"):
        replace(schedule, segments=halves).check("it")


def played(tapes, intensity, make):
    """Return the journal of orders at 4 ticks that rest wherever the schedule has parameters."""
    grid = tapes[0].instrument
    rules = Rules(grid.tick_e8, grid.lot_e8, requote_us=100_000, enforce_balances=False)
    fills = make() if make is trade_cross else make(intensity=intensity, seed=1)
    return backtest(tapes, Gated(fixed_spread(delta_ticks=4), intensity), fills, rules).journal


def bunching(journal, tape, start_us):
    """Return the variance over mean of the fills per minute."""
    edges = np.arange(max(tape.start_us, start_us), tape.end_us, 60_000_000)
    counts = np.histogram(journal.fills[:, 0], edges)[0]
    return counts.var() / counts.mean()


@pytest.mark.slow
def test_hawkes_fills_match_count_and_bunching_of_trades(days):
    """On a threefold growing market Hawkes is closer than Poisson; growth is not counted twice in A and excitation."""
    schedule = build_schedule(days, PLAN)
    intensity, start_us = intensity_of(schedule), schedule.segments[0].start_us
    by_trades, plain, excited = (played(days, intensity, make) for make in (trade_cross, poisson, hawkes))
    expected = excited.counters["expected_fills"] / len(by_trades.fills)
    assert abs(expected - 1) < 0.06
    assert abs(expected - 1) < 0.5 * abs(plain.counters["expected_fills"] / len(by_trades.fills) - 1)
    for tape in days:
        truth, of_hawkes, of_poisson = (bunching(one, tape, start_us) for one in (by_trades, excited, plain))
        assert abs(of_hawkes - truth) < 0.6 * abs(of_poisson - truth)
    rows = [one._replace(mean_bid_per_s=None, mean_ask_per_s=None) for one in intensity.rows()]
    double_counted = played(days, Intensity(rows, clustering=schedule.clustering), hawkes)
    assert double_counted.counters["expected_fills"] > 1.6 * len(by_trades.fills)


@pytest.mark.slow
def test_mean_of_segment_follows_used_parameters(days):
    """Carried parameters have the mean of their own window, defaults that of the current window."""

    def fits(calls):
        def fit(points):
            calls[0] += 1
            found = calibrator.fit_window(points)
            return found if calls[0] == 1 else replace(found, usable=False, A=None, k=None, status="few_fills")

        return fit

    calibrator = Calibrator(days[:1], CalibrationConfig(reference="mid"))
    fitted_all = build_schedule(calibrator, PLAN)
    carried = build_schedule(calibrator, PLAN, fit=fits([0]))
    assert [one.source for one in carried.segments[:2]] == ["fitted", "carried"]
    assert {one.mean_bid_per_s for one in carried.segments} == {fitted_all.segments[0].mean_bid_per_s}
    given = Fallback("global_default", default=(0.5, 0.3))
    default = build_schedule(calibrator, PLAN, given, fits([0]))
    assert [one.mean_bid_per_s for one in default.segments] == [one.mean_bid_per_s for one in fitted_all.segments]
    skipped = build_schedule(calibrator, PLAN, Fallback("skip_segment"), fits([0]))
    assert [one.mean_bid_per_s for one in skipped.segments[1:]] == [None] * (len(skipped.segments) - 1)


@pytest.mark.parametrize("hours", [0.1, 0.5])
def test_too_few_orders_give_status_and_hawkes_raises_fit_error(tmp_path, hours):
    """The schedule is built, and the error names the option to change. Without windows there is no process."""
    folder = simulate_day(tmp_path, hours=hours, seed=3, A_per_s=0.2, k_per_tick=0.4)
    schedule = build_schedule(load_day(folder.path), WindowPlan(8, 4, clustered=True))
    if hours < 0.2:
        assert (schedule.clustering, schedule.segments) == (None, ())
        return
    assert schedule.clustering["status"] == "few_events"
    assert {one.mean_bid_per_s for one in schedule.segments} == {None}
    assert Schedule.from_json(schedule.to_json(), "it") == schedule
    with pytest.raises(FitError, match=r"few_events: .* 100 each are needed\).*train_window_min"):
        hawkes(intensity=intensity_of(schedule))


def test_poisson_flow_has_constant_mean_and_poisson_fills(tmp_path):
    """Without kernels the mean is the rate in every window, and fills equal those of poisson."""
    folder = simulate_day(tmp_path, hours=0.5, seed=3, A_per_s=2.0, k_per_tick=0.4)
    tape = load_day(folder.path)
    clustering = WindowClustering(
        Calibrator(tape, CalibrationConfig(reference="mid")), WindowPlan(8, 4, clustered=True)
    )
    assert clustering.block["kernels"] == []
    assert clustering.mean(tape.start_us, tape.end_us) == tuple(clustering.block["mu_per_s"].values())
    intensity = intensity_of(build_schedule(tape, WindowPlan(8, 4, clustered=True)))
    hawkes_journal, poisson_journal = (played([tape], intensity, make) for make in (hawkes, poisson))
    assert hawkes_journal.fills[:, :6].tolist() == poisson_journal.fills[:, :6].tolist()

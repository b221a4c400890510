"""The clustering of a schedule: integrals against plain sums, means by window, and fills on a market that grows."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.fills.intensity import Intensity
from mm.backtest.models import fixed_spread, hawkes, poisson, trade_cross
from mm.backtest.quotes.steps import Gated
from mm.backtest.replay import backtest
from mm.backtest.rules import Rules
from mm.calibration._hawkes import BEGIN, END, PROBE, integrals
from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.intensities import intensity_of
from mm.calibration.schedule import Schedule, build_schedule
from mm.calibration.window_clustering import WindowClustering
from mm.calibration.windows import MODES, WEIGHING, Fallback, WindowPlan
from mm.dayfolder.layout import DayFolder
from mm.errors import BrokenFile, FitError
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import Hawkes, PoissonMarket
from mm.sim.flow.session import Session
from mm.tape.load import load_day
from mm.walkforward.walkforward import study

PLAN = WindowPlan(40, 10, mode="rolling", half_life_min=20, clustered=True)


# The integrals


def grown(orders, law, spans, until_s):
    """Return the integrated intensities and the exposed time up to an instant, by sums over all orders of each span."""
    (mu, branching, beta), found = law, np.zeros(3)
    for begin, end in spans:
        stop = min(end, until_s)
        if stop <= begin:
            continue
        found += [mu[0] * (stop - begin), mu[1] * (stop - begin), stop - begin]
        for j in (0, 1):
            for past in orders[j][orders[j] < stop]:
                lasts = np.exp(-beta * max(begin - past, 0.0)) - np.exp(-beta * (stop - past))
                found[:2] += branching[:, j, :] @ lasts
    return found


@st.composite
def stories(draw):
    """Orders of both sides on a coarse grid, spans that count, instants to look at, a process, and where to cut."""
    number, instants = st.floats(0.05, 2.0), st.integers(0, 40)
    orders = [np.array(sorted(draw(st.lists(instants, max_size=10))), float) / 4 for _ in (0, 1)]
    edges = sorted(draw(st.sets(instants, min_size=2, max_size=6)))
    spans = np.array(edges[: len(edges) // 2 * 2], float).reshape(-1, 2) / 4
    kernels = draw(st.integers(1, 3))
    law = (
        np.array([draw(number), draw(number)]),
        np.array([draw(number) for _ in range(4 * kernels)]).reshape(2, 2, kernels) / kernels,
        np.array([draw(number) for _ in range(kernels)]),
    )
    probes = np.array(sorted(draw(st.lists(st.floats(0, 10), min_size=1, max_size=5))))
    return orders, spans, probes, law, float(spans[draw(st.integers(0, len(spans) - 1)), 1])


def looked(orders, spans, probes, law, carried=None, since_s=0.0):
    """Return what `integrals` finds of a story; *carried* is the excitation that it begins and ends with."""
    columns = (*orders, spans[:, 0], spans[:, 1], probes)
    kind = np.repeat(np.array([0, 1, BEGIN, END, PROBE], np.int8), [len(one) for one in columns])
    at_s = np.concatenate(columns)
    order = np.lexsort((np.array([2, 2, 1, 0, 3])[kind], at_s))
    carried = np.zeros((2, law[2].size)) if carried is None else carried
    return integrals(at_s[order], kind[order], *law, carried, since_s)


@given(stories())
def test_the_integrals_are_those_of_the_definition(story):
    """Sums over all orders; none depends, to the last bit, on where else one looks."""
    orders, spans, probes, law, _ = story
    found = looked(orders, spans, probes, law)
    plain = [grown(orders, law, spans, until_s) for until_s in probes]
    assert found == pytest.approx(np.array(plain), rel=1e-9, abs=1e-12)
    for number, probe in enumerate(probes):
        assert (looked(orders, spans, np.array([probe]), law)[0] == found[number]).all()


@given(stories())
def test_excitation_is_carried_from_day_to_day(story):
    """Two parts, cut where a span ends, add up to the whole."""
    orders, spans, probes, law, cut = story
    carried, whole = np.zeros((2, law[2].size)), looked(orders, spans, probes, law)
    first = [one[one <= cut] for one in orders]
    before, here = spans[spans[:, 1] <= cut], np.append(probes[probes <= cut], cut)
    early = looked(first, before, here, law, carried)
    late = looked([one[one > cut] for one in orders], spans[spans[:, 0] > cut], probes[probes > cut], law, carried, cut)
    both = np.concatenate((early[:-1], early[-1] + late))
    assert both == pytest.approx(whole, rel=1e-9, abs=1e-12)


# Schedules


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Return two days of two hours whose orders excite each other, three times as many of them on the second."""
    root, found = tmp_path_factory.mktemp("data"), []
    for day, mu_per_s in (("20260105", 0.2), ("20260106", 0.6)):
        folder = DayFolder(root, "SIMUSDT", day)
        scenario = Hawkes(
            mu_per_s=mu_per_s,
            branching_ratio=0.7,
            cross_share=0.2,
            beta_per_s=0.2,
            sigma_ticks_per_sqrt_s=0.0,
            k_per_tick=0.2,
        )
        make_day(folder, scenario, Session("SIMUSDT", day, hours=2.0, seed=4))
        found.append(load_day(folder.path))
    return found


def orders_of(days):
    """Return when orders hit bids and asks, in s: prints of one side and trade time are one, when it was received."""
    found = {-1: [], 1: []}
    for tape in days:
        last = {}
        for event in tape.trades.tolist():
            side, stamp = tape.rows(event)[0][0], int(tape.event_exch_us[event])
            if stamp != last.get(side) and tape.event_us[event] >= tape.start_us:
                found[side].append(tape.event_us[event] / 1e6)
            last[side] = stamp
    return np.array(found[-1]), np.array(found[1])


@pytest.mark.parametrize("mode", MODES)
def test_a_segment_has_the_mean_over_its_training_data(days, mode):
    """By sums over all orders so far, weighted by block as the points of its fit are."""
    plan = replace(PLAN, mode=mode)
    schedule, calibrator = build_schedule(days, plan), Calibrator(days, CalibrationConfig())
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
                total.append(grown(orders, law, [(begin, stop)], stop))
                ages.append(len(ages) * 300 + 150)
        length_s = calibrator.length_s(segment.train_start_us, segment.train_end_us)
        weights = 0.5 ** ((length_s - np.array(ages)) / 1200) if mode in WEIGHING else np.ones(len(ages))
        bid, ask, exposed_s = weights @ np.array(total)
        means = (segment.mean_bid_per_s, segment.mean_ask_per_s)
        assert means == pytest.approx((bid / exposed_s, ask / exposed_s), rel=1e-3)  # the first book is a moment late


def test_the_process_is_that_of_the_first_window(days):
    """The same in every mode and however long the days are, with the truth of the simulation; nothing else changes."""
    first, *others = (build_schedule(days, replace(PLAN, mode=mode)) for mode in ("rolling", "expanding", "ewma"))
    assert all(one.clustering == first.clustering for one in others)
    assert build_schedule(days[:1], PLAN).clustering == first.clustering
    assert abs(first.clustering["branching_ratio"] - 0.7) < 4 * first.clustering["se_branching_ratio"]
    bare = build_schedule(days, replace(PLAN, clustered=False))
    assert bare.clustering is None
    without = [replace(one, mean_bid_per_s=None, mean_ask_per_s=None) for one in first.segments]
    assert bare == replace(first, clustering=None, segments=tuple(without))
    assert study(Calibrator(days, CalibrationConfig()), PLAN).schedule == replace(first, reference_choice=None)


def test_a_schedule_passes_through_its_file(days):
    """The same schedule, and the same fills from it."""
    schedule = build_schedule(days, PLAN)
    again = Schedule.from_json(json.loads(json.dumps(schedule.to_json(), allow_nan=False)), "it")
    assert again == schedule
    ours, theirs = (played(days[:1], one, hawkes) for one in (intensity_of(schedule), intensity_of(again)))
    assert len(ours.fills) > 1000
    assert ours.fills.tobytes() == theirs.fills.tobytes()


def test_means_without_a_process_and_a_process_without_means_are_refused(days):
    """By the number of the segment."""
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
    """Return the variance of the fills of a minute over their mean."""
    edges = np.arange(max(tape.start_us, start_us), tape.end_us, 60_000_000)
    counts = np.histogram(journal.fills[:, 0], edges)[0]
    return counts.var() / counts.mean()


def test_as_many_fills_as_by_the_trades_and_as_bunched(days):
    """On a market that grows threefold: closer than poisson. Growth does not count twice, in A and in excitation."""
    schedule = build_schedule(days, PLAN)
    intensity, start_us = intensity_of(schedule), schedule.segments[0].start_us
    seen, plain, excited = (played(days, intensity, make) for make in (trade_cross, poisson, hawkes))
    expected = excited.counters["expected_fills"] / len(seen.fills)
    assert abs(expected - 1) < 0.06
    assert abs(expected - 1) < 0.5 * abs(plain.counters["expected_fills"] / len(seen.fills) - 1)
    for tape in days:
        truth, ours, theirs = (bunching(one, tape, start_us) for one in (seen, excited, plain))
        assert abs(ours - truth) < 0.6 * abs(theirs - truth)
    rows = [one._replace(mean_bid_per_s=None, mean_ask_per_s=None) for one in intensity.rows()]
    twice = played(days, Intensity(rows, clustering=schedule.clustering), hawkes)
    assert twice.counters["expected_fills"] > 1.6 * len(seen.fills)


def test_where_a_window_has_no_fit_of_its_own_the_mean_is_that_of_what_is_used(days):
    """Carried parameters have the mean of their own window, defaults that of the window at hand."""

    def fits(number):
        def fit(points):
            number[0] += 1
            found = calibrator.fit_window(points)
            return found if number[0] == 1 else replace(found, usable=False, A=None, k=None, status="few_fills")

        return fit

    calibrator = Calibrator(days[:1], CalibrationConfig())
    honest = build_schedule(calibrator, PLAN)
    carried = build_schedule(calibrator, PLAN, fit=fits([0]))
    assert [one.source for one in carried.segments[:2]] == ["fitted", "carried"]
    assert {one.mean_bid_per_s for one in carried.segments} == {honest.segments[0].mean_bid_per_s}
    given = Fallback("global_default", default=(0.5, 0.3))
    default = build_schedule(calibrator, PLAN, given, fits([0]))
    assert [one.mean_bid_per_s for one in default.segments] == [one.mean_bid_per_s for one in honest.segments]
    skipped = build_schedule(calibrator, PLAN, Fallback("skip_segment"), fits([0]))
    assert [one.mean_bid_per_s for one in skipped.segments[1:]] == [None] * (len(skipped.segments) - 1)


@pytest.mark.parametrize("hours", [0.1, 0.5])
def test_too_few_orders_are_said_and_refused(tmp_path, hours):
    """The schedule is made; a fill model that needs the process names the way out. No window, no process."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    make_day(folder, PoissonMarket(A_per_s=0.2, k_per_tick=0.4), Session("SIMUSDT", "20260105", hours, 3))
    schedule = build_schedule(load_day(folder.path), WindowPlan(8, 4, clustered=True))
    if hours < 0.2:
        assert (schedule.clustering, schedule.segments) == (None, ())
        return
    assert schedule.clustering["status"] == "few_events"
    assert {one.mean_bid_per_s for one in schedule.segments} == {None}
    assert Schedule.from_json(schedule.to_json(), "it") == schedule
    with pytest.raises(FitError, match=r"few_events: .* 100 each are needed\).*WF_TRAIN_WINDOW_MIN"):
        hawkes(intensity=intensity_of(schedule))


def test_orders_that_excite_nothing_have_a_mean_of_their_own(tmp_path):
    """Poisson flow has no kernel: its mean is its rate in every window, and the fills are those of poisson."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    make_day(folder, PoissonMarket(A_per_s=2.0, k_per_tick=0.4), Session("SIMUSDT", "20260105", 0.5, 3))
    tape = load_day(folder.path)
    found = WindowClustering(Calibrator(tape, CalibrationConfig()), WindowPlan(8, 4, clustered=True))
    assert found.block["kernels"] == []
    assert found.mean(tape.start_us, tape.end_us) == tuple(found.block["mu_per_s"].values())
    intensity = intensity_of(build_schedule(tape, WindowPlan(8, 4, clustered=True)))
    ours, theirs = (played([tape], intensity, make) for make in (hawkes, poisson))
    assert ours.fills[:, :6].tolist() == theirs.fills[:, :6].tolist()

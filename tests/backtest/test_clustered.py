"""Fills whose intensity the recorded orders raise: engine and oracle, closed forms, true flow, and what is refused."""

import dataclasses
import itertools
import json
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from test_engine import EXCITING, assert_same, assert_twins_agree, drawn
from test_live_feed import as_fed, assert_same_bytes

import engine_chance
import engine_draws
from engine_cases import Case, cases, read_journal
from engine_tapes import BEGIN_US, TEST, one_tape
from mm.backtest.fills.clustered import ClusteredFills
from mm.backtest.fills.clustering import Clustering
from mm.backtest.fills.intensity import FOREVER, Intensity, Poisson, py_unit_exponential
from mm.backtest.fills.intensity_piece import IntensityPiece
from mm.backtest.models import FILL_MODELS, fixed_spread, hawkes, hybrid, poisson, trade_cross
from mm.backtest.replay import backtest
from mm.backtest.rules import Rules
from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.hawkes import fit_hawkes, flow_of
from mm.dayfolder.layout import DayFolder
from mm.errors import BrokenFile, FitError, UsageError
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import Hawkes
from mm.sim.flow.session import Session
from mm.tape.load import load_day
from mm.tape.tape import TRADE, Tape

SECOND_US = 1_000_000
QUIET = {"mu_per_s": {"bid": 1.0, "ask": 1.0}, "kernels": []}
ONE = {  # only the side that is hit is excited, by .5 orders each, with a decay of 2/s
    "mu_per_s": {"bid": 0.5, "ask": 0.5},
    "kernels": [{"beta_per_s": 2.0, "branching": {"bid": {"bid": 0.5, "ask": 0}, "ask": {"bid": 0, "ask": 0.5}}}],
}
RULES = Rules(
    TEST.tick_e8, TEST.lot_e8, order_latency_us=0, cancel_latency_us=0, requote_us=SECOND_US, enforce_balances=False
)


# Against the oracle, and in any cut


@drawn(300)
@given(cases(fills=engine_draws.hawkeses))
def test_the_engine_agrees_with_the_oracle(case):
    """The oracle sums over all orders so far, and finds the instant of a fill by halving."""
    assert_twins_agree(case)


def in_force(chance, unit):
    """Return the parameters of a model with a kernel or two and segments whose means differ."""
    sides, rate = ("bid", "ask"), 1e6 / unit
    kernels = [
        {
            "beta_per_s": chance.choice([0.02, 1.0, 40.0]) * rate,
            "branching": {i: {j: chance.choice([0.0, 0.1, 0.4]) for j in sides} for i in sides},
        }
        for _ in range(chance.randint(1, 2))
    ]
    block = {name: {side: chance.uniform(0.05, 1) * rate for side in sides} for name in ("mu_per_s", "mean_per_s")}
    edges = [0, *(BEGIN_US + at * unit for at in (4, 11, 30)), FOREVER]
    pieces = [
        (*span, *(chance.choice([0.05, 0.3, 2.0]) * rate, 0.1) * 2, 0.1, None, None, None, (), None, *means)
        for span in itertools.pairwise(edges)
        if (means := [chance.uniform(0.05, 1) * rate for _ in sides])
    ]
    return "hawkes", tuple(pieces), chance.choice(["mid", "micro", "best"]), 1, block | {"kernels": kernels}


@pytest.mark.parametrize("fifty", range(4))
def test_segments_with_means_of_their_own_agree_with_the_oracle(fifty):
    """On longer and busier tapes: many fills, and orders that rest over the borders of segments."""
    fills = 0
    for seed in range(50 * fifty, 50 * fifty + 50):
        chance, case = random.Random(f"means {seed}"), engine_chance.case_of(seed)
        span_us = int(case.tapes[-1].event_us[-1]) - BEGIN_US
        case = dataclasses.replace(case, fills=in_force(chance, max(span_us // 40, 1)))
        assert_twins_agree(case)
        fills += len(case.engine()[0].fills)
    assert fills > 50


FED = cases(tapes=lambda unit: one_tape(unit).map(lambda told: told[:1]), fills=engine_draws.hawkeses).map(as_fed)


@drawn(100)
@given(FED, st.lists(st.integers(0, 40), max_size=12))
def test_any_cut_leaves_the_journal_of_the_tape(case, cuts):
    """Byte for byte, also one event at a time, as a live market comes."""
    assert_same_bytes(case, cuts)
    assert_same_bytes(case, range(len(case.tapes[0])))


@drawn(100)
@given(cases(fills=engine_draws.poissons), st.sampled_from([[], [0.0], [0.0, 0.0]]))
def test_without_excitation_it_is_poisson(case, shares):
    """Fill by fill, whatever the market does: no kernel, or kernels that excite nothing."""
    kernels = [{"beta_per_s": 3.0, "branching": {i: {"bid": n, "ask": n} for i in ("bid", "ask")}} for n in shares]
    _, *drawing = case.fills
    quiet = dataclasses.replace(case, fills=("hawkes", *drawing, QUIET | {"kernels": kernels}))
    (ours, saw), (theirs, seen) = quiet.engine(), case.engine()
    ours.fills = [(*row[:6], row[6].replace("hawkes", "poisson"), *row[7:]) for row in ours.fills]
    assert_same(ours, theirs)
    assert saw == seen


# By hand


def standing(*prints, until_us=60 * SECOND_US):
    """Return a constant market at 99 and 101, with prints (µs, aggressor, stamp)."""
    book = [(BEGIN_US, "snapshot", [(99, 5)], [(101, 5)])]
    told = [(BEGIN_US + us, "trade", side, 100, 1) for us, side, _ in prints]
    tape = Tape.of(TEST, [*book, *told, (BEGIN_US + until_us, "depth", [(98, 1)], [])])
    stamps = tape.event_exch_us.copy()
    stamps[tape.kind == TRADE] = [stamp for _, _, stamp in prints]
    return dataclasses.replace(tape, event_exch_us=stamps)


def first_fills(tape, block, A=0.2, seed=0):
    """Return the first instant after the start at which a bid and an ask at the best prices fill."""
    model = hawkes(A=A, k=1e-18, clustering=block, seed=seed)
    fills = backtest(tape, fixed_spread(delta_ticks=1), model, RULES).journal.fills
    return [next((row[0] - BEGIN_US for row in fills.tolist() if row[2] == side), None) for side in (1, -1)]


def after_one_order(A, block, age_s, draw, buys):
    """Return when an order fills, in µs from an order that has hit bids *age_s* ago, by a root of the closed form."""
    beta = block["kernels"][0]["beta_per_s"]
    jump = 0.5 * beta * math.exp(-beta * age_s) if buys else 0.0
    from scipy.optimize import brentq

    return brentq(lambda s: A * (0.5 * s + jump / beta * (1 - math.exp(-beta * s))) - draw, 0, 1e6) * SECOND_US


@pytest.mark.parametrize("seed", range(20))
def test_an_order_raises_the_intensity_of_its_side(seed):
    """A print that hits bids raises the bids' rate from ½·A by ½·β·A, which decays; that of the asks stays at ½·A."""
    tape = standing((2_000_000, -1, 0), until_us=10**9)
    bid, ask = first_fills(tape, ONE, seed=seed)
    for found, buys in ((bid, 1), (ask, 0)):
        early = py_unit_exponential(seed, BEGIN_US, 1, 2 + buys) / (0.2 * 0.5) * SECOND_US
        if early < 2 * SECOND_US:
            assert found == int(early)
            continue
        draw = py_unit_exponential(seed, BEGIN_US + 2_000_000, 2, buys)
        assert found == 2_000_000 + int(after_one_order(0.2, ONE, 0.0, draw, buys))


def test_prints_of_one_side_and_trade_time_are_one_order():
    """The first of them excites; other stamps, the other side, unknown stamps and `sweeps: false` are orders each."""
    once = first_fills(standing((1000, -1, 7)), ONE)
    again = [(1000, -1, 7), (1500, -1, 7), (1600, -1, 7)]
    assert first_fills(standing(*again), ONE) == once
    for other in ([*again[:2], (1600, -1, 8)], [(us, side, 0) for us, side, _ in again], [*again, (1700, 1, 7)]):
        assert first_fills(standing(*other), ONE) != once
    assert first_fills(standing(*again), ONE | {"sweeps": False}) != once
    between = [(1000, -1, 7), (1500, 1, 9), (1600, -1, 7)]
    assert first_fills(standing(*between), ONE) == first_fills(standing(*between[:2]), ONE)


def test_what_lies_before_a_window_excites_nothing():
    """A window begins without history, as a run does, and so does the oracle."""
    early, late = [(1000, -1, 1), (2000, -1, 2)], (6 * SECOND_US, 1, 3)
    window = standing(*early, late).between(BEGIN_US + 3000, BEGIN_US + 60 * SECOND_US)
    pieces = ((0, FOREVER, 0.2, 1e-18, 0.2, 1e-18, 1e-18),)
    assert_twins_agree(Case((window,), 1.0, ("hawkes", pieces, "mid", 1, ONE), RULES))
    expected = backtest(window, fixed_spread(delta_ticks=1), hawkes(A=0.2, k=1e-18, clustering=ONE), RULES)
    assert expected.journal.counters["expected_fills"] < 0.2 * (2 * 60 * 0.5 + 0.5)  # by two early ones: .2 more


def test_a_process_without_orders_of_its_own_fills_only_after_others():
    """Nothing before the first order; behind it at most as much as it excites."""
    block = ONE | {"mu_per_s": {"bid": 0.0, "ask": 0.0}, "mean_per_s": {"bid": 1.0, "ask": 1.0}}
    assert first_fills(standing((30 * SECOND_US, -1, 0)), block, A=1e6) == [30 * SECOND_US + 0, None]
    filled = [first_fills(standing((SECOND_US, -1, 0)), block, A=1.0, seed=seed)[0] is not None for seed in range(2000)]
    assert abs(np.mean(filled) - (1 - math.exp(-0.5))) < 4 * math.sqrt(0.24 / 2000)


def test_beside_another_model_the_order_of_a_print_excites_too():
    """In a hybrid whose other model looks at prints that reach an order alone."""
    tape = standing((2_000_000, -1, 0), (3_000_000, -1, 0), until_us=10**8)
    alone = backtest(tape, fixed_spread(delta_ticks=1), hawkes(A=0.2, k=1e-18, clustering=ONE), RULES)
    both = hybrid(models=[trade_cross(strict=True), hawkes(A=0.2, k=1e-18, clustering=ONE)])
    beside = backtest(tape, fixed_spread(delta_ticks=1), both, RULES)
    assert len(alone.journal.fills) > 5
    assert beside.journal.fills[:, :6].tolist() == alone.journal.fills[:, :6].tolist()


def test_a_model_that_is_used_again_begins_without_history():
    """Nothing of the first run, of the same minute, raises the intensity in the second."""
    tape = standing(*[(at * SECOND_US, -1, at) for at in range(1, 50)])
    model = hawkes(A=0.2, k=1e-18, clustering=ONE)
    first, again = (backtest(tape, fixed_spread(delta_ticks=1), model, RULES) for _ in range(2))
    expected = first.journal.counters["expected_fills"]
    assert again.journal.counters["expected_fills"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("later_us", [0, 1_800 * SECOND_US])
@pytest.mark.parametrize("kind", ["poisson", "hawkes", "hybrid"])
def test_a_model_that_is_used_again_draws_as_a_new_one(kind, later_us):
    """In the same minute and in a later one, of a market that is where the first run left it."""

    def made():
        drawing = hawkes(A=0.2, k=1e-18, clustering=ONE) if kind != "poisson" else poisson(A=0.2, k=1e-18)
        return drawing if kind != "hybrid" else hybrid(models=[drawing, trade_cross()])

    tape = standing(*[(at * SECOND_US, -1, at) for at in range(1, 50)])
    later = standing(
        *[(later_us + at * SECOND_US, 1, at) for at in range(1, 50, 7)], until_us=later_us + 60 * SECOND_US
    )
    model = made()
    backtest(tape, fixed_spread(delta_ticks=1), model, RULES)
    again, alone = (backtest(later, fixed_spread(delta_ticks=1), one, RULES).journal for one in (model, made()))
    assert len(alone.fills)
    assert again.orders.tobytes() == alone.orders.tobytes()
    assert again.fills.tobytes() == alone.fills.tobytes()


# True flow


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """Return a day of three hours on which orders excite each other while the mid is constant, and its truth."""
    folder = DayFolder(tmp_path_factory.mktemp("data"), "SIMUSDT", "20260105")
    scenario = Hawkes(
        mu_per_s=0.6, branching_ratio=0.7, cross_share=0.2, beta_per_s=1.5, sigma_ticks_per_sqrt_s=0.0, k_per_tick=0.2
    )
    truth = make_day(folder, scenario, Session("SIMUSDT", "20260105", hours=3.0, seed=4))
    return load_day(folder.path), truth["hawkes"]


def block_of(truth):
    """Return the clustering that a truth is, of the orders that trade."""
    return {
        "mu_per_s": dict.fromkeys(("bid", "ask"), truth["traded"]["mu_per_s"]),
        "mean_per_s": dict.fromkeys(("bid", "ask"), truth["traded"]["mean_rate_per_s"]),
        "kernels": [{"beta_per_s": truth["beta_per_s"], "branching": truth["branching"]}],
    }


def sweeps_of(tape):
    """Return when orders hit bids and asks, in s, by plain Python: prints of one side and stamp are one."""
    found, last = {-1: [], 1: []}, {}
    for event in tape.trades.tolist():
        side, stamp = tape.rows(event)[0][0], int(tape.event_exch_us[event])
        if stamp != last.get(side):
            found[side].append(tape.event_us[event] / 1e6)
        last[side] = stamp
    return np.array(found[-1]), np.array(found[1])


def clock_at(us, side, orders, block):
    """Return ∫ λ_i/mean_i up to instants, in s, summed over all orders before each."""
    hit = "bid" if side > 0 else "ask"
    (kernel,), at = block["kernels"], np.asarray(us) / 1e6
    total = block["mu_per_s"][hit] * at
    for by, times in zip(("bid", "ask"), orders, strict=True):
        order = np.searchsorted(times, at, side="right")
        beta = kernel["beta_per_s"]
        total += kernel["branching"][hit][by] * np.array(
            [(1 - np.exp(-beta * (now - times[:before]))).sum() for now, before in zip(at, order, strict=True)]
        )
    return total / block["mean_per_s"][hit]


def test_rescaled_waits_of_fills_are_exponential(flow):
    """By the time-rescaling theorem: two orders that always rest, each fill at its λ·∫λ_i/mean_i; its clock is ours."""
    tape, truth = flow
    block, rate = block_of(truth), 0.7
    rules = dataclasses.replace(RULES, tick_e8=tape.instrument.tick_e8, lot_e8=tape.instrument.lot_e8)
    model = hawkes(A=rate, k=1e-18, clustering=block, seed=5)
    result = backtest(tape, fixed_spread(delta_ticks=3), model, rules)
    fills, orders = result.journal.fills, sweeps_of(tape)
    begin_us = int(result.journal.orders[0, 0])
    expected = 0.0
    for side in (1, -1):
        at = fills[fills[:, 2] == side, 0]
        waits = rate * np.diff(clock_at([begin_us, *at.tolist()], side, orders, block))
        assert len(at) > 5_000
        assert stats.kstest(waits, "expon").pvalue > 0.01
        poisson = rate * np.diff([begin_us, *at.tolist()]) / 1e6
        assert stats.kstest(poisson / poisson.mean(), "expon").pvalue < 1e-6  # the bursts are there
        expected += rate * float(
            clock_at([tape.end_us], side, orders, block)[0] - clock_at([begin_us], side, orders, block)[0]
        )
    assert result.journal.counters["expected_fills"] == pytest.approx(expected, rel=1e-9)
    assert abs(len(fills) - expected) < 4 * math.sqrt(expected)


def test_the_calibrated_flow_predicts_as_many_fills_as_poisson(flow):
    """A fit's mean is that of its day: of orders that always rest, λ times the time is expected, to a thousandth."""
    tape, _ = flow
    found = fit_hawkes(flow_of(Calibrator(tape, CalibrationConfig())))
    rules = dataclasses.replace(RULES, tick_e8=tape.instrument.tick_e8, lot_e8=tape.instrument.lot_e8)
    model = hawkes(A=0.3, k=1e-18, clustering=json.loads(json.dumps(found.to_json())))
    counters = backtest(tape, fixed_spread(delta_ticks=3), model, rules).journal.counters
    seconds = 2 * (counters["last_us"] - counters["first_us"]) / 1e6
    assert counters["expected_fills"] == pytest.approx(0.3 * seconds, rel=1e-3)


@pytest.mark.parametrize("excited", [False, True])
def test_fills_cluster_as_the_flow_does(flow, excited):
    """The variance of fills a minute over their mean: 1, and what the integrated intensity of the minutes adds."""
    tape, truth = flow
    block, minute_us = block_of(truth), 60 * SECOND_US
    rules = dataclasses.replace(RULES, tick_e8=tape.instrument.tick_e8, lot_e8=tape.instrument.lot_e8)
    model = hawkes(A=0.3, k=1e-18, clustering=block if excited else QUIET)
    us = backtest(tape, fixed_spread(delta_ticks=3), model, rules).journal.fills[:, 0]
    edges = np.arange(us[0], tape.end_us, minute_us)
    counts = np.histogram(us, edges)[0]
    expected = 0.6 * np.diff(edges) / 1e6
    if excited:
        orders = sweeps_of(tape)
        expected = 0.3 * sum(np.diff(clock_at(edges, side, orders, block)) for side in (1, -1))
    dispersion = 1 + expected.var() / expected.mean()
    assert abs(counts.var() / counts.mean() / dispersion - 1) < 4 * math.sqrt(2 / len(counts))
    assert (dispersion > 1.8) == excited


# Parameters


def test_a_fit_gives_its_clustering():
    """As FILL_PARAMS_FILE does; explicit parameters beside A and k do, too."""
    intensity = Intensity([IntensityPiece(0, FOREVER, 0.2, 1e-18, 0.2, 1e-18, 1e-18)], clustering=ONE | MEAN)
    tape = standing((1000, -1, 7), until_us=10**9)
    one, other = (
        backtest(tape, fixed_spread(delta_ticks=1), model, RULES)
        for model in (hawkes(intensity=intensity), hawkes(A=0.2, k=1e-18, clustering=ONE))
    )
    assert_same(read_journal(one.journal), read_journal(other.journal))
    assert one.summary["predicted_fills"] is not None


MEAN = {"mean_per_s": {"bid": 1.0, "ask": 1.0}, "status": "ok"}


def intensity_with(clustering):
    return (
        Intensity.constant(1.0, 1.0)
        if clustering is None
        else Intensity([IntensityPiece(0, FOREVER, 1, 1, 1, 1, 1)], clustering=clustering)
    )


@pytest.mark.parametrize(
    ("clustering", "error", "text"),
    [
        (None, UsageError, "of mm schedule --schedule-clustering 1"),
        (ONE | {"status": "ok"}, UsageError, "that this version's mm calibrate wrote"),
        ({"status": "few_events", "reason": "3 orders"}, FitError, "few_events: 3 orders"),
        (ONE | {"status": "not_stationary", "reason": "it grew"}, FitError, "fill by poisson"),
        (ONE | MEAN | {"kernels": None}, BrokenFile, "FILL_PARAMS_FILE: hawkes: clustering: kernels is None"),
    ],
)
def test_a_fit_without_a_usable_clustering_is_refused(clustering, error, text):
    """With the way out; nothing falls back on poisson by itself."""
    with pytest.raises(error, match=text):
        hawkes(intensity=intensity_with(clustering))


def in_segments(*segments, block=ONE | MEAN, A=0.2):
    """Return an intensity of segments (µs from the begin, A over *A*, mean) that share a process."""
    edges = [*(us for us, _, _ in segments), FOREVER - BEGIN_US]
    pieces = [
        IntensityPiece(
            BEGIN_US + start, BEGIN_US + end, *(share * A, 1e-18) * 2, 1e-18, mean_bid_per_s=mean, mean_ask_per_s=mean
        )
        for (start, share, mean), end in zip(segments, edges[1:], strict=True)
    ]
    return Intensity(pieces, clustering=block)


@pytest.mark.parametrize(
    "cuts", [[(0, 1, 1.0)], [(0, 1, 1.0), (7, 1, 1.0)], [(0, 2, 2.0), (5, 0.25, 0.25), (9, 1, 1.0)]]
)
def test_an_intensity_that_rises_as_its_mean_does_is_the_same(cuts):
    """To the byte: one segment of the process' own mean, and A and mean that are both a power of 2 times as large."""
    tape = standing(*[(at * SECOND_US, -1, at) for at in range(1, 50)])
    schedule = in_segments(*[(us * SECOND_US, share, mean) for us, share, mean in cuts])
    plain = hawkes(A=0.2, k=1e-18, clustering=ONE | MEAN)
    ours, theirs = (
        backtest(tape, fixed_spread(delta_ticks=1), model, RULES).journal
        for model in (hawkes(intensity=schedule), plain)
    )
    assert len(theirs.fills) > 5
    assert ours.fills.tobytes() == theirs.fills.tobytes()
    assert ours.counters["expected_fills"] == pytest.approx(theirs.counters["expected_fills"], rel=1e-12)


def test_excitation_goes_on_over_the_border_of_segments():
    """An order just before it raises the intensity after it, as many times as the new segment's mean is smaller."""
    tape = standing((4_900_000, -1, 0))
    schedule = in_segments((0, 1e-9, 1.0), (5 * SECOND_US, 1, 4.0))
    expected = backtest(tape, fixed_spread(delta_ticks=1), hawkes(intensity=schedule), RULES).journal
    left = 0.5 * math.exp(-2 * 0.1)  # of what the order excites, of the bids
    once_filled = expected.counters["expected_fills"]
    assert once_filled == pytest.approx(0.2 / 4 * (2 * 55 * 0.5 + left), rel=0.02)  # an order is away while it returns


def test_means_of_another_process_are_refused():
    """The means of a schedule's segments are those of its own process."""
    with pytest.raises(UsageError, match="leave clustering out"):
        hawkes(intensity=in_segments((0, 1, 1.0)), clustering=ONE)
    with pytest.raises(UsageError, match="piece 1 has the mean of one side"):
        Intensity([IntensityPiece(0, FOREVER, 1, 1, 1, 1, 1, mean_bid_per_s=1.0)])


def test_no_rates_and_two_forms_of_them_are_refused():
    """As poisson refuses them."""
    with pytest.raises(UsageError, match="hawkes needs A and k in one form"):
        hawkes(clustering=ONE)
    with pytest.raises(UsageError, match="hawkes needs A and k in one form"):
        hawkes(A=1.0, k=1.0, intensity=Intensity.constant(1.0, 1.0), clustering=ONE)
    with pytest.raises(UsageError, match=r"hawkes: the ask's parameters are \{\}"):
        hawkes(bid={"A": 1.0, "k": 1.0}, clustering=ONE)


def test_more_kernels_than_there_is_room_for_are_refused():
    """Far more than a fit has."""
    with pytest.raises(UsageError, match="clustering has 17 kernels; give at most 16"):
        hawkes(A=1.0, k=1.0, clustering=ONE | {"kernels": ONE["kernels"] * 17, "mean_per_s": MEAN["mean_per_s"]})


def test_it_is_a_poisson_model_of_another_name():
    """The intensity behind fills is available."""
    model = ClusteredFills(Intensity.constant(1.0, 1.0), Clustering.of(EXCITING))
    assert isinstance(model, Poisson)
    assert (model.name, model.reasons[2], model.has_intensity) == ("hawkes", "hawkes:hazard", True)
    assert FILL_MODELS["hawkes"] is hawkes

"""Fills whose intensity is raised by recorded orders: engine, oracle, closed forms, true flow, invalid parameters."""

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
from mm import CalibrationConfig, Rules, Tape, backtest, load_day
from mm.backtest.fills.clustering import Clustering
from mm.backtest.fills.intensity import FOREVER, ClusteredFills, Intensity, IntensityPiece, Poisson
from mm.calibration.hawkes import fit_hawkes, flow_of
from mm.errors import BrokenFile, FitError, UsageError
from named import is_kind, model_of
from oracle_market import unit
from simulation import simulate_day, truth_of

SECOND_US = 1_000_000
QUIET = {"mu_per_s": {"bid": 1.0, "ask": 1.0}, "kernels": []}
ONE = {  # only the side that is hit is excited, by 0.5 orders each, with a decay of 2/s
    "mu_per_s": {"bid": 0.5, "ask": 0.5},
    "kernels": [{"beta_per_s": 2.0, "branching": {"bid": {"bid": 0.5, "ask": 0}, "ask": {"bid": 0, "ask": 0.5}}}],
}
RULES = Rules(
    TEST.tick_e8, TEST.lot_e8, order_latency_us=0, cancel_latency_us=0, requote_us=SECOND_US, enforce_balances=False
)


# Against the oracle, and fed in parts


@pytest.mark.slow
@drawn(300)
@given(cases(fills=engine_draws.hawkeses))
def test_engine_agrees_with_oracle(case):
    """The oracle sums over all orders so far, and finds the time of a fill by bisection."""
    assert_twins_agree(case)


def fills_with_segment_means(chance, unit):
    """Return the parameters of a model with one or two kernels and segments with different means."""
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


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(4))
def test_segments_with_own_means_agree_with_oracle(batch):
    """On longer and busier tapes: many fills, and orders that rest across segment borders."""
    fills = 0
    for seed in range(50 * batch, 50 * batch + 50):
        chance, case = random.Random(f"means {seed}"), engine_chance.case_of(seed)
        span_us = int(case.tapes[-1].event_us[-1]) - BEGIN_US
        case = dataclasses.replace(case, fills=fills_with_segment_means(chance, max(span_us // 40, 1)))
        assert_twins_agree(case)
        fills += len(case.engine()[0].fills)
    assert fills > 50


FED = cases(
    tapes=lambda unit: one_tape(unit).map(lambda drawn_tapes: drawn_tapes[:1]), fills=engine_draws.hawkeses
).map(as_fed)


@pytest.mark.slow
@drawn(100)
@given(FED, st.lists(st.integers(0, 40), max_size=12))
def test_fed_parts_leave_the_same_journal_as_the_tape(case, cuts):
    """Byte for byte, also one event at a time, like a live market."""
    assert_same_bytes(case, cuts)
    assert_same_bytes(case, range(len(case.tapes[0])))


@pytest.mark.slow
@drawn(100)
@given(cases(fills=engine_draws.poissons), st.sampled_from([[], [0.0], [0.0, 0.0]]))
def test_hawkes_without_excitation_equals_poisson(case, shares):
    """Fill by fill, whatever the market does: no kernel, or kernels without branching."""
    kernels = [{"beta_per_s": 3.0, "branching": {i: {"bid": n, "ask": n} for i in ("bid", "ask")}} for n in shares]
    _, *drawing = case.fills
    quiet = dataclasses.replace(case, fills=("hawkes", *drawing, QUIET | {"kernels": kernels}))
    (hawkes_journal, hawkes_views), (poisson_journal, poisson_views) = quiet.engine(), case.engine()
    hawkes_journal.fills = [(*row[:6], row[6].replace("hawkes", "poisson"), *row[7:]) for row in hawkes_journal.fills]
    assert_same(hawkes_journal, poisson_journal)
    assert hawkes_views == poisson_views


# Closed forms


def constant_market(*prints, until_us=60 * SECOND_US):
    """Return a constant market at 99 and 101, with prints (µs, aggressor, stamp)."""
    book = [(BEGIN_US, "snapshot", [(99, 5)], [(101, 5)])]
    trades = [(BEGIN_US + us, "trade", side, 100, 1) for us, side, _ in prints]
    tape = Tape.of(TEST, [*book, *trades, (BEGIN_US + until_us, "depth", [(98, 1)], [])])
    stamps = tape.event_exch_us.copy()
    stamps[is_kind(tape, "trade")] = [stamp for _, _, stamp in prints]
    return dataclasses.replace(tape, event_exch_us=stamps)


def first_fills(tape, block, A=0.2, seed=0):
    """Return the first instant after the start at which a bid and an ask at the best prices fill."""
    model = model_of("hawkes", A=A, k=1e-18, clustering=block, seed=seed)
    fills = backtest(tape, model_of("fixed_spread", delta_ticks=1), model, RULES).journal.fills
    return [next((row[0] - BEGIN_US for row in fills.tolist() if row[2] == side), None) for side in (1, -1)]


def fill_after_one_order_us(A, block, age_s, draw, buys):
    """Return when an order fills, in µs from a sell order *age_s* ago, by the root of the closed form."""
    beta = block["kernels"][0]["beta_per_s"]
    jump = 0.5 * beta * math.exp(-beta * age_s) if buys else 0.0
    from scipy.optimize import brentq

    return brentq(lambda s: A * (0.5 * s + jump / beta * (1 - math.exp(-beta * s))) - draw, 0, 1e6) * SECOND_US


@pytest.mark.parametrize("seed", range(20))
def test_order_raises_intensity_of_the_side_it_hits(seed):
    """A print that hits bids raises the bids' rate from ½·A by ½·β·A, which decays; the asks' rate stays at ½·A."""
    tape = constant_market((2_000_000, -1, 0), until_us=10**9)
    bid, ask = first_fills(tape, ONE, seed=seed)
    for found, buys in ((bid, 1), (ask, 0)):
        early = -math.log(unit(seed, BEGIN_US, 1, 2 + buys)) / (0.2 * 0.5) * SECOND_US
        if early < 2 * SECOND_US:
            assert found == int(early)
            continue
        draw = -math.log(unit(seed, BEGIN_US + 2_000_000, 2, buys))
        assert found == 2_000_000 + int(fill_after_one_order_us(0.2, ONE, 0.0, draw, buys))


def test_prints_of_one_side_and_trade_time_count_as_one_order():
    """Only the first excites; other stamps, the other side, unknown stamps and `sweeps: false` count as orders each."""
    expected = first_fills(constant_market((1000, -1, 7)), ONE)
    sweep = [(1000, -1, 7), (1500, -1, 7), (1600, -1, 7)]
    assert first_fills(constant_market(*sweep), ONE) == expected
    for other in ([*sweep[:2], (1600, -1, 8)], [(us, side, 0) for us, side, _ in sweep], [*sweep, (1700, 1, 7)]):
        assert first_fills(constant_market(*other), ONE) != expected
    assert first_fills(constant_market(*sweep), ONE | {"sweeps": False}) != expected
    between = [(1000, -1, 7), (1500, 1, 9), (1600, -1, 7)]
    assert first_fills(constant_market(*between), ONE) == first_fills(constant_market(*between[:2]), ONE)


def test_orders_before_a_window_excite_nothing():
    """In engine and oracle, a window begins without history, as a run does."""
    early, late = [(1000, -1, 1), (2000, -1, 2)], (6 * SECOND_US, 1, 3)
    window = constant_market(*early, late).between(BEGIN_US + 3000, BEGIN_US + 60 * SECOND_US)
    pieces = ((0, FOREVER, 0.2, 1e-18, 0.2, 1e-18, 1e-18),)
    assert_twins_agree(Case((window,), 1.0, ("hawkes", pieces, "mid", 1, ONE), RULES))
    expected = backtest(
        window, model_of("fixed_spread", delta_ticks=1), model_of("hawkes", A=0.2, k=1e-18, clustering=ONE), RULES
    )
    assert expected.journal.counters["expected_fills"] < 0.2 * (2 * 60 * 0.5 + 0.5)  # two early orders would add 0.2


@pytest.mark.slow
def test_process_without_base_rate_fills_only_after_orders():
    """Nothing fills before the first order; after it at most as much as it excites."""
    block = ONE | {"mu_per_s": {"bid": 0.0, "ask": 0.0}, "mean_per_s": {"bid": 1.0, "ask": 1.0}}
    assert first_fills(constant_market((30 * SECOND_US, -1, 0)), block, A=1e6) == [30 * SECOND_US + 0, None]
    filled = [
        first_fills(constant_market((SECOND_US, -1, 0)), block, A=1.0, seed=seed)[0] is not None for seed in range(2000)
    ]
    assert abs(np.mean(filled) - (1 - math.exp(-0.5))) < 4 * math.sqrt(0.24 / 2000)


def test_orders_excite_hawkes_inside_a_hybrid():
    """In a hybrid whose other model reads only prints that reach an order."""
    tape = constant_market((2_000_000, -1, 0), (3_000_000, -1, 0), until_us=10**8)
    alone = backtest(
        tape, model_of("fixed_spread", delta_ticks=1), model_of("hawkes", A=0.2, k=1e-18, clustering=ONE), RULES
    )
    both = model_of(
        "hybrid", models=[model_of("trade_cross", strict=True), model_of("hawkes", A=0.2, k=1e-18, clustering=ONE)]
    )
    combined = backtest(tape, model_of("fixed_spread", delta_ticks=1), both, RULES)
    assert len(alone.journal.fills) > 5
    assert combined.journal.fills[:, :6].tolist() == alone.journal.fills[:, :6].tolist()


def test_reused_model_begins_without_history():
    """Nothing of the first run raises the intensity in a second run of the same minute."""
    tape = constant_market(*[(at * SECOND_US, -1, at) for at in range(1, 50)])
    model = model_of("hawkes", A=0.2, k=1e-18, clustering=ONE)
    first, again = (backtest(tape, model_of("fixed_spread", delta_ticks=1), model, RULES) for _ in range(2))
    expected = first.journal.counters["expected_fills"]
    assert again.journal.counters["expected_fills"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("later_us", [0, 1_800 * SECOND_US])
@pytest.mark.parametrize("kind", ["poisson", "hawkes", "hybrid"])
def test_reused_model_draws_like_a_new_one(kind, later_us):
    """In the same minute and in a later one, on a market that continues from the first run."""

    def new_model():
        drawn_model = (
            model_of("hawkes", A=0.2, k=1e-18, clustering=ONE)
            if kind != "poisson"
            else model_of("poisson", A=0.2, k=1e-18)
        )
        return drawn_model if kind != "hybrid" else model_of("hybrid", models=[drawn_model, model_of("trade_cross")])

    tape = constant_market(*[(at * SECOND_US, -1, at) for at in range(1, 50)])
    later = constant_market(
        *[(later_us + at * SECOND_US, 1, at) for at in range(1, 50, 7)], until_us=later_us + 60 * SECOND_US
    )
    model = new_model()
    backtest(tape, model_of("fixed_spread", delta_ticks=1), model, RULES)
    reused, fresh = (
        backtest(later, model_of("fixed_spread", delta_ticks=1), played_model, RULES).journal
        for played_model in (model, new_model())
    )
    assert len(fresh.fills)
    assert reused.orders.tobytes() == fresh.orders.tobytes()
    assert reused.fills.tobytes() == fresh.fills.tobytes()


# True flow


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """Return a day of three hours whose orders excite each other while the mid is constant, and its true parameters."""
    folder = simulate_day(
        tmp_path_factory.mktemp("data"),
        "hawkes",
        hours=3.0,
        seed=4,
        mu_per_s=0.6,
        branching_ratio=0.7,
        cross_share=0.2,
        beta_per_s=1.5,
        sigma_ticks_per_sqrt_s=0.0,
        k_per_tick=0.2,
    )
    truth = truth_of(folder)
    return load_day(folder.path), truth["hawkes"]


def block_of(truth):
    """Return the clustering block of true parameters, of the orders that trade."""
    return {
        "mu_per_s": dict.fromkeys(("bid", "ask"), truth["traded"]["mu_per_s"]),
        "mean_per_s": dict.fromkeys(("bid", "ask"), truth["traded"]["mean_rate_per_s"]),
        "kernels": [{"beta_per_s": truth["beta_per_s"], "branching": truth["branching"]}],
    }


def sweeps_of(tape):
    """Return the times in s of orders that hit bids and asks, in plain Python: prints of one side and stamp are one."""
    found, last = {-1: [], 1: []}, {}
    for event in tape.trades.tolist():
        side, stamp = tape.rows(event)[0][0], int(tape.event_exch_us[event])
        if stamp != last.get(side):
            found[side].append(tape.event_us[event] / 1e6)
        last[side] = stamp
    return np.array(found[-1]), np.array(found[1])


def clock_at(us, side, orders, block):
    """Return ∫ λ_i/mean_i up to the given times, in s, summed over all earlier orders."""
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


@pytest.mark.slow
def test_rescaled_waits_between_fills_are_exponential(flow):
    """By the time-rescaling theorem: two orders that always rest fill at λ·∫λ_i/mean_i, computed here by clock_at."""
    tape, truth = flow
    block, rate = block_of(truth), 0.7
    rules = dataclasses.replace(RULES, tick_e8=tape.instrument.tick_e8, lot_e8=tape.instrument.lot_e8)
    model = model_of("hawkes", A=rate, k=1e-18, clustering=block, seed=5)
    result = backtest(tape, model_of("fixed_spread", delta_ticks=3), model, rules)
    fills, orders = result.journal.fills, sweeps_of(tape)
    begin_us = int(result.journal.orders[0, 0])
    expected = 0.0
    for side in (1, -1):
        at = fills[fills[:, 2] == side, 0]
        waits = rate * np.diff(clock_at([begin_us, *at.tolist()], side, orders, block))
        assert len(at) > 5_000
        assert stats.kstest(waits, "expon").pvalue > 0.01
        poisson = rate * np.diff([begin_us, *at.tolist()]) / 1e6
        assert stats.kstest(poisson / poisson.mean(), "expon").pvalue < 1e-6  # unscaled waits are bursty
        expected += rate * float(
            clock_at([tape.end_us], side, orders, block)[0] - clock_at([begin_us], side, orders, block)[0]
        )
    assert result.journal.counters["expected_fills"] == pytest.approx(expected, rel=1e-9)
    assert abs(len(fills) - expected) < 4 * math.sqrt(expected)


@pytest.mark.slow
def test_calibrated_flow_predicts_as_many_fills_as_poisson(flow):
    """A fit has the mean of its day: orders that always rest expect λ times the time, to a thousandth."""
    tape, _ = flow
    found = fit_hawkes(flow_of([tape], CalibrationConfig(reference="mid").rule.grouped))
    rules = dataclasses.replace(RULES, tick_e8=tape.instrument.tick_e8, lot_e8=tape.instrument.lot_e8)
    model = model_of("hawkes", A=0.3, k=1e-18, clustering=json.loads(json.dumps(found.to_json())))
    counters = backtest(tape, model_of("fixed_spread", delta_ticks=3), model, rules).journal.counters
    seconds = 2 * (counters["last_us"] - counters["first_us"]) / 1e6
    assert counters["expected_fills"] == pytest.approx(0.3 * seconds, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("excited", [False, True])
def test_fills_cluster_like_the_flow(flow, excited):
    """The variance of fills per minute over their mean is 1 plus what the integrated intensity of the minutes adds."""
    tape, truth = flow
    block, minute_us = block_of(truth), 60 * SECOND_US
    rules = dataclasses.replace(RULES, tick_e8=tape.instrument.tick_e8, lot_e8=tape.instrument.lot_e8)
    model = model_of("hawkes", A=0.3, k=1e-18, clustering=block if excited else QUIET)
    us = backtest(tape, model_of("fixed_spread", delta_ticks=3), model, rules).journal.fills[:, 0]
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


def test_fit_provides_clustering_like_explicit_parameters():
    """As FILL_PARAMS_FILE does; equal to explicit A, k and clustering."""
    intensity = Intensity([IntensityPiece(0, FOREVER, 0.2, 1e-18, 0.2, 1e-18, 1e-18)], clustering=ONE | MEAN)
    tape = constant_market((1000, -1, 7), until_us=10**9)
    fitted, explicit = (
        backtest(tape, model_of("fixed_spread", delta_ticks=1), model, RULES)
        for model in (model_of("hawkes", intensity=intensity), model_of("hawkes", A=0.2, k=1e-18, clustering=ONE))
    )
    assert_same(read_journal(fitted.journal), read_journal(explicit.journal))
    assert fitted.summary["predicted_fills"] is not None


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
        (None, UsageError, "made with schedule_clustering 1"),
        (ONE | {"status": "ok"}, UsageError, "that this version's mm calibrate wrote"),
        ({"status": "few_events", "reason": "3 orders"}, FitError, "few_events: 3 orders"),
        (ONE | {"status": "not_stationary", "reason": "it grew"}, FitError, "use fill model poisson"),
        (ONE | MEAN | {"kernels": None}, BrokenFile, "fill_params_file: hawkes: clustering: kernels is None"),
    ],
)
def test_fit_without_usable_clustering_is_rejected(clustering, error, text):
    """The message contains the remedy; the model does not fall back on poisson."""
    with pytest.raises(error, match=text):
        model_of("hawkes", intensity=intensity_with(clustering))


def segmented_intensity(*segments, block=ONE | MEAN, A=0.2):
    """Return an intensity of segments (µs from the begin, multiple of *A*, mean) that share a process."""
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
def test_intensity_scaled_with_its_mean_gives_the_same_fills(cuts):
    """Byte for byte: one segment with the process' own mean, and A and mean both multiplied by a power of 2."""
    tape = constant_market(*[(at * SECOND_US, -1, at) for at in range(1, 50)])
    schedule = segmented_intensity(*[(us * SECOND_US, share, mean) for us, share, mean in cuts])
    plain = model_of("hawkes", A=0.2, k=1e-18, clustering=ONE | MEAN)
    scaled, expected = (
        backtest(tape, model_of("fixed_spread", delta_ticks=1), model, RULES).journal
        for model in (model_of("hawkes", intensity=schedule), plain)
    )
    assert len(expected.fills) > 5
    assert scaled.fills.tobytes() == expected.fills.tobytes()
    assert scaled.counters["expected_fills"] == pytest.approx(expected.counters["expected_fills"], rel=1e-12)


def test_excitation_continues_across_segment_borders():
    """An order just before the border raises the intensity after it, divided by the new segment's mean."""
    tape = constant_market((4_900_000, -1, 0))
    schedule = segmented_intensity((0, 1e-9, 1.0), (5 * SECOND_US, 1, 4.0))
    expected = backtest(
        tape, model_of("fixed_spread", delta_ticks=1), model_of("hawkes", intensity=schedule), RULES
    ).journal
    left = 0.5 * math.exp(-2 * 0.1)  # remaining excitation of the bids
    once_filled = expected.counters["expected_fills"]
    assert once_filled == pytest.approx(
        0.2 / 4 * (2 * 55 * 0.5 + left), rel=0.02
    )  # no order rests while it is replaced


def test_means_of_another_process_are_rejected():
    """The means of a schedule's segments belong to its own process."""
    with pytest.raises(UsageError, match="leave clustering out"):
        model_of("hawkes", intensity=segmented_intensity((0, 1, 1.0)), clustering=ONE)
    with pytest.raises(UsageError, match="piece 1 has the mean of one side"):
        Intensity([IntensityPiece(0, FOREVER, 1, 1, 1, 1, 1, mean_bid_per_s=1.0)])


def test_hawkes_requires_rates_in_exactly_one_form():
    """As poisson does."""
    with pytest.raises(UsageError, match="hawkes needs A and k in one form"):
        model_of("hawkes", clustering=ONE)
    with pytest.raises(UsageError, match="hawkes needs A and k in one form"):
        model_of("hawkes", A=1.0, k=1.0, intensity=Intensity.constant(1.0, 1.0), clustering=ONE)
    with pytest.raises(UsageError, match=r"hawkes: the ask's parameters are \{\}"):
        model_of("hawkes", bid={"A": 1.0, "k": 1.0}, clustering=ONE)


def test_more_than_sixteen_kernels_are_rejected():
    """A fit has far fewer."""
    with pytest.raises(UsageError, match="clustering has 17 kernels; give at most 16"):
        model_of(
            "hawkes", A=1.0, k=1.0, clustering=ONE | {"kernels": ONE["kernels"] * 17, "mean_per_s": MEAN["mean_per_s"]}
        )


def test_clustered_fills_are_a_poisson_model_named_hawkes():
    """The intensity of its fills is available."""
    model = ClusteredFills(Intensity.constant(1.0, 1.0), Clustering.of(EXCITING))
    assert isinstance(model, Poisson)
    assert (model.name, model.reasons[2], model.has_intensity) == ("hawkes", "hawkes:hazard", True)
    assert type(model_of("hawkes", A=1.0, k=1.0, clustering=ONE)) is ClusteredFills

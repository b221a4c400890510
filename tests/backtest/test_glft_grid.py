"""The calibrated grid: A, k and sigma by numpy, quotes by another model, journal rows by Python and the oracle."""

import math
import random

import numpy as np
import pytest

import oracle
from benchmarks.grid_models import GlftGrid, Grid
from engine_cases import oracle_tapes, plain_fills, read_journal
from mm import PaperExchange, Rules, Tape, backtest
from mm.backtest.models import glft_grid, grid, gueant, queue_prob_power
from mm.errors import UsageError
from mm.instrument import Instrument

BEGIN_US, STEP_US = 1_000_000, 100_000
SHORT = {"levels": 4, "window_s": 5.0, "refit_s": 1.0, "reach_ticks": 8.0}
RULES = Rules(
    tick_e8=10**6,
    lot_e8=10**5,
    order_latency_us=30_000,
    cancel_latency_us=30_000,
    requote_us=STEP_US,
    requote_on_fill=False,
    quote_lots=10,
    enforce_balances=False,
    start_lots=0,
)


def market(samples, seed=3, gap_at=None):
    """Return the events of a random walk, twice the mid at each sample, and the prints as (µs, side, ticks)."""
    draw = random.Random(seed)
    mid2, us, prints = 20_001, BEGIN_US, []
    events, mids = [(us, "snapshot", *book(mid2, draw, 40))], [mid2]
    for place in range(1, samples):
        for _ in range(draw.choice((1, 2, 3))):
            side, away = draw.choice((1, -1)), int(draw.expovariate(0.5))
            prints.append((us + draw.randrange(1, STEP_US), side, (mid2 + side) // 2 + side * away))
            events.append((prints[-1][0], "trade", *prints[-1][1:], draw.randint(1, 30)))
        us = BEGIN_US + place * STEP_US - draw.randrange(20_000)
        if gap_at and gap_at - 3 <= place <= gap_at:  # no book for three samples
            events += [(us, "gap")] if place == gap_at - 3 else []
            events += [(us, "snapshot", *book(mid2, draw, 40))] if place == gap_at else []
        else:
            mid2 += draw.choice((-6, -2, 0, 0, 0, 2, 6))
            bids, asks = book(mid2, draw, 6)
            gone = [(bids[0][0] - i, 0) for i in range(12)], [(asks[0][0] + i, 0) for i in range(12)]
            events.append((us, "depth", bids + gone[1], asks + gone[0]))
        mids.append(mid2)
    events.append((BEGIN_US + samples * STEP_US - 1, "trade", 1, 1, 1))  # an event at the end of the last step
    return sorted(events, key=lambda event: event[0]), mids, prints


def book(mid2, draw, depth):
    bid, ask = (mid2 - 1) // 2, (mid2 + 1) // 2
    return [(bid - i, draw.randint(1, 60)) for i in range(depth)], [
        (ask + i, draw.randint(1, 60)) for i in range(depth)
    ]


def tape_of(events):
    return Tape.of(Instrument("TESTUSDT", RULES.tick_e8, RULES.lot_e8), events)


def run(quotes, tape, fills=queue_prob_power):
    return backtest(tape, quotes, fills(), RULES).journal


def same_rows(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("orders", "fills", "state", "mids")
    )


def test_fit_equals_numpy_fit_of_the_events():
    """A and k by polyfit over the rate of prints beyond each distance, sigma by the changes of the mid."""
    events, mids, prints = market(121)
    model = glft_grid(**SHORT)
    run(model, tape_of(events))
    reaches = []
    for place in range(71, 121):  # the last refit is at sample 120 and uses 50 samples
        low, high = BEGIN_US + (place - 1) * STEP_US, BEGIN_US + place * STEP_US
        away = [side * (ticks - mids[place - 1] / 2) for us, side, ticks in prints if low < us <= high]
        reaches.append(max(away, default=-math.inf))
    distances = np.arange(1, 17) / 2
    counts = np.array([sum(reach > distance for reach in reaches) for distance in distances])
    distances, counts = distances[counts > 0], counts[counts > 0]
    slope, start = np.polyfit(distances, np.log(counts / 5.0), 1)
    assert (model.A, model.k) == pytest.approx((math.exp(start), -slope), rel=1e-9)
    assert model.sigma == pytest.approx(np.std(np.diff(mids[70:]) / 2) * math.sqrt(10), rel=1e-12)


def test_half_spread_and_skew_equal_those_of_gueant():
    """Equations 4.6 and 4.7 as in the model gueant, with the parameters of the last fit."""
    model = glft_grid(**SHORT, gamma=0.1, spread_factor=1.5, skew_factor=0.5)
    run(model, tape_of(market(121)[0]))
    other = gueant(mode="closed_form", gamma=0.1, k=model.k, A=model.A, sigma=model.sigma)
    flat, held = other.distances(q=0)[0], other.distances(q=1)[0]
    assert (model.half, model.skew) == pytest.approx((1.5 * flat, 0.5 * (held - flat)), rel=1e-12)


def test_prices_are_multiples_of_half_spread_around_skewed_mid():
    """Prices of the orders sent at the last fit's requote, by definition; nothing rests at other prices."""
    events, mids, _ = market(121)
    model = glft_grid(**SHORT, skew_factor=0.5)
    journal = run(model, tape_of(events))
    us = BEGIN_US + 120 * STEP_US
    fills = journal.fills[journal.fills[:, 0] <= us]
    held = int((fills[:, 2] * fills[:, 4]).sum()) / 10
    centre, step = mids[120] / 2 - model.skew * held, max(round(model.half), 1)
    bid = min(round(centre - model.half), (mids[120] - 1) // 2) // step * step
    ask = -(-max(round(centre + model.half), (mids[120] + 1) // 2) // step * step)
    expected = {(1, bid - i * step) for i in range(4)} | {(-1, ask + i * step) for i in range(4)}
    sent = {
        (side, ticks) for at, _, action, _, side, ticks in journal.orders[:, :6].tolist() if at == us and action == 0
    }
    assert sent <= expected
    last = {number: (action, side, ticks) for _, number, action, _, side, ticks in journal.orders[:, :6].tolist()}
    assert {(side, ticks) for action, side, ticks in last.values() if action == 0} <= expected


@pytest.mark.parametrize("gap_at", [None, 150])
@pytest.mark.parametrize("q_max", [3.0, math.inf])
def test_python_model_compiled_model_and_oracle_agree(gap_at, q_max):
    """Row by row, with the same fits; the oracle runs the Python model in plain Python."""
    tape = tape_of(market(240, seed=7, gap_at=gap_at)[0])
    bound = {} if q_max == math.inf else {"q_max": q_max}
    compiled = PaperExchange(glft_grid(**SHORT, **bound, soft_bound=True), queue_prob_power(), RULES)
    compiled.attach(tape)
    compiled.advance(tape.end_us)
    actual = read_journal(compiled.journal())
    model = GlftGrid(**SHORT, **bound)
    oracle_run = oracle.Backtest(model.quote, plain_fills("queue_prob_power", 3.0), RULES, None, model.on_print)
    oracle_run.attach(*oracle_tapes([tape])[0])
    oracle_run.advance(tape.end_us)
    expected = oracle_run.left()
    assert len(actual.fills) > 20
    assert (actual.orders, actual.fills, actual.state, actual.mids) == (
        expected.orders,
        expected.fills,
        expected.state,
        expected.mids,
    )
    assert same_rows(run(GlftGrid(**SHORT, **bound), tape), run(glft_grid(**SHORT, **bound, soft_bound=True), tape))


def test_plain_grid_equals_its_python_model():
    tape = tape_of(market(240, seed=11)[0])
    compiled = run(grid(delta_ticks=2, levels=5, step_ticks=2, q_max=4, soft_bound=True), tape)
    assert len(compiled.fills) > 20
    assert same_rows(run(Grid(2, 5, 2, 4), tape), compiled)


def test_soft_bound_drops_a_whole_side():
    """One clip below the bound all bids are quoted; at the bound no bids and all asks."""
    model = grid(delta_ticks=2, levels=3, step_ticks=1, q_max=2, soft_bound=True)
    below = model.answer(bid_ticks=100, ask_ticks=101, inventory_lots=19, quote_lots=10)
    assert below.bids == [(98.0, 10), (97.0, 10), (96.0, 10)]
    at = model.answer(bid_ticks=100, ask_ticks=101, inventory_lots=20, quote_lots=10)
    assert (at.bids, len(at.asks)) == ([], 3)


def test_timeless_python_model_is_called_less_with_same_rows():
    class Counting(Grid):
        calls = 0

        def quote(self, view):
            self.calls += 1
            return super().quote(view)

    class Always(Counting):
        timeless = False

    tape = tape_of(market(240, seed=5)[0])
    once, always = Counting(2, 3, 2), Always(2, 3, 2)
    assert same_rows(run(once, tape), run(always, tape))
    assert always.calls == 240 > once.calls


def test_reused_model_begins_without_history():
    tape, model = tape_of(market(121)[0]), glft_grid(**SHORT)
    assert same_rows(run(model, tape), run(model, tape_of([(us + 7, *rest) for us, *rest in market(121)[0]]))) is False
    assert same_rows(run(model, tape), run(glft_grid(**SHORT), tape))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"window_s": 0.25}, "window_s is 0.25; it must be a multiple of sample_s, 0.1"),
        ({"sample_s": 1e-7}, "sample_s is 1e-07; it must be a number between 1e-06"),
        ({"reach_ticks": 1.0}, "reach_ticks is 1.0; it must be a number between 1.5 and 5000"),
    ],
)
def test_invalid_durations_raise_usage_error(params, message):
    with pytest.raises(UsageError, match=message):
        glft_grid(levels=3, **params)

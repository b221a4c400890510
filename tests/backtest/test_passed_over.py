"""Prints that reach no order are skipped in bulk; orders among them still fill.

Other random tapes move with nearly every event; here many prints lie between two moves of the best
prices, and orders come and go among them.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_engine import assert_same, drawn

from engine_cases import read_journal
from engine_tapes import TEST
from mm import PaperExchange, Rules, Tape
from mm.backtest.models import fixed_spread, queue_prob_power, trade_cross
from mm.backtest.rules import Filters

PAUSES = st.sampled_from([0, 1, 2, 5])
PRINTS = st.tuples(st.sampled_from([-1, 1]), st.integers(-2, 3), st.integers(1, 4))
STRETCHES = st.lists(st.tuples(st.lists(st.tuples(PAUSES, PRINTS), max_size=12), st.integers(-1, 1)), max_size=8)
STOPS = st.lists(st.tuples(st.integers(0, 60), st.integers(96, 103)), max_size=4).map(sorted)
FILLS = st.sampled_from([trade_cross, queue_prob_power])
FILTERS = st.sampled_from(
    [
        Filters(),
        Filters(bid_up_e8=100_000_000, bid_down_e8=98_000_000, ask_up_e8=102_000_000, ask_down_e8=100_000_000),
    ]
)


@st.composite
def quiet_tapes(draw):
    """A book whose best prices move now and then, with prints in between, beyond them and short of them."""
    us, mid = 1000, 100
    events = [(us, "snapshot", [(mid - 1, 5)], [(mid + 1, 5)])]
    for prints, step in draw(STRETCHES):
        for pause_us, (side, beyond, lots) in prints:
            us += pause_us
            events.append((us, "trade", side, mid + side * (1 + beyond), lots))
        us += draw(PAUSES)
        if step:
            events.append((us, "depth", [(mid - 1, 0), (mid + step - 1, 5)], [(mid + 1, 0), (mid + step + 1, 5)]))
            mid += step
    return Tape.of(TEST, [*events, (us + 5, "trade", 1, mid + 9, 1)])


@st.composite
def rules(draw):
    return Rules(
        TEST.tick_e8,
        TEST.lot_e8,
        order_latency_us=draw(st.sampled_from([0, 1, 3, 7])),
        cancel_latency_us=draw(st.sampled_from([0, 1, 4])),
        requote_us=draw(st.sampled_from([1, 3, 10])),
        ttl_us=draw(st.sampled_from([0, 0, 5])),
        state_us=draw(st.sampled_from([4, 1000])),
        start_lots=100,
        quote_lots=10,
        filters=draw(FILTERS),
    )


def journals_of(tape, rules, delta_ticks, stops, fills, *, best):
    """Run a tape with stops, each with a manual buy order; return the journal of each part."""
    journals = []
    exchange = PaperExchange(fixed_spread(delta_ticks=delta_ticks), fills, rules)
    exchange.attach(tape, best=best)
    for after_us, ticks in stops:
        exchange.advance(tape.start_us + after_us)
        exchange.place(1, ticks, 1)
        journals.append(exchange.journal())
    exchange.advance(tape.end_us)
    return [*journals, exchange.journal()]


@pytest.mark.slow
@drawn(300)
@given(
    quiet_tapes(), rules(), st.sampled_from([0.5, 1.5, 2.5]), STOPS, st.sampled_from([trade_cross, queue_prob_power])
)
def test_orders_fill_on_prints_that_reach_them(tape, rules, delta_ticks, stops, fills):
    """Before they rest, while they rest and after their end, at the same price and beyond it."""
    tape = tape.kept_mapped()
    runs = (journals_of(tape, rules, delta_ticks, stops, fills(), best=best) for best in (False, True))
    for whole, best in zip(*runs, strict=True):
        assert_same(read_journal(whole), read_journal(best))
        assert whole.counters == best.counters


def test_requotes_before_a_window_do_not_use_its_book():
    """A model that was not called yet has nothing pending: requotes without a book are past."""
    one_sided = Tape.of(TEST, [(0, "snapshot", [(99, 5)], []), (100, "depth", [(98, 5)], [])])
    later = [(1_000, "snapshot", [(99, 5)], [(101, 5)]), (1_500, "trade", 1, 101, 1), (2_000, "depth", [(98, 1)], [])]
    terms = Rules(
        TEST.tick_e8, TEST.lot_e8, order_latency_us=10, requote_us=100, state_us=10_000, enforce_balances=False
    )
    exchange = PaperExchange(fixed_spread(delta_ticks=3), trade_cross(), terms)
    exchange.run(one_sided, None)
    exchange.run(Tape.of(TEST, later).between(1_500, 2_500), None)
    assert exchange.journal().orders[:, 0].tolist() == [1_500, 1_500]

"""A model that reads levels gets the book of that time, at once or fed event by event."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_engine import assert_same, drawn

from engine_cases import compiled_fills, read_journal
from engine_tapes import TEST
from mm import PaperExchange, Quotes, Rules, Tape
from named import events_of, is_kind, kind_of, model_of

MID = 5_000_000
# The outermost prices lie beyond the dense part of a book.
BIDS = (1_000, 2_500_000, MID - 40, MID - 3, MID - 2, MID - 1)
ASKS = (MID + 1, MID + 2, MID + 3, MID + 50, 7_500_000, 9_000_000)
RULES = Rules(
    TEST.tick_e8, TEST.lot_e8, order_latency_us=2, cancel_latency_us=3, requote_us=7, start_lots=1000, quote_lots=10,
    start_cash_e8=10**18,
)  # fmt: skip
LOTS = st.integers(0, 3)
LEVELS = st.tuples(st.lists(st.tuples(st.sampled_from(BIDS), LOTS)), st.lists(st.tuples(st.sampled_from(ASKS), LOTS)))
KINDS = st.sampled_from(["depth"] * 12 + ["trade"] * 6 + ["keyframe", "snapshot", "gap"])


@st.composite
def far_tapes(draw):
    """A tape with levels near the best prices and far from them; a depth event may empty a side."""
    us, valid, events = 1_000, False, []
    for kind, pause_us, (bids, asks) in draw(st.lists(st.tuples(KINDS, st.integers(0, 4), LEVELS), min_size=1)):
        us += pause_us
        if kind == "trade":
            events.append((us, kind, 1, MID + 1 + len(bids), 1 + len(asks)))
        elif kind == "gap":
            events.append((us, kind))
            valid = False
        elif kind == "snapshot" or not valid:
            events.append((us, "snapshot", [(ticks, lots + 1) for ticks, lots in bids], [(MID + 9, 4)]))
            valid = True
        elif kind == "keyframe" and events[-1][1] in ("depth", "snapshot"):
            events.append((events[-1][0], kind))
            us = events[-1][0]
        else:
            events.append((us, "depth", bids, asks))
    return Tape.of(TEST, events)


class Reader:
    """Read every price at each requote, and take or rest as scripted."""

    def __init__(self, answers):
        self.answers, self.views = answers, []

    def quote(self, view):
        levels = {side: {ticks: view.lots_at(side, ticks) for ticks in (*BIDS, *ASKS, MID + 9)} for side in (1, -1)}
        trade = view.last_trade
        self.views.append((view.us, view.bid_lots, view.ask_lots, levels, trade and (trade.us, trade.ticks, trade.id)))
        bid, ask, kind = self.answers[len(self.views) % len(self.answers)]
        return Quotes(bid, ask, bid_kind=kind, ask_kind=kind)


def levels_after(tape, us):
    """Return the levels of each side after the events up to a time, event by event."""
    book = {1: {}, -1: {}}
    for event in range(len(tape)):
        if tape.event_us[event] > us:
            break
        if kind_of(tape.kind[event]) in ("snapshot", "gap"):
            book = {1: {}, -1: {}}
        if kind_of(tape.kind[event]) in ("snapshot", "depth"):
            for side, ticks, lots in tape.rows(event):
                book[side][ticks] = lots
    return book


def run_both_ways(tape, quotes, fills, rules, acts=()):
    """Run a tape at once, and fed event by event; return the journal and the views of each."""
    runs = []
    for fed in (False, True):
        model = quotes()
        exchange = PaperExchange(model, fills(), rules)
        if not fed:
            exchange.attach(tape)
        events = events_of(tape)
        for us, act in acts:
            if fed:
                exchange.feed([event for event in events if event.us <= us])
                events = [event for event in events if event.us > us]
            exchange.advance(us)
            exchange.place(*act)
        if fed:
            exchange.feed(events)
        exchange.advance(tape.end_us)
        runs.append((read_journal(exchange.journal()), getattr(model, "views", None)))
    return runs


PRICE = st.sampled_from([None, 1_000, MID - 3, MID - 1, MID, MID + 1, MID + 3, 9_000_000])
ANSWERS = st.lists(st.tuples(PRICE, PRICE, st.sampled_from(["LIMIT_MAKER", "LIMIT", "IOC", "FOK"])), min_size=1)
FILLS = st.sampled_from([("trade_cross", False, 1.0, 0), ("price_cross", 0), ("queue_prob_power", 2.0)])


@pytest.mark.slow
@drawn(300)
@given(far_tapes(), ANSWERS, FILLS, st.sampled_from([1, 7, 40]))
def test_model_reads_the_book_of_its_time(tape, answers, fills, requote_us):
    """Near and far levels, after gaps and snapshots; taking orders execute against the same levels."""
    rules = dataclasses.replace(RULES, requote_us=requote_us)
    (expected, views), (fed, fed_views) = run_both_ways(
        tape, lambda: Reader(answers), lambda: compiled_fills(*fills), rules
    )
    assert_same(expected, fed)
    assert views == fed_views
    for us, *_, levels, _ in views:
        book = levels_after(tape, us)
        assert levels == {side: {ticks: book[side].get(ticks, 0) for ticks in levels[side]} for side in (1, -1)}


MANUAL_ORDERS = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.tuples(
            st.sampled_from([1, -1]),
            st.sampled_from([MID - 3, MID, MID + 3, 9_000_000]),
            st.integers(1, 9),
            st.sampled_from(["LIMIT_MAKER", "LIMIT", "IOC", "FOK", "MARKET", "MARKET"]),
        ),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.slow
@drawn(200)
@given(far_tapes(), MANUAL_ORDERS, st.booleans())
def test_manual_orders_execute_on_levels_that_no_model_reads(tape, manual_orders, least):
    """A MARKET order is valued at the current book when it is sent, and reserves that cost until it arrives."""
    lot_e8 = MID * TEST.tick_e8 * TEST.lot_e8 // 10**8
    rules = dataclasses.replace(RULES, start_cash_e8=40 * lot_e8, min_notional_e8=3 * lot_e8 if least else 0)
    end_us = tape.end_us
    acts = [(min(tape.start_us + us, end_us), act) for us, act in sorted(manual_orders, key=lambda order: order[0])]
    for quotes in (
        lambda: model_of("fixed_spread", delta_ticks=2.5),
        lambda: Reader([(MID - 3, MID + 3, "LIMIT_MAKER")]),
    ):
        (expected, _), (fed, _) = run_both_ways(tape, quotes, lambda: model_of("trade_cross"), rules, acts)
        assert_same(expected, fed)


class NearReader:
    """Read all prices near the mid, and a far one, at each requote."""

    def __init__(self):
        self.views = []

    def quote(self, view):
        prices = (*range(MID - 50, MID + 51), 9_000_000)
        self.views.append({side: {ticks: view.lots_at(side, ticks) for ticks in prices} for side in (1, -1)})


@pytest.mark.parametrize("keyframes", [(), (30, 5_000), (5_990,)])
def test_reader_after_many_events_gets_the_whole_book(keyframes):
    events = [(1_000, "snapshot", [(MID - 1, 5)], [(MID + 1, 5), (9_000_000, 1)])]
    for number in range(6_000):
        us, away, best = 1_001 + number, 1 + number * 7 % 40, number * 7 % 40 == 0
        events.append((us, "depth", [(MID - away, number % 3 + best)], [(MID + away, number % 4 + best)]))
        if number in keyframes:
            events.append((us, "keyframe"))
    tape = Tape.of(TEST, [*events, (7_100, "trade", 1, MID + 1, 1)])
    assert is_kind(tape, "keyframe").sum() == len(keyframes)
    model = NearReader()
    PaperExchange(model, model_of("trade_cross"), dataclasses.replace(RULES, requote_us=6_050)).run(tape)
    assert len(model.views) == 2
    for us, levels in zip((1_000, 7_050), model.views, strict=True):
        book = levels_after(tape, us)
        assert levels == {side: {ticks: book[side].get(ticks, 0) for ticks in levels[side]} for side in (1, -1)}

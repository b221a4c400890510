"""Events that are fed leave the journal of the tape that holds them, however they are cut."""

import dataclasses
import json

import pytest
from fill_lab import Want
from hypothesis import given
from hypothesis import strategies as st
from test_engine import assert_same, drawn

import engine_chance
from captured import NOON_US, SYMBOL, diff, snapshot, trade
from engine_cases import TABLES, Several, cases, read_journal
from engine_tapes import TEST, one_tape
from mm.backtest.fills.crossing import TradeCross
from mm.backtest.journal import CANCELLED, KEPT, PLACED
from mm.backtest.live_feed import FeedEvent, LiveFeed, feed_events
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.rules import Rules
from mm.errors import Mismatch, UsageError
from mm.instrument import Instrument
from mm.market_data.binance_spot import Messages
from mm.market_data.grid import Grid
from mm.market_data.market_state import MarketState
from mm.market_data.venue import DepthSnapshot
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE, Tape


def fed(case, cuts):
    """Return the journal of a case's first tape, fed in pieces, and what its models saw."""
    exchange, seen = case.exchange()
    (tape,) = case.tapes
    events = list(feed_events(tape))
    marks = sorted({min(cut, len(events)) for cut in cuts})
    for begin, end in zip([0, *marks], [*marks, len(events)], strict=True):
        exchange.feed(events[begin:end])
    exchange.advance(tape.end_us)
    return exchange.journal(), seen


def attached(case):
    """Return the same of the whole tape."""
    exchange, seen = case.exchange()
    (tape,) = case.tapes
    exchange.run(tape)
    return exchange.journal(), seen


def assert_same_bytes(case, cuts):
    (ours, seen), (theirs, seen_of_tape) = fed(case, cuts), attached(case)
    assert_same(read_journal(ours), read_journal(theirs))
    for name in TABLES:
        ours_table, theirs_table = getattr(ours, name), getattr(theirs, name)
        assert (ours_table is None) == (theirs_table is None)
        assert ours_table is None or ours_table.tobytes() == theirs_table.tobytes()
    assert ours.counters == theirs.counters
    assert seen == seen_of_tape


def as_fed(case):
    """Return a case that can be fed: its first tape, in the order of receipt, without the hand."""
    rules = dataclasses.replace(case.rules, recorded_feed=False)
    tape = Tape.of(TEST, case) if isinstance(case, list) else case.tapes[0]
    return dataclasses.replace(case, tapes=(tape,), rules=rules, by_hand=(), to_end=True)


CASES = cases(tapes=lambda unit: one_tape(unit).map(lambda drawn: drawn[:1])).map(as_fed)


@drawn(150)
@given(CASES, st.lists(st.integers(0, 40), max_size=12))
def test_any_cut_leaves_the_journal_of_the_tape(case, cuts):
    """Byte for byte: with empty cuts, cuts within a microsecond, across gaps, and every fill model and latency."""
    assert_same_bytes(case, cuts)


@drawn(60)
@given(CASES)
def test_one_event_at_a_time_leaves_the_journal_of_the_tape(case):
    """As a live market does."""
    assert_same_bytes(case, range(len(case.tapes[0])))


@pytest.mark.parametrize("seed", range(30))
def test_busy_tapes_leave_the_same_journal(seed):
    """Longer cases of plain chance, one event at a time."""
    case = engine_chance.case_of(seed)
    if len(case.tapes[0]) and case.tapes[0].start_us <= case.tapes[0].event_us[0]:
        case = as_fed(case)
        if case.tapes[0].start_us == case.tapes[0].event_us[0]:
            assert_same_bytes(case, range(len(case.tapes[0])))


def exchange_of(bid=100, **rules):
    terms = {"order_latency_us": 10, "cancel_latency_us": 10, "requote_us": 100, "enforce_balances": False}
    return PaperExchange(Want(bid), TradeCross(), Rules(TEST.tick_e8, TEST.lot_e8, **(terms | rules)))


BOOK = [(1, 99, 5), (-1, 101, 5)]
FIRST = FeedEvent(SNAPSHOT, 1000, 1, 1, BOOK)


def test_a_long_feed_keeps_only_what_it_needs():
    """Events are removed once they are of no use, and the journal is that of the tape."""
    events = [(1000, "snapshot", [(99, 5)], [(101, 5)])]
    for us in range(1100, 1_000_000, 100):
        events.append((us, "trade", -1, 99 + us // 100 % 2, 1) if us % 300 else (us, "depth", [(99, 1 + us % 7)], []))
    tape = Tape.of(TEST, events)
    one, other = exchange_of(), exchange_of()
    one.run(tape)
    for event in feed_events(tape):
        other.feed([event])
    other.advance(tape.end_us)
    ours, theirs = one.journal(), other.journal()
    assert len(theirs.fills) > 1000
    assert ours.orders.tobytes() == theirs.orders.tobytes()
    assert ours.counters == theirs.counters


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (FeedEvent(DEPTH, 900, 2, 2, [(1, 98, 1)]), "happened before the event at 1000"),
        (FeedEvent(TRADE, 1001, 2, 2, []), "a trade has one row"),
        (FeedEvent(GAP, 1001, 2, 0, [(1, 98, 1)]), "a gap none"),
        (FeedEvent(9, 1001, 2, 0, []), "is not an event"),
        (FeedEvent(DEPTH, 1001, 2, 2, [(0, 98, 1)]), "a side of"),
        (FeedEvent(DEPTH, 1001, 2, 2, [(1, 0, 1)]), "ticks from 1"),
        (FeedEvent(DEPTH, 1001, 2, 2, [(1, 98, -1)]), "lots from 0"),
    ],
)
def test_an_event_that_is_none_is_refused(event, why):
    """With the events before it in the same call: the feed continues as if none of them had come."""
    exchange, plain = exchange_of(), exchange_of()
    good = FeedEvent(DEPTH, 1000, 2, 2, [(1, 98, 1)])
    exchange.feed([FIRST])
    with pytest.raises(UsageError, match=why):
        exchange.feed([good, event])
    for one in (exchange, plain):
        one.feed([good] if one is exchange else [FIRST, good])
        one.advance(2000)
    assert exchange.journal().orders.tobytes() == plain.journal().orders.tobytes()


def test_a_book_is_begun_before_it_changes():
    """By a snapshot, or by the keyframe that a piece of a tape begins with."""
    with pytest.raises(UsageError, match="not valid"):
        exchange_of().feed([FeedEvent(DEPTH, 1000, 1, 1, BOOK)])
    exchange_of().feed([FeedEvent(KEYFRAME, 1000, 1, 1, BOOK)])
    with pytest.raises(UsageError, match="not valid"):
        exchange_of().feed([FIRST, FeedEvent(GAP, 1001, 2, 0, ()), FeedEvent(DEPTH, 1002, 3, 1, BOOK)])


def test_nothing_comes_before_what_was_played():
    """`advance` means that nothing up to its instant will be fed any more."""
    exchange = exchange_of()
    exchange.feed([FIRST])
    exchange.advance(2000)
    with pytest.raises(UsageError, match="is too late"):
        exchange.feed([FeedEvent(TRADE, 2000, 2, 1, [(1, 101, 1)])])
    exchange.feed([FeedEvent(TRADE, 2001, 2, 1, [(1, 101, 1)])])


def test_a_recorded_feed_cannot_be_fed():
    """Its clock offset is measured on the whole tape."""
    with pytest.raises(UsageError, match="FEED_LATENCY"):
        exchange_of(recorded_feed=True).feed([FIRST])


def test_a_feed_follows_a_tape_and_a_tape_a_feed():
    """With a gap between them; a tape that begins before the feed ended is refused."""
    exchange = exchange_of()
    tape = Tape.of(TEST, [(500, "snapshot", [(99, 5)], [(101, 5)]), (600, "depth", [(98, 1)], [])])
    exchange.run(tape)
    exchange.feed([FIRST])
    exchange.advance(1200)
    with pytest.raises(Mismatch, match="before the last one ended"):
        exchange.attach(tape)
    late = Tape.of(TEST, [(5000, "snapshot", [(99, 5)], [(101, 5)])])
    exchange.run(late)
    assert exchange.journal().mids.tolist() == [[500, 200], [600, 0], [1000, 200], [1200, 0], [5000, 200]]


def test_a_live_market_is_played_as_its_events_come():
    """From the messages of a stream through the market state to the exchange, as the tape of the same events."""
    grid = Instrument(SYMBOL, 1_000_000, 1_000)
    rules = Rules(grid.tick_e8, grid.lot_e8, order_latency_us=10, enforce_balances=False, requote_us=50_000)
    events = []

    class Noting(PaperExchange):
        def feed(self, given):
            events.extend(given)
            super().feed(given)

    live, replayed = (kind(Want(None), TradeCross(), rules) for kind in (Noting, PaperExchange))
    texts = Grid()
    messages = Messages(SYMBOL, texts)
    market = MarketState(texts, (LiveFeed(live, grid),), top_n=3)
    us = NOON_US
    for message in (diff(11, 11), snapshot(10), diff(12, 12), trade(5), diff(14, 15), snapshot(14), trade(7), trade(6)):
        us += 100_000
        decoded = messages.received(json.dumps(message))
        market.arrived(us)
        market.snapshot(us, decoded) if isinstance(decoded, DepthSnapshot) else market.take(us, decoded)
    assert [event.kind for event in events] == [SNAPSHOT, DEPTH, DEPTH, TRADE, GAP, SNAPSHOT, DEPTH, TRADE]
    assert [event.us for event in events] == sorted(event.us for event in events)
    stamps = [event.exch_us for event in events if event.kind == TRADE]
    assert stamps == [trade(number)["data"]["T"] * 1000 for number in (5, 7)]  # as a recording keeps them
    live.advance(us)
    replayed.feed(events)
    replayed.advance(us)
    ours, theirs = live.journal(), replayed.journal()
    assert ours.mids.tobytes() == theirs.mids.tobytes()
    assert len(ours.mids) >= 3
    assert ours.counters == theirs.counters


def deciding(case):
    """Return a case whose journal holds every requote."""
    return dataclasses.replace(case, rules=dataclasses.replace(case.rules, decisions=True))


@drawn(60)
@given(CASES, st.lists(st.integers(0, 40), max_size=12))
def test_any_cut_leaves_the_decisions_of_the_tape(case, cuts):
    """Every requote, with its market, quotes and messages; the rest of the journal is that without them."""
    case = deciding(case)
    assert_same_bytes(case, cuts)
    (ours, _), (theirs, _) = fed(case, cuts), attached(case)
    assert ours.decisions.tobytes() == theirs.decisions.tobytes()


@drawn(60)
@given(CASES)
def test_recording_decisions_changes_nothing(case):
    """A backtest without them leaves the same rows, though it passes over requotes that change nothing."""
    (plain, _), (told, _) = attached(case), attached(deciding(case))
    assert_same(read_journal(plain), read_journal(told))
    assert plain.decisions is None
    assert len(told.decisions) > 0 or len(told.orders) == 0


@pytest.mark.parametrize("seed", range(10))
def test_what_a_decision_did_is_what_the_orders_show(seed):
    """Per instant and side: a PLACE row for each that placed, a request for each that cancelled."""
    case = deciding(as_fed(engine_chance.case_of(seed)))
    case = dataclasses.replace(case, rules=dataclasses.replace(case.rules, quote_levels=1))
    journal, _ = attached(case)
    decisions, orders = journal.decisions, journal.orders
    assert (decisions[1:, 1] >= decisions[:-1, 1]).all()
    assert (decisions[1:, 0] >= decisions[:-1, 0]).all()
    # An order without latency may be rejected at the instant of its requote; one requote is added there, and no more.
    assert (decisions[2:, 0] > decisions[:-2, 0]).all()
    for column, side in ((8, 1), (9, -1)):
        for bit, action in ((PLACED, 0), (CANCELLED, 1)):
            acted = decisions[decisions[:, column] & bit > 0, 0].tolist()
            rows = orders[(orders[:, 2] == action) & (orders[:, 4] == side), 0].tolist()
            assert set(rows) == set(acted)
        kept = decisions[decisions[:, column] & KEPT > 0, column]
        several = isinstance(case.answers, tuple) and any(isinstance(one, Several) for one in case.answers)
        assert several or (kept == KEPT).all()  # of several prices, some may stay

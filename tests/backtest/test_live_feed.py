"""Fed events leave the same journal as a tape that holds them, however they are grouped."""

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
from mm import PaperExchange, Rules, Tape
from mm.backtest.engine.live_feed import FeedEvent, LiveFeed, feed_events
from mm.backtest.fills.base import TradeCross
from mm.backtest.journal import CANCELLED, KEPT, PLACED
from mm.errors import Mismatch, UsageError
from mm.instrument import Instrument
from mm.market_data.market_state import MarketState
from mm.markets.binance_spot import Messages
from mm.markets.grid import Grid
from mm.markets.messages import DepthSnapshot
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE


def fed(case, cuts):
    """Return the journal of a case's first tape, fed in parts, and the views of its models."""
    exchange, views = case.exchange()
    (tape,) = case.tapes
    events = list(feed_events(tape))
    marks = sorted({min(cut, len(events)) for cut in cuts})
    for begin, end in zip([0, *marks], [*marks, len(events)], strict=True):
        exchange.feed(events[begin:end])
    exchange.advance(tape.end_us)
    return exchange.journal(), views


def attached(case):
    """Return the same for the whole attached tape."""
    exchange, views = case.exchange()
    (tape,) = case.tapes
    exchange.run(tape)
    return exchange.journal(), views


def assert_same_bytes(case, cuts):
    (fed_journal, fed_views), (tape_journal, tape_views) = fed(case, cuts), attached(case)
    assert_same(read_journal(fed_journal), read_journal(tape_journal))
    for name in TABLES:
        fed_table, tape_table = getattr(fed_journal, name), getattr(tape_journal, name)
        assert (fed_table is None) == (tape_table is None)
        assert fed_table is None or fed_table.tobytes() == tape_table.tobytes()
    assert fed_journal.counters == tape_journal.counters
    assert fed_views == tape_views


def as_fed(case):
    """Return a case that can be fed: its first tape, in order of receipt, without manual orders."""
    rules = case.rules.without_feed()
    tape = Tape.of(TEST, case) if isinstance(case, list) else case.tapes[0]
    return dataclasses.replace(case, tapes=(tape,), rules=rules, manual=(), to_end=True)


CASES = cases(tapes=lambda unit: one_tape(unit).map(lambda drawn: drawn[:1])).map(as_fed)


@pytest.mark.slow
@drawn(150)
@given(CASES, st.lists(st.integers(0, 40), max_size=12))
def test_fed_parts_leave_the_same_journal_as_the_tape(case, cuts):
    """Byte for byte: empty parts, cuts within a microsecond, across gaps, with every fill model and latency."""
    assert_same_bytes(case, cuts)


@pytest.mark.slow
@drawn(60)
@given(CASES)
def test_single_fed_events_leave_the_same_journal_as_the_tape(case):
    """Like a live market."""
    assert_same_bytes(case, range(len(case.tapes[0])))


@pytest.mark.parametrize("seed", range(30))
def test_fed_busy_tapes_leave_the_same_journal(seed):
    """Longer random cases, one event at a time."""
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


def test_long_feed_leaves_the_same_journal_as_the_tape():
    """The feed drops events that it no longer needs."""
    events = [(1000, "snapshot", [(99, 5)], [(101, 5)])]
    for us in range(1100, 1_000_000, 100):
        events.append((us, "trade", -1, 99 + us // 100 % 2, 1) if us % 300 else (us, "depth", [(99, 1 + us % 7)], []))
    tape = Tape.of(TEST, events)
    attached_exchange, fed_exchange = exchange_of(), exchange_of()
    attached_exchange.run(tape)
    for event in feed_events(tape):
        fed_exchange.feed([event])
    fed_exchange.advance(tape.end_us)
    tape_journal, fed_journal = attached_exchange.journal(), fed_exchange.journal()
    assert len(fed_journal.fills) > 1000
    assert tape_journal.orders.tobytes() == fed_journal.orders.tobytes()
    assert tape_journal.counters == fed_journal.counters


@pytest.mark.parametrize(
    ("event", "message"),
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
def test_invalid_event_is_rejected_with_its_whole_batch(event, message):
    """The events before it in the same call are dropped too: the feed continues as if none of them had come."""
    exchange, plain = exchange_of(), exchange_of()
    good = FeedEvent(DEPTH, 1000, 2, 2, [(1, 98, 1)])
    exchange.feed([FIRST])
    with pytest.raises(UsageError, match=message):
        exchange.feed([good, event])
    for each in (exchange, plain):
        each.feed([good] if each is exchange else [FIRST, good])
        each.advance(2000)
    assert exchange.journal().orders.tobytes() == plain.journal().orders.tobytes()


def test_feed_must_start_with_snapshot_or_keyframe():
    """Also after a gap."""
    with pytest.raises(UsageError, match="not valid"):
        exchange_of().feed([FeedEvent(DEPTH, 1000, 1, 1, BOOK)])
    exchange_of().feed([FeedEvent(KEYFRAME, 1000, 1, 1, BOOK)])
    with pytest.raises(UsageError, match="not valid"):
        exchange_of().feed([FIRST, FeedEvent(GAP, 1001, 2, 0, ()), FeedEvent(DEPTH, 1002, 3, 1, BOOK)])


def test_event_before_advanced_time_is_rejected():
    """`advance` declares that no event up to its time will be fed."""
    exchange = exchange_of()
    exchange.feed([FIRST])
    exchange.advance(2000)
    with pytest.raises(UsageError, match="is too late"):
        exchange.feed([FeedEvent(TRADE, 2000, 2, 1, [(1, 101, 1)])])
    exchange.feed([FeedEvent(TRADE, 2001, 2, 1, [(1, 101, 1)])])


def test_feed_rejects_rules_with_recorded_feed():
    """The clock offset of a recorded feed is measured on the whole tape."""
    with pytest.raises(UsageError, match="feed_latency"):
        exchange_of(recorded_feed=True).feed([FIRST])


def test_feed_and_tape_may_follow_each_other():
    """With a gap between them; a tape that begins before the feed ended is rejected."""
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


def test_live_messages_leave_the_same_journal_as_their_events():
    """From the messages of a stream through the market state to the exchange, compared with the same events fed."""
    grid = Instrument(SYMBOL, 1_000_000, 1_000)
    rules = Rules(grid.tick_e8, grid.lot_e8, order_latency_us=10, enforce_balances=False, requote_us=50_000)
    events = []

    class RecordingExchange(PaperExchange):
        def feed(self, batch):
            events.extend(batch)
            super().feed(batch)

    live, replayed = (kind(Want(None), TradeCross(), rules) for kind in (RecordingExchange, PaperExchange))
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
    assert stamps == [trade(number)["data"]["T"] * 1000 for number in (5, 7)]  # as in a recording
    live.advance(us)
    replayed.feed(events)
    replayed.advance(us)
    live_journal, replayed_journal = live.journal(), replayed.journal()
    assert live_journal.mids.tobytes() == replayed_journal.mids.tobytes()
    assert len(live_journal.mids) >= 3
    assert live_journal.counters == replayed_journal.counters


def with_decisions(case):
    """Return the case with every requote recorded in the journal."""
    return dataclasses.replace(case, rules=dataclasses.replace(case.rules, decisions=True))


@pytest.mark.slow
@drawn(60)
@given(CASES, st.lists(st.integers(0, 40), max_size=12))
def test_fed_parts_leave_the_same_decisions_as_the_tape(case, cuts):
    """Every requote with its market, quotes and messages; the rest of the journal is equal as well."""
    case = with_decisions(case)
    assert_same_bytes(case, cuts)
    (fed_journal, _), (tape_journal, _) = fed(case, cuts), attached(case)
    assert fed_journal.decisions.tobytes() == tape_journal.decisions.tobytes()


@pytest.mark.slow
@drawn(60)
@given(CASES)
def test_recording_decisions_does_not_change_the_journal(case):
    """A backtest without decisions leaves the same rows, though it skips requotes that change nothing."""
    (plain, _), (decided, _) = attached(case), attached(with_decisions(case))
    assert_same(read_journal(plain), read_journal(decided))
    assert plain.decisions is None
    assert len(decided.decisions) > 0 or len(decided.orders) == 0


@pytest.mark.parametrize("seed", range(10))
def test_decisions_agree_with_order_rows(seed):
    """Per time and side: a PLACE row for each decision that placed, a CANCEL_REQ row for each that cancelled."""
    case = with_decisions(as_fed(engine_chance.case_of(seed)))
    case = dataclasses.replace(case, rules=dataclasses.replace(case.rules, quote_levels=1))
    journal, _ = attached(case)
    decisions, orders = journal.decisions, journal.orders
    assert (decisions[1:, 1] >= decisions[:-1, 1]).all()
    assert (decisions[1:, 0] >= decisions[:-1, 0]).all()
    # An order without latency may be rejected at the time of its requote; at most one requote is added there.
    assert (decisions[2:, 0] > decisions[:-2, 0]).all()
    for column, side in ((8, 1), (9, -1)):
        for bit, action in ((PLACED, 0), (CANCELLED, 1)):
            decided = decisions[decisions[:, column] & bit > 0, 0].tolist()
            rows = orders[(orders[:, 2] == action) & (orders[:, 4] == side), 0].tolist()
            assert set(rows) == set(decided)
        kept = decisions[decisions[:, column] & KEPT > 0, column]
        several = isinstance(case.answers, tuple) and any(isinstance(answer, Several) for answer in case.answers)
        assert several or (kept == KEPT).all()  # of several prices, some may be kept

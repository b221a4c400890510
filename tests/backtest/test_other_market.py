"""Another market in a strategy's view: what had arrived of it, and nothing later; a twin in plain Python decides."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mm
from engine_tapes import BEGIN_US, TEST, one_tape, stamped, two_tapes
from mm import PaperExchange, Rules, Tape, backtest
from mm.backtest.fills.base import TradeCross
from mm.backtest.risk import RiskLimits
from mm.errors import Mismatch, ModelError, UsageError
from mm.instrument import Instrument
from mm.live._live_engine import LiveEngine
from mm.play.market import feed_of_market
from mm.signals.other_feed import OtherFeed
from mm.tape.columns import ClockReading
from named import events_of, kind_of

UNIT = 250_000
RULES = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=100_000)
LEAD = Instrument("LEADUSDT", tick_e8=10_000_000, lot_e8=1_000)


class Watching:
    """Quote model that only keeps what it sees of the other market."""

    def __init__(self):
        self.seen = []

    def quote(self, view):
        other = view.other("lead")
        trade = other.last_trade and tuple(other.last_trade)
        prices = other.bid_ticks, other.bid_lots, other.ask_ticks, other.ask_lots
        self.seen.append((view.us, *prices, trade, other.age_us))


class WatchingEvents:
    """The same as a strategy that sends its own orders."""

    def __init__(self):
        self.watching = Watching()

    @property
    def seen(self):
        return self.watching.seen

    def on_event(self, market, orders):
        self.watching.quote(market)


def twin(tapes, delay_us, us):
    """Return what is known of a market at *us*, from a list of its events and nothing else."""
    sides, valid, trade, heard = {1: {}, -1: {}}, False, None, None
    for tape, after in zip(tapes, (*tapes[1:], None), strict=True):
        for event, kind in enumerate(map(kind_of, tape.kind)):
            arrived = int(tape.event_us[event]) + delay_us
            if arrived > us:
                break
            heard = heard if kind == "gap" else arrived
            if kind == "trade":
                trade = (arrived, *tape.rows(event)[0])
            elif kind == "gap":
                valid = False
            elif kind == "snapshot" or (kind == "keyframe" and not valid):
                sides, valid = {1: {}, -1: {}}, True
            for side, ticks, lots in tape.rows(event) if kind in ("snapshot", "depth", "keyframe") else ():
                sides[side][ticks] = lots
        if us > tape.end_us + delay_us and not (after and after.continues(tape)):
            valid = False
    bids, asks = ({ticks: lots for ticks, lots in sides[side].items() if lots and valid} for side in (1, -1))
    bid, ask = max(bids, default=None), min(asks, default=None)
    return bid, bids.get(bid, 0), ask, asks.get(ask, 0), trade, None if heard is None else us - heard


@given(one_tape(UNIT), st.one_of(one_tape(UNIT), two_tapes(UNIT, joined=True)), st.sampled_from([0, 1, 70_000, 10**6]))
@settings(max_examples=60, deadline=None)
def test_view_shows_what_had_arrived_of_the_other_market(drawn, others, delay_us):
    tape, tapes = drawn[0], tuple(one for one in others if isinstance(one, Tape))
    for model in (Watching(), WatchingEvents()):
        backtest(tape, model, TradeCross(), replace(RULES, others={"lead": OtherFeed(LEAD, tapes, delay_us)}))
        for us, *seen in model.seen:
            assert tuple(seen) == twin(tapes, delay_us, us), us


@given(one_tape(UNIT), one_tape(UNIT), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_live_view_equals_that_of_the_replay(drawn, other, delay_us):
    """The events of the other market are fed when they arrive, each before our own of that instant and later."""
    tape, theirs = drawn[0], other[0]
    theirs = theirs.between(theirs.start_us, theirs.end_us)
    played, paper = Watching(), Watching()
    rules = replace(RULES, others={"lead": OtherFeed(LEAD, (replace(theirs, end_us=2**60),), delay_us)})
    fed = replace(RULES, others={"lead": OtherFeed(LEAD, (), delay_us)})
    backtest(tape, played, TradeCross(), rules)
    exchange, waiting = PaperExchange(paper, TradeCross(), fed), events_of(theirs)
    for event in events_of(tape):
        while waiting and waiting[0].us <= event.us:
            exchange.feed_other("lead", [waiting.pop(0)])
        exchange.feed([event])
    while waiting and waiting[0].us <= tape.end_us:
        exchange.feed_other("lead", [waiting.pop(0)])
    exchange.advance(tape.end_us)
    assert paper.seen == played.seen


def test_live_engine_shows_the_other_market():
    model = Watching()
    engine = LiveEngine(model, replace(RULES, others={"lead": OtherFeed(LEAD)}))
    tape = Tape.of(TEST, [(BEGIN_US, "snapshot", [(99, 1)], [(101, 1)])])
    lead = Tape.of(LEAD, [(BEGIN_US - 5, "snapshot", [(9, 3)], [(11, 4)]), (BEGIN_US + 7, "trade", 1, 11, 2)])
    engine.feed_other("lead", events_of(lead)[:1])
    engine.feed(events_of(tape))
    engine.advance(BEGIN_US)
    engine.feed_other("lead", events_of(lead)[1:])
    engine.advance(BEGIN_US + 100_000)
    assert model.seen == [
        (BEGIN_US, 9, 3, 11, 4, None, 5),
        (BEGIN_US + 100_000, 9, 3, 11, 4, (BEGIN_US + 7, 1, 11, 2), 99_993),
    ]


@given(st.integers(0, 300), st.integers(-1_500_000, 1_500_000), st.integers(-1_500_000, 1_500_000))
@settings(max_examples=30, deadline=None)
def test_exchange_times_place_markets_whose_clocks_disagree(latency_ms, our_clock_us, their_clock_us):
    """With feed_latency_ms an event arrives that long after it happened, whatever the clocks of the recordings."""
    happened = [BEGIN_US + step * 200_000 for step in range(20)]
    events = [(us, "depth", [(98, step % 3 + 1)], []) for step, us in enumerate(happened)]
    true = Tape.of(TEST, [(BEGIN_US - 200_000, "snapshot", [(99, 1)], [(101, 1)]), *events])
    ours, theirs = (
        stamped(
            true.restamped(true.event_us + clock_us, true.start_us + clock_us, true.end_us + clock_us), [500], clock_us
        )
        for clock_us in (our_clock_us, their_clock_us)
    )
    feed = feed_of_market("lead", [ours], [theirs], latency_ms)
    arrived = feed.tapes[0].event_us + feed.delay_us
    assert (arrived - latency_ms * 1000 == ours.event_us - 500)[1:].all()  # the fastest message takes 500 µs


def test_clocks_that_disagree_are_noted_and_so_is_a_part_that_is_not_covered():
    levels = "snapshot", [(99, 1)], [(101, 1)]
    own = stamped(Tape.of(TEST, [(0, *levels), *((s * 10**6, "depth", [(98, 1)], []) for s in range(1, 11))]), [900], 0)
    late = stamped(own, [900], 1_270_000)
    (note,) = feed_of_market("lead", [own], [late]).notes
    assert note.startswith("clocks: lead (TESTUSDT) was received")
    assert "differ by 1,270 ms" in note
    assert feed_of_market("lead", [own], [own]).notes == ()
    (note,) = feed_of_market("lead", [own], [own.between(0, 4 * 10**6)]).notes
    assert "covers 40 %" in note


def test_markets_that_do_not_overlap_are_refused():
    early = Tape.of(TEST, [(0, "snapshot", [(99, 1)], [(101, 1)]), (10**6, "depth", [(98, 1)], [])])
    unstamped = replace(early, event_exch_us=0 * early.event_us)
    later = early.restamped(early.event_us + 10**7, 10**7, 10**7 + 10**6)
    with pytest.raises(Mismatch, match="lead does not overlap with the run: TESTUSDT covers"):
        mm.backtest(early, others={"lead": later})
    with pytest.raises(Mismatch, match="no exchange times"):
        mm.backtest(early, others={"lead": {"tape": unstamped, "feed_latency_ms": 5}})
    with pytest.raises(UsageError, match="give a tape, or a dict of"):
        mm.backtest(early, others={"lead": {"tap": later}})


def test_an_unknown_market_is_named_with_the_known_ones():
    class Asking:
        def quote(self, view):
            view.other("led")

    tape = Tape.of(TEST, [(0, "snapshot", [(99, 1)], [(101, 1)]), (10**6, "depth", [(98, 1)], [])])
    with pytest.raises(ModelError, match=r"other\('led'\): the run's other markets are lead"):
        mm.backtest(tape, Asking(), others={"lead": tape})
    with pytest.raises(ModelError, match="are none; set OTHERS"):
        mm.backtest(tape, Asking())


def test_the_summary_names_the_other_markets():
    tape = Tape.of(TEST, [(0, "snapshot", [(99, 1)], [(101, 1)]), (10**6, "depth", [(98, 1)], [])])
    summary = mm.backtest(tape, Watching, others={"lead": tape.between(0, 10**5)}).summary
    assert summary["others"]["lead"]["symbol"] == "TESTUSDT"
    assert any("covers 10 % of the run" in warning for warning in summary["warnings"])
    assert "others" not in mm.backtest(tape).summary


class AtTouch:
    """Quotes at the own touch, and reads the other market."""

    signals = ("lead.imbalance_1",)

    def quote(self, view):
        return mm.Quotes(view.bid_ticks, view.ask_ticks)


def late_pair():
    """Return ten seconds of two markets in time, of which the other one is five seconds late in the middle."""
    seconds = [BEGIN_US + 10**6 * second for second in range(1, 21)]
    own = Tape.of(
        TEST, [(BEGIN_US, "snapshot", [(99, 9)], [(101, 9)]), *((us, "depth", [(98, 1)], []) for us in seconds)]
    )
    lead = Tape.of(
        LEAD, [(BEGIN_US, "snapshot", [(9, 9)], [(11, 9)]), *((us, "depth", [(8, 1)], []) for us in seconds)]
    )
    late_us = [0, *(5 * 10**6 if 4 <= second <= 6 else 0 for second in range(1, 21))]
    lead = replace(lead, event_exch_us=lead.event_us - late_us)
    return (replace(tape, meta=replace(tape.meta, clock=(ClockReading(0, 0),))) for tape in (own, lead))


def test_a_late_other_market_stops_the_quotes_in_a_replay_and_live():
    """From the message that came late until ten seconds after the market is in time; it is never silent."""
    own, lead = late_pair()
    rules = replace(RULES, quote_lots=1, requote_us=500_000, enforce_balances=False)
    rules = replace(rules, risk=RiskLimits(feed_stale_us=3 * 10**6))
    played = PaperExchange(AtTouch(), TradeCross(), replace(rules, others={"lead": OtherFeed(LEAD, (lead,))}))
    played.run(own)
    fed = PaperExchange(AtTouch(), TradeCross(), replace(rules, others={"lead": OtherFeed(LEAD)}))
    engine, sent = LiveEngine(AtTouch(), replace(rules, others={"lead": OtherFeed(LEAD)})), {}
    for ours, theirs in zip(events_of(own), events_of(lead), strict=True):
        for taker in (fed, engine):
            taker.feed_other("lead", [theirs])
            taker.feed([ours])
        sent[ours.us] = [action for action, *_ in engine.advance(ours.us)]
    fed.advance(own.end_us)
    found = [played.journal().breaches.tolist(), fed.journal().breaches.tolist()]
    assert found[0] == found[1]
    assert [(row[0], row[2]) for row in found[0]] == [(BEGIN_US + 4 * 10**6, 5 * 10**8)]
    assert engine.manager.breaches(0)[0][:3] == (BEGIN_US + 4 * 10**6, "FEED_STALE_S", 5 * 10**8)
    stopped = [us for us, actions in sent.items() if "cancel" in actions]
    assert stopped == [BEGIN_US + 4 * 10**6]
    assert min(us for us, actions in sent.items() if "place" in actions and us > stopped[0]) >= stopped[0] + 12 * 10**6

"""The time with a market of a feed: a shadow's and a trade's spans are those of the backtest of their day."""

from dataclasses import replace

import pytest

from engine_tapes import TEST
from mm import PaperExchange, Quotes, Rules, Tape
from mm.backtest.fills.base import TradeCross
from mm.backtest.fills.intensity import Intensity, IntensityPiece
from mm.backtest.preset import PRESETS
from mm.backtest.quotes.steps import Gated
from mm.clock import us_of
from mm.live._live_engine import LiveEngine
from named import events_of

MINUTE = 60_000_000
BEGIN_US = us_of("2026-01-06T21:50:00Z")  # ten minutes before the hour in which the exchange is closed
RULES = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=1_000_000, enforce_balances=False, quote_lots=1)


class AtTouch:
    def quote(self, view):
        return Quotes(view.bid_ticks, view.ask_ticks)


def tape():
    """Return two hours with an outage of ten minutes."""
    events = [(BEGIN_US, "snapshot", [(99, 5)], [(101, 5)])]
    for minute in range(1, 120):
        us = BEGIN_US + minute * MINUTE
        if minute == 90:
            events.append((us, "gap"))
        elif minute == 100:
            events.append((us, "snapshot", [(99, 5)], [(101, 5)]))
        elif not 90 < minute < 100:
            events.append((us, "depth", [(99, 5 + minute % 3)], []))
    return Tape.of(TEST, events)


def in_training(minutes):
    piece = IntensityPiece(BEGIN_US + minutes * MINUTE, BEGIN_US + 1000 * MINUTE, 1.0, 0.5, 1.0, 0.5, 0.5)
    return Gated(AtTouch(), Intensity([piece]))


CASES = {
    "outage": (AtTouch, RULES, [(0, 90), (100, 119)]),
    "hours": (AtTouch, replace(RULES, hours=PRESETS["future"].hours), [(0, 10), (70, 90), (100, 119)]),
    "training": (lambda: in_training(20), RULES, [(20, 90), (100, 119)]),
    "all": (lambda: in_training(75), replace(RULES, hours=PRESETS["future"].hours), [(75, 90), (100, 119)]),
}


def taped(quotes, rules):
    exchange = PaperExchange(quotes, TradeCross(), rules)
    exchange.run(tape())
    return exchange.journal()


def fed(quotes, rules, batch):
    exchange, events = PaperExchange(quotes, TradeCross(), rules), events_of(tape())
    for at in range(0, len(events), batch):
        exchange.feed(events[at : at + batch])
    exchange.advance(tape().end_us)
    return exchange.journal()


def traded(quotes, rules):
    engine = LiveEngine(quotes, rules)

    def act(us):
        for action, order_id, *_ in engine.advance(us):
            engine.accepted(order_id, us) if action == "place" else engine.closed(order_id, us, False)

    for event in events_of(tape()):
        while engine.next_due_us < event.us:
            act(engine.next_due_us)
        engine.feed([event])
        act(event.us)
    return engine.journal()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_fed_days_have_the_spans_and_orders_of_their_tape(case, batch):
    quotes, rules, spans = CASES[case]
    expected, found = taped(quotes(), rules), fed(quotes(), rules, batch)
    assert [((a - BEGIN_US) / MINUTE, (b - BEGIN_US) / MINUTE) for a, b in expected.spans.tolist()] == spans
    assert found.spans.tolist() == expected.spans.tolist()
    assert found.orders.tobytes() == expected.orders.tobytes()
    assert found.counters == expected.counters


LONG = [pytest.param(case, marks=pytest.mark.slow) for case in ("hours", "all")]


@pytest.mark.parametrize("case", ["outage", "training", *LONG])
def test_traded_days_have_the_spans_of_their_tape(case):
    """Both sides rest for all of it but the moments in which they are sent."""
    quotes, rules, _ = CASES[case]
    expected, found = taped(quotes(), rules), traded(quotes(), rules)
    assert found.spans.tolist() == expected.spans.tolist()
    assert found.counters["valid_us"] == expected.counters["valid_us"]
    assert found.counters["two_sided_us"] == pytest.approx(found.counters["valid_us"], abs=4_000_000)


def test_quotes_stay_pulled_for_another_reason_when_the_market_opens():
    """A trade whose gateway is lost in closed hours does not quote at the opening."""
    engine = LiveEngine(AtTouch(), CASES["hours"][1])
    events = events_of(tape())
    engine.feed(events[:12])
    engine.advance(BEGIN_US + 12 * MINUTE)
    assert engine.closed_for == engine.manager.pulled_for
    engine.manager.pull("gateway: lost")
    assert engine.advance(BEGIN_US + 75 * MINUTE) == []
    assert engine.closed_for == ""
    assert engine.manager.pulled_for == "gateway: lost"


def test_time_without_gateway_is_no_time_with_a_market():
    """No order reaches the exchange then; orders that rest on both sides count as two-sided before and after only."""
    engine, minutes = LiveEngine(AtTouch(), RULES), 0
    for event in events_of(tape()):
        minutes = (event.us - BEGIN_US) // MINUTE
        if minutes in (30, 50):
            engine.set_reached(minutes == 50, event.us)
        engine.feed([event])
        for action, order_id, *_ in engine.advance(event.us):
            engine.accepted(order_id, event.us) if action == "place" else engine.closed(order_id, event.us, False)
    journal = engine.journal()
    assert ((journal.spans - BEGIN_US) // MINUTE).tolist() == [[0, 30], [50, 90], [100, 119]]
    assert journal.counters["valid_us"] == 89 * MINUTE
    assert journal.counters["two_sided_us"] == 89 * MINUTE


def test_gateway_lost_after_the_last_message_ends_the_time_with_a_market():
    """The trade ends with it: no time is left over, and none is counted twice."""
    engine, events = LiveEngine(AtTouch(), RULES), events_of(tape())[:12]
    engine.feed(events)
    last_us = events[-1].us
    engine.advance(last_us)
    engine.set_reached(False, last_us + 700)
    counters = engine.journal().counters
    assert counters["last_us"] == last_us + 700
    assert (counters["valid_us"], counters["invalid_us"]) == (counters["last_us"] - counters["first_us"], 0)

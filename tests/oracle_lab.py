"""Helpers of the oracle and engine tests: tapes written by hand, a runner for both, and readable results.

Unless a test changes it, a tick is 1 quote, a lot is 1 base, the latency of orders is 10 µs and that of cancels 5 µs,
and the quote model is called every 100 µs from the first snapshot, at 1000 µs, and at no other instant.
"""

from types import SimpleNamespace

import oracle
from engine_cases import compiled_fills, manual_action, oracle_tapes, plain_fills, read_journal
from mm import PaperExchange, Rules, Tape
from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS, STATUSES
from mm.instrument import Instrument

TWINS = ["oracle", "engine"]
TRADE_CROSS = ("trade_cross", False, 1.0, 0)
RULES = {
    "tick_e8": 10**8,
    "lot_e8": 10**8,
    "order_latency_us": 10,
    "cancel_latency_us": 5,
    "requote_us": 100,
    "requote_on_fill": False,
    "state_us": 1000,
    "start_cash_e8": 10**14,
    "start_lots": 100,
    "quote_lots": 10,
}
BIDS, ASKS = [(99, 5), (98, 7)], [(101, 5), (103, 7)]
SNAPSHOT = (1000, "snapshot", BIDS, ASKS)


class Plan:
    """A quote model that returns the answer planned for the latest instant reached, and keeps its views."""

    NAMES = "us bid_ticks ask_ticks bid_lots ask_lots mid2_ticks sigma_ticks inventory_lots most_lots least_lots cash"

    def __init__(self, answers):
        self.answers, self.views = answers, []

    def quote(self, view):
        trade = view.last_trade
        copied = SimpleNamespace(**{name: getattr(view, name) for name in self.NAMES.split()})
        copied.last_trade = trade and (trade.us, trade.side, trade.ticks, trade.lots, trade.id)
        copied.depth = [view.lots_at(1, ticks) for ticks in (97, 98, 99)]
        self.views.append(copied)
        reached = [us for us in self.answers if us <= view.us]
        return self.answers[max(reached)] if reached else None


def player(twin):
    """Return a function that plays events or tapes and returns the journal; *manual* are actions (µs, action, …)."""

    def played(plan, *events, fills=TRADE_CROSS, tapes=None, manual=(), on_fill=None, on_print=None, **changes):
        rules, quotes, hook_calls = Rules(**(RULES | changes)), Plan(plan), []
        if on_fill:
            quotes.on_fill = on_fill
        if on_print:
            quotes.on_print = on_print
        tapes = tapes or [tape_of(*events, rules=rules)]
        if twin == "oracle":
            exchange = oracle.Backtest(quotes.quote, plain_fills(*fills, seen=hook_calls), rules, on_fill, on_print)
        else:
            exchange = PaperExchange(quotes, compiled_fills(*fills, seen=hook_calls), rules)
        results = []
        for tape, plain in zip(tapes, oracle_tapes(tapes), strict=True):
            exchange.attach(*plain) if twin == "oracle" else exchange.attach(tape)
            for us, *action in manual:
                if tape.start_us <= us <= tape.end_us:
                    exchange.advance(us)
                    results.append(manual_action(exchange, *action))
            exchange.advance(tape.end_us)
        journal = exchange.left() if twin == "oracle" else read_journal(exchange.journal())
        journal.views, journal.hook_calls, journal.results = quotes.views, hook_calls, results
        return journal

    return played


def tape_of(*events, rules=None, **changes):
    rules = rules or Rules(**(RULES | changes))
    return Tape.of(Instrument("TESTUSDT", rules.tick_e8, rules.lot_e8), events)


def until(us):
    """Return an event that only advances time: a buyer's trade far below the market."""
    return (us, "trade", 1, 1, 1)


def order_rows(played, *, of=None):
    """Return the rows of the orders table as (us, id, action, status), of one order or of all."""
    return [(row[0], row[1], ACTIONS[row[2]], STATUSES[row[3]]) for row in played.orders if of in (None, row[1])]


def reason_rows(played):
    """Return the rows of the orders table that have a reason as (us, side, action, reason)."""
    rows = [
        (row[0], row[4], ACTIONS[row[2]], REJECT_REASONS[row[12]] + CANCEL_REASONS[row[13]]) for row in played.orders
    ]
    return [row for row in rows if row[3]]


def fills(played):
    """Return the fills as (us, id, side, ticks, lots)."""
    return [row[:5] for row in played.fills]

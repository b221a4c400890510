"""What tests of the oracle and of the engine share: tapes by hand, played by either, and what is left in words.

Unless a test says otherwise, a tick is 1 quote, a lot 1 base, an order travels 10 µs, a cancel 5 µs, and quotes are
asked for every 100 µs from the first snapshot, at 1000 µs, on, and at no other instant.
"""

from types import SimpleNamespace

import oracle
from engine_cases import compiled_fills, done_by_hand, plain_fills, read_journal, told_tapes
from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS, STATUSES
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.rules import Rules
from mm.instrument import Instrument
from mm.tape.tape import Tape

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
    """A quote model that gives the answer of the latest instant that has come, and keeps what it saw."""

    NAMES = "us bid_ticks ask_ticks bid_lots ask_lots mid2_ticks sigma_ticks inventory_lots most_lots least_lots cash"

    def __init__(self, answers):
        self.answers, self.seen = answers, []

    def quote(self, view):
        trade = view.last_trade
        seen = SimpleNamespace(**{name: getattr(view, name) for name in self.NAMES.split()})
        seen.last_trade = trade and (trade.us, trade.side, trade.ticks, trade.lots, trade.id)
        seen.depth = [view.lots_at(1, ticks) for ticks in (97, 98, 99)]
        self.seen.append(seen)
        known = [us for us in self.answers if us <= view.us]
        return self.answers[max(known)] if known else None


def player(twin):
    """Return what plays events, or tapes, and gives the rows that are left; *by_hand* are acts as (µs, act, …)."""

    def played(plan, *events, fills=TRADE_CROSS, tapes=None, by_hand=(), on_fill=None, on_print=None, **changes):
        rules, quotes, noted = Rules(**(RULES | changes)), Plan(plan), []
        if on_fill:
            quotes.on_fill = on_fill
        if on_print:
            quotes.on_print = on_print
        tapes = tapes or [tape_of(*events, rules=rules)]
        if twin == "oracle":
            exchange = oracle.Backtest(quotes.quote, plain_fills(*fills, seen=noted), rules, on_fill, on_print)
        else:
            exchange = PaperExchange(quotes, compiled_fills(*fills, seen=noted), rules)
        told = []
        for tape, plain in zip(tapes, told_tapes(tapes), strict=True):
            exchange.attach(*plain) if twin == "oracle" else exchange.attach(tape)
            for us, *act in by_hand:
                if tape.start_us <= us <= tape.end_us:
                    exchange.advance(us)
                    told.append(done_by_hand(exchange, *act))
            exchange.advance(tape.end_us)
        left = exchange.left() if twin == "oracle" else read_journal(exchange.journal())
        left.seen, left.noted, left.told = quotes.seen, noted, told
        return left

    return played


def tape_of(*events, rules=None, **changes):
    rules = rules or Rules(**(RULES | changes))
    return Tape.of(Instrument("TESTUSDT", rules.tick_e8, rules.lot_e8), events)


def until(us):
    """Return an event that lets time pass and changes nothing: a buyer's trade far below the market."""
    return (us, "trade", 1, 1, 1)


def story(played, *, of=None):
    """Return the orders table as (us, id, action, status), of one order or all."""
    return [(row[0], row[1], ACTIONS[row[2]], STATUSES[row[3]]) for row in played.orders if of in (None, row[1])]


def whys(played):
    """Return the rows that give a reason as (us, side, action, reason)."""
    told = [
        (row[0], row[4], ACTIONS[row[2]], REJECT_REASONS[row[12]] + CANCEL_REASONS[row[13]]) for row in played.orders
    ]
    return [row for row in told if row[3]]


def fills(played):
    """Return the fills as (us, id, side, ticks, lots)."""
    return [row[:5] for row in played.fills]

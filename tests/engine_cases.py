"""Small adversarial inputs for the engine: little time, few prices, many things at one instant.

A case is drawn as plain numbers and told twice: to the compiled engine and to the oracle.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

from hypothesis import strategies as st

import oracle
import oracle_market
from mm.backtest.fills.intensity import FOREVER, Intensity
from mm.backtest.fills.poisson import Poisson
from mm.backtest.fills.trade_cross import TradeCross
from mm.backtest.models import fixed_spread
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.quotes.view import Quotes
from mm.backtest.rules import Rules
from mm.backtest.tape import Tape, TapeMeta
from mm.instrument import Instrument

TEST = Instrument("TESTUSDT", tick_e8=1_000_000, lot_e8=1_000)
BEGIN_US = 1_000_000_000
TABLES = ("orders", "fills", "state", "mids")


class Scripted:
    """A quote model that answers by heart and remembers what it saw; distances count from the own best price."""

    def __init__(self, answers):
        self.answers, self.seen = answers, []

    def quote(self, view):
        trade = view.last_trade
        self.seen.append(
            (view.us, view.bid_ticks, view.ask_ticks, view.bid_lots, view.ask_lots, view.mid2_ticks)
            + (view.inventory_lots, view.quote_lots, round(view.cash * 1e8), repr(view.sigma_ticks))
            + (view.lots_at(1, view.bid_ticks - 1), view.lots_at(-1, view.ask_ticks + 1))
            + ((trade.us, trade.side, trade.ticks, trade.lots, trade.id) if trade else ())
        )
        answer = self.answers[len(self.seen) % len(self.answers)]
        if answer is None:
            return None
        bid, ask, bid_lots, ask_lots = answer
        return Quotes(
            None if bid is None else view.bid_ticks - bid,
            None if ask is None else view.ask_ticks + ask,
            bid_lots,
            ask_lots,
        )


class FixedSpread:
    """What the compiled model of that name answers."""

    def __init__(self, delta_ticks):
        self.delta_ticks = delta_ticks

    def quote(self, view):
        mid = view.mid2_ticks / 2
        return Quotes(mid - self.delta_ticks, mid + self.delta_ticks)


@dataclass(frozen=True)
class Case:
    """One input: tapes, models as plain numbers, rules."""

    tapes: tuple[Tape, ...]
    answers: tuple | float  # of a scripted model; a number is the distance of fixed_spread
    fills: tuple
    rules: Rules

    def __repr__(self):
        told = [(told_events(tape), tape.start_us, tape.end_us, tape.meta) for tape in self.tapes]
        return f"Case({told}, {self.answers}, {self.fills}, {self.rules})"

    def _repr_pretty_(self, printer, _cycle):
        printer.text(repr(self))  # what hypothesis prints

    def exchange(self):
        """Return the engine with nothing played, and what its quote model sees."""
        scripted = None if isinstance(self.answers, float) else Scripted(self.answers)
        quotes = scripted or fixed_spread(delta_ticks=self.answers)
        return PaperExchange(quotes, compiled_fills(*self.fills), self.rules), scripted.seen if scripted else []

    def engine(self):
        """Return what the engine's run left, and what its quote model saw."""
        exchange, seen = self.exchange()
        for tape in self.tapes:
            exchange.run(tape)
        return read_journal(exchange.journal()), seen

    def oracle(self):
        """Return what the oracle's run left, and what its quote model saw."""
        quotes = FixedSpread(self.answers) if isinstance(self.answers, float) else Scripted(self.answers)
        played = oracle.play(told_tapes(self.tapes), quotes.quote, plain_fills(*self.fills), self.rules)
        return played, getattr(quotes, "seen", [])


def compiled_fills(name, *params):
    """Return the engine's fill model of that name."""
    if name == "trade_cross":
        strict, share, penetration_ticks = params
        return TradeCross(strict=strict, share=share, penetration_ticks=penetration_ticks)
    pieces, reference, seed = params
    return Poisson(Intensity(pieces, reference), seed)


def plain_fills(name, *params):
    """Return the oracle's."""
    return {"trade_cross": oracle_market.TradeCross, "poisson": oracle_market.Poisson}[name](*params)


def read_journal(journal):
    """Return the engine's journal in the shape of the oracle's."""
    tables = {name: list(map(tuple, getattr(journal, name).tolist())) for name in TABLES}
    return SimpleNamespace(**tables, counters=dict(journal.counters))


def told_events(tape):
    """Return the events of a tape as the oracle reads them."""
    columns = (tape.event_us, tape.kind, tape.event_exch_us, tape.recv_seq, tape.event_id)
    return [
        oracle_market.Event(us, kind, tape.rows(place), exch_us, seq, number)
        for place, (us, kind, exch_us, seq, number) in enumerate(zip(*(c.tolist() for c in columns), strict=True))
    ]


def told_tapes(tapes):
    """Return tapes as the oracle plays them."""
    befores = [None, *tapes[:-1]]
    return [
        (told_events(tape), tape.start_us, tape.end_us, before is not None and tape.continues(before))
        for before, tape in zip(befores, tapes, strict=True)
    ]


# Strategies. An operation is drawn as numbers and read against the book as it then stands, so that any list is a tape.

OPERATION = st.tuples(
    st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, 9]),  # units of time since the one before
    st.sampled_from([0, 0, 0, -1, 1]),  # µs beside them
    st.sampled_from(["depth"] * 5 + ["trade"] * 4 + ["snapshot", "gap", "keyframe"]),
    st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(-1, 3), st.integers(0, 4)), min_size=1, max_size=3),
)
OPERATIONS = st.one_of(st.lists(OPERATION, max_size=6), st.lists(OPERATION, min_size=6, max_size=40))


class Teller:
    """Reads operations into events, never a crossed book; keeps the book."""

    def __init__(self, base_ticks, us):
        self.base, self.us, self.valid = base_ticks, us, False
        self.sides = {1: {}, -1: {}}
        self.events = []

    def price(self, side, offset):
        return max(self.base - side * offset + (side < 0), 1)

    def set(self, levels):
        for side, offset, lots in levels:
            ticks, own = self.price(side, offset), self.sides[side]
            other = [price for price, held in self.sides[-side].items() if held]
            if not lots or not other or (ticks < min(other) if side > 0 else ticks > max(other)):
                own[ticks] = lots
                yield side, ticks, lots

    def tell(self, kind, levels):
        """Append one event, or nothing where it would not make sense."""
        if kind == "snapshot" or (kind == "depth" and not self.valid):
            self.sides, self.valid = {1: {}, -1: {}}, True
            list(self.set([(1, 1, 2), (-1, 1, 2), (1, 2, 1), (-1, 3, 1), *levels]))
            self.events.append((self.us, "snapshot", *self.book()))
        elif kind == "depth":
            rows = list(self.set(levels))
            self.events.append((self.us, "depth", *([row[1:] for row in rows if row[0] == side] for side in (1, -1))))
        elif kind == "trade":
            side, offset, lots = levels[0]
            self.events.append((self.us, "trade", side, self.price(-side, offset), lots + 1))
        elif kind == "gap":
            self.events.append((self.us, "gap"))
            self.valid = False
        elif self.valid:
            self.events.append((self.us, "keyframe"))

    def told_or_snapshot(self):
        """Return the events, at least one."""
        if not self.events:
            self.tell("snapshot", [])
        return self.events

    def book(self):
        return [[level for level in self.sides[side].items() if level[1]] for side in (1, -1)]


def told(teller, operations, unit):
    for units, beside, kind, levels in operations:
        teller.us += max(units * unit + beside, 0)
        after_trade = teller.events and teller.events[-1][1] in ("trade", "gap", "keyframe")
        teller.tell("depth" if kind == "keyframe" and after_trade else kind, levels)


@st.composite
def one_tape(draw, unit):
    """One tape, and the teller of it, who knows the book at its end."""
    teller = Teller(draw(st.sampled_from([100, 100, 100, 2])), BEGIN_US)
    if draw(st.booleans()):
        teller.tell("snapshot", [(1, 0, 1)])
    told(teller, draw(OPERATIONS), unit)
    return Tape.of(TEST, teller.told_or_snapshot()), teller


@st.composite
def windows(draw, unit):
    """A window of a tape, or two that touch; marks are instants of events, the µs behind, and beyond both ends."""
    tape, _ = draw(one_tape(unit))
    marks = [tape.start_us - 1, tape.end_us + 1, tape.end_us + unit, *tape.event_us.tolist()]
    a, b, c = sorted(draw(st.lists(st.sampled_from(marks), min_size=3, max_size=3)))
    return (tape.between(a, b), tape.between(b, c))[: draw(st.integers(1, 2))]


@st.composite
def two_tapes(draw, unit, joined, apart=(0, 1, 3)):
    """Two tapes in a row, and all events; if *joined*, the second begins with the book that the first ends with."""
    first, teller = draw(one_tape(unit))
    events, teller.events = teller.events, []
    teller.us += draw(st.sampled_from(apart)) * unit
    meta = TapeMeta(), TapeMeta()
    if joined and teller.valid:
        teller.events.append((teller.us, "snapshot", *teller.book()))
        meta = TapeMeta(last_update_id=7), TapeMeta(carried_from=7)
    teller.valid = joined and teller.valid
    told(teller, draw(OPERATIONS), unit)
    second = Tape.of(TEST, teller.told_or_snapshot())
    shift = int(first.recv_seq[-1])
    numbers = {"recv_seq": second.recv_seq + shift, "event_id": second.event_id + shift * (second.event_id > 0)}
    return replace(first, meta=meta[0]), replace(second, meta=meta[1], **numbers), [*events, *teller.events]


DISTANCE = st.one_of(st.none(), st.sampled_from([0, 0, 1, 1, 2, -1, 0.5, 1.5]))
LOTS = st.sampled_from([None, None, None, 1, 2, 3, 0])
ANSWERS = st.lists(st.one_of(st.none(), *[st.tuples(DISTANCE, DISTANCE, LOTS, LOTS)] * 9), min_size=1, max_size=6)
QUOTES = st.one_of(ANSWERS.map(tuple), ANSWERS.map(tuple), st.sampled_from([0.5, 1.0, 1.5, 2.0]))


@st.composite
def poisson_pieces(draw, unit):
    """Intensities of about one fill in a few units of time, for ever or in pieces with holes."""
    a = st.sampled_from([0.0, 0.05, 0.2, 1.0, 5.0]).map(lambda per_unit: per_unit * 1e6 / unit)
    k = st.sampled_from([0.01, 0.1, 0.7])
    if draw(st.booleans()):
        return ((0, FOREVER, draw(a), draw(k), draw(a), draw(k), 0.5),)
    pieces, us = [], BEGIN_US - unit
    for hole, length in draw(st.lists(st.tuples(st.sampled_from([0, 0, 0, 3]), st.integers(1, 20)), max_size=5)):
        us += hole * unit
        pieces.append((us, us + length * unit, draw(a), draw(k), draw(a), draw(k), 0.5))
        us += length * unit
    return tuple(pieces) or ((0, FOREVER, draw(a), draw(k), draw(a), draw(k), 0.5),)


def trade_crosses(unit):
    share, penetration_ticks = st.sampled_from([1.0, 1.0, 0.5, 0.3]), st.sampled_from([0, 0, 0, 1, 2])
    return st.tuples(st.just("trade_cross"), st.booleans(), share, penetration_ticks)


def poissons(unit):
    reference = st.sampled_from(["mid", "micro", "best"])
    return st.tuples(st.just("poisson"), poisson_pieces(unit), reference, st.integers(0, 3))


def fill_models(unit):
    return st.one_of(trade_crosses(unit), poissons(unit))


@st.composite
def rules(draw, unit):
    """Rules in which latencies, timers and balances get in each other's way."""

    def span(*units):
        return max(draw(st.sampled_from(units)) * unit + draw(st.sampled_from([0, 0, 0, 1, -1])), 0)

    rich = draw(st.booleans())
    return Rules(
        tick_e8=TEST.tick_e8,
        lot_e8=TEST.lot_e8,
        order_latency_us=span(0, 0, 1, 2, 5),
        cancel_latency_us=span(0, 0, 1, 2, 5),
        requote_us=span(1, 2, 3) or 1,
        ttl_us=span(0, 0, 0, 1, 3, 7),
        refresh_us=span(0, 0, 0, 2, 4),
        state_us=span(1, 3, 10) or 1,
        maker_fee_e8=draw(st.sampled_from([100_000, 0, 50_000, 49_999, -10_000, 30_000_000])),
        enforce_balances=draw(st.sampled_from([True, True, False])),
        start_cash_e8=10**9 if rich else draw(st.sampled_from([0, 99, 1_001, 2_002, 3_500, -500])),
        start_lots=draw(st.sampled_from([5, 100] if rich else [0, 0, 1, 2, -1])),
        quote_lots=draw(st.sampled_from([1, 2, 3, 5])),
        step_lots=draw(st.sampled_from([1, 1, 1, 2, 3])),
        min_notional_e8=draw(st.sampled_from([0, 0, 0, 1_010, 2_050])),
        sigma_window_s=draw(st.sampled_from([1, 2, 3, 40])),
    )


def tapes(unit):
    """One tape, windows of one, or two with or without a seam."""
    one = one_tape(unit).map(lambda told: told[:1])
    two = [two_tapes(unit, joined).map(lambda told: told[:2]) for joined in (True, False)]
    return st.one_of(one, one, windows(unit), *two)


@st.composite
def cases(draw, tapes=tapes, fills=fill_models, units=(1, 3, 100_000, 500_000)):
    """A whole case; a unit of time is a few µs, where latencies are steps, or up to half a second."""
    unit = draw(st.sampled_from(units))
    return Case(draw(tapes(unit)), draw(QUOTES), draw(fills(unit)), draw(rules(unit)))

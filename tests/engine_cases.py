"""Complete engine cases: drawn as plain numbers and run by both the compiled engine and the oracle."""

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

from hypothesis import strategies as st

import engine_draws
import engine_tapes
import oracle
import oracle_fills
from mm import PaperExchange, Quotes, Rules, Tape
from mm.backtest.fills.base import (
    PriceCross,
    QueueBack,
    QueueFront,
    QueueOrders,
    QueueProbLog,
    QueueProbPower,
    TradeCross,
)
from mm.backtest.fills.clustering import Clustering
from mm.backtest.fills.intensity import ClusteredFills, Hybrid, Intensity, Poisson, PredictedFills
from mm.backtest.models import fixed_spread
from mm.backtest.quotes.steps import InventoryBound
from mm.tape.columns import DEPTH, TRADE, ClockReading

TABLES = ("orders", "fills", "state", "mids", "spans", "breaches")


class Near(float):
    """A number that equals another up to rounding errors of summation; NaN equals NaN."""

    def __eq__(self, other):
        return math.isclose(self, other, rel_tol=1e-12) or (math.isnan(self) and math.isnan(other))

    __hash__ = None


class Scripted:
    """A quote model with fixed answers that records its views; distances count from the own best price."""

    def __init__(self, answers):
        self.answers, self.seen = answers, []

    def quote(self, view):
        trade = view.last_trade
        self.seen.append(
            (view.us, view.bid_ticks, view.ask_ticks, view.bid_lots, view.ask_lots, view.mid2_ticks)
            + (view.inventory_lots, view.target_lots, view.most_lots, view.least_lots, view.quote_lots)
            + (f"{view.cash:.14g}", Near(view.sigma_ticks))
            + (view.lots_at(1, view.bid_ticks - 1), view.lots_at(-1, view.ask_ticks + 1))
            + ((trade.us, trade.side, trade.ticks, trade.lots, trade.id) if trade else ())
        )
        answer = self.answers[len(self.seen) % len(self.answers)]
        if answer is None:
            return None
        if isinstance(answer, Several):
            return answer.quotes(view)
        bid, ask, *rest = answer
        return Quotes(
            None if bid is None else view.bid_ticks - bid, None if ask is None else view.ask_ticks + ask, *rest
        )


@dataclass(frozen=True)
class Several:
    """An answer with several prices per side, or with one, and with the time of the next call."""

    bids: tuple  # distances from the best bid with their lots
    asks: tuple
    kinds: tuple[str, str] = ("LIMIT_MAKER", "LIMIT_MAKER")
    again_us: int = 0
    on_best: bool = False
    one: bool = False  # whether only the first level of each side is used

    def quotes(self, view):
        bids = [(view.bid_ticks - away, lots) for away, lots in self.bids]
        asks = [(view.ask_ticks + away, lots) for away, lots in self.asks]
        answer = Quotes(bid_kind=self.kinds[0], ask_kind=self.kinds[1], on_best=self.on_best)
        if self.again_us:
            answer.again_us = view.us + self.again_us
        if self.one:
            (answer.bid_ticks, answer.bid_lots), *_ = bids or [(None, None)]
            (answer.ask_ticks, answer.ask_lots), *_ = asks or [(None, None)]
        else:
            answer.bids, answer.asks = bids, asks
        return answer


class Following(Scripted):
    """A scripted model that also records its fills, and the trades before each call."""

    def __init__(self, answers):
        super().__init__(answers)
        self.prints = []

    def on_fill(self, fill):
        self.seen.append(fill)

    def on_print(self, trade):
        self.prints.append((trade.us, trade.side, trade.ticks, trade.lots, trade.id))

    def quote(self, view):
        answer = super().quote(view)
        self.seen.append(self.prints)
        self.prints = []
        return answer


class FixedSpread:
    """A Python version of the compiled model of the same name."""

    def __init__(self, delta_ticks):
        self.delta_ticks = delta_ticks

    def quote(self, view):
        mid = view.mid2_ticks / 2
        return Quotes(mid - self.delta_ticks, mid + self.delta_ticks)


class Noting:
    """A fill model with given hooks and fixed answers that records its calls."""

    def __init__(self, hooks, answers, seen):
        self.answers, self.seen, self.calls = answers, seen, 0
        for hook in hooks:
            setattr(self, hook, getattr(self, f"note_{hook}"))

    def note(self, hook, order, *shown):
        self.seen.append((hook, order.id, order.side, order.ticks, order.lots, order.live_us, *shown))

    def answer(self):
        self.calls += 1
        return self.answers[self.calls % len(self.answers)]

    def note_on_rest(self, order, book):
        self.note("on_rest", order, *shown(book))

    def note_on_trade(self, order, trade):
        self.note("on_trade", order, trade.us, trade.side, trade.ticks, trade.lots, trade.id)
        return self.answer()

    def note_on_level(self, order, before_lots, after_lots):
        self.note("on_level", order, before_lots, after_lots)

    def note_on_book(self, order, book, elapsed_us):
        self.note("on_book", order, *shown(book), elapsed_us)
        return self.answer()


def shown(book):
    return book.us, book.bid_ticks, book.ask_ticks, book.bid_lots, book.ask_lots, book.mid2_ticks, book.lots_at(1, 99)


@dataclass(frozen=True)
class Case:
    """One case: tapes, models as plain numbers, rules, and actions by hand."""

    tapes: tuple[Tape, ...]
    answers: tuple | float  # answers of a scripted model; a number is the distance of fixed_spread
    fills: tuple
    rules: Rules
    manual: tuple = ()
    to_end: bool = True  # whether tapes run to their ends
    follows: bool = False  # whether the quote model has a hook for fills
    bound: float | None = None  # of the position, in clips

    def __repr__(self):
        tapes = [(oracle_events(tape), tape.start_us, tape.end_us, tape.meta) for tape in self.tapes]
        models = f"{self.answers}, {self.fills}, {self.rules}"
        return f"Case({tapes}, {models}, {self.manual}, {self.to_end}, {self.follows}, {self.bound})"

    def _repr_pretty_(self, printer, _cycle):
        printer.text(repr(self))  # printed by hypothesis

    def exchange(self, **terms):
        """Return a new engine and the lists where its models record their calls; *terms* are further arguments."""
        scripted = None if isinstance(self.answers, float) else self.scripted()
        quotes = scripted or fixed_spread(delta_ticks=self.answers)
        quotes = quotes if self.bound is None else InventoryBound(quotes, q_max=self.bound)
        noted = []
        exchange = PaperExchange(quotes, compiled_fills(*self.fills, seen=noted), self.rules, **terms)
        return exchange, (scripted.seen if scripted else [], noted)

    def scripted(self):
        return Following(self.answers) if self.follows else Scripted(self.answers)

    def engine(self):
        """Run the engine; return its journal, the views of its models and the results of the actions by hand."""
        exchange, seen = self.exchange()
        results = self.play(exchange, self.tapes)
        return read_journal(exchange.journal()), (*seen, results)

    def oracle(self):
        """Run the oracle; return the same."""
        quotes = FixedSpread(self.answers) if isinstance(self.answers, float) else self.scripted()
        noted = []
        follow = [getattr(quotes, hook, None) for hook in ("on_fill", "on_print")]
        backtest = oracle.Backtest(
            quotes.quote, plain_fills(*self.fills, seen=noted), self.rules, *follow, bound=self.bound
        )
        results = self.play(backtest, oracle_tapes(self.tapes))
        return backtest.left(), (getattr(quotes, "seen", []), noted, results)

    def play(self, exchange, tapes):
        """Run the tapes on either, with the actions by hand; return the results of these actions."""
        results = []
        for number, tape in enumerate(tapes):
            exchange.attach(*tape) if isinstance(tape, tuple) else exchange.attach(tape)
            for at, us, (act, *params) in self.manual:
                if at == number:
                    if us is not None:
                        exchange.advance(us)
                    results.append(manual_action(exchange, act, *params))
            if self.to_end:
                exchange.advance(self.tapes[number].end_us)
        return results


def manual_action(exchange, act, *params):
    """Return the result of an action; cancels and amendments apply to the newest open order up to a number."""
    if act == "look":
        return exchange.look() if hasattr(exchange, "look") else None
    if act == "trade":
        return getattr(exchange, "engine", exchange).trade(trades=params[0])
    if act in ("place", "pull", "resume", "kill"):
        return getattr(exchange, act)(*params)
    newest, *rest = params
    return next((number for number in range(newest, 0, -1) if getattr(exchange, act)(number, *rest)), 0)


def compiled_fills(name, *params, seen=None):
    """Return the engine's fill model of that name."""
    builders = {
        "trade_cross": lambda strict, share, through: TradeCross(strict=strict, share=share, penetration_ticks=through),
        "price_cross": lambda through: PriceCross(penetration_ticks=through),
        "poisson": lambda pieces, reference, seed: Poisson(Intensity(pieces, reference), seed),
        "hawkes": lambda pieces, reference, seed, block: ClusteredFills(
            Intensity(pieces, reference), Clustering.of(block), seed
        ),
        "queue_back": QueueBack,
        "queue_front": QueueFront,
        "queue_prob_power": lambda exponent: QueueProbPower(exponent=exponent),
        "queue_prob_log": QueueProbLog,
        "queue_orders": lambda reading: QueueOrders(reading=reading),
        "predicted": lambda folder, _, seed: PredictedFills(predictor=folder, seed=seed),
        "hybrid": lambda models: Hybrid([compiled_fills(*model, seen=seen) for model in models]),
        "users": lambda hooks, answers: Noting(hooks, answers, seen),
    }
    return builders[name](*params)


def plain_fills(name, *params, seen=None):
    """Return the oracle's fill model of that name."""
    builders = {
        "trade_cross": oracle_fills.TradeCross,
        "price_cross": oracle_fills.PriceCross,
        "poisson": oracle_fills.Poisson,
        "hawkes": oracle_fills.Hawkes,
        "queue_back": oracle_fills.QueueBack,
        "queue_front": oracle_fills.QueueFront,
        "queue_prob_power": oracle_fills.QueueProbPower,
        "queue_prob_log": oracle_fills.QueueProbLog,
        "predicted": lambda _, numbers, seed: oracle_fills.Predicted(*numbers, seed),
        "hybrid": lambda models: oracle_fills.Hybrid([plain_fills(*model, seen=seen) for model in models]),
        "users": lambda hooks, answers: oracle_fills.Users(Noting(hooks, answers, seen)),
    }
    return builders[name](*params)


def read_journal(journal):
    """Return the engine's journal in the format of the oracle's."""
    whole = {name: getattr(journal, name) for name in TABLES}
    tables = {name: [] if table is None else list(map(tuple, table.tolist())) for name, table in whole.items()}
    tables["fills"] = [(*row[:6], journal.fill_reasons[row[6]], *row[7:]) for row in tables["fills"]]
    return SimpleNamespace(**tables, counters=dict(journal.counters), killed=journal.killed)


def oracle_events(tape):
    """Return the events of a tape for the oracle."""
    columns = (tape.event_us, tape.kind, tape.event_exch_us, tape.recv_seq, tape.event_id)
    events, late_us = [], 0
    for place, (us, kind, exch_us, seq, number) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        least_us = [reading.least_us for reading in tape.meta.clock if reading.seq < seq]
        if least_us and exch_us and kind in (DEPTH, TRADE):
            late_us = max(us - exch_us - least_us[-1], 0 if kind == DEPTH else late_us)
        events.append(oracle.Event(us, kind, tape.rows(place), exch_us, seq, number, late_us))
    return events


def oracle_tapes(tapes):
    """Return tapes for the oracle."""
    befores = [None, *tapes[:-1]]
    return [
        (oracle_events(tape), tape.start_us, tape.end_us, before is not None and tape.continues(before))
        for before, tape in zip(befores, tapes, strict=True)
    ]


@st.composite
def cases(draw, tapes=engine_tapes.tapes, fills=engine_draws.fill_models, units=(1, 3, 100_000, 500_000)):
    """Draw a case; a unit of time is a few µs, in which latencies are steps, or up to half a second."""
    unit = draw(st.sampled_from(units))
    drawn = [draw(measured(tape, unit)) for tape in draw(tapes(unit))]
    manual = draw(engine_draws.hands(drawn)) if draw(st.booleans()) else ()
    to_end = draw(st.sampled_from([True] * 9 + [False]))
    answers = draw(engine_draws.QUOTES)
    if draw(st.sampled_from([False, False, True])):
        answers = draw(several(unit))
    rules = draw(engine_draws.rules(unit))
    rules = one_level(rules, answers)
    follows, bound = (
        draw(st.sampled_from([False, False, True])),
        draw(st.sampled_from([None, None, None, 0.5, 1, 2, 3])),
    )
    return Case(drawn, answers, draw(fills(unit)), rules, manual, to_end, follows, bound)


@st.composite
def measured(draw, tape, unit):
    """Draw a tape with measurements of the clock, by which its messages are some units of time late."""
    least_us = st.sampled_from([0, 1, unit, -unit, -2 * unit, -5 * unit])
    seqs = draw(st.lists(st.integers(0, len(tape)), max_size=3, unique=True))
    clock = tuple(ClockReading(seq, draw(least_us)) for seq in sorted(seqs))
    return replace(tape, meta=replace(tape.meta, clock=clock))


def one_level(rules, answers):
    """Return rules with one level if the model answers several prices per side."""
    laddered = not isinstance(answers, float) and any(isinstance(one, Several) and not one.one for one in answers)
    return replace(rules, quote_levels=1) if laddered else rules


@st.composite
def several(draw, unit):
    """Draw answers with several prices, with one, with none, and with requested calls."""
    level = st.tuples(st.sampled_from([0, 0, 1, 1, 2, 3, -1, 0.5, 1.5]), st.sampled_from([None, None, 1, 2, 0]))
    side = st.lists(level, max_size=4).map(tuple)
    kind = st.sampled_from(["LIMIT_MAKER"] * 5 + ["LIMIT"])
    again_us = st.sampled_from([0, 0, 0, max(unit // 5, 1), unit, 3 * unit, 7 * unit])
    more = st.builds(Several, side, side, st.tuples(kind, kind), again_us, st.booleans(), st.booleans())
    drawn = st.lists(st.one_of(more, more, more, engine_draws.ANSWER, st.none()), min_size=1, max_size=6)
    return tuple(draw(drawn))

"""The market of a trade that is played again: its engine does what the trade's did, in the same order."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from itertools import islice
from typing import Any

from mm.backtest.as_traded import HEARD, STEP, AsTraded
from mm.backtest.engine.live_feed import FeedEvent, feed_events
from mm.backtest.market_without_us import MarketWithoutUs
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.risk import RiskLimits
from mm.backtest.rules import Rules
from mm.backtest.trading_time import NEVER
from mm.base.user_code import named_hooks
from mm.clock import iso
from mm.errors import Mismatch, UsageError
from mm.tape.tape import Tape

_ASSUMED = frozenset(("order_latency_us", "cancel_latency_us", "latency_seed", "recorded_feed", "feed_us", "feed_why"))
_OF_MARKET = frozenset(("sent", "leaving", "known", "never", "stays", "traded", "moving", "moved", "moved_not"))
_OF_CLOCK = frozenset(
    ("accepted", "rejected", "filled", "closed", "amended", "paid", "set_reached", "pull", "kill", "reduce_only")
)
_OF_TIMING = frozenset(("pull", "resume", "kill", "set_reached", "paid", "transfer", "reduce_only"))


def head_of(rules: Rules) -> dict[str, Any]:
    values = {one.name: getattr(rules, one.name) for one in fields(rules) if one.name not in _ASSUMED}
    plain = {name: value for name, value in values.items() if value is None or isinstance(value, int | float | str)}
    for name in ("latencies", "micro_price", "margin", "hours", "as_traded", "risk"):
        plain.pop(name, None)
    return {"rules": plain, "risk": None if rules.risk is None else asdict(rules.risk)}


def rules_as_traded(traded: AsTraded, known: Rules) -> Rules:
    """Return the rules of a run with the trade's account and instants.

    Raises:
        UsageError: If it has other markets than the trade.
    """
    if known.others.keys() != traded.beside or known.legs.keys() != traded.legs.keys():
        beside, ordered = (", ".join(sorted(names)) or "none" for names in (traded.beside, traded.legs))
        raise UsageError(
            "{as_traded} {}: the trade had {others} {}, with orders in {}; give the same",
            *(traded.path.parent, beside, ordered),
        )
    tapes = {name: feed.first for name, feed in known.others.items()}
    others = {name: feed._replace(tapes=(), opening=feed.first) for name, feed in known.others.items()}
    legs = {name: rules_as_traded(leg, known.legs[name]) for name, leg in traded.legs.items()}
    known = replace(known, others=others, legs=legs)
    risk = None if traded.risk is None else RiskLimits(**traded.risk)
    known = replace(known, recorded_feed=False, feed_us=0, feed_why="as the trade received it")
    known = replace(known, **traded.rules, risk=risk, margin=None, as_traded=replace(traded, tapes=tapes))
    if traded.reported:
        return replace(known, latencies=None)
    # What the account holds beside the run's is not known here: the exchange judged it.
    return replace(known, latencies=traded.latencies(), enforce_balances=False)


class MarketAgain:
    """A market of a trade on an exchange that does again what the trade's engine did, and the markets beside it.

    Attributes:
        now_us: The clock of the trade's engine.
    """

    def __init__(
        self, exchange: PaperExchange, traded: AsTraded, tape: Tape, *, owner: "MarketAgain | None" = None
    ) -> None:
        self.now_us, self._owner = 0, owner
        self._exchange, self._traded, self._tape = exchange, traded, tape
        self._coming, self._fed, self._market = feed_events(tape), 0, MarketWithoutUs()
        exchange.again = self
        exchange.engine.drive(reported=traded.reported)
        self._at = 0  # the next row
        self._legs = dict[str, MarketAgain]()
        for name, leg in exchange.legs.items():
            self._legs[name] = MarketAgain(leg.exchange, traded.legs[name], traded.tapes[name], owner=self)
            leg.exchange.engine.manager.allow = self._legs[name].allow
        self._seen = {name: feed_events(one) for name, one in traded.tapes.items() if name in traded.seen_e8}
        self._unheard, self._told = deque[FeedEvent](), 0  # what a strategy beside it has not seen, and has seen
        self._heard = Counter[str]()

    def actions(self) -> Iterator[tuple[int, bool, Callable[[], None]]]:
        """Yield what is to do in order: its number in the trade, whether it is a step of the engine, and the call.

        Raises:
            Mismatch: If a recorded day has fewer events than the trade was given, or the decisions differ.
        """
        markets = (self, *self._legs.values())
        while (coming := min(markets, key=lambda one: one.number)).number < NEVER:
            yield coming.number, coming.what == STEP, coming.act
        yield NEVER, False, self._end

    @property
    def number(self) -> int:
        """Number of the next row; NEVER without one."""
        rows = self._traded.rows
        return rows[self._at].number if self._at < len(rows) else NEVER

    @property
    def what(self) -> str:
        return self._traded.rows[self._at].what

    def act(self) -> None:
        row = self._traded.rows[self._at]
        self._at += 1
        self._act(*row[1:])

    def allow(self) -> None:
        """Pull or resume the quotes of a leg, as the trade did amid the strategy's call."""
        while self._owner and self.number < self._owner.number and self.what in ("pull", "resume"):
            self.act()

    def _end(self) -> None:
        for one in (self, *self._legs.values()):
            one._exchange.engine.pass_time(one._traded.end_us)

    def _act(self, us: int, events: int, what: str, given: tuple[Any, ...]) -> None:
        exchange, traded = self._exchange, self._traded
        engine = exchange.engine
        while self._fed < events:
            self._feed_next(events)
        if what == STEP:
            self.now_us = max(self.now_us, us)
            with named_hooks:
                engine.step(us)
        elif what == HEARD:
            self._hear(*given)
        elif what in _OF_MARKET:
            if what == "sent" and traded.reported and engine.terms_of(given[0]) != given[1:]:
                raise self._differs(us, given, engine.terms_of(given[0]))
            correction = getattr(self._market, what)(*given)
            self._feed(() if correction is None else (correction,))
        elif traded.reported or what in _OF_TIMING:
            self.now_us = max(self.now_us, us) if what in _OF_CLOCK else self.now_us
            engine.report(us, what, given)
            exchange.funding_e8 += given[0] if what == "paid" else 0

    def _feed_next(self, wanted: int) -> None:
        event = next(self._coming, None)
        if event is None:
            raise self._lacks(self._tape, self._fed, wanted)
        self._feed(self._market.without_us((event,)))
        self._fed += 1

    def _feed(self, events: Sequence[FeedEvent]) -> None:
        for name in self._traded.own_views:
            self._exchange.engine.manager.feed_other(name, events)
        if self._owner is not None:
            self._unheard.extend(events)
        for event in events:
            self.now_us = max(self.now_us, event.us)
            late_us = event.late_us + self.now_us - event.us
            self._exchange.feed((event._replace(us=self.now_us, late_us=late_us),))

    def _hear(self, totals: Mapping[str, int]) -> None:
        for name, total in totals.items():
            if name in self._legs:
                events = self._legs[name]._told_to(total)
            else:
                events = list(islice(self._seen[name], total - self._heard[name]))
                self._heard[name] += len(events)
                if self._heard[name] < total:
                    raise self._lacks(self._traded.tapes[name], self._heard[name], total)
            self._exchange.engine.manager.feed_other(name, events)

    def _told_to(self, total: int) -> list[FeedEvent]:
        while self._told + len(self._unheard) < total:
            self._feed_next(self._fed + 1)
        events = [self._unheard.popleft() for _ in range(total - self._told)]
        self._told = total
        return events

    def _lacks(self, tape: Tape, found: int, wanted: int) -> Mismatch:
        return Mismatch(f"{tape.symbol} {tape.days[0]}: the recorded day has {found} events; the trade had {wanted}")

    def _differs(self, us: int, sent: tuple[int, ...], own: tuple[int, ...] | None) -> Mismatch:
        order_id, *theirs = sent
        told, played = (
            "none" if terms is None else f"{'BUY' if terms[0] > 0 else 'SELL'} {terms[2]} lots at {terms[1]} ticks"
            for terms in (theirs, own)
        )
        return Mismatch(
            "{as_traded}: at {} order {} of the trade is {}, and here {}: the decisions differ from there on; give the "
            "trade's model, knobs and files, or {traded_fills} 0, which plays the fills of a model",
            *(iso(us), order_id, told, played),
        )

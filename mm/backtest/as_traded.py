"""Replays a trade on its recorded day: at the instants at which it acted, with its own fills or a fill model's.

``mm trade`` writes each step of its engine besides the market's events (`mm.live.run.step_log`). With the trade's own
fills the replay repeats its orders row by row; with a fill model it differs from where the model does.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from mm.backtest.engine.live_feed import FeedEvent, feed_events
from mm.backtest.fills.base import FillModel
from mm.backtest.journal import LEGS, ORDER_COLUMNS, Journal
from mm.backtest.latency import Latencies
from mm.backtest.market_without_us import MarketWithoutUs
from mm.backtest.risk import RiskLimits
from mm.backtest.trading_time import NEVER
from mm.base.user_code import named_hooks
from mm.clock import iso
from mm.errors import BrokenFile, DataError, Mismatch, UsageError
from mm.tape.columns import Ints

if TYPE_CHECKING:
    from mm.backtest.engine.paper_exchange import PaperExchange
    from mm.backtest.rules import Rules
    from mm.tape.tape import Tape

STEP, HEARD = "step", "heard"
_ID, _ACTIVE = (ORDER_COLUMNS.index(name) for name in ("order_id", "active_us"))
_ASSUMED = frozenset(("order_latency_us", "cancel_latency_us", "latency_seed", "recorded_feed", "feed_us", "feed_why"))
FILL_REASONS = ("exchange:maker", "exchange:taker")
_OF_MARKET = frozenset(("sent", "leaving", "known", "never", "stays", "traded", "moving", "moved", "moved_not"))
_OF_CLOCK = frozenset(("accepted", "rejected", "filled", "closed", "amended", "paid", "set_reached", "pull", "kill"))
_OF_TIMING = frozenset(("pull", "resume", "kill", "set_reached", "paid", "transfer"))


def steps_name(symbol: str) -> str:
    return f"steps_{symbol}.ndjson"


def head_of(rules: "Rules") -> dict[str, Any]:
    values = {one.name: getattr(rules, one.name) for one in fields(rules) if one.name not in _ASSUMED}
    plain = {name: value for name, value in values.items() if value is None or isinstance(value, int | float | str)}
    for name in ("latencies", "micro_price", "margin", "hours", "as_traded", "risk"):
        plain.pop(name, None)
    return {"rules": plain, "risk": None if rules.risk is None else asdict(rules.risk)}


class TradeFills(FillModel):
    """Fills nothing: the fills are the trade's."""

    name = "as_traded"
    reasons = FILL_REASONS


class Row(NamedTuple):
    """One thing that a trade's engine, or its market without our orders, was given.

    Attributes:
        number: Among the rows of all symbols of the trade, in their order.
        events: Number of events of its market before it.
    """

    number: int
    us: int
    events: int
    what: str
    given: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class AsTraded:
    """The steps of a trade's engine.

    Attributes:
        rows: What it was given, in order.
        grid_e8: Tick and lot, 1e-8.
        seen_e8: Those of the other markets that the strategy saw, by name in OTHERS.
        own_views: Names under which it saw its own market.
        rules, risk: Plain values at the trade's start.
        reported: Whether orders end as in the trade; else a fill model decides, with the trade's latencies.
        legs: The other markets in which the strategy had orders.
        tapes: The days of all others.
    """

    path: Path
    rows_run_id: str
    end_us: int
    grid_e8: tuple[int, int]
    rules: Mapping[str, Any]
    risk: Mapping[str, Any] | None
    reported: bool
    rows: Sequence[Row] = field(repr=False)
    seen_e8: Mapping[str, tuple[int, int]]
    own_views: Sequence[str]
    legs: "Mapping[str, AsTraded]"
    tapes: "Mapping[str, Tape]" = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, *, reported: bool) -> Self:
        try:
            with path.open(encoding="utf-8") as file:
                head = json.loads(next(file))
                rows = [Row(n, us, events, what, tuple(given)) for n, us, events, what, *given in map(json.loads, file)]
            terms = head["rules"], head["risk"]
            if terms[1] is not None:
                terms[1]["widen_bands"] = tuple(map(tuple, terms[1]["widen_bands"]))
            given = head["rows_run_id"], head["end_us"], tuple(head["grid_e8"]), *terms, reported, rows
            seen_e8 = {name: tuple(grid) for name, grid in head["seen_e8"].items()}
        except (OSError, StopIteration, ValueError, LookupError, TypeError) as error:
            raise BrokenFile(f"{path}: not the steps of a trade ({error}); restore the file") from error
        folders = sorted((path.parent / LEGS).glob("*"))
        legs = {one.name: cls.read(steps, reported=reported) for one in folders for steps in one.glob(steps_name("*"))}
        seen_e8 = {name: grid for name, grid in seen_e8.items() if name not in legs and name not in head["own_views"]}
        return cls(path, *given, seen_e8, head["own_views"], legs)

    def of(self, known: "Rules") -> "Rules":
        """Return the rules of a run with the trade's account and instants.

        Raises:
            UsageError: If it has other markets than the trade.
        """
        if known.others.keys() != self.beside or known.legs.keys() != self.legs.keys():
            beside, ordered = (", ".join(sorted(names)) or "none" for names in (self.beside, self.legs))
            raise UsageError(
                "{as_traded} {}: the trade had {others} {}, with orders in {}; give the same",
                *(self.path.parent, beside, ordered),
            )
        tapes = {name: feed.first for name, feed in known.others.items()}
        others = {name: feed._replace(tapes=(), opening=feed.first) for name, feed in known.others.items()}
        legs = {name: leg.of(known.legs[name]) for name, leg in self.legs.items()}
        known = replace(known, others=others, legs=legs)
        risk = None if self.risk is None else RiskLimits(**self.risk)
        known = replace(known, recorded_feed=False, feed_us=0, feed_why="as the trade received it")
        known = replace(known, **self.rules, risk=risk, margin=None, as_traded=replace(self, tapes=tapes))
        if self.reported:
            return replace(known, latencies=None)
        # What the account holds beside the run's is not known here: the exchange judged it.
        return replace(known, latencies=self._latencies(), enforce_balances=False)

    def actions(self, exchange: "PaperExchange", tape: "Tape") -> Iterator[tuple[int, bool, Callable[[], None]]]:
        """What `MarketAgain` does on an exchange that has not played."""
        return MarketAgain(exchange, self, tape).actions()

    @property
    def fills(self) -> TradeFills | None:
        """None: those of a fill model."""
        return TradeFills() if self.reported else None

    @property
    def beside(self) -> Collection[str]:
        return {*self.seen_e8, *self.own_views, *self.legs}

    def received(self, name: str) -> "tuple[str, tuple[int, int], int]":
        """Return the run, grid and end of another market's recorded day."""
        if name in self.legs:
            return self.legs[name].rows_run_id, self.legs[name].grid_e8, self.legs[name].end_us
        return self.rows_run_id, self.seen_e8.get(name, self.grid_e8), self.end_us

    @property
    def accepted_us(self) -> dict[int, int]:
        return {given[0]: us for _, us, _, what, given in self.rows if what == "accepted"}

    def _latencies(self) -> Latencies | None:
        """Latency of each order and cancel by order id; a missing one repeats the previous."""
        begun: dict[tuple[str, int], int] = {}
        took: dict[str, dict[int, int]] = {"sent": {}, "leaving": {}}
        step_us = 0
        for _, us, _, what, given in self.rows:
            if what == STEP:
                step_us = us
            elif what in took:
                begun[what, given[0]] = step_us
            elif what in ("accepted", "rejected", "closed"):
                name = "leaving" if what == "closed" else "sent"
                if (sent_us := begun.pop((name, given[0]), None)) is not None:
                    took[name][given[0]] = us - sent_us
        most = max((max(of, default=0) for of in took.values()), default=0)
        if not took["sent"]:
            return None
        orders, cancels = (_by_id(of, most) for of in (took["sent"], took["leaving"] or took["sent"]))
        return Latencies(orders, cancels, in_order=True)


class MarketAgain:
    """A market of a trade on an exchange that does again what the trade's engine did, and the markets beside it.

    Attributes:
        now_us: The clock of the trade's engine.
    """

    def __init__(
        self, exchange: "PaperExchange", traded: AsTraded, tape: "Tape", *, owner: "MarketAgain | None" = None
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
        """Of the next row; NEVER without one."""
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

    def _lacks(self, tape: "Tape", found: int, wanted: int) -> Mismatch:
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


def _by_id(took: Mapping[int, int], most: int) -> Ints:
    last, found = next(iter(took.values())), list[int]()
    for order_id in range(1, most + 1):
        last = took.get(order_id, last)
        found.append(last)
    return np.array(found, np.int64)


def with_acceptances(journal: Journal, accepted_us: Mapping[int, int]) -> Journal:
    """Let orders rest from the instants at which the exchange accepted them."""
    orders = journal.orders.copy()
    if len(orders):
        known = np.full(int(orders[:, _ID].max()) + 1, journal.counters["last_us"] + 1, np.int64)
        for order_id, us in accepted_us.items():
            if order_id < len(known):
                known[order_id] = us
        named = orders[:, _ID] > 0
        orders[named, _ACTIVE] = known[orders[named, _ID]]
    return replace(journal, orders=orders)


def steps_path(out_root: Path, symbol: str, run: str) -> Path:
    """Return the step log of a trade, given by its folder or RUN_ID.

    Raises:
        DataError: If there is none, or several.
    """
    folders = [Path(run)] if Path(run).is_dir() else sorted((out_root / "trade" / symbol).glob(f"*_{run}"))
    found = [path for folder in folders if (path := folder / steps_name(symbol)).is_file()]
    if len(found) != 1:
        what = "no trade" if not found else f"{len(found)} trades"
        where = out_root / "trade"
        raise DataError("{as_traded} {}: {} of {} with {} below {}", run, what, symbol, steps_name(symbol), where)
    return found[0]

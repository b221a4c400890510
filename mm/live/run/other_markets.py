"""Other markets of a shadow: recorded beside its own, and shown to its strategy in the order of arrival."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mm.cli.task_knobs import Recorder
from mm.clock import US_PER_MS
from mm.errors import UsageError
from mm.instrument import e8
from mm.live.run.live_play import STEP_S, Follower, PaperPlay
from mm.market_data.recording import Recording
from mm.play.knobs import Market, OtherMarkets, Source
from mm.signals.contract import RecordedContract
from mm.signals.other_feed import OtherFeed
from mm.tape.columns import Payment

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.backtest.engine.live_feed import FeedEvent
    from mm.backtest.paper_exchange import PaperExchange
    from mm.dayfolder.contract_rows import ContractRow
    from mm.instrument import Instrument
    from mm.live.run.live_play import TradePlay
    from mm.live.run.live_terms import ShadowTerms
    from mm.market_data.market_events import Subscriber
    from mm.market_data.market_state import MarketState
    from mm.market_data.recording import Parts
    from mm.markets.messages import Funding

FOREVER_US = 1 << 60


def check_seen(others: OtherMarkets, task: str) -> None:
    """UsageError for declarations that a live market cannot follow."""
    for name, one in others.declared().items():
        if "feed_latency_ms" in one:
            raise UsageError(
                f"OTHERS: {name} has feed_latency_ms, and {task} receives it with its own latency; leave it out"
            )


class Place(NamedTuple):
    """Where a market is recorded from and to, and which one it is: ``spot`` or ``usdm``."""

    source: Source
    recorder: Recorder
    market: str


def places_of(
    others: OtherMarkets, own: Place, published: Mapping[str, tuple[str, str]], apart: Collection[str] = ()
) -> dict[str, Place]:
    from mm.cli.recorders import of_market

    places = {}
    for name, one in others.declared().items():
        if name in apart or is_own(one, own):
            continue
        kind, root = one.get("market", own.market), own.source.data_root
        source = Source(symbol=one["symbol"], data_root=type(root)(one.get("data_root") or root))
        given = {key: one[key] for key in ("ws_url", "rest_url") if key in one}
        if kind == own.market:
            places[name] = Place(source, replace(own.recorder, **given, metrics_port=0), kind)
            continue
        if kind in published:
            given = {**dict(zip(("ws_url", "rest_url"), published[kind], strict=True)), **given}
        if len(given) < 2:
            raise UsageError(
                f"OTHERS: {name} is of the market {kind}, of which this venue has no published address; give its "
                f"ws_url and rest_url"
            )
        if source.symbol == own.source.symbol and source.data_root.resolve() == root.resolve():
            raise UsageError(
                "{others}: {} is {} in another market, whose days need a folder of their own; give data_root, another "
                "one than {data_root} {}",
                name,
                source.symbol,
                root,
            )
        places[name] = Place(source, of_market(replace(own.recorder, **given, metrics_port=0), kind), kind)
    return places


def is_own(declared: Mapping[str, Any], own: Place) -> bool:
    elsewhere = {"ws_url", "rest_url", "data_root", "orders"} & declared.keys()
    return (
        declared["symbol"] == own.source.symbol and declared.get("market", own.market) == own.market and not elsewhere
    )


def feeds_of(terms: "Mapping[str, ShadowTerms]", parts: "Mapping[str, Parts]") -> dict[str, OtherFeed]:
    """On the grids of their *terms*, recorded by *parts*."""
    openings = {name: term.opening(Market()) for name, term in terms.items()}
    return {
        name: OtherFeed(opening.instrument, opening=opening, strict_clock=True, told=_told_by(parts[name], terms[name]))
        for name, opening in openings.items()
    }


def _told_by(parts: "Parts", terms: "ShadowTerms") -> "Callable[[], Sequence[ContractRow]]":
    if (streams := parts.contract) is None:
        return tuple
    before = RecordedContract(Path(parts.days.data_root), terms.symbol, (terms.day,))

    def told() -> "list[ContractRow]":
        if not streams.told:
            streams.told.extend(before())
        return streams.told

    return told


class OtherTaker:
    """Keeps events and payments of another market until nothing earlier can still arrive."""

    def __init__(self) -> None:
        self._events: deque[FeedEvent] = deque()
        self._due: deque[Payment] = deque()
        self.settled_us = 0
        self.payments: list[Payment] = []

    def feed(self, events: "Iterable[FeedEvent]") -> None:
        self._events.extend(events)

    def advance(self, until_us: int) -> None:
        """No event up to and including *until_us* will follow."""
        self.settled_us = max(self.settled_us, until_us)

    def until(self, us: int) -> "list[FeedEvent]":
        found = []
        while self._events and self._events[0].us <= us:
            found.append(self._events.popleft())
        return found

    def pay(self, payment: "Payment") -> None:
        self._due.append(payment)
        self.payments.append(payment)

    def paid_until(self, us: int) -> "list[Payment]":
        found = []
        while self._due and self._due[0].us <= us:
            found.append(self._due.popleft())
        return found


class OtherFollower(Follower):
    def __init__(
        self, taker: "OtherTaker | EngineTaker", grid: "Instrument", watch: "Subscriber" = lambda _event: None
    ) -> None:
        super().__init__(taker, grid, watch)
        self._taker = taker
        self._due: list[Funding] = []

    def paid(self, payment: "Funding") -> None:
        self._due.append(payment)

    async def follow(self, market: "MarketState", settled_us: Callable[[], int]) -> None:
        while self._feed is not None:
            await asyncio.sleep(STEP_S)
            until_us = settled_us()
            market.passed(until_us + 1)
            due, self._due = self._due, []
            for one in due:
                self._taker.pay(Payment(until_us, e8(one.rate), e8(one.mark_price), due_us=one.paid_ms * US_PER_MS))
            self._feed.advance(until_us)

    def ended(self) -> None:
        self._taker.advance(FOREVER_US)


class EngineTaker:
    """Passes the events of another market on to the strategy of a trade, at once."""

    def __init__(self, name: str, play: "TradePlay") -> None:
        self._name, self._play = name, play

    def feed(self, events: "Iterable[FeedEvent]") -> None:
        self._play.hear(self._name, tuple(events))

    def advance(self, until_us: int) -> None:
        """A trade acts on what has arrived."""

    def pay(self, payment: "Payment") -> None:
        """A trade has no orders in this market."""


def recordings(
    parts: "Mapping[str, Parts]", followers: "Mapping[str, OtherFollower]", log: "Logger", clock: Callable[[], int]
) -> "list[Recording]":
    return [Recording(replace(part, follower=followers[name]), log, clock) for name, part in parts.items()]


class PairedPlay:
    """A paper play that is played only as far as the events of all markets are known, so that none comes too late."""

    def __init__(self, play: PaperPlay, takers: Mapping[str, OtherTaker], own: Collection[str] = ()) -> None:
        self._own = [takers[name] for name in own]
        for taker in self._own:
            taker.advance(FOREVER_US)
        self.grid, self.played_us = play.grid, 0
        self._play, self._takers = play, takers
        self._waiting: deque[FeedEvent] = deque()

    @property
    def exchange(self) -> "PaperExchange":
        return self._play.exchange

    def feed(self, events: "Iterable[FeedEvent]") -> None:
        events = tuple(events)
        self._waiting.extend(events)
        for taker in self._own:
            taker.feed(events)

    def advance(self, until_us: int) -> None:
        """Advance to *until_us*, or as far as the other markets are known."""
        until_us = min(until_us, *(taker.settled_us for taker in self._takers.values()))
        if until_us <= self.played_us:
            return
        for name, taker in self._takers.items():
            self.exchange.feed_other(name, taker.until(until_us), taker.paid_until(until_us))
        while self._waiting and self._waiting[0].us <= until_us:
            self._play.feed((self._waiting.popleft(),))
        self._play.advance(until_us)
        self.played_us = until_us


async def record_together(own: "Recording", others: "Sequence[Recording]") -> None:
    """Record until the own market's recording ends; one that fails ends all."""
    tasks = [asyncio.create_task(one.run()) for one in others]
    for task in tasks:
        task.add_done_callback(
            lambda done: own.stop("other_market") if not done.cancelled() and done.exception() else None
        )
    try:
        await own.run()
    finally:
        for one in others:
            one.stop(own.reason or "error")
        await asyncio.gather(*tasks)

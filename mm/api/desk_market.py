"""The market of the trading interface: a desk, its clock, and the readers of its book and fills."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Raw

from mm.api.desk import NAMES, Client, Desk, remaining_lots, status_of
from mm.api.messages import NULL, BookMessage, FillEvent, ListedFill, OpenOrder, Side, encode, number
from mm.clock import US_PER_S
from mm.sim.exchange.orders import ExecutionReport, Fill, UserOrder
from mm.sim.wire.pace import Scheduler, WireClock

if TYPE_CHECKING:
    from mm.api.client_log import ClientLog

SIDES: dict[str, int] = {"buy": +1, "sell": -1}
SIDE_NAMES: dict[int, Side] = {+1: "buy", -1: "sell"}
BOOK_LEVELS = 10
MOST_WAITING = 64
"""Maximum number of queued messages of one reader; a reader with more is dropped."""
SHORTEST_S = 0.05
"""Minimum time between two messages of market data, s."""


class FeedReader:
    """A reader of a WebSocket: its queue of messages, of limited length."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._waiting: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)

    def give(self, text: str) -> None:
        if self._waiting.full():
            self.over.set()
        if not self.over.is_set():
            self._waiting.put_nowait(text)

    async def next(self) -> str:
        return await self._waiting.get()


class DeskMarket:
    def __init__(
        self,
        desk: Desk,
        start_us: int,
        *,
        speed: float = 1.0,
        source: str = "",
        preset: str | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.desk, self.source, self.preset, self._seconds = desk, source, preset, seconds
        self.log: ClientLog | None = None
        desk.advance(start_us)
        self.pace = Scheduler(WireClock(start_us, speed, seconds), self._advance)
        self._of_book: set[FeedReader] = set()
        self._of_fills: dict[str, set[FeedReader]] = {}
        self._shown, self._shown_s = -1, -SHORTEST_S
        desk.listen(self._reported)

    async def run(self) -> None:
        """Advance time until cancelled; raises errors of flow and log."""
        await self.pace.run()

    def now(self) -> Desk:
        self.pace.step()
        return self.desk

    @contextmanager
    def reading(self, client: str | None) -> Iterator[FeedReader]:
        """Of a client's fills, or of the book, which it starts with."""
        reader = FeedReader()
        readers = self._of_book if client is None else self._of_fills.setdefault(client, set())
        if client is None:
            if not readers:
                self._shown = self.desk.changes
            reader.give(self.book_text())
        readers.add(reader)
        try:
            yield reader
        finally:
            readers.discard(reader)
            if client is not None and not readers:
                self._of_fills.pop(client, None)

    # ------------------------------------------------------------------ as messages

    def book(self, levels: int = BOOK_LEVELS) -> BookMessage:
        desk = self.desk
        tick_e8, lot_e8 = desk.grid.tick_e8, desk.grid.lot_e8
        (bid, ask), both = desk.best(), all(desk.best())
        bids, asks = (
            [[number(ticks * tick_e8), number(lots * lot_e8)] for ticks, lots in desk.depth(side, levels)]
            for side in (+1, -1)
        )
        return BookMessage(
            mid=number((bid + ask) * tick_e8 * 5, 9) if both else NULL,
            best_bid=number(bid * tick_e8) if bid else NULL,
            best_ask=number(ask * tick_e8) if ask else NULL,
            spread=number((ask - bid) * tick_e8) if both else NULL,
            bids=bids,
            asks=asks,
            timestamp=desk.us / US_PER_S,
        )

    def book_text(self) -> str:
        return encode(self.book()).decode()

    def fill(self, fill: Fill) -> ListedFill:
        return ListedFill(
            order_id=fill.order_id,
            side=SIDE_NAMES[fill.side],
            price=self._price(fill.ticks),
            size=self.size(fill.lots),
            timestamp=fill.us / US_PER_S,
            trade_id=fill.trade_id,
            liquidity="maker" if fill.is_maker else "taker",
            fee=number(fill.fee_e8),
        )

    def order(self, order: UserOrder) -> OpenOrder:
        return OpenOrder(
            order_id=order.order_id,
            side=SIDE_NAMES[order.request.side],
            type=NAMES[order.request.type],
            price=self._price(order.request.ticks),
            size=self.size(order.lots),
            filled=self.size(order.filled_lots),
            remaining=self.size(remaining_lots(order)),
            status=status_of(order),
            timestamp=order.us / US_PER_S,
        )

    def size(self, lots: int) -> Raw:
        return number(lots * self.desk.grid.lot_e8)

    def _price(self, ticks: int) -> Raw:
        return number(ticks * self.desk.grid.tick_e8)

    # ------------------------------------------------------------------ pushed

    def _advance(self, us: int) -> None:
        if self.log and self.log.failure:
            raise self.log.failure
        self.desk.advance(us)
        if self._of_book and self.desk.changes != self._shown:
            now_s = self._seconds()
            if now_s - self._shown_s >= SHORTEST_S:
                self._shown, self._shown_s = self.desk.changes, now_s
                text = self.book_text()
                for reader in self._of_book:
                    reader.give(text)

    def _reported(self, client: Client, event: ExecutionReport) -> None:
        fill, readers = event.fill, self._of_fills.get(client.name)
        if fill is None or not readers:
            return
        pushed = FillEvent(
            order_id=fill.order_id,
            side=SIDE_NAMES[fill.side],
            price=self._price(fill.ticks),
            size=self.size(fill.lots),
            timestamp=fill.us / US_PER_S,
        )
        text = encode(pushed).decode()
        for reader in readers:
            reader.give(text)

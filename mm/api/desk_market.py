"""A desk with its clock, and the readers of its book and fills."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mm.api.client_log import ClientLog
from mm.api.desk import Client, Desk
from mm.api.desk_messages import DeskMessages
from mm.api.messages import encode
from mm.sim.exchange.orders import ExecutionReport
from mm.sim.wire.pace import Scheduler, WireClock

MOST_WAITING = 64
"""Maximum number of queued messages of one reader; a reader with more is dropped."""
SHORTEST_S = 0.05
"""Minimum time between two messages of market data, s."""


class FeedReader:
    """A WebSocket's queue of messages, of limited length."""

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
        self.messages = DeskMessages(desk)
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
        """Yield a reader of a client's fills, or of the book, with which it starts."""
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

    def book_text(self) -> str:
        return encode(self.messages.book()).decode()

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
        text = encode(self.messages.fill_event(fill)).decode()
        for reader in readers:
            reader.give(text)

"""What a recording requests by REST, and when: snapshots, the symbol's filters and status, missing trades."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from mm.clock import now_us
from mm.market_data.backoff import Backoff
from mm.market_data.live_session import LiveSession
from mm.market_data.log import Log
from mm.market_data.snapshot import RestClient, Snapshots
from mm.market_data.trade_backfill import LAST_TRADE
from mm.market_data.venue import Answer

FILL_EVERY_S = 1.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 30.0


@dataclass(frozen=True)
class RestParts:
    """What the requests are made with.

    Attributes:
        symbol: Upper case.
        rest: Sends them.
        snapshots: Fetches snapshots until one bridges.
        info_backoff: Spaces the requests for filters and status.
    """

    symbol: str
    rest: RestClient
    snapshots: Snapshots
    info_backoff: Backoff


class RestTasks:
    """Request by REST what a session needs, again and again; nothing that fails here ends a recording.

    Args:
        session: Needs it, and takes the answers.
        parts: What the requests are made with.
        settled: Returns when all that had arrived over the streams was taken, so that an answer comes after it.
        log: Takes what happens.
        clock: Returns the wall clock, in µs.

    Attributes:
        snapshot_wanted: Set to have the session's need of a snapshot checked.
        status_wanted: Set to have the symbol's filters and status requested.
    """

    def __init__(
        self,
        session: LiveSession,
        parts: RestParts,
        settled: Callable[[], Awaitable[None]],
        log: Log,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.snapshot_wanted, self.status_wanted = asyncio.Event(), asyncio.Event()
        self._session = session
        self._settled = settled
        self._symbol, self._rest, self._snapshots = parts.symbol, parts.rest, parts.snapshots
        self._info_backoff = parts.info_backoff
        self._fill_backoff = Backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        self._log = log
        self._clock = clock

    def work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return the tasks, each without an end."""
        return self._load_snapshots(), self._learn(), self._fill()

    async def last_trade_id(self) -> int | None:
        """Return the id of the last trade at the venue; None where REST does not give it."""
        return self._session.backfill.last_id(await self._rest.trades(self._symbol, LAST_TRADE))

    async def _load_snapshots(self) -> None:
        while True:
            await self.snapshot_wanted.wait()
            await self._snapshots.load(self)
            self.snapshot_wanted.clear()

    async def _learn(self) -> None:
        """Fetch the symbol's filters and status: at the start, in a new day, and after a stall."""
        loop = asyncio.get_running_loop()
        while True:
            self.status_wanted.clear()
            await asyncio.sleep(self._info_backoff.delay(loop.time()))
            answer = await self._rest.exchange_info(self._symbol)
            await self._settled()
            status = self._session.learn(answer)
            if status:
                self._log.info("exchange_info", status=status)
                await self.status_wanted.wait()
            else:
                self._log.warning("exchange_info_failed")

    async def _fill(self) -> None:
        """Fetch missing trades, one request after the other and at most one per second."""
        loop, backfill = asyncio.get_running_loop(), self._session.backfill
        while True:
            await asyncio.sleep(FILL_EVERY_S)
            request = backfill.next_request()
            if request is None:
                continue
            answer = await self._rest.trades(self._symbol, request)
            await self._settled()
            if backfill.next_request() == request:
                rows = self._session.trades_answered(answer)
                self._log.info("trades_filled", rows=rows, status=answer.status)
                if not rows:
                    await asyncio.sleep(self._fill_backoff.delay(loop.time()))

    # Called by `Snapshots`.

    @property
    def wants_snapshot(self) -> bool:
        """Whether updates wait for a book, or the book will soon need a deeper one."""
        return self._session.wants_snapshot or self._session.wants_refresh

    def snapshot_requested(self, at_us: int, attempt: int) -> None:
        """Write that a snapshot is requested."""
        self._session.snapshot_requested(at_us, attempt)

    async def snapshot_answered(self, answer: Answer) -> None:
        """Take the answer."""
        await self._settled()
        if self._session.snapshot_answered(answer):
            self._log.info("snapshot_loaded", epoch_id=self._session.epoch_id)
        elif not self._session.market.book.snapshot_waits:
            self._log.warning("snapshot_failed", cause=answer.cause or "does not bridge", status=answer.status)

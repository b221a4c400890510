"""What a recording asks of REST, and when: snapshots, the symbol's filters and status, trades that are missing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from mm.clock import now_us
from mm.market_data.backfill import LAST_TRADE
from mm.market_data.backoff import Backoff
from mm.market_data.live_session import LiveSession
from mm.market_data.log import Log
from mm.market_data.snapshot import Answer, RestClient, Snapshots

FILL_EVERY_S = 1.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 30.0


class RestDesk:
    """Ask REST for what the session wants, again and again; nothing that fails here ends a recording.

    Args:
        symbol: Upper case.
        rest: Who to ask.
        snapshots: Fetches snapshots until one bridges.
        info_backoff: Spaces the requests for filters and status.
        log: Is told what happens.
        clock: Returns the wall clock, in µs.

    Attributes:
        session: The session; set before anything is asked.
        settled: Returns when all that had arrived over the streams was taken, so that an answer comes behind it.
        snapshot_wanted: Set to have the session's wish for a snapshot looked at.
        status_wanted: Set to have the symbol's filters and status asked for.
    """

    def __init__(
        self,
        symbol: str,
        rest: RestClient,
        snapshots: Snapshots,
        info_backoff: Backoff,
        log: Log,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.session: LiveSession
        self.settled: Callable[[], Coroutine[Any, Any, None]]
        self.snapshot_wanted, self.status_wanted = asyncio.Event(), asyncio.Event()
        self._symbol = symbol
        self._rest = rest
        self._snapshots = snapshots
        self._info_backoff = info_backoff
        self._fill_backoff = Backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        self._log = log
        self._clock = clock

    def work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return the tasks, each without an end."""
        return self._fetch(), self._learn(), self._fill()

    async def _fetch(self) -> None:
        while True:
            await self.snapshot_wanted.wait()
            await self._snapshots.load(self)
            self.snapshot_wanted.clear()

    async def _learn(self) -> None:
        """Fetch the symbol's filters and status: at the start, in a new day, and when a stall wants explaining."""
        loop = asyncio.get_running_loop()
        while True:
            self.status_wanted.clear()
            await asyncio.sleep(self._info_backoff.delay(loop.time()))
            answer = await self._rest.exchange_info(self._symbol)
            await self.settled()
            status = self.session.learn(answer)
            if status:
                self._log.info("exchange_info", status=status)
                await self.status_wanted.wait()
            else:
                self._log.warning("exchange_info_failed")

    async def _fill(self) -> None:
        """Fetch trades that are missing, one request after the other and never in a hurry."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(FILL_EVERY_S)
            question = self.session.fill.question()
            if question is None:
                continue
            session = self.session
            answer = await self._rest.trades(self._symbol, question)
            await self.settled()
            if session is self.session and self.session.fill.question() == question:
                rows = self.session.trades_answered(answer)
                self._log.info("trades_filled", rows=rows, status=answer.status)
                if not rows:
                    await asyncio.sleep(self._fill_backoff.delay(loop.time()))

    async def last_trade_id(self) -> int | None:
        """Return the id of the last trade there was; None where REST does not tell it."""
        answer = await self._rest.trades(self._symbol, LAST_TRADE)
        return self.session.fill.last_id(answer)

    # What the snapshots ask and tell.

    @property
    def wants_snapshot(self) -> bool:
        """Whether updates wait for a book, or the book will soon need a deeper one."""
        return self.session.wants_snapshot or self.session.wants_refresh

    def snapshot_requested(self, at_us: int, attempt: int) -> None:
        """A snapshot is asked for."""
        self.session.snapshot_requested(at_us, attempt)

    async def snapshot_answered(self, answer: Answer) -> None:
        """It came, or it did not."""
        await self.settled()
        before = self.session.epoch_id
        self.session.snapshot_answered(answer)
        if self.session.epoch_id > before:
            self._log.info("snapshot_loaded", epoch_id=self.session.epoch_id)
        elif not self.session.keeper.awaits:
            self._log.warning("snapshot_failed", cause=answer.cause or "does not bridge", status=answer.status)

"""A permanent stream from one address: connections open, get successors, and reopen.

A connection is replaced when old, when the exchange announces a shutdown, and on a suspected stall. The new one opens
first; the old one stays open until the new ids continue its own, or for a bounded time. So nothing is lost if the old
one still works.
"""

import asyncio
from collections.abc import Callable
from time import time_ns

from websockets.exceptions import InvalidStatus

from mm.clock import US_PER_S
from mm.market_data.rate_budget import Backoff, RateBudget, retry_after_s
from mm.market_data.ws_link import CLOSE_TIMEOUT_S, GATHER_S, Inbox, Link, Listener
from mm.markets.messages import Speech

HANDOVER_S = 5.0
LINGER_S = 1.0
POLL_S = 0.05
YOUNGER = 0.1
_SILENT = Speech()
GOOD_S = 1.0
"""Age from which a connection counts as a success; reopening at that age stays within the budget of attempts."""


class WsStream:
    """One address's messages over successive connections.

    Args:
        max_age_s: The second of a pair is replaced a tenth earlier.
        attempts: Budget of connection attempts; None: no limit.
        speech: What is said on each connection.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - most have a default
        self,
        url: str,
        backoffs: list[Backoff],
        max_age_s: float,
        attempts: RateBudget | None = None,
        clock_ns: Callable[[], int] = time_ns,
        gather_s: float = GATHER_S,
        speech: Speech = _SILENT,
    ) -> None:
        self._url = url
        self._speech = speech
        self._backoffs = backoffs
        self._max_age_s = max_age_s
        self._attempts = attempts
        self._inbox = Inbox(clock_ns, gather_s)
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False

    async def run(self, listener: Listener) -> None:
        """Deliver until `stop`; the exceptions of *listener* end the run."""
        if self._stopping:
            return
        self._keepers = [asyncio.create_task(self._keep(slot, listener)) for slot in range(len(self._backoffs))]
        reader = asyncio.create_task(self._inbox.hand_out(listener, lambda: self._stopping))
        try:
            await asyncio.wait({reader, *self._keepers}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (reader, *self._keepers):
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            for task in (reader, *self._keepers):
                task.cancel()
            for link in self._inbox.links:
                link.abort()

    def replace(self, reason: str, *, conn: int | None = None, slot: int | None = None) -> None:
        """Open a connection instead of *conn*, or of all of *slot*, which then close for *reason*."""
        for link, number in self._inbox.numbers.items():
            if number == conn or link.slot == slot:
                link.replace(reason)

    def ask_again(self) -> None:
        """Request the book's snapshot on each connection."""
        for link in self._inbox.numbers:
            link.say(self._speech.again)

    def beaten(self, conn: int) -> None:
        """The last beat on *conn* was answered."""
        for link, number in self._inbox.numbers.items():
            if number == conn:
                link.beaten()

    async def stop(self, reason: str) -> None:
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        for link in self._inbox.links:
            link.close(reason)
        self._inbox.filled.set()
        deadline_s = asyncio.get_running_loop().time() + 2 * CLOSE_TIMEOUT_S
        while self._inbox.links and asyncio.get_running_loop().time() < deadline_s:
            await asyncio.sleep(POLL_S / 10)
        self._inbox.filled.set()

    @property
    def held(self) -> asyncio.Event:
        return self._inbox.held

    def hold_from(self, us: int | None) -> None:
        """Up to 64 MiB wait with their arrival times; beyond that connections are closed."""
        self._inbox.hold_from(us)

    @property
    def unread(self) -> bool:
        return bool(self._inbox.waiting) or any(link.unread for link in self._inbox.links)

    def behind_s(self) -> float:
        """How long (s) the next message has waited."""
        return (self._inbox.clock_ns() // 1_000 - self.reached_us()) / US_PER_S

    def reached_us(self) -> int:
        """Everything up to this instant (µs) was delivered: now, or the next message's arrival."""
        waiting = self._inbox.waiting
        now_us = self._inbox.clock_ns() // 1_000
        return min(now_us, waiting[0][0] if waiting else now_us)

    def settled_us(self) -> int:
        """Everything undelivered or still to arrive has a later stamp than this (µs)."""
        return self.reached_us() - 1

    async def settled(self) -> None:
        last = self._inbox.waiting[-1] if self._inbox.waiting else None
        while self.held.is_set() or (last is not None and self._inbox.waiting and self._inbox.waiting[0][0] <= last[0]):
            await asyncio.sleep(POLL_S if self.held.is_set() else 0)

    async def _keep(self, slot: int, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        old: Link | None = None
        failed = False
        while True:
            link = await self._open(slot, listener, at_once=old is not None and not old.ended and not failed)
            opened_s = loop.time()
            age = loop.call_later(self._max_age_s * (1 - YOUNGER * slot), link.replace, "max_age")
            if old:
                await self._join(link, old, listener)
                failed = link.ended
                if failed:
                    age.cancel()
                    continue
                old.close()
            await link.changed.wait()
            age.cancel()
            if loop.time() - opened_s >= GOOD_S:
                self._backoffs[slot].succeeded()
            old = None if link.ended else link

    async def _join(self, link: Link, old: Link, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        until_s, joined = loop.time() + HANDOVER_S, False
        while loop.time() < until_s and not (link.ended or old.ended):
            await asyncio.sleep(POLL_S)
            number = self._inbox.numbers.get(link)
            if not joined and number and listener.joined(number):
                joined = True
                until_s = min(until_s, loop.time() + LINGER_S)  # for data in transit on the old one

    async def _open(self, slot: int, listener: Listener, *, at_once: bool) -> Link:
        loop, wait_s = asyncio.get_running_loop(), 0.0
        while True:
            pause_s = self._backoffs[slot].delay(loop.time())
            await asyncio.sleep(0.0 if at_once else max(wait_s, pause_s))
            at_once = False
            if self._attempts:
                await self._attempts.granted(1)
            link = Link(self._inbox, self._url, slot)
            self._inbox.links.append(link)
            try:
                await link.open()
            except Exception as error:  # the backstop: no response may end a recording
                self._inbox.links.remove(link)
                wait_s = refused_for_s(error)
                if wait_s and self._attempts:
                    self._attempts.hold_off(wait_s)
                listener.unreachable(f"{type(error).__name__}: {error}")
            except asyncio.CancelledError:
                if not link.announced:
                    self._inbox.links.remove(link)
                raise
            else:
                if self._speech != _SILENT:
                    link.begin(self._speech)
                return link


def refused_for_s(error: Exception) -> float:
    return retry_after_s(error.response.headers.get("Retry-After")) if isinstance(error, InvalidStatus) else 0.0

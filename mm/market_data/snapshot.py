"""The exchange's REST answers: book snapshots and symbol filters, asked for again and again until one can be used.

Nothing here ends a recording. What fails is told to who asked, and the next attempt comes later and later, and never
before the time that the exchange names in ``Retry-After``.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import httpx

from mm.clock import now_us
from mm.market_data.allowance import Allowance
from mm.market_data.backoff import Backoff, retry_after_s
from mm.market_data.binance_spot import BINANCE_SPOT
from mm.market_data.venue import Answer, Request, Venue, with_symbol

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 60.0
REFUSAL_TIMEOUT_S = 5.0
BAD_REQUEST, BANNED, SLOW_DOWN = 400, 418, 429
PATIENT_SHARE = 0.5


class RestClient:
    """Send the requests of one process to one venue, within its budget.

    Args:
        base_url: Base of REST.
        weight: The budget; None keeps it to this process.
        clock: Returns the wall clock, in µs.
        venue: Whose requests they are.

    Attributes:
        venue: As given.
        used_weight: The venue's own count of the last minute's weight, from its last answer; None before.
    """

    def __init__(
        self,
        base_url: str,
        weight: Allowance | None = None,
        clock: Callable[[], int] = now_us,
        venue: Venue = BINANCE_SPOT,
    ) -> None:
        self.venue = venue
        self.used_weight: int | None = None
        self._weight = weight or Allowance(venue.limits.weight, venue.limits.weight_window_s)
        self._clock = clock
        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers=dict(venue.headers),
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    async def depth(self, symbol: str, limit: int) -> Answer:
        """Request the best *limit* levels per side, whose weight `until_depth` has counted."""
        return await self._send(self.venue.depth(symbol, limit))

    async def until_depth(self, symbol: str, limit: int) -> None:
        """Return when *limit* levels may be requested; their weight is then counted."""
        await self._weight.granted(self.venue.depth(symbol, limit).weight)

    async def trades(self, symbol: str, request: Request) -> Answer:
        """Request trades of the past; that can wait, so it leaves half of the weight to snapshots."""
        await self._weight.granted(request.weight, PATIENT_SHARE)
        return await self._send(with_symbol(request, symbol))

    async def exchange_info(self, symbol: str) -> Answer:
        """Request the filters and the status of *symbol*."""
        return await self._get(self.venue.exchange_info(symbol))

    async def time(self) -> Answer:
        """Request the venue's time."""
        return await self._get(self.venue.time())

    async def refusal(self, symbol: str) -> str | None:
        """Return the exchange's words where it does not know *symbol*; None where it does, or does not say at once."""
        try:
            answer = await asyncio.wait_for(self.exchange_info(symbol), REFUSAL_TIMEOUT_S)
        except TimeoutError:
            return None
        if answer.status != BAD_REQUEST:
            return None
        return f"{answer.url} answered {answer.body[:200].decode(errors='replace')}"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _get(self, request: Request) -> Answer:
        await self._weight.granted(request.weight)
        return await self._send(request)

    async def _send(self, request: Request) -> Answer:
        get = self._client.build_request("GET", request.path, params=dict(request.params))
        url = str(get.url)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                response = await self._client.send(get)
        except (httpx.TimeoutException, TimeoutError):
            return Answer(self._clock(), url, None, b"", "timeout")
        except httpx.HTTPError as error:
            return Answer(self._clock(), url, None, b"", f"{type(error).__name__}: {error}")
        status = response.status_code
        self._learn_weight(response)
        cause = None if response.is_success else f"http {status}"
        return Answer(self._clock(), url, status, response.content, cause)

    def _learn_weight(self, response: httpx.Response) -> None:
        """Take the exchange's count of the weight, and leave it alone for as long as it asks for that."""
        used = self.venue.used_weight(response.headers)
        if used is not None:
            self.used_weight = used
            self._weight.told(used)
        if response.status_code in (SLOW_DOWN, BANNED):
            self._weight.hold_off(retry_after_s(response.headers.get("Retry-After")))


class SnapshotDesk(Protocol):
    """What needs snapshots, and says when it has one."""

    @property
    def wants_snapshot(self) -> bool:
        """Whether updates are waiting for a book, or the book will soon need a deeper one."""

    def snapshot_requested(self, at_us: int, attempt: int) -> None:
        """A snapshot is asked for, for the *attempt*-th time in a row."""

    async def snapshot_answered(self, answer: Answer) -> None:
        """It came, or it did not."""


class Snapshots:
    """Fetch snapshots until one bridges.

    Args:
        rest: Who to ask.
        symbol: Upper case.
        limit: Levels a side.
        backoff: Spaces the attempts, also from one need to the next.
        clock: Returns the wall clock, in µs.

    Attributes:
        limit: As given.
    """

    def __init__(
        self, rest: RestClient, symbol: str, limit: int, backoff: Backoff, clock: Callable[[], int] = now_us
    ) -> None:
        self._rest = rest
        self._symbol = symbol
        self.limit = limit
        self._backoff = backoff
        self._clock = clock

    async def load(self, desk: SnapshotDesk) -> None:
        """Give *desk* snapshots for as long as it wants one."""
        attempt = 0
        while desk.wants_snapshot:
            await asyncio.sleep(self._backoff.delay(asyncio.get_running_loop().time()))
            await self._rest.until_depth(self._symbol, self.limit)
            if not desk.wants_snapshot:
                return
            attempt += 1
            desk.snapshot_requested(self._clock(), attempt)
            await desk.snapshot_answered(await self._rest.depth(self._symbol, self.limit))

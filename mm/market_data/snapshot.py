"""The exchange's REST answers: book snapshots and symbol filters, asked for again and again until one can be used.

Nothing here ends a recording. What fails is told to who asked, and the next attempt comes later and later, and never
before the time that the exchange names in ``Retry-After``.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import httpx

from mm.clock import now_us
from mm.market_data.backoff import Backoff, retry_after_s

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 60.0
REFUSAL_TIMEOUT_S = 5.0
BAD_REQUEST, BANNED, SLOW_DOWN = 400, 418, 429


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    Attributes:
        recv_us: When the answer was there, in µs.
        url: What was asked.
        status: HTTP status; None where no answer came.
        body: Its body.
        cause: Why it cannot be used; None where it can.
    """

    recv_us: int
    url: str
    status: int | None
    body: bytes
    cause: str | None


class RestClient:
    """Ask one exchange, and hold back where it wants to be left alone.

    Args:
        base_url: Base of REST.
        clock: Returns the wall clock, in µs.
    """

    def __init__(self, base_url: str, clock: Callable[[], int] = now_us) -> None:
        self._clock = clock
        self._quiet_until_s = 0.0
        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers={"X-MBX-TIME-UNIT": "MICROSECOND"},
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    async def depth(self, symbol: str, limit: int) -> Answer:
        """Ask for the best *limit* levels a side."""
        return await self._get("/api/v3/depth", {"symbol": symbol, "limit": str(limit)})

    async def exchange_info(self, symbol: str) -> Answer:
        """Ask for the filters and the status of *symbol*."""
        return await self._get("/api/v3/exchangeInfo", {"symbol": symbol})

    async def time(self) -> Answer:
        """Ask for the exchange's time."""
        return await self._get("/api/v3/time", {})

    async def refusal(self, symbol: str) -> str | None:
        """Return the exchange's words where it does not know *symbol*; None where it does, or does not say at once."""
        try:
            answer = await asyncio.wait_for(self.exchange_info(symbol), REFUSAL_TIMEOUT_S)
        except TimeoutError:
            return None
        if answer.status != BAD_REQUEST:
            return None
        return f"{answer.url} answered {answer.body[:200].decode(errors='replace')}"

    async def until_welcome(self) -> None:
        """Wait until the exchange takes requests again, where it has asked for a pause."""
        await asyncio.sleep(max(0.0, self._quiet_until_s - asyncio.get_running_loop().time()))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _get(self, path: str, params: dict[str, str]) -> Answer:
        await self.until_welcome()
        request = self._client.build_request("GET", path, params=params)
        url = str(request.url)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                response = await self._client.send(request)
        except (httpx.TimeoutException, TimeoutError):
            return Answer(self._clock(), url, None, b"", "timeout")
        except httpx.HTTPError as error:
            return Answer(self._clock(), url, None, b"", f"{type(error).__name__}: {error}")
        status = response.status_code
        if status in (SLOW_DOWN, BANNED):
            now_s = asyncio.get_running_loop().time()
            self._quiet_until_s = now_s + retry_after_s(response.headers.get("Retry-After"))
        cause = None if response.is_success else f"http {status}"
        return Answer(self._clock(), url, status, response.content, cause)


class SnapshotDesk(Protocol):
    """What needs snapshots, and says when it has one."""

    @property
    def wants_snapshot(self) -> bool:
        """Whether there is no valid book, and updates are waiting for one."""

    def snapshot_requested(self, at_us: int, attempt: int) -> None:
        """A snapshot is asked for, for the *attempt*-th time in a row."""

    def snapshot_answered(self, answer: Answer) -> None:
        """It came, or it did not."""


class Snapshots:
    """Fetch snapshots until one bridges.

    Args:
        rest: Who to ask.
        symbol: Upper case.
        limit: Levels a side.
        backoff: Spaces the attempts, also from one need to the next.
        clock: Returns the wall clock, in µs.
    """

    def __init__(
        self, rest: RestClient, symbol: str, limit: int, backoff: Backoff, clock: Callable[[], int] = now_us
    ) -> None:
        self._rest = rest
        self._symbol = symbol
        self._limit = limit
        self._backoff = backoff
        self._clock = clock

    async def load(self, desk: SnapshotDesk) -> None:
        """Give *desk* snapshots for as long as it wants one."""
        attempt = 0
        while desk.wants_snapshot:
            await asyncio.sleep(self._backoff.delay(asyncio.get_running_loop().time()))
            await self._rest.until_welcome()
            attempt += 1
            desk.snapshot_requested(self._clock(), attempt)
            desk.snapshot_answered(await self._rest.depth(self._symbol, self._limit))

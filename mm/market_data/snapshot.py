"""REST: the client of one venue, and the schedule of a recording's requests."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import msgspec

import mm
from mm.base.waiting import happened
from mm.clock import US_PER_MS, US_PER_S, now_us
from mm.dayfolder.ledger import FUNDING_DOUBT, GRID, NOT_TRADED
from mm.errors import MMError
from mm.market_data.live_session import LiveSession
from mm.market_data.rate_budget import Backoff, RateBudget, retry_after_s
from mm.markets.feed import Feed, feed_of
from mm.markets.funding import FundingState
from mm.markets.messages import Answer, Funding, RestRefusal, RestRequest, trusted, with_symbol
from mm.markets.registry import DEFAULT

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 60.0
REFUSAL_TIMEOUT_S = 5.0
REFUSAL_AGAIN_S = 0.25  # until the exchange is asked again; within the head start of a recording
RECENT_S = 10.0  # lifetime of a response about a symbol
MOST_BODY_BYTES = 32 << 20
_GZIP_OR_ZLIB = 47
KEPT_SNAPSHOTS = 4
"""Number of snapshots for which requests for past trades leave weight."""


class RestClient:
    """Sends the requests of one process to one venue, within its budget (*weight* None: the process's own)."""

    def __init__(
        self,
        base_url: str,
        weight: RateBudget | None = None,
        clock: Callable[[], int] = now_us,
        feed: Feed | None = None,
    ) -> None:
        self.feed = feed = feed or feed_of(DEFAULT)
        self.used_weight: int | None = None
        self._weight = weight or RateBudget(feed.limits.weight, feed.limits.weight_window_s)
        self._clock = clock
        self._kept = 0
        self._info: Answer | None = None
        self._base_url = base_url.rstrip("/")
        self._headers = {"User-Agent": f"mm/{mm.__version__}", "Accept-Encoding": "gzip", **feed.headers}
        self._timeouts = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S).as_dict()
        # No httpx client around it: no cookies, no redirects, no proxy.
        self._transport = httpx.AsyncHTTPTransport(verify=trusted(), trust_env=False)

    async def depth(self, symbol: str, limit: int) -> Answer:
        return await self._send(self.feed.depth(symbol, limit))

    async def until_depth(self, symbol: str, limit: int) -> None:
        weight = self.feed.depth(symbol, limit).weight
        self._kept = KEPT_SNAPSHOTS * weight
        await self._weight.granted(weight)

    async def trades(self, symbol: str, request: RestRequest) -> Answer:
        """Past trades can wait, so the weight of the next snapshots is left."""
        await self._weight.granted(request.weight, self._kept)
        return await self._send(with_symbol(request, symbol))

    async def exchange_info(self, symbol: str) -> Answer:
        return await self._get(self.feed.exchange_info(symbol))

    async def time(self) -> Answer:
        return await self._get(self.feed.time())

    async def refusal(self, symbol: str) -> str | None:
        """The exchange's message if it denies *symbol* twice: a server that has just started may not know it yet."""
        for wait_s in (0.0, REFUSAL_AGAIN_S):
            await asyncio.sleep(wait_s)
            try:
                async with asyncio.timeout(REFUSAL_TIMEOUT_S):
                    answer = await self.exchange_info(symbol)
            except TimeoutError:
                return None
            if not self.feed.refuses_symbol(answer, symbol):
                self._info = None if answer.cause else answer
                return None
        outcome = f"answered {answer.body[:200].decode(errors='replace')}" if answer.cause else "does not list it"
        return f"{answer.url} {outcome}"

    def recent_info(self) -> Answer | None:
        """The response of `refusal` once, if usable and at most `RECENT_S` old."""
        info, self._info = self._info, None
        return info if info and self._clock() - info.recv_us <= RECENT_S * US_PER_S else None

    async def close(self) -> None:
        await self._transport.aclose()

    async def _get(self, request: RestRequest) -> Answer:
        await self._weight.granted(request.weight)
        return await self._send(request)

    async def _send(self, request: RestRequest) -> Answer:
        url = str(httpx.URL(self._base_url + request.path, params=dict(request.params)))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                get = httpx.Request("GET", url, headers=self._headers, extensions={"timeout": self._timeouts})
                response = await self._transport.handle_async_request(get)
                try:
                    self._learn_weight(response)
                    body = await _read(response)
                finally:
                    await response.aclose()
        except (httpx.TimeoutException, TimeoutError):
            return Answer(self._clock(), url, None, b"", "timeout")
        except Exception as error:  # the backstop: no response may end a recording
            return Answer(self._clock(), url, None, b"", f"{type(error).__name__}: {error}")
        cause = None if response.is_success else f"http {response.status_code}"
        return Answer(self._clock(), url, response.status_code, body, cause)

    def _learn_weight(self, response: httpx.Response) -> None:
        used = self.feed.used_weight(response.headers)
        if used is not None:
            self.used_weight = used
            self._weight.used(used)
        if self.feed.refusal(response.status_code) is RestRefusal.HOLDS_OFF:
            self._weight.hold_off(retry_after_s(response.headers.get("Retry-After")) or self.feed.limits.banned_s)


class TooLong(ValueError):
    """A response body longer than any venue's."""


async def _read(response: httpx.Response) -> bytes:
    """Raises TooLong as soon as the body is too long, compressed or not."""
    packed = response.headers.get("Content-Encoding", "identity") != "identity"
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    body = bytearray()
    received = 0
    async for piece in response.aiter_raw():
        received += len(piece)
        body += unpacker.decompress(piece, MOST_BODY_BYTES + 1 - len(body)) if packed else piece
        if max(received, len(body)) > MOST_BODY_BYTES:
            raise TooLong(f"the body has more than {MOST_BODY_BYTES >> 20} MiB")
    if packed and not unpacker.eof:
        raise EOFError(f"the compressed body is truncated after {received} bytes")
    return bytes(body)


FILL_EVERY_S = 1.0
INFO_FIRST_S, INFO_EVERY_S, HALTED_EVERY_S = 1.0, 900.0, 10.0
FUNDING_EVERY_S, LAST_FUNDING_S = 60.0, 2.0
LEAST_PAUSE_S = 1.0
BOOK_WITHIN_S = 5.0
"""Time for a snapshot of the stream to come after it was asked for, else the connections are replaced."""
PRINTS_AFTER_S = 1.0
"""Time from an interruption until past prints are asked for: REST may lag behind the stream."""
MOST_PRINTS_ASKED = 5
"""Number of times that the prints of an interruption are asked for."""
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 30.0


class BookStream(Protocol):
    """The stream, where it has the snapshots."""

    def ask_again(self) -> None: ...

    def replace(self, reason: str, *, slot: int) -> None: ...


@dataclass(frozen=True)
class RestParts:
    symbol: str
    rest: RestClient
    limit: int
    snapshot_backoff: Backoff
    info_backoff: Backoff


class RestTasks:
    """Sends a session's REST requests, repeatedly; no failure here ends a recording.

    Args:
        settled: Returns once everything that arrived on the streams was processed, so that a response comes after it.
    """

    def __init__(
        self,
        session: LiveSession,
        parts: RestParts,
        settled: Callable[[], Awaitable[None]],
        log: "Logger",
        clock: Callable[[], int] = now_us,
        stream: BookStream | None = None,
    ) -> None:
        self._stream = stream if parts.rest.feed.market.rule.in_stream else None
        self.snapshot_wanted, self.status_wanted = asyncio.Event(), asyncio.Event()
        self._session = session
        self._settled = settled
        self._symbol, self._rest, self._limit = parts.symbol, parts.rest, parts.limit
        self._snapshot_backoff, self._info_backoff = parts.snapshot_backoff, parts.info_backoff
        self._grid_reports = 0
        self._task_backoff = Backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        self._fill_backoff = Backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        self._log = log
        self._clock = clock
        self._funding = FundingState(clock() - 86_400 * US_PER_S)
        self._funding_known_us = clock()
        self.paid: Callable[[Funding], None] = lambda _: None

    def work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        feed = self._rest.feed
        paid = (self._note_funding,) if feed.funding() else ()
        fill = self._fill_prints if feed.recent_prints() else self._fill
        return tuple(self._restarted(task) for task in (self._load_snapshots, self._learn, fill, *paid))

    async def _restarted(self, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await task()
            except (OSError, MMError):
                raise
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                self._log.warning("task_failed", task=task.__name__.strip("_"), reason=reason)
                self._session.failed(self._clock(), reason)
                await asyncio.sleep(LEAST_PAUSE_S + self._task_backoff.delay(asyncio.get_running_loop().time()))

    async def last_trade_id(self) -> int | None:
        return self._session.backfill.last_id(await self._rest.trades(self._symbol, self._rest.feed.last_trade()))

    async def _load_snapshots(self) -> None:
        while True:
            await self.snapshot_wanted.wait()
            if self._stream:
                await self._await_book(self._stream)
            else:
                await self.load_snapshot()
            self.snapshot_wanted.clear()

    async def _await_book(self, stream: BookStream) -> None:
        """Ask for the stream's snapshot until there is a book; without one in time, on new connections."""
        loop, attempt = asyncio.get_running_loop(), 0
        while self.needs_snapshot and self._session.market.arbiter.open:
            attempt += 1
            self._log.info("snapshot_asked", attempt=attempt)
            stream.ask_again()
            until_s = loop.time() + BOOK_WITHIN_S
            while self.needs_snapshot and loop.time() < until_s:
                await asyncio.sleep(LEAST_PAUSE_S / 10)
            if self.needs_snapshot:
                self._log.warning("snapshot_failed", cause="no snapshot in the stream", status=None)
                stream.replace("no_snapshot", slot=0)
                stream.replace("no_snapshot", slot=1)
                await asyncio.sleep(BOOK_WITHIN_S)

    async def load_snapshot(self) -> None:
        loop, attempt = asyncio.get_running_loop(), 0
        while self.needs_snapshot:
            await asyncio.sleep(self._snapshot_backoff.delay(loop.time()))
            await self._rest.until_depth(self._symbol, self._limit)
            if not self.needs_snapshot:
                return
            attempt += 1
            losses = self._session.market.book.losses
            self._session.snapshot_requested(self._clock(), attempt)
            answer = await self._rest.depth(self._symbol, self._limit)
            await self._settled()
            if self._answered(answer, losses):
                self._snapshot_backoff.succeeded()

    def _answered(self, answer: Answer, losses: int) -> bool:
        """Return whether the next snapshot may be requested at once."""
        book = self._session.market.book
        overtaken = answer.cause is None and book.losses != losses
        if self._session.snapshot_answered(answer):
            self._log.info("snapshot_loaded", epoch_id=self._session.epoch_id)
        elif not book.snapshot_waits:
            self._log.warning("snapshot_failed", cause=answer.cause or "does not bridge", status=answer.status)
            return overtaken
        return True

    async def _learn(self) -> None:
        """Read status and rules at the start, in a new day, after a stall, every quarter of an hour."""
        loop, failed, pause_s = asyncio.get_running_loop(), False, INFO_FIRST_S
        while True:
            self.status_wanted.clear()
            self._grid_reports = self._session.report.book.anomalies[GRID]
            await asyncio.sleep(self._info_backoff.delay(loop.time()))
            answer = self._rest.recent_info() or await self._rest.exchange_info(self._symbol)
            await self._settled()
            status = self._session.learn(answer)
            if not status:
                if not failed:
                    self._log.warning("exchange_info_failed", cause=answer.cause or "unreadable", status=answer.status)
                failed = True
                continue
            failed = False
            self._info_backoff.succeeded()
            self._log.info("exchange_info", status=status, **self._session.grid)
            pause_s = min(2 * pause_s, INFO_EVERY_S) if self._session.off_grid else INFO_FIRST_S
            every_s = HALTED_EVERY_S if status in NOT_TRADED else INFO_EVERY_S
            await happened(self.status_wanted, pause_s if self._session.off_grid else every_s)

    async def _fill(self) -> None:
        loop, backfill, pause_s = asyncio.get_running_loop(), self._session.backfill, FILL_EVERY_S
        failed = False
        while True:
            await asyncio.sleep(pause_s)
            pause_s = FILL_EVERY_S
            request = backfill.plan.next_request()
            if request is None:
                continue
            answer = await self._rest.trades(self._symbol, request)
            await self._settled()
            if backfill.plan.next_request() == request:
                rows = self._session.trades_answered(answer)
                if rows:
                    self._log.info("trades_filled", rows=rows, status=answer.status)
                    self._fill_backoff.succeeded()
                elif not failed:
                    cause = answer.cause or "none of the missing trades"
                    self._log.warning("trades_not_filled", cause=cause, status=answer.status)
                failed = not rows
                pause_s = 0.0 if rows else FILL_EVERY_S + self._fill_backoff.delay(loop.time())

    async def _fill_prints(self) -> None:
        """After an interruption, ask for recent prints until they reach back to one from before it."""
        loop, asked = asyncio.get_running_loop(), 0
        while True:
            await asyncio.sleep(PRINTS_AFTER_S + (self._fill_backoff.delay(loop.time()) if asked else 0.0))
            hole, request = self._session.prints_hole, self._rest.feed.recent_prints()
            if hole is None or request is None or not self._session.market.arbiter.open:
                continue
            asked += 1
            answer = await self._rest.trades(self._symbol, request)
            await self._settled()
            if answer.cause is None and self._session.prints_answered(answer, hole):
                self._session.end_prints_hole(hole)
                self._log.info("prints_filled", from_us=hole.from_us)
            elif answer.cause is None or asked >= MOST_PRINTS_ASKED:
                self._session.prints_lost(self._clock(), hole)
                self._log.warning("prints_not_filled", cause=answer.cause or "no known print", status=answer.status)
            else:
                continue
            asked = 0
            self._fill_backoff.succeeded()

    async def _note_funding(self) -> None:
        while True:
            await self._ask_funding()
            await asyncio.sleep(FUNDING_EVERY_S)

    async def note_last_funding(self, end_us: int) -> None:
        with suppress(TimeoutError, msgspec.MsgspecError):
            async with asyncio.timeout(LAST_FUNDING_S):
                await self._ask_funding(end_us)
        for doubt in self._funding.unanswered(self._funding_known_us, min(self._clock(), end_us)):
            self._session.event(self._clock(), "anomaly", {"kind": FUNDING_DOUBT, **doubt._asdict()})

    async def _ask_funding(self, end_us: int | None = None) -> None:
        request = self._rest.feed.funding()
        if request is None:
            return
        answer = await self._rest.trades(self._symbol, request)
        await self._settled()
        payments = [] if answer.cause else self._rest.feed.payments(answer.body)
        if answer.cause is None:
            self._funding_known_us = self._clock()
        due = [payment for payment in payments if end_us is None or payment.paid_ms * US_PER_MS < end_us]
        for new in self._funding.new(due):
            payment = await self._with_mark(new)
            self._session.event(self._clock(), "funding", payment._asdict())
            self._log.info("funding", **payment._asdict())
            self.paid(payment)

    async def _with_mark(self, payment: Funding) -> Funding:
        request = None if payment.mark_price else self._rest.feed.mark_price(payment.paid_ms)
        if request is None:
            return payment
        answer = await self._rest.trades(self._symbol, request)
        await self._settled()
        return payment._replace(mark_price="" if answer.cause else self._rest.feed.mark_of(answer.body))

    @property
    def wants_filters(self) -> bool:
        return self._session.report.book.anomalies[GRID] != self._grid_reports

    @property
    def needs_snapshot(self) -> bool:
        return self._session.needs_snapshot or self._session.wants_refresh

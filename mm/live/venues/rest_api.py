"""Signed REST in place of the WebSocket API: the main transport, or the fallback while the other is down."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import httpx
import msgspec

from mm.clock import now_us
from mm.live.venues.binance import WS_ERROR, Signer, WsError, outcome_of, unsigned_query, why_of
from mm.live.venues.codes import STALE_TIMESTAMP
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.requests import NO_ANSWER, NO_CONNECTION, ApiAnswer, Done, Outcome, RequestParams, Route, unsent
from mm.live.venues.ws_api import ANSWER_MARGIN_S, Connect
from mm.market_data.rate_budget import retry_after_s

_CONNECTIONS = 32
_CONNECT_TIMEOUT_S = 3.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The clocks (µs, and monotonic s), and parts that tests replace.

    By default, connections stamp received data with *clock*.
    """

    clock: Callable[[], int] = now_us
    seconds: Callable[[], float] = monotonic
    connect: Connect | None = None
    rest: httpx.AsyncBaseTransport | None = None
    nonce: bytes | None = None
    limits: OrderLimits | None = None


class RestApi:
    def __init__(
        self, url: str, signer: Signer, limits: OrderLimits, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._signer = signer
        self._clock = signer.clock
        self._limits = limits
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(_CONNECTIONS)
        timeout_s = signer.window_ms / 1_000 + ANSWER_MARGIN_S
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"X-MBX-TIME-UNIT": "MICROSECOND"},
            timeout=httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S, pool=timeout_s),
            limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
            trust_env=False,
            verify=_trusted(url),
            transport=transport,
        )

    @property
    def up(self) -> bool:
        return not self._client.is_closed

    def request(self, route: Route, parameters: RequestParams, done: Done) -> int:
        if self._limits.silence_s or not self.up:
            unsent(done, self._clock, "blocked by the exchange" if self.up else "closed")
            return self._clock.timestamp_ms()
        stamped = dict(parameters) if not route.signed else self._signer.stamped(parameters)
        self._limits.sent(route)
        task = asyncio.create_task(self._send(route, stamped, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return int(stamped.get("timestamp", 0))

    async def _send(self, route: Route, stamped: dict[str, str | int], done: Done) -> None:
        sent_us = self._clock.now_us()
        try:
            async with self._free:
                verb, target, headers = self._signed(route, stamped)
                response = await self._client.request(verb, target, headers=headers)
        except _NOT_SENT as error:
            done(self._nothing(Outcome.UNSENT, NO_CONNECTION, error, sent_us))
            return
        except httpx.HTTPError as error:
            done(self._nothing(Outcome.UNKNOWN, NO_ANSWER, error, sent_us))
            return
        answer = self._read(response, sent_us)
        self._limits.headers(response.headers)
        self._limits.answered(answer)
        if answer.code == STALE_TIMESTAMP:
            self._clock.doubted()
        done(answer)

    def _signed(self, route: Route, stamped: dict[str, str | int]) -> tuple[str, str, dict[str, str]]:
        """Orders keep their original timestamp."""
        verb, path = route.verb, route.path
        if not route.signed:
            return verb, f"{path}?{unsigned_query(stamped)}", {}
        if not route.stamped_once:
            stamped["timestamp"] = self._clock.timestamp_ms()
        return verb, f"{path}?{self._signer.query(stamped)}", {"X-MBX-APIKEY": self._signer.credentials.key}

    def _nothing(self, outcome: Outcome, code: int, error: httpx.HTTPError, sent_us: int) -> ApiAnswer:
        us = self._clock.now_us()
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        return ApiAnswer(outcome, us, code=code, message=why, seconds=(us - sent_us) / 1e6)

    def _read(self, response: httpx.Response, sent_us: int) -> ApiAnswer:
        us, status, body = self._clock.now_us(), response.status_code, response.content
        seconds = (us - sent_us) / 1e6
        error = WsError()
        if not response.is_success:
            try:
                error = WS_ERROR.decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                error = WsError(0, f"http {status}")
        retry_s = retry_after_s(response.headers.get("Retry-After"))
        outcome = outcome_of(status, error.code)
        result = body if response.is_success else bytes(error.data)
        if outcome is Outcome.DONE and not _is_json(body):
            outcome, error = Outcome.UNKNOWN, WsError(NO_ANSWER, "the response is truncated")
        why = why_of(error.code, error.msg)
        return ApiAnswer(outcome, us, result, error.code, error.msg, status, retry_s, seconds, why)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()


def _trusted(url: str) -> ssl.SSLContext:
    secure = url.lower().startswith("https:")
    return ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts no authority


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True

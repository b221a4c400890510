"""Measures the latencies to a venue at its public endpoints, without signing or orders."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

import mm
from mm.base.waiting import happened
from mm.clock import US_PER_MS, exchange_us, now_us
from mm.errors import DataError, TryLater, UsageError
from mm.live.knobs import VenueUrls
from mm.live.venues.addresses import untrusted
from mm.market_data.message_latency import RoundTrip, offset_of
from mm.market_data.rate_budget import Backoff, RateBudget, retry_after_s, shared_path
from mm.market_data.ws_stream import WsStream
from mm.markets.binance_spot import BINANCE_SPOT
from mm.markets.messages import Answer, RestRefusal, RestRequest, trusted

STREAMS = ("depth", "trade")
_NEW_CONNECTIONS = 10  # at most
_PAUSE_S = 0.05
_POLL_S = 0.02
_MOST_SHOWN = 120
_TOO_OLD_S = 86_400.0
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of durations; each is one of the values."""

    n: int
    p50_us: int
    p90_us: int
    p99_us: int

    @classmethod
    def of(cls, values_us: Sequence[int]) -> "Quantiles | None":
        if not values_us:
            return None
        ordered, last = sorted(values_us), len(values_us) - 1
        return cls(len(ordered), *(ordered[round(share * last)] for share in (0.5, 0.9, 0.99)))

    def to_json(self) -> dict[str, float]:
        parts = {"p50": self.p50_us, "p90": self.p90_us, "p99": self.p99_us}
        return {"n": self.n, **{name: us / US_PER_MS for name, us in parts.items()}}


@dataclass(slots=True)
class VenueLatency:
    connects: list[int] = field(default_factory=list)
    handshakes: list[int] = field(default_factory=list)
    first_new: list[int] = field(default_factory=list)
    trips: list[RoundTrip] = field(default_factory=list)
    ws_open_us: int | None = None
    delays: dict[str, list[int]] = field(default_factory=lambda: {stream: [] for stream in STREAMS})

    @property
    def best(self) -> RoundTrip:
        best = offset_of(self.trips)
        assert best is not None  # a measurement without a response has raised
        return best

    def drift_us(self) -> int:
        half = (len(self.trips) + 1) // 2
        before, after = offset_of(self.trips[:half]), offset_of(self.trips[half:])
        return after.offset_us - before.offset_us if before and after else 0

    def tables(self) -> dict[str, Quantiles | None]:
        offset_us = self.best.offset_us
        lags = {name: Quantiles.of([us - offset_us for us in found]) for name, found in self.delays.items()}
        return {
            "connect": Quantiles.of(self.connects),
            "tls": Quantiles.of(self.handshakes),
            "first_byte_new": Quantiles.of(self.first_new),
            "first_byte": Quantiles.of([trip.took_us for trip in self.trips]),
            **lags,
        }

    def one_way_us(self) -> int:
        found = Quantiles.of([trip.took_us for trip in self.trips])
        return found.p50_us // 2 if found else 0

    def feed_us(self) -> int | None:
        found = self.tables()["depth"]
        return None if found is None else max(0, found.p50_us)


class _Timed:
    def __init__(self) -> None:
        self._at_ns: dict[str, int] = {}

    async def note(self, name: str, _info: Mapping[str, Any]) -> None:
        self._at_ns[name] = perf_counter_ns()

    def us(self, begin: str, end: str) -> int | None:
        if begin not in self._at_ns or end not in self._at_ns:
            return None
        return (self._at_ns[end] - self._at_ns[begin]) // 1_000


class VenueProbe:
    def __init__(self, urls: VenueUrls, symbol: str, timeout_s: float, clock: Callable[[], int] = now_us) -> None:
        self._urls, self._symbol, self._timeout_s, self._clock = urls, symbol, timeout_s, clock
        self._venue = BINANCE_SPOT
        limits = self._venue.limits
        weight, attempts = shared_path("weight", urlsplit(urls.rest).netloc), urlsplit(urls.streams).netloc
        self._weight = RateBudget(limits.weight, limits.weight_window_s, weight)
        self._attempts = RateBudget(
            limits.connections, limits.connections_window_s, shared_path("connections", attempts)
        )
        self._headers = {"User-Agent": f"mm/{mm.__version__}", **self._venue.headers}
        self._found = VenueLatency()

    async def measure(self, samples: int, longest_s: float) -> VenueLatency:
        """Measure *samples* requests, and as many messages of each stream as fit in *longest_s*.

        Raises UsageError, DataError, SafetyError or TryLater.
        """
        steps = (
            (self._found.connects, "connection.connect_tcp.started", "connection.connect_tcp.complete"),
            (self._found.handshakes, "connection.start_tls.started", "connection.start_tls.complete"),
            (self._found.first_new, *_REQUEST),
        )
        for _ in range(min(samples, _NEW_CONNECTIONS)):
            async with self._transport() as transport:
                timed, _ = await self._ask(transport, self._venue.time())
            for values, begin, end in steps:
                if (took_us := timed.us(begin, end)) is not None:
                    values.append(took_us)
        async with self._transport() as transport:
            _, answer = await self._ask(transport, self._venue.exchange_info(self._symbol))
            if self._venue.refuses_symbol(answer, self._symbol):
                raise UsageError("{symbol} {!r} is not known: {} {}", self._symbol, answer.url, _shown(answer.body))
            await self._ask_times(transport, (samples + 1) // 2)
            await self._listen(samples, longest_s)
        async with self._transport() as transport:  # the kept connection may have been closed meanwhile
            await self._ask(transport, self._venue.time())
            await self._ask_times(transport, samples // 2)
        return self._found

    def _transport(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=trusted(), trust_env=False)

    async def _ask_times(self, transport: httpx.AsyncHTTPTransport, count: int) -> None:
        for _ in range(count):
            timed, answer = await self._ask(transport, self._venue.time())
            took_us = timed.us(*_REQUEST)
            server_us = self._venue.server_time_us(answer.body)
            if server_us is None or took_us is None:
                raise DataError(f"{answer.url} answered {_shown(answer.body)}, not the exchange's time; check REST_URL")
            self._found.trips.append(RoundTrip(took_us, answer.recv_us, server_us))
            await asyncio.sleep(_PAUSE_S)

    async def _ask(self, transport: httpx.AsyncHTTPTransport, request: RestRequest) -> tuple[_Timed, Answer]:
        await self._within_budget(self._weight, request.weight)
        url, timed = str(httpx.URL(self._urls.rest + request.path, params=dict(request.params))), _Timed()
        get = httpx.Request("GET", url, headers=self._headers, extensions={"trace": timed.note})
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await transport.handle_async_request(get)
                at_us = self._clock()
                body = await response.aread()
                await response.aclose()
        except (TimeoutError, httpx.TimeoutException):
            raise TryLater(f"{url} did not answer within {self._timeout_s:g} s; try later, or check REST_URL") from None
        except (httpx.HTTPError, OSError) as error:
            why = str(error) or type(error).__name__
            if isinstance(error.__context__, ssl.SSLError) or "CERTIFICATE_VERIFY_FAILED" in why:
                raise untrusted(url, why) from error
            raise TryLater(f"{url} cannot be reached ({why}); try later, or check REST_URL") from error
        if self._venue.refusal(response.status_code) is RestRefusal.HOLDS_OFF:
            wait_s = retry_after_s(response.headers.get("Retry-After"))
            self._weight.hold_off(wait_s)
            raise TryLater(
                f"{url} answered {response.status_code}: too many requests of this address; try again in "
                f"{max(wait_s, 1):.0f} s"
            )
        answer = Answer(at_us, url, response.status_code, body, None)
        if not self._venue.refuses_symbol(answer, self._symbol):
            _check(answer)
        return timed, answer

    async def _within_budget(self, budget: RateBudget, amount: float) -> None:
        until_s = asyncio.get_running_loop().time() + self._timeout_s
        while (wait_s := budget.spend(amount)) > 0:
            if asyncio.get_running_loop().time() + wait_s > until_s:
                raise TryLater(f"the budget of requests of this machine is used up for {wait_s:.0f} s; try again then")
            await asyncio.sleep(wait_s)

    async def _listen(self, samples: int, longest_s: float) -> None:
        await self._within_budget(self._attempts, 1)
        url = self._venue.stream_url(self._urls.streams, self._symbol, "trade")
        stream = WsStream(url, [Backoff(self._timeout_s, self._timeout_s)], _TOO_OLD_S, gather_s=0.0)
        began_ns, listener = perf_counter_ns(), _Delays(self._found)
        running = asyncio.ensure_future(stream.run(listener))
        try:
            await happened(listener.answered, self._timeout_s)
            if listener.opened_ns is None:
                why = listener.failure or f"no answer within {self._timeout_s:g} s"
                raise TryLater(f"{url} cannot be opened ({why}); try later, or check WS_URL")
            self._found.ws_open_us = (listener.opened_ns - began_ns) // 1_000
            loop = asyncio.get_running_loop()
            until_s = loop.time() + longest_s
            while loop.time() < until_s and not running.done() and not listener.failure:
                if all(len(found) >= samples for found in self._found.delays.values()):
                    break
                await asyncio.sleep(_POLL_S)
            if listener.failure:
                raise TryLater(f"{url} ended ({listener.failure}); try later")
        finally:
            await stream.stop("measured")
            await asyncio.gather(running, return_exceptions=True)
        running.result()


_REQUEST = ("http11.send_request_headers.started", "http11.receive_response_headers.complete")


class _Stamped(msgspec.Struct):
    E: int


class _Framed(msgspec.Struct):
    stream: str
    data: _Stamped


class _Delays:
    def __init__(self, found: VenueLatency) -> None:
        self.answered = asyncio.Event()
        self.opened_ns: int | None = None
        self.failure = ""
        self._found = found
        self._decode = msgspec.json.Decoder(_Framed).decode

    def connected(self, url: str, conn: int, slot: int) -> None:  # noqa: ARG002 - the signature of a listener
        self.opened_ns = perf_counter_ns()
        self.answered.set()

    def message(self, recv_us: int, conn: int, slot: int, raw: bytes) -> None:  # noqa: ARG002
        with suppress(msgspec.MsgspecError):
            framed = self._decode(raw)
            kind = framed.stream.partition("@")[2].partition("@")[0]
            if kind in self._found.delays:
                self._found.delays[kind].append(recv_us - exchange_us(framed.data.E))

    def disconnected(self, conn: int, slot: int, code: int | None, reason: str) -> None:  # noqa: ARG002
        self.failure = self.failure or f"closed by the other side, code {code} {reason}".rstrip()

    def unreachable(self, reason: str) -> None:
        self.failure = reason
        self.answered.set()

    def joined(self, conn: int) -> bool:  # noqa: ARG002
        return True


def _check(answer: Answer) -> None:
    status = answer.status or 0
    if status >= _SERVER_ERROR:
        raise TryLater(f"{answer.url} answered {status}: the exchange has a fault; try later")
    if not httpx.codes.is_success(status):
        raise DataError(f"{answer.url} answered {status}: {_shown(answer.body)}; check REST_URL")


def _shown(body: bytes) -> str:
    return " ".join(body[:_MOST_SHOWN].decode(errors="replace").split()) or "nothing"

"""The WebSocket API: one connection, logged on, subscribed, and kept open until `close`."""

import asyncio
from collections.abc import Callable
from ssl import SSLCertVerificationError
from typing import NamedTuple

import msgspec
from websockets.exceptions import WebSocketException

from mm.clock import exchange_us, now_us
from mm.errors import MMError
from mm.live.venues.addresses import untrusted
from mm.live.venues.binance import EVENT_HEAD, RETRY_DATA, WS_MESSAGE, Signer, WsMessage, outcome_of, time_us, why_of
from mm.live.venues.codes import MISSING_PARAMETER, NOT_AUTHORIZED, STALE_TIMESTAMP
from mm.live.venues.keys import key_refused
from mm.live.venues.refusals import Why
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.requests import (
    NO_ANSWER,
    ApiAnswer,
    ApiWatcher,
    Done,
    Outcome,
    RequestParams,
    Route,
    answer_of,
    measure,
    unsent,
)
from mm.market_data.rate_budget import Backoff
from mm.market_data.ws_link import Inbox, Link
from mm.market_data.ws_stream import refused_for_s

ANSWER_MARGIN_S = 1.0
IDLE_S = 5.0
MOST_EXPIRIES = 3
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.25, 10.0


TERMINATED, SHUTDOWN = "eventStreamTerminated", "serverShutdown"


class LogOn(NamedTuple):
    """The requests with which a connection begins.

    Attributes:
        time: Asks for the exchange's time; None if the connection does not tell it.
        session: Logs on with an Ed25519 key; later requests are not signed.
        subscribe: Subscribes a session to the account's events; None if they come over another connection.
    """

    time: Route | None
    session: Route
    subscribe: Route | None
    subscribe_signed: Route | None
    probe: Route | None = None
    unit: str = "timeUnit=MICROSECOND"


Take = Callable[[bytes, int], None]
"""Called with a message and its arrival, in µs."""
Connect = Callable[[str, Take], Link]
"""Creates a connection to an address, whose messages are passed to the callable; it is not open yet."""


class _Mailbox(Inbox):
    """Passes on each message in the socket's callback."""

    def __init__(self, take: Take, clock_us: Callable[[], int]) -> None:
        super().__init__(lambda: 1_000 * clock_us())
        self._take = take

    def put(self, link: Link, raws: list[bytes], recv_us: int) -> bool:  # noqa: ARG002 - the base's signature
        for raw in raws:
            self._take(raw, recv_us)
        return True

    def opened_or_ended(self, link: Link) -> None: ...


def linked(url: str, take: Take, clock_us: Callable[[], int] = now_us) -> Link:
    return Link(_Mailbox(take, clock_us), url, 0)


class _Waiting(NamedTuple):
    """A request without a response yet, due by *due_s* of the event loop."""

    route: Route
    done: Done
    sent_us: int
    due_s: float


class WsApi:
    """*failure* is why there will be no connection: the key is rejected, or the exchange was never trusted."""

    def __init__(
        self,
        url: str,
        signer: Signer,
        limits: OrderLimits,
        watcher: ApiWatcher,
        log_on: LogOn,
        connect: Connect = linked,
    ) -> None:
        self.up = False
        self.failure: MMError | None = None
        self._expiries = 0  # connections that ended since the key was refused, without an accepted order
        self._was_up = False
        self.received_us = 0
        self.trouble = "not connected"
        self._url = f"{url}{'&' if '?' in url else '?'}{log_on.unit}" if log_on.unit else url
        self._signer = signer
        self._clock = signer.clock
        self._limits = limits
        self._watcher, self._routes, self._connect = watcher, log_on, connect
        self._link: Link | None = None
        self._given_up = ""
        self._session = False  # whether it is logged on
        self._closing = False
        self._waiting: dict[int, _Waiting] = {}  # oldest first
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0
        self._encoder = msgspec.json.Encoder()
        self._timeout_s = signer.window_ms / 1_000 + ANSWER_MARGIN_S
        self._backoff = Backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)

    @property
    def unread(self) -> bool:
        return self._link is not None and self._link.unread

    # requests

    def request(self, route: Route, parameters: RequestParams, done: Done) -> int:
        """Return the timestamp, in ms of the exchange; *done* gets the answer later."""
        if not self.up or self._link is None or self._limits.silence_s:
            unsent(done, self._clock, "blocked by the exchange" if self.up else "the WebSocket API is not connected")
            return self._clock.timestamp_ms()
        return self._request(route, parameters, done)

    def _request(self, route: Route, parameters: RequestParams, done: Done) -> int:
        assert self._link
        if not route.signed:
            named = dict(parameters)
        else:
            named = self._signer.stamped(parameters) if self._session else self._signer.signed(parameters)
        self._count += 1
        sent_us = self._clock.now_us()
        try:
            self._link.send(self._encoder.encode({"id": self._count, "method": route.name, "params": named}))
        except WebSocketException as error:  # it is closing: nothing was written
            unsent(done, self._clock, str(error))
        else:
            due_s = asyncio.get_running_loop().time() + self._timeout_s
            self._waiting[self._count] = _Waiting(route, done, sent_us, due_s)
            self._watch_oldest()
        self._limits.sent(route)
        return int(named.get("timestamp", 0))

    def _watch_oldest(self) -> None:
        if self._timer is None and self._waiting:
            due_s = next(iter(self._waiting.values())).due_s
            self._timer = asyncio.get_running_loop().call_at(due_s, self._give_up)

    def _give_up(self) -> None:
        self._timer, now_s = None, asyncio.get_running_loop().time()
        try:
            while self._waiting:
                number, waiting = next(iter(self._waiting.items()))
                if waiting.due_s > now_s:
                    break
                del self._waiting[number]
                silent = self.received_us < waiting.sent_us
                waiting.done(self._nothing(waiting, f"no answer to {waiting.route.name} within {self._timeout_s:g} s"))
                if silent:
                    self._drop(f"no answer within {self._timeout_s:g} s")
        finally:
            self._watch_oldest()

    def _nothing(self, waiting: _Waiting, why: str) -> ApiAnswer:
        us = self._clock.now_us()
        return ApiAnswer(Outcome.UNKNOWN, us, code=NO_ANSWER, message=why, seconds=(us - waiting.sent_us) / 1e6)

    # messages

    def _receive(self, raw: bytes, us: int) -> None:
        self.received_us = us
        if self._closing:
            return
        try:
            message = WS_MESSAGE.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return  # its request becomes UNKNOWN, and the next reconcile finds the content of an event
        if message.event:
            self._event(bytes(message.event), us)
            return
        self._limits.counted(message.rateLimits)
        number = message.id if isinstance(message.id, int) else self._revoked(message)
        waiting = None if number is None else self._waiting.pop(number, None)
        if waiting is None:
            return
        answer = _answer(message, us, waiting.sent_us)
        self._limits.answered(answer)
        if answer.outcome is Outcome.DONE and waiting.route.counted:
            self._expiries = 0
        of_key = waiting.route.signed and _expired(answer)
        if of_key and self.up and not self._given_up:  # the next connection finds out whether the key is still valid
            self._expiries += 1
            if self._expiries == MOST_EXPIRIES:  # it is, but orders are refused again and again
                self._refused(waiting.route.name, answer)
            self._drop(f"the log-on has expired: {answer.code} {answer.message}")
        if answer.code == STALE_TIMESTAMP:
            self._clock.doubted()
        waiting.done(answer)

    def _revoked(self, message: WsMessage) -> int | None:
        """Read the answer without an id to a session whose key is no longer valid."""
        error = message.error
        if error is None or error.code not in NOT_AUTHORIZED:
            return None
        if not self.up:
            return next(iter(self._waiting), None)
        self._drop(f"the exchange has revoked the session: {error.code} {error.msg}")
        return None

    def _event(self, body: bytes, us: int) -> None:
        try:
            kind = EVENT_HEAD.decode(body).e
        except msgspec.MsgspecError:
            return
        if kind == TERMINATED and self.up:
            self._drop("the exchange has ended the user data stream")
        elif kind == SHUTDOWN and self._link:
            self._given_up = "the exchange announced its shutdown"
            self._link.close(self._given_up)
        else:
            self._watcher.event(kind, body, us)

    # the connection

    async def run(self) -> None:
        """Run until `close`, or until the exchange rejects the key."""
        loop = asyncio.get_running_loop()
        while not self._closing and self.failure is None:
            await asyncio.sleep(max(self._backoff.delay(loop.time()), self._limits.silence_s))
            await self._limits.may_connect()
            if self._closing:
                return
            self.trouble = await self._once()
            self._watcher.disconnected(self.trouble)

    async def _once(self) -> str:
        link, self._given_up = self._connect(self._url, self._receive), ""
        self._link = link
        idle: asyncio.Task[None] | None = None
        try:
            await link.open()
            why = await self._log_on()
            if why:
                return why
            self.up = self._was_up = True
            self._watcher.connected()
            idle = asyncio.create_task(self._keep_alive(link))
            await link.changed.wait()
            return self._given_up or link.ending()[1]
        except (OSError, WebSocketException) as error:
            if isinstance(error, SSLCertVerificationError) and not self._was_up:
                self.failure = untrusted(self._url, error.verify_message)
            self._limits.not_connected(refused_for_s(error))
            return f"{self._url.partition('?')[0]} cannot be reached: {error or type(error).__name__}"
        finally:
            if idle:
                idle.cancel()
            self._ended(link)

    def _ended(self, link: Link) -> None:
        link.abort()
        self.up = self._session = False
        self._link = None
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            one.done(self._nothing(one, f"the connection ended before {one.route.name} was answered"))

    async def _log_on(self) -> str:
        await self._ask_time()
        subscribe = self._routes.subscribe_signed
        if self._signer.credentials.kind == "ED25519":
            answer = await answer_of(self._request, (self._routes.session, {}))
            if answer.outcome is not Outcome.DONE:
                return self._refused(self._routes.session.name, answer)
            self._session, subscribe = True, self._routes.subscribe
        if subscribe is None:
            return ""
        answer = await answer_of(self._request, (subscribe, {}))
        return "" if answer.outcome is Outcome.DONE else self._refused("userDataStream.subscribe", answer)

    def _refused(self, what: str, answer: ApiAnswer) -> str:
        why = f"{what}: {answer.code} {answer.message}"
        if answer.why is Why.KEY:
            self.failure = key_refused(self._signer.credentials, why)
        return why

    async def _keep_alive(self, link: Link) -> None:
        """Ask after a period without data, which detects dead connections and measures the clock."""
        while True:
            await asyncio.sleep(IDLE_S)
            if self._clock.now_us() - self.received_us >= IDLE_S * 1e6 and link is self._link:
                await self._ask_time()
                if self._routes.probe:
                    await answer_of(self._request, (self._routes.probe, {}))

    async def _ask_time(self) -> None:
        if self._routes.time:
            await measure(self._request, self._clock, (self._routes.time, {}), time_us)

    def _drop(self, why: str) -> None:
        if self._link:
            self._given_up = self._given_up or why
            self._link.abort()

    def close(self) -> None:
        self._closing = True
        if self._link:
            self._link.close("closed by us")


def _expired(answer: ApiAnswer) -> bool:
    return answer.why is Why.KEY or (answer.code == MISSING_PARAMETER and "apiKey" in answer.message)


def _answer(body: WsMessage, us: int, sent_us: int) -> ApiAnswer:
    seconds, error = (us - sent_us) / 1e6, body.error
    if error is None:
        return ApiAnswer(outcome_of(body.status, 0), us, bytes(body.result), status=body.status, seconds=seconds)
    retry_s = 0.0
    if b"retryAfter" in bytes(error.data):
        data = RETRY_DATA.decode(error.data)
        retry_s = max(0.0, (exchange_us(data.retryAfter) - exchange_us(data.serverTime)) / 1e6)
    return ApiAnswer(
        outcome_of(body.status, error.code),
        us,
        bytes(error.data),
        error.code,
        error.msg,
        body.status,
        retry_s,
        seconds,
        why_of(error.code, error.msg),
    )

"""The connections of a USD-M account: the WebSocket API for orders, and a stream of events by a listen key."""

import asyncio
from collections.abc import Callable
from ssl import SSLCertVerificationError

import msgspec
from websockets.exceptions import WebSocketException

from mm.errors import MMError
from mm.live.venues.addresses import untrusted
from mm.live.venues.binance import EVENT_HEAD, Signer
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.requests import ApiAnswer, ApiWatcher, Call, Done, Outcome, RequestParams, Route, answer_of
from mm.live.venues.rest_api import RestApi
from mm.live.venues.usdm_messages import EXPIRED_KEY, ListenKey
from mm.live.venues.ws_api import Connect, LogOn, WsApi
from mm.market_data.rate_budget import Backoff
from mm.market_data.ws_link import Link
from mm.market_data.ws_stream import refused_for_s

START_STREAM = Route("userDataStream.start", "", "", 5, signed=False)
PING_STREAM = Route("userDataStream.ping", "", "", 1, signed=False)
LOG_ON = LogOn(
    time=None,  # REST tells it
    session=Route("session.logon", "", "", 2),
    subscribe=None,
    subscribe_signed=None,
    probe=Route("session.status", "", "", 2, signed=False),
    unit="",
)
KEPT_S = 1_800.0
"""Time between two requests that keep a listen key alive; it lives for an hour."""
SILENT_S = 5.0
"""Time in which the stream must tell of an order that was placed, s: else it is taken to be dead."""
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.25, 10.0


class UsdmConnection:
    """Both connections, each reconnected until `close`: an `OrderConnection`.

    *kept_s* is the time between two requests that keep a key alive.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it connects
        self,
        urls: tuple[str, str],
        signer: Signer,
        limits: OrderLimits,
        rest: RestApi,
        watcher: ApiWatcher,
        connect: Connect,
        kept_s: float = KEPT_S,
    ) -> None:
        self.listening, self.keys = False, 0
        self._base, self._signer, self._limits, self._rest = urls[1], signer, limits, rest
        self._watcher, self._connect, self._kept_s = watcher, connect, kept_s
        self._api = WsApi(urls[0], signer, limits, _ApiWatcher(self._changed, self._lost), LOG_ON, connect)
        self._key = self._refused = self._given_up = ""
        self._told = self._closing = self._was_up = False
        self._heard_us = 0
        self._link: Link | None = None
        self._api_up = asyncio.Event()
        self._untrusted: MMError | None = None
        self._backoff = Backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)

    # an OrderConnection

    @property
    def up(self) -> bool:
        return self._api.up and self.listening

    @property
    def failure(self) -> MMError | None:
        return self._api.failure or self._untrusted

    @property
    def trouble(self) -> str:
        return self._api.trouble if not self._api.up else self._refused or "the account's events do not arrive"

    @property
    def unread(self) -> bool:
        return self._api.unread or (self._link is not None and self._link.unread)

    def request(self, route: Route, parameters: RequestParams, done: Done) -> int:
        if route.by_rest:
            return self._rest.request(route, parameters, done)
        return self._api.request(route, parameters, self._watched(done) if route.counted else done)

    async def run(self) -> None:
        listening = asyncio.create_task(self._listen())
        try:
            await self._api.run()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def close(self) -> None:
        self._closing = True
        self._api.close()
        if self._link:
            self._link.close("closed by us")

    # what has changed

    def _changed(self) -> None:
        if self._api.up:
            self._api_up.set()
        if self.up and not self._told:
            self._told = self._was_up = True
            self._watcher.connected()

    def _lost(self, why: str) -> None:
        if not self._api.up:
            self._api_up.clear()
        self._told = False
        self._watcher.disconnected(why)

    # the stream

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing:
            await asyncio.sleep(max(self._backoff.delay(loop.time()), self._limits.silence_s))
            await self._api_up.wait()
            self._refused = await self._ask_key()
            if not self._refused:
                await self._limits.may_connect()
                self._refused = await self._once()
            self._key = ""
            if not self._closing:
                self._lost(self._refused)

    async def _ask_key(self) -> str:
        answer = await self._ask(START_STREAM)
        try:
            self._key = _key_of(answer)
        except msgspec.MsgspecError:
            return f"{START_STREAM.name}: {answer.code} {answer.message}".rstrip()
        self.keys += 1
        return ""

    async def _ask(self, route: Route) -> ApiAnswer:
        call: Call = (route, {"apiKey": self._signer.credentials.key})
        return await answer_of(self._api.request, call)

    async def _once(self) -> str:
        url = f"{self._base}/private/ws/{self._key}"
        shown = f"{self._base}/private/ws"
        link, self._given_up = self._connect(url, self._receive), ""
        self._link = link
        keeping: asyncio.Task[None] | None = None
        try:
            await link.open()
            self.listening, self._heard_us = True, self._signer.clock.now_us()
            keeping = asyncio.create_task(self._keep(link))
            self._changed()
            await link.changed.wait()
            return f"the stream of the account's events ended: {self._given_up or link.ending()[1]}"
        except (OSError, WebSocketException) as error:
            if isinstance(error, SSLCertVerificationError) and not self._was_up:
                self._untrusted = untrusted(shown, error.verify_message)
            self._limits.not_connected(refused_for_s(error))
            return f"{shown} cannot be reached: {error or type(error).__name__}"
        finally:
            if keeping:
                keeping.cancel()
            self.listening, self._link = False, None
            link.abort()

    async def _keep(self, link: Link) -> None:
        """End the stream if the exchange no longer knows the key."""
        while True:
            await asyncio.sleep(self._kept_s)
            answer = await self._ask(PING_STREAM)
            if answer.outcome is Outcome.REFUSED:
                self._end(link, f"the listen key is not known: {answer.code} {answer.message}")

    def _receive(self, raw: bytes, us: int) -> None:
        self._heard_us = us
        try:
            kind = EVENT_HEAD.decode(raw).e
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return  # the next reconcile finds its content
        if kind == EXPIRED_KEY:
            if self._link:
                self._end(self._link, "the listen key has expired")
        elif kind and not self._closing:
            self._watcher.event(kind, raw, us)

    def _end(self, link: Link, why: str) -> None:
        self._given_up = self._given_up or why
        link.abort()

    def _watched(self, done: Done) -> Done:
        def answered(answer: ApiAnswer) -> None:
            if answer.outcome is Outcome.DONE:
                link, sent_us = self._link, answer.us - round(answer.seconds * 1e6)
                asyncio.get_running_loop().call_later(SILENT_S, self._heard_since, link, sent_us)
            done(answer)

        return answered

    def _heard_since(self, link: Link | None, us: int) -> None:
        if link is not None and link is self._link and self._heard_us < us:
            self._end(link, f"it did not tell of an order within {SILENT_S:g} s")


class _ApiWatcher:
    """Hears the WebSocket API, which carries no account events."""

    def __init__(self, changed: Callable[[], None], lost: Callable[[str], None]) -> None:
        self._changed, self._lost = changed, lost

    def connected(self) -> None:
        self._changed()

    def disconnected(self, why: str) -> None:
        self._lost(why)

    def event(self, kind: str, body: bytes, us: int) -> None:
        """The events of the account come by the stream."""


def _key_of(answer: ApiAnswer) -> str:
    return msgspec.json.decode(answer.result if answer.outcome is Outcome.DONE else b"", type=ListenKey).listenKey

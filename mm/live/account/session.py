"""The session of an account at an exchange: one connection pair, clock, limits and balances for all of its symbols."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import msgspec

from mm.base.doors import is_loopback
from mm.clock import US_PER_S
from mm.errors import MMError
from mm.live.account.account_check import AccountCheck
from mm.live.account.background import BackgroundTasks
from mm.live.account.holdings import Holdings
from mm.live.knobs import OrderAccess, VenueUrls
from mm.live.venues.balances import Transfer
from mm.live.venues.keys import Credentials, key_refused
from mm.live.venues.positions import MarginCalled, SetupChanged, StopSeen
from mm.live.venues.requests import ExchangeClock, OrderApi, measure
from mm.live.venues.rest_api import Surroundings
from mm.live.venues.venue import AccountVenue, BalancesEvent, OrderEvent, Wiring

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

_REFUSED_FOR_GOOD = 2  # refusals of the key in succession, since a single one may be a fault of the exchange's


class SessionMember(Protocol):
    @property
    def symbol(self) -> str: ...

    @property
    def check(self) -> AccountCheck | None: ...

    def connected(self) -> None: ...

    def disconnected(self, why: str) -> None: ...

    def events_lost(self, kind: str, why: str) -> None: ...

    def order_event(self, found: OrderEvent, us: int) -> None: ...

    def payments_due(self, us: int) -> None: ...

    def margin_called(self, found: MarginCalled) -> None: ...

    def stop_event(self, found: StopSeen) -> None: ...

    def setup_changed(self) -> None: ...

    def balances_changed(self) -> None: ...

    def review(self) -> None: ...

    def task_failed(self, error: BaseException) -> None: ...


class AccountSession:
    """*orders* is *ws* or *rest*, whichever sends orders.

    Attributes:
        elsewhere: Called with a symbol of whose orders this account reports, and that no member trades.
    """

    def __init__(
        self,
        venue: AccountVenue,
        urls: VenueUrls,
        credentials: Credentials,
        access: OrderAccess,
        *,
        log: "Logger",
        around: Surroundings | None = None,
    ) -> None:
        self.venue, self.around = venue, around or Surroundings()
        self.clock = ExchangeClock(self.around.clock)
        self.clock.doubted = self._measure_soon
        self.limits = self.around.limits or venue.limits(urls, self.around.seconds)
        self.limits.silenced = self._silenced
        wiring = Wiring(urls, credentials, access.recv_window_ms, self.clock, self.limits, self.around)
        self.ws, self.rest = venue.transports(wiring, self)
        self.orders: OrderApi = self.ws if access.order_transport == "websocket" else self.rest
        self.holdings, self.connections = Holdings(), 0
        self.here = is_loopback(urlsplit(urls.rest).hostname or "")
        self.elsewhere: Callable[[str], None] = lambda _: None
        self._credentials, self._log = credentials, log
        self._members: list[SessionMember] = []
        self._tasks = BackgroundTasks(self._task_failed)
        self._refusals = 0
        self._rest_refused: MMError | None = None
        self._begun = self._measuring = False

    @property
    def api(self) -> OrderApi:
        return self.ws if self.ws.up else self.rest

    @property
    def unread(self) -> bool:
        return self.ws.unread

    @property
    def refused(self) -> MMError | None:
        return self.ws.failure or self._rest_refused

    @property
    def rest_refused(self) -> bool:
        return self._rest_refused is not None

    def key_answered(self, refusal: str = "") -> None:
        self._refusals = self._refusals + 1 if refusal else 0
        if self._refusals >= _REFUSED_FOR_GOOD:
            self._rest_refused = key_refused(self._credentials, refusal)

    def join(self, member: SessionMember) -> None:
        self._members.append(member)
        if not self._begun:
            self._begun = True
            self._tasks.spawn(self.ws.run())
        elif self.ws.up:
            member.connected()

    def leave(self, member: SessionMember) -> None:
        if member in self._members:
            self._members.remove(member)

    async def close(self) -> None:
        self.ws.close()
        await self._tasks.end()
        await self.rest.close()

    # the clock

    async def measure(self, api: OrderApi | None = None) -> None:
        await measure((api or self.api).request, self.clock, self.venue.time(), self.venue.time_us)

    def _measure_soon(self) -> None:
        if not self._measuring:
            self._measuring = True
            self._tasks.spawn(self._measure())

    async def _measure(self) -> None:
        before_us = self.clock.offset_us
        await self.measure()
        self._measuring = False
        if self.clock.offset_us < before_us - US_PER_S:  # its clock was set back, by which known balances are younger
            self.holdings.interrupted()
        self._log.warning("clock_measured", offset_us=self.clock.offset_us, before_us=before_us)

    # the connection

    def connected(self) -> None:
        self.connections += 1
        for member in list(self._members):
            member.connected()

    def disconnected(self, why: str) -> None:
        self.holdings.interrupted()
        for member in list(self._members):
            member.disconnected(why)

    def event(self, kind: str, body: bytes, us: int) -> None:
        try:
            found = self.venue.event(kind, body)
        except msgspec.MsgspecError as error:
            for member in list(self._members):
                member.events_lost(kind, str(error))
            return
        if isinstance(found, BalancesEvent):
            self._balances_changed(found)
        elif isinstance(found, Transfer):
            self._transferred(found)
        elif isinstance(found, MarginCalled):
            for member in self._trading(*found.symbols):
                member.margin_called(found)
        elif isinstance(found, StopSeen):
            for member in self._trading(found.symbol):
                member.stop_event(found)
        elif isinstance(found, SetupChanged):
            for member in self._trading(found.symbol) if found.symbol else list(self._members):
                member.setup_changed()
        elif found is not None:
            self._order_event(found, us)

    def _order_event(self, found: OrderEvent, us: int) -> None:
        members = self._trading(found.symbol)
        if not members:
            self.elsewhere(found.symbol)
        for member in members:
            member.order_event(found, us)

    def _transferred(self, found: Transfer) -> None:
        checks = {id(member.check.shared): member.check for member in self._members if member.check}
        for check in checks.values():  # symbols of one account share their balances: each transfer is booked once
            check.transferred(found)

    def _trading(self, *symbols: str) -> list[SessionMember]:
        return [member for member in self._members if member.symbol in symbols]

    def _balances_changed(self, found: BalancesEvent) -> None:
        for transfer in found.transfers:
            self._transferred(transfer)
        self.holdings.changed(found.balances, found.us)
        for member in list(self._members):
            if found.paid:
                member.payments_due(found.us)
            member.balances_changed()

    def _silenced(self) -> None:
        """Tell all members at once: what one symbol was answered forbids the requests of all."""
        for member in self._members:
            asyncio.get_running_loop().call_soon(member.review)

    def _task_failed(self, error: BaseException) -> None:
        for member in list(self._members):
            member.task_failed(error)

"""The exchange in a box: matching, market, rules, truth and wire put together, and how time passes in it.

::

    async with Box(Poisson(), Session("SIMUSDT", "20260105", 24, 7)).open() as box:
        ...  # box.ready() says where it is and with which keys

    async with Box.in_lockstep("zero_intelligence", seed=7, faults=["at id 5000 do drop n=2"]).open() as box:
        ...  # connect to box.ws_url and box.rest_url
        await box.advance(seconds=10)
        ...  # box.truth.book(5100) is what a client must have by now

Everything runs in the event loop that opened it; nothing is left when it is closed.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from mm.clock import US_PER_S, day_of, now_us
from mm.sim.exchange.accounts import described, two_users, with_assets
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.keys import make_keys
from mm.sim.exchange.rules import SymbolRules
from mm.sim.exchange.truth import MarketTruth
from mm.sim.flow.market import Scenario
from mm.sim.flow.scenario import SCENARIOS
from mm.sim.flow.session import Session
from mm.sim.matching.order_log import Row
from mm.sim.wire.api import Api
from mm.sim.wire.control import Control
from mm.sim.wire.faults.player import Player
from mm.sim.wire.faults.script import Rule, as_rules
from mm.sim.wire.feed import Feed
from mm.sim.wire.limits import WireLimits
from mm.sim.wire.pump import Pump, WireClock
from mm.sim.wire.rest import RestRoutes
from mm.sim.wire.server import Routes, Server
from mm.sim.wire.stream_names import API_PATH
from mm.sim.wire.ws_api import open_session

LOCKSTEP_US = 1_767_600_000_000_000
"""The first instant of a box in lockstep: 2026-01-05 08:00:00 UTC."""
_HOURS = 24.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Box:
    """One symbol's exchange.

    Args:
        scenario: Its market.
        session: Symbol, luck, and the instant at which it begins.
        speed: Seconds of the exchange in a second of wall time; 0 for lockstep: time stands still between calls.
        limits: Whether too many orders, requests and handshakes are refused.
        wire_limits: Of connections.

    Attributes:
        control: Answers calls below ``/sim/``.
        exchange: The rules, the users and their orders.
        truth: What really happened.
        player: Plays faults; None until some are armed.
        pump: Moves the time.
        pumping: Lets it pass while the box is open; it ends only where the exchange fails.
        server: The wire.
    """

    def __init__(
        self,
        scenario: Scenario,
        session: Session,
        *,
        speed: float = 1.0,
        limits: bool = True,
        wire_limits: WireLimits | None = None,
    ) -> None:
        from mm.sim.matching._core import Matching

        instrument = with_assets(scenario.instrument(session.symbol))
        core, accounts = Matching(), two_users()
        flow = scenario.flow(core, session)
        rules = SymbolRules(instrument=instrument, reference_ticks=instrument.ticks(scenario.start_price))
        clock = WireClock(session.open_us, speed)
        self.exchange = Exchange(rules, core, flow, accounts, session.open_us, limits=limits)
        self.truth = MarketTruth(instrument)
        self.player: Player | None = None
        self._session = session
        self._keys = make_keys((account.number for account in accounts), session.seed)
        self._feed = Feed(instrument, session.open_us)
        self.exchange.listen(self.truth.listen)
        api = Api(self.exchange, self._keys, self._clocks, limits=limits)
        self.exchange.listen(self._take)
        self.control = Control(self)
        routes = Routes(
            RestRoutes(api).answer, lambda send, request: open_session(api, send, request), self.control.answer
        )
        self.server = Server(self._feed, routes, wire_limits or WireLimits(attempts=300 if limits else None))
        self.pump = Pump(clock, self._advance)
        self.pumping: asyncio.Task[None]
        self._address = ("", 0)
        self._advance(session.open_us)

    @classmethod
    def in_lockstep(
        cls,
        scenario: str = "empty",
        *,
        seed: int = 0,
        faults: Iterable[Rule | str] = (),
        symbol: str = "SIMUSDT",
        wire_limits: WireLimits | None = None,
    ) -> "Box":
        """Return a box for tests: time stands still between calls of `advance`, and no limit of requests binds.

        It begins at `LOCKSTEP_US`, so that equal arguments and equal calls give equal bytes.

        Args:
            scenario: A name of ``mm sim serve --scenario``, with its defaults.
            seed: Of the market, of the keys and of what the faults leave to chance.
            faults: Rules, or lines of a script.
            symbol: Upper case.
            wire_limits: Of connections.
        """
        session = Session(symbol, day_of(LOCKSTEP_US), _HOURS, seed, LOCKSTEP_US)
        limits = wire_limits or WireLimits(attempts=None, close_s=0.05)
        box = cls(SCENARIOS[scenario](), session, speed=0, limits=False, wire_limits=limits)
        box.arm(as_rules(faults))
        return box

    @asynccontextmanager
    async def open(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator["Box"]:
        """Listen, and let time pass, until the block ends.

        Raises:
            UsageError: If *host* and *port* cannot be listened on.
        """
        self._address = (host, await self.server.start(host, port))
        self.pumping = asyncio.create_task(self.pump.run())
        try:
            yield self
        finally:
            self.pumping.cancel()
            await self.server.stop()
            with suppress(asyncio.CancelledError):
                await self.pumping

    @property
    def rest_url(self) -> str:
        """Where HTTP is answered: a base without a path."""
        return str(self.ready()["rest_url"])

    @property
    def ws_url(self) -> str:
        """Where streams are: a base without a path."""
        return str(self.ready()["ws_url"])

    async def advance(self, *, seconds: float = 0.0, updates: int = 0) -> None:
        """Let *seconds* of the exchange pass, and then its book change *updates* times; all is sent on return.

        Raises:
            BadCall: If the book does not change within a minute of the exchange.
        """
        self.control.advance(us=round(seconds * US_PER_S), updates=updates)
        await asyncio.sleep(0)

    def ready(self) -> dict[str, Any]:
        """Return what a client needs: addresses, symbol, and the accounts with their keys."""
        host, port = self._address
        shown = _EVERYWHERE.get(host, host)
        netloc = f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"
        return {
            "ready": True,
            "rest_url": f"http://{netloc}",
            "ws_url": f"ws://{netloc}",
            "ws_api_url": f"ws://{netloc}{API_PATH}",
            "symbol": self.exchange.rules.instrument.symbol,
            "accounts": described(self.exchange.accounts.values(), self._keys),
        }

    def arm(self, rules: Iterable[Rule]) -> Player:
        """Let faults happen as *rules* say, those whose moment has passed now, and return their player."""
        if self.player is None:
            self.player = Player(self.truth, self._session.open_us, seed=self._session.seed)
            self.player.channels.now_us = max(self.player.channels.now_us, self.pump.done_us)
            for connection in self.server.streams:
                self.player.opened(connection)
            self.server.faults = self.player
        self.player.add(rules)
        return self.player

    def _clocks(self) -> Sequence[int]:
        """Return the exchange's time, and where it does not run with the wall's, that too."""
        clock = self.pump.clock
        return (clock.now_us(),) if clock.speed == 1 else (clock.now_us(), now_us())

    def _advance(self, us: int) -> None:
        for step_us in self.player.steps(us) if self.player else (us,):
            self.exchange.advance(step_us)
            self.server.passed(step_us)

    def _take(self, rows: list[Row]) -> None:
        for part in self.player.parts(rows) if self.player else (rows,):
            self._feed.take(part)

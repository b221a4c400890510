"""The complete simulated exchange: matching, market, rules, truth, server and clock, and the ``/sim/`` endpoints.

::

    async with Box(PoissonMarket(), Session("SIMUSDT", "20260105", 24, 7)).open() as box:
        ...  # box.ready() has the addresses and keys

    async with Box.in_lockstep("zero_intelligence", seed=7, faults=["at id 5000 do drop n=2"]).open() as box:
        ...  # connect to box.ws_url and box.rest_url
        await box.advance(seconds=10)
        ...  # box.truth.book(5100) is the book that a client must have by now

A box runs in the event loop that opened it; closing it releases all resources.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from mm.clock import US_PER_MS, US_PER_S, day_of, now_us
from mm.errors import MMError
from mm.instrument import e8
from mm.sim.exchange.accounts import with_assets
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.keys import ApiKey, described, make_keys
from mm.sim.exchange.rules import SymbolRules
from mm.sim.exchange.truth import MarketTruth
from mm.sim.flow.order_flow import Scenario
from mm.sim.flow.scenario import SCENARIOS
from mm.sim.flow.session import Session
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import Row
from mm.sim.wire.account_truth import PARTS
from mm.sim.wire.api import Api, RestRoutes
from mm.sim.wire.box_page import BestPriceHistory, page
from mm.sim.wire.faults.fault import RULE_CHANGES, Fault
from mm.sim.wire.faults.injector import FaultInjector
from mm.sim.wire.faults.script import Rule, Trigger, as_rules, read_script
from mm.sim.wire.faults.table import FAULTS
from mm.sim.wire.http_messages import Request, Response, json_response, refusal
from mm.sim.wire.limits import WireLimits
from mm.sim.wire.pace import Scheduler, WireClock
from mm.sim.wire.server import Routes, Server
from mm.sim.wire.several import Feeds, SymbolSessions
from mm.sim.wire.spot import SPOT
from mm.sim.wire.stream_requests import is_micro
from mm.sim.wire.wire_market import WireMarket
from mm.sim.wire.ws_api import ApiSession

LOCKSTEP_US = 1_767_600_000_000_000
"""The start time of a box in lockstep: 2026-01-05 08:00:00 UTC."""
_HOURS = 24.0
HTML = {"content-type": "text/html; charset=utf-8"}
_WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_MOST_US = 86_400 * US_PER_S
_MOST_UPDATES = 10_000_000
_MOST_TRADES = 100_000
_MOST_UNCHANGED_US = 60 * US_PER_S


class Box:
    """The simulated exchange of one symbol; its time starts at the session's opening.

    Further symbols are boxes *beside* it, which it serves: the users are the same, with one balance of the quote asset.
    Faults apply to the first symbol; once a key was revoked, faults of requests apply to all. *speed* is exchange
    seconds per second of wall time; 0 is lockstep, in which only calls advance the time.
    """

    def __init__(  # noqa: PLR0913 - a server has these parts
        self,
        scenario: Scenario,
        session: Session,
        *,
        speed: float = 1.0,
        limits: bool = True,
        wire_limits: WireLimits | None = None,
        beside: "Box | None" = None,
        market: WireMarket = SPOT,
    ) -> None:
        self.market: WireMarket = beside.market if beside else market
        market = self.market
        instrument = with_assets(scenario.instrument(session.symbol))
        core = Matching()
        if beside:
            accounts = [account.beside(instrument) for account in beside.exchange.accounts.values()]
        else:
            accounts = market.accounts()
        flow, first_ticks = scenario.flow(core, session), instrument.ticks(scenario.start_price)
        self.exchange: Exchange = market.exchange(
            instrument, first_ticks, core, flow, accounts, session.open_us, limits=limits
        )
        self.truth = MarketTruth(instrument)
        self.injector: FaultInjector | None = None
        self.scenario, self.best = scenario, BestPriceHistory()
        self._session = session
        self._keys: list[ApiKey] = (
            beside._keys if beside else make_keys((account.number for account in accounts), session.seed)
        )
        self.feed = market.feed(instrument, session.open_us)
        self.exchange.listen(self.truth.listen)
        self.exchange.listen(self.best.listen)
        api = self._api = Api(self.exchange, self._keys, self._clocks, limits=limits, market=market)
        self.exchange.listen(self._take)
        self.symbols: dict[str, Box] = beside.symbols if beside else {}
        self.symbols[session.symbol] = self
        self.rest, self.open_session = RestRoutes(api), partial(ApiSession, api)
        routes = Routes(self._answer, self._open_session, ControlCalls(self).answer, market.streams)
        self._feeds: Feeds = beside._feeds if beside else Feeds()
        self._feeds += [self.feed, *market.more_feeds(self.exchange, self._feeds)]
        own_limits = market.connections if limits else replace(market.connections, attempts=None)
        self.server = Server(self._feeds, routes, wire_limits or own_limits)
        self.scheduler: Scheduler = (
            beside.scheduler if beside else Scheduler(WireClock(session.open_us, speed), self._advance)
        )
        self.running: asyncio.Task[None] | None = None
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
        market: WireMarket = SPOT,
    ) -> "Box":
        """Return a box for tests: only `advance` advances the time, and requests are not limited.

        It starts at `LOCKSTEP_US`, so equal arguments and calls produce equal bytes. *seed* is the seed of the market,
        the keys and the faults' random choices.
        """
        session = Session(symbol, day_of(LOCKSTEP_US), _HOURS, seed, LOCKSTEP_US)
        limits = wire_limits or WireLimits(attempts=None, close_s=0.05)
        box = cls(SCENARIOS[scenario](), session, speed=0, limits=False, wire_limits=limits, market=market)
        box.inject(as_rules(faults))
        return box

    @asynccontextmanager
    async def open(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator["Box"]:
        """Listen and advance the time until the block ends."""
        self._address = (host, await self.server.start(host, port))
        self.running = asyncio.create_task(self.scheduler.run())
        try:
            yield self
        finally:
            self.running.cancel()
            await self.server.stop()
            with suppress(asyncio.CancelledError):
                await self.running

    @property
    def start_us(self) -> int:
        return self._session.open_us

    @property
    def seed(self) -> int:
        return self._session.seed

    @property
    def acted(self) -> list[tuple[int, str]]:
        return list(self.injector.acted) if self.injector else []

    @property
    def rest_url(self) -> str:
        return str(self.ready()["rest_url"])

    @property
    def ws_url(self) -> str:
        return str(self.ready()["ws_url"])

    async def advance(self, *, seconds: float = 0.0, updates: int = 0) -> None:
        """Advance by *seconds*, then until the book has *updates* more changes; all events are sent on return."""
        self.advance_now(us=round(seconds * US_PER_S), updates=updates)
        await asyncio.sleep(0)

    def advance_now(self, *, us: int = 0, updates: int = 0) -> None:
        """Advance by *us*, then in steps of a millisecond until the book has *updates* more changes."""
        scheduler, exchange = self.scheduler, self.exchange
        scheduler.advance_to(scheduler.done_us + us)
        changed_id, changed_us = exchange.update_id, scheduler.done_us
        target_id = changed_id + updates
        while exchange.update_id < target_id:
            scheduler.advance_to(scheduler.done_us + US_PER_MS)
            if exchange.update_id != changed_id:
                changed_id, changed_us = exchange.update_id, scheduler.done_us
            elif scheduler.done_us - changed_us >= _MOST_UNCHANGED_US:
                raise BadCall(
                    f"updates={updates}: the book has not changed for a minute; {target_id - changed_id} are missing"
                )

    def state(self) -> dict[str, Any]:
        truth = self.truth
        return {
            "now_us": self.scheduler.done_us,
            "update_id": truth.last_update_id,
            "first_update_id": truth.first_update_id,
            "trade_id": truth.last_trade_id,
            "first_trade_id": truth.first_trade_id,
            "connections": [
                {"id": conn.id, "path": conn.path, "streams": list(conn.streams)} for conn in self.server.streams
            ],
            "waiting": [str(rule) for rule in self.injector.waiting] if self.injector else [],
        }

    def ready(self) -> dict[str, Any]:
        host, port = self._address
        shown = _WILDCARD_HOSTS.get(host, host)
        netloc = f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"
        api_path = self.market.streams.api_path
        return {
            "ready": True,
            "rest_url": f"http://{netloc}",
            "ws_url": f"ws://{netloc}",
            **({"ws_api_url": f"ws://{netloc}{api_path}"} if api_path else {}),
            "symbol": self.exchange.rules.instrument.symbol,
            "accounts": described(self.exchange.accounts.values(), self._keys),
        }

    def inject(self, rules: Iterable[Rule]) -> None:
        """Apply rules whose trigger has occurred immediately; after a UsageError none is applied."""
        for rule in (rules := list(rules)):
            if rule.fault.kind.name in RULE_CHANGES:
                self._changed(rule.fault)
        if self.injector is None:
            self.injector = FaultInjector(
                self.truth,
                self._session.open_us,
                self.scheduler.done_us,
                seed=self._session.seed,
                restart=self._restart,
            )
            self.injector.rules = self._set_rules
            self.injector.begin_again = self.feed.begin_again
            self.exchange.shown_us = self.injector.shown_us
            self._api.faults = self.injector
            self.server.inject(self.injector)
        if any(rule.fault.kind.name in ("revoke", "clock_offset") for rule in rules):  # of the account, of all symbols
            for box in self.symbols.values():
                box._api.faults = self.injector
        self.injector.add(rules)
        self.server.flush()

    def account(
        self, user: str, *, micro: bool = False, since_us: int = 0, parts: Collection[str] = PARTS
    ) -> dict[str, Any]:
        return self._api.truth.content(user, micro=micro, since_us=since_us, parts=parts)

    def _restart(self, keeps_orders: bool) -> None:
        self.server.cut()
        if not keeps_orders:
            self.exchange.expire_all()

    def _changed(self, fault: Fault) -> SymbolRules:
        rules = self.exchange.rules
        if fault.kind.name == "filters":
            return rules.with_filters(fault.values)
        return replace(rules.of_status(fault["status"]), listed=bool(fault["listed"]))

    def _set_rules(self, fault: Fault) -> None:
        self.exchange.rules = self._changed(fault)
        if not self.exchange.rules.listed:
            self.exchange.expire_all()

    def _clocks(self) -> Sequence[int]:
        clock = self.scheduler.clock
        if len(self.symbols) > 1:  # each request is later than all before, whatever the clock does
            latest_us = max(box.exchange.now_us for box in self.symbols.values())
            return max(clock.now_us(), latest_us + 1), now_us()
        return (clock.now_us(), now_us()) if clock.speed != 1 or clock.slipped_s else (clock.now_us(),)

    def _advance(self, us: int) -> None:
        for step_us in self.injector.steps(us) if self.injector else (us,):
            for box in self.symbols.values():
                box.exchange.advance(step_us)
            self.server.passed(step_us)

    def box_of(self, params: Mapping[str, str]) -> "Box":
        return self.symbols.get(params.get("symbol") or params.get("pair", ""), self)

    def _answer(self, request: Request) -> Response:
        return self.box_of(request.params).rest.answer(request)

    def _open_session(self, send: Callable[[Any], None], request: Request) -> "ApiSession | SymbolSessions":
        if len(self.symbols) == 1:
            return self.open_session(send, request)
        opens = {symbol: box.open_session for symbol, box in self.symbols.items()}
        return SymbolSessions(opens, send, request)

    def _take(self, rows: list[Row]) -> None:
        for part in self.injector.parts(rows) if self.injector else (rows,):
            self.feed.take(part)


class BadCall(MMError):
    """A control call that cannot be executed."""


class ControlCalls:
    """The endpoints below ``/sim/``, listed in docs/specification/exchange.md, Truth and control."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._routes: Mapping[tuple[str, str], Callable[[Request], Any]] = {
            ("POST", "/sim/advance"): self._advance,
            ("POST", "/sim/faults"): self._faults,
            ("POST", "/sim/transfer"): self._transfer,
            ("GET", "/sim/truth"): self._truth,
            ("GET", "/sim/trades"): self._trades,
            ("GET", "/sim/sent"): self._list_sent,
            ("GET", "/sim/account"): self._account,
            ("GET", "/sim/state"): lambda _: box.state(),
            ("GET", "/sim/page"): lambda _: Response(200, HTML, page(box).encode()),
            ("POST", "/sim/shutdown"): self._shutdown,
        }
        for route in box.market.controls(box.exchange):
            self._routes = {**self._routes, route: partial(self._of_market, route)}

    def answer(self, request: Request) -> Response:
        """Status 400 with a message if the call cannot be executed."""
        route = self._routes.get((request.method, request.path))
        if route is None:
            known = ", ".join(" ".join(route) for route in self._routes)
            return refusal(404, -1000, f"Unknown call; available: {known}")
        try:
            answer = route(request)
            return answer if isinstance(answer, Response) else json_response(200, answer)
        except MMError as error:
            return refusal(400, -1130, str(error))

    def _advance(self, request: Request) -> dict[str, Any]:
        content = _content(request)
        if len(content) != 1 or not content.keys() <= {"us", "until_us", "updates"}:
            raise BadCall('advance takes one of {"us": N}, {"until_us": N} and {"updates": N}')
        name, value = next(iter(content.items()))
        if name == "updates":
            self._box.advance_now(updates=_whole(name, value, _MOST_UPDATES))
        else:
            done_us = self._box.scheduler.done_us if name == "until_us" else 0
            self._box.advance_now(us=max(0, _whole(name, value, done_us + _MOST_US) - done_us))
        return self._box.state()

    def _of_market(self, route: tuple[str, str], request: Request) -> Any:
        controls = self._box.market.controls(self._box.box_of(request.params).exchange)
        return controls[route](_content(request))

    def _faults(self, request: Request) -> dict[str, Any]:
        try:
            script = request.body.decode()
        except UnicodeDecodeError as error:
            raise BadCall("a fault script is UTF-8 text, one rule per line") from error
        self._box.inject(read_script(script))
        return self._box.state()

    def _transfer(self, request: Request) -> dict[str, Any]:
        content = _content(request)
        if content.keys() != {"user", "asset", "amount"} or not all(isinstance(part, str) for part in content.values()):
            raise BadCall('transfer takes {"user": "alice", "asset": "USDT", "amount": "-12.5"}')
        user, asset, amount = (content[name] for name in ("user", "asset", "amount"))
        boxes = self._box.symbols.values()
        box = next((box for box in boxes if box.exchange.rules.instrument.base_asset == asset), self._box)
        numbers = [number for number, account in box.exchange.accounts.items() if account.name == user]
        if not numbers:
            raise BadCall(f"user={user}: unknown user")
        box.exchange.transfer(numbers[0], asset, e8(amount))
        return {"balances": self._box.account(user)["balances"]}

    def _truth(self, request: Request) -> dict[str, Any]:
        truth = self._box.truth
        update_id = _requested(request, "id", truth.last_update_id)
        era = _requested(request, "era", -1)
        bids, asks = truth.book(update_id, None if era < 0 else era)
        return {"lastUpdateId": update_id, "bids": bids, "asks": asks}

    def _trades(self, request: Request) -> list[dict[str, Any]]:
        truth = self._box.truth
        first_id = _requested(request, "from", truth.first_trade_id)
        last_id = _requested(request, "to", truth.last_trade_id)
        if last_id - first_id >= _MOST_TRADES:
            raise BadCall(f"from={first_id}, to={last_id}: at most {_MOST_TRADES} trades at a time")
        return [trade._asdict() for trade in truth.trades(first_id, last_id)]

    def _account(self, request: Request) -> dict[str, Any]:
        micro = is_micro({name: [text] for name, text in request.params.items()})
        since_us = _requested(request, "since_us", 0)
        parts = request.params["parts"].split(",") if "parts" in request.params else PARTS
        if unknown := sorted(set(parts).difference(PARTS)):
            raise BadCall(f"parts={','.join(unknown)}: unknown; known: {', '.join(PARTS)}")
        user = request.params.get("user", "")
        return self._box.box_of(request.params).account(user, micro=micro, since_us=since_us, parts=parts)

    def _list_sent(self, request: Request) -> dict[str, Any]:
        injector, number = self._box.injector, _requested(request, "conn", 0)
        if injector is None:
            raise BadCall(
                "messages are logged only after a fault script was added; POST one to /sim/faults, it may be empty"
            )
        logs = (injector.users if request.params.get("of") == "user" else injector.scope).logs
        if number not in logs:
            raise BadCall(f"conn={number}: unknown connection; known: {', '.join(map(str, logs)) or 'none'}")
        return logs[number].content()

    def _shutdown(self, request: Request) -> dict[str, Any]:
        lead_s = _content(request).get("lead_s", 0) if request.body else 0
        if isinstance(lead_s, bool) or not isinstance(lead_s, int | float):
            raise BadCall(f"lead_s={lead_s!r}: it must be a number of seconds")
        self._box.inject([Rule(Trigger("time", 0), FAULTS["shutdown"].make(lead_s=lead_s))])
        return self._box.state()


def _content(request: Request) -> dict[str, Any]:
    try:
        content = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise BadCall(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadCall("the body must be a JSON object")
    return content


def _whole(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise BadCall(f"{name}={value!r}: it must be a whole number from 0 to {most}")
    return value


def _requested(request: Request, name: str, default: int) -> int:
    text = request.params.get(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise BadCall(f"{name}={text}: it must be a whole number")
    return int(text)

"""An exchange for tests: an empty book around 100, two users with balances, and a manual clock."""

import hmac
import json
from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mm.instrument import E8, Instrument
from mm.sim.exchange.accounts import two_users
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.keys import ApiKey, make_keys
from mm.sim.exchange.orders import ExecutionReport, NewOrder, Position, UserOrder
from mm.sim.exchange.rules import SymbolRules
from mm.sim.flow.order_flow import Flow, NoFlow
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import Row
from mm.sim.wire.api import Api, RestRoutes
from mm.sim.wire.http_messages import Request, Response, json_bytes, read_request
from mm.sim.wire.ws_api import ApiSession

START_US = 1_767_600_000_000_000  # 2026-01-05 08:00 UTC: a whole minute, but not the start of a UTC day
ALICE, BOB = 1, 2
BUY, SELL = +1, -1
SYMBOL = "SIMUSDT"
INSTRUMENT = Instrument(SYMBOL, E8 // 100, E8 // 1_000, 5 * E8, "SIM", "USDT")


class Desk:
    """One exchange and its log rows; prices in ticks of 0.01, quantities in lots of 0.001."""

    def __init__(
        self, *, limits: bool = True, core: Matching | None = None, flow: Flow | None = None, **rules: Any
    ) -> None:
        self.rules = SymbolRules(instrument=INSTRUMENT, reference_ticks=10_000, **rules)
        self.core = core or Matching()
        self.exchange = Exchange(self.rules, self.core, flow or NoFlow(), two_users(), START_US, limits=limits)
        self.us = START_US
        self.rows: list[Row] = []
        self.reported: dict[int, list[ExecutionReport | Position]] = {ALICE: [], BOB: []}
        self.exchange.listen(self.rows.extend)
        for number, reports in self.reported.items():
            self.exchange.watch(number, reports.append)

    def limit(self, who: int, side: int, ticks: int, lots: int, **more: Any) -> UserOrder:
        """Send a LIMIT order."""
        return self.exchange.place(self.us, who, NewOrder(side=side, type="LIMIT", ticks=ticks, lots=lots, **more))

    def market(self, who: int, side: int, lots: int = 0, **more: Any) -> UserOrder:
        """Send a MARKET order."""
        return self.exchange.place(self.us, who, NewOrder(side=side, type="MARKET", lots=lots, **more))

    def money(self, who: int) -> tuple[int, int, int, int]:
        """Return free and locked base, free and locked quote, in 1e-8."""
        account = self.exchange.accounts[who]
        return account.base.free, account.base.locked, account.quote.free, account.quote.locked

    def kinds(self, who: int) -> list[str]:
        """Return the reports to a user: the kinds of executions, and POSITION."""
        return [one.kind if isinstance(one, ExecutionReport) else "POSITION" for one in self.reported[who]]


class Door:
    """REST and WebSocket API clients of a desk, with requests signed by the users' keys."""

    def __init__(self, desk: Desk, *, limits: bool = True) -> None:
        self.desk = desk
        self.keys: dict[int, ApiKey] = {key.account: key for key in make_keys((ALICE, BOB), 7)}
        self.extra_clocks: list[int] = []
        self.api = Api(desk.exchange, self.keys.values(), lambda: [desk.us, *self.extra_clocks], limits=limits)
        self._routes = RestRoutes(self.api)

    def raw(self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Response:
        """Send a request unchanged."""
        return self._routes.answer(read_request(method, f"/api/v3/{target}", headers or {}, body, "127.0.0.1"))

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the content of the response to a public request."""
        response = self.raw("GET", f"{path}?{urlencode(parameters)}" if parameters else path)
        return json.loads(response.body)

    def signed(self, who: int, method: str, path: str, **parameters: Any) -> Response:
        """Send a request signed with HMAC."""
        query = urlencode({"timestamp": self.desk.us // 1_000} | parameters)
        signature = hmac_hex(self.keys[who].secret, query)
        return self.raw(method, f"{path}?{query}&signature={signature}", {"x-mbx-apikey": self.keys[who].key})

    def ask(self, who: int, method: str, path: str, **parameters: Any) -> Any:
        """Return the content of the response to a signed request."""
        return json.loads(self.signed(who, method, path, **parameters).body)

    def talk(self, query: str = "") -> "Talk":
        """Open a WebSocket API session."""
        return Talk(self, query)


class Talk:
    """One WebSocket API session with the messages sent to the client, in order."""

    def __init__(self, door: Door, query: str) -> None:
        self._door = door
        self.sent: list[dict[str, Any]] = []
        request = Request("GET", "/ws-api/v3", query=query)
        self.session = ApiSession(door.api, self._send, request)

    def _send(self, content: Any) -> None:
        self.sent.append(json.loads(json_bytes(content)))

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a request and return its response."""
        self.session.handle(json.dumps({"id": "q", "method": method, "params": parameters}))
        return next(one for one in reversed(self.sent) if "status" in one)

    def signed(self, who: int, method: str, *, ed25519: bool = False, **parameters: Any) -> dict[str, Any]:
        """Send a signed request and return its response."""
        key = self._door.keys[who]
        named = {"apiKey": key.key, "timestamp": self._door.desk.us // 1_000} | parameters
        payload = "&".join(f"{name}={value}" for name, value in sorted(named.items()))
        return self.ask(
            method,
            **named,
            signature=(ed25519_base64 if ed25519 else hmac_hex)(key.private_pem if ed25519 else key.secret, payload),
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the events of the user data stream, unwrapped."""
        return [one["event"] for one in self.sent if "event" in one]


def hmac_hex(secret: str, payload: str) -> str:
    """Return the HMAC-SHA256 of a payload, in hex."""
    return hmac.new(secret.encode(), payload.encode(), "sha256").hexdigest()


def ed25519_base64(pem: str, payload: str) -> str:
    """Return the Ed25519 signature of a payload, in base64."""
    key = load_pem_private_key(pem.encode(), None)
    return b64encode(key.sign(payload.encode())).decode()  # type: ignore[union-attr,call-arg]


MS = START_US // 1_000
LIMIT = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "1"}
MARKET = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.4"}


def door() -> Door:
    """Return REST and WebSocket API of a new exchange."""
    return Door(Desk())


def without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return an answer without some of its fields."""
    return {name: value for name, value in answer.items() if name not in names}

"""Cancels open orders by signed REST, alone: without an audit log, a gateway or an event loop."""

import json
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from mm.base.host_clock import HostTime, host_time
from mm.errors import MMError, TryLater, UsageError
from mm.live.venues.codes import (
    BANNED,
    NO_SUCH_ORDER,
    NO_SUCH_SYMBOL,
    NOT_AUTHORIZED,
    SLOW_DOWN,
    STALE_TIMESTAMP,
    UNKNOWN_ORDER,
)
from mm.live.venues.keys import Credentials
from mm.markets.binance import SPOT, USDM
from mm.markets.registry import DEFAULT

OWN_PREFIX = "mm-"
"""Begins the client id of every order of a trader."""
CLOSING = "f"
"""Begins the last part of the client id of an order by which a guardian closes a position."""
SILENCE_S = {SLOW_DOWN: 1.0, BANNED: 120.0}
"""Time without requests after a refusal that names none, in s."""
LONGEST_SILENCE_S = 3 * 86_400.0
CONTEST_S = 10.0
"""Time, in s, after which orders that are placed anew are left to the trader that places them."""
AGAIN_S, CONFIRM_S, LONGEST_WAIT_S = 0.1, 0.5, 5.0
"""Time to the next listing: after cancels, after an empty one, and at most, in s."""
GONE = "GONE"
"""Status of an order that the exchange no longer knows."""
_TIMEOUT_S = 5.0
_WINDOW_MS = 5_000
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.25, 5.0
_ANEW = 5  # so many listings with only orders of after `CONTEST_S` are of a running trader
_SINGLY = 5  # so many orders are cancelled one by one, which spares orders that another client sends meanwhile


class RestPaths(NamedTuple):
    """Paths of an exchange's REST.

    *stop* and *stops* are for one order that waits for a price, and for all; *position* is for that of a contract;
    empty where an exchange has none.
    """

    time: str
    order: str
    open_orders: str
    cancel_all: str
    stop: str = ""
    stops: str = ""
    position: str = ""


PATHS = {
    SPOT.name: RestPaths("/api/v3/time", "/api/v3/order", "/api/v3/openOrders", "/api/v3/openOrders"),
    USDM.name: RestPaths(
        *("/fapi/v1/time", "/fapi/v1/order", "/fapi/v1/openOrders", "/fapi/v1/allOpenOrders"),
        *("/fapi/v1/algoOrder", "/fapi/v1/openAlgoOrders", "/fapi/v3/positionRisk"),
    ),
}
"""By market."""


class OpenOrderText(NamedTuple):
    symbol: str
    order_id: int
    client_id: str
    side: str
    price: str
    qty: str
    filled: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.client_id} {self.side} {self.qty} at {self.price}"

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


def named(orders: Iterable[OpenOrderText]) -> str:
    return ", ".join(map(str, orders)) or "none"


class NoAnswer(Exception):
    """A request has no usable answer; the next may be sent in *wait_s*."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


class SignedRest:
    def __init__(
        self, url: str, credentials: Credentials, quiet_file: Path | None = None, market: str = DEFAULT.name
    ) -> None:
        parts = urlsplit(url)
        self.paths = PATHS[market]
        secure = parts.scheme.lower() == "https"
        self._credentials, self._quiet_file = credentials, quiet_file
        host, port = parts.hostname or "", parts.port
        if secure:
            trusted = ssl.create_default_context()
            self._new: Callable[[], HTTPConnection] = lambda: HTTPSConnection(
                host, port, timeout=_TIMEOUT_S, context=trusted
            )
        else:
            self._new = lambda: HTTPConnection(host, port, timeout=_TIMEOUT_S)
        self._connection: HTTPConnection | None = None
        self._offset_ms: int | None = None
        self._silent_until_s = 0.0
        self._refusals = 0
        self.answered_s = time.monotonic()
        """When the exchange last answered, or its block of requests ends, in s of the monotonic clock."""

    def request(self, verb: str, path: str, **parameters: str | int) -> Any:
        """Raises NoAnswer or Refused."""
        self._check_silence()
        if self._offset_ms is None:
            sent_ms = time.time_ns() // 1_000_000
            server_ms = int(self._send("GET", self.paths.time)["serverTime"])
            self._offset_ms = server_ms - (sent_ms + time.time_ns() // 1_000_000) // 2
        stamped = {**parameters, "recvWindow": _WINDOW_MS, "timestamp": time.time_ns() // 1_000_000 + self._offset_ms}
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in stamped.items())
        signature = quote(self._credentials.sign(query), safe="")
        try:
            return self._send(verb, f"{path}?{query}&signature={signature}")
        except Refused as error:
            if error.code != STALE_TIMESTAMP:
                raise
            self._offset_ms = None  # the next request measures the clocks
            raise NoAnswer(str(error)) from error

    def _check_silence(self) -> None:
        left_s = self._silent_until_s - time.monotonic()
        if self._quiet_file is not None:
            try:
                noted = json.loads(self._quiet_file.read_bytes())
                now, then = host_time(), HostTime(noted["passing_s"], noted["wall_s"], noted["boot"])
                quiet_s = float(noted["quiet_until_s"]) + now.shift_s(then) - now.passing_s
            except (OSError, ValueError, KeyError, TypeError):
                quiet_s = 0.0
            left_s = max(left_s, quiet_s if quiet_s <= LONGEST_SILENCE_S else 0.0)
        if left_s > 0:
            self.answered_s = time.monotonic() + left_s
            raise NoAnswer(f"the exchange has blocked requests for another {left_s:.1f} s", left_s)

    def _send(self, verb: str, target: str) -> Any:
        try:
            connection = self._connection = self._connection or self._new()
            connection.request(verb, target, headers={"X-MBX-APIKEY": self._credentials.key})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            self.close()
            raise NoAnswer(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        self.answered_s = time.monotonic()
        if answer.status in SILENCE_S:
            text = answer.headers.get("Retry-After") or ""
            wait_s = float(text[:20]) if text.isascii() and text.isdigit() else 0.0
            if not 0 < wait_s <= LONGEST_SILENCE_S:
                wait_s = min(SILENCE_S[answer.status] * 2**self._refusals, 600.0)
            self._refusals += 1
            self._silent_until_s = time.monotonic() + wait_s
            raise NoAnswer(f"the exchange has blocked requests for {wait_s:g} s (http {answer.status})", wait_s)
        self._refusals = 0
        try:
            found = json.loads(body)
        except ValueError as error:
            raise NoAnswer(f"http {answer.status}, whose body is no JSON") from error
        if 200 <= answer.status < 300:
            return found
        code = found.get("code", 0) if isinstance(found, dict) else 0
        message = str(found.get("msg", "")) if isinstance(found, dict) else ""
        if code in NOT_AUTHORIZED or 400 <= answer.status < 500:
            raise Refused(int(code), message or f"http {answer.status}")
        raise NoAnswer(f"http {answer.status}: {code} {message}")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class KeyRefused(UsageError):
    """The exchange no longer accepts the key: nothing can be cancelled with it."""


class Contested(TryLater):
    """Cancelled orders are placed anew, again and again."""


class OrderCanceller:
    """Cancels open orders of symbols until there are none.

    Args:
        stops: Whether orders that wait for a price are cancelled too; their ids are negative here.

    Attributes:
        unlisted: Symbols that the exchange did not list: their orders are looked for among the account's.
    """

    def __init__(
        self, rest: SignedRest, symbols: Sequence[str], wanted: Callable[[str], bool], *, stops: bool = False
    ) -> None:
        self._stops = stops and bool(rest.paths.stops)
        self.left: dict[int, OpenOrderText] = {}
        self.ended: dict[int, tuple[OpenOrderText, str]] = {}
        self.unlisted: set[str] = set()
        self._first, self._first_s, self._anew = set[int](), 0.0, 0
        self._rest, self._symbols, self._wanted = rest, symbols, wanted
        self._refusals = 0
        self._delay_s = _FIRST_DELAY_S

    def listed(self) -> list[OpenOrderText]:
        """List what is open and wanted, and cancel nothing."""
        try:
            return [order for symbol in self._symbols for order in self._listed(symbol)[0]]
        except Refused as error:
            raise self._refused(error) from error

    def sweep(self, may: Callable[[], bool] = lambda: True) -> int | None:
        """Return how many orders were open and wanted."""
        try:
            found = {symbol: self._listed(symbol) for symbol in self._symbols}
            listed = {order.order_id: order for orders, _ in found.values() for order in orders}
            self._note_contest(listed)
            gone = [one for order_id, one in self.left.items() if order_id not in listed]
            self.left |= listed
            for one in gone:  # its cancel had no answer, or it ended by itself
                self._end(one, self._ask(one))
            if listed and not may():
                return None
            for symbol, (orders, foreign) in found.items():
                self._cancel(symbol, [one for one in orders if one.order_id >= 0], foreign)
                for one in orders:
                    if one.order_id < 0:
                        self._cancel_stop(one)
        except Refused as error:
            raise self._refused(error) from error
        except NoAnswer as error:
            error.wait_s = max(error.wait_s, self._delay_s)
            self._delay_s = min(2 * self._delay_s, _LONGEST_DELAY_S)
            raise
        self._refusals, self._delay_s = 0, _FIRST_DELAY_S
        return len(listed)

    @property
    def was_listed(self) -> bool:
        return self._first_s > 0

    @property
    def unanswered_s(self) -> float:
        """Seconds since the exchange answered, or since its block of requests ended."""
        return time.monotonic() - self._rest.answered_s

    @property
    def contested(self) -> bool:
        return self._anew >= _ANEW

    def _note_contest(self, listed: Collection[int]) -> None:
        now_s = time.monotonic()
        self._first_s = self._first_s or now_s
        if now_s - self._first_s < CONTEST_S:
            self._first.update(listed)
        elif listed and self._first.isdisjoint(listed):
            self._anew += 1

    def _listed(self, symbol: str) -> tuple[list[OpenOrderText], int]:
        try:
            rows = self._rest.request("GET", self._rest.paths.open_orders, symbol=symbol)
        except Refused as error:
            if error.code != NO_SUCH_SYMBOL:
                raise
            self.unlisted.add(symbol)
            rows = self._rest.request("GET", self._rest.paths.open_orders)
        orders = [order for order in map(_order, rows) if order.symbol == symbol]
        wanted = [order for order in orders if self._wanted(order.client_id)]
        foreign = len(orders) - len(wanted)
        if self._stops and symbol not in self.unlisted:
            waiting = map(_stop, self._rest.request("GET", self._rest.paths.stops, symbol=symbol))
            wanted += [order for order in waiting if order.symbol == symbol and self._wanted(order.client_id)]
        return wanted, foreign

    def _cancel_stop(self, one: OpenOrderText) -> None:
        try:
            self._rest.request("DELETE", self._rest.paths.stop, algoId=-one.order_id)
        except Refused as error:
            if error.code != UNKNOWN_ORDER:
                raise
        self._end(one, self._ask(one))

    def _cancel(self, symbol: str, orders: Sequence[OpenOrderText], foreign: int) -> None:
        if len(orders) > _SINGLY and not foreign:
            rows = self._rest.request("DELETE", self._rest.paths.cancel_all, symbol=symbol)
            for row in rows if isinstance(rows, list) else ():  # contracts: the next listing shows what is left
                order_id = int(row.get("orderId", -1))
                if order_id in self.left:
                    self._end(self.left[order_id], str(row.get("status", "CANCELED")))
            return
        for order in orders:
            try:
                row = self._rest.request("DELETE", self._rest.paths.order, symbol=symbol, orderId=order.order_id)
            except Refused as error:
                if error.code != UNKNOWN_ORDER:
                    raise
                self._end(order, self._ask(order))
            else:
                self._end(order, str(row.get("status", "CANCELED")))

    def _ask(self, one: OpenOrderText) -> str:
        try:
            if one.order_id < 0:
                row = self._rest.request("GET", self._rest.paths.stop, algoId=-one.order_id)
                return str(row.get("algoStatus", ""))
            row = self._rest.request("GET", self._rest.paths.order, symbol=one.symbol, orderId=one.order_id)
        except Refused as error:
            if error.code not in (NO_SUCH_ORDER, NO_SUCH_SYMBOL):
                raise
            return GONE
        return str(row.get("status", ""))

    def _end(self, one: OpenOrderText, status: str) -> None:
        if status not in ("NEW", "PARTIALLY_FILLED"):
            self.left.pop(one.order_id, None)
            self.ended[one.order_id] = (one, status)

    def _refused(self, error: Refused) -> Exception:
        if error.code not in NOT_AUTHORIZED:
            return NoAnswer(str(error), self._delay_s)
        self._refusals += 1
        if self._refusals < 2:
            return NoAnswer(str(error), self._delay_s)
        return KeyRefused(
            f"the exchange does not accept the API key ({error}), so nothing can be cancelled with it; open when last "
            f"listed: {named(self.left.values())}; cancel at the exchange, with another key or by its page"
        )


def _order(row: dict[str, Any]) -> OpenOrderText:
    texts = (str(row.get(name, "")) for name in ("clientOrderId", "side", "price", "origQty", "executedQty"))
    return OpenOrderText(str(row["symbol"]), int(row["orderId"]), *texts)


def _stop(row: dict[str, Any]) -> OpenOrderText:
    client_id, side, price, qty = (
        str(row.get(name, "")) for name in ("clientAlgoId", "side", "triggerPrice", "quantity")
    )
    return OpenOrderText(str(row["symbol"]), -int(row["algoId"]), client_id, side, price, qty, "0")


def is_ours(client_id: str) -> bool:
    """Return whether a trader of any host or folder made this client id."""
    return client_id.startswith(OWN_PREFIX)


def is_closing(client_id: str) -> bool:
    """Return whether a guardian made this client id, to close a position."""
    return client_id.rpartition("-")[2].startswith(CLOSING)


def run_of(client_id: str) -> str:
    return client_id.rpartition("-")[0]


def cancel_until_none(
    cancellers: Sequence[OrderCanceller],
    give_up_s: float,
    waits: Callable[[OrderCanceller, str, float], object],
) -> dict[OrderCanceller, MMError]:
    """Cancel until two listings in succession show no order; return why an exchange failed.

    An exchange that does not answer, or refuses the key, keeps no other one waiting. *give_up_s* is the longest time
    without an answer; while the exchange blocks requests counts as answered.
    """
    due_s, empty = dict.fromkeys(cancellers, 0.0), dict.fromkeys(cancellers, False)
    failed: dict[OrderCanceller, MMError] = {}
    while due_s:
        for canceller in [each for each, at_s in due_s.items() if at_s <= time.monotonic()]:
            wait_s = CONFIRM_S
            try:
                none = canceller.sweep() == 0 and not canceller.left
            except NoAnswer as error:
                none, wait_s = False, error.wait_s
                waits(canceller, str(error), wait_s)
                if canceller.unanswered_s > give_up_s:
                    failed[canceller] = TryLater(f"no answer for {give_up_s:g} s ({error})")
            except UsageError as error:
                failed[canceller] = error
            if canceller.contested:
                failed[canceller] = Contested("a running trader places orders again")
            if canceller in failed or (none and empty[canceller]):
                del due_s[canceller]
                continue
            empty[canceller] = none
            pause_s = min(wait_s, LONGEST_WAIT_S) if none or wait_s != CONFIRM_S else AGAIN_S
            due_s[canceller] = time.monotonic() + pause_s
        if due_s:
            time.sleep(max(min(due_s.values()) - time.monotonic(), 0.0))
    return failed

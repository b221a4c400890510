"""A small exchange that was written from the public documentation of Binance Spot alone, and shares no code with ours.

It implements what an order gateway needs: REST and WebSocket API, HMAC and Ed25519, user events, one symbol, a book of
one price per side that never ends. The documentation leaves details open; here they are as simple as possible. Instants
are in ms.
"""

import asyncio
import hashlib
import hmac
import json
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

BASE, QUOTE, SYMBOL = "ABC", "USDT", "ABCUSDT"
BID, ASK = Decimal("99.00"), Decimal("101.00")
FEE = Decimal("0.001")
EIGHT = Decimal("0.00000001")
REST = {
    ("POST", "order"): "order.place",
    ("DELETE", "order"): "order.cancel",
    ("GET", "order"): "order.status",
    ("POST", "order/cancelReplace"): "order.cancelReplace",
    ("PUT", "order/amend/keepPriority"): "order.amend.keepPriority",
    ("GET", "openOrders"): "openOrders.status",
    ("DELETE", "openOrders"): "openOrders.cancelAll",
    ("GET", "myTrades"): "myTrades",
    ("GET", "account"): "account.status",
    ("GET", "time"): "time",
    ("GET", "exchangeInfo"): "exchangeInfo",
    ("GET", "avgPrice"): "avgPrice",
    ("GET", "depth"): "depth",
}
PUBLIC = {"time", "exchangeInfo", "avgPrice", "depth"}


class Refusal(Exception):
    """An error payload with its HTTP status."""

    def __init__(self, code: int, msg: str, status: int = 400, data: Any = None) -> None:
        super().__init__(msg)
        self.status = status
        self.payload = {"code": code, "msg": msg} | ({} if data is None else {"data": data})


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def text(value: Decimal) -> str:
    return f"{value.quantize(EIGHT):f}"


class PublishedExchange:
    """One account on one symbol."""

    def __init__(self, api_key: str, secret: str, public: Ed25519PublicKey) -> None:
        self.key, self.secret, self.public = api_key, secret, public
        self.orders: dict[int, dict[str, Any]] = {}
        self.trades: list[dict[str, Any]] = []
        self.free = {BASE: Decimal(1_000), QUOTE: Decimal(1_000_000)}
        self.locked = {BASE: Decimal(0), QUOTE: Decimal(0)}
        self.events: list[dict[str, Any]] = []

    # requests

    def call(self, method: str, params: dict[str, str]) -> Any:
        """Execute a request whose sender has been checked."""
        handler = getattr(self, "do_" + method.replace(".", "_").replace("/", "_"), None)
        if handler is None:
            raise Refusal(-1020, "This operation is not supported.")
        if params.get("symbol", SYMBOL) != SYMBOL:
            raise Refusal(-1121, "Invalid symbol.")
        return handler(params)

    def check(self, payload: str, params: dict[str, str]) -> None:
        """Check a SIGNED request as in "SIGNED request security"."""
        stamp, window, now = int(params.get("timestamp", 0)), int(params.get("recvWindow", 5_000)), now_ms()
        if not (stamp < now + 1_000 and now - stamp <= window):
            raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
        signature = params.get("signature", "")
        if hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest() == signature.lower():
            return
        try:
            self.public.verify(b64decode(signature), payload.encode())
        except (InvalidSignature, ValueError):
            raise Refusal(-1022, "Signature for this request is not valid.") from None

    def do_time(self, _: Any) -> Any:
        return {"serverTime": now_ms()}

    def do_avgPrice(self, _: Any) -> Any:
        return {"mins": 5, "price": "100.00000000", "closeTime": now_ms()}

    def do_depth(self, _: Any) -> Any:
        return {"lastUpdateId": 1, "bids": [[text(BID), "1000.00000000"]], "asks": [[text(ASK), "1000.00000000"]]}

    def do_exchangeInfo(self, _: Any) -> Any:
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "100000.00", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "9000.000", "stepSize": "0.001"},
            {"filterType": "NOTIONAL", "minNotional": "5.0", "maxNotional": "9000000.0", "applyMinToMarket": True},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ]
        symbol = {"symbol": SYMBOL, "status": "TRADING", "baseAsset": BASE, "quoteAsset": QUOTE, "filters": filters}
        limits = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 500}]
        return {"timezone": "UTC", "serverTime": now_ms(), "rateLimits": limits, "symbols": [symbol]}

    def do_account_status(self, _: Any) -> Any:
        names = (BASE, QUOTE)
        balances = [{"asset": a, "free": text(self.free[a]), "locked": text(self.locked[a])} for a in names]
        return {"makerCommission": 10, "canTrade": True, "accountType": "SPOT", "balances": balances, "uid": 1}

    def do_order_place(self, params: dict[str, str]) -> Any:
        name, side, kind = params["newClientOrderId"], params["side"], params["type"]
        if any(one["clientOrderId"] == name and one["open"] for one in self.orders.values()):
            raise Refusal(-2010, "Duplicate order sent.")
        qty, price = Decimal(params["quantity"]), Decimal(params.get("price", "0"))
        takes = kind == "MARKET" or (price >= ASK if side == "BUY" else price <= BID)
        if takes and kind == "LIMIT_MAKER":
            raise Refusal(-2010, "Order would immediately match and take.")
        asset, needed = (QUOTE, (price or ASK) * qty) if side == "BUY" else (BASE, qty)
        if needed > self.free[asset]:
            raise Refusal(-2010, "Account has insufficient balance for requested action.")
        order = {
            "symbol": SYMBOL,
            "orderId": len(self.orders) + 1,
            "orderListId": -1,
            "clientOrderId": name,
            "price": text(price),
            "origQty": text(qty),
            "executed": Decimal(0),
            "status": "NEW",
            "timeInForce": params.get("timeInForce", "GTC"),
            "type": kind,
            "side": side,
            "time": now_ms(),
            "open": True,
            "lock": needed,
        }
        self.orders[int(order["orderId"])] = order  # type: ignore[call-overload]
        self._lock(order, needed)
        self._report(order, "NEW", name)
        if takes:
            self.fill(order, ASK if side == "BUY" else BID, qty, maker=False)
        elif order["timeInForce"] in ("IOC", "FOK"):
            self._end(order, "EXPIRED", name)
        return self.as_response(order) | {"transactTime": now_ms()}

    def do_order_cancel(self, params: dict[str, str]) -> Any:
        order = self._find(params, "orderId", "origClientOrderId")
        if order is None or not order["open"]:
            raise Refusal(-2011, "Unknown order sent.")
        self._end(order, "CANCELED", f"cancel{order['orderId']}")
        names = {"origClientOrderId": order["clientOrderId"], "clientOrderId": f"cancel{order['orderId']}"}
        return self.as_response(order) | names | {"transactTime": now_ms()}

    def do_order_amend_keepPriority(self, params: dict[str, str]) -> Any:
        order, qty = self._find(params, "orderId", "origClientOrderId"), Decimal(params["newQty"])
        if order is None or not order["open"]:
            raise Refusal(-2038, "Unknown order sent.")
        if qty >= Decimal(order["origQty"]):
            raise Refusal(-2038, "Order amend (quantity increase) is not supported.")
        if qty <= order["executed"]:
            raise Refusal(-2038, "The request to amend the order has been rejected.")
        old, name = order["clientOrderId"], params.get("newClientOrderId") or f"amended{order['orderId']}"
        cut = Decimal(order["origQty"]) - qty
        self._lock(order, -(cut * Decimal(order["price"]) if order["side"] == "BUY" else cut))
        order["origQty"], order["clientOrderId"] = text(qty), name
        self._report(order, "REPLACED", name)
        self.events[-2]["C"] = old
        kept = {key: order[key] for key in ("symbol", "orderId", "orderListId", "price", "status", "type", "side")}
        amended = kept | {"origClientOrderId": old, "clientOrderId": name, "qty": text(qty)}
        amended |= {"executedQty": text(order["executed"]), "preventedQty": "0.00000000"}
        return {"transactTime": now_ms(), "executionId": 9, "amendedOrder": amended}

    def do_order_cancelReplace(self, params: dict[str, str]) -> Any:
        ids = {
            "orderId": params.get("cancelOrderId", ""),
            "origClientOrderId": params.get("cancelOrigClientOrderId", ""),
        }
        result: dict[str, Any] = {"cancelResult": "SUCCESS", "newOrderResult": "SUCCESS"}
        try:
            result["cancelResponse"] = self.do_order_cancel(ids)
        except Refusal as refusal:
            failed = {"cancelResult": "FAILURE", "newOrderResult": "NOT_ATTEMPTED", "newOrderResponse": None}
            data = failed | {"cancelResponse": refusal.payload}
            raise Refusal(-2022, "Order cancel-replace failed.", 400, data) from None
        try:
            result["newOrderResponse"] = self.do_order_place(params)
        except Refusal as refusal:
            data = result | {"newOrderResult": "FAILURE", "newOrderResponse": refusal.payload}
            raise Refusal(-2021, "Order cancel-replace partially failed.", 409, data) from None
        return result

    def do_order_status(self, params: dict[str, str]) -> Any:
        order = self._find(params, "orderId", "origClientOrderId")
        if order is None:
            raise Refusal(-2013, "Order does not exist.")
        return self.as_response(order)

    def do_openOrders_status(self, _: Any) -> Any:
        return [self.as_response(order) for order in self.orders.values() if order["open"]]

    def do_openOrders_cancelAll(self, _: Any) -> Any:
        found = [order for order in self.orders.values() if order["open"]]
        if not found:
            raise Refusal(-2011, "Unknown order sent.")
        return [self.do_order_cancel({"orderId": str(order["orderId"])}) for order in found]

    def do_myTrades(self, params: dict[str, str]) -> Any:
        order_id, first, limit = params.get("orderId"), params.get("fromId"), int(params.get("limit", 500))
        found = [one for one in self.trades if order_id is None or one["orderId"] == int(order_id)]
        if first is None:
            return found[-limit:]
        return [one for one in found if one["id"] >= int(first)][:limit]

    # executions and reports

    def fill(self, order: dict[str, Any], price: Decimal, qty: Decimal, *, maker: bool) -> None:
        """Execute a trade with an order."""
        buys = order["side"] == "BUY"
        gained, paid = (BASE, QUOTE) if buys else (QUOTE, BASE)
        amount, cost = (qty, price * qty) if buys else (price * qty, qty)
        fee = (amount * FEE).quantize(EIGHT)
        reserved = Decimal(order["price"]) * qty if buys and order["type"] != "MARKET" else cost
        self._lock(order, -reserved)
        self.free[paid] -= cost
        self.free[gained] += amount - fee
        order["executed"] += qty
        done = order["executed"] == Decimal(order["origQty"])
        order["status"], order["open"] = ("FILLED", False) if done else ("PARTIALLY_FILLED", True)
        trade = {"symbol": SYMBOL, "id": len(self.trades) + 1, "orderId": order["orderId"], "price": text(price)}
        trade |= {"qty": text(qty), "commission": text(fee), "commissionAsset": gained, "time": now_ms()}
        trade |= {"isBuyer": buys, "isMaker": maker, "isBestMatch": True}
        self.trades.append(trade)
        self._report(order, "TRADE", order["clientOrderId"], trade)
        if done and order["lock"]:
            self._lock(order, -order["lock"])

    def _lock(self, order: dict[str, Any], amount: Decimal) -> None:
        asset = QUOTE if order["side"] == "BUY" else BASE
        if amount < 0:
            order["lock"] += amount
        self.free[asset] -= amount
        self.locked[asset] += amount

    def _end(self, order: dict[str, Any], status: str, name: str) -> None:
        order["status"], order["open"] = status, False
        self._lock(order, -order["lock"])
        self._report(order, status, name)

    def _find(self, params: dict[str, str], by_id: str, by_name: str) -> dict[str, Any] | None:
        if params.get(by_id):
            return self.orders.get(int(params[by_id]))
        named = [one for one in self.orders.values() if one["clientOrderId"] == params.get(by_name)]
        return named[-1] if named else None

    def as_response(self, order: dict[str, Any]) -> dict[str, Any]:
        fields = {name: value for name, value in order.items() if name not in ("executed", "open", "lock")}
        return fields | {"executedQty": text(order["executed"]), "isWorking": order["open"], "updateTime": now_ms()}

    def _report(self, order: dict[str, Any], what: str, name: str, trade: dict[str, Any] | None = None) -> None:
        last = trade or {"qty": "0.00000000", "price": "0.00000000", "commission": "0", "commissionAsset": None}
        self.events.append(
            {
                "e": "executionReport",
                "E": now_ms(),
                "s": SYMBOL,
                "c": name,
                "C": order["clientOrderId"] if what == "CANCELED" else "",
                "S": order["side"],
                "o": order["type"],
                "f": order["timeInForce"],
                "q": order["origQty"],
                "p": order["price"],
                "x": what,
                "X": order["status"],
                "r": "NONE",
                "i": order["orderId"],
                "l": last["qty"],
                "z": text(order["executed"]),
                "L": last["price"],
                "n": last["commission"],
                "N": last["commissionAsset"],
                "T": now_ms(),
                "t": trade["id"] if trade else -1,
                "m": bool(trade and trade["isMaker"]),
            }
        )
        balances = [{"a": a, "f": text(self.free[a]), "l": text(self.locked[a])} for a in (BASE, QUOTE)]
        self.events.append({"e": "outboundAccountPosition", "E": now_ms(), "u": now_ms(), "B": balances})


class PublishedServer:
    """The exchange on two ports: REST and the WebSocket API."""

    def __init__(self, exchange: PublishedExchange) -> None:
        self.exchange = exchange
        self.ws_api_url = self.rest_url = ""
        self._subscribers: list[ServerConnection] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator["PublishedServer"]:
        """Listen on loopback until the block ends."""
        rest = await asyncio.start_server(self._rest, "127.0.0.1", 0)
        async with serve(self._serve_connection, "127.0.0.1", 0) as server:
            self.ws_api_url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws-api/v3"
            self.rest_url = f"http://127.0.0.1:{rest.sockets[0].getsockname()[1]}"
            yield self
            rest.close()

    async def publish(self) -> None:
        """Send past events to all subscribers."""
        events, self.exchange.events = self.exchange.events, []
        for event in events:
            for connection in self._subscribers:
                await connection.send(json.dumps({"subscriptionId": 0, "event": event}))

    async def _serve_connection(self, connection: ServerConnection) -> None:
        logged_on = False
        try:
            async for raw in connection:
                request = json.loads(raw)
                method, params = request["method"], {k: str(v) for k, v in request.get("params", {}).items()}
                answer: dict[str, Any] = {"id": request["id"], "status": 200}
                try:
                    if method not in PUBLIC and not (logged_on and "apiKey" not in params):
                        self._check_ws(params)
                    if method == "session.logon":
                        logged_on = True
                        answer["result"] = {"apiKey": params["apiKey"], "authorizedSince": now_ms()}
                    elif method.startswith("userDataStream.subscribe"):
                        self._subscribers.append(connection)
                        answer["result"] = {"subscriptionId": 0}
                    else:
                        answer["result"] = self.exchange.call(method, params)
                except Refusal as refusal:
                    answer |= {"status": refusal.status, "error": refusal.payload}
                await connection.send(json.dumps(answer))
                await self.publish()
        except ConnectionClosed:
            pass
        finally:
            self._subscribers = [one for one in self._subscribers if one is not connection]

    def _check_ws(self, params: dict[str, str]) -> None:
        if params.get("apiKey") != self.exchange.key:
            raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        named = sorted((name, value) for name, value in params.items() if name != "signature")
        self.exchange.check("&".join(f"{name}={value}" for name, value in named), params)

    async def _rest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *headers = head.decode().split("\r\n")
                verb, target, _ = line.split(" ")
                named = {name.lower(): value for name, _, value in (one.partition(": ") for one in headers)}
                status, content = self._answer(verb, target, named)
                body = json.dumps(content).encode()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
                await self.publish()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, verb: str, target: str, headers: dict[str, str]) -> tuple[int, Any]:
        path, _, query = target.partition("?")
        params, method = dict(parse_qsl(query)), REST.get((verb, path.removeprefix("/api/v3/")))
        try:
            if method is None:
                return 404, {}
            if method not in PUBLIC:
                if headers.get("x-mbx-apikey") != self.exchange.key:
                    raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)
                payload, _, signature = query.rpartition("&signature=")
                self.exchange.check(payload, params | {"signature": unquote(signature)})
            return 200, self.exchange.call(method, params)
        except Refusal as refusal:
            return refusal.status, refusal.payload

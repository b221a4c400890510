"""The endpoints: FastAPI above a market, with OpenAPI at ``/docs``."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Path, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose, WebSocketDisconnect

from mm import __version__
from mm.api.desk import Client, Desk, OrderRefused, ended_by, remaining_lots, status_of
from mm.api.desk_market import DeskMarket
from mm.api.desk_messages import BOOK_LEVELS, SIDES
from mm.api.docs_page import PAGE
from mm.api.messages import (
    NULL,
    Cancelled,
    HealthMessage,
    OrderAnswer,
    OrderRequest,
    PositionMessage,
    RefusalMessage,
    RiskState,
    Switched,
    encode,
    in_e8,
    number,
    read_cancel,
    read_order,
    refuse_repeated_keys,
    schemas,
)
from mm.backtest.risk import RiskLimits
from mm.base.doors import KILL, READ, REARM, TRADE, Door
from mm.clock import US_PER_S
from mm.errors import OffGrid
from mm.instrument import E8
from mm.sim.exchange.orders import UserOrder

LONGEST_BODY = 16_384
TOO_SLOW = 1013
DOCS = "/docs"
_JSON = "application/json"
_PATTERN = r"^[A-Za-z0-9_.:-]{1,64}$"
Name = Annotated[str, Path(pattern=_PATTERN)]
Mine = Annotated[str | None, Query(pattern=_PATTERN, description="Required owner of the order; by default any client.")]
Number = Annotated[int, Path(ge=1, lt=2**62)]
Levels = Annotated[int, Query(ge=1, le=1_000, description="Levels of each side.")]
_LIMITS = {
    "max_position": "max_position_e8",
    "max_open_orders": "max_open_orders",
    "max_order_notional": "max_order_notional_e8",
    "price_band": "price_band_e8",
    "max_orders_per_s": "max_orders_per_s",
    "max_daily_loss": "max_daily_loss_e8",
}
"""The limits of a client, and their fields in `RiskLimits`."""


class BadRequest(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class DoorCheck:
    """Refuses requests by the server's door, with 401 or 403, and ends their streams."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        caller = role_of(scope), scope["headers"], (scope.get("client") or ("",))[0], scope["path"]

        async def send_while_allowed(message: Message) -> None:
            if message["type"] == "websocket.send" and self._door.refusal(*caller):
                await send({"type": "websocket.close", "code": 1008, "reason": "the token is not valid any more"})
                raise WebSocketDisconnect(1008)
            await send(message)

        refusal = self._door.refusal(*caller)
        if refusal and scope["type"] == "websocket":
            await WebSocketClose(1008, refusal.reason)(scope, receive, send)
        elif refusal:
            answer = _json(RefusalMessage(refusal.reason), refusal.status)
            answer.headers.update(refusal.headers)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send_while_allowed)


def role_of(scope: Scope) -> str | None:
    if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
        match scope["path"].split("/"):
            case ["", "risk", _, "kill"]:
                return KILL
            case ["", "risk", _, "rearm"]:
                return REARM
        return TRADE
    return None if scope["path"] == DOCS else READ


def made_app(market: DeskMarket, door: Door | None = None) -> FastAPI:
    app = FastAPI(
        title="mm: the trading interface",
        version=__version__,
        description="One symbol's exchange: orders, book, fills, positions and risk, per client.",
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(DoorCheck, door=door or Door("127.0.0.1"))
    app.add_exception_handler(BadRequest, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameters)
    OrderEndpoints(market).serve(app)
    Views(market).serve(app)
    app.get(DOCS, include_in_schema=False)(_docs)
    _serve_streams(app, market)
    app.openapi = partial(_described, app)  # type: ignore[method-assign]
    return app


class OrderEndpoints:
    def __init__(self, market: DeskMarket) -> None:
        self._market = market

    def serve(self, app: FastAPI) -> None:
        body = {"requestBody": {"required": True, "content": _content("OrderRequest")}}
        mine = {"requestBody": {"content": _content("CancelBody")}}
        app.post("/order", openapi_extra=body, **_answers("OrderAnswer", 413))(self.order)
        app.post("/cancel/{order_id}", openapi_extra=mine, **_answers("OrderAnswer", 404, 413))(self.cancel)
        app.post("/cancel_all/{client_id}", **_answers("Cancelled"))(self.cancel_all)
        app.post("/risk/{client_id}/kill", **_answers("Switched", 409))(self.kill)
        app.post("/risk/{client_id}/rearm", **_answers("Switched"))(self.rearm)

    async def order(self, request: Request) -> Response:
        """An order against a limit or rule is ``rejected``, with the reason."""
        began = time.perf_counter_ns()
        given = _read(read_order, await _body(request))
        price_e8: int | None = None
        try:
            if given.type == "market" and given.price is not None:
                raise BadRequest(422, f"price is {given.price}; a market order has none")
            if given.type != "market":
                if given.price is None:
                    raise BadRequest(422, f"price is missing; a {given.type} order needs one")
                price_e8 = in_e8(given.price, "price")
            size_e8 = in_e8(given.size, "size")
            order = self._market.now().place(given.client_id, SIDES[given.side], given.type, price_e8, size_e8)
        except ValueError as error:
            raise BadRequest(422, str(error)) from None
        except (OrderRefused, OffGrid) as error:
            if self._market.log:
                self._market.log.rejected(given, str(error))
            return _json(_rejected(given, str(error), began))
        return _json(self._answer(order, began))

    async def cancel(self, request: Request, order_id: Number, client_id: Mine = None) -> Response:
        """Cancel an order; of one that no longer rests, return the final state."""
        began = time.perf_counter_ns()
        body = await _body(request)
        owner = client_id or (_read(read_cancel, body).client_id if body.strip() else None)
        desk = self._market.now()
        order = desk.find(order_id)
        if order is None or owner not in (None, desk.owner(order)):
            raise BadRequest(404, f"order {order_id} does not belong to {owner or 'any client'}")
        desk.cancel(order)
        return _json(self._answer(order, began))

    async def cancel_all(self, client_id: Name) -> Response:
        return _json(Cancelled(client_id, self._market.now().cancel_all(client_id)))

    async def kill(self, client_id: Name) -> Response:
        try:
            cancelled = self._market.now().kill(client_id)
        except OrderRefused as error:
            raise BadRequest(409, str(error)) from None
        return _json(self._switched(client_id, cancelled))

    async def rearm(self, client_id: Name) -> Response:
        """A loss beyond ``max_daily_loss`` triggers the switch again."""
        self._market.now().rearm(client_id)
        return _json(self._switched(client_id, []))

    def _switched(self, name: str, cancelled: list[int]) -> Switched:
        client = self._market.desk.clients.get(name)
        killed = client.killed if client else None
        return Switched(client_id=name, killed=killed is not None, reason=killed, cancelled=cancelled)

    def _answer(self, order: UserOrder, began: int) -> OrderAnswer:
        size = self._market.messages.size
        answer = OrderAnswer(
            order.order_id, status_of(order), size(order.filled_lots), size(remaining_lots(order)), _us_since(began)
        )
        if reason := ended_by(order):
            answer.reason = reason
        return answer


class Views:
    def __init__(self, market: DeskMarket) -> None:
        self._market = market

    def serve(self, app: FastAPI) -> None:
        app.get("/book", **_answers("BookMessage"))(self.book)
        app.get("/fills/{client_id}", **_answers("ListedFill", many=True))(self.fills)
        app.get("/orders/{client_id}", **_answers("OpenOrder", many=True))(self.orders)
        app.get("/positions/{client_id}", **_answers("PositionMessage"))(self.position)
        app.get("/risk/{client_id}", **_answers("RiskState"))(self.risk)
        app.get("/health", **_answers("HealthMessage"))(self.health)

    async def book(self, levels: Levels = BOOK_LEVELS) -> Response:
        self._market.now()
        return _json(self._market.messages.book(levels))

    async def fills(self, client_id: Name) -> Response:
        """The newest 10,000, oldest first, as maker and taker."""
        fills = self._market.desk.fills(self._client(client_id))
        return _json([self._market.messages.fill(fill) for fill in fills])

    async def orders(self, client_id: Name) -> Response:
        orders = self._market.desk.orders(self._client(client_id))
        return _json([self._market.messages.order(order) for order in orders])

    async def position(self, client_id: Name) -> Response:
        client = self._client(client_id)
        profit = number(self._market.desk.profit_e16(client), 16)
        cash, held = number(client.cash_e16, 16), self._market.messages.size(client.lots)
        return _json(PositionMessage(position=held, pnl=profit, cash=cash, fees=number(client.fees_e8)))

    async def risk(self, client_id: Name) -> Response:
        client = self._client(client_id)
        limits, used = self._market.desk.limits, self._market.desk.use_of(client)
        return _json(
            RiskState(
                limits={name: _limit(limits, field) for name, field in _LIMITS.items()},
                use={name: number(used[name]) if name in used else NULL for name in _LIMITS},
                killed=client.killed is not None,
                reason=client.killed,
            )
        )

    async def health(self) -> Response:
        market = self._market
        desk, grid = market.now(), market.desk.grid
        return _json(
            HealthMessage(
                status="ok",
                symbol=grid.symbol,
                source=market.source,
                preset=market.preset,
                session_open=desk.is_open,
                tick_size=number(grid.tick_e8),
                lot_size=number(grid.lot_e8),
                multiplier=desk.preset.multiplier,
                clients=len(desk.clients),
                open_orders=desk.open_orders,
                timestamp=desk.us / US_PER_S,
            )
        )

    def _client(self, name: str) -> Client:
        desk: Desk = self._market.now()
        return desk.clients.get(name) or Client(0, name, day_ends_us=desk.us + 1)


def _serve_streams(app: FastAPI, market: DeskMarket) -> None:
    @app.websocket("/ws/md")
    async def market_data(socket: WebSocket) -> None:
        await _stream(socket, market, None)

    @app.websocket("/ws/fills/{client_id}")
    async def fills(socket: WebSocket, client_id: Name) -> None:
        await _stream(socket, market, client_id)


async def _stream(socket: WebSocket, market: DeskMarket, client: str | None) -> None:
    async def send() -> None:
        while True:
            await socket.send_text(await reader.next())

    async def read() -> None:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass

    with market.reading(client) as reader:
        await socket.accept()
        tasks = [asyncio.create_task(coroutine) for coroutine in (send(), read(), reader.over.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ends:
            if isinstance(error, Exception) and not isinstance(error, WebSocketDisconnect):
                raise error
        if reader.over.is_set():
            with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
                await asyncio.wait_for(socket.close(TOO_SLOW, "too slow"), 1.0)


async def _body(request: Request) -> bytes:
    """Raise BadRequest for a body that is too long, or a client that is gone."""
    parts, length = [], 0
    try:
        async for part in request.stream():
            length += len(part)
            if length > LONGEST_BODY:
                raise BadRequest(413, f"the body is longer than {LONGEST_BODY} bytes")
            parts.append(part)
    except ClientDisconnect:
        raise BadRequest(422, "the body is incomplete") from None
    return b"".join(parts)


def _read(decode: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        given = decode(body)
        refuse_repeated_keys(body)
        return given
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # a ValidationError is a DecodeError
        raise BadRequest(422, f"the body does not match the schema: {error}") from None


async def _docs() -> Response:
    return Response(PAGE, media_type="text/html")


def _rejected(given: OrderRequest, reason: str, began: int) -> OrderAnswer:
    left = msgspec.Raw(format(given.size, "f").encode())
    return OrderAnswer(None, "rejected", number(0), left, _us_since(began), reason)


def _limit(limits: RiskLimits, field: str) -> msgspec.Raw:
    value = getattr(limits, field)
    return NULL if value is None else number(value if field.endswith("_e8") else value * E8)


def _us_since(began_ns: int) -> int:
    return (time.perf_counter_ns() - began_ns) // 1_000


def _json(content: Any, status: int = 200) -> Response:
    return Response(encode(content), status, media_type=_JSON)


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, BadRequest)
    return _json(RefusalMessage(error.detail), error.status)


async def _refuse_parameters(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    parts = (f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors())
    return _json(RefusalMessage("; ".join(parts)), 422)


def _content(name: str, *, many: bool = False) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {_JSON: {"schema": {"type": "array", "items": schema} if many else schema}}


def _answers(name: str, *statuses: int, many: bool = False) -> dict[str, Any]:
    refusals = {key: {"description": "Refused", "content": _content("RefusalMessage")} for key in (422, *statuses)}
    answer = {"description": "Successful response", "content": _content(name, many=many)}
    return {"responses": {200: answer, **refusals}, "response_class": Response}


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        description = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        description.setdefault("components", {}).setdefault("schemas", {}).update(schemas())
        app.openapi_schema = description
    return app.openapi_schema

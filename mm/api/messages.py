"""The messages of the trading interface: requests, responses, decimals."""

import json
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from mm.errors import OffGrid
from mm.instrument import decimal_text

Side = Literal["buy", "sell"]
OrderType = Literal["limit", "market", "limit_maker"]
OrderStatus = Literal["open", "partial", "filled", "cancelled", "rejected"]
Given = Annotated[
    Decimal, Meta(description="A decimal above zero, as a number or as a string.", extra_json_schema={"format": None})
]
Exact = Annotated[Raw, Meta(extra_json_schema={"type": "number"})]
MaybeExact = Annotated[Raw, Meta(extra_json_schema={"type": ["number", "null"]})]
BookLevel = Annotated[list[Exact], Meta(min_length=2, max_length=2, description="Price and size.")]
ClientId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$", description="Name of a client, chosen by it.")]
OrderId = Annotated[int, Meta(description="The exchange's number of an order.")]
Seconds = Annotated[float, Meta(description="The exchange's time, Unix seconds.")]
_MOST_DIGITS = 12  # before the decimal point; enough for every price and quantity
NULL = Raw(b"null")


class OrderRequest(Struct):
    """An order: ``limit``, ``market``, or ``limit_maker``, which is rejected if it would take liquidity."""

    client_id: ClientId
    side: Side
    type: OrderType
    size: Given
    price: Given | None = None


class CancelBody(Struct):
    """The client that must own a cancelled order."""

    client_id: ClientId | None = None


class OrderAnswer(Struct):
    """*order_id* is null if it was rejected; *ack_us* counts from the request's arrival to the response."""

    order_id: OrderId | None
    status: OrderStatus
    filled: Exact
    remaining: Exact
    ack_us: int
    reason: str | UnsetType = UNSET


class BookMessage(Struct):
    """The book: best prices, and levels ``[price, size]``, best first; null where a side is empty."""

    mid: MaybeExact
    best_bid: MaybeExact
    best_ask: MaybeExact
    spread: MaybeExact
    bids: list[BookLevel]
    asks: list[BookLevel]
    timestamp: Seconds


class FillEvent(Struct, tag_field="event", tag="fill"):
    order_id: OrderId
    side: Side
    price: Exact
    size: Exact
    timestamp: Seconds


class ListedFill(Struct):
    """A negative fee is a rebate."""

    order_id: OrderId
    side: Side
    price: Exact
    size: Exact
    timestamp: Seconds
    trade_id: int
    liquidity: Literal["maker", "taker"]
    fee: Exact


class OpenOrder(Struct):
    order_id: OrderId
    side: Side
    type: OrderType
    price: Exact
    size: Exact
    filled: Exact
    remaining: Exact
    status: OrderStatus
    timestamp: Seconds


class PositionMessage(Struct):
    """A client's position and profit; *cash* is the income of all fills minus fees, from 0."""

    position: Exact
    pnl: Exact
    cash: Exact
    fees: Exact


class Cancelled(Struct):
    client_id: ClientId
    cancelled: list[OrderId]


class Switched(Struct):
    client_id: ClientId
    killed: bool
    reason: str | None
    cancelled: list[OrderId]


Limits = dict[str, MaybeExact]


class RiskState(Struct):
    """A client's limits, the use of each in the limit's unit, and its kill switch."""

    limits: Limits
    use: Limits
    killed: bool
    reason: str | None


class HealthMessage(Struct):
    status: Literal["ok"]
    symbol: str
    source: str
    preset: str | None
    session_open: bool
    tick_size: Exact
    lot_size: Exact
    multiplier: int
    clients: int
    open_orders: int
    timestamp: Seconds


class RefusalMessage(Struct):
    detail: str


ANSWERS: tuple[type[Struct], ...] = (
    *(OrderRequest, CancelBody, OrderAnswer, BookMessage, ListedFill, FillEvent, OpenOrder, PositionMessage),
    *(Cancelled, Switched, RiskState, HealthMessage, RefusalMessage),
)
encode = msgspec.json.Encoder().encode
read_order = msgspec.json.Decoder(OrderRequest).decode
read_cancel = msgspec.json.Decoder(CancelBody).decode


def refuse_repeated_keys(body: bytes) -> None:
    """Raise ValueError: readers differ in which of two equal keys counts."""

    def unique(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError(f"the key {max(names, key=names.count)!r} is repeated")

    json.loads(body, object_pairs_hook=unique, parse_int=str, parse_float=str)


def number(value: int, places: int = 8) -> Raw:
    text = decimal_text(value, places)
    return Raw(text.rstrip("0").rstrip(".").encode())


def in_e8(value: Decimal, what: str) -> int:
    """Return a decimal in 1e-8; ValueError unless above zero and possible, OffGrid beyond eight places."""
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{what} is {_short_text(value)}; it must be a number above zero")
    if value.adjusted() >= _MOST_DIGITS:
        raise ValueError(f"{what} is {_short_text(value)}; it must be below 1e{_MOST_DIGITS}")
    _, digits, exponent = value.as_tuple()
    if value.adjusted() < -8:
        raise OffGrid(f"{what} {_short_text(value)} is below 0.00000001")
    whole, shift = int("".join(map(str, digits))), int(exponent) + 8
    amount, rest = divmod(whole * int(10 ** max(shift, 0)), int(10 ** max(-shift, 0)))
    if rest:
        raise OffGrid(f"{what} {_short_text(value)} has more than eight decimal places")
    return amount


def schemas() -> dict[str, Any]:
    _, definitions = msgspec.json.schema_components(ANSWERS, ref_template="#/components/schemas/{name}")
    return {name: _widened(definition) for name, definition in definitions.items()}


def _widened(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_widened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "string" and "format" in schema:
        decimal = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,8})?$"}
        return {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, decimal], "description": schema["description"]}
    return {key: _widened(member) for key, member in schema.items()}


def _short_text(value: Decimal) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"

"""Faults of answers over HTTP: refused, late, cut, and snapshots of a chosen id; and what changes ids and stamps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from mm.clock import MS_BELOW, US_PER_MS
from mm.sim.exchange.truth import Forgotten, MarketTruth
from mm.sim.wire.faults.fault import OTHER_SYMBOL, Fault, FaultContext
from mm.sim.wire.http_messages import Request, Response, json_bytes, json_response
from mm.sim.wire.stream_messages import Message

DEPTH_PATH = "/api/v3/depth"
_HTML_HEADERS = {"Content-Type": "text/html"}
_OK = 200
_LEVELS, _MOST_LEVELS = 100, 5_000
_STAMPS = frozenset({"E", "T", "serverTime", "time", "updateTime", "workingTime", "transactTime"})
_LAST_ID = {"depth": "u", "bookTicker": "u", "partial": "lastUpdateId"}
_OLDEST_MS = 10**11


def has_path(fault: Fault, request: Request) -> bool:
    """Return True if *request* has the path of *fault*: without one, depth."""
    return request.path.startswith(fault["path"] or DEPTH_PATH)


def is_snapshot(fault: Fault, request: Request) -> bool:
    """Return True if *request* is for a snapshot."""
    return request.path == DEPTH_PATH


def is_exchange_info(fault: Fault, request: Request) -> bool:
    """Return True if *request* is for the rules of the symbol."""
    return request.path.endswith("/exchangeInfo")


def status(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """A request is answered with `code`, and Retry-After of `retry_after` seconds where that is not 0."""
    # JSON where the exchange counts requests, HTML where something before it refuses.
    code = fault["code"]
    retry = {"Retry-After": str(fault["retry_after"])} if fault["retry_after"] else {}
    if code in (418, 429):
        content = {"code": -1003, "msg": "Too many requests; please use the websocket for live updates."}
        return json_response(code, content, retry)
    page = f"<html><head><title>{code}</title></head><body><h1>{code}</h1></body></html>"
    return Response(code, _HTML_HEADERS | retry, page.encode())


def slow(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """An answer comes `delay_s` seconds of wall time late."""
    return replace(response, delay_s=response.delay_s + fault["delay_s"])


def cut_body(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """The connection is cut after `share` of an answer's body, though its whole length was announced."""
    return replace(response, cut_at=int(len(response.body) * fault["share"]))


def reset_request(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """A connection is reset instead of an answer."""
    return replace(response, reset=True)


def broken_body(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """The JSON of an answer breaks off in its middle; its length is announced as it is."""
    return replace(response, body=response.body[: len(response.body) // 2])


def empty_sides(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """A snapshot has no levels on `side`: ``bids``, ``asks`` or ``both``."""
    gone = ("bids", "asks") if fault["side"] == "both" else (fault["side"],)
    return _edited(response, lambda content: content | {one: [] for one in gone})


def wrong_symbol(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """An answer is that of another symbol: of depth a book at half the prices with an old id, else another name."""
    if request.path.endswith("/depth"):
        return _edited(response, lambda content: _other_book(content, context))
    name = context.truth.instrument.symbol.encode()
    return replace(response, body=response.body.replace(b'"%b"' % name, b'"%b"' % OTHER_SYMBOL.encode()))


def snapshot(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """A snapshot is the true book of another id: `where` it lies by the newest stream connection's messages."""
    # Unchanged where the truth does not reach, or no depth message was sent yet.
    first, last = context.depth_ids[:2] if fault["of"] == "first" else context.depth_ids[2:]
    update_id = context.truth.last_update_id
    if fault["where"] != "newer" and last:
        update_id = {"old": first - 1 - fault["back"], "before": first - 1, "inside": (first + last) // 2}[
            fault["where"]
        ]
    try:
        bids, asks = context.truth.book(update_id)
    except Forgotten:
        return response
    text = request.params.get("limit", "")
    limit = min(int(text), _MOST_LEVELS) if text.isascii() and text.isdigit() else _LEVELS
    return _edited(response, lambda _: {"lastUpdateId": update_id, "bids": bids[:limit], "asks": asks[:limit]})


def tick_size(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """From now on exchangeInfo has a tick size of `value`."""

    def coarser(content: dict[str, Any]) -> dict[str, Any]:
        for entry in content["symbols"]:
            for one in entry["filters"]:
                if one["filterType"] == "PRICE_FILTER":
                    one["tickSize"] = fault["value"]
        return content

    return _edited(response, coarser)


def halt(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """Trading stands still for `for_s` seconds: exchangeInfo has `status`, depth and trades come when it is over."""

    def halted(content: dict[str, Any]) -> dict[str, Any]:
        return content | {"symbols": [entry | {"status": fault["status"]} for entry in content["symbols"]]}

    return _edited(response, halted)


def renumbered(message: Message, truth: MarketTruth) -> Message:
    """Return *message* with its update ids as the wire counts them; one that spans a reset begins as the new count."""
    if message.kind not in _LAST_ID:
        return message
    last_id, least_id = truth.named(message.last_id)
    first_id = max(message.first_id - message.last_id + last_id, least_id)
    event = message.event | {_LAST_ID[message.kind]: last_id}
    if message.kind == "depth":
        event["U"] = first_id
    return Message(message.stream, message.kind, first_id, last_id, json_bytes(event))


def renumbered_answer(request: Request, response: Response, truth: MarketTruth) -> Response:
    """Return the *response* to a snapshot's *request* with its id as the wire counts it; others as they are."""
    if not request.path.endswith("/depth"):
        return response
    return _edited(response, lambda content: content | {"lastUpdateId": truth.named(content["lastUpdateId"])[0]})


def shifted(message: Message, offset_ms: int) -> Message:
    """Return *message* with its stamps *offset_ms* later."""
    return message.changed(_shift(message.event, offset_ms))


def shifted_answer(response: Response, offset_ms: int) -> Response:
    """Return *response* with the stamps of its JSON *offset_ms* later."""
    try:
        content = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        return response
    return replace(response, body=json_bytes(_shift(content, offset_ms)))


def _edited(response: Response, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Response:
    """Return *response* with its JSON object passed through *edit*; unchanged where it is no success, or damaged."""
    if response.status != _OK:
        return response
    try:
        content = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        return response
    return replace(response, body=json_bytes(edit(content)))


def _other_book(content: dict[str, Any], context: FaultContext) -> dict[str, Any]:
    grid = context.truth.instrument
    sides = {
        side: [(grid.price((grid.ticks(price) + 1) // 2), qty) for price, qty in content[side]]
        for side in ("bids", "asks")
    }
    return content | sides | {"lastUpdateId": content["lastUpdateId"] // 2}


def _shift(content: Any, offset_ms: int) -> Any:
    if isinstance(content, list):
        return [_shift(one, offset_ms) for one in content]
    if not isinstance(content, dict):
        return content
    return {
        name: _later(value, offset_ms) if name in _STAMPS and isinstance(value, int) else _shift(value, offset_ms)
        for name, value in content.items()
    }


def _later(stamp: int, offset_ms: int) -> int:
    """Return a stamp, in ms or µs by its size, *offset_ms* later; what is too small for one stays."""
    if stamp < _OLDEST_MS:
        return stamp
    return stamp + offset_ms * (US_PER_MS if stamp >= MS_BELOW else 1)

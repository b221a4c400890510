"""Faults of HTTP responses (refused, late, cut, snapshots of other ids), and changes of ids and timestamps."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from mm.base.knobs import TEXT, Knob, integer, number, one_of
from mm.clock import MS_BELOW, US_PER_MS
from mm.sim.exchange.truth import MarketTruth, UnknownId
from mm.sim.wire.faults.fault import OTHER_SYMBOL, Fault, FaultContext, FaultKind
from mm.sim.wire.faults.message_faults import all_when_over, hold
from mm.sim.wire.faults.request_faults import status_of_request
from mm.sim.wire.http_messages import Request, Response, json_bytes, json_response
from mm.sim.wire.stream_messages import Message

DEPTH_PATHS = ("/api/v3/depth", "/fapi/v1/depth")
"""Paths of snapshots, by market."""
_HTML_HEADERS = {"Content-Type": "text/html"}
_OK = 200
_LEVELS, _MOST_LEVELS = 100, 5_000
_STAMPS = frozenset(
    {"E", "T", "O", "W", "u", "serverTime", "retryAfter", "time", "updateTime", "workingTime", "transactTime"}
)
"""Fields with timestamps; others of these names, such as ids, are smaller than any timestamp."""
_LAST_ID = {"depth": "u", "bookTicker": "u", "partial": "lastUpdateId"}
_OLDEST_MS = 10**11


def status(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """A request is answered with `code`, and Retry-After of `retry_after` seconds; done if 5xx and not `undone=1`."""
    # JSON for a rate limit of the exchange, HTML for a refusal by a proxy in front of it.
    code = fault["code"]
    retry = {"Retry-After": str(fault["retry_after"])} if fault["retry_after"] else {}
    if code in (418, 429):
        content = {"code": -1003, "msg": "Too many requests; please use the websocket for live updates."}
        return json_response(code, content, retry)
    page = f"<html><head><title>{code}</title></head><body><h1>{code}</h1></body></html>"
    return Response(code, _HTML_HEADERS | retry, page.encode())


def slow(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """A response is `delay_s` seconds of wall time late."""

    def wait(send: Callable[[], None]) -> None:
        later = partial(response.wait, send) if response.wait else send
        asyncio.get_running_loop().call_later(fault["delay_s"], later)

    return replace(response, wait=wait)


def cut_body(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """The connection is cut after `share` of a response's body; Content-Length is the full length."""
    return replace(response, cut_at=int(len(response.body) * fault["share"]))


def reset_request(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """The connection is reset instead of a response."""
    return replace(response, reset=True)


def broken_body(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """The JSON of a response is truncated in the middle; Content-Length is the truncated length."""
    return replace(response, body=response.body[: len(response.body) // 2])


def empty_sides(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """A snapshot has no levels on `side`: ``bids``, ``asks`` or ``both``."""
    gone = ("bids", "asks") if fault["side"] == "both" else (fault["side"],)
    return _edited(response, lambda content: content | {side: [] for side in gone})


def wrong_symbol(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """The response is for another symbol: depth has half the prices and an old id, other responses another name."""
    grid = context.truth.instrument

    def halved(content: dict[str, Any]) -> dict[str, Any]:
        sides = {
            side: [(grid.price((grid.ticks(price) + 1) // 2), qty) for price, qty in content[side]]
            for side in ("bids", "asks")
        }
        return content | sides | {"lastUpdateId": content["lastUpdateId"] // 2}

    if request.path.endswith("/depth"):
        return _edited(response, halved)
    name = grid.symbol.encode()
    return replace(response, body=response.body.replace(b'"%b"' % name, b'"%b"' % OTHER_SYMBOL.encode()))


def snapshot(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """A snapshot is the true book of another id; `where` is relative to the newest stream connection's messages."""
    # Unchanged if the book of that id is no longer kept; the newest book if no depth message was sent yet.
    first, last = context.depth_ids[:2] if fault["of"] == "first" else context.depth_ids[2:]
    update_id = context.truth.last_update_id
    if fault["where"] != "newer" and last:
        update_id = {"old": first - 1 - fault["back"], "before": first - 1, "inside": (first + last) // 2}[
            fault["where"]
        ]
    try:
        bids, asks = context.truth.book(update_id)
    except UnknownId:
        return response
    text = request.params.get("limit", "")
    limit = min(int(text), _MOST_LEVELS) if text.isascii() and text.isdigit() else _LEVELS
    return _edited(response, lambda _: {"lastUpdateId": update_id, "bids": bids[:limit], "asks": asks[:limit]})


def halt(fault: Fault, request: Request, response: Response, context: FaultContext) -> Response:
    """Trading is halted for `for_s` seconds: exchangeInfo has `status`; depth and trades are held until the end."""

    def halted(content: dict[str, Any]) -> dict[str, Any]:
        return content | {"symbols": [entry | {"status": fault["status"]} for entry in content["symbols"]]}

    return _edited(response, halted)


def renumbered(message: Message, truth: MarketTruth) -> Message:
    """Use client-facing update ids; a message that spans a reset begins with the first new id."""
    if message.kind not in _LAST_ID:
        return message
    last_id, least_id = truth.named(message.last_id)
    first_id = max(message.first_id - message.last_id + last_id, least_id)
    event = message.event
    event["u" if "u" in event else _LAST_ID[message.kind]] = last_id
    if message.kind == "depth":
        event["U"] = first_id
    if "pu" in event:
        event["pu"] = first_id - 1
    return Message(message.stream, message.kind, first_id, last_id, json_bytes(event))


def renumbered_answer(request: Request, response: Response, truth: MarketTruth) -> Response:
    if not request.path.endswith("/depth"):
        return response
    return _edited(response, lambda content: content | {"lastUpdateId": truth.named(content["lastUpdateId"])[0]})


class ClockOffsets:
    """How far the exchange's clock is off, since when: earlier stamps stay."""

    def __init__(self) -> None:
        self._since: list[tuple[int, int]] = []  # instant in µs, and ms added from it on

    def __bool__(self) -> bool:
        return bool(self._since)

    def add(self, us: int, offset_ms: int) -> None:
        self._since.append((us, offset_ms))

    def stamp(self, value: int) -> int:
        """Return what the clock showed at an instant; both are in ms, or both in µs."""
        unit_us = 1 if value >= MS_BELOW else US_PER_MS
        offset_ms = sum(ms for since_us, ms in self._since if value * unit_us + unit_us > since_us)
        return value + offset_ms * US_PER_MS // unit_us

    def message(self, message: Message) -> Message:
        return message.changed(self.shifted(message.event))

    def answer(self, response: Response) -> Response:
        return _edited(response, self.shifted, also_errors=True)

    def shifted(self, content: Any) -> Any:
        if isinstance(content, list):
            return [self.shifted(part) for part in content]
        if not isinstance(content, dict):
            return content
        return {
            name: self.stamp(value)
            if name in _STAMPS and isinstance(value, int) and value >= _OLDEST_MS
            else self.shifted(value)
            for name, value in content.items()
        }


def _edited(response: Response, edit: Callable[[Any], Any], *, also_errors: bool = False) -> Response:
    """Leave it unchanged if the JSON is damaged or the status is not 200."""
    if response.status != _OK and not also_errors:
        return response
    try:
        content = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        return response
    return replace(response, body=json_bytes(edit(content)))


def _answer(answer: Any, *, effect: Any = None, **own: Knob) -> FaultKind:
    """Make a fault of the next ``n`` requests of a path, 0 for all further ones."""

    def has_path(fault: Fault, request: Request) -> bool:
        verb, _, path = str(fault["path"]).rpartition(" ")
        return request.path.startswith(path or DEPTH_PATHS) and verb in ("", request.method)

    parameters = {"n": Knob(integer(0), 1), "path": Knob(TEXT, "")} | own
    return FaultKind.of_function(answer, parameters=parameters, applies=has_path, answer=answer, effect=effect)


def _snapshot(answer: Any, **own: Knob) -> FaultKind:
    return FaultKind.of_function(
        answer,
        parameters={"n": Knob(integer(0), 1)} | own,
        applies=lambda _, request: request.path in DEPTH_PATHS,
        answer=answer,
    )


def _exchange_info(answer: Any, parameters: dict[str, Knob], **more: Any) -> FaultKind:
    return FaultKind.of_function(
        answer,
        parameters=parameters,
        applies=lambda _, request: request.path.endswith("/exchangeInfo"),
        answer=answer,
        **more,
    )


ANSWER_FAULTS = (
    _answer(
        status,
        effect=status_of_request,
        code=Knob(integer(0), 503),
        retry_after=Knob(integer(0), 0),
        undone=Knob(integer(0), 0),
    ),
    _answer(slow, delay_s=Knob(number(0), 20.0)),
    _answer(cut_body, share=Knob(number(0), 0.5)),
    _answer(reset_request),
    _answer(broken_body),
    _snapshot(empty_sides, side=Knob(one_of("bids", "asks", "both"), "both")),
    _answer(wrong_symbol),
    _snapshot(
        snapshot,
        where=Knob(one_of("old", "before", "inside", "newer"), "old"),
        of=Knob(one_of("first", "last"), "first"),
        back=Knob(integer(1), 1),
    ),
    # Messages of every connection are held for the same time.
    _exchange_info(
        halt,
        {"status": Knob(TEXT, "BREAK"), "for_s": Knob(number(0), 5.0)},
        of="any",
        later=True,
        edit=hold,
        due=all_when_over,
    ),
)

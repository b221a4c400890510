"""Faults of the exchange as a whole: its numbering, its clock, a halt. They befall every connection alike."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import msgspec

from mm.clock import US_PER_MS
from mm.sim.exchange.truth import MarketTruth
from mm.sim.wire.faults.base import Armed, MessageFault, Out, ResponseFault, Scene
from mm.sim.wire.faults.parameters import KINDS, Fault, least, micros
from mm.sim.wire.faults.responses import edited
from mm.sim.wire.http_messages import Request, Response, json_bytes
from mm.sim.wire.stream_messages import Message

_STAMPS = frozenset({"E", "T", "serverTime", "time", "updateTime", "workingTime", "transactTime"})
_LAST_ID = {"depth": "u", "bookTicker": "u", "partial": "lastUpdateId"}
_OLDEST_MS, _OLDEST_US = 10**11, 10**14


@dataclass(frozen=True)
class IdReset(Fault):
    """Update ids count anew from `first`, in messages, snapshots and the truth, as after maintenance."""

    first: int = least(1, 1)


@dataclass(frozen=True)
class ClockOffset(Fault):
    """Every stamp that the exchange sends is `ms` ahead, or behind where negative; several add up."""

    ms: int = least(1_300, -math.inf)


@dataclass(frozen=True)
class Halt(MessageFault, ResponseFault):
    """Trading stands still for `for_s` seconds: exchangeInfo says `status`, depth and trades come when it is over."""

    later: ClassVar[bool] = True
    status: str = "BREAK"
    for_s: float = 5.0

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of messages that it holds: all of the market."""
        return KINDS["any"]

    @property
    def lasts_us(self) -> int | None:
        """How long it lasts, in µs."""
        return micros(self.for_s)

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Hold it."""
        armed.held.append((scene.now_us, message))
        return []

    def due(self, armed: Armed, scene: Scene) -> list[Out]:
        """Send all when trading goes on."""
        return armed.let_go(scene.now_us) if armed.late(scene.now_us) else []

    def befalls(self, request: Request) -> bool:
        """Return whether it asks for the status."""
        return request.path.endswith("/exchangeInfo")

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Answer that trading stands still."""

        def halted(content: dict[str, Any]) -> dict[str, Any]:
            return content | {"symbols": [entry | {"status": self.status} for entry in content["symbols"]]}

        return edited(response, halted)


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
    return edited(response, lambda content: content | {"lastUpdateId": truth.named(content["lastUpdateId"])[0]})


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
    """Return a stamp, in ms or µs as its size tells, *offset_ms* later; what is too small for one stays."""
    if stamp < _OLDEST_MS:
        return stamp
    return stamp + offset_ms * (US_PER_MS if stamp >= _OLDEST_US else 1)

"""Faults of what a message says: malformed, strange, or false.

What they add or change never happened: the truth stays what it is, and the log of what was sent names the fault.
"""

from dataclasses import dataclass
from typing import ClassVar

from mm.instrument import Instrument, decimal_text
from mm.market_data.local_orderbook import Level
from mm.sim.exchange.truth import Forgotten
from mm.sim.wire.faults.base import Armed, Damaged, DepthFault, KindFault, Out, Scene
from mm.sim.wire.http_messages import json_bytes
from mm.sim.wire.stream_messages import Message, binary_frame

CAPPED_QTY = "92233720368.54775807"
_FOREIGN = "OTHERUSDT"


@dataclass(frozen=True)
class BadJson(KindFault):
    """A message breaks off in its middle."""

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send its first half."""
        return [damaged(message, message.raw[: len(message.raw) // 2])]


@dataclass(frozen=True)
class BadUtf8(KindFault):
    """A text frame holds bytes that are no UTF-8."""

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send it with such bytes at its end."""
        return [damaged(message, message.raw[:-1] + b',"x":"\xff\xfe"}')]


@dataclass(frozen=True)
class UnknownEvent(KindFault):
    """Before a message comes an event that no documentation knows."""

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send the strange one, then it."""
        return [other({"e": "somethingNew", "E": scene.now_us // 1_000, "x": [1, {"y": None}]}), message]


@dataclass(frozen=True)
class MissingField(KindFault):
    """A message lacks its field `field`."""

    reads: ClassVar[bool] = True
    field: str = "u"

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out] | None:
        """Send it without the field; wait for one that has it."""
        event = message.event
        if event.pop(self.field, None) is None:
            return None
        return [damaged(message, json_bytes(event))]


@dataclass(frozen=True)
class ExtraField(KindFault):
    """A message has a field more, `field`; all else is as it was."""

    reads: ClassVar[bool] = True
    field: str = "zz"

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send it with the field."""
        return [message.changed(message.event | {self.field: {"new": [True, None, "0.1"]}})]


@dataclass(frozen=True)
class NonAscii(KindFault):
    """A message has a field more, `note`, whose text is not ASCII."""

    reads: ClassVar[bool] = True
    text: str = "Ω市場🦄"

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send it with the field, unescaped."""
        return [message.changed(message.event | {"note": self.text})]


@dataclass(frozen=True)
class Binary(KindFault):
    """A message comes in a binary frame."""

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send the same text, called binary."""
        return [binary_frame(message.payload(combined=scene.combined))]


@dataclass(frozen=True)
class Huge(KindFault):
    """Before a message comes an unknown event of `size` bytes or a little more."""

    size: int = 2 * 1024 * 1024

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send the big one, then it."""
        return [other({"e": "padding", "x": "x" * self.size}), message]


@dataclass(frozen=True)
class ForeignSymbol(KindFault):
    """A message says that it is of another symbol."""

    reads: ClassVar[bool] = True

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out] | None:
        """Send it with the other name; wait for one that says its symbol."""
        event = message.event
        return [message.changed(event | {"s": _FOREIGN})] if "s" in event else None


@dataclass(frozen=True)
class Crossed(DepthFault):
    """A depth message has a bid that is not there, `ticks` above the best ask; 0 locks the book."""

    reads: ClassVar[bool] = True
    ticks: int = 1

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out] | None:
        """Send it with that bid; wait while there is no ask."""
        asks = _book(message, scene)[1]
        if not asks:
            return None
        grid = scene.truth.instrument
        return [_with_bid(message, (grid.price(grid.ticks(asks[0][0]) + self.ticks), asks[0][1]))]


@dataclass(frozen=True)
class OffTick(DepthFault):
    """A depth message has a bid that is not there, behind the best and at a price between two ticks."""

    reads: ClassVar[bool] = True

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out] | None:
        """Send it with that bid; wait while there is no bid above one tick."""
        bids = _book(message, scene)[0]
        grid = scene.truth.instrument
        ticks = grid.ticks(bids[0][0]) - 1 if bids else 0
        return [_with_bid(message, (_between(grid, ticks), bids[0][1]))] if ticks else None


@dataclass(frozen=True)
class CappedQty(DepthFault):
    """The first level of a depth message has the largest quantity that the exchange can say."""

    reads: ClassVar[bool] = True

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send it with that quantity."""
        event = message.event
        side = event["b"] or event["a"]
        side[0] = (side[0][0], CAPPED_QTY)
        return [message.changed(event)]


def damaged(message: Message, raw: bytes) -> Damaged:
    """Return *message* saying *raw* instead."""
    return Damaged(message.stream, message.kind, message.first_id, message.last_id, raw)


def other(event: dict[str, object]) -> Message:
    """Return a message of no stream that the exchange has."""
    return Message("!other", "other", 0, 0, json_bytes(event))


def _book(message: Message, scene: Scene) -> tuple[list[Level], list[Level]]:
    """Return bids and asks after *message*; none where the truth does not reach back so far."""
    try:
        return scene.truth.book(message.last_id)
    except Forgotten:
        return [], []


def _with_bid(message: Message, level: Level) -> Message:
    event = message.event
    event["b"] = [level, *(one for one in event["b"] if one[0] != level[0])]
    return message.changed(event)


def _between(grid: Instrument, ticks: int) -> str:
    """Return a price half a tick above *ticks*, in nine places where eight cannot say it."""
    price_e8, rest = divmod((2 * ticks + 1) * grid.tick_e8, 2)
    return decimal_text(price_e8) + ("5" if rest else "")

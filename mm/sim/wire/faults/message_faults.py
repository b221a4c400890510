"""Faults of messages: delivery, timing and content.

Each function returns the replacement of a message, or None if the fault does not apply to it and waits for the next.
Faults do not change the true data, and the log of sent messages names the fault.
"""

import json
from collections.abc import Mapping
from typing import Any

from mm.base.knobs import TEXT, Knob, integer, number, one_of
from mm.instrument import decimal_text
from mm.markets.local_orderbook import Level
from mm.sim.exchange.truth import UnknownId
from mm.sim.wire.bybit.topic_messages import BookMessage, PrintsMessage
from mm.sim.wire.faults.fault import (
    COUNT,
    FOR_S,
    KINDS,
    MARKET_KINDS,
    OTHER_SYMBOL,
    ActiveFault,
    Damaged,
    FaultContext,
    FaultKind,
    Out,
    micros,
)
from mm.sim.wire.http_messages import json_bytes
from mm.sim.wire.stream_messages import Message, binary_frame

CAPPED_QTY = "92233720368.54775807"


def drop(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """Messages are lost."""
    return []


def duplicate(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """Messages are sent twice."""
    return [message, message]


def stale(message: Message, active: ActiveFault, context: FaultContext) -> list[Out] | None:
    """After a message, the one that came `back` messages earlier on its stream is sent again."""
    earlier, back = context.past.get(message.stream, ()), active.fault["back"]
    return [message, earlier[-back]] if len(earlier) >= back else None


def overlap(message: Message, active: ActiveFault, context: FaultContext) -> list[Out] | None:
    """A depth message begins `by` ids earlier and includes the levels changed by these, with their final quantities."""
    first_id = message.first_id - active.fault["by"]
    try:
        bids, asks = context.truth.changed(first_id, message.last_id)
    except UnknownId:
        return None
    event = message.event
    if "U" not in event:
        return None
    event |= {"U": first_id, "b": bids, "a": asks}
    event |= {"pu": first_id - 1} if "pu" in event else {}
    return [Message(message.stream, message.kind, first_id, message.last_id, json_bytes(event))]


def wrong_id(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """A depth message ends, by its `u`, `by` ids later than it does; the next one begins where it should."""
    event = message.event
    return [message.changed(event | {"u": event["u"] + active.fault["by"]})]


def resnapshot(message: Message, active: ActiveFault, context: FaultContext) -> list[Out] | None:
    """A change of a book is sent as a snapshot of it, as Bybit may at any time."""
    if not isinstance(message, BookMessage):
        return None
    try:
        return [message.as_snapshot(*context.truth.book(message.last_id))]
    except UnknownId:
        return None


def split_prints(message: Message, active: ActiveFault, context: FaultContext) -> list[Out] | None:
    """The prints of a taker come in messages of `most` prints each, as Bybit splits more than 1,024."""
    return [*message.split(active.fault["most"])] if isinstance(message, PrintsMessage) else None


def reorder_fields(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """The fields of a message stand in the opposite order."""
    raw = json_bytes(_turned(json.loads(message.raw)))
    return [Message(message.stream, message.kind, message.first_id, message.last_id, raw)]


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _turned(part) for name, part in reversed(value.items())}
    return [_turned(part) for part in value] if isinstance(value, list) else value


def swap(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """Adjacent messages are swapped, `n` pairs."""
    if not active.held:
        return active.hold(message, context.now_us)
    return [message, active.held.pop()[1]]


def burst(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """The next `n` messages are held and then sent in one write, at the latest after `for_s` seconds."""
    active.hold(message, context.now_us)
    return active.release(context.now_us) if active.left == 1 else []


def lag(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """Every message is `delay_s` seconds late, for `for_s` seconds or permanently."""
    active.hold(message, context.now_us)
    return lagged(active, context)


def lagged(active: ActiveFault, context: FaultContext) -> list[Out]:
    """Release messages whose delay has passed; all if the fault has ended."""
    delay_us = 0 if active.is_late(context.now_us) else micros(active.fault["delay_s"]) or 0
    return active.release(context.now_us - delay_us)


def lag_due_us(active: ActiveFault) -> int | None:
    """The earlier of the end of the lag and the due time of its first held message."""
    dues = [since_us + (micros(active.fault["delay_s"]) or 0) for since_us, _ in active.held[:1]]
    return min([*dues, *([] if active.until_us is None else [active.until_us])], default=None)


def delay(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """Messages, with `of=line` answers too, of open and later connections are late, up to `delay_s` in `grow_s` s."""
    active.hold(message, context.now_us)
    return delayed(active, context)


def delayed(active: ActiveFault, context: FaultContext) -> list[Out]:
    if active.is_late(context.now_us):
        return active.release(context.now_us)
    due = sum(1 for since_us, _ in active.held if since_us + _delay_us(active, since_us) <= context.now_us)
    return active.release(active.held[due - 1][0]) if due else []


def delay_due_us(active: ActiveFault) -> int | None:
    dues = [since_us + _delay_us(active, since_us) for since_us, _ in active.held[:1]]
    return min([*dues, *([] if active.until_us is None else [active.until_us])], default=None)


def _delay_us(active: ActiveFault, us: int) -> int:
    whole_us, grow_us = micros(active.fault["delay_s"]) or 0, micros(active.fault["grow_s"]) or 0
    return min(whole_us, whole_us * (us - active.begun_us) // grow_us) if grow_us else whole_us


def stall(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """Messages are not sent, for `for_s` seconds or permanently; pings continue."""
    return []


def hold(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    return active.hold(message, context.now_us)


def all_when_over(active: ActiveFault, context: FaultContext) -> list[Out]:
    return active.release(context.now_us) if active.is_late(context.now_us) else []


def bad_json(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """A message is truncated in the middle."""
    return [_damaged(message, message.raw[: len(message.raw) // 2])]


def bad_utf8(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """A text frame has bytes that are not UTF-8."""
    return [_damaged(message, message.raw[:-1] + b',"x":"\xff\xfe"}')]


def unknown_event(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """An undocumented event is sent before a message."""
    return [_other({"e": "somethingNew", "E": context.now_us // 1_000, "x": [1, {"y": None}]}), message]


def missing_field(message: Message, active: ActiveFault, context: FaultContext) -> list[Out] | None:
    """A message lacks its field `field`."""
    event = message.event
    if event.pop(active.fault["field"], None) is None:
        return None
    return [_damaged(message, message.changed(event).raw)]


def extra_field(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """A message has one more field, `field`; the rest does not change."""
    return [message.changed(message.event | {active.fault["field"]: {"new": [True, None, "0.1"]}})]


def non_ascii(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """A message has one more field, `note`, whose text is not ASCII."""
    return [message.changed(message.event | {"note": active.fault["text"]})]


def binary(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """A message is sent in a binary frame."""
    return [binary_frame(message.payload(combined=context.combined))]


def huge(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """An unknown event of `size` bytes or a little more is sent before a message."""
    return [_other({"e": "padding", "x": "x" * active.fault["size"]}), message]


def foreign_symbol(message: Message, active: ActiveFault, context: FaultContext) -> list[Out] | None:
    """A message has the name of another symbol."""
    event = message.event
    return [message.changed(event | {"s": OTHER_SYMBOL})] if "s" in event else None


def crossed(message: Message, active: ActiveFault, context: FaultContext) -> list[Out] | None:
    """A depth message has a bid that does not exist, `ticks` above the best ask; 0 locks the book."""
    asks = _book(message, context)[1]
    if not asks:
        return None
    grid = context.truth.instrument
    return [_with_bid(message, (grid.price(grid.ticks(asks[0][0]) + active.fault["ticks"]), asks[0][1]))]


def off_tick(message: Message, active: ActiveFault, context: FaultContext) -> list[Out] | None:
    """A depth message has a bid that does not exist, below the best and between two ticks."""
    bids = _book(message, context)[0]
    grid = context.truth.instrument
    ticks = grid.ticks(bids[0][0]) - 1 if bids else 0
    if not ticks:
        return None
    price_e8, rest = divmod((2 * ticks + 1) * grid.tick_e8, 2)  # nine decimal places if eight are not enough
    return [_with_bid(message, (decimal_text(price_e8) + ("5" if rest else ""), bids[0][1]))]


def capped_qty(message: Message, active: ActiveFault, context: FaultContext) -> list[Out]:
    """The first level of a depth message has the largest quantity that the exchange can send."""
    event = message.event
    side = event["b"] or event["a"]
    side[0] = (side[0][0], CAPPED_QTY)
    return [message.changed(event)]


def _damaged(message: Message, raw: bytes) -> Damaged:
    return Damaged(message.stream, message.kind, message.first_id, message.last_id, raw)


def _other(event: dict[str, object]) -> Message:
    return Message("!other", "other", 0, 0, json_bytes(event))


def _book(message: Message, context: FaultContext) -> tuple[list[Level], list[Level]]:
    """Bids and asks after *message*; empty if that book is no longer kept."""
    try:
        return context.truth.book(message.last_id)
    except UnknownId:
        return [], []


def _with_bid(message: Message, level: Level) -> Message:
    event = message.event
    event["b"] = [level, *(other for other in event["b"] if other[0] != level[0])]
    return message.changed(event)


def _message(edit: Any, parameters: Mapping[str, Knob], **more: Any) -> FaultKind:
    return FaultKind.of_function(edit, parameters=parameters, edit=edit, **more)


def _next(edit: Any, **own: Knob) -> FaultKind:
    of = _OF_ALL if edit in _ALSO_USERS else _OF
    return _message(edit, {"n": COUNT, "of": of} | own, reads=edit in _READERS, per_n=2 if edit is swap else 1)


def _next_depth(edit: Any, **own: Knob) -> FaultKind:
    return _message(edit, {"n": COUNT} | own, reads=True)


_OF, _OF_ANY = (Knob(one_of(*MARKET_KINDS), default) for default in ("depth", "any"))
_OF_ALL, _OF_ANY_ALL = (
    Knob(one_of(*(kind for kind in KINDS if kind != "line")), default) for default in ("depth", "any")
)
_OF_LINE = Knob(one_of(*KINDS), "line")
_ALSO_USERS = (drop, duplicate, swap)
_READERS = (reorder_fields, missing_field, extra_field, non_ascii, foreign_symbol)
MESSAGE_FAULTS = (
    _next(drop),
    _next(duplicate),
    _next(stale, back=Knob(integer(1), 3)),
    _next_depth(resnapshot),
    _message(split_prints, {"n": COUNT, "most": Knob(integer(1), 1)}, of="trade"),
    _next(reorder_fields),
    _next_depth(overlap, by=Knob(integer(1), 5)),
    _next_depth(wrong_id, by=Knob(integer(1), 50)),
    _next(swap),
    _message(burst, {"n": Knob(integer(1), 100), "of": _OF_ANY, "for_s": FOR_S}, due=all_when_over),
    _message(lag, {"delay_s": Knob(number(0), 0.25), "of": _OF_ANY_ALL, "for_s": FOR_S}, due=lagged, due_us=lag_due_us),
    _message(
        delay,
        {"delay_s": Knob(number(0), 6.0), "grow_s": Knob(number(0), 0.0), "of": _OF_LINE, "for_s": FOR_S},
        due=delayed,
        due_us=delay_due_us,
        late_us=_delay_us,
        later=True,
    ),
    _message(stall, {"of": _OF_ANY_ALL, "for_s": FOR_S}),
    _next(bad_json),
    _next(bad_utf8),
    _next(unknown_event),
    _next(missing_field, field=Knob(TEXT, "u")),
    _next(extra_field, field=Knob(TEXT, "zz")),
    _next(non_ascii, text=Knob(TEXT, "Ω市場🦄")),
    _next(binary),
    _next(huge, size=Knob(integer(0), 2 * 1024 * 1024)),
    _next(foreign_symbol),
    _next_depth(crossed, ticks=Knob(integer(0), 1)),
    _next_depth(off_tick),
    _next_depth(capped_qty),
)

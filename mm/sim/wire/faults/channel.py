"""Logs of the messages actually sent, active faults of each connection, and the connections of each rule."""

import heapq
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

from mm.sim.exchange.truth import MarketTruth
from mm.sim.wire.faults.fault import TRADE_KINDS, UPDATE_KINDS, ActiveFault, Connection, Fault, FaultContext, Out
from mm.sim.wire.faults.script import Rule
from mm.sim.wire.stream_messages import Message

_FRAMES = 10_000
_LOGS = 64
_PAST = 32
_COUNTED = {"id": UPDATE_KINDS, "trade": TRADE_KINDS}
_Marked = tuple[Out, tuple[str, ...]]
"""A sent frame or message, and the names of the faults that changed it."""


class SentFrame(NamedTuple):
    """A frame as sent; *kind* is empty if it is no message, *faults* changed it."""

    kind: str
    first_id: int
    last_id: int
    faults: tuple[str, ...]


class SentLog:
    """The newest frames sent to one connection, and counts of all."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.frames: deque[SentFrame] = deque(maxlen=_FRAMES)
        self.lost: Counter[str] = Counter()
        self.depth_ids = (0, 0, 0, 0)

    def note(self, out: Message | bytes, faults: Sequence[str]) -> None:
        kind, ids = (out.kind, (out.first_id, out.last_id)) if isinstance(out, Message) else ("", (0, 0))
        self.counts[kind] += 1
        self.frames.append(SentFrame(kind, *ids, tuple(faults)))
        if kind == "depth":
            self.depth_ids = (*(self.depth_ids[:2] if self.depth_ids[1] else ids), *ids)

    def content(self) -> dict[str, Any]:
        frames = [frame._asdict() for frame in self.frames]
        return {"counts": dict(self.counts), "lost": dict(self.lost), "frames": frames}


class Channel:
    """The active message faults on one connection, in the order of their start."""

    def __init__(self, connection: Connection, context: FaultContext) -> None:
        self.connection = connection
        self.opened_us = context.now_us
        self.active: list[ActiveFault] = []
        self.sent = SentLog()
        self._context = context
        self._past: dict[str, deque[Message]] = {}

    def context(self, now_us: int) -> FaultContext:
        combined, depth_ids = self.connection.combined, self.sent.depth_ids
        return replace(self._context, now_us=now_us, past=self._past, combined=combined, depth_ids=depth_ids)

    def outgoing(self, message: Message, now_us: int, marks: tuple[str, ...] = ()) -> list[Out]:
        """*marks* are the names of faults that have already changed *message*."""
        if not self.active:
            return self._note([(message, marks)], now_us)
        earlier = self.due(now_us) if any(active.held for active in self.active) else []
        passed = self._through(self.active, [(message, marks)], self.context(now_us))
        return earlier + self._note(passed, now_us)

    def due(self, now_us: int) -> list[Out]:
        """Return what is due, and remove faults that have ended."""
        context, gone = self.context(now_us), list[_Marked]()
        for place, active in enumerate(self.active):
            if active.fault.kind.due:
                released = [(out, (active.fault.kind.name,)) for out in active.fault.kind.due(active, context)]
                gone += self._through(self.active[place + 1 :], released, context)
        return self._note(gone, now_us)

    def _through(self, faults: Sequence[ActiveFault], outs: Sequence[_Marked], context: FaultContext) -> list[_Marked]:
        outputs = list(outs)
        for active in faults:
            outputs = [passed for out in outputs for passed in self._apply(active, out, context)]
        return outputs

    def _apply(self, active: ActiveFault, marked: _Marked, context: FaultContext) -> list[_Marked]:
        message, marks = marked
        if not isinstance(message, Message) or not active.takes(message, context.now_us):
            return [marked]
        edit, name = active.fault.kind.edit, active.fault.kind.name
        outs = edit(message, active, context) if edit else None
        if outs is None:
            return [marked]
        active.count()
        if not outs and not active.holds(message):
            self.sent.lost[name] += 1
        return [(out, (*marks, name)) for out in outs]

    def _note(self, passed: Sequence[_Marked], now_us: int) -> list[Out]:
        self.active = [active for active in self.active if not active.is_over(now_us)]
        for out, marks in passed:
            self.sent.note(out, marks)
            if isinstance(out, Message):
                self._past.setdefault(out.stream, deque(maxlen=_PAST)).append(out)
        return [out for out, _ in passed]


@dataclass(slots=True)
class _PendingRule:
    rule: Rule
    number: int | None
    left: int | None
    until_us: int | None
    begun_us: int


class FaultScope:
    def __init__(self, truth: MarketTruth, random: Random, now_us: int) -> None:
        self.now_us = now_us
        self.logs: dict[int, SentLog] = {}
        self._truth = truth
        self._random = random
        self._open: dict[int, Channel] = {}
        self._later: list[_PendingRule] = []
        self._ends: list[tuple[int, int, int, Fault]] = []
        self._made = 0

    @property
    def _context(self) -> FaultContext:
        return FaultContext(self._truth, self.now_us)

    def reach(self, us: int) -> None:
        self.now_us = max(us, self.now_us)

    def open(self, connection: Connection) -> None:
        channel = Channel(connection, self._context)
        self._open[connection.id] = channel
        self.logs[connection.id] = channel.sent
        closed = [number for number in self.logs if number not in self._open]
        for number in closed[: max(0, len(closed) - _LOGS)]:
            del self.logs[number]
        for later in self._later:
            if later.number in (None, connection.id) and not self._is_over(later):
                later.left = None if later.left is None else later.left - 1
                self._hit(channel, later.rule, later.until_us, later.begun_us)
        self._later = [later for later in self._later if not self._is_over(later)]

    def close(self, connection: Connection) -> None:
        self._open.pop(connection.id, None)

    def outgoing(self, connection: Connection, message: Message, marks: tuple[str, ...]) -> list[Out]:
        return self._open[connection.id].outgoing(message, self.now_us, marks)

    def newest_context(self) -> FaultContext:
        channels = list(self._open.values())
        with_depth = [channel for channel in channels if channel.sent.depth_ids[1]] or channels
        return with_depth[-1].context(self.now_us) if with_depth else self._context

    @property
    def timed(self) -> bool:
        return any(channel.active for channel in self._open.values())

    def apply(self, rule: Rule) -> None:
        fault = rule.fault
        if not (fault.kind.edit or fault.kind.of_connections):
            return
        until_us = fault.until_us(self.now_us)
        target = rule.target or ("next" if rule.trigger.kind == "connect" and not fault.kind.later else "all")
        if isinstance(target, int) and target not in self._open:
            self._later.append(_PendingRule(rule, target, 1, None, self.now_us))
            return
        if target == "next":
            self._later.append(_PendingRule(rule, None, 1, None, self.now_us))
        elif target == "all" and fault.kind.later:
            self._later.append(_PendingRule(rule, None, fault.openings, until_us, self.now_us))
        if target != "next" and fault.kind.now:
            for channel in self._named(target):
                self._hit(channel, rule, until_us, self.now_us)

    def due_us(self) -> int | None:
        active = [opened for channel in self._open.values() for opened in channel.active]
        dues = [due_us for opened in active if (due_us := opened.fault.kind.due_us(opened)) is not None]
        return min(dues + [end[0] for end in self._ends[:1]], default=None)

    def advance(self) -> None:
        while self._ends and self._ends[0][0] <= self.now_us:
            _, _, number, fault = heapq.heappop(self._ends)
            if number in self._open and fault.kind.end:
                fault.kind.end(fault, self._open[number].connection)
        for channel in list(self._open.values()):
            if channel.active:
                for out in channel.due(self.now_us):
                    connection = channel.connection
                    connection.write(out if isinstance(out, bytes) else out.frame(combined=connection.combined))

    def _named(self, target: str | int) -> list[Channel]:
        channels = list(self._open.values())
        if isinstance(target, int):
            return [self._open[target]]
        if target == "all" or not channels:
            return channels
        return [channels[-1] if target == "newest" else self._random.choice(channels)]

    def _hit(self, channel: Channel, rule: Rule, until_us: int | None, begun_us: int) -> None:
        fault, trigger = rule.fault, rule.trigger
        if fault.kind.edit:
            counted = _COUNTED.get(trigger.kind, frozenset())
            from_id = self._truth.named(int(trigger.number))[0] if trigger.kind == "id" else int(trigger.number)
            until_us = fault.until_us(self.now_us) if until_us is None else until_us
            channel.active.append(ActiveFault(fault, fault.changes, until_us, begun_us, from_id, counted))
        if fault.kind.of_connections:
            end_us = fault.kind.end_us(fault, channel.opened_us, self.now_us) if fault.kind.end_us else None
            if end_us is not None:
                self._made += 1
                heapq.heappush(self._ends, (end_us, self._made, channel.connection.id, fault))
            if fault.kind.begin:
                fault.kind.begin(fault, channel.connection, self.now_us)

    def _is_over(self, later: _PendingRule) -> bool:
        return later.left == 0 or (later.until_us is not None and self.now_us >= later.until_us)

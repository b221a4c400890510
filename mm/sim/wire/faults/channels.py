"""The connections of a server as faults see them: who is befallen by what, now and later."""

import heapq
from dataclasses import dataclass
from random import Random

from mm.sim.exchange.truth import MarketTruth
from mm.sim.wire.faults.base import Armed, ConnectionFault, MessageFault, Scene
from mm.sim.wire.faults.channel import Channel
from mm.sim.wire.faults.parameters import TRADE_KINDS, UPDATE_KINDS
from mm.sim.wire.faults.script import Rule
from mm.sim.wire.faults.sent import SentLog
from mm.sim.wire.faults.table import NAMES
from mm.sim.wire.hooks import FaultyConnection

_LOGS = 64
_COUNTED = {"id": UPDATE_KINDS, "trade": TRADE_KINDS}


@dataclass(slots=True)
class _Later:
    """A rule that befalls connections when they open.

    Attributes:
        rule: What.
        number: Of the only connection that it befalls; None for whichever opens.
        left: How many it still befalls; None for no limit.
        until_us: When it is over; None for never.
    """

    rule: Rule
    number: int | None
    left: int | None
    until_us: int | None


class Channels:
    """Every connection's way through its faults.

    Args:
        truth: Of the exchange.
        random: Seeded by the script.
        now_us: The exchange's instant.
        keep: Frames that the log of what a connection was sent tells.

    Attributes:
        now_us: How far the exchange's time has come.
        logs: What each connection was sent, by its number: of all that are open, and of some that were.
    """

    def __init__(self, truth: MarketTruth, random: Random, now_us: int, keep: int) -> None:
        self.now_us = now_us
        self.logs: dict[int, SentLog] = {}
        self._truth = truth
        self._random = random
        self._keep = keep
        self._open: dict[int, Channel] = {}
        self._later: list[_Later] = []
        self._ends: list[tuple[int, int, int, ConnectionFault]] = []
        self._made = 0

    def open(self, connection: FaultyConnection) -> None:
        """Take *connection* in, and let befall it what waited for it."""
        channel = Channel(connection, truth=self._truth, random=self._random, now_us=self.now_us, keep=self._keep)
        self._open[connection.id] = channel
        self.logs[connection.id] = channel.sent
        closed = [number for number in self.logs if number not in self._open]
        for number in closed[: max(0, len(closed) - _LOGS)]:
            del self.logs[number]
        for later in self._later:
            if later.number in (None, connection.id) and not self._is_over(later):
                later.left = None if later.left is None else later.left - 1
                self._befall(channel, later.rule, later.until_us)
        self._later = [later for later in self._later if not self._is_over(later)]

    def close(self, connection: FaultyConnection) -> None:
        """Let *connection* go."""
        self._open.pop(connection.id, None)

    def of(self, connection: FaultyConnection) -> Channel:
        """Return the channel of an open *connection*."""
        return self._open[connection.id]

    def newest_scene(self) -> Scene:
        """Return the scene of the newest connection that was sent depth, else of the newest; an empty one without."""
        channels = list(self._open.values())
        told = [channel for channel in channels if channel.sent.depth_ids[1]] or channels
        return (
            told[-1].scene(self.now_us)
            if told
            else Scene(self._truth, self._random, self.now_us, {}, combined=False, depth_ids=(0, 0, 0, 0))
        )

    @property
    def timed(self) -> bool:
        """Whether a fault of messages is at work: for some of them, instants matter."""
        return any(channel.armed for channel in self._open.values())

    def befall(self, rule: Rule) -> None:
        """Let *rule*, whose moment has come, befall the connections that it means."""
        fault = rule.fault
        if not isinstance(fault, MessageFault | ConnectionFault):
            return
        until_us = self._until_us(fault)
        whom = rule.whom or ("next" if rule.moment.kind == "connect" and not fault.later else "all")
        if isinstance(whom, int) and whom not in self._open:
            self._later.append(_Later(rule, whom, 1, None))
            return
        if whom == "next":
            self._later.append(_Later(rule, None, 1, None))
        elif whom == "all" and fault.later:
            self._later.append(_Later(rule, None, fault.openings, until_us))
        if whom != "next" and fault.now:
            for channel in self._meant(whom):
                self._befall(channel, rule, until_us)

    def due_us(self) -> int | None:
        """Return the next instant at which something is due; None where nothing is."""
        armed = [one for channel in self._open.values() for one in channel.armed]
        dues = [due_us for one in armed if (due_us := one.fault.due_us(one)) is not None]
        return min(dues + [end[0] for end in self._ends[:1]], default=None)

    def advance(self) -> None:
        """Do what is due now: ends of faults, and messages that were held back."""
        while self._ends and self._ends[0][0] <= self.now_us:
            _, _, number, fault = heapq.heappop(self._ends)
            if number in self._open:
                fault.end(self._open[number].connection)
        for channel in list(self._open.values()):
            if channel.armed:
                for out in channel.due(self.now_us):
                    connection = channel.connection
                    connection.write(out if isinstance(out, bytes) else out.frame(combined=connection.combined))

    def _meant(self, whom: str | int) -> list[Channel]:
        channels = list(self._open.values())
        if isinstance(whom, int):
            return [self._open[whom]]
        if whom == "all" or not channels:
            return channels
        return [channels[-1] if whom == "newest" else self._random.choice(channels)]

    def _befall(self, channel: Channel, rule: Rule, until_us: int | None) -> None:
        fault, moment = rule.fault, rule.moment
        if isinstance(fault, MessageFault):
            counted = _COUNTED.get(moment.kind, frozenset())
            from_id = self._truth.named(int(moment.number))[0] if moment.kind == "id" else int(moment.number)
            until_us = self._until_us(fault) if until_us is None else until_us
            channel.armed.append(Armed(fault, NAMES[type(fault)], from_id, counted, fault.messages, until_us))
        elif isinstance(fault, ConnectionFault):
            end_us = fault.end_us(channel.opened_us, self.now_us)
            if end_us is not None:
                self._made += 1
                heapq.heappush(self._ends, (end_us, self._made, channel.connection.id, fault))
            fault.begin(channel.connection, self.now_us)

    def _until_us(self, fault: MessageFault | ConnectionFault) -> int | None:
        lasts_us = fault.lasts_us if isinstance(fault, MessageFault) else None
        return None if lasts_us is None else self.now_us + lasts_us

    def _is_over(self, later: _Later) -> bool:
        return later.left == 0 or (later.until_us is not None and self.now_us >= later.until_us)

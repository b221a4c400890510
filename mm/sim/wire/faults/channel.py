"""One connection's way through its faults: messages in, what is really sent out."""

from collections import deque
from collections.abc import Sequence
from random import Random

from mm.sim.exchange.truth import MarketTruth
from mm.sim.wire.faults.base import Armed, Out, Scene
from mm.sim.wire.faults.sent import SentLog
from mm.sim.wire.hooks import FaultyConnection
from mm.sim.wire.stream_messages import Message

_PAST = 32
_Marked = tuple[Out, tuple[str, ...]]
"""What is sent, and the names of the faults that it went through."""


class Channel:
    """The faults of messages that are armed on one connection, in the order of arming.

    Each takes what the ones before it let through. A whole frame goes through them all as it is.

    Args:
        connection: Which they befall.
        truth: Of the exchange.
        random: Seeded by the script.
        now_us: When the connection opened.
        keep: Frames that the log of what was sent tells.

    Attributes:
        connection: As given.
        opened_us: As given.
        armed: The faults.
        sent: What went out.
    """

    def __init__(
        self, connection: FaultyConnection, *, truth: MarketTruth, random: Random, now_us: int, keep: int
    ) -> None:
        self.connection = connection
        self.opened_us = now_us
        self.armed: list[Armed] = []
        self.sent = SentLog(keep)
        self._truth = truth
        self._random = random
        self._past: dict[str, deque[Message]] = {}

    def scene(self, now_us: int) -> Scene:
        """Return what faults may know at *now_us*."""
        return Scene(
            truth=self._truth,
            random=self._random,
            now_us=now_us,
            past=self._past,
            combined=self.connection.combined,
            depth_ids=self.sent.depth_ids,
        )

    def outgoing(self, message: Message, now_us: int, marks: tuple[str, ...] = ()) -> list[Out]:
        """Return what is sent instead of *message*; *marks* name the faults that it went through before."""
        if not self.armed:
            return self._note([(message, marks)], now_us)
        earlier = self.due(now_us) if any(armed.held for armed in self.armed) else []
        passed = self._through(self.armed, [(message, marks)], self.scene(now_us))
        return earlier + self._note(passed, now_us)

    def due(self, now_us: int) -> list[Out]:
        """Return what was held back and is sent now, and let go of the faults that are over."""
        scene, gone = self.scene(now_us), list[_Marked]()
        for place, armed in enumerate(self.armed):
            released: Sequence[_Marked] = [(out, (armed.name,)) for out in armed.fault.due(armed, scene)]
            gone += self._through(self.armed[place + 1 :], released, scene)
        return self._note(gone, now_us)

    def _through(self, faults: Sequence[Armed], outs: Sequence[_Marked], scene: Scene) -> list[_Marked]:
        passing = list(outs)
        for armed in faults:
            passing = [passed for out in passing for passed in self._befall(armed, out, scene)]
        return passing

    def _befall(self, armed: Armed, marked: _Marked, scene: Scene) -> list[_Marked]:
        message, marks = marked
        if not isinstance(message, Message) or not armed.takes(message, scene.now_us):
            return [marked]
        outs = armed.fault.edit(message, armed, scene)
        if outs is None:
            return [marked]
        if armed.left is not None:
            armed.left -= 1
        if not outs and not armed.holds(message):
            self.sent.lost[armed.name] += 1
        return [(out, (*marks, armed.name)) for out in outs]

    def _note(self, passed: Sequence[_Marked], now_us: int) -> list[Out]:
        self.armed = [armed for armed in self.armed if not armed.over(now_us)]
        for out, marks in passed:
            self.sent.note(out, marks)
            if isinstance(out, Message):
                self._past.setdefault(out.stream, deque(maxlen=_PAST)).append(out)
        return [out for out, _ in passed]

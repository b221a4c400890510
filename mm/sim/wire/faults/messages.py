"""Faults of what messages reach a client and when: lost, twice, late, out of order, all at once, none at all."""

from dataclasses import dataclass
from typing import ClassVar

from mm.sim.exchange.truth import Forgotten
from mm.sim.wire.faults.base import Armed, DepthFault, KindFault, MessageFault, Out, Scene
from mm.sim.wire.faults.parameters import KINDS, choice, least, micros
from mm.sim.wire.stream_messages import Message


@dataclass(frozen=True)
class Drop(KindFault):
    """Messages are lost."""

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send nothing."""
        return []


@dataclass(frozen=True)
class Duplicate(KindFault):
    """Messages are sent twice."""

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send it, and again."""
        return [message, message]


@dataclass(frozen=True)
class Stale(KindFault):
    """Behind a message, the one that came `back` messages earlier on its stream is sent again."""

    back: int = least(3, 1)

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out] | None:
        """Send it and an old one; wait where there is none yet."""
        earlier = scene.past.get(message.stream, ())
        return [message, earlier[-self.back]] if len(earlier) >= self.back else None


@dataclass(frozen=True)
class Overlap(DepthFault):
    """A depth message begins `by` ids earlier, with the levels that those changed as they stand at its end."""

    reads: ClassVar[bool] = True
    by: int = least(5, 1)

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out] | None:
        """Widen it; wait where the truth does not reach back so far."""
        first_id = message.first_id - self.by
        try:
            bids, asks = scene.truth.changed(first_id, message.last_id)
        except Forgotten:
            return None
        event = message.event | {"U": first_id, "b": bids, "a": asks}
        return [Message(message.stream, message.kind, first_id, message.last_id, message.changed(event).raw)]


@dataclass(frozen=True)
class Swap(KindFault):
    """Neighbours change places, `n` pairs of them."""

    @property
    def messages(self) -> int:
        """How many messages it befalls."""
        return 2 * self.n

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Hold the first of a pair back, and send it behind the second."""
        if not armed.held:
            armed.held.append((scene.now_us, message))
            return []
        return [message, armed.held.pop()[1]]


@dataclass(frozen=True)
class Burst(KindFault):
    """The next `n` messages are held and then sent in one write, at the latest after `for_s` seconds."""

    n: int = least(100, 1)
    of: str = choice("any", KINDS)
    for_s: float | None = None

    @property
    def lasts_us(self) -> int | None:
        """How long it holds, in µs."""
        return micros(self.for_s)

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Hold it; with the last of them, send all."""
        armed.held.append((scene.now_us, message))
        return armed.let_go(scene.now_us) if armed.left == 1 else []

    def due(self, armed: Armed, scene: Scene) -> list[Out]:
        """Send all when the time is over."""
        return armed.let_go(scene.now_us) if armed.late(scene.now_us) else []


@dataclass(frozen=True)
class Lag(MessageFault):
    """Every message comes `delay_s` seconds late, for `for_s` seconds or for good."""

    delay_s: float = 0.25
    for_s: float | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of messages that it befalls."""
        return KINDS["any"]

    @property
    def lasts_us(self) -> int | None:
        """How long it lasts, in µs."""
        return micros(self.for_s)

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Hold it, and send those whose time has come."""
        armed.held.append((scene.now_us, message))
        return self.due(armed, scene)

    def due(self, armed: Armed, scene: Scene) -> list[Out]:
        """Send those whose time has come, and all when it is over."""
        return armed.let_go(scene.now_us - (0 if armed.late(scene.now_us) else micros(self.delay_s) or 0))

    def due_us(self, armed: Armed) -> int | None:
        """Return when it ends, or when the first message that it holds is due."""
        first_us = [since_us + (micros(self.delay_s) or 0) for since_us, _ in armed.held[:1]]
        return min([*first_us, *([] if armed.until_us is None else [armed.until_us])], default=None)


@dataclass(frozen=True)
class Stall(MessageFault):
    """Messages are not sent, for `for_s` seconds or for good; pings go on."""

    of: str = choice("any", KINDS)
    for_s: float | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of messages that it befalls."""
        return KINDS[self.of]

    @property
    def lasts_us(self) -> int | None:
        """How long it lasts, in µs."""
        return micros(self.for_s)

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out]:
        """Send nothing."""
        return []

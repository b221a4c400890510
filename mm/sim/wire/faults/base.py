"""What a fault is: one kind for each place on the way to a client where something can go wrong.

A fault is data, the same for every connection. What it has done so far to one connection is kept in an `Armed`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

from mm.sim.exchange.truth import MarketTruth
from mm.sim.wire.faults.parameters import KINDS, Fault, choice, least
from mm.sim.wire.hooks import FaultyConnection
from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.stream_messages import Message

DEPTH_PATH = "/api/v3/depth"


Out = Message | bytes
"""What goes out to a client: a message, or a whole frame."""


class Damaged(Message):
    """A message whose text is no whole event any more."""


@dataclass(slots=True)
class Scene:
    """What a fault may know of the world.

    Attributes:
        truth: Of the exchange.
        random: Seeded by the script.
        now_us: The exchange's time.
        past: Messages of each stream that the connection in question was sent, oldest first: a few of the last.
        combined: Whether that connection has its events wrapped with their stream's name.
        depth_ids: First U and last u of its first depth message, then of its newest; zeros before the first.
    """

    truth: MarketTruth
    random: Random
    now_us: int
    past: Mapping[str, Sequence[Message]]
    combined: bool
    depth_ids: tuple[int, int, int, int]


@dataclass(slots=True)
class Armed:
    """A fault of messages on one connection, and how far it has come.

    Attributes:
        fault: What happens.
        name: Of the fault, as scripts write it.
        from_id: Messages of `from_kinds` that end before this id are left alone.
        from_kinds: Kinds whose ids are of that count.
        left: Messages that it will still befall; None for no limit.
        until_us: When it is over; None for never.
        held: Messages that it holds back, each with the instant at which it did.
    """

    fault: "MessageFault"
    name: str
    from_id: int = 0
    from_kinds: frozenset[str] = frozenset()
    left: int | None = None
    until_us: int | None = None
    held: list[tuple[int, Message]] = field(default_factory=list)

    def takes(self, message: Message, now_us: int) -> bool:
        """Return whether *message* is one that it may befall at *now_us*."""
        early = message.kind in self.from_kinds and message.last_id < self.from_id
        illegible = self.fault.reads and isinstance(message, Damaged)
        fits = message.kind in self.fault.kinds and not early and not illegible
        return fits and self.left != 0 and not self.late(now_us)

    def holds(self, message: Message) -> bool:
        """Return whether it keeps *message* for later."""
        return any(held is message for _, held in self.held)

    def late(self, now_us: int) -> bool:
        """Return whether its time is over."""
        return self.until_us is not None and now_us >= self.until_us

    def let_go(self, held_us: int) -> list[Out]:
        """Return the messages that it holds since *held_us* or longer, in order, and hold them no more."""
        count = sum(1 for since_us, _ in self.held if since_us <= held_us)
        gone: list[Out] = [message for _, message in self.held[:count]]
        del self.held[:count]
        return gone

    def over(self, now_us: int) -> bool:
        """Return whether nothing more will come of it."""
        return not self.held and (self.left == 0 or self.late(now_us))


class Befalling:
    """What connections something befalls, if it is for all of them."""

    now: ClassVar[bool] = True
    """Whether those that are open."""
    later: ClassVar[bool] = False
    """Whether those that open later."""

    @property
    def openings(self) -> int | None:
        """How many that open later; None for no limit."""
        return None


@dataclass(frozen=True)
class MessageFault(Fault, Befalling):
    """Something that befalls messages on their way to one client."""

    reads: ClassVar[bool] = False
    """Whether it needs the event: damaged ones pass it by."""

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of messages that it befalls."""
        return KINDS["depth"]

    @property
    def messages(self) -> int | None:
        """How many messages it befalls; None for no limit."""
        return None

    @property
    def lasts_us(self) -> int | None:
        """How long it lasts, in µs; None for no limit."""
        return None

    def edit(self, message: Message, armed: Armed, scene: Scene) -> list[Out] | None:
        """Return what is sent instead of *message*; None where it cannot befall this one."""
        raise NotImplementedError

    def due(self, armed: Armed, scene: Scene) -> list[Out]:
        """Return what was held back and is sent now."""
        return []

    def due_us(self, armed: Armed) -> int | None:
        """Return the next instant at which it ends or sends something; None where there is none."""
        return armed.until_us


@dataclass(frozen=True)
class DepthFault(MessageFault):
    """Something that befalls the next depth messages.

    Attributes:
        n: How many.
    """

    n: int = least(1, 1)

    @property
    def messages(self) -> int | None:
        """How many messages it befalls."""
        return self.n


@dataclass(frozen=True)
class KindFault(DepthFault):
    """Something that befalls the next messages of a kind.

    Attributes:
        of: Their kind: ``depth``, ``trade`` (and ``aggTrade``), or ``any``.
    """

    of: str = choice("depth", KINDS)

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of messages that it befalls."""
        return KINDS[self.of]


@dataclass(frozen=True)
class ResponseFault(Fault):
    """Something that befalls answers to requests."""

    @property
    def answers(self) -> int | None:
        """How many answers it befalls; None for no limit."""
        return None

    @property
    def lasts_us(self) -> int | None:
        """How long it lasts, in µs; None for no limit."""
        return None

    def befalls(self, request: Request) -> bool:
        """Return whether the answer to *request* is one of them."""
        raise NotImplementedError

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Return what is answered instead of *response*; *scene* is that of the newest stream connection."""
        raise NotImplementedError


@dataclass(frozen=True)
class PathFault(ResponseFault):
    """Something that befalls the answers to the next requests of a path.

    Attributes:
        n: How many; 0 for all from now on.
        path: What their path begins with; without it that of the moment, else depth.
    """

    n: int = 1
    path: str = ""

    @property
    def answers(self) -> int | None:
        """How many answers it befalls."""
        return self.n or None

    def befalls(self, request: Request) -> bool:
        """Return whether the answer to *request* is one of them."""
        return request.path.startswith(self.path or DEPTH_PATH)


@dataclass(frozen=True)
class SnapshotFault(ResponseFault):
    """Something that befalls the next snapshots.

    Attributes:
        n: How many; 0 for all from now on.
    """

    n: int = 1

    @property
    def answers(self) -> int | None:
        """How many answers it befalls."""
        return self.n or None

    def befalls(self, request: Request) -> bool:
        """Return whether *request* asks for a snapshot."""
        return request.path == DEPTH_PATH


@dataclass(frozen=True)
class ConnectionFault(Fault, Befalling):
    """Something that befalls a connection as a whole."""

    def begin(self, connection: FaultyConnection, now_us: int) -> None:
        """Let it happen."""

    def end_us(self, opened_us: int, now_us: int) -> int | None:
        """Return when `end` is called, for a connection that opened then and is befallen now; None for never."""
        return None

    def end(self, connection: FaultyConnection) -> None:
        """Let it be over, or let its second part happen."""


@dataclass(frozen=True)
class HandshakeFault(Fault):
    """Something that befalls the next attempts to connect.

    Attributes:
        n: How many.
    """

    n: int = least(1, 1)

    def refusal(self) -> Response:
        """Return what the attempt is answered with."""
        raise NotImplementedError

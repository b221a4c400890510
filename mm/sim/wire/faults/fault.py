"""What a fault is: a kind from the table, with values of its parameters; and its state on one connection."""

import inspect
import math
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Protocol

from mm.clock import US_PER_S
from mm.errors import UsageError
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.truth import MarketTruth
from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.operations import Call, Operation
from mm.sim.wire.stream_messages import Message

UPDATE_KINDS, TRADE_KINDS = frozenset({"depth", "bookTicker", "partial"}), frozenset({"trade", "aggTrade"})
KINDS: Mapping[str, frozenset[str]] = {
    "depth": frozenset({"depth"}),
    "trade": TRADE_KINDS,
    "any": UPDATE_KINDS | TRADE_KINDS | {"other"},
    "user": frozenset({"user"}),
}
"""The values of ``of=``, and the kinds of messages that each means; ``any`` is any of the market's."""
MARKET_KINDS = ("depth", "trade", "any")
OTHER_SYMBOL = "OTHERUSDT"
Out = Message | bytes
"""What goes out to a client: a message, or a whole frame."""


class BadScript(UsageError):
    """A script of faults holds a line that is no rule."""


class Damaged(Message):
    """A message whose text is no whole event any more."""


class FaultyConnection(Protocol):
    """A connection of streams or of the WebSocket API, as faults use it; *id* counts those of its kind."""

    id: int
    micro: bool
    phase_ms: int

    @property
    def combined(self) -> bool:
        """Whether its events are wrapped with their stream's name."""

    def write(self, frame: bytes) -> None:
        """Send a whole frame, past the faults."""

    def close(self, code: int, reason: str = "") -> None:
        """Close in order, with a close frame; with 1006 the stream ends without one."""

    def abort(self) -> None:
        """Cut the connection with a reset: no close frame, nothing that still waits to be sent."""

    def shutdown_frame(self, us: int) -> bytes:
        """Return the frame of the event, at the instant *us*, that its server is about to go."""

    def stall(self, on: bool, streams: Collection[str] | None = None, *, silent: bool = False) -> None:
        """Hold back the events of *streams*, of all without them, or let them go again.

        Depth goes on without a gap, as one message; what else would have been sent is lost. *silent* also holds
        back pings, pongs and answers.
        """

    def pause_reading(self) -> None:
        """Take nothing more from the socket: the client's end of a half-open connection."""


class UserConnection(FaultyConnection, Protocol):
    """A connection of the WebSocket API."""

    def log_off(self) -> None:
        """End the session's log-on, as if it had logged out."""

    def end_streams(self) -> None:
        """End its user data streams, each with the event that says so."""


@dataclass(frozen=True, slots=True)
class RequestFate:
    """What faults make of one request.

    Attributes:
        done: Whether it is carried out.
        error: What is answered instead of its own answer; None for that.
        answered: Whether an answer is sent at all.
        delay_us: How much later it is sent.
        faults: Names of those that hit it.
    """

    done: bool = True
    error: ApiError | None = None
    answered: bool = True
    delay_us: int = 0
    faults: tuple[str, ...] = ()

    def hit(self, fault: "Fault", **changes: Any) -> "RequestFate":
        """Return it as *fault* leaves it, with *changes* of its fields."""
        return replace(self, faults=(*self.faults, fault.kind.name), **changes)


@dataclass(frozen=True, slots=True)
class UserRequest:
    """A request whose sender is known, before it is carried out; *via* is ``rest`` or ``ws``."""

    operation: Operation
    call: Call
    via: str
    fate: RequestFate = RequestFate()

    def is_of(self, path: str) -> bool:
        """Return True if *path* means it: a method of the WebSocket API, or what a REST path begins with.

        An empty one means every request that changes orders, a REST path those below it, and with a verb before it
        (``GET /api/v3/order``) all of that verb.
        """
        operation = self.operation
        verb, route = operation.route
        if not path:
            return operation.changes_orders
        if "/" not in path:
            return self.via == "ws" and begins(operation.method, path)
        given, _, below = path.rpartition(" ")
        return self.via == "rest" and route.startswith(below) and (verb == given if given else operation.changes_orders)


def begins(name: str, path: str) -> bool:
    """Return True if the REST path or the method *name* begins with *path*; a method by whole words alone."""
    return name.startswith(path) if "/" in path else name == path or name.startswith(f"{path}.")


@dataclass(frozen=True, slots=True)
class FaultParameter:
    """One parameter of a kind of fault; a default of None is a number that may be missing, no choices are any text."""

    default: Any
    least: float = 0
    choices: tuple[str, ...] = ()

    @property
    def type(self) -> type:
        """The type of its values."""
        return float if self.default is None else type(self.default)

    def check(self, name: str, value: Any) -> None:
        """Raise BadScript where *value* is none of its values."""
        if self.choices and value not in self.choices:
            raise BadScript(f"{name}={value}: it must be {', '.join(self.choices)}")
        if isinstance(value, int | float) and not self.least <= value < math.inf:
            raise BadScript(f"{name}={value}: it must be a number from {self.least} on")


COUNT, FOR_S = FaultParameter(1, least=1), FaultParameter(None)
"""The parameters ``n`` and ``for_s`` of most faults."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaultKind:
    """One kind of fault: its parameters, and a function for each place where it acts.

    Attributes:
        name: As scripts write it.
        help: What happens, in a sentence.
        edit: Of messages: return what is sent instead of one; None where the fault does not apply to it.
        due: Of messages: return those that were held back and are sent now.
        due_us: Of messages: return the next instant at which it ends or sends something; None where there is none.
        reads: Of messages: whether it needs the event, so that damaged messages pass unchanged.
        of: Of messages and connections: their kind, where no parameter ``of`` says it.
        per_n: Of messages: how many make one of ``n``.
        applies: Of answers: return True if the answer to a request is one of them.
        answer: Of answers: return the changed response.
        fate: Of requests: return what becomes of one; None where the fault does not apply to it.
        begin: Of connections: let it happen.
        end_us: Of connections: return when `end` is called, for one that opened then and is hit now; None for never.
        end: Of connections: let it be over, or let its second part happen.
        refusal: Of handshakes: return the response.
        now: Whether it hits the connections that are open.
        later: Whether it hits connections that open later.
        openings: How many that open later; None for no limit. A parameter ``n`` of connections says it as well.
    """

    name: str
    help: str
    parameters: Mapping[str, FaultParameter]
    edit: "Callable[[Message, ActiveFault, FaultContext], list[Out] | None] | None" = None
    due: "Callable[[ActiveFault, FaultContext], list[Out]] | None" = None
    due_us: "Callable[[ActiveFault], int | None]" = lambda active: active.until_us
    reads: bool = False
    of: str = "depth"
    per_n: int = 1
    applies: "Callable[[Fault, Request], bool] | None" = None
    answer: "Callable[[Fault, Request, Response, FaultContext], Response] | None" = None
    fate: "Callable[[Fault, UserRequest, RequestFate], RequestFate | None] | None" = None
    begin: "Callable[[Fault, FaultyConnection, int], None] | None" = None
    end_us: "Callable[[Fault, int, int], int | None] | None" = None
    end: "Callable[[Fault, FaultyConnection], None] | None" = None
    refusal: "Callable[[Fault], Response] | None" = None
    now: bool = True
    later: bool = False
    openings: int | None = None

    @classmethod
    def of_function(cls, function: Callable[..., Any], **more: Any) -> "FaultKind":
        """Return the kind that is called and described as *function* is, with *more* fields."""
        return cls(name=function.__name__, help=inspect.cleandoc(function.__doc__ or ""), **more)

    @property
    def of_connections(self) -> bool:
        """Whether it hits connections as a whole."""
        return self.begin is not None or self.end is not None

    def make(self, **values: Any) -> "Fault":
        """Return a fault of this kind; raises BadScript where a parameter has a value that it cannot have."""
        for name, value in values.items():
            self.parameters[name].check(name, value)
        return Fault(self, {name: one.default for name, one in self.parameters.items()} | values)


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault with values of its parameters; the same for every connection."""

    kind: FaultKind
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Return the value of a parameter."""
        return self.values[name]

    def __str__(self) -> str:
        parts = [self.kind.name]
        for name, one in self.kind.parameters.items():
            if self.values[name] != one.default:
                parts.append(f"{name}={shlex.quote(str(self.values[name]))}")
        return " ".join(parts)

    @property
    def of(self) -> str:
        """The value of ``of``, the kind's own where that is no parameter."""
        return str(self.values.get("of", self.kind.of))

    @property
    def message_kinds(self) -> frozenset[str]:
        """Kinds of messages that it changes."""
        return KINDS[self.of]

    @property
    def changes(self) -> int | None:
        """How many messages or answers it changes; None for no limit."""
        return self.values.get("n", 0) * self.kind.per_n or None

    @property
    def openings(self) -> int | None:
        """How many connections that open later it hits; None for no limit."""
        found: int | None = self.values.get("n", self.kind.openings)
        return found if self.kind.of_connections else None

    def until_us(self, now_us: int) -> int | None:
        """Return when it no longer changes messages or answers, where it began at *now_us*; None for no limit."""
        lasts_us = None if self.kind.of_connections else micros(self.values.get("for_s"))
        return None if lasts_us is None else now_us + lasts_us


@dataclass(slots=True)
class FaultContext:
    """What a fault may use.

    Attributes:
        random: Seeded by the script.
        past: Messages of each stream that the connection in question was sent, oldest first: a few of the last.
        combined: Whether that connection has its events wrapped with their stream's name.
        depth_ids: First U and last u of its first depth message, then of its newest; zeros before the first.
    """

    truth: MarketTruth
    random: Random
    now_us: int
    past: Mapping[str, Sequence[Message]] = field(default_factory=dict)
    combined: bool = False
    depth_ids: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(slots=True)
class ActiveFault:
    """A fault of messages on one connection, or of requests and their answers, and its state.

    Attributes:
        left: Messages or answers that it will still change; None for no limit.
        until_us: When it is over; None for never.
        from_id: Messages of `from_kinds` that end before this id are left alone.
        from_kinds: Kinds whose ids are of that count.
        held: Messages that it holds back, each with the instant at which it did.
    """

    fault: Fault
    left: int | None
    until_us: int | None
    from_id: int = 0
    from_kinds: frozenset[str] = frozenset()
    held: list[tuple[int, Message]] = field(default_factory=list)

    def takes(self, message: Message, now_us: int) -> bool:
        """Return True if it may change *message* at *now_us*."""
        early = message.kind in self.from_kinds and message.last_id < self.from_id
        illegible = self.fault.kind.reads and isinstance(message, Damaged)
        fits = message.kind in self.fault.message_kinds and not early and not illegible
        return fits and not self.spent(now_us)

    def count(self) -> None:
        """Count a message or an answer that it changed."""
        self.left = None if self.left is None else self.left - 1

    def hold(self, message: Message, now_us: int) -> list[Out]:
        """Hold *message* back, and return what is sent instead: nothing."""
        self.held.append((now_us, message))
        return []

    def holds(self, message: Message) -> bool:
        """Return True if it keeps *message* for later."""
        return any(held is message for _, held in self.held)

    def late(self, now_us: int) -> bool:
        """Return True if its time is over."""
        return self.until_us is not None and now_us >= self.until_us

    def release(self, held_us: int) -> list[Out]:
        """Return the messages that it holds since *held_us* or longer, in order, and hold them no more."""
        count = sum(1 for since_us, _ in self.held if since_us <= held_us)
        gone: list[Out] = [message for _, message in self.held[:count]]
        del self.held[:count]
        return gone

    def over(self, now_us: int) -> bool:
        """Return True if it changes nothing any more, and holds nothing back."""
        return not self.held and self.spent(now_us)

    def spent(self, now_us: int) -> bool:
        """Return True if it changes nothing any more."""
        return self.left == 0 or self.late(now_us)


def micros(seconds: float | None) -> int | None:
    """Return *seconds* in whole µs; None stays None."""
    return None if seconds is None else round(seconds * US_PER_S)

"""Faults: a kind from the table with parameter values, its context, and its state on one connection."""

import inspect
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Protocol

from mm.base.knobs import Knob, integer, number, shown, typed
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
    "both": UPDATE_KINDS | TRADE_KINDS | {"other", "user"},
    "line": UPDATE_KINDS | TRADE_KINDS | {"other", "user"},
}
"""The values of ``of=``, and the message kinds of each; ``any`` is all kinds of the market streams, ``line`` all
messages, and answers to requests as well."""
RULE_CHANGES = ("filters", "symbol")
"""Names of the faults that change the rules of a symbol."""
MARKET_KINDS = ("depth", "trade", "any")
OTHER_SYMBOL = "OTHERUSDT"
Out = Message | bytes
"""Output to a client: a message, or a complete frame."""


class BadScript(UsageError):
    """A line of a fault script is not a valid rule."""


class Connection(Protocol):
    """A client's connection, as faults change it. What is sent through a user's can also end its *session*."""

    id: int
    phase_ms: int

    @property
    def combined(self) -> bool: ...

    def write(self, frame: bytes) -> None: ...

    def shutdown_frame(self, us: int) -> bytes: ...

    def stall(self, on: bool, streams: Collection[str] | None = None, *, silent: bool = False) -> None: ...

    def pause_reading(self) -> None: ...

    def close(self, code: int, reason: str = "") -> None: ...

    def abort(self) -> None: ...


class Damaged(Message):
    """A message whose text is no longer a complete event."""


@dataclass(frozen=True, slots=True)
class RequestEffect:
    done: bool = True
    error: ApiError | None = None
    answered: bool = True
    delay_us: int = 0
    faults: tuple[str, ...] = ()

    def hit(self, fault: "Fault", **changes: Any) -> "RequestEffect":
        return replace(self, faults=(*self.faults, fault.kind.name), **changes)


@dataclass(frozen=True, slots=True)
class UserRequest:
    """An authenticated request before its execution; *via* is ``rest`` or ``ws``."""

    operation: Operation
    call: Call
    via: str
    effect: RequestEffect = RequestEffect()

    def is_of(self, path: str) -> bool:
        """*path* is a method of the WebSocket API, or a prefix of a REST path."""
        operation = self.operation
        verb, route = operation.route
        if not path:
            return operation.changes_orders
        if "/" not in path:
            return self.via == "ws" and begins(operation.method, path)
        given, _, below = path.rpartition(" ")
        return self.via == "rest" and route.startswith(below) and (verb == given if given else operation.changes_orders)


def begins(name: str, path: str) -> bool:
    """Whether *name* begins with *path*; a method only with complete words."""
    return name.startswith(path) if "/" in path else name == path or name.startswith(f"{path}.")


COUNT, FOR_S = Knob(integer(1), 1), Knob(number(0), None)
"""The parameters ``n`` and ``for_s`` of most faults."""


@dataclass(frozen=True, eq=False)
class FaultKind:
    """One kind of fault: its parameters, and the functions that apply it.

    Attributes:
        due_us: For messages: the next time at which the fault ends or sends a message, µs; None for never.
        reads: For messages: it needs the parsed event, so damaged messages pass unchanged.
        of: For messages and connections: their kind, unless the fault has a parameter ``of``.
        end_us: For connections: the time of `end`, given the open time and the current time; None for never.
        openings: Number of later connections; None for no limit. For connections, a parameter ``n`` overrides it.
    """

    name: str
    help: str
    parameters: Mapping[str, Knob]
    _: KW_ONLY
    edit: "Callable[[Message, ActiveFault, FaultContext], list[Out] | None] | None" = None
    due: "Callable[[ActiveFault, FaultContext], list[Out]] | None" = None
    due_us: "Callable[[ActiveFault], int | None]" = lambda active: active.until_us
    reads: bool = False
    of: str = "depth"
    per_n: int = 1
    applies: "Callable[[Fault, Request], bool] | None" = None
    answer: "Callable[[Fault, Request, Response, FaultContext], Response] | None" = None
    effect: "Callable[[Fault, UserRequest, RequestEffect], RequestEffect | None] | None" = None
    late_us: "Callable[[ActiveFault, int], int] | None" = None
    begin: "Callable[[Fault, Any, int], None] | None" = None
    end_us: "Callable[[Fault, int, int], int | None] | None" = None
    end: "Callable[[Fault, Any], None] | None" = None
    refusal: "Callable[[Fault], Response] | None" = None
    now: bool = True
    later: bool = False
    openings: int | None = None

    @classmethod
    def of_function(cls, function: Callable[..., Any], **more: Any) -> "FaultKind":
        return cls(name=function.__name__, help=inspect.cleandoc(function.__doc__ or ""), **more)

    @property
    def of_connections(self) -> bool:
        return self.begin is not None or self.end is not None

    def make(self, **values: Any) -> "Fault":
        made = {name: parameter.default for name, parameter in self.parameters.items()}
        for name, value in values.items():
            try:
                made[name] = made[name] if value is None else self.parameters[name].reader.parse(typed(value))
            except ValueError as error:
                raise BadScript(f"{name}={value}: it must be {error}") from error
        return Fault(self, made)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault kind with parameter values, shared by all connections."""

    kind: FaultKind
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __str__(self) -> str:
        parts = [self.kind.name]
        for name, parameter in self.kind.parameters.items():
            if self.values[name] != parameter.default:
                parts.append(f"{name}={shlex.quote(shown(self.values[name]))}")
        return " ".join(parts)

    @property
    def of(self) -> str:
        return str(self.values.get("of", self.kind.of))

    @property
    def message_kinds(self) -> frozenset[str]:
        return KINDS[self.of]

    @property
    def changes(self) -> int | None:
        """How many times it applies; None for no limit."""
        return self.values.get("n", 0) * self.kind.per_n or None

    @property
    def openings(self) -> int | None:
        openings: int | None = self.values.get("n", self.kind.openings)
        return openings if self.kind.of_connections else None

    def until_us(self, now_us: int) -> int | None:
        lasts_us = None if self.kind.of_connections else micros(self.values.get("for_s"))
        return None if lasts_us is None else now_us + lasts_us


@dataclass(slots=True)
class FaultContext:
    truth: MarketTruth
    now_us: int
    past: Mapping[str, Sequence[Message]] = field(default_factory=dict)
    combined: bool = False
    depth_ids: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(slots=True)
class ActiveFault:
    """A fault's state, on one connection or for requests and responses; *begun_us* also holds on later connections."""

    fault: Fault
    left: int | None
    until_us: int | None
    begun_us: int = 0
    from_id: int = 0
    from_kinds: frozenset[str] = frozenset()
    held: list[tuple[int, Message]] = field(default_factory=list)

    def takes(self, message: Message, now_us: int) -> bool:
        early = message.kind in self.from_kinds and message.last_id < self.from_id
        unreadable = self.fault.kind.reads and isinstance(message, Damaged)
        fits = message.kind in self.fault.message_kinds and not early and not unreadable
        return fits and not self.is_spent(now_us)

    def count(self) -> None:
        self.left = None if self.left is None else self.left - 1

    def hold(self, message: Message, now_us: int) -> list[Out]:
        self.held.append((now_us, message))
        return []

    def holds(self, message: Message) -> bool:
        return any(held is message for _, held in self.held)

    def is_late(self, now_us: int) -> bool:
        return self.until_us is not None and now_us >= self.until_us

    def release(self, held_us: int) -> list[Out]:
        count = sum(1 for since_us, _ in self.held if since_us <= held_us)
        released: list[Out] = [message for _, message in self.held[:count]]
        del self.held[:count]
        return released

    def is_over(self, now_us: int) -> bool:
        return not self.held and self.is_spent(now_us)

    def is_spent(self, now_us: int) -> bool:
        return self.left == 0 or self.is_late(now_us)


def micros(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * US_PER_S)

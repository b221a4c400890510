"""The table of all faults by name, and the faults of connections and of the exchange as a whole."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mm.sim.wire.faults.answer_faults import ANSWER_FAULTS
from mm.sim.wire.faults.fault import (
    COUNT,
    FOR_S,
    Fault,
    FaultKind,
    FaultParameter,
    micros,
)
from mm.sim.wire.faults.message_faults import MESSAGE_FAULTS
from mm.sim.wire.faults.request_faults import REQUEST_FAULTS
from mm.sim.wire.http_messages import Response
from mm.sim.wire.stream_messages import ABNORMAL, GOING_AWAY

if TYPE_CHECKING:
    from mm.sim.wire.connections import ApiConnection
    from mm.sim.wire.faults.fault import Connection


def close(fault: Fault, connection: "Connection", now_us: int) -> None:
    """The connection is closed with `code` and `reason`; 1006, which no frame can carry, ends it without a frame."""
    connection.close(fault["code"], fault["reason"])


def reset(fault: Fault, connection: "Connection", now_us: int) -> None:
    """The connection is reset (RST); data in flight are lost."""
    connection.abort()


def mute(fault: Fault, connection: "Connection", now_us: int) -> None:
    """Nothing is sent, including pings and pongs, for `for_s` seconds or permanently; incoming data are still read."""
    connection.stall(True, silent=True)


def _unmute(fault: Fault, connection: "Connection") -> None:
    """Resume sending: depth continues without a gap, other held events are lost."""
    connection.stall(False, silent=True)


def half_open(fault: Fault, connection: "Connection", now_us: int) -> None:
    """Nothing is sent or read any more, as in a half-open connection."""
    connection.stall(True, silent=True)
    connection.pause_reading()


def shutdown(fault: Fault, connection: "Connection", now_us: int) -> None:
    """The connection is sent ``serverShutdown``, and closed with 1001 after `lead_s` seconds."""
    connection.write(connection.shutdown_frame(now_us))


def age(fault: Fault, connection: "Connection") -> None:
    """Current and later connections are closed with `code` when they are `max_s` seconds old."""
    connection.close(fault.values.get("code", GOING_AWAY), "")


def storm(fault: Fault, connection: "Connection", now_us: int) -> None:
    """The next `n` connections are accepted, and closed at once with `code`."""
    connection.close(fault["code"], "")


def phase(fault: Fault, connection: "Connection", now_us: int) -> None:
    """The next connection has its depth batches end `ms` after each whole second (of 100 ms streams: modulo 100)."""
    connection.phase_ms = fault["ms"]


def logon_expired(fault: Fault, connection: "ApiConnection", now_us: int) -> None:
    """The authentication of a session and its user data streams end, as after a logout."""
    connection.log_off()


def terminate(fault: Fault, connection: "ApiConnection", now_us: int) -> None:
    """The user data streams of a connection end with ``eventStreamTerminated``; it remains authenticated."""
    connection.end_streams()


def refuse_handshake(fault: Fault) -> Response:
    """The next `n` handshakes are answered with `status`, and Retry-After of `retry_after` seconds if not 0."""
    retry = {"Retry-After": str(fault["retry_after"])} if fault["retry_after"] else {}
    return Response(fault["status"], retry)


def refuse_connect(fault: Fault) -> Response:
    """The next `n` handshakes are reset before any response, as for an unreachable host."""
    return Response(0, reset=True)


def _after(name: str) -> Callable[[Fault, int, int], int | None]:
    """Return a function for the end of a fault whose duration in seconds is its parameter *name*."""

    def end_us(fault: Fault, opened_us: int, now_us: int) -> int | None:
        lasts_us = micros(fault[name])
        return None if lasts_us is None else now_us + lasts_us

    return end_us


def _when_old(fault: Fault, opened_us: int, now_us: int) -> int | None:
    return opened_us + (micros(fault["max_s"]) or 0)


def _connection(begin: Any, parameters: dict[str, FaultParameter], **more: Any) -> FaultKind:
    """Return a fault kind for connections of streams, of the WebSocket API, or of both."""
    return FaultKind.of_function(begin, parameters=parameters | _OF, begin=begin, **more)


def _session(begin: Any) -> FaultKind:
    """Return a fault kind for sessions of the WebSocket API."""
    return FaultKind.of_function(begin, parameters={}, begin=begin, of="user")


_OF = {"of": FaultParameter("market", choices=("market", "user", "both"))}


_CONNECTION_FAULTS = (
    _connection(close, {"code": FaultParameter(1000, least=1000), "reason": FaultParameter("")}),
    _connection(reset, {}),
    _connection(mute, {"for_s": FOR_S}, end_us=_after("for_s"), end=_unmute),
    _connection(half_open, {}),
    _connection(shutdown, {"lead_s": FaultParameter(10.0)}, end_us=_after("lead_s"), end=age),
    FaultKind.of_function(
        age,
        parameters={"max_s": FaultParameter(60.0), "code": FaultParameter(GOING_AWAY, least=1000)} | _OF,
        later=True,
        end_us=_when_old,
        end=age,
    ),
    _connection(
        storm, {"n": FaultParameter(5, least=1), "code": FaultParameter(ABNORMAL, least=1000)}, now=False, later=True
    ),
    FaultKind.of_function(phase, parameters={"ms": FaultParameter(50)}, begin=phase, now=False, later=True, openings=1),
    _session(logon_expired),
    _session(terminate),
    FaultKind.of_function(
        refuse_handshake,
        parameters={"n": COUNT, "status": FaultParameter(503, least=300), "retry_after": FaultParameter(0)},
        refusal=refuse_handshake,
    ),
    FaultKind.of_function(refuse_connect, parameters={"n": COUNT}, refusal=refuse_connect),
)
_EXCHANGE_FAULTS = (
    FaultKind(
        name="id_reset",
        help="Update ids restart at `first`, in messages, snapshots and the truth, as after maintenance.",
        parameters={"first": COUNT},
    ),
    FaultKind(
        name="clock_offset",
        help="All timestamps are shifted by `ms`, negative to earlier times; several offsets add up.",
        parameters={"ms": FaultParameter(1_300, least=-math.inf)},
    ),
    FaultKind(
        name="filters",
        help="Users' orders, and exchangeInfo, have a price step of `tick` and a quantity step of `step` from now on, "
        "multiples of the market's steps; an omitted step is unchanged.",
        parameters={"tick": FaultParameter(""), "step": FaultParameter("")},
    ),
    FaultKind(
        name="restart",
        help="All connections are reset and refused for `for_s` seconds; users' open orders are `books`: kept or lost.",
        parameters={"books": FaultParameter("kept", choices=("kept", "lost")), "for_s": FaultParameter(5.0)},
    ),
)
FAULTS: Mapping[str, FaultKind] = {
    kind.name: kind
    for kind in (*MESSAGE_FAULTS, *_CONNECTION_FAULTS, *ANSWER_FAULTS, *REQUEST_FAULTS, *_EXCHANGE_FAULTS)
}
"""The fault kinds by name."""

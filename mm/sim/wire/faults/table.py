"""The table of all faults by name, and the faults of connections and of the whole exchange."""

from collections.abc import Callable, Mapping

from mm.base.knobs import TEXT, Knob, integer, number, one_of
from mm.sim.wire.faults.answer_faults import ANSWER_FAULTS
from mm.sim.wire.faults.fault import (
    COUNT,
    FOR_S,
    Connection,
    Fault,
    FaultKind,
    micros,
)
from mm.sim.wire.faults.message_faults import MESSAGE_FAULTS
from mm.sim.wire.faults.request_faults import REQUEST_FAULTS
from mm.sim.wire.http_messages import Response
from mm.sim.wire.stream_messages import ABNORMAL, GOING_AWAY

_OF = {"of": Knob(one_of("market", "user", "both"), "market")}
_RETRY = {"retry_after": Knob(integer(0), 0)}


def _half_open(_: Fault, connection: Connection, __: int) -> None:
    connection.stall(True, silent=True)
    connection.pause_reading()


def _set_phase(fault: Fault, connection: Connection, _: int) -> None:
    connection.phase_ms = fault["ms"]


def _close_old(fault: Fault, connection: Connection) -> None:
    connection.close(fault.values.get("code", GOING_AWAY), "")


def _refused(fault: Fault) -> Response:
    retry = {"Retry-After": str(fault["retry_after"])} if fault["retry_after"] else {}
    return Response(fault["status"], retry)


def _end_after(name: str) -> Callable[[Fault, int, int], int | None]:
    def end_us(fault: Fault, opened_us: int, now_us: int) -> int | None:
        lasts_us = micros(fault[name])
        return None if lasts_us is None else now_us + lasts_us

    return end_us


_CONNECTION_FAULTS = (
    FaultKind(
        "close",
        "The connection is closed with `code` and `reason`; 1006, which no frame can carry, ends it without a frame.",
        {"code": Knob(integer(1000), 1000), "reason": Knob(TEXT, "")} | _OF,
        begin=lambda fault, connection, _: connection.close(fault["code"], fault["reason"]),
    ),
    FaultKind(
        "reset",
        "The connection is reset (RST); data in flight are lost.",
        _OF,
        begin=lambda _, connection, __: connection.abort(),
    ),
    FaultKind(
        "mute",
        "Nothing is sent, including pings and pongs, for `for_s` seconds or permanently; incoming data are still read.",
        {"for_s": FOR_S} | _OF,
        begin=lambda _, connection, __: connection.stall(True, silent=True),
        end_us=_end_after("for_s"),
        end=lambda _, connection: connection.stall(False, silent=True),
    ),
    FaultKind("half_open", "Nothing is sent or read any more, as in a half-open connection.", _OF, begin=_half_open),
    FaultKind(
        "shutdown",
        "The connection is sent ``serverShutdown``, and closed with 1001 after `lead_s` seconds.",
        {"lead_s": Knob(number(0), 10.0)} | _OF,
        begin=lambda _, connection, now_us: connection.write(connection.shutdown_frame(now_us)),
        end_us=_end_after("lead_s"),
        end=_close_old,
    ),
    FaultKind(
        "age",
        "Current and later connections are closed with `code` when they are `max_s` seconds old.",
        {"max_s": Knob(number(0), 60.0), "code": Knob(integer(1000), GOING_AWAY)} | _OF,
        later=True,
        end_us=lambda fault, opened_us, _: opened_us + (micros(fault["max_s"]) or 0),
        end=_close_old,
    ),
    FaultKind(
        "storm",
        "The next `n` connections are accepted, and closed at once with `code`.",
        {"n": Knob(integer(1), 5), "code": Knob(integer(1000), ABNORMAL)} | _OF,
        begin=lambda fault, connection, _: connection.close(fault["code"], ""),
        now=False,
        later=True,
    ),
    FaultKind(
        "phase",
        "The next connection has its depth batches end `ms` after each whole second (of 100 ms streams: modulo 100).",
        {"ms": Knob(integer(0), 50)},
        begin=_set_phase,
        now=False,
        later=True,
        openings=1,
    ),
    FaultKind(
        "logon_expired",
        "The authentication of a session and its user data streams end, as after a logout.",
        {},
        begin=lambda _, connection, __: connection.session.log_off(),
        of="user",
    ),
    FaultKind(
        "terminate",
        "The user data streams of a connection end with ``eventStreamTerminated``; it remains authenticated.",
        {},
        begin=lambda _, connection, __: connection.session.end_streams(),
        of="user",
    ),
    FaultKind(
        "refuse_handshake",
        "The next `n` handshakes are answered with `status`, and Retry-After of `retry_after` seconds if not 0.",
        {"n": COUNT, "status": Knob(integer(300), 503)} | _RETRY,
        refusal=_refused,
    ),
    FaultKind(
        "refuse_connect",
        "The next `n` handshakes are reset before any response, as for an unreachable host.",
        {"n": COUNT},
        refusal=lambda _: Response(0, reset=True),
    ),
)
_FILTERS = (
    *("tick", "step", "min_notional", "max_notional", "min_price", "max_price", "min_qty", "max_qty"),
    *("up", "down", "max_orders", "bracket"),
)
_EXCHANGE_FAULTS = (
    FaultKind(
        "id_reset",
        "Update ids restart at `first`, in messages, snapshots and the truth, as after maintenance.",
        {"first": COUNT},
    ),
    FaultKind(
        "clock_offset",
        "The clock by which all is stamped and requests are judged is shifted by `ms`, negative to earlier times; past "
        "trades and orders keep their times; several offsets add up.",
        {"ms": Knob(integer(), 1_300)},
    ),
    FaultKind(
        "filters",
        "Users' orders, and exchangeInfo, have these filters from now on: `tick` and `step` are multiples of the "
        "market's steps, `up` and `down` of the mean (mark) price, `bracket` the largest notional of a contract's "
        "position; what is omitted stays, and open orders too.",
        dict.fromkeys(_FILTERS, Knob(TEXT, "")),
    ),
    FaultKind(
        "symbol",
        "The symbol has the status `status` from now on: orders are refused unless it is TRADING. With `listed=0` it "
        "is delisted: open orders of users expire, and no request knows it any more.",
        {"status": Knob(TEXT, "TRADING"), "listed": Knob(integer(0), 1)},
    ),
    FaultKind(
        "restart",
        "All connections are reset and refused for `for_s` seconds; users' open orders are `books`: kept or lost.",
        {"books": Knob(one_of("kept", "lost"), "kept"), "for_s": Knob(number(0), 5.0)},
    ),
)
FAULTS: Mapping[str, FaultKind] = {
    kind.name: kind
    for kind in (*MESSAGE_FAULTS, *_CONNECTION_FAULTS, *ANSWER_FAULTS, *REQUEST_FAULTS, *_EXCHANGE_FAULTS)
}
"""The fault kinds by name."""

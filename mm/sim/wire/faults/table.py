"""Every fault by name, with its parameters and where it acts; and the functions of faults of connections."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from mm.sim.wire.faults import answer_faults as answers
from mm.sim.wire.faults import message_faults as messages
from mm.sim.wire.faults.fault import KINDS, Fault, FaultKind, FaultyConnection, Parameter, micros
from mm.sim.wire.http_messages import Response
from mm.sim.wire.stream_messages import ABNORMAL, GOING_AWAY, server_shutdown

_FOR_S = Parameter(None)


def _close(fault: Fault, connection: FaultyConnection, now_us: int) -> None:
    """The connection is closed with `code` and `reason`; 1006, which no frame can carry, ends it without a frame."""
    connection.close(fault["code"], fault["reason"])


def _reset(fault: Fault, connection: FaultyConnection, now_us: int) -> None:
    """The connection is reset (RST); what was on its way is lost."""
    connection.abort()


def _mute(fault: Fault, connection: FaultyConnection, now_us: int) -> None:
    """Nothing is sent any more, no ping and no pong, for `for_s` seconds or for good; what comes is still read."""
    connection.stall(True, silent=True)


def _unmute(fault: Fault, connection: FaultyConnection) -> None:
    """Send again: depth goes on without a gap, other events of the time between are lost."""
    connection.stall(False, silent=True)


def _half_open(fault: Fault, connection: FaultyConnection, now_us: int) -> None:
    """Nothing is sent and nothing is read any more: the other end is gone without a close."""
    connection.stall(True, silent=True)
    connection.pause_reading()


def _shutdown(fault: Fault, connection: FaultyConnection, now_us: int) -> None:
    """The connection is sent ``serverShutdown``, and closed with 1001 after `lead_s` seconds."""
    connection.write(server_shutdown(now_us, micro=connection.micro).frame(combined=connection.combined))


def _go_away(fault: Fault, connection: FaultyConnection) -> None:
    """Connections, later ones too, are closed with `code` when they are `max_s` seconds old."""
    connection.close(fault.values.get("code", GOING_AWAY), "")


def _storm(fault: Fault, connection: FaultyConnection, now_us: int) -> None:
    """The next `n` connections are accepted, and closed at once with `code`."""
    connection.close(fault["code"], "")


def _phase(fault: Fault, connection: FaultyConnection, now_us: int) -> None:
    """The next connection has its depth batches end `ms` after each whole second (of 100 ms streams: modulo 100)."""
    connection.phase_ms = fault["ms"]


def _refuse_handshake(fault: Fault) -> Response:
    """The next `n` handshakes are answered with `status`, and Retry-After of `retry_after` seconds if not 0."""
    retry = {"Retry-After": str(fault["retry_after"])} if fault["retry_after"] else {}
    return Response(fault["status"], retry)


def _refuse_connect(fault: Fault) -> Response:
    """The next `n` handshakes are reset before any answer: what a client sees of a host that is gone."""
    return Response(0, reset=True)


def _after(name: str) -> Callable[[Fault, int, int], int | None]:
    """Return the end of a fault that lasts as many seconds as its parameter *name* says."""

    def end_us(fault: Fault, opened_us: int, now_us: int) -> int | None:
        lasts_us = micros(fault[name])
        return None if lasts_us is None else now_us + lasts_us

    return end_us


def _when_old(fault: Fault, opened_us: int, now_us: int) -> int | None:
    return opened_us + (micros(fault["max_s"]) or 0)


def _n(default: int = 1) -> Parameter:
    return Parameter(default, least=1)


def _of(default: str = "depth") -> Parameter:
    return Parameter(default, choices=tuple(KINDS))


def _message(name: str, edit: Any, parameters: Mapping[str, Parameter], **more: Any) -> FaultKind:
    return FaultKind(name=name, help=_help(edit), parameters=parameters, edit=edit, **more)


def _next(name: str, edit: Any, **more: Any) -> FaultKind:
    """Return a fault of the next ``n`` messages of a kind; parameters that it has besides stand in *more*."""
    own = {key: more.pop(key) for key in list(more) if isinstance(more[key], Parameter)}
    return _message(name, edit, {"n": _n(), "of": _of()} | own, **more)


def _next_depth(name: str, edit: Any, **own: Parameter) -> FaultKind:
    """Return a fault of the next ``n`` depth messages."""
    return _message(name, edit, {"n": _n()} | own, reads=True)


def _answer(name: str, answer: Any, **own: Parameter) -> FaultKind:
    """Return a fault of the answers to the next ``n`` requests of a path, 0 for all from now on."""
    parameters = {"n": Parameter(1), "path": Parameter("")} | own
    return FaultKind(name=name, help=_help(answer), parameters=parameters, applies=answers.has_path, answer=answer)


def _snapshot(name: str, answer: Any, **own: Parameter) -> FaultKind:
    """Return a fault of the next ``n`` snapshots, 0 for all from now on."""
    parameters = {"n": Parameter(1)} | own
    return FaultKind(name=name, help=_help(answer), parameters=parameters, applies=answers.is_snapshot, answer=answer)


def _connection(name: str, begin: Any, parameters: Mapping[str, Parameter], **more: Any) -> FaultKind:
    return FaultKind(name=name, help=_help(begin), parameters=parameters, begin=begin, **more)


def _help(function: Callable[..., Any]) -> str:
    return inspect.cleandoc(function.__doc__ or "")


_KINDS = (
    _next("drop", messages.drop),
    _next("duplicate", messages.duplicate),
    _next("stale", messages.stale, back=Parameter(3, least=1)),
    _next_depth("overlap", messages.overlap, by=Parameter(5, least=1)),
    _next("swap", messages.swap, per_n=2),
    _message("burst", messages.burst, {"n": _n(100), "of": _of("any"), "for_s": _FOR_S}, due=messages.all_when_over),
    _message(
        "lag",
        messages.lag,
        {"delay_s": Parameter(0.25), "for_s": _FOR_S},
        of="any",
        due=messages.lagged,
        due_us=messages.lag_due_us,
    ),
    _message("stall", messages.stall, {"of": _of("any"), "for_s": _FOR_S}),
    _next("bad_json", messages.bad_json),
    _next("bad_utf8", messages.bad_utf8),
    _next("unknown_event", messages.unknown_event),
    _next("missing_field", messages.missing_field, field=Parameter("u"), reads=True),
    _next("extra_field", messages.extra_field, field=Parameter("zz"), reads=True),
    _next("non_ascii", messages.non_ascii, text=Parameter("Ω市場🦄"), reads=True),
    _next("binary", messages.binary),
    _next("huge", messages.huge, size=Parameter(2 * 1024 * 1024)),
    _next("foreign_symbol", messages.foreign_symbol, reads=True),
    _next_depth("crossed", messages.crossed, ticks=Parameter(1)),
    _next_depth("off_tick", messages.off_tick),
    _next_depth("capped_qty", messages.capped_qty),
    _connection("close", _close, {"code": Parameter(1000, least=1000), "reason": Parameter("")}),
    _connection("reset", _reset, {}),
    _connection("mute", _mute, {"for_s": _FOR_S}, end_us=_after("for_s"), end=_unmute),
    _connection("half_open", _half_open, {}),
    _connection("shutdown", _shutdown, {"lead_s": Parameter(10.0)}, end_us=_after("lead_s"), end=_go_away),
    FaultKind(
        name="age",
        help=_help(_go_away),
        parameters={"max_s": Parameter(60.0), "code": Parameter(GOING_AWAY, least=1000)},
        later=True,
        end_us=_when_old,
        end=_go_away,
    ),
    _connection("storm", _storm, {"n": _n(5), "code": Parameter(ABNORMAL, least=1000)}, now=False, later=True),
    _connection("phase", _phase, {"ms": Parameter(50)}, now=False, later=True, openings=1),
    FaultKind(
        name="refuse_handshake",
        help=_help(_refuse_handshake),
        parameters={"n": _n(), "status": Parameter(503, least=300), "retry_after": Parameter(0)},
        refusal=_refuse_handshake,
    ),
    FaultKind(name="refuse_connect", help=_help(_refuse_connect), parameters={"n": _n()}, refusal=_refuse_connect),
    _answer("status", answers.status, code=Parameter(503), retry_after=Parameter(0)),
    _answer("slow", answers.slow, delay_s=Parameter(20.0)),
    _answer("cut_body", answers.cut_body, share=Parameter(0.5)),
    _answer("reset_request", answers.reset_request),
    _answer("broken_body", answers.broken_body),
    _snapshot("empty_sides", answers.empty_sides, side=Parameter("both", choices=("bids", "asks", "both"))),
    _answer("wrong_symbol", answers.wrong_symbol),
    _snapshot(
        "snapshot",
        answers.snapshot,
        where=Parameter("old", choices=("old", "before", "inside", "newer")),
        of=Parameter("first", choices=("first", "last")),
        back=Parameter(1, least=1),
    ),
    FaultKind(
        name="tick_size",
        help=_help(answers.tick_size),
        parameters={"value": Parameter("0.10000000")},
        applies=answers.is_exchange_info,
        answer=answers.tick_size,
    ),
    FaultKind(
        name="halt",
        help=_help(answers.halt),
        parameters={"status": Parameter("BREAK"), "for_s": Parameter(5.0)},
        of="any",
        later=True,
        edit=messages.hold,
        due=messages.all_when_over,
        applies=answers.is_exchange_info,
        answer=answers.halt,
    ),
    FaultKind(
        name="id_reset",
        help="Update ids count again from `first`, in messages, snapshots and the truth, as after maintenance.",
        parameters={"first": _n()},
    ),
    FaultKind(
        name="clock_offset",
        help="Every stamp that the exchange sends is `ms` ahead, or late where negative; several add up.",
        parameters={"ms": Parameter(1_300, least=-math.inf)},
    ),
)
FAULTS: Mapping[str, FaultKind] = {kind.name: kind for kind in _KINDS}
"""The kinds of faults by name."""

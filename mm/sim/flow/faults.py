"""What goes wrong while a simulated day is recorded, and when."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mm.clock import US_PER_S
from mm.errors import UsageError
from mm.sim.flow.session import Session

if TYPE_CHECKING:
    import numpy as np

LOST_DEPTH, LOST_TRADES, DISCONNECT, CRASH = "lost_depth", "lost_trades", "disconnect", "crash"
_MOST_S = {DISCONNECT: 30, CRASH: 60}
_MOST_MESSAGES = {LOST_DEPTH: 5, LOST_TRADES: 20}
_APART_US = 120 * US_PER_S
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: What.
        start_us: When it begins.
        messages: How many messages of its stream are lost from then on (`LOST_DEPTH`, `LOST_TRADES`).
        lasts_us: How long nothing arrives (`DISCONNECT`, `CRASH`).
    """

    kind: str
    start_us: int
    messages: int = 0
    lasts_us: int = 0


@dataclass
class Happened:
    """A fault as it came to pass.

    Attributes:
        fault: What was planned.
        end_us: When messages arrived again, or the last lost one was sent; None if it outlasted the session.
        update_ids: The first and the last update id that the recording lacks; None where it lacks none.
        trade_ids: Likewise of trades.
        no_book_us: From when to when the recording has no valid book; None where it always has one.
    """

    fault: Fault
    end_us: int | None = None
    update_ids: Span | None = None
    trade_ids: Span | None = None
    no_book_us: Span | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as truth.json tells it."""
        return {
            "kind": self.fault.kind,
            "start_us": self.fault.start_us,
            "end_us": self.end_us,
            "lost_update_ids": self.update_ids,
            "lost_trade_ids": self.trade_ids,
            "no_book_us": self.no_book_us,
        }


def plan(session: Session, kinds: Iterable[str]) -> tuple[Fault, ...]:
    """Return one fault of each of *kinds*, in an order, at times and of sizes that the session's luck draws.

    Raises:
        UsageError: If the session is too short for so many, two minutes each.
    """
    draws = session.random("faults")
    wanted = list(kinds)
    first_us, end_us = session.flow_us
    room_us = (end_us - first_us) // max(1, len(wanted))
    if wanted and room_us < _APART_US:
        raise UsageError(
            f"--hours {session.hours} (HOURS) is too short for {len(wanted)} faults, which need "
            f"{_APART_US // US_PER_S} s each; make it longer, or the faults fewer"
        )
    order: list[int] = draws.permutation(len(wanted)).tolist()
    return tuple(
        _fault(wanted[which], first_us + nth * room_us + int(draws.integers(room_us // 4, room_us // 2)), draws)
        for nth, which in enumerate(order)
    )


def _fault(kind: str, start_us: int, draws: "np.random.Generator") -> Fault:
    if kind in _MOST_MESSAGES:
        return Fault(kind, start_us, messages=int(draws.integers(1, _MOST_MESSAGES[kind], endpoint=True)))
    return Fault(kind, start_us, lasts_us=int(draws.integers(US_PER_S, _MOST_S[kind] * US_PER_S)))

"""Orders that were never sent: where they would have joined a queue, and what became of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.tape.tape import GAP, SNAPSHOT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Ints, Tape

    Floats = NDArray[np.float64]

PLACES = {-1: "inside", 0: "touch", 1: "1 behind", 2: "2 behind"}
"""Ticks behind the best price of its own side at which an order joins, and how tables call that."""
SLOT = 1.25  # lives from one order of a pass and side to the next; it arrives within the first quarter


@dataclass(frozen=True)
class Plan:
    """Which orders are imagined.

    Attributes:
        life_us: How long each waits for its fill.
        checks_us: When its place in the queue is looked at, after its arrival; each below *life_us*.
        passes: How often the day is gone through; of one pass and side, one order is alive at a time.
        seed: Of arrivals and places.
    """

    life_us: int
    checks_us: tuple[int, ...]
    passes: int
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Phantoms:
    """Orders of the least quantity that join the end of a queue; columns beside each other.

    Attributes:
        us: When each arrives, behind everything of that instant; rising.
        side: +1 buy, -1 sell.
        ticks: Its price.
        place: Ticks behind the best price of its side; -1 is one tick better.
        turn: Which pass it belongs to.
        life_us: After this it is gone; what happens at ``us + life_us`` no longer fills it.
        checks_us: When its place is looked at, after its arrival, behind everything of that instant.
    """

    us: "Ints"
    side: "Ints"
    ticks: "Ints"
    place: "Ints"
    turn: "Ints"
    life_us: int
    checks_us: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.us)


@dataclass(frozen=True, eq=False)
class Fates:
    """What became of phantoms; one row each.

    Attributes:
        filled_us: The instant of its fill, -1 where it had none.
        ahead: float64[n, checks], lots ahead at each check; 0 after its fill, NaN where nobody knows.
        sent: Whether it rested at all: it did not cross, and no break of the book ended it.
    """

    filled_us: "Ints"
    ahead: "Floats"
    sent: "NDArray[np.bool_]"


def phantoms(tape: "Tape", plan: Plan) -> Phantoms:
    """Choose orders on *tape*: arrival and place are drawn, the price follows from the book as it then is.

    One that would join while there is no book, or inside a spread of one tick, is left out, and so is one whose
    life reaches beyond the tape.
    """
    draws = np.random.default_rng(plan.seed)
    slot_us = round(SLOT * plan.life_us)
    count = max(0, (tape.end_us - tape.start_us) // slot_us)
    shape = (plan.passes, 2, count)
    begin = tape.start_us + slot_us * np.arange(count) + draws.integers(0, slot_us - plan.life_us, shape)
    place = draws.choice(list(PLACES), shape)
    side = np.broadcast_to(np.array([1, -1])[:, None], shape)
    turn = np.broadcast_to(np.arange(plan.passes)[:, None, None], shape)
    us, side, place, turn = (column.ravel() for column in (begin, side, place, turn))
    order = np.argsort(us, kind="stable")
    us, side, place, turn = us[order], side[order], place[order], turn[order]
    bid, ask = _touch(tape, us)
    ticks = np.where(side > 0, bid, ask) - side * place
    wanted = (bid > 0) & (ask > 0) & (ticks > 0) & (side * (np.where(side > 0, ask, bid) - ticks) > 0)
    wanted &= ~_broken(tape, us, us + plan.life_us)
    return Phantoms(us[wanted], side[wanted], ticks[wanted], place[wanted], turn[wanted], plan.life_us, plan.checks_us)


def _touch(tape: "Tape", us: "Ints") -> tuple["Ints", "Ints"]:
    """Return the best bid and ask at each instant, 0 where there is none."""
    at = np.searchsorted(tape.event_us[tape.top_event], us, side="right") - 1
    known = at >= 0
    return np.where(known, tape.top_bid_ticks[at], 0), np.where(known, tape.top_ask_ticks[at], 0)


def _broken(tape: "Tape", begin_us: "Ints", end_us: "Ints") -> "NDArray[np.bool_]":
    """Tell of each stretch whether the book breaks, or begins anew, within it, or the tape ends."""
    breaks_us = tape.event_us[(tape.kind == GAP) | (tape.kind == SNAPSHOT)]
    count = np.searchsorted(breaks_us, end_us, side="right") - np.searchsorted(breaks_us, begin_us, side="right")
    broken: NDArray[np.bool_] = (count > 0) | (end_us > tape.end_us)
    return broken

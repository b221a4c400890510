"""What each price level displayed, event by event: an index of a tape's rows by side and price.

A place in a queue depends on the changes of one level since an order joined it. With this index a queue model is played
on best prices and trades alone (`mm.tape.top_of_book`): the level is read where an order joins it, and its changes are
walked through where a print reaches the order's price, instead of at every message.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mm.tape._book import by_price
from mm.tape.columns import GAP, KEYFRAME, SNAPSHOT, Ints
from mm.tape.tape import Tape

DENSE = 1 << 20  # ticks from the lowest price to the highest; where there are more, prices are numbered
MOST_EVENTS = 2**31 - 1
KEPT = ("begin", "change_event", "change_lots", "price")


@dataclass(frozen=True, eq=False, kw_only=True)
class LevelIndex:
    """The changes of every price level of a tape, and of windows of it.

    Attributes:
        price: The price of each slot in ticks, rising, int64[slots]; empty where slot s is the price ``least + s``.
        begin: Where the changes of the asks at a slot begin, and then of the bids there, int64[2 * slots + 1].
        change_event: Position in the whole tape of the event that changed it, rising within a level, int32[n].
        change_lots: Lots displayed after it, int64[n]; of several in one event the last counts.
        fresh: Positions of the events before whose rows the book is empty, int64[m].
        kind: The kind of each event of the whole tape, uint8[events].
        event_us: Its instant, int64[events].
        base: Position in the whole tape of the window's first event.
        stop: Position behind the window's last event.
        least: The lowest price in ticks; 0 where there is none, or where prices are numbered.
    """

    price: Ints
    begin: Ints
    change_event: NDArray[np.int32]
    change_lots: Ints
    fresh: Ints
    kind: NDArray[np.uint8]
    event_us: Ints
    base: int
    stop: int
    least: int

    def part(self, begin: int, stop: int) -> Self:
        """Return what is of the events ``begin:stop`` of this window."""
        return replace(self, base=self.base + begin, stop=self.base + stop)

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each invariant that it breaks."""
        begin, event = self.begin, self.change_event
        numbered = len(self.price) and len(self.price) != len(begin) // 2
        if not len(begin) % 2 or numbered or begin[0] or begin[-1] != len(event) or (np.diff(begin) < 0).any():
            yield f"the changes of {len(begin) // 2} prices do not begin one after the other"
            return
        falls = np.diff(event) < 0
        inner = begin[(begin > 0) & (begin < len(event))]
        falls[inner - 1] = False  # from one level to the next
        if (np.diff(self.price) <= 0).any() or falls.any():
            yield "prices, or the changes of a level, do not rise"
        if len(event) != len(self.change_lots) or (self.change_lots < 0).any():
            yield f"{len(event)} changes have {len(self.change_lots)} numbers of lots, or one is negative"
        if ((event < 0) | (event >= len(self.kind))).any():
            yield f"a change lies outside of the {len(self.kind)} events of the tape"

    def in_lots(self, times: int) -> Self:
        """Return them in lots *times* as fine."""
        return replace(self, change_lots=self.change_lots * times)


def opened(tape: Tape, entry: dict[str, int], arrays: dict[str, Any]) -> LevelIndex:
    """Return the changes of the levels of *tape* from the entry and arrays of a file; they are not checked."""
    own = {"fresh": _fresh(tape), "kind": tape.kind, "event_us": tape.event_us, "base": 0, "stop": len(tape)}
    return LevelIndex(**arrays | entry | own)


def level_changes(tape: Tape) -> LevelIndex:
    """Return the changes of every price level of *tape*; raises ValueError if it has more than 2³¹ events."""
    if len(tape) > MOST_EVENTS:
        raise ValueError(f"the tape has {len(tape):,} events; level changes hold at most {MOST_EVENTS:,}")
    ticks = tape.row_ticks
    least = int(ticks.min(initial=np.iinfo(np.int64).max)) if len(ticks) else 0
    slots = int(ticks.max()) - least + 1 if len(ticks) else 0
    price = ticks[:0]
    if slots > DENSE:  # a few prices far from the rest: they are numbered
        price, ticks = np.unique(ticks, return_inverse=True)
        ticks, least, slots = np.ascontiguousarray(ticks, np.int64), 0, len(price)
    begin, event, lots = by_price(
        tape.kind, tape.first_row, tape.row_side, ticks, tape.row_lots, least, slots, _framed(tape)
    )
    return LevelIndex(
        price=price,
        begin=begin,
        change_event=event,
        change_lots=lots,
        fresh=_fresh(tape),
        kind=tape.kind,
        event_us=tape.event_us,
        base=0,
        stop=len(tape),
        least=least,
    )


def _framed(tape: Tape) -> bool:
    """Return whether the tape begins with a KEYFRAME, which shows its first book."""
    return bool(len(tape)) and int(tape.kind[0]) == KEYFRAME


def _fresh(tape: Tape) -> Ints:
    """Return the events before whose rows the book is empty."""
    fresh = np.flatnonzero((tape.kind == SNAPSHOT) | (tape.kind == GAP))
    return np.concatenate(([0], fresh)) if _framed(tape) else fresh

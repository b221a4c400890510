"""Cancellations of which a tape tells whose they were, though it names no order.

A level that grows by exactly q lots between two book messages, without a print, took in an order of q lots. One that
shrinks by exactly q lots, again without a print, lost one. Where at that price no other order of q lots is known to
rest, the two are the same order, and so it is known since when the cancelled order had stood in the queue.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Ints, Tape

    Bools = NDArray[np.bool_]

PIECE_ROWS = 4_000_000  # of a tape that are sorted at a time; an order that outlives a piece is not known again


@dataclass(frozen=True, eq=False)
class Levels:
    """What a tape says of each price: book rows and prints, price after price, each in the order of the tape.

    Attributes:
        us: When it was received.
        side: The book's, +1 bids; of a print that of the order it met.
        ticks: The price.
        lots: Displayed from now on, or printed.
        before: Displayed until now.
        is_print: Whether it is a print.
        first: Position of the first row of the same price and epoch.
        untouched: Book rows since whose predecessor at this price nothing printed there.
        zeros: Rows up to and including each that emptied their level.
    """

    us: "Ints"
    side: "Ints"
    ticks: "Ints"
    lots: "Ints"
    before: "Ints"
    is_print: "Bools"
    first: "Ints"
    untouched: "Bools"
    zeros: "Ints"

    @classmethod
    def of(cls, tape: "Tape") -> "Levels":
        """Return those of *tape*; a book that begins anew begins every price anew."""
        event = np.repeat(np.arange(len(tape)), np.diff(tape.first_row))
        whole_book = (tape.kind == SNAPSHOT) | ((tape.kind == KEYFRAME) & (np.arange(len(tape)) == 0))
        epoch = np.cumsum(whole_book | (tape.kind == GAP))[event]
        kept = np.flatnonzero((tape.kind[event] != KEYFRAME) | whole_book[event])
        is_print = tape.kind[event] == TRADE
        own = slice(*tape.first_row[[0, -1]].tolist())  # a window stands in the rows of the whole tape
        ticks, lots, row_side = tape.row_ticks[own], tape.row_lots[own], tape.row_side[own].astype(np.int64)
        side = np.where(is_print, -row_side, row_side)
        rows = kept[np.lexsort((kept, ticks[kept], side[kept], epoch[kept]))]
        event, is_print = event[rows], is_print[rows]
        side, ticks, lots = side[rows], ticks[rows], lots[rows]
        place = np.arange(len(rows))
        begins = np.flatnonzero(np.diff(np.stack([epoch[rows], side, ticks]), axis=1, prepend=-1).any(axis=0))
        first = np.repeat(begins, np.diff(np.append(begins, len(rows))))
        book = np.maximum.accumulate(np.where(is_print, -1, place))  # the last book row, perhaps of another price
        earlier = np.append(-1, book[:-1])
        known = earlier >= first
        return cls(
            us=tape.event_us[event],
            side=side,
            ticks=ticks,
            lots=lots,
            before=np.where(known, lots[earlier], 0),
            is_print=is_print,
            first=first,
            untouched=~is_print & known & (earlier == place - 1) & (tape.kind[event] == DEPTH),
            zeros=np.cumsum(~is_print & (lots == 0)),
        )

    def shown_at(self, row: int, us: int) -> int:
        """Return the book row that stands at the price of *row* at an instant before it; -1 where there is none."""
        first = int(self.first[row])
        found = first + int(np.searchsorted(self.us[first:row], us, side="right")) - 1
        while found >= first and self.is_print[found]:
            found -= 1
        return found if found >= first else -1


def cancellations(levels: Levels) -> "Ints":
    """Return (row of arrival, row of cancellation) of every order that was known when it was cancelled, int64[n, 2]."""
    change = np.where(levels.untouched, levels.lots - levels.before, 0)
    step = np.where(levels.is_print, -1, np.sign(change))
    size = np.where(levels.is_print, levels.lots, np.abs(change))
    queue = levels.zeros - (~levels.is_print & (levels.lots == 0))  # a level that empties ends its queue
    rows = np.flatnonzero(step)
    rows = rows[np.lexsort((rows, size[rows], queue[rows], levels.first[rows]))]
    known, group = _resting(step[rows], np.stack([levels.first[rows], queue[rows], size[rows]]))
    came, went = rows[:-1], rows[1:]
    alone = (step[came] > 0) & (known[:-1] == 1) & (group[:-1] == group[1:])
    printed = np.cumsum(np.where(levels.is_print, levels.lots, 0))
    waits = printed[went] - printed[came] <= levels.before[came]  # else the prints have reached it
    pairs = alone & waits & (step[went] < 0) & ~levels.is_print[went]
    return np.stack([came[pairs], went[pairs]], axis=1)


def _resting(step: "Ints", named: "Ints") -> tuple["Ints", "Ints"]:
    """Return how many orders of a price and size are known to rest behind each step, and the number of its group.

    An end that no known order can have come to is passed over: the count never falls below 0.
    """
    begins = np.diff(named, axis=1, prepend=-1).any(axis=0)
    group = np.cumsum(begins, dtype=np.int64)
    total = np.cumsum(step)
    total = total - (total - step)[begins][group - 1]
    far = 2 * len(step) + 2  # a group's sums cannot reach the next one's
    least = np.minimum.accumulate(total - far * group) + far * group
    return total - np.minimum(least, 0), group


def pieces(tape: "Tape") -> list["Tape"]:
    """Return *tape* cut by time into pieces of about `PIECE_ROWS` rows, each with its book."""
    count = max(1, -(-len(tape.row_ticks) // PIECE_ROWS))
    cuts = np.linspace(tape.start_us, tape.end_us + 1, count + 1).astype(np.int64).tolist()
    return [tape.between(a_us, b_us) for a_us, b_us in pairwise(cuts)]

"""A book with a level at every tick, moved with the mid, and the orders that sweep through it.

- The book changes at depth instants only, 100 ms apart; a depth message goes out where something changed.
- A sweep takes every level from the touch on, one print a level with one trade time; its last print takes a part
  of its level, the others all of theirs.
- What a sweep took is refilled at once. The next depth message gives each level it touched a new quantity; no
  message ever shows one missing. So each sweep meets a whole book: the one of the last depth instant.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.instrument import Instrument
from mm.sim.flow.session import STEP_MS, MarketDay, Session

if TYPE_CHECKING:
    from typing import Any

    from mm.sim.flow.session import Bools, Ints

SIDES = (1, -1)


@dataclass(frozen=True, slots=True)
class RegularBook:
    """The prices of a book at every depth instant: all of it follows from the best bid.

    Attributes:
        best_bid: Ticks at each instant; the first is the opening.
        spread: Ticks from best bid to best ask.
        levels: Levels a side.
        mean_lots: Mean quantity of a level; each lies between half and one and a half of it.
    """

    best_bid: "Ints"
    spread: int
    levels: int
    mean_lots: int

    def best(self, side: int) -> "Ints":
        """Return the best price of *side* (+1 bid, -1 ask) at each instant, in ticks."""
        return self.best_bid if side > 0 else self.best_bid + self.spread

    def lowest(self, side: int) -> "Ints":
        """Return the lowest price of *side* at each instant, in ticks."""
        return self.best(side) - (self.levels - 1 if side > 0 else 0)

    def lots(self, rows: "Levels", draws: np.random.Generator) -> "Ints":
        """Return new quantities for *rows*: 0 where the book has no such level at that instant."""
        best = self.best_bid[rows.step] + np.where(rows.side > 0, 0, self.spread)
        behind = rows.side * (best - rows.ticks)
        least, most = (self.mean_lots + 1) // 2, self.mean_lots + self.mean_lots // 2
        drawn = draws.integers(least, most, rows.step.size, endpoint=True)
        return np.where((behind >= 0) & (behind < self.levels), drawn, 0)


@dataclass(frozen=True, slots=True)
class Sweeps:
    """The aggressive orders that print, in order; no two of one side share a millisecond.

    Attributes:
        sent_ms: Their instants.
        side: +1 buyer, -1 seller.
        prints: Levels they take, at most those of the book.
    """

    sent_ms: "Ints"
    side: "Ints"
    prints: "Ints"


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of the book, a row each: the depth instant, the side (+1 bid, -1 ask) and the price."""

    step: "Ints"
    side: "Ints"
    ticks: "Ints"


def play(
    session: Session, instrument: Instrument, book: RegularBook, sweeps: Sweeps, truth: "dict[str, Any]"
) -> MarketDay:
    """Return the session in which *sweeps* meet *book*: its opening, depth messages and prints in order."""
    draws = session.random("quantities")
    opening, touched, prints = _opening(book), _touched(session, book, sweeps), _prints(session, book, sweeps)
    opening_lots, touched_lots = book.lots(opening, draws), book.lots(touched, draws)
    known = Levels(*(np.concatenate(pair) for pair in zip(_columns(opening), _columns(touched), strict=True)))
    shown_lots = _shown(known, np.concatenate([opening_lots, touched_lots]), prints)
    part_lots = np.ceil(shown_lots * draws.uniform(0.1, 1.0, shown_lots.size)).astype(np.int64)
    print_lots = np.where(_is_last(sweeps.prints), part_lots, shown_lots)

    # Depth messages stand before the trades of their millisecond.
    touched_ms = session.open_ms + touched.step * STEP_MS
    print_ms = np.repeat(sweeps.sent_ms, sweeps.prints)
    key = np.concatenate([touched_ms * 2, print_ms * 2 + 1])
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero((np.diff(key, prepend=-1) > 0) | (key % 2 == 1))
    return MarketDay(
        instrument=instrument,
        opening_side=opening.side,
        opening_ticks=opening.ticks,
        opening_lots=opening_lots,
        sent_ms=key[starts] // 2,
        is_trade=key[starts] % 2 == 1,
        first_row=np.append(starts, key.size),
        row_side=np.concatenate([touched.side, -prints.side])[order],
        row_ticks=np.concatenate([touched.ticks, prints.ticks])[order],
        row_lots=np.concatenate([touched_lots, print_lots])[order],
        truth=truth,
    )


def _opening(book: RegularBook) -> Levels:
    """Return the levels before the first message, best first."""
    depth = np.arange(book.levels)
    ticks = np.concatenate([book.best(side)[0] - side * depth for side in SIDES])
    return Levels(np.zeros_like(ticks), np.repeat(SIDES, book.levels), ticks)


def _prints(session: Session, book: RegularBook, sweeps: Sweeps) -> Levels:
    """Return the level that each print meets: asks upwards for a buyer, bids downwards for a seller."""
    step = (sweeps.sent_ms - session.open_ms) // STEP_MS
    touch = book.best_bid[step] + np.where(sweeps.side > 0, book.spread, 0)
    step, side, touch = (np.repeat(column, sweeps.prints) for column in (step, sweeps.side, touch))
    return Levels(step, -side, touch + side * _count_up(sweeps.prints))


def _touched(session: Session, book: RegularBook, sweeps: Sweeps) -> Levels:
    """Return every level that enters, leaves or was swept before an instant, each once an instant."""
    swept = _prints(session, book, sweeps)
    # The first message sets both touches, so that frames begin where the flow does.
    first = [np.array([1, side, book.best(side)[1]]).reshape(3, 1) for side in SIDES]
    parts = [_moved(book, side) for side in SIDES] + [Levels(swept.step + 1, swept.side, swept.ticks)]
    rows = np.concatenate([*first, *(np.array(_columns(part)) for part in parts)], axis=1)
    return _in_message_order(Levels(*rows))


def _moved(book: RegularBook, side: int) -> Levels:
    """Return the levels of *side* that enter or leave because the mid moved."""
    lowest = book.lowest(side)
    step = np.flatnonzero(np.diff(lowest)) + 1
    shift = lowest[step] - lowest[step - 1]
    count = np.minimum(np.abs(shift), book.levels)
    rest = book.levels - count
    entering = lowest[step] + np.where(shift > 0, rest, 0)
    leaving = lowest[step - 1] + np.where(shift > 0, 0, rest)
    ticks = np.concatenate([np.repeat(first, count) + _count_up(count) for first in (entering, leaving)])
    return Levels(np.tile(np.repeat(step, count), 2), np.full(ticks.size, side), ticks)


def _in_message_order(rows: Levels) -> Levels:
    """Return the distinct *rows* by instant, bids before asks, best first."""
    low, high = int(rows.ticks.min()), int(rows.ticks.max())
    place = np.where(rows.side > 0, high - rows.ticks, rows.ticks - low)
    width = high - low + 1
    block, place = np.divmod(np.unique((rows.step * 2 + (rows.side < 0)) * width + place), width)
    step, is_ask = np.divmod(block, 2)
    return Levels(step, 1 - 2 * is_ask, np.where(is_ask, low + place, high - place))


def _shown(known: Levels, lots: "Ints", wanted: Levels) -> "Ints":
    """Return the *lots* that *known* rows last gave each wanted level, as of its instant."""
    steps = int(known.step.max()) + 1
    low, high = int(known.ticks.min()), int(known.ticks.max())

    def code(rows: Levels) -> "Ints":
        coded: Ints = ((rows.side < 0) * (high - low + 1) + rows.ticks - low) * steps + rows.step
        return coded

    codes = code(known)
    order = np.argsort(codes)
    found = np.searchsorted(codes[order], code(wanted), side="right") - 1
    return lots[order[found]]


def _columns(rows: Levels) -> "tuple[Ints, Ints, Ints]":
    return rows.step, rows.side, rows.ticks


def _count_up(counts: "Ints") -> "Ints":
    """Return 0, 1, … for each of *counts*, end to end."""
    ends = np.cumsum(counts)
    return np.arange(int(counts.sum())) - np.repeat(ends - counts, counts)


def _is_last(counts: "Ints") -> "Bools":
    """Return whether a place is the last of its run, for runs of *counts* end to end."""
    last: Bools = _count_up(counts) == np.repeat(counts, counts) - 1
    return last

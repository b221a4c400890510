"""The fast path of models that use only the best prices: a tape of best prices and trades.

It contains the trades, the book events that change the best prices or the lots at them, and events that begin or end a
book: about a tenth of the rows. Each book event has one level per side. A model that uses no deeper levels writes the
same journal as on the whole tape, byte for byte (tests/backtest/test_top_of_book.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mm.tape.columns import DEPTH, DTYPES, EVENT_COLUMNS, ROW_COLUMNS, TRADE, Column, Ints, bounds, release
from mm.tape.tape import Tape

ALWAYS = 2**31 - 1  # the reach of an event that affects orders at any price
SPAN = 1 << 16
"""Number of events of a tape that are processed together."""
_LOWER = 2**32 - 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class BestPrices(Tape):
    """The best prices and trades of a tape.

    Attributes:
        place: Position of each event in the whole tape, int64[n].
        whole_us: When each event of the whole tape arrived, µs.
        reach: The resting orders that an event can affect, int64[n]; the engine skips an event that affects none. The
            lower half is the price of a trade, negative for a sell; 0 if only lots change; ``ALWAYS`` if the event must
            be processed. The upper half is the lots of the trade, at most ``ALWAYS``.
        move_event, move_us: The book events that must be processed, and their instants.
        move_bid_ticks, move_ask_ticks: The best prices after each of them; 0 means none.
        move_low_ticks, move_high_ticks: Lowest sell trade since the previous one (``ALWAYS`` without any) and highest
            buy trade (0): bids below and asks above are not affected; if there are no other orders, all events between
            are skipped at once. The latter is ``ALWAYS`` for an event that begins or ends a book: it is processed.
        low_ticks, high_ticks: Prices of the lowest and highest trade; 0 without trades.
    """

    PER_EVENT: ClassVar[tuple[str, ...]] = (*Tape.PER_EVENT, "place", "reach")
    MOVES: ClassVar[tuple[str, ...]] = (
        "move_event",
        "move_us",
        "move_bid_ticks",
        "move_ask_ticks",
        "move_low_ticks",
        "move_high_ticks",
    )

    place: Ints
    whole_us: Ints
    reach: Ints
    move_event: Ints
    move_us: Ints
    move_bid_ticks: Ints
    move_ask_ticks: Ints
    move_low_ticks: Ints
    move_high_ticks: Ints
    low_ticks: int
    high_ticks: int

    def part(self, begin: int, stop: int, a_us: int, b_us: int) -> Self:
        """Return the part for the events ``begin:stop`` of the whole tape."""
        first, end = np.searchsorted(self.place, (begin, stop)).tolist()
        window = self.cut(first, end, a_us, b_us)
        return replace(window, place=window.place - begin, whole_us=self.whole_us[begin:stop])

    def with_lot(self, lot_e8: int) -> Self:
        """Return the tape in lots of *lot_e8*, a divisor of its own."""
        times = self.instrument.lot_e8 // lot_e8
        lots, price = self.reach >> 32, self.reach & _LOWER
        return replace(super().with_lot(lot_e8), reach=np.minimum(lots * times, ALWAYS) << 32 | price)

    def cut(self, begin: int, stop: int, a_us: int, b_us: int) -> Self:
        """Return the events from *begin* on and before *stop* as the window ``a_us <= time < b_us``."""
        window = super().cut(begin, stop, a_us, b_us)
        moves = slice(*np.searchsorted(self.move_event, (begin, stop)))
        columns = {name: getattr(self, name)[moves] for name in self.MOVES}
        return replace(window, **columns | {"move_event": columns["move_event"] - begin})

    def release(self, a_us: int, b_us: int) -> None:
        """Release the memory of ``a_us <= time < b_us``, if it is mapped; it is read again on use."""
        super().release(a_us, b_us)
        moves = slice(*np.searchsorted(self.move_us, (a_us, b_us)).tolist())
        for name in self.MOVES:
            release(getattr(self, name)[moves])
        release(self.whole_us[slice(*np.searchsorted(self.whole_us, (a_us, b_us)).tolist())])

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each violated invariant, first those of any tape."""
        wrong = list(super().faults())
        if not len(self) == len(self.place) == len(self.reach):
            wrong.append(f"{len(self)} events have {len(self.place)} positions and {len(self.reach)} reaches")
        yield from wrong
        if wrong:
            return
        if len(self) and (self.place[0] < 0 or (self.place[1:] <= self.place[:-1]).any()):
            yield "the positions of events are not ascending from 0 or later"
        release(self.place)
        price, book = self.reach & _LOWER, self.kind != TRADE
        if (self.reach < 0).any() or ((price != ALWAYS) & book & ((price != 0) | (self.kind != DEPTH))).any():
            yield "a reach does not match its event's kind"
        moves = np.flatnonzero((price == ALWAYS) & book)
        if {len(getattr(self, name)) for name in self.MOVES} != {len(moves)} or (self.move_event != moves).any():
            yield f"{len(moves)} book events must be played, but the moves belong to other events"
        elif (self.move_us != self.event_us[moves]).any():
            yield "instants of moves differ from those of their events"
        elif (self.move_high_ticks[self.kind[moves] != DEPTH] != ALWAYS).any():
            yield "the start or end of a book counts as a change of prices"


# Arrays stored for the best prices; the others are shared with the whole tape.
KEPT = (*EVENT_COLUMNS, "kind", "first_row", *ROW_COLUMNS, "top_event", "place", "reach", *BestPrices.MOVES)


def opened(tape: Tape, entry: dict[str, int], arrays: dict[str, Any]) -> BestPrices:
    """Return the best prices of *tape* from the entry and arrays of a file; they are not checked."""
    return BestPrices(**parts(tape) | entry | arrays, whole_us=tape.event_us)


def parts(tape: Tape) -> dict[str, Any]:
    """Return the parts of a tape, or of best prices, by name."""
    return {field.name: getattr(tape, field.name) for field in fields(tape) if field.init}


def release_best(tape: Tape) -> None:
    """Release the memory of the best prices of *tape* if they were used; do not compute them."""
    best = vars(tape).get("best")
    if best is not None:
        best.release_memory()


def project(tape: Tape) -> BestPrices:
    """Return the best prices and trades of *tape*, in memory."""
    made = Projection(tape)
    arrays = {name: np.empty(size, dtype) for name, (dtype, size) in made.shapes().items()}
    for name, at, items in made.pieces():
        arrays[name][at : at + len(items)] = items
    return opened(tape, made.entry(), arrays)


class Projection:
    """Computes the best prices and trades of a tape, one span of its events at a time; earlier spans are released.

    Args:
        tape: The tape.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._wanted = tape.kind != DEPTH
        self._wanted[tape.top_event] = True
        self._books = np.flatnonzero(self._wanted & (tape.kind != TRADE))
        self._rows = self._moves = 0
        for first in range(0, len(self._books), SPAN):
            books = self._shown(first, first + SPAN)
            self._rows += int(books.sizes.sum())
            self._moves += int(np.count_nonzero(books.moved))
        self._ticks = np.empty(int(np.count_nonzero(tape.kind == TRADE)), np.int64)  # of the trades
        trade = 0
        for begin, stop in self._spans():
            rows = tape.first_row[begin:stop][tape.kind[begin:stop] == TRADE]
            self._ticks[trade : trade + len(rows)] = tape.row_ticks[rows]
            trade += len(rows)
            self._release(begin, stop)

    def entry(self) -> dict[str, int]:
        """Return the attributes that are not arrays."""
        ticks = self._ticks
        return {"low_ticks": int(ticks.min()) if len(ticks) else 0, "high_ticks": int(ticks.max(initial=0))}

    def shapes(self) -> dict[str, tuple[Any, int]]:
        """Return type and length of each array."""
        events, rows = len(self._books) + len(self._ticks), self._rows + len(self._ticks)
        sizes = dict.fromkeys(KEPT, events) | dict.fromkeys(ROW_COLUMNS, rows)
        sizes |= dict.fromkeys(BestPrices.MOVES, self._moves)
        sizes |= {"first_row": events + 1, "top_event": len(self._tape.top_event)}
        return {name: (DTYPES.get(name, np.int64), size) for name, size in sizes.items()}

    def pieces(self) -> Iterator[tuple[str, int, Column]]:
        """Yield all arrays in pieces, one span after the other: (name, position, items)."""
        tape, trade_range = self._tape, _TradeRange()
        event = row = book = move = top = trade = 0  # number of each so far
        for begin, stop in self._spans():
            place = np.flatnonzero(self._wanted[begin:stop]) + begin
            kind = tape.kind[place]
            trades = kind == TRADE
            books = self._shown(book, book + int(np.count_nonzero(~trades)))
            sizes = np.ones(len(place), np.int64)
            sizes[~trades] = books.sizes
            first_row = bounds(sizes)
            rows = self._merged(books, first_row[:-1][trades], tape.first_row[place[trades]])
            ticks = self._ticks[trade : trade + len(place) - len(books.sizes)]
            side, lots = (rows[name][first_row[:-1][trades]] for name in ("row_side", "row_lots"))
            reach = np.empty(len(place), np.int64)
            reach[~trades] = np.where(books.moved, ALWAYS, 0)
            price = np.where(ticks < ALWAYS, side * ticks, ALWAYS)
            reach[trades] = np.minimum(lots, ALWAYS) << 32 | price & _LOWER
            moves = np.flatnonzero(~trades)[books.moved]
            low, high = trade_range.before(reach, moves)
            high[kind[moves] != DEPTH] = ALWAYS
            events = {name: getattr(tape, name)[place] for name in EVENT_COLUMNS}
            tops = tape.top_event[slice(*np.searchsorted(tape.top_event, (begin, stop)))]
            own = events | {"kind": kind, "first_row": first_row[:-1] + row, "place": place, "reach": reach}
            moved = {
                "move_event": moves + event,
                "move_us": events["event_us"][moves],
                "move_bid_ticks": books.bid_ticks[books.moved],
                "move_ask_ticks": books.ask_ticks[books.moved],
                "move_low_ticks": low,
                "move_high_ticks": high,
            }
            yield from ((name, event, column) for name, column in own.items())
            yield from ((name, row, column) for name, column in rows.items())
            yield from ((name, move, column) for name, column in moved.items())
            yield "top_event", top, np.searchsorted(place, tops) + event
            event, row, book = event + len(place), row + int(first_row[-1]), book + len(books.sizes)
            move, top, trade = move + len(moves), top + len(tops), trade + len(ticks)
            self._release(begin, stop)
        yield "first_row", event, np.array([row])

    def _spans(self) -> Iterator[tuple[int, int]]:
        """Yield bounds of events."""
        events = len(self._tape)
        yield from ((begin, min(begin + SPAN, events)) for begin in range(0, events, SPAN))

    def _release(self, begin: int, stop: int) -> None:
        """Release the memory of the events ``begin:stop`` of the tape."""
        tape = self._tape
        rows = slice(int(tape.first_row[begin]), int(tape.first_row[stop]))
        for name in (*Tape.PER_EVENT, "first_row"):
            release(getattr(tape, name)[begin:stop])
        for name in ROW_COLUMNS:
            release(getattr(tape, name)[rows])

    def _shown(self, first: int, stop: int) -> "_Books":
        """Return the book events ``first:stop`` as books of one level per side."""
        before = min(first, 1)  # the previous book, which the first one changes
        events = self._books[first - before : stop]
        return _books(self._tape, events, self._tape.kind[events]).after(before)

    def _merged(self, books: "_Books", at: Ints, source: Ints) -> dict[str, Column]:
        """Return the rows of books and, at positions *at*, those of trades, which are the tape's rows *source*."""
        of_book = np.ones(len(books.rows["row_side"]) + len(at), bool)
        of_book[at] = False
        rows = {}
        for name, column in books.rows.items():
            rows[name] = np.empty(len(of_book), column.dtype)
            rows[name][of_book] = column
            rows[name][at] = getattr(self._tape, name)[source]
        return rows


class _TradeRange:
    """Lowest price of a sell trade and highest price of a buy trade since the last move."""

    def __init__(self) -> None:
        self._low, self._high = ALWAYS, 0

    def before(self, reach: Ints, moves: Ints) -> tuple[Ints, Ints]:
        """Return both for each of *moves* in the next events: over the trades since the previous move."""
        price = reach.astype(np.int32)  # its lower half
        price[moves] = 0
        lows, highs = np.where(price < 0, -price, ALWAYS), np.maximum(price, 0)
        begins = np.concatenate(([0], moves + 1))
        ends = begins < len(price)  # False where the last move is the last event
        low, high = np.full(len(begins), ALWAYS), np.zeros(len(begins), np.int64)
        if ends.any():
            low[ends] = np.minimum.reduceat(lows, begins[ends])
            high[ends] = np.maximum.reduceat(highs, begins[ends])
        low[0], high[0] = min(low[0], self._low), max(high[0], self._high)
        self._low, self._high = int(low[-1]), int(high[-1])
        return low[:-1], high[:-1]


class _Books(NamedTuple):
    """Book events as books of one level per side; columns except *rows* have one entry per event.

    Attributes:
        bid_ticks, ask_ticks: The best prices, 0 if there is none.
        moved: Whether either differs from the previous one, or a book begins or ends.
        sizes: Number of rows that turn the previous book into this one.
        rows: The columns of these rows.
    """

    bid_ticks: Ints
    ask_ticks: Ints
    moved: NDArray[np.bool_]
    sizes: Ints
    rows: dict[str, NDArray[Any]]

    def after(self, count: int) -> "_Books":
        """Return the books without the first *count*."""
        row = int(self.sizes[:count].sum())
        rows = {name: column[row:] for name, column in self.rows.items()}
        bid_ticks, ask_ticks, moved, sizes = self.bid_ticks, self.ask_ticks, self.moved, self.sizes
        return _Books(bid_ticks[count:], ask_ticks[count:], moved[count:], sizes[count:], rows)


def _books(tape: Tape, events: Ints, kind: NDArray[np.uint8]) -> _Books:
    """Return the books after the book events *events*, whose kinds are *kind*."""
    top = np.searchsorted(tape.top_event, events, side="right") - 1
    fresh = kind != DEPTH  # the book is empty before such an event's rows
    moved = fresh.copy()
    best: dict[int, Ints] = {}
    cells: list[tuple[NDArray[np.bool_], Ints, Ints]] = []
    columns = {1: (tape.top_bid_ticks, tape.top_bid_lots), -1: (tape.top_ask_ticks, tape.top_ask_lots)}
    for side, (prices, best_lots) in columns.items():
        best[side], lots = _at(prices, top), _at(best_lots, top)
        before, lots_before = (np.concatenate(([0], column[:-1])) * ~fresh for column in (best[side], lots))
        price_moved = best[side] != before
        added = (best[side] > 0) & (price_moved | (lots != lots_before))
        cells.append((price_moved & (before > 0), before, np.zeros_like(lots)))
        cells.append((added, best[side], lots))
        moved |= price_moved
    chosen = np.stack([added for added, *_ in cells], axis=1)
    rows: dict[str, NDArray[Any]] = {
        "row_side": np.broadcast_to(np.array([1, 1, -1, -1], np.int8), chosen.shape)[chosen],
        "row_ticks": np.stack([ticks for _, ticks, _ in cells], axis=1)[chosen],
        "row_lots": np.stack([lots for *_, lots in cells], axis=1)[chosen],
    }
    return _Books(best[1], best[-1], moved, chosen.sum(axis=1), rows)


def _at(column: Ints, top: Ints) -> Ints:
    """Return the entries of a column at the top-of-book rows *top*, 0 before the first."""
    return np.where(top >= 0, column[top], 0) if len(column) else np.zeros_like(top)

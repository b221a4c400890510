"""The events of a tape as integer arrays, and the invariants on which kernels rely."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mm.base.notebook import Shown
from mm.errors import BrokenFile
from mm.instrument import Instrument
from mm.tape.columns import (
    ARRAYS,
    DEPTH,
    DTYPES,
    EVENT_COLUMNS,
    GAP,
    KEYFRAME,
    KIND_NAMES,
    MARK_COLUMNS,
    ROW_COLUMNS,
    SNAPSHOT,
    TOP_COLUMNS,
    TRADE,
    Ints,
    TapeMeta,
    gathered,
    in_pieces,
    none,
    release,
)

TOO_HIGH = 1 << 61
"""Exclusive upper limit of prices, in ticks: kernels can add two of them; ``_book.pxd`` has the same number."""


@dataclass(frozen=True, eq=False, repr=False)
class TapeEvents(Shown):
    """Events in replay order; each event has a time, a kind and a range of rows.

    All arrays are C-contiguous and read-only; instants are µs, prices ticks, quantities lots of *instrument*.

    Attributes:
        instrument: The grid; its lot divides the exchange's step and every recorded quantity.
        step_lots: The exchange's quantity step in lots; it applies only to our orders.
        step_ticks: The exchange's price step in ticks, for our orders only: above one if a grid of the day was finer.
        event_us: Receive time of each event; nondecreasing.
        event_exch_us: Its exchange timestamp; 0 if unknown.
        recv_seq: Sequence number of the message; -1 if there is none.
        event_id: Trade id, last update id of a depth message or snapshot; 0 for GAP and KEYFRAME.
        kind: SNAPSHOT, DEPTH, TRADE, GAP or KEYFRAME. A GAP ends the book until the next SNAPSHOT; a KEYFRAME is the
            complete book after the previous event, where a window can begin.
        first_row: The rows of event e are ``first_row[e]:first_row[e + 1]``; a trade has one, a gap none.
        row_side: +1 bid or buyer as aggressor, -1 ask or seller as aggressor.
        row_ticks, row_lots: Price, and the lots traded or now displayed there (0: the level is removed).
        top_event: The events that change a best price or the lots at one.
        top_bid_ticks, top_ask_ticks, top_bid_lots, top_ask_lots: Best prices after each; 0 ticks means no price.
        mark_us, mark_told_us, mark_e8: Recorded mark prices of a contract: when received, when told, µs, and the price,
            1e-8 of the quote asset; empty without.
        start_us, end_us: The window; events before it only build the book, and none is later.
    """

    PER_EVENT: ClassVar[tuple[str, ...]] = (*EVENT_COLUMNS, "kind")

    symbol: str
    days: tuple[str, ...]
    instrument: Instrument
    step_lots: int
    step_ticks: int
    event_us: Ints
    event_exch_us: Ints
    recv_seq: Ints
    event_id: Ints
    kind: NDArray[np.uint8]
    first_row: Ints
    row_side: NDArray[np.int8]
    row_ticks: Ints
    row_lots: Ints
    top_event: Ints
    top_bid_ticks: Ints
    top_ask_ticks: Ints
    top_bid_lots: Ints
    top_ask_lots: Ints
    start_us: int
    end_us: int
    meta: TapeMeta = field(default_factory=TapeMeta)
    mark_us: Ints = field(default_factory=none, repr=False)
    mark_told_us: Ints = field(default_factory=none, repr=False)
    mark_e8: Ints = field(default_factory=none, repr=False)
    keep_mapped: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ARRAYS:
            column = np.ascontiguousarray(getattr(self, name), DTYPES[name]).view()
            column.flags.writeable = False
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def trades(self) -> NDArray[np.intp]:
        """Positions of the TRADE events."""
        return np.flatnonzero(self.kind == TRADE)

    @property
    def trade_rows(self) -> Ints:
        """The row of each TRADE event, parallel to `trades`."""
        return self.first_row[self.trades]

    @cached_property
    def trade_side(self) -> NDArray[np.int8]:
        """The aggressor's side of each TRADE event, parallel to `trades`."""
        return gathered(self.row_side, self.trade_rows)

    @cached_property
    def trade_ticks(self) -> Ints:
        """The price of each TRADE event in ticks, parallel to `trades`."""
        return gathered(self.row_ticks, self.trade_rows)

    @cached_property
    def trade_lots(self) -> Ints:
        """The lots of each TRADE event, parallel to `trades`."""
        return gathered(self.row_lots, self.trade_rows)

    def rows(self, event: int) -> list[tuple[int, int, int]]:
        """Return the rows of an event as (side, ticks, lots)."""
        run = slice(int(self.first_row[event]), int(self.first_row[event + 1]))
        return list(zip(*(getattr(self, name)[run].tolist() for name in ROW_COLUMNS), strict=True))

    def check(self) -> None:
        """Raise BrokenFile if an invariant is violated; kernels rely on them and do not check bounds."""
        if fault := next(self.faults(), None):
            raise BrokenFile(
                f"tape of {self.symbol} {','.join(self.days)}: {fault}; remove its cache file, or report it"
            )

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each violated invariant; if shapes are wrong, only for these."""
        wrong = list(_shapes(self))
        yield from wrong
        for faults_of in () if wrong else (_events, _rows, _book_validity, _tops):
            yield from faults_of(self)
            for name in () if self.keep_mapped else ARRAYS:
                release(getattr(self, name))


def _shapes(tape: TapeEvents) -> Iterator[str]:
    events, rows, tops = len(tape.kind), len(tape.row_side), len(tape.top_event)
    sizes = dict.fromkeys(EVENT_COLUMNS, events) | {"first_row": events + 1}
    sizes |= dict.fromkeys(ROW_COLUMNS, rows) | dict.fromkeys(TOP_COLUMNS, tops)
    sizes |= dict.fromkeys(MARK_COLUMNS, len(tape.mark_us))
    for name, size in sizes.items():
        column = getattr(tape, name)
        if column.shape != (size,):
            yield f"{name} has the shape {column.shape}, not ({size},)"
    if tape.step_lots < 1 or tape.step_ticks < 1:
        yield f"the quantity step is {tape.step_lots} lots, the price step {tape.step_ticks} ticks; the least is 1"


def _events(tape: TapeEvents) -> Iterator[str]:
    # Neighbours are compared: a difference of two integers may overflow.
    for name in ("event_us", "first_row"):
        for first, piece in in_pieces(getattr(tape, name), 1):
            yield from _where(piece[1:] < piece[:-1], f"{name} decreases after event", first)
    if tape.first_row[0] < 0 or tape.first_row[-1] > len(tape.row_side):
        yield f"events use rows {tape.first_row[0]} to {tape.first_row[-1]}, but there are only {len(tape.row_side)}"
    if len(tape) and tape.event_us[-1] > tape.end_us:
        yield f"the last event, at {tape.event_us[-1]} µs, is later than the end, {tape.end_us} µs"
    if tape.start_us > tape.end_us:
        yield f"it begins at {tape.start_us} µs, after its end at {tape.end_us} µs"
    yield from _where((tape.kind < SNAPSHOT) | (tape.kind > KEYFRAME), "unknown kind of event")
    for first, piece in in_pieces(tape.first_row, 1):
        sizes, kind = np.diff(piece), tape.kind[first : first + len(piece) - 1]
        yield from _where((kind == TRADE) & (sizes != 1), "there is not exactly one row for trade", first)
        yield from _where((kind == GAP) & (sizes != 0), "there are rows for gap", first)


def _rows(tape: TapeEvents) -> Iterator[str]:
    for first, side in in_pieces(tape.row_side):
        if side.min() < -1 or side.max() > 1 or not side.all():
            yield from _where(abs(side) != 1, "the side is not +1 or -1 in row", first)
    for first, ticks in in_pieces(tape.row_ticks):
        if ticks.min() <= 0:
            yield from _where(ticks <= 0, "the price is not above 0 in row", first)
        if ticks.max() >= TOO_HIGH:
            yield from _where(ticks >= TOO_HIGH, "the price is not below 2**61 in row", first)
    for first, lots in in_pieces(tape.row_lots):
        if lots.min() < 0:
            yield from _where(lots < 0, "the lots are negative in row", first)


def _book_validity(tape: TapeEvents) -> Iterator[str]:
    """The first change of an invalid book: before the first snapshot, or after a gap."""
    kind = tape.kind
    starts_and_ends = np.flatnonzero((kind == SNAPSHOT) | (kind == GAP))
    if len(kind) and kind[0] == KEYFRAME:
        starts_and_ends = np.concatenate(([0], starts_and_ends))
    changes = np.flatnonzero((kind == DEPTH) | (kind == KEYFRAME))
    last = np.searchsorted(starts_and_ends, changes, "right") - 1
    valid = (last >= 0) & (kind[starts_and_ends[last]] != GAP) if len(starts_and_ends) else np.zeros(len(changes), bool)
    if not valid.all():
        event = int(changes[np.argmin(valid)])
        yield f"event {event} is a {KIND_NAMES[int(kind[event])]} of a book that is not valid there"


def _tops(tape: TapeEvents) -> Iterator[str]:
    yield from _where(tape.top_event[1:] <= tape.top_event[:-1], "top_event is not increasing after top")
    if len(tape.top_event) and not 0 <= tape.top_event[0] <= tape.top_event[-1] < len(tape):
        yield f"tops refer to events {tape.top_event[0]} to {tape.top_event[-1]}, but there are only {len(tape)}"
    bid, ask = tape.top_bid_ticks, tape.top_ask_ticks
    yield from _where((bid > 0) & (ask > 0) & (bid >= ask), "best bid and ask cross at top")
    yield from _where((bid >= TOO_HIGH) | (ask >= TOO_HIGH), "a best price is not below 2**61 at top")
    below = (bid < 0) | (ask < 0) | (tape.top_bid_lots < 0) | (tape.top_ask_lots < 0)
    yield from _where(below, "a price or lots are negative at top")


def _where(wrong: NDArray[np.bool_], sentence: str, first: int = 0) -> Iterator[str]:
    if wrong.any():
        yield f"{sentence} {first + int(np.argmax(wrong))}"

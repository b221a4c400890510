"""The tape: one or more recorded days as integer arrays, which is all that the engine and the calibration see."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mm.clock import iso
from mm.errors import BrokenFile
from mm.instrument import Instrument
from mm.tape.mapped import gathered, let_go

if TYPE_CHECKING:
    from mm.tape.top_of_book import BestPrices

Ints = NDArray[np.int64]

SNAPSHOT, DEPTH, TRADE, GAP, KEYFRAME = 1, 2, 3, 4, 5
KIND_NAMES = {SNAPSHOT: "snapshot", DEPTH: "depth", TRADE: "trade", GAP: "gap", KEYFRAME: "keyframe"}

EVENT_COLUMNS = ("event_us", "event_exch_us", "recv_seq", "event_id")
ROW_COLUMNS = ("row_ticks", "row_lots")
TOP_COLUMNS = ("top_event", "top_bid_ticks", "top_ask_ticks", "top_bid_lots", "top_ask_lots")
ARRAYS = (*EVENT_COLUMNS, "kind", "first_row", "row_side", *ROW_COLUMNS, *TOP_COLUMNS)


@dataclass(frozen=True)
class TapeMeta:
    """Where a tape comes from.

    Attributes:
        inputs: Path (relative to the data root), bytes and sha256 of every file read.
        counts: What was found and mended: gaps, stale updates, duplicate trades, …
        warnings: The same in sentences that name the file.
        last_update_id: Id of the book at the end; None where there is no valid book.
        carried_from: Id of the snapshot carried over from the day before, if the tape begins with one.
        cache: ``hit``, ``miss`` or ``off``; says nothing about the tape.
    """

    inputs: tuple[tuple[str, int, str], ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    last_update_id: int | None = None
    carried_from: int | None = None
    cache: str = field(default="off", compare=False)


@dataclass(frozen=True, eq=False)
class Tape:
    """Events in the one order in which they count; every event is a time, a kind and a run of rows.

    All arrays are C-contiguous and read-only; instants are µs, prices ticks, quantities lots of *instrument*.

    Attributes:
        symbol: What was recorded.
        days: The recorded days, ``YYYYMMDD``.
        instrument: The grid. Its lot is the tape's: it divides the exchange's step and every recorded quantity.
        step_lots: The exchange's quantity step in lots; it binds our orders only.
        event_us: When each event arrived; never falls.
        event_exch_us: When the exchange says that it happened; 0 where it does not say.
        recv_seq: Number of the message; -1 where there is none.
        event_id: Trade id, last update id of a depth message or snapshot; 0 for GAP and KEYFRAME.
        kind: SNAPSHOT, DEPTH, TRADE, GAP or KEYFRAME. A GAP ends the book until the next SNAPSHOT; a KEYFRAME is
            the whole book as it stands, for those who enter there.
        first_row: The rows of event e are ``first_row[e]:first_row[e + 1]``; a trade has one, a gap none.
        row_side: +1 bid or buyer as aggressor, -1 ask or seller as aggressor.
        row_ticks, row_lots: Price, and the lots traded or now displayed there (0: the level is gone).
        top_event: The events behind which the best prices or the lots at them are others than before.
        top_bid_ticks, top_ask_ticks, top_bid_lots, top_ask_lots: What they then are; 0 ticks is no price.
        start_us, end_us: The window it speaks for; events before it only build the book, none is later.
        meta: Where it comes from.
        narrowed: Gives its best prices and trades, where they are kept beside it (see `best`); a copy made by
            `dataclasses.replace` has none.
    """

    PER_EVENT: ClassVar[tuple[str, ...]] = (*EVENT_COLUMNS, "kind")

    symbol: str
    days: tuple[str, ...]
    instrument: Instrument
    step_lots: int
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
    narrowed: Callable[[], "BestPrices | None"] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ARRAYS:
            dtype = {"kind": np.uint8, "row_side": np.int8}.get(name, np.int64)
            column = np.ascontiguousarray(getattr(self, name), dtype).view()
            column.flags.writeable = False
            object.__setattr__(self, name, column)

    @classmethod
    def of(cls, instrument: Instrument, events: Sequence[tuple[Any, ...]], day: str = "20250106") -> "Tape":
        """Return a tape made by hand, checked, of events in these forms; a level is (ticks, lots).

        - ``(us, "snapshot", bids, asks)`` and ``(us, "depth", bids, asks)``
        - ``(us, "trade", side, ticks, lots)`` or ``(us, "trade", side, ticks, lots, exch_us)``; *side* +1 is a buyer
        - ``(us, "gap")``
        - ``(us, "keyframe")``, which stands behind the event before it and has its instant
        """
        from mm.tape.by_hand import tape_by_hand

        return tape_by_hand(instrument, events, day)

    def __len__(self) -> int:
        return len(self.kind)

    def narrowing(self, narrowed: Callable[[], "BestPrices | None"]) -> Self:
        """Note what gives the best prices and trades of this tape, and return it."""
        object.__setattr__(self, "narrowed", narrowed)
        return self

    @cached_property
    def best(self) -> "BestPrices | None":
        """Its best prices and trades (`mm.tape.top_of_book`); None where they are not kept."""
        return self.narrowed() if self.narrowed else None

    @cached_property
    def counted(self) -> tuple[int, int]:
        """How many events are played from the window's begin on, and how many rows; a KEYFRAME's are not."""
        first = int(np.searchsorted(self.event_us, self.start_us))
        frames = np.flatnonzero(self.kind[first:] == KEYFRAME) + first
        rows = self.first_row[-1] - self.first_row[first] - (self.first_row[frames + 1] - self.first_row[frames]).sum()
        return len(self) - first, int(rows)

    @cached_property
    def trades(self) -> NDArray[np.intp]:
        """Positions of the TRADE events."""
        return np.flatnonzero(self.kind == TRADE)

    @property
    def trade_rows(self) -> Ints:
        """The row of each TRADE event, beside `trades`."""
        return self.first_row[self.trades]

    @cached_property
    def trade_side(self) -> NDArray[np.int8]:
        """The aggressor's side of each TRADE event, beside `trades`."""
        return gathered(self.row_side, self.trade_rows)

    @cached_property
    def trade_ticks(self) -> Ints:
        """The price of each TRADE event, beside `trades`."""
        return gathered(self.row_ticks, self.trade_rows)

    @cached_property
    def trade_lots(self) -> Ints:
        """The lots of each TRADE event, beside `trades`."""
        return gathered(self.row_lots, self.trade_rows)

    @cached_property
    def best_span(self) -> tuple[int, int]:
        """The least and the greatest best price, in ticks; 0, 0 where it has none."""
        best = [column[column > 0] for column in (self.top_bid_ticks, self.top_ask_ticks)]
        spans = [(int(column.min()), int(column.max())) for column in best if len(column)]
        return min((low for low, _ in spans), default=0), max((high for _, high in spans), default=0)

    def rows(self, event: int) -> list[tuple[int, int, int]]:
        """Return the rows of an event as (side, ticks, lots)."""
        run = slice(int(self.first_row[event]), int(self.first_row[event + 1]))
        columns = (self.row_side[run].tolist(), self.row_ticks[run].tolist(), self.row_lots[run].tolist())
        return list(zip(*columns, strict=True))

    def let_go(self, a_us: int, b_us: int) -> None:
        """Let go of what was read of ``a_us <= time < b_us``, where the tape is mapped: whoever asks reads it again."""
        events = slice(*np.searchsorted(self.event_us, (a_us, b_us)).tolist())
        rows = slice(int(self.first_row[events.start]), int(self.first_row[events.stop]))
        for name in (*self.PER_EVENT, "first_row"):
            let_go(getattr(self, name)[events])
        for name in ("row_side", *ROW_COLUMNS):
            let_go(getattr(self, name)[rows])

    def continues(self, earlier: "Tape") -> bool:
        """Tell whether this tape's first book is the one with which *earlier* ends: no update is missing between."""
        carried = self.meta.carried_from
        return carried is not None and carried == earlier.meta.last_update_id and self.symbol == earlier.symbol

    def between(self, a_us: int, b_us: int) -> "Tape":
        """Return the window ``a_us <= time < b_us``, without copying events or rows.

        It begins with the last KEYFRAME or SNAPSHOT at or before *a_us*, so that the book is right from there on;
        where there is none, with the window's first event. Only one that leaves out nothing at an end joins what is
        played before or behind it there.
        """
        if b_us < a_us:
            raise ValueError(f"window ends at {iso(b_us)}, before it begins at {iso(a_us)}")
        first, stop = np.searchsorted(self.event_us, (a_us, b_us)).tolist()
        at_begin = first < stop and self.event_us[first] == a_us
        before = self.kind[: first + at_begin]
        books = np.flatnonzero((before == SNAPSHOT) | (before == KEYFRAME))
        begin = int(books[-1]) if len(books) else first
        window = self.cut(begin, stop, a_us, b_us)
        if self.narrowed is None:
            return window
        return window.narrowing(partial(_narrow, self, (begin, stop), a_us, b_us))

    def cut(self, begin: int, stop: int, a_us: int, b_us: int) -> Self:
        """Return the events from *begin* on and before *stop* as the window ``a_us <= time < b_us``."""
        top, top_stop = np.searchsorted(self.top_event, (begin, stop))
        if top > 0 and begin < stop and not (top < len(self.top_event) and self.top_event[top] == begin):
            top -= 1  # what the book shows at the entrance
        events = slice(begin, stop)
        meta = replace(
            self.meta,
            carried_from=self.meta.carried_from if a_us <= self.start_us else None,
            last_update_id=self.meta.last_update_id if b_us >= self.end_us and stop == len(self) else None,
        )
        return replace(
            self,
            meta=meta,
            **{name: getattr(self, name)[events] for name in self.PER_EVENT},
            first_row=self.first_row[begin : stop + 1],
            **{name: getattr(self, name)[top:top_stop] for name in TOP_COLUMNS[1:]},
            top_event=np.maximum(self.top_event[top:top_stop] - begin, 0),
            start_us=a_us,
            end_us=b_us,
        )

    def on_lot(self, lot_e8: int) -> Self:
        """Return the tape in lots of *lot_e8*, a divisor of its own; days that are played together need one lot."""
        times = self.instrument.lot_e8 // lot_e8
        if times == 1:
            return self
        lots = ("row_lots", "top_bid_lots", "top_ask_lots")
        other = replace(
            self,
            instrument=replace(self.instrument, lot_e8=lot_e8),
            step_lots=self.step_lots * times,
            **{name: getattr(self, name) * times for name in lots},
        )
        return other if self.narrowed is None else other.narrowing(partial(_narrow_on_lot, self, lot_e8))

    def check(self) -> None:
        """Raise BrokenFile where an invariant does not hold; kernels rely on them and check no bounds."""
        from mm.tape.invariants import faults

        fault = next(faults(self), None)
        if fault:
            raise BrokenFile(
                f"tape of {self.symbol} {','.join(self.days)}: {fault}; remove its cache file, or report it"
            )

    def describe(self, first: int = 0, events: int = 20) -> Iterator[str]:
        """Yield printable lines: what the tape holds, then *events* events from the one at *first* on."""
        kinds = np.bincount(self.kind, minlength=KEYFRAME + 1)
        held = ", ".join(f"{kinds[kind]} {name}" for kind, name in KIND_NAMES.items() if kinds[kind])
        yield f"{self.symbol} {','.join(self.days)}: {iso(self.start_us)} to {iso(self.end_us)}, {held or 'empty'}"
        for event in range(first, min(first + events, len(self))):
            rows = self.rows(event)
            shown = " ".join(
                f"{'+' if side > 0 else '-'}{self.instrument.qty(lots)}@{self.instrument.price(ticks)}"
                for side, ticks, lots in rows[:4]
            )
            more = f" … {len(rows) - 4} more" if len(rows) > 4 else ""
            name, when = KIND_NAMES[int(self.kind[event])], iso(int(self.event_us[event]))
            yield f"{event:>9} {when} {name:<8} id {self.event_id[event]} {shown}{more}".rstrip()


def _narrow(tape: Tape, events: tuple[int, int], a_us: int, b_us: int) -> "BestPrices | None":
    """Return the best prices of a window of *tape*."""
    if tape.best is None:
        return None
    begin, stop = np.searchsorted(tape.best.place, events).tolist()
    return tape.best.cut(begin, stop, a_us, b_us)


def _narrow_on_lot(tape: Tape, lot_e8: int) -> "BestPrices | None":
    """Return the best prices of *tape* in other lots."""
    return None if tape.best is None else tape.best.on_lot(lot_e8)

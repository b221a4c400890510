"""The tape: one or more recorded days as integer arrays, the only input of the engine and the calibration."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mm.base.notebook import Picture, picture_of
from mm.clock import Instant, iso, us_from_ms, us_of
from mm.errors import NeverSynced, UsageError
from mm.instrument import Instrument, short_text
from mm.tape import frames
from mm.tape.build import built_from_events
from mm.tape.columns import (
    ARRAYS,
    DEPTH,
    GAP,
    KEYFRAME,
    KIND_NAMES,
    MARK_COLUMNS,
    ROW_COLUMNS,
    SNAPSHOT,
    TOP_COLUMNS,
    TRADE,
    Ints,
    TapeFacts,
    TapeMeta,
    none,
    release,
)
from mm.tape.doubts import Doubts, doubts_of
from mm.tape.events import TapeEvents
from mm.tape.feed import Feed, delayed, feed_of, why_no_feed
from mm.tape.level_changes import LevelIndex, level_changes
from mm.tape.order_index import OrderIndex
from mm.tape.streams import BestPrices, Stream, Trades, TradesBetween, best_prices, books_of, trades_of

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


_STREAMS = ("trade_stream", "books", "price_moves", "best_lots", "feed", "_delayed", "_between")

__all__ = ["ARRAYS", "DEPTH", "GAP", "KEYFRAME", "KIND_NAMES", "SNAPSHOT", "TRADE", "Ints", "Tape", "TapeMeta"]


@dataclass(frozen=True, eq=False, repr=False)
class Tape(TapeEvents):
    """Events in replay order, with what is made of them on use: streams, frames, indexes, windows.

    Attributes:
        read_again: `mm.load_day` with the tape's own arguments, to read the day up to an instant; None without a day
            folder.
        order_log: File of its `orders`, if any.
    """

    read_again: Callable[..., "Tape"] | None = field(default=None, repr=False)
    _open_levels: "Callable[[], LevelIndex | None] | None" = field(default=None, init=False, repr=False)
    _open_orders: "Callable[[], OrderIndex | None] | None" = field(default=None, init=False, repr=False)
    _why_no_orders: "Callable[[], str] | None" = field(default=None, init=False, repr=False)
    order_log: "Path | None" = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, instrument: Instrument, events: Sequence[tuple[Any, ...]], day: str = "20250106") -> "Tape":
        """Return a checked tape of hand-written events in these forms; a level is (ticks, lots).

        - ``(us, "snapshot", bids, asks)`` and ``(us, "depth", bids, asks)``
        - ``(us, "trade", side, ticks, lots)`` or ``(us, "trade", side, ticks, lots, exch_us)``; *side* +1 is a buyer
        - ``(us, "gap")``
        - ``(us, "keyframe")``, which follows another event and has its instant

        Raises:
            ValueError: If an event has none of these forms, or leaves the book crossed.
            BrokenFile: If the tape violates an invariant.
        """

        builder = built_from_events(events)
        return Tape.built(TapeFacts(instrument, (day,), 1, *builder.span), builder.arrays())

    @classmethod
    def from_parts(cls, facts: TapeFacts, arrays: Mapping[str, Any]) -> "Tape":
        own = {fact.name: getattr(facts, fact.name) for fact in fields(facts)}
        return Tape(symbol=facts.instrument.symbol, **own, **arrays)

    @classmethod
    def built(cls, facts: TapeFacts, arrays: Mapping[str, Any]) -> "Tape":
        tape = Tape.from_parts(facts, arrays)
        tape.check()
        return tape

    def with_levels(self, open_levels: "Callable[[], LevelIndex | None] | None") -> Self:
        return self._with(_open_levels=open_levels)

    def with_orders(
        self,
        open_orders: "Callable[[], OrderIndex | None] | None",
        why_none: "Callable[[], str] | None" = None,
        log: "Path | None" = None,
    ) -> Self:
        """Return a copy that opens or makes `orders` of a *log* on use; None if its day has none, and *why_none*."""
        return self._with(_open_orders=open_orders, _why_no_orders=why_none, order_log=log)

    def with_orders_of(self, day: "Tape", change: "Callable[[OrderIndex], OrderIndex]" = lambda orders: orders) -> Self:
        """Return a copy with the orders of *day*, of which it is a part or a version, after a *change* of them."""
        changed = (lambda: day.orders and change(day.orders)) if day.has_orders else None
        return self.with_orders(changed, day._why_no_orders, day.order_log)

    def kept_mapped(self) -> Self:
        """Return a copy whose memory stays mapped, because it will be replayed again."""
        return self._with(keep_mapped=True)

    def with_reader(self, read_again: Callable[..., "Tape"]) -> Self:
        """Return a copy with this `read_again`."""
        return self._with(read_again=read_again)

    def with_warnings(self, notes: Sequence[str]) -> Self:
        return self._with(meta=replace(self.meta, warnings=(*self.meta.warnings, *notes)))

    def _with(self, **attributes: Any) -> Self:
        tape = copy(self)
        for name in ("levels", "orders"):
            tape.__dict__.pop(name, None)
        tape.__dict__.update(attributes)
        return tape

    @cached_property
    def levels(self) -> "LevelIndex | None":
        """The changes of each price level (`mm.tape.level_changes`); None where computing them does not pay.

        Computing takes as long as a few replays, so a tape built in this run has none, unless it stays mapped. A
        `dataclasses.replace` copy has its own rows' changes.
        """
        if self._open_levels and (self.keep_mapped or self.meta.cache != "miss"):
            return self._open_levels()
        return level_changes(self) if self.keep_mapped else None

    @property
    def has_orders(self) -> bool:
        """Whether its day has an order log."""
        return self._open_orders is not None

    @property
    def no_orders(self) -> str:
        """Why it has no `orders`, and which days have."""
        return self._why_no_orders() if self._why_no_orders else "this tape has no order log; mm.load_day reads one"

    @cached_property
    def orders(self) -> "OrderIndex | None":
        """Every order of its day (`mm.tape.order_index`), opened or made from the order log; None without one.

        Raises:
            BrokenFile: If the log is damaged.
        """
        return self._open_orders() if self._open_orders else None

    @cached_property
    def trade_stream(self) -> Trades:
        """The trades, with their instants."""
        return trades_of(self)

    @cached_property
    def books(self) -> Stream:
        """All books, with their instants."""
        return books_of(self)

    @cached_property
    def price_moves(self) -> BestPrices:
        """The books that change a best price, and the best prices after each."""
        return best_prices(self, lots=False)

    @cached_property
    def best_lots(self) -> BestPrices:
        """The books that change a best price or the lots at one, and these after each."""
        return best_prices(self, lots=True)

    @cached_property
    def no_feed(self) -> str:
        """Why the order of the exchange's clock is unknown; empty if it is known."""
        return why_no_feed(self)

    @cached_property
    def feed(self) -> "Feed":
        """The order of the exchange's clock, for a recorded feed."""
        return feed_of(self)

    def delayed(self, late_us: int) -> "Feed":
        """The order of the exchange's clock if messages are received *late_us* after they happened."""
        if late_us not in self._delayed:
            self._delayed.clear()
            self._delayed[late_us] = delayed(self, late_us)
        return self._delayed[late_us]

    def feed_in(self, feed: "Mapping[str, Any] | None") -> "Feed | None":
        """Return the order of a run whose summary says *feed*; None for receipt."""
        kind = (feed or {}).get("kind", "none")
        if feed is None or kind == "none":
            return None
        return self.feed if kind == "recorded" else self.delayed(us_from_ms(feed["late_ms"]))

    def instants_in(self, feed: "Mapping[str, Any] | None") -> Ints:
        """Return the instant of each event in that order, µs."""
        ordered = self.feed_in(feed)
        return self.event_us if ordered is None else ordered.by_event

    @cached_property
    def _delayed(self) -> "dict[int, Feed]":
        return {}

    @cached_property
    def doubts(self) -> Doubts:
        """What its messages put in doubt: a book that stands still, a long stretch without trades."""
        return doubts_of(self)

    def trades_between(self, *, lots: bool, feed: "Feed | None") -> TradesBetween:
        """Return the trades between the books of `best_lots`, else `price_moves`; in *feed*'s order if given."""
        if (lots, feed) not in self._between:
            books = self.best_lots if lots else self.price_moves
            self._between[lots, feed] = TradesBetween.of(books, self.trade_stream, feed)
        return self._between[lots, feed]

    @cached_property
    def _between(self) -> "dict[tuple[bool, Feed | None], TradesBetween]":
        return {}

    @cached_property
    def best_span(self) -> tuple[int, int]:
        """The lowest and the highest best price, in ticks; 0, 0 without any."""
        best = [column[column > 0] for column in (self.top_bid_ticks, self.top_ask_ticks)]
        spans = [(int(column.min()), int(column.max())) for column in best if len(column)]
        return min((low for low, _ in spans), default=0), max((high for _, high in spans), default=0)

    def release(self, a_us: int, b_us: int) -> None:
        """Release the memory of ``a_us <= time < b_us``, if the tape is mapped; it is read again on use."""
        if self.keep_mapped:
            return
        events = slice(*np.searchsorted(self.event_us, (a_us, b_us)).tolist())
        rows = slice(int(self.first_row[events.start]), int(self.first_row[events.stop]))
        tops = slice(*np.searchsorted(self.top_event, (events.start, events.stop)).tolist())
        for names, part in (((*self.PER_EVENT, "first_row"), events), (ROW_COLUMNS, rows), (TOP_COLUMNS, tops)):
            for name in names:
                release(getattr(self, name)[part])
        release(self.event_us)  # the search may have read any part of it

    def release_memory(self) -> None:
        """Drop the cached streams and orders, and release the memory of all events and levels; all are loaded again on
        use.
        """
        for name in ("trades", "trade_side", "trade_ticks", "trade_lots", "orders", *_STREAMS):
            self.__dict__.pop(name, None)
        if levels := self.__dict__.get("levels"):
            levels.release()
        self.release(int(self.event_us[0]) if len(self) else self.start_us, self.end_us)

    def continues(self, earlier: "Tape") -> bool:
        """Whether *earlier* ends with the first book of this tape: no update is missing between them."""
        carried = self.meta.carried_from
        return carried is not None and carried == earlier.meta.last_update_id and self.symbol == earlier.symbol

    def plot(self) -> Picture:
        """Draw the mid, the spread and the traded quantity over the window."""
        return picture_of(self)

    def lines(self) -> Iterator[str]:
        """Yield the tape's time range, contents, grid, and the number of repairs and exclusions."""
        kinds = np.bincount(self.kind, minlength=KEYFRAME + 1)
        held = ", ".join(f"{kinds[kind]:,} {name}" for kind, name in KIND_NAMES.items() if kinds[kind])
        before = int(np.searchsorted(self.event_us, self.start_us))
        held += f"; {before:,} of them before the window, for its first book" if before > 1 else ""
        grid, noted = self.instrument, len(self.meta.warnings) + len(self.meta.excluded)
        yield f"tape of {self.symbol} {','.join(self.days)}: {iso(self.start_us)} to {iso(self.end_us)}"
        yield f"  events    {held or 'none'}"
        tick, lot, least = map(short_text, (grid.tick_e8, grid.lot_e8, grid.min_notional_e8))
        yield f"  grid      tick {tick}, lot {lot}, minimum notional {least}"
        if noted:
            yield f"  notes     {noted} warnings and excluded spans, in .meta"

    def trades_frame(self) -> "pl.DataFrame":
        """Return the trades of the window as a polars frame, one row each.

        Columns: ``time`` (when it arrived) and ``exchange_time``, UTC; ``trade_id``; ``side`` of the aggressor, ``BUY``
        or ``SELL``; ``price`` in the quote asset; ``qty`` in the base asset.
        """
        return frames.trades_frame(self)

    def depth_frame(self) -> "pl.DataFrame":
        """Return the changes of the book in the window as a polars frame, one row per changed level of a message.

        Columns: ``time`` and ``exchange_time``, UTC; ``event``, the number of the message, equal in its rows; ``kind``;
        ``update_id``; ``side``, ``BUY`` for bids; ``price``; ``qty`` now displayed there, 0 if the level is removed. A
        ``snapshot`` replaces the whole book, a ``depth`` changes it, a ``gap`` ends it until the next snapshot; a gap
        and a snapshot of an empty book are rows without a level. A window that begins within a valid book begins with
        that book as rows of the kind ``keyframe``: applied in order, the rows give the book at every instant.
        """
        return frames.depth_frame(self)

    def best_prices_frame(self) -> "pl.DataFrame":
        """Return the best prices as a polars frame: one row whenever a price, or the quantity at it, changes.

        Columns: ``time``, ``bid_price``, ``bid_qty``, ``ask_price``, ``ask_qty``, ``mid``, ``spread``; null if a side
        is empty or there is no valid book.
        """
        return frames.best_prices_frame(self)

    def book_at(self, at: Instant, levels: int | None = 10) -> "pl.DataFrame":
        """Return the book at an instant as a polars frame: one row per level, the best first.

        Args:
            at: ISO 8601 text, a datetime, or µs since the Unix epoch; UTC if no zone is given. Events of that instant
                are included.
            levels: Maximum number of levels of each side; None for all.

        Returns:
            Columns ``level`` (1 is the best), ``bid_price``, ``bid_qty``, ``ask_price``, ``ask_qty``; no rows without a
            valid book.

        Raises:
            UsageError: If the instant is outside the tape.
        """
        return frames.book_at(self, us_of(at), levels)

    def between(self, a_us: Instant, b_us: Instant) -> "Tape":
        """Return the window ``a_us <= time < b_us``, without copying events or rows.

        Both may also be ISO 8601 text or datetimes, in UTC if no zone is given. The window ends no later than the tape.
        Its events begin with the last KEYFRAME or SNAPSHOT at or before *a_us*, so the book is correct from there on;
        without one, with the window's first event. Only a window with the tape's start continues the tape before, and
        only one with its end is continued by the tape after.

        Raises:
            UsageError: If the window ends before it begins, or lies outside the tape.
        """
        a_us, b_us = us_of(a_us), us_of(b_us)
        covers = f"the tape covers {iso(self.start_us)} to {iso(self.end_us)}"
        if b_us < a_us:
            raise UsageError(f"the window ends at {iso(b_us)}, before it begins at {iso(a_us)}; {covers}")
        if b_us < self.start_us or a_us > self.end_us:
            raise UsageError(
                f"the window from {iso(a_us)} to {iso(b_us)} is outside the day: {covers}; instants without a zone are "
                f"UTC, and numbers are µs"
            )
        a_us, b_us = max(a_us, self.start_us), max(b_us, self.start_us)
        first, stop = np.searchsorted(self.event_us, (a_us, b_us)).tolist()
        until_us = b_us
        b_us = max(a_us, min(b_us, self.end_us))
        at_begin = first < stop and self.event_us[first] == a_us
        before = self.kind[: first + at_begin]
        books = np.flatnonzero((before == SNAPSHOT) | (before == KEYFRAME))
        begin = int(books[-1]) if len(books) else first
        window = self.cut(begin, stop, a_us, b_us)
        window = window.with_levels(lambda: self.levels and self.levels.part(begin))
        if until_us > self.end_us:
            return window.with_orders_of(self)
        return window.with_orders_of(self, lambda orders: orders.before(until_us, self))

    def revised_after(self, us: int) -> bool:
        """Whether something about the part before *us* became known only later."""
        return any(begin < us <= end for begin, end in self.meta.hindsight)

    def known_at(self, us: int) -> "Tape":
        """Return the part before *us* as known then; `between` returns it as known now.

        They differ if a span before *us* was excluded for a reason revealed later: the tape itself ends the book at the
        last message before missing ids. Then the day is read again.
        """
        if self.read_again and self.revised_after(us):
            with suppress(NeverSynced):  # then there is no book before *us* to differ
                known = self.read_again(until_us=us)
                return known.with_lot(self.instrument.lot_e8).between(self.start_us, us)
        return self if us == self.end_us else self.between(self.start_us, us)

    def cut(self, begin: int, stop: int, a_us: int, b_us: int) -> Self:
        """Return the events ``begin <= event < stop`` as the window ``a_us <= time < b_us``."""
        top, top_stop = np.searchsorted(self.top_event, (begin, stop))
        if top > 0 and begin < stop and not (top < len(self.top_event) and self.top_event[top] == begin):
            top -= 1  # the best prices at the start of the window
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

    def restamped(self, event_us: Ints, start_us: int, end_us: int) -> "Tape":
        """Return the tape at other instants, with new streams, no marks and an unmeasured clock."""
        marks: dict[str, Any] = dict.fromkeys(MARK_COLUMNS, none())
        meta = replace(self.meta, clock=())
        other = replace(self, event_us=event_us, start_us=start_us, end_us=end_us, meta=meta, **marks)
        return other.with_orders_of(self)

    def with_lot(self, lot_e8: int) -> Self:
        """Return the tape in lots of *lot_e8*, a divisor of its own; days replayed together share a lot."""
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
        other = other.with_levels(lambda: self.levels and self.levels.in_lots(times))
        return other.with_orders_of(self, lambda orders: orders.in_units(1, times))

    def describe(self, first: int = 0, events: int = 20) -> Iterator[str]:
        """Yield printable lines: a summary of the tape, then *events* events from index *first* on."""
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

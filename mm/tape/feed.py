"""A tape in the order of the exchange's clock.

Messages have an exchange timestamp and a receive timestamp of our clock; the offset of the two clocks is not recorded.
It is estimated as the minimum difference of the timestamps in a period, minus an assumed latency of the fastest
message (`QUICKEST_US`). With it every exchange timestamp is converted to our clock, and the remaining difference is the
feed latency of a message.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.clock import US_PER_MS, US_PER_S
from mm.tape import top_of_book
from mm.tape.columns import EVENT_COLUMNS, ROW_COLUMNS, Column, Ints, bounds, gathered
from mm.tape.level_changes import LevelIndex
from mm.tape.tape import DEPTH, GAP, KEYFRAME, TRADE, Tape
from mm.tape.top_of_book import BestPrices

BLOCK_US = 600 * US_PER_S  # length of these periods; the offset is interpolated linearly between them
QUICKEST_US = 500  # assumed minimum feed latency: half of a round trip inside one region


@dataclass(frozen=True, eq=False)
class Feed:
    """A tape in the exchange's order.

    Attributes:
        sequence: Positions of the tape's events in the exchange's order, int64[n].
        clock_us: Exchange time of each of them, converted to our clock, ascending, int64[n].
        offset_us: Our clock minus the exchange's: the median over the tape.
        median_us: Median feed latency of the stamped messages.
        p99_us: 99th percentile of it.
    """

    sequence: Ints
    clock_us: Ints
    offset_us: int
    median_us: int
    p99_us: int

    @property
    def by_event(self) -> Ints:
        """Exchange time of each event, converted to our clock, in the tape's order, int64[n]."""
        found = np.empty_like(self.clock_us)
        found[self.sequence] = self.clock_us
        return found

    def to_dict(self) -> dict[str, float]:
        """Return offset and latencies in ms, as in the summary."""
        return {
            "clock_offset_ms": self.offset_us / US_PER_MS,
            "median_ms": self.median_us / US_PER_MS,
            "p99_ms": self.p99_us / US_PER_MS,
        }


_MEASURED = ("offset", "median", "p99")
_OF_FEED = ("sequence", "clock_us")
KEPT = (*top_of_book.KEPT, "whole_kind", "books", *_OF_FEED)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ExchangePrices(BestPrices):
    """The best prices and trades of a tape in the exchange's order, at the instants of its clock, converted to ours.

    Attributes:
        feed: The whole tape in that order; positions refer to its ``sequence``.
        whole_kind: The kind of each event of the whole tape, uint8[events].
        books: Position, in the order of receipt, of the first book event from each position on, int64[events + 1].
    """

    feed: Feed
    whole_kind: NDArray[np.uint8]
    books: Ints

    def in_its_order(self, index: LevelIndex) -> LevelIndex:
        """Return the level index of the tape for event positions in the exchange's order."""
        framed = int(np.argmin(self.feed.sequence)) if len(self.whole_kind) else 0
        return replace(index, kind=self.whole_kind, base=0, framed=framed, books=self.books + index.base)

    def columns(self) -> dict[str, Column]:
        """Return the arrays for its file, by the names in `KEPT`."""
        return {name: getattr(self.feed if name in _OF_FEED else self, name) for name in KEPT}

    def entry(self) -> dict[str, int]:
        """Return the other content of its file."""
        feed = {f"{name}_us": getattr(self.feed, f"{name}_us") for name in _MEASURED}
        return {"low_ticks": self.low_ticks, "high_ticks": self.high_ticks, **feed}

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each violated invariant, first those of any best prices."""
        yield from super().faults()
        events, order = len(self.whole_kind), self.feed.sequence
        if not events == len(order) == len(self.whole_us) == len(self.books) - 1:
            yield f"{events} events have {len(order)} positions, {len(self.whole_us)} instants, {len(self.books)} books"
        elif (self.whole_us[1:] < self.whole_us[:-1]).any() or (self.books[1:] < self.books[:-1]).any():
            yield "instants or books of the exchange are decreasing"
        elif events and (order.min() < 0 or order.max() >= events or self.books[0] < 0 or self.books[-1] != events):
            yield f"a position lies outside of the {events} events of the tape"


def opened(tape: Tape, entry: dict[str, int], arrays: dict[str, Any]) -> ExchangePrices:
    """Return the exchange's best prices of *tape* from the entry and arrays of a file; they are not checked."""
    feed = Feed(arrays["sequence"], arrays["clock_us"], *(entry[f"{name}_us"] for name in _MEASURED))
    own = {name: arrays[name] for name in KEPT if name not in _OF_FEED}
    own |= {"low_ticks": entry["low_ticks"], "high_ticks": entry["high_ticks"]}
    return ExchangePrices(**top_of_book.parts(tape) | own, whole_us=feed.clock_us, feed=feed)


def exchange_prices(tape: Tape) -> ExchangePrices:
    """Return the best prices and trades of *tape* in the exchange's order."""
    feed = feed_of(tape)
    order = feed.sequence
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    kind = tape.kind[order]
    columns: dict[str, Any] = {name: getattr(tape, name)[order] for name in EVENT_COLUMNS}
    rows = slice(int(tape.first_row[0]), int(tape.first_row[-1]))
    columns |= {name: gathered(getattr(tape, name)[rows], tape.trade_rows - rows.start) for name in ROW_COLUMNS}
    columns |= {"event_us": feed.clock_us, "kind": kind, "top_event": position[tape.top_event]}
    best = top_of_book.project(replace(tape, first_row=bounds(kind == TRADE), **columns))
    books = np.append(np.where(kind == TRADE, len(order), order), len(order))
    own = {"feed": feed, "whole_kind": kind, "books": np.minimum.accumulate(books[::-1])[::-1].copy()}
    return ExchangePrices(**top_of_book.parts(best) | own)


def feed_of(tape: Tape) -> Feed:
    """Return *tape* in the exchange's order.

    Depth messages and trades have an exchange timestamp. Events without one are at their receive time: a snapshot after
    a gap is not available earlier. Only gaps and keyframes are at the time of the book event before them. Book events
    keep their recorded order, and so do trades; no event of the tape's window is before its start.
    """
    stamped = ((tape.kind == DEPTH) | (tape.kind == TRADE)) & (tape.event_exch_us > 0)
    behind = (tape.kind == GAP) | (tape.kind == KEYFRAME)
    late = np.where(stamped, tape.event_us - tape.event_exch_us, 0)
    offset = _offset(tape.event_us, late, stamped)
    happened = np.where(stamped, np.minimum(tape.event_exch_us + offset, tape.event_us), tape.event_us)
    trades = tape.kind == TRADE
    for stream in (trades, ~trades):
        happened[stream] = np.maximum.accumulate(_carried(happened[stream], behind[stream]))
    happened = np.where(tape.event_us < tape.start_us, happened, np.maximum(happened, tape.start_us))
    sequence = np.argsort(happened, kind="stable").astype(np.int64)
    latency = (tape.event_us - happened)[stamped]
    median, p99 = np.quantile(latency, [0.5, 0.99]).astype(np.int64).tolist() if len(latency) else (0, 0)
    middle = int(np.median(offset[stamped])) if len(latency) else 0
    return Feed(sequence, np.ascontiguousarray(happened[sequence]), middle, median, p99)


def _offset(event_us: Ints, late: Ints, stamped: NDArray[np.bool_]) -> Ints:
    """Return our clock minus the exchange's at each event, from the fastest message of each block."""
    us, late = event_us[stamped], late[stamped]
    if not len(us):
        return np.zeros(len(event_us), np.int64)
    block = (us - us[0]) // BLOCK_US
    first = np.flatnonzero(np.diff(block, prepend=-1))
    least = np.minimum.reduceat(late, first)
    middle = us[0] + (block[first] * BLOCK_US) + BLOCK_US // 2
    return np.floor(np.interp(event_us, middle, least)).astype(np.int64) - QUICKEST_US


def _carried(happened: Ints, behind: NDArray[np.bool_]) -> Ints:
    """Return *happened* where each event *behind* another has the instant of that one; the first keeps its own."""
    last = np.maximum.accumulate(np.where(behind, 0, np.arange(len(happened))))
    return happened[last]

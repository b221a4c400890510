"""A tape as two streams, books and trades: all that a run visits if its models need only best prices."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from mm.tape.columns import GAP, KEYFRAME, SNAPSHOT, TRADE, Ints, gathered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.events import TapeEvents
    from mm.tape.feed import Feed


NO_PRICE = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Stream:
    """Events of a tape, in order."""

    event: Ints
    recv_us: Ints
    us: Ints

    def at_exchange(self, feed: "Feed | None") -> Self:
        if feed is None:
            return self
        ordered = self._ordered.get(feed)
        if ordered is None:
            ordered = replace(self, us=feed.by_event[self.event])
            self._ordered.clear()
            self._ordered[feed] = ordered
        return ordered

    @cached_property
    def _ordered(self) -> "dict[Feed, Self]":
        return {}


@dataclass(frozen=True, eq=False)
class Trades(Stream):
    """Trades with the aggressor's side, int8[n], price and lots, int64[n]."""

    side: "NDArray[np.int8]"
    ticks: Ints
    lots: Ints


@dataclass(frozen=True, eq=False)
class BestPrices(Stream):
    """Books with kind, uint8[n], and best prices and lots after each; 0 for none, int64[n]."""

    kind: "NDArray[np.uint8]"
    bid_ticks: Ints
    ask_ticks: Ints
    bid_lots: Ints
    ask_lots: Ints


@dataclass(frozen=True, eq=False)
class TradesBetween:
    """Trades between each book and the one before, int64[n] each."""

    stop: Ints
    low_ticks: Ints
    high_ticks: Ints

    @classmethod
    def of(cls, books: Stream, trades: Trades, feed: "Feed | None" = None) -> "TradesBetween":
        place, at = books.event, trades.event
        if feed is not None:
            position = np.empty_like(feed.sequence)
            position[feed.sequence] = np.arange(len(position))
            place, at = position[place], position[at]
        stop = np.searchsorted(at, place)
        begin = np.concatenate(([0], stop))[: len(stop)]
        some = begin < stop
        low, high = np.full(len(stop), NO_PRICE), np.zeros(len(stop), np.int64)
        if some.any():
            ticks = trades.ticks[: stop[-1]]
            sold = trades.side[: stop[-1]] < 0
            low[some] = np.minimum.reduceat(np.where(sold, ticks, NO_PRICE), begin[some])
            high[some] = np.maximum.reduceat(np.where(sold, 0, ticks), begin[some])
        return cls(stop, low, high)


def stream_of(tape: "TapeEvents", event: Ints) -> Stream:
    recv_us = gathered(tape.event_us, event)
    return Stream(event, recv_us, recv_us)


def trades_of(tape: "TapeEvents") -> Trades:
    stream = stream_of(tape, tape.trades)
    return Trades(stream.event, stream.recv_us, stream.us, tape.trade_side, tape.trade_ticks, tape.trade_lots)


def best_prices(tape: "TapeEvents", *, lots: bool) -> BestPrices:
    """The books that change a best price (with *lots* also the lots at one), or that begin or end a book."""
    top = tape.top_event
    if not lots:
        moved = np.ones(len(top), bool)
        moved[1:] = np.diff(tape.top_bid_ticks) != 0
        moved[1:] |= np.diff(tape.top_ask_ticks) != 0
        top = top[moved]
    visited = (tape.kind == SNAPSHOT) | (tape.kind == GAP)
    visited[:1] |= tape.kind[:1] == KEYFRAME
    visited[top] = True
    stream = stream_of(tape, np.flatnonzero(visited))
    row = np.searchsorted(tape.top_event, stream.event, side="right") - 1
    columns = (tape.top_bid_ticks, tape.top_ask_ticks, tape.top_bid_lots, tape.top_ask_lots)
    after = (np.where(row >= 0, gathered(column, row), 0) for column in columns)
    return BestPrices(stream.event, stream.recv_us, stream.us, gathered(tape.kind, stream.event), *after)


def books_of(tape: "TapeEvents") -> Stream:
    books: NDArray[np.bool_] = (tape.kind != TRADE) & (tape.kind != KEYFRAME)
    books[:1] |= tape.kind[:1] == KEYFRAME
    return stream_of(tape, np.flatnonzero(books))

"""The true market data: the exact book after each update id, and every trade."""

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from mm.errors import DataError
from mm.instrument import Instrument
from mm.markets.local_orderbook import Level
from mm.sim.exchange.trades import MarketTrade, TradeHistory
from mm.sim.matching.order_log import ROW_LEVEL, ROW_TRADE, Row

_SEGMENT = 1_024


class TrueTrade(NamedTuple):
    """The exchange's time in µs, price and quantity as decimal text."""

    trade_id: int
    us: int
    price: str
    qty: str
    is_buyer_maker: bool


class UnknownId(DataError):
    """An id is in the future, or no longer kept."""


class MarketTruth:
    def __init__(self, instrument: Instrument, *, keep: int = 2_000_000) -> None:
        self.instrument = instrument
        self._keep = keep
        self._levels: dict[int, int] = {}
        self._segments = deque([_Segment(0, {})])
        self._kept = 0
        self._last_update_id = 0
        self._trades = TradeHistory(keep)
        self._eras = [(0, 0)]

    @property
    def last_update_id(self) -> int:
        return self.named(self._last_update_id)[0]

    @property
    def first_update_id(self) -> int:
        return self.named(self._segments[0].first_id)[0]

    @property
    def last_trade_id(self) -> int:
        return self._trades.last_id

    @property
    def first_trade_id(self) -> int:
        return self._trades.first_id

    def listen(self, rows: Iterable[Row]) -> None:
        """Every row is required, from the first on."""
        for row in rows:
            _, kind, _, _, _, side, ticks, lots, _, update_id = row
            if kind == ROW_LEVEL:
                self._change(side * ticks, lots, update_id)
            elif kind == ROW_TRADE:
                self._trades.add(MarketTrade.of(row))

    def book(self, update_id: int, era: int | None = None) -> tuple[list[Level], list[Level]]:
        """Return bids and asks, best first, right after *update_id* in the clients' numbering; raises UnknownId.

        *era* is the index of the numbering, 0 for the first; None for the newest that has the id.
        """
        return self._texts(self._at(self._internal(update_id, era)))

    def changed(self, first_id: int, last_id: int) -> tuple[list[Level], list[Level]]:
        """Return the levels changed by these ids, with their quantities after *last_id*."""
        first, last = self._internal(first_id, None), self._internal(last_id, None)
        levels = self._at(last)
        keys = {
            key
            for segment in self._segments
            if segment.first_id < last and segment.first_id + len(segment.keys) >= first
            for number, key in enumerate(segment.keys, segment.first_id + 1)
            if first <= number <= last
        }
        return self._texts({key: levels.get(key, 0) for key in keys})

    def trades(self, first_id: int, last_id: int) -> list[TrueTrade]:
        if first_id <= last_id and not self.first_trade_id <= first_id <= last_id <= self.last_trade_id:
            raise UnknownId(
                f"trades {first_id} to {last_id}: stored are {self.first_trade_id} to {self.last_trade_id}; "
                f"request those, or keep more than {self._keep}"
            )
        price, qty = self.instrument.price, self.instrument.qty
        return [
            TrueTrade(trade.trade_id, trade.us, price(trade.ticks), qty(trade.lots), trade.buyer_is_maker)
            for trade in self._trades.since_id(first_id, max(0, last_id - first_id + 1))
        ]

    def named(self, update_id: int) -> tuple[int, int]:
        """Return the id that clients receive for *update_id*, and the first id of its era."""
        for after, shift in reversed(self._eras):
            if after < update_id:
                return update_id - shift, after + 1 - shift
        return update_id, update_id

    def renumber(self, after_id: int, first_id: int) -> None:
        """Give the change after *after_id* the id *first_id*; earlier ids remain in the previous era."""
        era_start, after = self._eras[-1][0], self._internal(after_id, None)
        if after == era_start and len(self._eras) > 1:
            self._eras.pop()
        self._eras.append((after, after - first_id + 1))

    def _change(self, key: int, lots: int, update_id: int) -> None:
        segments, segment = self._segments, self._segments[-1]
        if len(segment.keys) >= segment.most:
            self._kept += len(segment.keys)
            segment = _Segment(self._last_update_id, self._levels)
            segments.append(segment)
            while self._kept - len(segments[0].keys) >= self._keep:
                self._kept -= len(segments.popleft().keys)
        segment.keys.append(key)
        segment.lots.append(lots)
        self._last_update_id = update_id
        if lots:
            self._levels[key] = lots
        else:
            self._levels.pop(key, None)

    def _internal(self, update_id: int, era: int | None) -> int:
        for number in range(len(self._eras) - 1, -1, -1):
            if era not in (None, number):
                continue
            after, shift = self._eras[number]
            until = self._eras[number + 1][0] if number + 1 < len(self._eras) else self._last_update_id
            # The first era includes the id before its first change; later eras begin after the previous one.
            if after + bool(number) <= update_id + shift <= until and update_id + shift >= self._segments[0].first_id:
                return update_id + shift
        raise UnknownId(
            f"update id {update_id}: stored are {self.first_update_id} to {self.last_update_id}; "
            f"request one of those, or keep more than {self._keep} changes"
        )

    def _at(self, number: int) -> dict[int, int]:
        index = bisect_right(self._segments, number, key=lambda segment: segment.first_id) - 1
        segment = self._segments[index]
        levels = dict(zip(segment.opening_keys, segment.opening_lots, strict=True))
        end = number - segment.first_id
        levels.update(zip(segment.keys[:end], segment.lots[:end], strict=True))
        return {key: lots for key, lots in levels.items() if lots}

    def _texts(self, levels: dict[int, int]) -> tuple[list[Level], list[Level]]:
        """Best first; descending keys have this order for bids and for asks."""
        price, qty = self.instrument.price, self.instrument.qty
        texts = [(key > 0, (price(abs(key)), qty(levels[key]))) for key in sorted(levels, reverse=True)]
        return [level for is_bid, level in texts if is_bid], [level for is_bid, level in texts if not is_bid]


class _Segment:
    """Changes of the book, so few that a replay costs about as much as a copy of the first book."""

    __slots__ = ("first_id", "keys", "lots", "most", "opening_keys", "opening_lots")

    def __init__(self, first_id: int, levels: dict[int, int]) -> None:
        self.first_id = first_id
        self.most = max(_SEGMENT, 2 * len(levels))
        self.opening_keys = array("q", levels)
        self.opening_lots = array("q", levels.values())
        self.keys = array("q")
        self.lots = array("q")

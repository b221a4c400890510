"""The truth: the exact book after each update id, and every trade.

Stored as integers, apart from the exchange, in segments that each begin with a complete book, so that reading a book
replays at most one segment. Faults of the wire do not change it.
"""

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from mm.errors import DataError
from mm.instrument import Instrument
from mm.market_data.local_orderbook import Level
from mm.sim.exchange.trades import MarketTrade, TradeHistory
from mm.sim.matching.order_log import ROW_LEVEL, ROW_TRADE, Row

_SEGMENT = 1_024


class TrueTrade(NamedTuple):
    """One trade as it was: its instant in µs of the exchange, price and quantity as decimal text."""

    trade_id: int
    us: int
    price: str
    qty: str
    is_buyer_maker: bool


class Forgotten(DataError):
    """An id in the future, or one that the truth no longer keeps."""


class MarketTruth:
    """The exact history of one symbol, as far back as it is kept.

    A level's key is its price in ticks, negative for asks.

    Args:
        instrument: Formats prices and quantities.
        first_update_id: The id before the first change; the book of that id is empty.
        keep: Minimum number of book changes, and of trades, to keep; older ones are dropped.
    """

    def __init__(self, instrument: Instrument, *, first_update_id: int = 0, keep: int = 2_000_000) -> None:
        if keep < 1:
            raise ValueError(f"keep={keep}: the truth must keep at least one change")
        self.instrument = instrument
        self._keep = keep
        self._levels: dict[int, int] = {}
        self._segments = deque([_Segment(first_update_id, {})])
        self._kept = 0
        self._last_update_id = first_update_id
        self._trades = TradeHistory(keep)
        self._eras = [(first_update_id, 0)]

    @property
    def last_update_id(self) -> int:
        """Id of the newest change, in the wire's numbering."""
        return self.named(self._last_update_id)[0]

    @property
    def first_update_id(self) -> int:
        """Oldest id whose book is kept, in the wire's numbering of that time."""
        return self.named(self._segments[0].first_id)[0]

    @property
    def last_trade_id(self) -> int:
        """Id of the newest trade; 0 before the first."""
        return self._trades.last_id

    @property
    def first_trade_id(self) -> int:
        """Id of the oldest kept trade; one more than `last_trade_id` if there is none."""
        return self._trades.first_id

    def listen(self, rows: Iterable[Row]) -> None:
        """Add the next *rows* of the exchange's log.

        Raises:
            ValueError: If an update id or a trade id is missing.
        """
        for us, kind, _, _, _, side, ticks, lots, trade_id, update_id in rows:
            if kind == ROW_LEVEL:
                self._change(side * ticks, lots, update_id)
            elif kind == ROW_TRADE:
                last_id = self.last_trade_id
                if last_id and trade_id != last_id + 1:
                    raise ValueError(f"trade id {trade_id} follows {last_id}; the truth needs every trade")
                self._trades.add(MarketTrade(trade_id, us, ticks, lots, side < 0))

    def book(self, update_id: int, era: int | None = None) -> tuple[list[Level], list[Level]]:
        """Return bids and asks, best first, right after *update_id*.

        Args:
            update_id: In the wire's numbering.
            era: Which numbering, 0 the first; None for the newest that has the id.

        Raises:
            Forgotten: If the id is in the future, or older than what is kept.
        """
        return self._texts(self._at(self._counted(update_id, era)))

    def changed(self, first_id: int, last_id: int) -> tuple[list[Level], list[Level]]:
        """Return bids and asks that changed in the ids from *first_id* to *last_id*, as they were after the last.

        These are the levels of a depth message with these ids; quantity zero if a level is gone. Newest numbering.
        """
        first, last = self._counted(first_id, None), self._counted(last_id, None)
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
        """Return the trades from *first_id* to *last_id*, both included.

        Raises:
            Forgotten: If one of them is in the future, or older than what is kept.
        """
        if first_id <= last_id and not self.first_trade_id <= first_id <= last_id <= self.last_trade_id:
            raise Forgotten(
                f"trades {first_id} to {last_id}: the truth has {self.first_trade_id} to {self.last_trade_id}; "
                f"request those, or keep more than {self._keep}"
            )
        price, qty = self.instrument.price, self.instrument.qty
        return [
            TrueTrade(one.trade_id, one.us, price(one.ticks), qty(one.lots), one.buyer_is_maker)
            for one in self._trades.since_id(first_id, max(0, last_id - first_id + 1))
        ]

    def named(self, update_id: int) -> tuple[int, int]:
        """Return the wire's id for the exchange's own *update_id*, and the first id of its era."""
        for after, shift in reversed(self._eras):
            if after < update_id:
                return update_id - shift, after + 1 - shift
        return update_id, update_id

    def renumber(self, after_id: int, first_id: int) -> None:
        """Restart the update ids: the change after *after_id* has the id *first_id*.

        Only the numbering changes. Ids up to *after_id* remain in the previous era.

        Raises:
            ValueError: If *after_id*, in the wire's numbering, is before the start of this era.
            Forgotten: If there is no such id.
        """
        begun, after = self._eras[-1][0], self._counted(after_id, None)
        if after < begun:
            raise ValueError(f"after_id={after_id} is before the current era")
        if after == begun and len(self._eras) > 1:
            self._eras.pop()
        self._eras.append((after, after - first_id + 1))

    def _change(self, key: int, lots: int, update_id: int) -> None:
        if update_id != self._last_update_id + 1:
            raise ValueError(f"update id {update_id} follows {self._last_update_id}; the truth needs every change")
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

    def _counted(self, update_id: int, era: int | None) -> int:
        """Return the exchange's own number of a wire id."""
        for number in range(len(self._eras) - 1, -1, -1):
            if era not in (None, number):
                continue
            after, shift = self._eras[number]
            until = self._eras[number + 1][0] if number + 1 < len(self._eras) else self._last_update_id
            # The first era includes the id before its first change; later ones begin after the previous one.
            if after + bool(number) <= update_id + shift <= until and update_id + shift >= self._segments[0].first_id:
                return update_id + shift
        raise Forgotten(
            f"update id {update_id}: the truth has {self.first_update_id} to {self.last_update_id}; "
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
        """Return bids and asks as text, best first: keys fall, of bids and then of asks."""
        price, qty = self.instrument.price, self.instrument.qty
        texts = [(key > 0, (price(abs(key)), qty(levels[key]))) for key in sorted(levels, reverse=True)]
        return [level for is_bid, level in texts if is_bid], [level for is_bid, level in texts if not is_bid]


class _Segment:
    """Changes of the book in order, at most so many that replaying them costs as much as copying its first book."""

    __slots__ = ("first_id", "keys", "lots", "most", "opening_keys", "opening_lots")

    def __init__(self, first_id: int, levels: dict[int, int]) -> None:
        self.first_id = first_id
        self.most = max(_SEGMENT, 2 * len(levels))
        self.opening_keys = array("q", levels)
        self.opening_lots = array("q", levels.values())
        self.keys = array("q")
        self.lots = array("q")

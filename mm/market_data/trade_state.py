"""The trades of one symbol as a state machine: trades in, events out; no input or output, no clock.

Ids count up by one, so a jump is a loss, and an id that was there before is no new trade. Only missing ids are kept.
"""

from collections.abc import Iterable, Sequence

from mm.dayfolder.rows import Trade
from mm.ids import Follow, IdRange, IdRanges, IdSequence, MissingIds
from mm.market_data import market_events as events
from mm.market_data.grid import Grid


class TradeIds:
    """Take trade ids one by one, and remember only those that are missing.

    Args:
        last_id: The highest id before the first one here; None where there was none.

    Attributes:
        missing: Ids that may still come.
        hole: The ids missing before the last GAP.
    """

    def __init__(self, last_id: int | None = None) -> None:
        self.missing = IdRanges()
        self.hole = IdRange(0, -1)
        self._sequence = IdSequence(last_id)

    @property
    def last_id(self) -> int | None:
        """The highest id; None before the first."""
        return self._sequence.last_id

    def take(self, trade_id: int) -> events.TradeVerdict:
        """Return what *trade_id* is, and count it as received."""
        if trade_id in self.missing:
            self.missing.remove(trade_id, trade_id)
            return events.TradeVerdict.LATE
        hole = self._sequence.missing_before(trade_id)
        found = self._sequence.take(trade_id, trade_id)
        if hole:
            self._add(hole)
        elif found is Follow.RESET:
            self.missing = IdRanges()
        return _VERDICTS[found]

    def skip(self, first_id: int, last_id: int) -> bool:
        """Count *first_id* to *last_id* as missing (`hole`), except what came; return False where all of it came."""
        if self.last_id is not None:
            first_id = self.last_id + 1
        if first_id > last_id:
            return False
        self._sequence.last_id = last_id
        self._add(IdRange(first_id, last_id))
        return True

    def fill(self, first_id: int, last_id: int) -> bool:
        """Remove *first_id* to *last_id* from the missing ids; return False where not all of them are missing."""
        missing = self.missing.covers(first_id, last_id)
        if missing:
            self.missing.remove(first_id, last_id)
        return missing

    def _add(self, hole: IdRange) -> None:
        self.hole = hole
        self.missing.add(*hole)


_VERDICTS = {
    Follow.CONTINUES: events.TradeVerdict.NEW,
    Follow.GAP: events.TradeVerdict.GAP,
    Follow.STALE: events.TradeVerdict.DUPLICATE,
    Follow.RESET: events.TradeVerdict.RESET,
}


class TradeState:
    """Keep the trade ids of one symbol, and report each trade once.

    Args:
        grid: Holds the symbol's tick.
        emit: Takes the events.
        keeps_late: Whether a trade that comes after a later one is a `TradeArrived`: rows of an import stand where they
            arrived, those of a stream in the order of their ids.
        last_id: The last trade of an earlier run; None where there was none.
        last_us: Its arrival.
        missing: Trades of earlier runs that may still come.
    """

    def __init__(
        self,
        grid: Grid,
        emit: events.Subscriber,
        *,
        keeps_late: bool,
        last_id: int | None = None,
        last_us: int = 0,
        missing: Iterable[MissingIds] = (),
    ) -> None:
        self._grid = grid
        self._emit = emit
        self._keeps_late = keeps_late
        self._ids = TradeIds(last_id)
        for one in missing:
            self._ids.missing.add(*one.ids)
        self._last_us = last_us

    def take(self, recv_us: int, trade: events.TradeMessage, cause: str) -> events.TradeVerdict:
        """Take a trade and return what its id says; *cause* is why ids before it may be missing."""
        trade_id = events.trade_id_of(trade)
        verdict = self._ids.take(trade_id)
        if verdict is events.TradeVerdict.DUPLICATE:
            self._emit(events.TradeRepeated(recv_us, trade))
            return verdict
        if verdict is events.TradeVerdict.GAP:
            self._report_missing(recv_us, cause)
        elif verdict is events.TradeVerdict.RESET:
            self._anomaly(recv_us, "id_reset", trade)
        elif verdict is events.TradeVerdict.LATE and not self._keeps_late:
            self._anomaly(recv_us, "late", trade)
            return verdict
        if self._grid.is_off_tick(trade.p):
            self._anomaly(recv_us, "off_tick", trade)
        self._emit(events.TradeArrived(recv_us, trade, verdict))
        self._last_us = recv_us
        return verdict

    def lost(self, recv_us: int, first_id: int, last_id: int, cause: str) -> None:
        """Count what did not come of the ids *first_id* to *last_id* as missing: no connection will bring it."""
        if self._ids.skip(first_id, last_id):
            self._report_missing(recv_us, cause)

    def fetched(self, recv_us: int, trades: Sequence[tuple[IdRange, Trade]]) -> int:
        """Take trades from REST, each with the ids it stands for, and return how many of them were still missing."""
        filled = [(ids, trade) for ids, trade in trades if self._ids.fill(*ids)]
        if filled:
            ids = IdRange(filled[0][0].first, filled[-1][0].last)
            self._emit(events.TradesFetched(recv_us, [trade for _, trade in filled], ids))
        return len(filled)

    def _report_missing(self, recv_us: int, cause: str) -> None:
        self._emit(events.TradesMissing(recv_us, MissingIds(*self._ids.hole, self._last_us, recv_us), cause))

    def _anomaly(self, recv_us: int, kind: str, trade: events.TradeMessage) -> None:
        details = {"price": trade.p} if kind == "off_tick" else {}
        described = {"stream": events.stream_of(trade), **details, "trade_id": events.trade_id_of(trade)}
        self._emit(events.Anomaly(recv_us, kind, described))

"""Trades into a day folder: each id once, and what the ledger must say of ids that are missing or come again."""

from collections.abc import Sequence
from typing import Protocol

from mm.ids import IdRange, MissingIds
from mm.market_data.book_keeper import BookKeeper
from mm.market_data.day_report import DayReport
from mm.market_data.day_writer import DayWriter, Trade
from mm.market_data.grid import Grid
from mm.market_data.messages import AggTrade, TradePrint
from mm.market_data.trade_ids import TradeIds, TradeVerdict

STREAM = "ws"
"""Source of the trades that a recorder took from the stream itself; their rows stand in the order of their ids."""


class Day(Protocol):
    """The day that is being written."""

    writer: DayWriter
    keeper: BookKeeper
    report: DayReport


class TradeKeeper:
    """Keep the trade ids of one symbol and write its trades.

    Args:
        grid: Knows the symbol's tick.
        source: What the rows say of their origin.

    Attributes:
        gap_cause: What the ledger says of the next ids that are missing.
        hole: The last ids that were found missing; None where nothing was.
    """

    def __init__(self, grid: Grid, source: str) -> None:
        self.gap_cause = "ids_missing"
        self.hole: MissingIds | None = None
        self._grid = grid
        self._source = source
        self._ids = TradeIds()
        self._last_us = 0

    def resume(self, last_id: int | None, last_us: int, holes: Sequence[MissingIds] = ()) -> None:
        """Go on behind trade *last_id* (None: there was none), received at *last_us*; *holes* may still be filled."""
        self._ids, self._last_us = TradeIds(last_id), last_us
        for hole in holes:
            self._ids.missing.add(*hole.ids)

    def take(self, recv_us: int, message: TradePrint | AggTrade, day: Day) -> TradeVerdict:
        """Write a trade, unless it is no new one or, from the stream, comes too late; return what its id said."""
        if isinstance(message, TradePrint):
            stream, trade_id, first_id, last_id = "trade", message.t, message.t, message.t
        else:
            stream, trade_id, first_id, last_id = "aggTrade", message.a, message.f, message.l
        verdict = self._ids.take(trade_id)
        late = verdict is TradeVerdict.LATE and self._source == STREAM
        if verdict is not TradeVerdict.NEW:
            self._note(recv_us, stream, trade_id, verdict, day)
        if late or verdict is TradeVerdict.DUPLICATE:
            day.report.duplicate_trades += not late
            return verdict
        if self._grid.is_off_tick(message.p):
            day.keeper.anomaly(recv_us, "off_tick", stream=stream, price=message.p, trade_id=trade_id)
        row = Trade(message.E, trade_id, message.T, message.p, message.q, message.m, first_id, last_id, self._source)
        day.writer.trade(recv_us, row)
        day.report.trades += 1
        self._last_us = recv_us
        self.gap_cause = "ids_missing"
        return verdict

    def lost(self, recv_us: int, first_id: int, last_id: int, day: Day) -> None:
        """Take notice that what did not come of the ids *first_id* to *last_id* will not come any more."""
        if self._ids.skip(first_id, last_id):
            self._tell_hole(recv_us, day)

    def fill(self, recv_us: int, trades: Sequence[tuple[IdRange, Trade]], day: Day) -> list[IdRange]:
        """Write those *trades* from REST that are still missing, and return the ids that they stand for."""
        filled = [(span, trade) for span, trade in trades if self._ids.fill(*span)]
        for _, trade in filled:
            day.writer.trade(recv_us, trade)
        day.report.trades += len(filled)
        return [span for span, _ in filled]

    def _note(self, recv_us: int, stream: str, trade_id: int, verdict: TradeVerdict, day: Day) -> None:
        """Write what the id of a trade says, where it does not just follow the last one."""
        if verdict is TradeVerdict.GAP:
            self._tell_hole(recv_us, day)
        elif verdict is TradeVerdict.LATE and self._source != STREAM:
            filled = {"from_id": trade_id, "to_id": trade_id, "rows": 1}
            day.writer.event(recv_us, "backfill", day.keeper.epoch_id, filled)
        else:
            kind = {TradeVerdict.DUPLICATE: "duplicate", TradeVerdict.RESET: "id_reset"}.get(verdict, "late")
            day.keeper.anomaly(recv_us, kind, stream=stream, trade_id=trade_id)

    def _tell_hole(self, recv_us: int, day: Day) -> None:
        """Write the ids that are missing."""
        self.hole = MissingIds(*self._ids.hole, self._last_us, recv_us)
        day.writer.gap(recv_us, "trade_gap", day.keeper.epoch_id, self.hole.details(self.gap_cause))
        day.report.trade_gaps += 1

"""The trades that the stream did not bring, from REST into the day: what is asked, and what becomes of the answers."""

from collections.abc import Sequence

import msgspec

from mm.clock import checked_stamp
from mm.errors import BrokenFile, OffGrid
from mm.ids import MissingIds
from mm.market_data.backfill import FillPlan, Question, last_trade_id
from mm.market_data.grid import Grid
from mm.market_data.snapshot import Answer
from mm.market_data.trade_keeper import Day, TradeKeeper


class TradeFill:
    """Fill holes in the trade ids of one symbol.

    Args:
        trades: Knows the holes and writes the trades.
        grid: Checks prices and quantities.
        aggregates: Whether the ids are those of aggregates.
    """

    def __init__(self, trades: TradeKeeper, grid: Grid, *, aggregates: bool) -> None:
        self._trades = trades
        self._grid = grid
        self._aggregates = aggregates
        self._plan = FillPlan(aggregates=aggregates)

    def resume(self, holes: Sequence[MissingIds]) -> None:
        """Fill the holes of earlier runs as well."""
        for hole in holes:
            self._plan.missing(hole)

    def notice(self) -> None:
        """Take over the hole that the last trade has shown, if it has shown one."""
        hole, self._trades.hole = self._trades.hole, None
        if hole:
            self._plan.missing(hole)

    def lost(self, recv_us: int, first_id: int, last_id: int, day: Day) -> None:
        """Fill what did not come of these ids: nothing but REST will bring it."""
        self._trades.lost(recv_us, first_id, last_id, day)
        self.notice()

    def roll(self) -> None:
        """Leave the holes of a day that is over."""
        self._plan.clear()

    def question(self) -> Question | None:
        """Return what to ask next; None where no trade is missing that may still come."""
        return self._plan.question()

    def last_id(self, answer: Answer) -> int | None:
        """Return the last id in an answer to `LAST_TRADE`, of the kind that is counted; None where it has none."""
        return None if answer.cause else last_trade_id(answer.body, aggregates=self._aggregates)

    def answered(self, answer: Answer, day: Day) -> int:
        """Write the trades of *answer* that are missing, then the ledger's `backfill`, and return how many they are.

        Raises:
            BrokenFile: If the answer cannot be read; what it answered is asked again.
        """
        missing = self._plan.current
        if missing is None:
            return 0
        if answer.cause:
            self._plan.refused(answer.status)
            return 0
        try:
            found = self._plan.answered(answer.body)
            self._grid.check([(trade.price, trade.qty) for _, trade in found])
            for _, trade in found:
                checked_stamp(trade.trade_time, "time")
        except (ValueError, OffGrid, msgspec.MsgspecError, BrokenFile) as error:
            if self._plan.current is missing:
                self._plan.unreadable()
            raise BrokenFile(f"{answer.url}: {error}") from error
        spans = self._trades.fill(answer.recv_us, found, day)
        if spans:
            day.writer.flush()  # the ledger is written through, and must not speak of rows that are lost in a crash
            filled = {"from_id": spans[0][0], "to_id": spans[-1][1], "rows": len(spans)}
            day.writer.event(answer.recv_us, "backfill", day.keeper.epoch_id, filled)
        return len(spans)

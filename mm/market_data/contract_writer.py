"""Writes a contract's data beside book and trades into its files: each message once."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from mm.clock import exchange_ms
from mm.dayfolder.contract_rows import ContractRow, InterestRow, LiquidationRow, MarkRow
from mm.dayfolder.layout import LIQUIDATION, MARK, OPEN_INTEREST
from mm.instrument import e8
from mm.markets.messages import BookTicker, ForceOrder, MarkPrice

if TYPE_CHECKING:
    from mm.dayfolder.day_writer import DayWriter

_KEPT = 64
ContractMessage = MarkPrice | ForceOrder | BookTicker
BestTaker = Callable[[int, int, BookTicker], object]


class _Interest(Struct):
    openInterest: str
    time: int


class ContractWriter:
    """Writes the rows of a contract's files, each message once.

    Args:
        heard: Called with each written row that a signal may read.
        best: Called with row number, arrival (µs) and best prices, once they are written.
    """

    def __init__(
        self,
        symbol: str,
        writer: Callable[[], "DayWriter"],
        heard: Callable[[ContractRow], object] = lambda _: None,
        best: BestTaker = lambda _seq, _us, _best: None,
    ) -> None:
        self._symbol, self._writer, self._heard, self._told_best = symbol, writer, heard, best
        self.last_mark_ms = self._last_id = -1
        self._seen: list[ForceOrder] = []
        self._at_us = 0

    def take(self, recv_us: int, message: ContractMessage) -> None:
        """Raises ValueError or OffGrid for an invalid message."""
        if isinstance(message, MarkPrice):
            self._mark(recv_us, message)
        elif isinstance(message, BookTicker):
            self._best(recv_us, message)
        else:
            self._forced(recv_us, message)

    def interest(self, recv_us: int, body: bytes) -> None:
        told = msgspec.json.decode(body, type=_Interest)
        e8(told.openInterest)
        at_us = self._row(recv_us, told.time, [OPEN_INTEREST, *[""] * 5, told.openInterest, *[""] * 6])
        self._heard(InterestRow(at_us, e8(told.openInterest)))

    def _mark(self, recv_us: int, mark: MarkPrice) -> None:
        for text in (mark.p, mark.i, mark.r, mark.P):
            e8(text or "0")
        if self.last_mark_ms < mark.E:
            self.last_mark_ms = mark.E
            funding = [mark.r, exchange_ms(mark.T)] if mark.T else ["", ""]
            at_us = self._row(recv_us, mark.E, [MARK, mark.p, mark.i, mark.P, *funding, *[""] * 7])
            paid_ms = exchange_ms(mark.T) if mark.T else None
            self._heard(MarkRow(at_us, e8(mark.p), e8(mark.i or "0"), e8(mark.r or "0") if mark.T else 0, paid_ms))

    def _best(self, recv_us: int, best: BookTicker) -> None:
        cells = [best.b, best.B, best.a, best.A]
        for text in cells:
            e8(text)
        if best.E is None or best.T is None:
            raise ValueError("best prices of a contract without E and T")
        if best.u > self._last_id:
            self._last_id = best.u
            writer = self._writer()
            row = [best.u, *cells, exchange_ms(best.T)]
            at_us = self.arrived(recv_us)
            self._told_best(writer.of_contract(writer.folder.best, at_us, exchange_ms(best.E), row), at_us, best)

    def _forced(self, recv_us: int, forced: ForceOrder) -> None:
        order = forced.o
        for text in (order.p, order.ap, order.q, order.z):
            e8(text)
        if forced in self._seen or order.s != self._symbol:
            return
        self._seen = [*self._seen[-_KEPT:], forced]
        side = order.S.lower()
        terms = [LIQUIDATION, *[""] * 6, side, order.p, order.ap, order.q, order.z, order.X]
        at_us = self._row(recv_us, forced.E, terms)
        self._heard(LiquidationRow(at_us, 1 if side == "buy" else -1, e8(order.z), e8(order.ap)))

    def _row(self, recv_us: int, event_time: int, cells: Sequence[object]) -> int:
        writer, at_us = self._writer(), self.arrived(recv_us)
        writer.of_contract(writer.folder.contract, at_us, exchange_ms(event_time), cells)
        return at_us

    def arrived(self, recv_us: int) -> int:
        """An arrival not before the last: rows of several connections share a file."""
        self._at_us = max(self._at_us, recv_us)
        return self._at_us

"""A contract's data beside its book: premium, next funding, liquidations, open interest."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mm.clock import US_PER_MS, US_PER_S
from mm.dayfolder.contract_rows import FRESH_US, ContractRow, InterestRow, LiquidationRow, MarkRow, contract_rows
from mm.dayfolder.layout import DayFolder
from mm.instrument import E8

if TYPE_CHECKING:
    from mm.signals.signal_set import SignalBook

_BASIS_POINTS = 1e4


@dataclass
class RecordedContract:
    """Rows of a contract beside book and trades, read once, at the first call."""

    data_root: Path
    symbol: str
    days: tuple[str, ...]
    _rows: tuple[ContractRow, ...] | None = field(default=None, repr=False, compare=False)

    def __call__(self) -> tuple[ContractRow, ...]:
        if self._rows is None:
            folders = [DayFolder(self.data_root, self.symbol, day) for day in self.days]
            self._rows = tuple(row for folder in folders for row in contract_rows(folder))
        return self._rows


class ContractReader:
    def __init__(self, rows: Sequence[ContractRow]) -> None:
        self._rows, self._next = rows, 0
        self._mark: MarkRow | None = None
        self.interest: InterestRow | None = None

    def show(self, us: int) -> list[LiquidationRow]:
        """Take the rows up to *us*; return the liquidations among them."""
        forced = []
        while self._next < len(self._rows) and (row := self._rows[self._next]).recv_us <= us:
            self._next += 1
            if isinstance(row, MarkRow):
                self._mark = row
            elif isinstance(row, InterestRow):
                self.interest = row
            else:
                forced.append(row)
        return forced

    def mark(self, us: int) -> MarkRow | None:
        return self._mark if self._mark and us - self._mark.recv_us <= FRESH_US else None


class _Told:
    def __init__(self, rows: Sequence[ContractRow]) -> None:
        self._reader = ContractReader(rows)

    def on_book(self, book: "SignalBook") -> float | None:
        self._reader.show(book.us)
        mark = self._reader.mark(book.us)
        return None if mark is None else self.value(mark, book)

    def value(self, mark: MarkRow, book: "SignalBook") -> float | None:
        raise NotImplementedError


class Premium(_Told):
    def value(self, mark: MarkRow, book: "SignalBook") -> float | None:  # noqa: ARG002 - of the mark alone
        return _BASIS_POINTS * math.log(mark.mark_e8 / mark.index_e8) if mark.index_e8 > 0 < mark.mark_e8 else None


class MarkBasis(_Told):
    def __init__(self, rows: Sequence[ContractRow], tick_e8: int) -> None:
        super().__init__(rows)
        self._tick_e8 = tick_e8

    def value(self, mark: MarkRow, book: "SignalBook") -> float | None:
        if not (book.bid_ticks and book.ask_ticks):
            return None
        return _BASIS_POINTS * math.log(2 * mark.mark_e8 / ((book.bid_ticks + book.ask_ticks) * self._tick_e8))


class FundingRate(_Told):
    def value(self, mark: MarkRow, book: "SignalBook") -> float | None:  # noqa: ARG002
        return None if mark.funding_ms is None else _BASIS_POINTS * mark.rate_e8 / E8


class FundingIn(_Told):
    def value(self, mark: MarkRow, book: "SignalBook") -> float | None:
        return None if mark.funding_ms is None else (mark.funding_ms * US_PER_MS - book.us) / US_PER_S


class OpenInterest:
    def __init__(self, rows: Sequence[ContractRow]) -> None:
        self._reader = ContractReader(rows)

    def on_book(self, book: "SignalBook") -> float | None:
        self._reader.show(book.us)
        return self._reader.interest.amount_e8 / E8 if self._reader.interest else None


class Liquidated:
    def __init__(self, rows: Sequence[ContractRow], window_us: int) -> None:
        self._reader, self._window_us = ContractReader(rows), window_us
        self._inside: deque[LiquidationRow] = deque()
        self._sum_e8 = 0

    def on_book(self, book: "SignalBook") -> float | None:
        for row in self._reader.show(book.us):
            self._inside.append(row)
            self._sum_e8 += row.side * row.filled_e8
        while self._inside and self._inside[0].recv_us <= book.us - self._window_us:
            row = self._inside.popleft()
            self._sum_e8 -= row.side * row.filled_e8
        return None if self._reader.mark(book.us) is None else self._sum_e8 / E8

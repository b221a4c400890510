"""Tardis CSV files (``incremental_book_L2`` and ``trades``) as messages for the import.

Rows of one ``local_timestamp``, the receive time (µs), are one message; with ``is_snapshot`` it is a whole book, after
a reconnect, or in a feed without changes.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path

from mm.errors import BrokenFile, Sentence
from mm.formats.contracts import require_linear
from mm.formats.events import BytesRead, FileTrade, LevelChanges, TimedEvent, WholeBook
from mm.formats.feed import FileReader
from mm.formats.tables import CsvTable, RowBlock, flags, one_of, plain_decimal, whole_numbers
from mm.market_data.captures import FilePlace

_COMMON = ("exchange", "symbol", "timestamp", "local_timestamp")
BOOK_COLUMNS = (*_COMMON, "is_snapshot", "side", "price", "amount")
TRADE_COLUMNS = (*_COMMON, "id", "side", "price", "amount")
_BOOK_SIDES = {"bid": 1, "ask": -1}
_TRADE_SIDES = {"buy": 1, "sell": -1, "unknown": 0}
_Row = tuple[int, int, int, bool, int, str, str]
"""Receive time, row, exchange time, whether it is of a snapshot, side, price, quantity."""


class TardisReader(FileReader):
    """Yield one symbol's events from files of either kind, in any order; trades come first.

    The symbol is compared up to separators. Changes before the first whole book are ignored.

    Raises:
        BrokenFile: If a file is no such table, a row is incomplete, or there are several exchanges, or contracts whose
            profit is not price times quantity.
        Mismatch: If no row is of the symbol.
    """

    def __init__(self, paths: Sequence[Path], symbol: str, moved: BytesRead = lambda _: None) -> None:
        super().__init__(paths, _letters(symbol), moved)
        self._exchange = ""

    def _streams(self) -> list[Iterator[TimedEvent]]:
        tables = [CsvTable(path, self._progress(path)) for path in self._paths]
        kinds = {BOOK_COLUMNS: 1, TRADE_COLUMNS: 0}
        for table in tables:
            if "asks[0].price" in table.columns:
                raise BrokenFile(
                    "{}:1: is a book_snapshot of Tardis, a whole book a row; give --format table, {levels} '{}', "
                    "{time_column} local_timestamp and {exchange_time_column} timestamp",
                    table.path,
                    "bids[{n}].price,bids[{n}].amount,asks[{n}].price,asks[{n}].amount",
                )
            if table.columns not in kinds:
                raise BrokenFile(
                    f"{table.path}:1: the header is {','.join(table.columns)[:120]}; give Tardis incremental_book_L2 "
                    f"({','.join(BOOK_COLUMNS)}) or trades ({','.join(TRADE_COLUMNS)})"
                )
        return [self._stream(_in_time(tables, columns), kind) for columns, kind in kinds.items()]

    def _stream(self, tables: Sequence[CsvTable], kind: int) -> Iterator[TimedEvent]:
        for table in tables:
            place = FilePlace(table.path, symbols=self.place.symbols)
            rows = chain.from_iterable(self._rows(block, kind, place) for block in table)
            yield from self._messages(rows, place) if kind else self._trades(rows, place)

    def _trades(self, rows: Iterator[_Row], place: FilePlace) -> Iterator[TimedEvent]:
        for recv_us, row, exch_us, _, side, price, qty in rows:
            yield recv_us, 0, (place.path, row), FileTrade(exch_us, price, qty, side)

    def _messages(self, rows: Iterator[_Row], place: FilePlace) -> Iterator[TimedEvent]:
        whole: list[_Row] = []  # of a snapshot that may continue
        for (_, snapshot), group in groupby(rows, key=itemgetter(0, 3)):
            every = list(group)
            if whole and not (snapshot and _continues(whole, every)):
                yield _message(whole, place)
                whole = []
            if snapshot:
                whole += every
            else:
                yield _message(every, place)
        if whole:
            yield _message(whole, place)

    def _rows(self, block: RowBlock, kind: int, place: FilePlace) -> Iterator[_Row]:
        self._check_exchange(block, place)
        cells = block.cells
        snapshot = flags(block, "is_snapshot", place) if kind else [False] * cells.height
        columns = (
            whole_numbers(block, "local_timestamp", place),
            range(block.first_row, block.first_row + cells.height),
            whole_numbers(block, "timestamp", place),
            snapshot,
            one_of(block, "side", _BOOK_SIDES if kind else _TRADE_SIDES, place),
            map(plain_decimal, cells["price"].to_list()),
            map(plain_decimal, cells["amount"].to_list()),
        )
        ours = {name: _letters(name) == self._symbol for name in cells["symbol"].unique().to_list()}
        for name, is_ours in ours.items():
            place.symbols[name.upper()] += 1
            if is_ours:
                row = block.first_row + (cells["symbol"].eq(name).arg_max() or 0)
                require_linear(self._exchange, name, place, row, counted=self.counted)
        every = zip(*columns, strict=True)
        if all(ours.values()):
            yield from every
        else:
            yield from (row for row, name in zip(every, cells["symbol"].to_list(), strict=True) if ours[name])

    def _check_exchange(self, block: RowBlock, place: FilePlace) -> None:
        for name in block.cells["exchange"].unique(maintain_order=True).to_list():
            self._exchange = self._exchange or name
            if name != self._exchange:
                at = block.first_row + (block.cells["exchange"].eq(name).arg_max() or 0)
                what = f"a row of the exchange {name!r} among rows of {self._exchange!r}"
                raise place.broken(what, Sentence("import the files of each exchange into another {data_root}"), at)


def _message(rows: Sequence[_Row], place: FilePlace) -> TimedEvent:
    recv_us, row, exch_us, snapshot, *_ = rows[-1]
    bids, asks = ([row[5:] for row in rows if row[4] == side] for side in (1, -1))
    event = WholeBook(bids, asks, exch_us) if snapshot else LevelChanges(exch_us, bids, asks)
    return recv_us, 1, (place.path, row), event


def _continues(whole: Sequence[_Row], rows: Sequence[_Row]) -> bool:
    return {whole[-1][2]} == {row[2] for row in rows} and {row[4:6] for row in whole}.isdisjoint(
        row[4:6] for row in rows
    )


def _letters(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper())


def _in_time(tables: Sequence[CsvTable], columns: tuple[str, ...]) -> list[CsvTable]:
    firsts: list[tuple[int, int, CsvTable]] = []
    for table in tables:
        if table.columns == columns:
            block = next(iter(table), None)
            at = 0
            if block is not None:
                at = whole_numbers(
                    RowBlock(block.first_row, block.cells.head(1)), "local_timestamp", FilePlace(table.path)
                )[0]
            firsts.append((at, len(firsts), table))
    return [table for _, _, table in sorted(firsts, key=itemgetter(0, 1))]

"""Binance's published files (trades, aggTrades, bookTicker; CSV, plain or in a ZIP) as messages for the import."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path

from mm.clock import exchange_us, midnight_us, next_day
from mm.errors import BrokenFile, Mismatch
from mm.formats.event_columns import EventColumns
from mm.formats.events import BytesRead, FileEvent, FileTrade, LevelChanges, TimedEvent, WholeBook
from mm.formats.feed import FileReader
from mm.formats.tables import CsvTable, RowBlock, flags, sorted_by, whole_numbers
from mm.market_data.captures import FilePlace
from mm.markets.local_orderbook import Level

TRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match")
AGG_TRADES = (
    *("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker"),
    "is_best_match",
)
TICKERS = (
    *("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time"),
    "event_time",
)
_KINDS = {"aggTrades": AGG_TRADES, "bookTicker": TICKERS, "trades": TRADES}


class BinanceVisionReader(FileReader):
    """Yield one symbol's events from files in any order; trades come first.

    Names are Binance's: ``SYMBOL-trades-2024-07-24.zip``, ``SYMBOL-aggTrades-2024-07.csv`` … Without a *day* all are
    read.

    Raises:
        BrokenFile: If a file has another name or other columns, or a row is incomplete.
        Mismatch: If a file belongs to another symbol.
    """

    exchange_times = True

    def __init__(
        self, paths: Sequence[Path], symbol: str, moved: BytesRead = lambda _: None, *, day: str | None = None
    ) -> None:
        super().__init__(paths, symbol, moved)
        self._span_us = None if day is None else (midnight_us(day, "UTC"), midnight_us(next_day(day), "UTC"))
        self._outside = 0
        self._files = [(kind_of(path, symbol), path) for path in paths]
        kinds = {kind for kind, _ in self._files}
        if {"trades", "aggTrades"} <= kinds:
            raise BrokenFile(f"{paths[0]}: trades and aggTrades hold the same trades; give one of them")
        if "bookTicker" not in kinds:
            self.notes.append("the files have no book; calibration and backtests need one, recorded or from bookTicker")

    def __iter__(self) -> Iterator[tuple[int, FileEvent | EventColumns]]:
        yield from super().__iter__()
        if self._outside:
            self.notes.append(f"{self._outside:,} rows of another day were left out")

    def _of_day(self, us: int) -> bool:
        inside = self._span_us is None or self._span_us[0] <= us < self._span_us[1]
        self._outside += not inside
        return inside

    def _streams(self) -> list[Iterator[TimedEvent]]:
        tickers = sorted((file for file in self._files if file[0] == "bookTicker"), key=_by_date)
        trades = sorted((file for file in self._files if file[0] != "bookTicker"), key=_by_date)
        return [
            chain.from_iterable(self._trades(kind, path) for kind, path in trades),
            chain.from_iterable(self._tickers(path) for _, path in tickers),
        ]

    def _blocks(self, kind: str, path: Path) -> Iterator[RowBlock]:
        table = CsvTable(path, self._progress(path), _KINDS[kind])
        needed = _KINDS[kind][:7] if kind == "aggTrades" else _KINDS[kind][:6]
        lacks = [name for name in needed if name not in table.columns]
        if lacks:
            what = (
                f"{path}:1: not {kind} of Binance: the columns {','.join(table.columns)[:120]} lack {', '.join(lacks)}"
            )
            raise BrokenFile(f"{what}; download the file again")
        blocks, sorted_here = sorted_by(table, needed[0], FilePlace(path))
        if sorted_here:
            self.notes.append(f"{path.name} was not in the order of its ids; it was sorted")
        yield from blocks

    def _trades(self, kind: str, path: Path) -> Iterator[TimedEvent]:
        names = ("id", "qty", "time") if kind == "trades" else ("agg_trade_id", "quantity", "transact_time")
        for block in self._blocks(kind, path):
            place = FilePlace(path)
            ids = whole_numbers(block, names[0], place)
            spans: Iterable[tuple[int, int] | None] = repeat(None)
            if kind == "aggTrades":
                first_ids, last_ids = (whole_numbers(block, name, place) for name in AGG_TRADES[3:5])
                spans = zip(first_ids, last_ids, strict=True)
            columns = (
                ids,
                block.cells["price"].to_list(),
                block.cells[names[1]].to_list(),
                whole_numbers(block, names[2], place),
                flags(block, "is_buyer_maker", place),
            )
            rows = zip(block.rows, spans, *columns, strict=False)
            for row, span, number, price, qty, time, maker in rows:
                at_us = exchange_us(time)
                if self._of_day(at_us):
                    yield at_us, 0, (path, row), FileTrade(at_us, price, qty, -1 if maker else 1, number, span)

    def _tickers(self, path: Path) -> Iterator[TimedEvent]:
        sides: list[Sequence[Level]] | None = None
        for block in self._blocks("bookTicker", path):
            place = FilePlace(path)
            levels = (block.cells[name].to_list() for name in TICKERS[1:5])
            times = whole_numbers(block, "transaction_time", place)
            for row, bid, bid_qty, ask, ask_qty, time in zip(block.rows, *levels, times, strict=True):
                at_us = exchange_us(time)
                if not self._of_day(at_us):
                    continue
                fresh = [_side(bid, bid_qty), _side(ask, ask_qty)]
                if sides is None:
                    yield at_us, 1, (path, row), WholeBook(fresh[0], fresh[1])
                elif fresh != sides:
                    changed = [_moved(old, new) for old, new in zip(sides, fresh, strict=True)]
                    yield at_us, 1, (path, row), LevelChanges(at_us, changed[0], changed[1])
                sides = fresh


def _side(price: str | None, qty: str | None) -> Sequence[Level]:
    return ((price, qty),) if price and qty and qty.strip("0.") else ()


def _moved(old: Sequence[Level], new: Sequence[Level]) -> list[Level]:
    if old == new:
        return []
    kept = {price for price, _ in new}
    return [*((price, "0") for price, _ in old if price not in kept), *new]


def kind_of(path: Path, symbol: str) -> str:
    name, _, rest = path.name.partition("-")
    kind = rest.partition("-")[0]
    if kind not in _KINDS:
        raise BrokenFile(
            f"{path}:1: the name is not SYMBOL-KIND-DATE.zip or .csv with the kind {', '.join(_KINDS)}; keep "
            f"Binance's file names"
        )
    if name.upper() != symbol:
        raise Mismatch("{} is of {}; {symbol} is {}", path, name, symbol)
    return kind


def _by_date(file: tuple[str, Path]) -> str:
    return file[1].name.partition("-")[2].partition("-")[2]

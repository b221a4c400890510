"""Your own tables, CSV or Parquet, as messages for the import; `TableColumns` names the columns.

A file has trades, level changes, best prices, or whole books: one level a row (long), or one book a row (wide). Rows
of one kind, time and id are one message. Times are µs of UTC; the first row tells a number column's unit, unless
stated.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatch
from fractions import Fraction
from functools import lru_cache
from heapq import merge
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mm.clock import iso
from mm.errors import BrokenFile, Sentence, UsageError, parameter
from mm.formats import order_table
from mm.formats.best_prices import BEST_RANK, BestPrices
from mm.formats.contracts import require_linear
from mm.formats.event_columns import EventColumns
from mm.formats.events import BytesRead, FileTrade, LevelChanges, TimedEvent, WholeBook
from mm.formats.feed import FileReader
from mm.formats.flags import are_flags, flags_by, side_of_true, true_is_whole_book
from mm.formats.instants import instants_us, unit_of
from mm.formats.lost_digits import Stamps, Types, check_written, shortest
from mm.formats.orders import OrderRecords
from mm.formats.tables import COPY_AGAIN, CsvTable, RowBlock, plain_decimal
from mm.market_data.captures import FilePlace
from mm.markets.local_orderbook import Level

TRADES, CHANGES, BOOKS, BESTS = "trades", "changes", "books", "best prices"
SNAPSHOT, CHANGE, TRADE = "snapshot", "change", "trade"
_PARQUET = b"PAR1"
_ROWS_AT_ONCE, _BOOKS_AT_ONCE = 1 << 16, 1 << 10
_SIDES = {
    **dict.fromkeys(("bid", "bids", "buy", "b", "buyer", "1", "+1"), 1),
    **dict.fromkeys(("ask", "asks", "sell", "s", "a", "seller", "offer", "-1"), -1),
}
_BOOK_WORDS = {"bid", "bids", "ask", "asks", "a", "offer"}
_TRADE_WORDS = {"buy", "sell", "buyer", "seller", "unknown"}
_UNKNOWN_SIDES = {"", "unknown", "none", "null", "0"}
_KINDS = {
    **dict.fromkeys(("snapshot", "snap", "partial", "book"), SNAPSHOT),
    **dict.fromkeys(("update", "change", "delta", "diff", "l2update"), CHANGE),
    **dict.fromkeys(("trade", "trades", "match"), TRADE),
}
_NAMES = {
    "time": ("local_timestamp", "recv_time_us", "recv_time", "received_at", "ts_recv", "timestamp", "time", "ts"),
    "exchange_time": ("exchange_timestamp", "exchange_time", "event_time", "trade_time", "ts_event"),
    "price": ("price", "px"),
    "qty": ("qty", "quantity", "size", "amount", "volume"),
    "side": ("side", "taker_side", "aggressor", "is_bid", "isBid", "is_ask", "isAsk", "is_buy", "isBuy", "is_sell"),
    "maker": ("is_buyer_maker", "buyer_maker", "isBuyerMaker", "is_seller_maker"),
    "kind": ("is_snapshot", "snapshot", "is_delta", "delta"),
    "symbol": ("symbol", "instrument"),
}
_NAMED = (*_NAMES, "id", "order_id")
_ORDER_KINDS = ("action", "kind", "type", "event")
_LEVELS = (
    "bid_price_{n},bid_size_{n},ask_price_{n},ask_size_{n}",
    "bid{n}_price,bid{n}_qty,ask{n}_price,ask{n}_qty",
    "bids,asks",
)
_NONE = ("", "nan", "null", "none")
_BRACKETS = str.maketrans("()'", '[]"')
_NAMED_NUMBER = re.compile(r"(?:Decimal|(?:np\.)?(?:float64|array))\(([^()]*)\)")
_LISTS = ("[", "(", "array(", "np.array(")
_BARE_POINT = re.compile(r"(\d)\.(?=[\s,\]])")
_OPEN_COMMA = re.compile(r",\s*\]")
_NOISE = Decimal("1e-9")
_CENT = Decimal("1e-8")
_MOST_STEPS = 1_000
COUNTING = 0.9
"""Least share of steps by one at which the ids of trades count them, so that a missing id is a missing trade."""


@dataclass(frozen=True, kw_only=True)
class TableColumns:
    """Names of columns, as the knobs of ``mm data import`` explain them; of several with commas a file's first one
    counts.

    None takes a usual name.
    """

    time: str | None = None
    exchange_time: str | None = None
    time_unit: str | None = None
    price: str | None = None
    qty: str | None = None
    side: str | None = None
    maker: str | None = None
    id: str | None = None
    order_id: str | None = None
    kind: str | None = None
    symbol: str | None = None
    side_words: str | None = None
    kind_words: str | None = None
    levels: str | None = None
    trade_files: str | None = None
    change_files: str | None = None
    book_files: str | None = None
    best_files: str | None = None

    def words(self, name: str, usual: dict[str, Any], allowed: dict[str, Any]) -> dict[str, Any]:
        text, known = getattr(self, name), dict(usual)
        for pair in text.split(",") if text else ():
            word, equals, meaning = pair.strip().partition("=")
            if not equals or meaning.lower() not in allowed:
                form = f"WORD=MEANING with a meaning of {', '.join(allowed)}"
                raise UsageError("{} {!r} is not {}", parameter(name), pair, form)
            known[word.lower()] = allowed[meaning.lower()]
        return known


class _Row(NamedTuple):
    """A row of a long table; rows of one message share time, kind and id."""

    recv_us: int
    kind: str
    id: str
    row: int
    exch_us: int
    side: int
    price: str
    qty: str


@dataclass
class _Table:
    path: Path
    columns: Sequence[str]
    blocks: Callable[[BytesRead], Iterator[RowBlock]]
    place: FilePlace
    names: dict[str, str] = field(default_factory=dict)
    words: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    levels: Sequence[str] = ()
    kind: str = ""
    units: dict[str, str] = field(default_factory=dict)
    first_us: int = 0
    types: Types = field(default_factory=Types)
    lossy: dict[str, str] = field(default_factory=dict)


class TableReader(FileReader):
    """Yield one symbol's events from tables in any order; trades come first."""

    grows = True

    def __init__(
        self,
        paths: Sequence[Path],
        symbol: str,
        moved: BytesRead = lambda _: None,
        columns: TableColumns | None = None,
    ) -> None:
        super().__init__(paths, symbol, moved)
        self._columns = columns or TableColumns()
        meanings: dict[str, dict[str, Any]] = {
            "side": {"bid": 1, "buy": 1, "ask": -1, "sell": -1},
            "kind": {kind: kind for kind in (SNAPSHOT, CHANGE, TRADE)},
        }
        if self._columns.order_id:
            meanings["kind"] = {kind: kind for kind in order_table.KINDS.values()}
            self.orders = OrderRecords(price_e8=Fraction(1), qty_e8=Fraction(1))
        self._given = {name: self._columns.words(f"{name}_words", {}, meanings[name]) for name in meanings}
        require_linear("", symbol, self._at, 1, counted=True)
        self._tables = [self._table(path) for path in paths]
        self._check_named()
        self._own_ids = self._ids_count()
        self._repeated = 0
        self._shared: list[str] = []
        if all(table.kind == TRADES for table in self._tables):
            self.notes.append("the files have no book; calibration and backtests need one")

    @property
    def told(self) -> list[str]:
        return [*map(_told, self._tables), *self._shared]

    def _streams(self) -> Sequence[Iterator[TimedEvent | EventColumns]]:
        if self.orders:
            return [self._single_orders(self.orders)]
        bests = [table for table in self._tables if table.kind == BESTS]
        if not bests:
            return [self._stream(is_trade) for is_trade in (True, False)]
        streams = merge(self._stream(is_trade=False), self._best_prices(bests), key=itemgetter(0, 1))
        return [self._stream(is_trade=True), BestPrices().edits(streams)]

    def _best_prices(self, tables: "Sequence[_Table]") -> Iterator[TimedEvent]:
        """Best prices as books of one level a side, after other rows of their instant."""
        for table in sorted(tables, key=lambda table: table.first_us):
            stamps = Stamps(trades=False)
            for us, _, place, event in self._events(table, stamps, is_trade=False):
                yield us, BEST_RANK, place, event
            self._note_lost(table, stamps)

    def _single_orders(self, orders: OrderRecords) -> Iterator[TimedEvent | EventColumns]:
        for table in sorted(self._tables, key=lambda table: table.first_us):
            for block in _whole_times(self._blocks(table), table.names["time"]):
                times, exchange = self._times(table, block)
                kinds, sides = self._words(table, block, "kind"), self._words(table, block, "side")
                columns = [block.cells[table.names[name]] for name in ("order_id", "price", "qty")]
                _check_digits(table, block, *((column.name, column.to_list()) for column in columns[1:]))
                cells = order_table.OrderCells(times, kinds, sides, *columns)
                commands = order_table.commands_of(block, cells, table.place)
                by_row = dict(zip(block.rows, exchange, strict=True))
                exchange_us = [by_row[row] for row in commands.row.tolist()]
                yield from order_table.events_of(table.place, commands, exchange_us, orders)

    def _stream(self, is_trade: bool) -> Iterator[TimedEvent]:
        before, last_us = None, 0
        for table in sorted(self._tables, key=lambda table: table.first_us):
            if table.kind == BESTS or (table.kind and (table.kind == TRADES) != is_trade):
                continue
            if before and before.kind != table.kind and table.first_us < last_us:
                what = f"its {table.kind} begin within the time of the {before.kind} of {before.path.name}"
                way_out = Sentence(
                    "leave one of the two files out, or give {best_files} if it has the best prices alone"
                )
                raise table.place.broken(f"{what}, and a market has one book", way_out, 1)
            stamps = Stamps(trades=is_trade)
            for event in self._events(table, stamps, is_trade=is_trade):
                last_us = event[0]
                yield event
            before = table
            self._note_lost(table, stamps)
        if is_trade and self._repeated:
            self.notes.append(f"{self._repeated:,} trades repeat the id of an earlier one; they were left out")

    def _events(self, table: _Table, stamps: Stamps, *, is_trade: bool) -> Iterator[TimedEvent]:
        if table.kind in (BOOKS, BESTS) and table.levels:
            return self._wide(table, stamps)
        rows = (row for row in self._rows(table) if (row.kind == TRADE) == is_trade)
        return self._trades(table, rows, stamps) if is_trade else _messages(table, rows, stamps)

    def _note_lost(self, table: _Table, stamps: Stamps) -> None:
        self.notes += [f"{table.path.name}: {sentence}" for sentence in table.lossy.values()]
        table.lossy.clear()
        column = table.names["time"]
        if rounded := stamps.rounded():
            self.notes.append(
                f"{table.path.name}: the times in {column} look rounded: {rounded}, so what happened between them is "
                f"lost; write the column again from its source with all its digits"
            )
        elif stamps.whole_seconds():
            self._shared.append(
                f"{table.path.name}: {column} has whole seconds; changes of one second are read as one message"
            )

    def _trades(self, table: _Table, rows: Iterator[_Row], stamps: Stamps) -> Iterator[TimedEvent]:
        seen: set[str] = set()
        for row in rows:
            stamps.add(row.recv_us)
            if row.id and not self._own_ids:
                if row.id in seen:
                    self._repeated += 1
                    continue
                seen.add(row.id)
            number = int(row.id) if self._own_ids else None
            yield row.recv_us, 0, (table.path, row.row), FileTrade(row.exch_us, row.price, row.qty, row.side, number)

    def _wide(self, table: _Table, stamps: Stamps) -> Iterator[TimedEvent]:
        narrow = next(filter(table.types.narrow, table.levels), "")
        for block in self._blocks(table):
            times, exchange = self._times(table, block)
            books = zip(*(block.cells[column].to_list() for column in table.levels), strict=True)
            for at, (recv_us, exch_us, cells) in enumerate(zip(times, exchange, books, strict=True)):
                try:
                    bids, asks = _levels_of(cells)
                except (ValueError, TypeError) as error:
                    what = f"{', '.join(table.levels[:4])} are not lists of prices and quantities ({error})"
                    raise table.place.broken(what, COPY_AGAIN, block.row(at)) from error
                stamps.add(recv_us)
                if table.kind == BESTS:
                    bids, asks = bids[:1], asks[:1]
                if narrow:
                    prices, qtys = zip(*bids, *asks, strict=True)
                    _check_digits(table, block, (narrow, list(prices)), (narrow, list(qtys)))
                yield recv_us, 1, (table.path, block.row(at)), WholeBook(bids, asks, exch_us)

    def _rows(self, table: _Table) -> Iterator[_Row]:
        names, of_table = (
            table.names,
            {TRADES: TRADE, CHANGES: CHANGE, BOOKS: SNAPSHOT, BESTS: SNAPSHOT}.get(table.kind, ""),
        )
        for block in self._blocks(table):
            cells, count = block.cells, block.cells.height
            times, exchange = self._times(table, block)
            kinds = [of_table] * count if of_table else self._words(table, block, "kind")
            prices, qtys = ([_decimal(text) for text in cells[names[name]].to_list()] for name in ("price", "qty"))
            _check_digits(table, block, (names["price"], prices), (names["qty"], qtys))
            ids = cells[names["id"]].to_list() if "id" in names else [""] * count
            columns = (times, kinds, ids, block.rows, exchange, self._sides_of(table, block, kinds), prices, qtys)
            for row in zip(*columns, strict=True):
                yield _Row._make(row)

    def _sides_of(self, table: _Table, block: RowBlock, kinds: Sequence[str]) -> list[int]:
        if "side" not in table.names:
            return self._words(table, block, "maker") if "maker" in table.names else [0] * block.cells.height
        sides = self._words(table, block, "side")
        if 0 in sides and (at := next((n for n, side in enumerate(sides) if not side and kinds[n] != TRADE), -1)) >= 0:
            what = f"{table.names['side']} is {block.cells[table.names['side']][at]!r}, and a level needs a side"
            raise table.place.broken(what, Sentence("give {side_words}, such as 0=bid,1=ask"), block.row(at))
        return sides

    def _words(self, table: _Table, block: RowBlock, name: str) -> list[Any]:
        column, words = table.names[name], table.words[name]
        values = [words.get(text.lower(), words) for text in block.cells[column].to_list()]
        if words in values:
            at = values.index(words)
            way_out = Sentence("give {}", parameter(f"{name}_words"))
            if name == "maker":
                way_out = Sentence("give a column of true and false, or {side_column}")
            what = f"{column} is {block.cells[column][at]!r}, not one of {', '.join(filter(None, words))}"
            raise table.place.broken(what, way_out, block.row(at))
        return values

    def _blocks(self, table: _Table) -> Iterator[RowBlock]:
        for block in table.blocks(self._progress(table.path)):
            column = table.names.get("symbol")
            if column is None:
                self.place.symbols[self._symbol] += 1
                yield block
                continue
            ours = block.cells[column].str.to_uppercase().str.replace_all(r"[^A-Z0-9]", "") == _letters(self._symbol)
            self.place.symbols.update(block.cells[column].str.to_uppercase().unique().to_list())
            if ours.all():
                yield block
            elif ours.any():
                rows = [row for row, is_ours in zip(block.rows, ours.to_list(), strict=True) if is_ours]
                yield RowBlock(0, block.cells.filter(ours), rows)

    def _times(self, table: _Table, block: RowBlock) -> tuple[list[int], list[int]]:
        times = _instants(table, block, table.names["time"], self._columns.time_unit)
        if "exchange_time" not in table.names:
            return times, [0] * len(times)
        return times, _instants(table, block, table.names["exchange_time"], self._columns.time_unit)

    def _table(self, path: Path) -> _Table:
        table = _opened(path)
        chosen = self._columns
        for option in fields(chosen):
            if option.name in _NAMED and (name := self._column(table, option.name)):
                table.names[option.name] = name
        table.levels = self._level_columns(table)
        globs = (
            *((TRADES, chosen.trade_files), (CHANGES, chosen.change_files)),
            *((BOOKS, chosen.book_files), (BESTS, chosen.best_files)),
        )
        stated = [kind for kind, pattern in globs if pattern and any(fnmatch(path.name, p) for p in pattern.split(","))]
        table.kind = stated[0] if stated else BOOKS if table.levels else ""
        needed = ["time"] if table.levels else ["time", "price", "qty"]
        if chosen.order_id:
            needed, table.levels = ["time", "price", "qty", "side", "kind", "order_id"], ()
        for name in needed:
            if name not in table.names:
                wanted = getattr(chosen, name) or f"of the {name}"
                what = f"no column {wanted} among {', '.join(table.columns)[:160]}"
                raise table.place.broken(what, Sentence("give {}", parameter(f"{name}_column")), 1)
        first = next(table.blocks(lambda _: None), None)
        if first is None:
            raise BrokenFile(f"{path}: the file has no rows; {COPY_AGAIN}")
        table.first_us = _instants(
            table, RowBlock(first.row(0), first.cells[:1]), table.names["time"], chosen.time_unit
        )[0]
        self._learn_words(table, first.cells)
        if not table.kind and "kind" not in table.names:
            table.kind = self._kind_told(table, first)
        if table.kind != TRADES and not table.levels and "side" not in table.names:
            what = f"no column of the side among {', '.join(table.columns)[:160]}"
            raise table.place.broken(what, Sentence("give {side_column}, or {trade_files}"), 1)
        return table

    def _learn_words(self, table: _Table, first: pl.DataFrame) -> None:
        """A boolean's meaning follows from its column's name."""
        found = {
            name: {text.lower() for text in first[table.names[name]].unique().to_list()}
            for name in ("kind", "side", "maker")
            if name in table.names
        }
        if "kind" in found:
            self._learn_kinds(table, found["kind"])
        if "side" in found:
            table.words["side"] = self._sides(table, found["side"])
        if "maker" in found:
            column = table.names["maker"]
            side = side_of_true(column, is_maker=True)
            if not side:
                what = f"{column} does not say whose order was the maker's"
                raise table.place.broken(what, Sentence("give {side_column} and {side_words}"), 1)
            table.words["maker"] = {"": 0, "null": 0, **flags_by({True: side, False: -side})}
            table.said.append(f"true of {column} is a {'buying' if side > 0 else 'selling'} aggressor")

    def _learn_kinds(self, table: _Table, found: set[str]) -> None:
        given, column = self._given["kind"], table.names["kind"]
        if self._columns.order_id:
            table.words["kind"] = {**order_table.KINDS, **given}
            return
        if table.kind or not are_flags(found) or found - {""} <= given.keys():
            if self._columns.kind is None and not table.kind:  # a usual name, but not of a boolean
                del table.names["kind"]
            table.words["kind"] = {**_KINDS, **given}
            return
        whole = true_is_whole_book(column)
        if whole is None:
            what = f"{column} holds {', '.join(sorted(found))}: its name does not tell whether true is a whole book"
            raise table.place.broken(
                what, Sentence("give {kind_words} true=snapshot,false=change, or the other way round"), 1
            )
        kinds = {whole: SNAPSHOT, not whole: CHANGE}
        table.words["kind"] = {**flags_by(kinds), **given}
        table.said.append(
            f"true of {column} is a {kinds[True]}, false a {kinds[False]} ({parameter('kind_words')} says otherwise)"
        )

    def _sides(self, table: _Table, found: set[str]) -> dict[str, Any]:
        given, column = self._given["side"], table.names["side"]
        words = {**dict.fromkeys(_UNKNOWN_SIDES, 0), **_SIDES, **given}
        if not are_flags(found) or found - {""} <= given.keys():
            return words
        side = side_of_true(column)
        if not side:
            what = f"{column} holds {', '.join(sorted(found))}: its name does not tell which side that is"
            raise table.place.broken(what, Sentence("give {side_words}, such as 1=bid,0=ask"), 1)
        table.said.append(f"true of {column} is {'bid or buy' if side > 0 else 'ask or sell'}")
        return {"": 0, **flags_by({True: side, False: -side}), **given}

    def _kind_told(self, table: _Table, first: RowBlock) -> str:
        if "maker" in table.names and "side" not in table.names:
            return TRADES
        words = (
            {text.lower() for text in first.cells[table.names["side"]].to_list()} if "side" in table.names else set()
        )
        if "side" not in table.names:
            what = f"no column {self._columns.side or 'of the side'} among {', '.join(table.columns)[:160]}"
            way_out = Sentence(
                "give {side_column} (of several names with commas a file's first one counts), or {trade_files}"
            )
            raise table.place.broken(what, way_out, 1)
        if are_flags(words):
            words = set(re.findall("bid|ask|buy|sell", table.names["side"].lower()))
        if bool(words & _BOOK_WORDS) != bool(words & _TRADE_WORDS):
            return CHANGES if words & _BOOK_WORDS else TRADES
        what = f"whether its rows are trades, changes of levels or whole books cannot be told from {sorted(words)[:6]}"
        raise table.place.broken(
            what, Sentence("give {trade_files}, {change_files} or {book_files}, or {kind_column}"), 1
        )

    def _check_named(self) -> None:
        for option in fields(self._columns):
            named = getattr(self._columns, option.name)
            if named and option.name in _NAMED and not any(option.name in table.names for table in self._tables):
                columns = ", ".join(self._tables[0].columns)[:160]
                way_out = Sentence("correct {}", parameter(f"{option.name}_column"))
                raise self._tables[0].place.broken(f"no file has a column {named}; here are {columns}", way_out, 1)

    def _column(self, table: _Table, name: str) -> str | None:
        named = getattr(self._columns, name)
        usual = _ORDER_KINDS if name == "kind" and self._columns.order_id else _NAMES.get(name, ())
        candidates = named.split(",") if named else usual
        return next((column for column in candidates if column in table.columns), None)

    def _level_columns(self, table: _Table) -> Sequence[str]:
        for pattern in [self._columns.levels] if self._columns.levels else _LEVELS:
            parts = pattern.split(",")
            if len(parts) not in (2, 4):
                raise UsageError("{levels} {!r} must be four columns, such as {}, or two of pairs", pattern, _LEVELS[0])
            if "{n}" not in pattern:
                if all(part in table.columns for part in parts):
                    return parts
                continue
            first = 0 if all(part.replace("{n}", "0") in table.columns for part in parts) else 1
            names: list[str] = []
            for number in range(first, first + _MOST_STEPS):
                columns = [part.replace("{n}", str(number)) for part in parts]
                if not all(column in table.columns for column in columns):
                    break
                names += columns
            if names:
                return names
        return ()

    def _ids_count(self) -> bool:
        steps = ascending = 0
        last = None
        tables = [table for table in self._tables if table.kind == TRADES and "id" in table.names]
        if not tables or any(not table.kind for table in self._tables):
            return False
        for table in sorted(tables, key=lambda table: table.first_us):
            for block in self._blocks_of(table):
                numbers = block.cells[table.names["id"]].cast(pl.Int64, strict=False)
                if numbers.null_count():
                    return False
                every = ([last] if last is not None else []) + numbers.to_list()
                for before, after in pairwise(every):
                    if after < before:
                        return False
                    steps += 1
                    ascending += after - before <= 1
                last = every[-1] if every else last
        return ascending >= COUNTING * steps

    def _blocks_of(self, table: _Table) -> Iterator[RowBlock]:
        symbols = self.place.symbols.copy()
        yield from self._blocks(table)
        self.place.symbols.clear()
        self.place.symbols.update(symbols)


def _whole_times(blocks: Iterator[RowBlock], column: str) -> Iterator[RowBlock]:
    """Blocks end with a time, as rows of one time are one message."""
    held: RowBlock | None = None
    for part in blocks:
        block = part
        if held is not None:
            block = RowBlock(0, pl.concat([held.cells, part.cells]), [*held.rows, *part.rows])
        other = (block.cells[column] != block.cells[column][-1]).to_numpy().nonzero()[0]
        end = int(other[-1]) + 1 if len(other) else 0
        if end:
            yield RowBlock(0, block.cells[:end], list(block.rows[:end]))
        held = RowBlock(0, block.cells[end:], list(block.rows[end:]))
    if held is not None and held.cells.height:
        yield held


def _opened(path: Path) -> _Table:
    place = FilePlace(path)
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == _PARQUET
    except OSError as error:
        raise BrokenFile(f"{path}: cannot be read ({error.strerror}); give the path of a file") from error
    if not is_parquet:
        return _Table(path, CsvTable(path).columns, lambda moved: iter(CsvTable(path, moved)), place)
    try:
        schema = pq.ParquetFile(path).schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise BrokenFile(f"{path}:1: not a whole Parquet file ({error}); {COPY_AGAIN}") from error
    return _Table(path, schema.names, lambda moved: _parquet_blocks(path, moved), place, types=Types.of(schema))


def _parquet_blocks(path: Path, moved: BytesRead) -> Iterator[RowBlock]:
    """Numbers become shortest exact decimals, instants in ns numbers."""
    row = 1
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
        lists = any(pa.types.is_nested(column.type) for column in file.schema_arrow)
        for batch in file.iter_batches(_BOOKS_AT_ONCE if lists else _ROWS_AT_ONCE, use_threads=False):
            frame = pl.from_arrow(pa.Table.from_batches([batch]))
            assert isinstance(frame, pl.DataFrame)
            yield RowBlock(row, frame.select(_as_text(frame[name]) for name in frame.columns))
            row += frame.height
            moved(int(path.stat().st_size * min((row - 1) / max(file.metadata.num_rows, 1), 1)))
    except (pa.ArrowException, OSError) as error:
        raise BrokenFile(f"{path}:{row}: not a whole Parquet file ({error}); {COPY_AGAIN}") from error


def _as_text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.epoch("ns").cast(pl.String).fill_null("")
    if column.dtype in (pl.List, pl.Array, pl.Struct):
        column = shortest(column)
        return pl.Series(column.name, [json.dumps(value, default=str) for value in column.to_list()], pl.String)
    return column.cast(pl.String).fill_null("")


def _instants(table: _Table, block: RowBlock, column: str, stated: str | None) -> list[int]:
    text = block.cells[column]
    if text.str.contains(r"^\d[\d.]*[eE]").any():
        text = text.map_elements(plain_decimal, pl.String)
    unit = table.units.get(column) or stated or unit_of(text[0])
    table.types.check_times(block, column, unit, table.place)
    check_written(block, column, unit, table.place)
    if not unit:
        what = f"{column} is {text[0]!r}, neither a Unix time nor an ISO 8601 instant"
        raise table.place.broken(what, Sentence("give {time_column} and {time_unit}"), block.row(0))
    table.units[column] = unit
    instants = instants_us(text, unit)
    if instants.null_count():
        at = instants.is_null().arg_max() or 0
        what = f"{column} is {text[at]!r}, not a time in {unit}"
        raise table.place.broken(what, Sentence("correct the row, or give {time_unit}"), block.row(at))
    return instants.to_list()


@lru_cache(maxsize=1 << 16)
def _decimal(text: str) -> str:
    """Without exponent or binary noise (0.30000000000000004)."""
    text = plain_decimal(text)
    if len(text) - text.find(".") - 1 > 8 and "." in text:
        try:
            exact = Decimal(text)
            rounded = exact.quantize(_CENT)
        except InvalidOperation:
            return text
        if rounded and abs(rounded - exact) <= abs(exact) * _NOISE:
            return f"{rounded.normalize():f}"
    return text


def _check_digits(table: _Table, block: RowBlock, price: tuple[str, list[str]], qty: tuple[str, list[str]]) -> None:
    """Raise BrokenFile for prices and ids that their type cannot hold, and keep a note of such quantities."""
    table.types.check_prices(block, *price, table.place)
    if lost := table.types.loses_qty(*qty):
        table.lossy.setdefault(qty[0], lost)
    if "id" in table.names:
        table.types.check_ids(block, table.names["id"], table.place)


def _levels_of(cells: Sequence[str]) -> tuple[list[Level], list[Level]]:
    rows: list[tuple[str, str, int]] = []
    if len(cells) == 2:
        for side, cell in enumerate(cells):
            rows += [(str(price), str(qty), side) for price, qty, *_ in _list_of(cell)]
    elif any(cell.startswith(_LISTS) for cell in cells[:4]):
        bids, bid_qtys, asks, ask_qtys = ([str(text) for text in _list_of(cell)] for cell in cells)
        for side, levels in enumerate((zip(bids, bid_qtys, strict=True), zip(asks, ask_qtys, strict=True))):
            rows += [(price, qty, side) for price, qty in levels]
    else:
        for first in range(0, len(cells), 4):
            bid, bid_size, ask, ask_size = cells[first : first + 4]
            rows.append((bid, bid_size, 0))
            rows.append((ask, ask_size, 1))
    sides: tuple[list[Level], list[Level]] = [], []
    for price, qty, side in rows:
        if price.lower() not in _NONE and qty.lower() not in _NONE:
            sides[side].append((_decimal(price), _decimal(qty)))
    return sides


def _list_of(cell: str) -> list[Any]:
    if cell.strip().lower() in _NONE:
        return []
    try:
        content = json.loads(cell, parse_float=str, parse_int=str)
    except ValueError:
        text = _NAMED_NUMBER.sub(r"\1", cell).translate(_BRACKETS)
        if "," not in text:
            text = re.sub(r"(?<=[\d.\]])\s+(?=[\d\[])", ",", text)
        content = json.loads(_OPEN_COMMA.sub("]", _BARE_POINT.sub(r"\1.0", text)), parse_float=str, parse_int=str)
    return list(content.items()) if isinstance(content, dict) else content


def _messages(table: _Table, rows: Iterator[_Row], stamps: Stamps) -> Iterator[TimedEvent]:
    # Best prices of several instants may have been received at once; the last ones are the best.
    key = itemgetter(0, 1, 4) if table.kind == BESTS else itemgetter(0, 1, 2)
    for (recv_us, kind, _), group in groupby(rows, key=key):
        every = list(group)
        stamps.add(recv_us, len(every), len(every) - len({(row.side, row.price) for row in every}))
        bids, asks = ([(row.price, row.qty) for row in every if row.side == side] for side in (1, -1))
        last = every[-1]
        event = WholeBook(bids, asks, last.exch_us) if kind == SNAPSHOT else LevelChanges(last.exch_us, bids, asks)
        yield recv_us, 1, (table.path, every[0].row), event


def _told(table: _Table) -> str:
    kind = table.kind or f"kinds of {table.names['kind']}"
    said = "".join(f"; {sentence}" for sentence in table.said)
    units = ", ".join(f"{name} in {unit}" for name, unit in table.units.items())
    others = ", ".join(f"{name} {column}" for name, column in table.names.items() if column not in table.units)
    first = f"{units} (first {iso(table.first_us)})"
    return f"{table.path.name} was read as {kind}: {first}{'; ' if others else ''}{others}{said}"


def _letters(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper())

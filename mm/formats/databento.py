"""Databento in the schema MBO (market by order), as CSV or DBN: messages and an order log for the import.

Orders are added, modified, cancelled and cleared; a level is the sum of the orders at its price. Trades and fills
change no level, as a cancel follows each fill. The book is valid only after an event's last record (F_LAST); successive
snapshot records (F_SNAPSHOT) are a whole book. The receive time is ``ts_recv``. Times are ns or ISO 8601, prices 1e-9
or decimals, as chosen in the download.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from mm.clock import us_of
from mm.errors import UsageError
from mm.formats.dbn import dbn_blocks
from mm.formats.event_columns import EventColumns, Prints, Records, Texts
from mm.formats.events import BytesRead, TimedEvent
from mm.formats.feed import FileReader
from mm.formats.orders import HOLE, OP, Commands, OrderRecords, log_us
from mm.formats.tables import COPY_AGAIN, CsvTable, RowBlock, file_of, one_of, whole_column
from mm.instrument import E8, decimal_text
from mm.market_data.captures import BookLoss, FilePlace
from mm.market_data.stamps import FAR_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

F_LAST, F_TOB, F_SNAPSHOT, F_BAD_TS_RECV, F_MAYBE_BAD_BOOK = 128, 64, 32, 8, 4
NO_PRICE = 2**63 - 1
_NEEDED = ("ts_recv", "ts_event", "action", "side", "price", "size", "order_id", "flags")
_SIDES = {"A": -1, "B": 1, "N": 0}
_ADD, _MODIFY, _CANCEL, _CLEAR, _TRADE, _FILL, _NONE, _WHOLE = range(8)
_ACTIONS = {"A": _ADD, "C": _CANCEL, "M": _MODIFY, "R": _CLEAR, "T": _TRADE, "F": _FILL, "N": _NONE}
_OPS = np.array([OP[name] for name in ("add", "modify", "cancel", "clear", "trade", "fill", "nothing", "whole")])
_WAY_OUT = "request the schema mbo as CSV, with its header"


class _Record(NamedTuple):
    row: int
    recv_us: int
    exch_us: int
    action: int
    side: int
    price: int
    size: int
    order_id: int
    flags: int
    snapshot: bool
    ends: bool


_NO_RECORDS = pl.DataFrame(schema=dict.fromkeys(_Record._fields[:-2], pl.Int64))


class DatabentoReader(FileReader):
    """Yield the events of one instrument in one or more files, in the given order.

    The symbol is in the column ``symbol``; without it a file must have one instrument. It may begin within a session.

    Raises:
        BrokenFile: If a file is not such a table, has an invalid row, or several instruments or venues.
    """

    grows = True

    def __init__(self, paths: Sequence[Path], symbol: str, moved: BytesRead = lambda _: None) -> None:
        super().__init__(paths, symbol, moved)
        self.orders = self._kept = OrderRecords(price_e8=Fraction(1, 10), qty_e8=Fraction(E8))
        self._alone: dict[str, Any] = {}
        self._last_us = self._doubtful = 0
        self._replay: _Record | None = None  # the last record of an unfinished snapshot

    def _streams(self) -> "list[Iterator[TimedEvent | EventColumns]]":
        return [self._records()]

    def _records(self) -> "Iterator[TimedEvent | EventColumns]":
        for path in self._paths:
            self._at.path, self._at.number = path, 0
            for block in self._blocks(path):
                if block.height:  # all of a block may be of other instruments
                    yield from self._events(block)
            if self._replay is not None:
                yield from self._events(_NO_RECORDS, end=True)
        if self._doubtful:
            self.notes.append(f"{self._doubtful:,} records are marked as a book that may be bad (F_MAYBE_BAD_BOOK)")

    def _blocks(self, path: Path) -> Iterator[pl.DataFrame]:
        if _is_dbn(path):
            for frame in dbn_blocks(path, self._symbol, self._at, self._progress(path)):
                yield self._checked(self._spelt(frame))
            return
        table = CsvTable(path, self._progress(path))
        lacks = [name for name in _NEEDED if name not in table.columns]
        if lacks:
            what = f"the header has no {', '.join(lacks)}: {','.join(table.columns)[:120]}"
            raise self._at.broken(what, _WAY_OUT, 1)
        yield from map(self._checked, map(self._ours, table))

    def _spelt(self, frame: pl.DataFrame) -> pl.DataFrame:
        for column, words in (("action", _ACTIONS), ("side", _SIDES)):
            letters = frame[column].to_numpy()
            known = np.isin(np.arange(256), [ord(word) for word in words])[letters]
            if not known.all():
                at = int(known.argmin())
                what = f"{column} is {chr(letters[at])!r}, not {', '.join(words)}"
                raise self._at.broken(what, COPY_AGAIN, int(frame["row"][at]))
            codes = np.array([words.get(chr(letter), 0) for letter in range(256)])
            frame = frame.with_columns(pl.Series(column, codes[letters]))
        return frame

    def _ours(self, block: RowBlock) -> pl.DataFrame:
        place, cells = self._at, block.cells
        frame = pl.DataFrame(
            {
                "row": pl.arange(block.first_row, block.first_row + cells.height, eager=True),
                "recv_us": _instants(block, "ts_recv", place),
                "exch_us": _instants(block, "ts_event", place),
                "action": _letters(block, "action", _ACTIONS, place),
                "side": _letters(block, "side", _SIDES, place),
                "price": _prices(block, place),
                "size": whole_column(block, "size", place),
                "order_id": whole_column(block, "order_id", place, pl.UInt64()).reinterpret(signed=True),
                "flags": whole_column(block, "flags", place),
            }
        )
        ours = pl.repeat(True, cells.height, eager=True)
        if "symbol" in cells.columns and (cells["symbol"] == self._symbol).all():
            place.symbols[self._symbol] += 1
        elif "symbol" in cells.columns:
            names = cells["symbol"].str.to_uppercase()
            place.symbols.update(names.unique().to_list())
            ours = names == self._symbol
        else:
            place.symbols[self._symbol] += 1
            self._check_alone(block, ours, "instrument_id", "request the column symbol (map_symbols)")
        self._check_alone(block, ours, "publisher_id", "request the records of one venue")
        return frame if ours.all() else frame.filter(ours)

    def _check_alone(self, block: RowBlock, ours: pl.Series, column: str, way_out: str) -> None:
        if column not in block.cells.columns or (block.cells[column] == self._alone.get(column, "")).all():
            return
        for value in block.cells[column].filter(ours).unique(maintain_order=True).to_list():
            if self._alone.setdefault(column, value) != value:
                at = block.first_row + ((block.cells[column].eq(value) & ours).arg_max() or 0)
                what = f"{column} is {value}, but {self._alone[column]} in earlier rows"
                raise self._at.broken(what, f"{way_out}, or remove the other rows", at)

    def _checked(self, frame: pl.DataFrame) -> pl.DataFrame:
        adds = frame["action"].is_in([_ADD, _MODIFY])
        top = (frame["flags"] & F_TOB) > 0
        sideless = adds & (frame["side"] == 0)
        if sideless.any():
            row = frame.row(sideless.arg_max() or 0, named=True)
            what = f"action {'AM'[row['action']]} has no side"
            raise self._at.broken(what, COPY_AGAIN, row["row"])
        empty = adds & ~top & ((frame["price"] == NO_PRICE) | (frame["size"] == 0))
        if empty.any():
            row = frame.row(empty.arg_max() or 0, named=True)
            price = "none" if row["price"] == NO_PRICE else _text(row["price"])
            what = f"price {price}, size {row['size']} are not valid for an order"
            raise self._at.broken(what, COPY_AGAIN, row["row"])
        return frame

    def _events(self, frame: pl.DataFrame, *, end: bool = False) -> "Iterator[TimedEvent | EventColumns]":
        path, records = self._at.path, self._with_ends(frame, end=end)
        column = {name: records[name].to_numpy() for name in records.columns}
        us, row, exch_us = self._received(column), column["row"], column["exch_us"]
        op, price, lots = _commands(column)
        side = column["side"].astype(np.int8)
        times, ends = log_us(us, exch_us), column["ends"].astype(np.int8)
        commands = Commands(times, op, column["order_id"], side, price, lots, ends, row)
        self._doubtful += int(np.count_nonzero(column["flags"] & F_MAYBE_BAD_BOOK))
        for part, lost in self._kept.parts(path, commands):
            if lost:
                yield int(us[part.start]), 0, (path, int(row[part.start])), BookLoss(HOLE, unseen=True)
            played = commands.part(part)
            at = np.flatnonzero((played.op == OP["trade"]) & (played.price > 0))
            number = np.where(played.lots[at] > 0, self._kept.trades + np.cumsum(played.lots[at] > 0), 0)
            prints = Prints(at, column["side"][part][at], played.price[at], played.lots[at], number)
            messages = self._kept.play(path, played)
            events = EventColumns.of(
                Records(path, us[part], exch_us[part], played.row), prints, messages, Texts(_text, str)
            )
            if len(events):
                yield events

    def _with_ends(self, frame: pl.DataFrame, *, end: bool) -> pl.DataFrame:
        last = pl.DataFrame([self._replay]) if self._replay is not None else None
        frame = frame.with_columns(
            snapshot=(pl.col("flags") & F_SNAPSHOT) > 0,
            ends=((pl.col("flags") & F_LAST) > 0) & ((pl.col("flags") & F_SNAPSHOT) == 0),
        )
        snapshot = frame["snapshot"].to_numpy()
        before = np.append(last is not None, snapshot[:-1]) if len(snapshot) else snapshot
        over = np.flatnonzero(before & ~snapshot)
        parts, begin = [], 0
        for at in [*over.tolist(), *([frame.height] if end else [])]:
            parts.append(frame[begin:at])
            part = frame[at - 1 : at] if at > begin or last is None else last.select(frame.columns)
            parts.append(part.with_columns(action=pl.lit(_WHOLE, frame.schema["action"]), ends=pl.lit(True)))
            begin = at
        parts.append(frame[begin:])
        whole = pl.concat([part.select(frame.columns).cast(frame.schema) for part in parts])
        self._replay = None
        if not end and len(snapshot) and snapshot[-1]:
            self._replay = _Record(**frame.row(frame.height - 1, named=True))
        elif not end and not len(snapshot) and last is not None:
            self._replay = _Record(**last.row(0, named=True))
        return whole

    def _received(self, column: "dict[str, NDArray[np.int64]]") -> "NDArray[np.int64]":
        stamp = column["recv_us"]
        bad = (column["flags"] & F_BAD_TS_RECV) > 0
        if not bad.any():
            self._last_us = int(stamp[-1])
            return stamp
        group = np.cumsum(~bad)
        first = np.where(group == 0, np.maximum(stamp, self._last_us), stamp)
        us = (
            pl.DataFrame({"us": first, "group": group})
            .select(pl.col("us").cum_max().over("group"))
            .to_series()
            .to_numpy()
        )
        before = np.append(self._last_us, us[:-1])
        for at in np.flatnonzero(bad & (before - stamp > FAR_US)).tolist():
            self._raised.note(f"{self._at.path.name}:{column['row'][at]}", int(stamp[at]), int(before[at]))
        self._last_us = int(us[-1])
        return us


def _commands(
    column: "dict[str, NDArray[np.int64]]",
) -> "tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]":
    action, flags = column["action"], column["flags"]
    price = np.where(column["price"] == NO_PRICE, 0, column["price"])
    op = _OPS[action]
    adds = (action == _ADD) | (action == _MODIFY)
    op = np.where(adds & ((flags & F_TOB) > 0), OP["top"], op)
    in_snapshot = column["snapshot"] & (action != _WHOLE)
    begins = np.where(action == _CLEAR, OP["anew"], OP["nothing"])
    op = np.where(in_snapshot, np.where(adds, OP["snapshot"], begins), op)
    op = np.where((action == _TRADE) & (price == 0), OP["nothing"], op)
    return op.astype(np.int8), price, column["size"]


@lru_cache(maxsize=1 << 16)
def _text(price_e9: int) -> str:
    text = decimal_text(price_e9, 9)
    return text[:-1] if text.endswith("0") else text


def _is_dbn(path: Path) -> bool:
    with file_of(path) as file:
        head = file.read(4)
    return head.startswith(b"DBN") or path.name.endswith((".dbn", ".dbn.zst"))


def _letters(block: RowBlock, column: str, words: dict[str, int], place: FilePlace) -> pl.Series:
    numbers = block.cells[column].replace_strict(words, default=None, return_dtype=pl.Int64)
    if numbers.null_count():
        one_of(block, column, words, place)
    return numbers


def _prices(block: RowBlock, place: FilePlace) -> pl.Series:
    text = block.cells["price"]
    numbers = text.cast(pl.Int64, strict=False)
    if numbers.null_count():
        text = text.replace("", str(NO_PRICE))
        numbers = text.cast(pl.Int64, strict=False)
    if not numbers.null_count():
        return numbers
    whole = numbers.is_not_null()
    parts = pl.DataFrame({"text": text}).select(
        pl.col("text").str.extract(r"^(-?\d{1,9})\.\d{1,9}$").cast(pl.Int64, strict=False).alias("head"),
        pl.col("text").str.extract(r"^-?\d{1,9}\.(\d{1,9})$").str.pad_end(9, "0").cast(pl.Int64, strict=False),
        pl.col("text").str.starts_with("-").alias("negative"),
    )
    decimals = (
        parts["head"] * 10**9
        + pl.select(pl.when(parts["negative"]).then(-parts["text"]).otherwise(parts["text"])).to_series()
    )
    found = numbers.zip_with(whole, decimals)
    if found.null_count():
        at = found.is_null().arg_max() or 0
        raise place.broken(f"price is {text[at]!r}, neither a decimal nor 1e-9", COPY_AGAIN, block.row(at))
    return found


def _instants(block: RowBlock, column: str, place: FilePlace) -> pl.Series:
    text = block.cells[column]
    numbers = text.cast(pl.Int64, strict=False)
    if not numbers.null_count():
        return numbers // 1_000
    if text[0].isdigit() and len(text[0]) > len("2024-03-05"):
        at = numbers.is_null().arg_max() or 0
        raise place.broken(f"{column} is {text[at]!r}, not a number of ns", COPY_AGAIN, block.first_row + at)
    instants = []
    for row, stamp in enumerate(text.to_list(), block.first_row):
        head, _, fraction = stamp.removesuffix("Z").partition(".")
        try:
            instants.append(us_of(f"{head}.{fraction[:6]:0<6}+00:00"))
        except (UsageError, ValueError) as error:
            raise place.broken(f"{column} is {stamp!r}, neither ns nor ISO 8601", COPY_AGAIN, row) from error
    return pl.Series(column, instants, pl.Int64)

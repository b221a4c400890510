"""hftbacktest's event arrays, versions 2 and 1, as messages for the import."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from mm.clock import MS_BELOW
from mm.errors import BrokenFile
from mm.formats.event_columns import EventColumns, Prints, Records, Texts
from mm.formats.events import BookEdits, BytesRead, FileEvent, FileTrade, LevelChanges, TimedEvent
from mm.formats.feed import FileReader, finer_way_out
from mm.formats.orders import OP, Commands, OrderRecords, log_us
from mm.formats.tables import COPY_AGAIN, file_of
from mm.instrument import E8, short_text
from mm.markets.local_orderbook import Level

DEPTH_EVENT, TRADE_EVENT, CLEAR_EVENT, SNAPSHOT_EVENT, BBO_EVENT = 1, 2, 3, 4, 5
ADD_ORDER, CANCEL_ORDER, MODIFY_ORDER, FILL_ORDER = 10, 11, 12, 13
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
EVENT = np.dtype(
    [
        *(("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8")),
        *(("order_id", "<u8"), ("ival", "<i8"), ("fval", "<f8")),
    ]
)
"""A row of version 2."""
_NEEDED = ("ev", "exch_ts", "local_ts", "px", "qty")
_ORDERS = range(10, 14)
_USER_EVENTS = 100
_ROWS_AT_ONCE = 1 << 16
_KNOWN = (DEPTH_EVENT, TRADE_EVENT, CLEAR_EVENT, SNAPSHOT_EVENT)
_WAY_OUT = "give a file that hftbacktest can read"
_NO_NUMBER = -1
_ORDER_OPS = np.full(16, OP["nothing"])
_ORDER_OPS[[TRADE_EVENT, CLEAR_EVENT, ADD_ORDER, CANCEL_ORDER, MODIFY_ORDER, FILL_ORDER]] = [
    OP[name] for name in ("trade", "clear", "add", "cancel", "modify", "fill")
]


class _LocalRows(NamedTuple):
    number: list[int]
    kind: list[int]
    side: list[int]
    exch_us: list[int]
    recv_us: list[int]
    price_e8: list[int]
    qty_e8: list[int]


class HftbacktestReader(FileReader):
    grows = True  # as in hftbacktest
    scales = True

    def __init__(self, paths: Sequence[Path], symbol: str, moved: BytesRead = lambda _: None) -> None:
        super().__init__(paths, symbol, moved)
        self.orders = self._kept = OrderRecords(price_e8=Fraction(1), qty_e8=Fraction(1))
        self._by_order = False
        self._left_out: Counter[str] = Counter()
        self._timeless = 0

    def _streams(self) -> Sequence[Iterator[TimedEvent | EventColumns]]:
        return [self._all_events()]

    def _all_events(self) -> Iterator[TimedEvent | EventColumns]:
        for path in self._paths:
            self._at.path, self._at.number = path, 0
            parts = self._arrays(path)
            first = next(parts, None)
            whole = chain([first] if first is not None else (), parts)
            if self._by_order or (first is not None and _has_orders(first[1])):
                self._by_order = True
                yield from self._single_orders(path, whole)
            else:
                yield from self._events(self._local_rows(whole))
        self.notes += [f"{count:,} {what} were left out" for what, count in self._left_out.items()]
        if self._timeless:
            self.notes.append(f"{self._timeless:,} rows have no receive time: they count with the next one")

    def _events(self, blocks: Iterator[_LocalRows]) -> Iterator[TimedEvent]:
        steps: list[tuple[int, str | None, str | None]] = []
        at, plain, snapshot, last_us = (0, 0), True, False, 0
        for rows in blocks:
            for number, kind, side, exch_us, recv_us, price_e8, qty_e8 in zip(*rows, strict=True):
                if steps and at[0] > 0 and (at != (recv_us, exch_us) or kind == TRADE_EVENT):
                    yield (
                        at[0],
                        0,
                        (self._at.path, self._at.number),
                        _message(at[1], steps, plain=plain, snapshot=snapshot),
                    )
                    steps = []
                self._at.number = number
                if recv_us > 0 and steps and at[0] == 0:  # a snapshot without a time is the initial book
                    yield recv_us, 0, (self._at.path, number), _message(exch_us, steps, plain=plain, snapshot=snapshot)
                    steps = []
                if kind == TRADE_EVENT:
                    yield recv_us, 0, (self._at.path, number), FileTrade(exch_us, _text(price_e8), _text(qty_e8), side)
                    continue
                self._timeless += recv_us == 0 and last_us > 0
                last_us = max(last_us, recv_us)
                if not steps:
                    at, plain, snapshot = (recv_us, exch_us), True, False
                if kind == CLEAR_EVENT:
                    plain = False
                    steps.append((side, None if price_e8 < 0 else _text(price_e8), None))
                    continue
                snapshot |= kind == SNAPSHOT_EVENT
                steps.append((side, _text(price_e8), _text(qty_e8)))
        if steps:
            yield at[0], 0, (self._at.path, self._at.number), _message(at[1], steps, plain=plain, snapshot=snapshot)

    def _single_orders(self, path: Path, parts: "Iterable[tuple[int, NDArray[np.generic]]]") -> Iterator[EventColumns]:
        held, next_row = np.empty(0, EVENT), 1
        for first, array in parts:
            rows = np.concatenate((held, _structured(array).astype(EVENT)))
            stamps = rows[["exch_ts", "local_ts"]]
            end = int(np.flatnonzero(stamps != stamps[-1])[-1]) + 1 if (stamps != stamps[-1]).any() else 0
            yield from self._orders_of(path, first - len(held), rows[:end])
            held, next_row = rows[end:], first + len(array)
        yield from self._orders_of(path, next_row - len(held), held)

    def _orders_of(self, path: Path, first: int, rows: "NDArray[np.void]") -> Iterator[EventColumns]:
        code, flags = (rows["ev"] & 0xFF).astype(np.int64), rows["ev"]
        seen = _is_local(flags)
        levels = seen & np.isin(code, (DEPTH_EVENT, SNAPSHOT_EVENT))
        if levels.any():
            at = int(levels.argmax())
            raise self._at.broken(
                f"event {code[at]} is of levels, and others are of single orders", _WAY_OUT, first + at
            )
        places = np.flatnonzero(seen & (np.isin(code, _ORDERS) | np.isin(code, (TRADE_EVENT, CLEAR_EVENT))))
        if not len(places):
            return
        self.place.symbols[self._symbol] += len(places)
        rows, code = rows[places], code[places]
        clears = code == CLEAR_EVENT
        side = np.where(rows["ev"] & BUY, 1, np.where(rows["ev"] & SELL, -1, 0))
        price, off, _ = _e8_of(rows["px"] * self.price_scale)
        lots, _, strange = _e8_of(rows["qty"])
        named = np.isin(code, (ADD_ORDER, MODIFY_ORDER, FILL_ORDER))
        self._refuse(first, places, (off | (price <= 0)) & (named | (code == TRADE_EVENT)), rows["px"], "px")
        self._refuse(first, places, (strange | (lots < 0)) & ~clears, rows["qty"], "qty")
        self._refuse(first, places, (lots == 0) & (code == ADD_ORDER), rows["qty"], "qty")
        sideless = (side == 0) & np.isin(code, (ADD_ORDER, MODIFY_ORDER))
        self._refuse(first, places, sideless, rows["ev"], "ev, which must name a side (BUY or SELL),")
        recv_us, exch_us = _us(rows["local_ts"]), _us(rows["exch_ts"])
        op = _ORDER_OPS[code]
        op = np.where((code == CANCEL_ORDER) & (lots == 0), OP["delete"], op).astype(np.int8)
        ends = np.append((np.diff(recv_us) != 0) | (np.diff(exch_us) != 0), True)
        number = rows["order_id"].astype(np.uint64).view(np.int64)
        row = places + first
        times, sides = log_us(recv_us, exch_us), side.astype(np.int8)
        commands = Commands(times, op, number, sides, price, lots, ends.astype(np.int8), row)
        of = np.flatnonzero((code == TRADE_EVENT) & (lots > 0))
        prints = Prints(of, side[of], price[of], lots[of], self._kept.trades + 1 + np.arange(len(of)))
        messages = self._kept.play(path, commands)
        yield EventColumns.of(Records(path, recv_us, exch_us, row), prints, messages, Texts(_text, _text))

    def _local_rows(self, parts: "Iterable[tuple[int, NDArray[np.generic]]]") -> Iterator[_LocalRows]:
        for first, array in parts:
            cells = _structured(array)
            code, flags = (cells["ev"] & 0xFF).astype(np.int64), cells["ev"]
            if np.isin(code, _ORDERS).any():
                row = first + int(np.isin(code, _ORDERS).argmax())
                what = f"event {code[row - first]} is of single orders, and the rows before are of levels"
                raise self._at.broken(what, "give the orders and the levels as files of two days", row)
            seen = _is_local(flags)
            for what, rows in (
                ("rows of best prices only (BBO)", seen & (code == BBO_EVENT)),
                ("rows of user events", seen & (code > _USER_EVENTS)),
            ):
                if rows.any():
                    self._left_out[what] += int(rows.sum())
            taken = seen & np.isin(code, _KNOWN)
            strange = seen & ~taken & (code != BBO_EVENT) & (code <= _USER_EVENTS)
            if strange.any():
                row = first + int(strange.argmax())
                raise self._at.broken(f"{code[row - first]} is not an event of hftbacktest", _WAY_OUT, row)
            places = np.flatnonzero(taken)
            if len(places):
                self.place.symbols[self._symbol] += len(places)
                yield self._checked(first, places, code[places], cells[places])

    def _checked(
        self, first: int, places: NDArray[np.intp], code: NDArray[np.int64], cells: NDArray[np.void]
    ) -> _LocalRows:
        side = np.where(cells["ev"] & BUY, 1, np.where(cells["ev"] & SELL, -1, 0))
        clears = code == CLEAR_EVENT
        price_e8, wrong, _ = _e8_of(cells["px"] * self.price_scale)
        whole_side = clears & ((side == 0) | ~np.isfinite(cells["px"]))
        wrong &= ~whole_side
        wrong |= ~clears & (price_e8 <= 0)
        self._refuse(first, places, wrong, cells["px"], "px")
        qty_e8, _, strange = _e8_of(cells["qty"])
        self._refuse(first, places, (strange | (qty_e8 < 0)) & ~clears, cells["qty"], "qty")
        sideless = (side == 0) & np.isin(code, (DEPTH_EVENT, SNAPSHOT_EVENT))
        self._refuse(first, places, sideless, cells["ev"], "ev, which must name a side (BUY or SELL),")
        price_e8[whole_side] = _NO_NUMBER
        columns = code, side, _us(cells["exch_ts"]), _us(cells["local_ts"]), price_e8, qty_e8
        return _LocalRows((places + first).tolist(), *(column.tolist() for column in columns))

    def _refuse(
        self, first: int, places: NDArray[np.intp], wrong: NDArray[np.bool_], cells: NDArray[np.generic], name: str
    ) -> None:
        if wrong.any():
            at = int(wrong.argmax())
            way_out = _WAY_OUT
            if name == "px" and cells[at] > 0:
                way_out = finer_way_out(len(f"{Decimal(repr(float(cells[at]))):f}".partition(".")[2])) or _WAY_OUT
            raise self._at.broken(
                f"{name} is {cells[at]}, which is not a valid value", way_out, first + int(places[at])
            )

    def _arrays(self, path: Path) -> Iterator[tuple[int, NDArray[np.generic]]]:
        moved = self._progress(path)
        with ExitStack() as held:
            raw = held.enter_context(file_of(path))
            try:
                stream: IO[bytes] = raw
                if raw.peek(2)[:2] == b"PK":
                    packed = held.enter_context(zipfile.ZipFile(raw))
                    stream = held.enter_context(packed.open(_member(packed, path)))
                shape, dtype = self._head(stream, path)
                size, row = int(np.prod(shape[1:])) * dtype.itemsize, 1
                while row <= shape[0]:
                    count = min(_ROWS_AT_ONCE, shape[0] - row + 1)
                    data = stream.read(count * size)
                    if len(data) < count * size:
                        self._at.number = row + len(data) // size
                        raise self._at.broken(f"the file ends here, its header states {shape[0]:,} rows", COPY_AGAIN)
                    yield row, np.frombuffer(data, dtype).reshape(count, *shape[1:])
                    moved(raw.tell())
                    row += count
                moved(path.stat().st_size)
            except (zipfile.BadZipFile, zlib.error, TokenError, EOFError, ValueError, OSError) as error:
                where = self._at.number + 1
                raise BrokenFile(f"{path}:{where}: not a whole .npz or .npy ({error}); {COPY_AGAIN}") from error

    def _head(self, stream: IO[bytes], path: Path) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        first_version = dtype.names is None and len(shape) == 2 and shape[1] == 6 and dtype.kind == "f"
        second_version = dtype.names is not None and len(shape) == 1 and set(_NEEDED) <= set(dtype.names)
        if not (first_version or second_version) or (fortran and first_version):
            columns = f"columns {', '.join(dtype.names)}" if dtype.names else f"shape {shape} of {dtype}"
            raise BrokenFile(
                f"{path}:1: not events of hftbacktest: {columns}; version 2 has the columns {', '.join(_NEEDED)}, "
                f"version 1 six columns of floats, row by row; {_WAY_OUT}"
            )
        for name in _NEEDED if dtype.names else ("",):
            held = dtype[name] if name else dtype
            if held.itemsize < 8:  # single precision moves prices by ticks, and 32 bits hold no stamp
                what = f"{path}: {name or 'the array'} is {held}, which loses digits"
                raise BrokenFile(f"{what}; write it again from its source in 64 bits")
        return shape, dtype


def _has_orders(array: NDArray[np.generic]) -> bool:
    code = (_structured(array)["ev"] & 0xFF).astype(np.int64)
    of_book = code[np.isin(code, (*_ORDERS, DEPTH_EVENT, SNAPSHOT_EVENT))]
    return bool(len(of_book) and of_book[0] in _ORDERS)


@lru_cache(maxsize=1 << 18)
def _text(value_e8: int) -> str:
    return short_text(value_e8) or "0"


def _member(packed: zipfile.ZipFile, path: Path) -> str:
    names = [name for name in packed.namelist() if name.endswith(".npy")]
    if "data.npy" in names:
        return "data.npy"
    if len(names) != 1:
        raise BrokenFile(f"{path}: holds the arrays {', '.join(names) or 'none'}, and no 'data'; {_WAY_OUT}")
    return names[0]


def _structured(array: NDArray[np.generic]) -> NDArray[np.void]:
    if array.dtype.names is not None:
        return cast("NDArray[np.void]", array)
    table = cast("NDArray[np.float64]", array)
    code = np.where(table[:, 0] < 0, 0, table[:, 0]).astype(np.uint64)
    cells = np.zeros(len(table), EVENT)
    flags = np.where(table[:, 2] > 0, LOCAL, EXCH) | np.where(table[:, 3] > 0, BUY, np.where(table[:, 3] < 0, SELL, 0))
    cells["ev"] = code | flags.astype(np.uint64)
    for name, column in (("exch_ts", 1), ("local_ts", 2), ("px", 4), ("qty", 5)):
        cells[name] = table[:, column]
    return cells


def _us(stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """The size of a stamp tells ns, µs or ms."""
    return np.where(
        stamps >= MS_BELOW * 1_000, stamps // 1_000, np.where(stamps >= MS_BELOW, stamps, np.maximum(stamps, 0) * 1_000)
    )


def _e8_of(numbers: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Floats in 1e-8, and masks of those needing over eight places, and of those out of range."""
    scaled = np.where(np.isfinite(numbers) & (np.abs(numbers) < 1e10), numbers, np.nan) * E8
    nearest = np.rint(scaled)
    wrong = ~(np.abs(scaled - nearest) <= np.maximum(1e-3, 4 * np.spacing(np.abs(scaled))))
    strange = np.isnan(nearest)
    return np.where(strange, 0, nearest).astype(np.int64), wrong, strange


def _message(
    exch_us: int, steps: Sequence[tuple[int, str | None, str | None]], *, plain: bool, snapshot: bool
) -> FileEvent:
    if not plain or snapshot:
        return BookEdits(exch_us, steps, snapshot)
    levels = [cast("list[Level]", [step[1:] for step in steps if step[0] == side]) for side in (1, -1)]
    return LevelChanges(exch_us, levels[0], levels[1])


def _is_local(flags: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.bool_]:
    seen: NDArray[np.bool_] = ((flags & LOCAL) != 0) | ((flags & (LOCAL | EXCH)) == 0)
    return seen

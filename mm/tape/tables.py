"""The CSV tables of a day as integer columns: trades, frames and snapshots."""

from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mm.clock import MS_BELOW, US_PER_MS
from mm.dayfolder.layout import PACKED, levels_shown
from mm.dayfolder.rows import REST
from mm.errors import BrokenFile
from mm.tape._parse import Cell, TableParser
from mm.tape.columns import Ints
from mm.tape.files import Snapshot, Steps, Stream, exchange_us, first_line, lines_expected, parse_file, steps_of
from mm.tape.spill import Spill

_NONE = np.empty(0, np.int64)

_MAYBE_INT = int(Cell.INT | Cell.OPTIONAL)
_MAYBE_WORD = int(Cell.WORD | Cell.OPTIONAL)
_STAMPS = {"recv_time_ms": _MAYBE_INT, "recv_time_us": _MAYBE_INT, "recv_seq": _MAYBE_INT, "run_id": _MAYBE_WORD}
_TRADE_CELLS = {
    **_STAMPS,
    "event_time_ms": _MAYBE_INT,
    "trade_time_ms": _MAYBE_INT,
    "trade_id": int(Cell.INT),
    "price": int(Cell.PRICE),
    "qty": int(Cell.QTY),
    "is_buyer_maker": int(Cell.FLAG),
    "source": _MAYBE_WORD,
}
_SNAPSHOT_CELLS = {
    "side": int(Cell.WORD),
    "price": int(Cell.PRICE),
    "qty": int(Cell.QTY),
    "lastUpdateId": int(Cell.INT),
}


def read_trades(path: Path, steps: Steps, spill: Spill, *, lenient: bool = False) -> Stream:
    """Read the trades; a row's side is the aggressor's. *lenient* leaves out trades off the tick."""
    with closing(_Trades(path, steps, spill, lenient=lenient)) as trades:
        return trades.read()


class _Trades:
    """The columns of a file of trades.

    Cells are converted into columns one piece of the file at a time: ten cells per trade would take more memory than
    the trade takes in the tape.
    """

    def __init__(self, path: Path, steps: Steps, spill: Spill, *, lenient: bool) -> None:
        self._path, self._steps, self._spill, self._lenient = path, steps, spill, lenient
        self._parser = TableParser(str(path), _TRADE_CELLS, 0 if lenient else steps.tick_e8, steps.lot_e8)
        room = lines_expected(path, 4 + len(_TRADE_CELLS))
        names = ("recv_us", "recv_seq", "run", "exchange_us", "last_id", "price", "qty")
        self._columns = {name: spill.growing(np.int64, room) for name in names}
        self._columns["side"] = spill.growing(np.int8, room)
        self._rows = self._kept = 0
        self._left_out: list[int] = []  # rows of left-out trades
        self._ids_out: list[int] = []
        self._fetched: list[int] = []
        self._arrivals = _Arrivals(path)

    def read(self) -> Stream:
        """Read the file to its end."""
        read = parse_file(self._path, self._parser, self._take)
        self._arrivals.check()
        steps = steps_of(self._parser)
        columns = {name: column.whole() for name, column in self._columns.items()}
        rows = columns.pop("side"), columns.pop("price"), columns.pop("qty"), 1, 1
        bounds = self._spill.kept(np.arange(self._kept + 1))
        return Stream(
            read=read,
            steps=Steps(self._steps.tick_e8, steps.lot_e8) if self._lenient else steps,
            runs=tuple(self._parser.words),
            start=bounds[:-1],
            end=bounds[1:],
            rows=[rows],
            first_id=columns["last_id"],
            repeats=np.zeros(self._kept, bool),
            left_out=len(self._left_out),
            first_left_out=self._left_out[0] + 2 if self._left_out else 0,
            ids_out=np.array(self._ids_out, np.int64),
            fetched=np.array(self._fetched, np.int64),
            **columns,
        )

    def close(self) -> None:
        """Close the files of the columns."""
        for column in self._columns.values():
            column.close()

    def _take(self) -> None:
        """Append the newly parsed cells to the columns."""
        cells = self._parser.take()
        cell = dict(zip(_TRADE_CELLS, np.ascontiguousarray(cells.T), strict=True))
        if self._lenient:
            on_tick = cell["price"] % self._steps.tick_e8 == 0
            self._left_out += (np.flatnonzero(~on_tick) + self._rows).tolist()
            self._ids_out += cell["trade_id"][~on_tick].tolist()
            cell = {name: column[on_tick] for name, column in cell.items()}
        if REST in self._parser.words:
            fetched = (cell["source"] == self._parser.words.index(REST)) & (cell["recv_seq"] >= 0)
            self._fetched += cell["recv_seq"][fetched].tolist()
        traded = cell["trade_time_ms"]
        new = {
            "recv_us": self._arrivals.take(cell["recv_time_us"], cell["recv_time_ms"]),
            "recv_seq": cell["recv_seq"],
            "run": cell["run_id"],
            "exchange_us": exchange_us(np.where(traded < 0, cell["event_time_ms"], traded)),
            "last_id": cell["trade_id"],
            "price": cell["price"],
            "qty": cell["qty"],
            "side": 1 - 2 * cell["is_buyer_maker"],
        }
        for name, column in new.items():
            self._columns[name].add(column)
        self._rows += len(cells)
        self._kept += len(traded)


def read_frames(path: Path, steps: Steps) -> Stream:
    """Read the top-N frames of valid books (epoch 1 and later), each as the rows of a complete book."""
    top_n = max(1, levels_shown(first_line(path).split(",")))
    price, qty = int(Cell.PRICE | Cell.OPTIONAL), int(Cell.QTY | Cell.OPTIONAL)
    levels = {
        f"{side}{n}_{what}": cell
        for what, cell in (("price", price), ("qty", qty))
        for side in ("bid", "ask")
        for n in range(1, top_n + 1)
    }
    head = {**_STAMPS, "event_time_ms": _MAYBE_INT, "epoch_id": _MAYBE_INT, "last_update_id": _MAYBE_INT}
    table = _Table(path, {**head, **levels}, steps)
    table.keep(table["epoch_id"] != 0)
    books = table.cells[:, -len(levels) :]
    prices, quantities = books[:, : 2 * top_n], books[:, 2 * top_n :]
    sides = np.repeat(np.array([1, -1], np.int8), top_n)
    present = prices > 0
    level_count = present.sum(axis=1)
    ends = np.cumsum(level_count)
    ids = np.maximum(table["last_update_id"], 0)
    return Stream(
        read=table.read,
        steps=table.steps,
        recv_us=table.recv_us(),
        recv_seq=table["recv_seq"],
        run=table["run_id"],
        exchange_us=exchange_us(table["event_time_ms"]),
        runs=table.words,
        start=ends - level_count,
        end=ends,
        rows=[(sides[np.nonzero(present)[1]], prices[present], quantities[present], 1, 1)],
        first_id=ids,
        last_id=ids,
        repeats=np.concatenate((np.zeros(min(len(ids), 1), bool), (books[1:] == books[:-1]).all(axis=1))),
    )


def read_snapshot(path: Path, steps: Steps, known_id: int | None, *, lenient: bool = False) -> Snapshot:
    """Read a snapshot file; *known_id* is the lastUpdateId in the ledger, *lenient* leaves out levels off the tick.

    Raises:
        BrokenFile: If its rows have another id, several ids, or neither they nor the ledger has one.
    """
    table = _Table(path, _SNAPSHOT_CELLS, steps, lenient=lenient)
    ids = set(table["lastUpdateId"].tolist())
    if known_id is not None:
        ids.add(known_id)
    if len(ids) != 1:
        raise BrokenFile(
            f"{path}: lastUpdateId is {' and '.join(map(str, sorted(ids))) or 'missing'} in file and ledger, "
            f"but must be one id; restore the file, or remove its event from the ledger"
        )
    if table.read.torn_lines or table.read.cut_off:
        raise BrokenFile(f"{path}: the file is truncated after line {table.read.lines}; restore it")
    words = [{"bid": 1, "ask": -1}.get(word, 0) for word in table.words]
    side = np.array(words or [0], np.int8)[table["side"]]
    if not side.all():
        line = int(np.flatnonzero(side == 0)[0]) + 2
        raise BrokenFile(f"{path}:{line}: side is neither bid nor ask; restore the file")
    order = np.argsort(-side, kind="stable")
    rows = side[order], table["price"][order], table["qty"][order], 1, 1
    tag = path.name.removesuffix(PACKED).removesuffix(".csv").split("_")[-1]
    return Snapshot(table.read, table.steps, tag, ids.pop(), rows, len(table.left_out), _first(table.left_out))


class _Table:
    """A parsed CSV file by columns; *lenient* leaves out rows whose ``price`` is off the tick.

    Attributes:
        left_out: Lines of the left-out rows.
    """

    def __init__(self, path: Path, columns: dict[str, int], steps: Steps, *, lenient: bool = False) -> None:
        tick_e8 = 0 if lenient else steps.tick_e8
        parser = TableParser(str(path), columns, tick_e8, steps.lot_e8, lines_expected(path, 4 + len(columns)))
        self.read = parse_file(path, parser)
        self.steps = steps_of(parser)
        self.words = tuple(parser.words)
        self.cells = parser.take()
        self._place = {name: place for place, name in enumerate(columns)}
        self.left_out = self._leave_out(steps.tick_e8) if lenient else _NONE

    def _leave_out(self, tick_e8: int) -> Ints:
        """Leave out rows off the tick, and return their lines."""
        on_tick = self["price"] % tick_e8 == 0
        self.keep(on_tick)
        self.steps = Steps(tick_e8, self.steps.lot_e8)
        return np.flatnonzero(~on_tick) + 2

    def __getitem__(self, name: str) -> Ints:
        return np.ascontiguousarray(self.cells[:, self._place[name]])

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop all other rows."""
        self.cells = self.cells[rows]

    def recv_us(self) -> Ints:
        """Return the receive times."""
        arrivals = _Arrivals(self.read.path)
        stamps = arrivals.take(self["recv_time_us"], self["recv_time_ms"])
        arrivals.check()
        return stamps


class _Arrivals:
    """Receive times of the rows of a table, one part after the other; older files have only milliseconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = 0
        self._invalid: tuple[int, int] | None = None  # the first row with an invalid time, and that time
        self._missing: int | None = None

    def take(self, micros: Ints, millis: Ints) -> Ints:
        """Return the times of the next rows in µs; errors in them are reported by `check`."""
        no_micros = micros < 0
        if self._invalid is None and (invalid := no_micros & (millis >= MS_BELOW)).any():
            at = int(np.argmax(invalid))
            self._invalid = self._rows + at, int(millis[at])
        stamps = np.where(no_micros, millis * US_PER_MS, micros)
        if self._missing is None and len(stamps) and stamps.min() < 0:
            self._missing = self._rows + int(np.argmax(stamps < 0))
        self._rows += len(stamps)
        return stamps

    def check(self) -> None:
        """Raise BrokenFile if a time is invalid, or missing."""
        if self._invalid is not None:
            row, millis = self._invalid
            raise BrokenFile(f"{self._path}:{row + 2}: recv_time_ms {millis} is not a time in ms; restore the file")
        if self._missing is not None:
            line = self._missing + 2
            raise BrokenFile(f"{self._path}:{line}: neither recv_time_us nor recv_time_ms; restore the file")


def _first(lines: Ints) -> int:
    return int(lines[0]) if len(lines) else 0

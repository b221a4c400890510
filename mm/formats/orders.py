"""Single orders of a source: plays them to changes of levels, and keeps their order log until its days are written.

The instrument's steps are known only at the end, so rows wait in a temporary file, in the steps of the first ones. It
becomes the log of a day that it is all of, if these steps remain; else its rows are written again.
"""

from array import array
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from math import gcd
from pathlib import Path
from shutil import move, rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, NamedTuple
from weakref import finalize

import numpy as np

from mm.clock import US_PER_S, midnight_us, next_day
from mm.dayfolder._orders import OPS, OrderBook
from mm.dayfolder.layout import ORDER_COLUMNS, ROW_LEVEL, ROW_REST, ROW_TRADE, DayFolder
from mm.dayfolder.order_log import OrderLog, OrderLogWriter, Steps, fifo_text, is_fifo
from mm.market_data.stamps import FAR_US
from mm.markets.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bytes = NDArray[np.int8]

OP = {name: code for code, name in enumerate(OPS)}
"""Codes of the commands of `OrderBook.play`, by name."""
FIRST_RANK = 16
"""Small numbers of makers have a meaning of their own in the log of a futures exchange."""
LEAST_SILENCE_US = 5_000_000
"""The shortest silence that may be a hole of the source."""
HOLE = "silence_and_unknown_orders"
"""Cause of the gap that such a hole is."""
_CHANGES = ("modify", "cancel", "delete", "fill", "execute")
_ADDS = ("add", "snapshot", "modify")
_CHANGES_COMPARED = 500
_DEVIATIONS = 4  # of the difference of two counts, by which chance does not explain it
_SAID = {
    "twice": "add an order whose id is in use: the earlier order counts as cancelled",
    "unknown_cancel": "are of orders that were never added; they were left out",
    "unknown_modify": "change orders that were never added: these count as new, last in their queues",
    "unknown_fill": "execute orders that are not displayed: the order log has them as executions of nothing displayed",
    "large_cancel": "cancel more than their order had: the order is gone, the excess was left out",
    "large_fill": "fill more than their order had: the excess counts as executed of nothing displayed",
    "other_side": "execute an order of the other side: the order log has the side of the execution",
    "other_price": "execute at another price than their order's: the order log has the price of the execution",
}


def log_us(recv_us: "Ints", exch_us: "Ints") -> "Ints":
    """The exchange's times, or arrivals where these are unknown or far."""
    return np.where(np.abs(exch_us - recv_us) <= FAR_US, exch_us, recv_us)


class Silences:
    """Silences of a source over which orders came that it does not have: its files lack records there.

    Of a whole source every order is added before it is changed, also over a silence. One that begins within a session
    changes unknown orders all the time; so what counts is how many more are unknown after a silence than before it.
    """

    def __init__(self) -> None:
        self._last_us: int | None = None
        self._before = np.empty(0, np.bool_)  # whether orders were unknown, of the latest changes
        self.count = 0

    def lacking(self, commands: "Commands", book: OrderBook) -> list[int]:
        """The first commands after such silences, of those that *book* plays next.

        What follows a silence counts as far as these commands go.
        """
        us, op = commands.us, commands.op
        change, adds = (np.isin(op, [OP[name] for name in names]) for names in (_CHANGES, _ADDS))
        numbers, first_at = np.unique(commands.number[adds], return_index=True)
        changes = np.flatnonzero(change)
        changed = np.ascontiguousarray(commands.number[changes])
        unknown = ~book.rests(changed)
        if len(numbers):
            at = np.minimum(np.searchsorted(numbers, changed), len(numbers) - 1)
            added_at = np.flatnonzero(adds)[first_at][at]
            unknown &= (numbers[at] != changed) | (added_at >= changes)
        every = np.concatenate((self._before, unknown))
        totals = np.concatenate(([0], np.cumsum(every)))
        waits = np.diff(us, prepend=us[:1] if self._last_us is None else self._last_us)
        silences = np.flatnonzero(waits >= LEAST_SILENCE_US)
        found = []
        for silence in silences.tolist():
            place = len(self._before) + int(np.searchsorted(changes, silence))
            length = min(place, len(every) - place, _CHANGES_COMPARED)
            before = int(totals[place] - totals[place - length])
            after = int(totals[place + length] - totals[place])
            if after - before > _DEVIATIONS * (after + before) ** 0.5:
                found.append(silence)
        if len(us):
            self._before, self._last_us = every[-_CHANGES_COMPARED:], int(us[-1])
        self.count += len(found)
        return found


class Commands(NamedTuple):
    """Commands of `OrderBook.play`, as columns, with the times of the log."""

    us: "Ints"
    op: "Bytes"
    number: "Ints"
    side: "Bytes"
    price: "Ints"
    lots: "Ints"
    ends: "Bytes"
    row: "Ints"

    def part(self, at: slice) -> "Commands":
        ids, rows = self.number[at], self.row[at]
        return Commands(
            self.us[at], self.op[at], ids, self.side[at], self.price[at], self.lots[at], self.ends[at], rows
        )


class BookMessages(NamedTuple):
    at: "Ints"
    whole: "NDArray[np.bool_]"
    end: "Ints"
    rows: "Ints"
    changes: "Ints"


class OrderRecords:
    """The rows of an import's single orders, which become the order logs of its days.

    Attributes:
        written: The book behind the logs that `write` wrote, with what it executed.
    """

    def __init__(self, price_e8: Fraction, qty_e8: Fraction) -> None:
        self.grid = Grid()  # of the import
        self.sides: dict[int, int] = {}  # of trades whose source tells none, by their ids
        self._price_e8, self._qty_e8 = price_e8, qty_e8
        self._book = OrderBook(FIRST_RANK)
        self._folder, self._parts = Path(mkdtemp(prefix="mm-orders-")), list[_Part]()
        finalize(self, _discard, self._folder, self._parts)
        self._count = self._first_us = self._last_us = 0
        self._ends, self._ids = array("q"), array("q")  # of the messages of rows that wait
        self._waiting = np.empty((0, len(ORDER_COLUMNS)), np.int64)
        self._last_id = 0
        self._settled_us = 0
        self._lost_us: int | None = None
        self._holes: list[tuple[int, int]] = []  # stretches in which orders are missing, µs
        self._first: dict[str, str] = {}
        self.off_tick = 0
        self._silences = Silences()
        self.written = OrderBook()

    def multiply(self, price: int, qty: Decimal) -> None:
        self._price_e8 = self._price_e8 * price
        self._qty_e8 = self._qty_e8 * Fraction(qty)

    @property
    def qty_e8(self) -> Fraction:
        return self._qty_e8

    @property
    def trades(self) -> int:
        return self._book.trades

    def play(self, path: Path, commands: Commands) -> BookMessages:
        self._book.play(*commands)
        return self._taken(path)

    def parts(self, path: Path, commands: Commands) -> Iterator[tuple[slice, bool]]:
        """Cut commands where the source lacks records, and clear the book there; yield parts and whether it was.

        The caller plays each part before it takes the next, and says that the book is lost.
        """
        holes = self._silences.lacking(commands, self._book)
        begin = 0
        for end in [*holes, len(commands.us)]:
            lost = begin in holes
            if lost:
                self.clear(path, int(commands.us[begin]), int(commands.row[begin]))
            if end > begin:
                yield slice(begin, end), lost
            begin = end

    def watch(
        self, path: Path, commands: Commands, book: "Ints", begin: int, *, halted: bool
    ) -> tuple[BookMessages, int, bool, bool]:
        """`OrderBook.watch`, up to a halt; the messages that are due come first."""
        us, op, number, side, price, lots, _, row = commands
        upto, halted, wrong = self._book.watch(us, op, number, side, price, lots, book, row, begin, halted)
        return self._taken(path), upto, halted, wrong

    def clear(self, path: Path, us: int, row: int) -> None:
        one = np.array([us, OP["clear"], 0, 0, 0, 0, 1, row], np.int64).reshape(8, 1)
        op, side, ends = (one[at].astype(np.int8) for at in (1, 3, 6))
        self._book.play(one[0], op, one[2], side, one[4], one[5], ends, one[7])
        self._taken(path)

    @property
    def has_book(self) -> bool:
        """Whether `watch` has a window, which `clear` ends."""
        return bool(self._book.shown)

    @property
    def corrected(self) -> int:
        """Levels of a window that its known orders did not have."""
        return self._book.corrected

    def keep(self, rows: "Ints", ends: "Ints", update_id: int) -> None:
        """Rows of another book, whose messages have the rows up to *ends*, and ids from *update_id* on."""
        before = self._count
        self._settle()
        self._hold(rows)
        self.all_carried(before + ends, update_id)

    def _taken(self, path: Path) -> BookMessages:
        rows, sources, messages, changes = self._book.take()
        for name, (_, row) in self._book.problems.items():
            self._first.setdefault(name, f"{path.name}:{row}")
        before = self._count
        self._settle()
        self._hold(rows)
        after = before + np.searchsorted(sources, messages[:, 0], "right")
        return BookMessages(messages[:, 0], messages[:, 1] > 0, messages[:, 2], after, changes)

    def carried(self, rows: int, update_id: int) -> None:
        self._ends.append(rows)
        self._ids.append(update_id)

    def all_carried(self, rows: "Ints", update_id: int) -> None:
        """Consecutive messages from *update_id* on; each has the rows up to its number in *rows*."""
        self._ends.frombytes(rows.astype(np.int64).tobytes())
        self._ids.frombytes(np.arange(update_id, update_id + len(rows)).tobytes())

    def lost(self, *, unseen: bool) -> None:
        """The book is lost now, or, if *unseen*, since its last message."""
        if self._lost_us is None:
            last = self._ends[-1] if self._ends else self._count - len(self._waiting)
            self._lost_us = self._us_of(last - unseen)

    def has_again(self) -> None:
        if self._lost_us is not None:
            self._holes.append((self._lost_us, self._us_of(self._ends[-1] - 1)))
            self._lost_us = None

    def _us_of(self, row: int) -> int:
        at = row - (self._count - len(self._waiting))
        if at < 0:
            return self._settled_us
        return int(self._waiting[at, 0]) if at < len(self._waiting) else self._last_us

    def _spans(self, begin_us: int, end_us: int) -> list[tuple[int, int]] | None:
        holes = [hole for hole in self._holes if begin_us <= hole[0] < hole[1] < end_us]
        edges = [begin_us, *(us for hole in holes for us in hole), end_us]
        return list(zip(edges[::2], edges[1::2], strict=True)) if holes else None

    def notes(self) -> list[str]:
        said = [
            f"{count:,} records {_SAID[name]} (first {self._first[name]})"
            for name, (count, _) in self._book.problems.items()
        ]
        if self._silences.count:
            said.append(
                f"after {self._silences.count:,} silences of {LEAST_SILENCE_US // US_PER_S} s or more, orders are "
                f"changed that were never added: the files lack records there, and the ledger has a gap ({HOLE})"
            )
        return said if self._is_fifo else [*said, self._queues()]

    def told(self) -> list[str]:
        hidden = self._book.hidden
        said = f"{hidden:,} executions are of nothing displayed (hidden orders, auctions, orders of before)"
        return [*([self._queues()] if self._is_fifo and self._queues() else []), *([said] if hidden else [])]

    @property
    def _is_fifo(self) -> bool:
        return is_fifo(self._book.executed, self._book.executed_first)

    def _queues(self) -> str:
        return fifo_text(self._book.executed, self._book.executed_first)

    def write(self, folders: Sequence[DayFolder], zone: str, tick_e8: int, lot_e8: int) -> list[str]:
        self._end()
        if not self._count:
            return []
        steps, part = Steps(tick_e8, lot_e8), self._parts[-1]
        from_us, until_us = midnight_us(folders[0].day, zone), midnight_us(next_day(folders[0].day), zone)
        whole = len(self._parts) == len(folders) == 1 and part.steps == steps
        whole = whole and from_us <= self._first_us <= self._last_us < until_us
        part.log.spans = self._spans(from_us, until_us) if whole else None
        part.log.close()
        if whole:
            move(part.path, folders[0].order_log_columns)
            return []
        self.written = book = OrderBook()
        resting, last_id = np.empty((0, 4), np.int64), 0
        blocks, rest = self._blocks(steps), None
        for folder in folders:
            from_us, until_us = midnight_us(folder.day, zone), midnight_us(next_day(folder.day), zone)
            with OrderLogWriter(folder.order_log_columns, self._spans(from_us, until_us), steps) as log:
                begun = False
                while (block := rest if rest is not None else next(blocks, None)) is not None:
                    count = int(np.searchsorted(block[:, 0], until_us))
                    mine, rest = block[:count], block[count:] if count < len(block) else None
                    if len(mine) and not begun:
                        begun = True
                        log.add(_opening(resting, int(mine[0, 0]), last_id))
                    if len(mine):
                        log.add(mine)
                        _replay(book, mine)
                        last_id = int(mine[:, -1].max())
                    if rest is not None:
                        break
            resting = book.resting()
        if not self.off_tick:
            return []
        return [f"{self.off_tick:,} executions of nothing displayed are off the tick: the order log leaves them out"]

    def _blocks(self, steps: "Steps") -> Iterator["Ints"]:
        for part in self._parts:
            price_e8, qty_e8 = map(Fraction, part.steps) if part.steps else (self._price_e8, self._qty_e8)
            price, qty = price_e8 / steps.tick_e8, qty_e8 / steps.lot_e8
            for columns in OrderLog.open(part.path).blocks():
                rows = np.column_stack([columns[name] for name in ORDER_COLUMNS])
                ticks = rows[:, 6] * price.numerator
                off = (ticks % price.denominator != 0) & (rows[:, 1] == ROW_TRADE) & (rows[:, 3] == 0)
                self.off_tick += int(off.sum())
                rows[:, 6] = ticks // price.denominator
                rows[:, 7] = rows[:, 7] * qty.numerator // qty.denominator
                yield rows[~off] if off.any() else rows

    def _hold(self, rows: "Ints") -> None:
        if len(rows):
            rows[:, 0] = np.maximum.accumulate(np.maximum(rows[:, 0], self._last_us))
            self._last_us = int(rows[-1, 0])
            self._count += len(rows)
            self._waiting = np.concatenate((self._waiting, rows)) if len(self._waiting) else rows

    def _settle(self) -> None:
        """Write rows with the ids of their messages and the sides of their trades."""
        if not self._ends:
            return
        done = self._count - len(self._waiting)
        count = self._ends[-1] - done
        at = np.searchsorted(np.frombuffer(self._ends, np.int64), np.arange(done, done + count), "right")
        self._write(count, np.frombuffer(self._ids, np.int64)[at])
        self._last_id = self._ids[-1]
        self._ends, self._ids = array("q"), array("q")

    def _write(self, count: int, ids: "Ints") -> None:
        rows, self._waiting = self._waiting[:count], self._waiting[count:]
        is_trade = rows[:, 1] == ROW_TRADE
        for row in np.flatnonzero(is_trade & (rows[:, 5] == 0)).tolist():
            rows[row, 5] = self.sides.get(int(rows[row, 8]), 1)
        last = int(rows[is_trade, 8].max(initial=0))
        self.sides = {number: side for number, side in self.sides.items() if number >= last}
        rows[:, 9] = np.where(rows[:, 1] == ROW_LEVEL, ids, 0)
        if count:
            self._settled_us = int(rows[-1, 0])
            self._add(rows)

    def _add(self, rows: "Ints") -> None:
        if not self._parts:
            self._first_us = int(rows[0, 0])
            known = Steps(gcd(self.grid.tick_e8, self.grid.seen_tick_e8), self.grid.seen_step_e8)
            self._begin(known if all(known) else None)
        if (steps := self._parts[-1].steps) is not None:
            price, qty = self._price_e8 / steps.tick_e8, self._qty_e8 / steps.lot_e8
            ticks, off_tick = _divided(rows[:, 6], price)
            lots, off_lot = _divided(rows[:, 7], qty)
            if off_tick or off_lot:
                self._parts[-1].log.close()
                self._begin(None)
            else:
                rows[:, 6], rows[:, 7] = ticks, lots
                _replay(self.written, rows)
        self._parts[-1].log.add(rows)

    def _begin(self, steps: Steps | None) -> None:
        path = self._folder / f"{len(self._parts)}.parquet"
        log = OrderLogWriter(path, steps=steps, compression="lz4" if steps is None else "zstd")
        self._parts.append(_Part(path, steps, log))

    def _end(self) -> None:
        self._book.finish()
        self._settle()
        self._hold(self._book.take()[0])
        # Rows after the last message are of none.
        self._write(len(self._waiting), np.full(len(self._waiting), self._last_id + 1))


class _Part(NamedTuple):
    """Rows that follow each other; in the source's units if they have no *steps*."""

    path: Path
    steps: Steps | None
    log: OrderLogWriter


def _divided(numbers: "Ints", by: Fraction) -> "tuple[Ints, bool]":
    """Times *by*, rounded down, and whether that is not exact."""
    if by.denominator == 1:
        return numbers * by.numerator, False
    whole, rest = np.divmod(numbers * by.numerator, by.denominator)
    return whole, bool(rest.any())


def _discard(folder: Path, parts: list[_Part]) -> None:
    for part in parts:
        part.log.discard()
    rmtree(folder, ignore_errors=True)


def _opening(resting: "Ints", us: int, update_id: int) -> "Ints":
    rows, totals = [], dict[tuple[int, int], int]()
    for rank, side, ticks, lots in resting.tolist():
        totals[side, ticks] = totals.get((side, ticks), 0) + lots
        rows.append((us, ROW_REST, rank, 0, 0, side, ticks, lots, 0, 0))
        rows.append((us, ROW_LEVEL, rank, 0, 0, side, ticks, totals[side, ticks], 0, update_id))
    return np.array(rows, np.int64).reshape(-1, len(ORDER_COLUMNS))


def _replay(book: OrderBook, rows: "Ints") -> None:
    kind, order, other, side, ticks, lots, update = (np.ascontiguousarray(rows[:, at]) for at in (1, 2, 3, 5, 6, 7, 9))
    book.hold(kind, order, other, side, ticks, lots, update)
    at, wrong = book.replay()
    if wrong:
        raise AssertionError(f"row {at} of an order log just made is wrong: {wrong}, {rows[at].tolist()}")

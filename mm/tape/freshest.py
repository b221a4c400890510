"""The freshest book of a contract: its depth messages' book, under best prices (`bookTicker`) of a higher update id.

A newer best price moves the touch: better levels are gone, and its quantity counts. Once the depth messages have
reached its id, the book is theirs again. `FreshestBook` is used live and for recorded days alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from mm.clock import US_PER_MS
from mm.dayfolder.layout import DayFolder, existing
from mm.errors import BrokenFile, OffGrid
from mm.instrument import e8
from mm.tape._book import CompiledBook
from mm.tape.build import EventColumns, RecordedRows
from mm.tape.columns import DEPTH, GAP, SNAPSHOT, TRADE, Column, Ints, bounds, windows
from mm.tape.files import read_small
from mm.tape.sync import PER_RUN

if TYPE_CHECKING:
    from mm.tape.files import FileRead
    from mm.tape.sync import SyncedDay

Row = tuple[int, int, int]
"""Side (+1 bid or buyer as aggressor, -1 ask or seller), ticks, and the lots traded or now displayed there."""

_WINDOW_TICKS = 1 << 18
_COLUMNS = ("bid_price", "bid_qty", "ask_price", "ask_qty")


class FreshestBook:
    """Turns a market's messages into changes of its freshest book.

    Attributes:
        last_id: Update id of the last depth message or snapshot.
    """

    def __init__(self) -> None:
        self.last_id = 0
        self._told: CompiledBook | None = None
        self._best: tuple[Row, ...] = ()
        self._best_id = 0
        self._moved: dict[tuple[int, int], int] = {}  # lots of the levels that best prices have changed

    def take(self, kind: int, last_id: int, rows: Sequence[Row]) -> Sequence[Row]:
        """Convert the rows of a snapshot, depth message or gap."""
        if kind == GAP:
            self._told, self._best, self._moved = None, (), {}
            return rows
        if kind == SNAPSHOT:
            centre = max((ticks for side, ticks, _ in rows if side > 0), default=0)
            self._told = CompiledBook(max(centre - _WINDOW_TICKS, 0), centre + _WINDOW_TICKS)
            self._moved = {}
        if self._told is None:
            return rows
        self.last_id = last_id
        side, ticks, lots = np.array(rows, np.int64).reshape(-1, 3).T
        self._told.apply(side.astype(np.int8), np.ascontiguousarray(ticks), np.ascontiguousarray(lots))
        bid, ask = self._told.best()
        if self._best_id <= last_id or bid >= ask > 0:
            self._best = ()
        shown = self._changes(rows)
        return [row for row in shown if row[2]] if kind == SNAPSHOT else shown

    def best(self, last_id: int, best: tuple[Row, Row]) -> Sequence[Row]:
        """Return the changes that best prices, bid first, of an update id make."""
        (_, bid, bid_lots), (_, ask, ask_lots) = best
        newer = last_id > max(self.last_id, self._best_id)
        if self._told is None or not (newer and 0 < bid < ask and bid_lots > 0 < ask_lots):
            return ()
        self._best, self._best_id = best, last_id
        return self._changes(())

    def _changes(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return *rows*, and where the best prices now show the book differently."""
        told, before = self._told, self._moved
        if told is None or not (before or self._best):
            return rows
        moved = self._moved = {}
        for side, touch, lots in self._best:
            ticks = told.best()[0 if side > 0 else 1]
            while ticks and side * (ticks - touch) > 0:
                moved[side, ticks] = 0
                ticks = told.after(side, ticks)
            if told.lots_at(side, touch) != lots:
                moved[side, touch] = lots
        changed = {(side, ticks): moved.get((side, ticks), lots) for side, ticks, lots in rows}
        for price in sorted(before.keys() | moved.keys()):
            if price not in changed and before.get(price) != moved.get(price):
                changed[price] = moved.get(price, told.lots_at(*price))
        return [(*price, lots) for price, lots in changed.items()]


def touch_rows(cells: Sequence[str], tick_e8: int, lot_e8: int) -> tuple[Row, Row] | None:
    """Return bid and ask as rows, from their prices and quantities; None off the grid."""
    steps = (tick_e8, lot_e8)
    bid, ask = (
        [divmod(e8(text), step) for text, step in zip(pair, steps, strict=True)] for pair in (cells[:2], cells[2:])
    )
    if any(rest for _, rest in (*bid, *ask)):
        return None
    return (1, bid[0][0], bid[1][0]), (-1, ask[0][0], ask[1][0])


@dataclass(frozen=True, eq=False)
class BestRows:
    """The recorded best prices of a day, in the order of its file; prices and quantities in 1e-8, int64[n, 4]."""

    recv_us: Ints
    told_us: Ints
    recv_seq: Ints
    update_id: Ints
    run_id: tuple[str, ...]
    cells_e8: Ints

    def within_day(self, day: "SyncedDay") -> "tuple[BestRows, Ints]":
        """Return the rows within the day and on its grid, and their keys, ascending."""
        key = np.array([day.ranks.get(run, 0) for run in self.run_id], np.int64) * PER_RUN + self.recv_seq
        on_grid = ~(self.cells_e8 % np.array([day.steps.tick_e8 or 1, day.steps.lot_e8 or 1] * 2)).any(axis=1)
        order = np.argsort(key, kind="stable")
        order = order[(on_grid & (key < day.end))[order]]
        arrays = ("recv_us", "told_us", "recv_seq", "update_id", "cells_e8")
        taken = {name: getattr(self, name)[order] for name in arrays}
        return replace(self, **taken, run_id=tuple(self.run_id[row] for row in order.tolist())), key[order]


def read_best(folder: DayFolder) -> "tuple[BestRows, FileRead] | None":
    """None without the file; raises BrokenFile if a row cannot be read."""
    import polars as pl

    path = existing(folder.best)
    if path is None:
        return None
    data, read = read_small(path)
    whole = data[: data.rfind(b"\n") + 1]  # a recorder may be writing the last row
    numbers = ("event_time_ms", "recv_seq", "update_id", "recv_time_us")
    try:
        texts = dict.fromkeys((*_COLUMNS, "run_id"), pl.String)
        table = pl.read_csv(BytesIO(whole), columns=[*numbers, *texts], schema_overrides=texts)
        told_ms, recv_seq, update_id, recv_us = (table[name].cast(pl.Int64).to_numpy() for name in numbers)
        cells = [np.fromiter(map(e8, table[name]), np.int64, len(table)) for name in _COLUMNS]
    except (pl.exceptions.PolarsError, TypeError, ValueError, OffGrid) as error:
        raise BrokenFile(f"{path}: the file cannot be read ({error}); run `mm data check`") from error
    rows = BestRows(recv_us, told_ms * US_PER_MS, recv_seq, update_id, tuple(table["run_id"]), np.stack(cells, axis=1))
    return rows, read


def freshen(events: EventColumns, rows: RecordedRows, keys: Ints, day: "SyncedDay", best: BestRows) -> Ints:
    """Turn the *events* of a day, which have *keys*, into the events of its freshest book; return their keys."""
    best, own_keys = best.within_day(day)
    of_best = at = np.searchsorted(keys, own_keys)
    sides = np.tile(np.array([1, -1], np.int8), len(at))
    first = rows.add((sides, best.cells_e8[:, ::2].ravel(), best.cells_e8[:, 1::2].ravel()))
    own: dict[str, Column] = {
        "event_us": best.recv_us,
        "event_exch_us": best.told_us,
        "recv_seq": best.recv_seq,
        "event_id": best.update_id,
        "kind": np.full(len(at), DEPTH, np.uint8),
        "start": first + 2 * np.arange(len(at)),
        "size": np.full(len(at), 2),
    }
    is_best = np.insert(np.zeros(len(events), bool), at, True)
    events.change(lambda name, column: np.insert(column, at, own[name]))
    kept, changed = np.ones(len(events), bool), list[tuple[int, int, int]]()  # event, rows, id
    flat, book = list[Row](), FreshestBook()
    for begin, stop in windows(bounds(events.size)):
        side, ticks, lots = rows.ordered(events.start[begin:stop], events.size[begin:stop])
        first_row = bounds(events.size[begin:stop])
        for event in (begin + np.flatnonzero(events.kind[begin:stop] != TRADE)).tolist():
            of = slice(first_row[event - begin], first_row[event - begin + 1])
            told = list(zip(side[of].tolist(), ticks[of].tolist(), lots[of].tolist(), strict=True))
            number = int(events.event_id[event])
            if is_best[event]:
                shown = book.best(number, (told[0], told[1]))
                kept[event] = len(shown) > 0
            else:
                shown = book.take(int(events.kind[event]), number, told)
            if shown is not told:
                changed.append((event, len(shown), book.last_id))
                flat += shown
    at, size, ids = np.array(changed, np.int64).reshape(-1, 3).T
    row_side, row_ticks, row_lots = np.array(flat, np.int64).reshape(-1, 3).T
    first = rows.add_book((row_side.astype(np.int8), row_ticks.copy(), row_lots.copy()))
    own = {"start": first + np.cumsum(size) - size, "size": size, "event_id": ids}

    def shown_as(name: str, column: Column) -> Column:
        if name == "event_us":
            column = np.maximum.accumulate(column)
        elif name in own:
            column = column.copy()
            column[at] = own[name]
        return column[kept]

    events.change(shown_as)
    return np.insert(keys, of_best, own_keys)[kept]

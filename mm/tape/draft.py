"""A settled day whose rows are not yet in order: it becomes a tape in memory, or in a file, a window at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mm.instrument import Instrument
from mm.tape.mapped import Column
from mm.tape.row_source import bounds
from mm.tape.stack import Stack
from mm.tape.tape import ARRAYS, EVENT_COLUMNS, TOP_COLUMNS, Tape, TapeMeta

ROWS = {"row_side": np.int8, "row_ticks": np.int64, "row_lots": np.int64}


@dataclass(slots=True)
class Draft:
    """All that a tape is made of.

    Attributes:
        stack: Its events, and its rows as they were read.
        instrument: Its grid.
        day: The day, ``YYYYMMDD``.
        step_lots: The exchange's quantity step in lots.
        meta: Where it comes from.
    """

    stack: Stack
    instrument: Instrument
    day: str
    step_lots: int = 1
    meta: TapeMeta = field(default_factory=TapeMeta)

    def tape(self) -> Tape:
        """Return the tape, in memory and checked; the rows as they were read are let go on the way.

        Raises:
            BrokenFile: If an invariant does not hold.
        """
        stack, first_row = self.stack, bounds(self.stack.size)
        rows = np.empty(first_row[-1], np.int8), np.empty(first_row[-1], np.int64), np.empty(first_row[-1], np.int64)
        for begin, stop in stack.source.passed(stack.start, stack.size):
            side, ticks, lots = (column[first_row[begin] : first_row[stop]] for column in rows)
            stack.source.place(stack.start[begin:stop], stack.size[begin:stop], (side, ticks, lots))
        columns: dict[str, Any] = self.columns() | dict(zip(ROWS, rows, strict=True))
        tape = Tape(**self.facts(), instrument=self.instrument, meta=self.meta, **columns)
        tape.check()
        return tape

    def facts(self) -> dict[str, Any]:
        """Return symbol, days, step and window: the tape speaks from its first event to its last."""
        stamps = self.stack.event_us
        return {
            "symbol": self.instrument.symbol,
            "days": (self.day,),
            "step_lots": self.step_lots,
            "start_us": int(stamps[0]) if len(stamps) else 0,
            "end_us": int(stamps[-1]) if len(stamps) else 0,
        }

    def columns(self) -> dict[str, Column]:
        """Return all columns but those of rows."""
        events = {name: getattr(self.stack, name) for name in (*EVENT_COLUMNS, "kind")}
        tops = dict(zip(TOP_COLUMNS, self.stack.tops, strict=True))
        return events | {"first_row": bounds(self.stack.size)} | tops

    def shapes(self) -> dict[str, tuple[Any, int]]:
        """Return item type and length of each of `ARRAYS`."""
        rows = int(self.stack.size.sum())
        shapes: dict[str, tuple[Any, int]] = {name: (dtype, rows) for name, dtype in ROWS.items()}
        shapes |= {name: (column.dtype, len(column)) for name, column in self.columns().items()}
        return {name: shapes[name] for name in ARRAYS}

    def pieces(self) -> Iterator[tuple[str, int, Column]]:
        """Yield all columns, rows a window at a time: whose, from which item on, and the items.

        The rows as they were read are let go on the way.
        """
        yield from ((name, 0, column) for name, column in self.columns().items())
        stack, at = self.stack, 0
        for begin, stop in stack.source.passed(stack.start, stack.size):
            rows: tuple[Column, ...] = stack.source.placed(stack.start[begin:stop], stack.size[begin:stop])
            yield from ((name, at, column) for name, column in zip(ROWS, rows, strict=True))
            at += len(rows[0])

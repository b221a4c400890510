"""The market of an order log, as a tape that shows it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.dayfolder.layout import ORDER_COLUMNS, ROW_LEVEL, ROW_TRADE
from mm.dayfolder.order_log import OrderLog
from mm.errors import BrokenFile
from mm.instrument import E8, Instrument
from mm.sim.flow.recorder import LAST_ID, Batches
from mm.tape.day_orders import index_of_log
from mm.tape.tape import Tape

if TYPE_CHECKING:
    from mm.tape.tape import Ints

STEP_US = 100_000
_UNIT = Instrument("LOG", tick_e8=E8, lot_e8=E8)  # a log is in ticks and lots of unknown size


def tape_of_log(path: Path, step_us: int | None = STEP_US) -> Tape:
    """Every trade at its instant, a depth message each *step_us*, or each change alone (None); raises BrokenFile."""
    try:
        rows = np.column_stack(list(OrderLog.open(path).columns.values()))
        if not len(rows):
            raise ValueError("it has no rows")
        open_us = int(rows[0, 0]) // STEP_US * STEP_US - STEP_US
        begin: tuple[Any, ...] = (open_us, "snapshot", [], [])
        if step_us is None:
            tape = Tape.of(_UNIT, [begin, *_changes(rows)])
            return tape.with_orders(lambda: index_of_log(path), log=path)
        messages, levels = Batches(open_us, step_us).messages_of(rows)
        tape = Tape.of(_UNIT, [begin, *_events(messages, levels)])
    except ValueError as error:
        raise BrokenFile(f"{path}: not an order log ({error}); its columns: docs/specification/exchange.md") from error
    tape = replace(tape, event_id=np.append(0, messages[:, LAST_ID]))
    return tape.with_orders(lambda: index_of_log(path), log=path)


def _changes(rows: "Ints") -> Iterator[tuple[Any, ...]]:
    """Trades and changes of levels, in the order of the log."""
    columns = [ORDER_COLUMNS.index(name) for name in ("us", "kind", "side", "ticks", "lots")]
    for us, kind, side, ticks, lots in rows[:, columns].tolist():
        if kind == ROW_TRADE:
            yield us, "trade", side, ticks, lots
        elif kind == ROW_LEVEL:
            yield us, "depth", [(ticks, lots)] if side > 0 else [], [(ticks, lots)] if side < 0 else []


def _events(messages: "Ints", levels: "Ints") -> Iterator[tuple[Any, ...]]:
    every = [(side, (ticks, lots)) for side, ticks, lots in levels.tolist()]
    for sent_us, _, _, side, ticks, lots in messages.tolist():
        if side:
            yield sent_us, "trade", side, ticks, lots
        else:
            shown = every[ticks:lots]
            bids, asks = ([level for at, level in shown if at == wanted] for wanted in (1, -1))
            yield sent_us, "depth", bids, asks

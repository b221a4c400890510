"""The tape that a recorder would have made of an order log, for logs that have no recorded day beside them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mm.errors import BrokenFile
from mm.instrument import Instrument
from mm.sim.flow._day_rows import Batches
from mm.sim.flow.recorder import LAST_ID
from mm.sim.matching.order_log import COLUMNS
from mm.tape.tape import Tape

if TYPE_CHECKING:
    from mm.tape.tape import Ints

STEP_US = 100_000
_UNIT = Instrument("LOG", tick_e8=1, lot_e8=1)  # a log counts in ticks and lots, and never says what they are


def tape_of_log(path: Path) -> Tape:
    """Return the tape of the log at *path*: every trade at its instant, and a depth message each 100 ms.

    Raises:
        BrokenFile: If the file is no order log, or leaves the book crossed.
    """
    try:
        table = pl.read_csv(path, schema=dict.fromkeys(COLUMNS, pl.Int64))
        return tape_of_rows(table.to_numpy())
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise BrokenFile(f"{path}: no order log ({error}); its columns stand in docs/exchange.md") from error


def tape_of_rows(rows: "Ints") -> Tape:
    """Return the tape of a log in memory, int64[n, 10]; raises ValueError where it is none."""
    if not len(rows):
        raise ValueError("it has no rows")
    open_us = int(rows[0, 0]) // STEP_US * STEP_US - STEP_US
    messages, levels = Batches(open_us, STEP_US).of(np.ascontiguousarray(rows))
    tape = Tape.of(_UNIT, [(open_us, "snapshot", [], []), *_events(messages, levels)])
    return replace(tape, event_id=np.append(0, messages[:, LAST_ID]))


def _events(messages: "Ints", levels: "Ints") -> Iterator[tuple[Any, ...]]:
    """Yield messages as `Tape.of` takes them."""
    every = [(side, (ticks, lots)) for side, ticks, lots in levels.tolist()]
    for sent_us, _, _, side, ticks, lots in messages.tolist():
        if side:
            yield sent_us, "trade", side, ticks, lots
        else:
            shown = every[ticks:lots]
            bids, asks = ([level for at, level in shown if at == wanted] for wanted in (1, -1))
            yield sent_us, "depth", bids, asks

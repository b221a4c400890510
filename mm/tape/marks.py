"""The mark prices of a contract in a replay: the day's, and where it has none the mid at each whole second."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.clock import US_PER_MS, US_PER_S
from mm.dayfolder.contract_rows import FRESH_US
from mm.dayfolder.layout import MARK, DayFolder, existing
from mm.errors import BrokenFile, OffGrid
from mm.instrument import e8
from mm.tape.columns import Ints, none
from mm.tape.files import read_small

if TYPE_CHECKING:
    from mm.tape.feed import Feed
    from mm.tape.files import FileRead
    from mm.tape.tape import Tape


@dataclass(frozen=True, eq=False)
class Marks:
    """Mark prices, each in force after its instant until the next one; *recorded* counts the day's own."""

    us: Ints
    e8: Ints
    recorded: int


def marks_of(tape: "Tape", feed: "Feed | None") -> Marks:
    """The mark prices of a tape's window, the one in force at its start first.

    Recorded ones are at their receipt, or with a *feed* at the exchange's time. After five seconds without, the mid at
    each whole second, rounded down, stands in, as in `mm.sim`.
    """
    us, price_e8 = _recorded(tape, feed)
    mid_us, mid_e8 = _mids(tape, feed)
    if len(us):
        last = np.searchsorted(us, mid_us, side="right") - 1
        stale = (last < 0) | (mid_us - us[np.maximum(last, 0)] > FRESH_US)
        mid_us, mid_e8 = mid_us[stale], mid_e8[stale]
    known = len(us)
    us, price_e8 = np.concatenate((us, mid_us)), np.concatenate((price_e8, mid_e8))
    order = np.argsort(us, kind="stable")
    return Marks(us[order], price_e8[order], known)


def _recorded(tape: "Tape", feed: "Feed | None") -> tuple[Ints, Ints]:
    us = tape.mark_us
    if feed is not None and len(us):
        late_us = us - tape.mark_told_us - feed.offset_us if feed.offset_us is not None else feed.median_us
        us = np.maximum.accumulate(us - np.maximum(late_us, 0))
    first, stop = np.searchsorted(us, (tape.start_us, tape.end_us), side="right").tolist()
    begin = first - (first > 0 and tape.start_us - us[first - 1] <= FRESH_US)
    return np.maximum(us[begin:stop], tape.start_us), tape.mark_e8[begin:stop]


def read_marks(folder: DayFolder) -> tuple[tuple[Ints, Ints, Ints], "FileRead | None"]:
    """The columns `MARK_COLUMNS` of a day's tape, and the result of reading their file."""
    path = existing(folder.contract)
    if path is None:
        return (none(), none(), none()), None
    data, read = read_small(path)
    lines = data.decode("utf-8", "replace").split("\n")[:-1]  # a recorder may be writing the last one
    header = lines[0].split(",") if lines else []
    received, told, prices = list[int](), list[int](), list[int]()
    for number, line in enumerate(lines[1:], start=2):
        row = dict(zip(header, line.split(","), strict=False))
        try:
            if row["kind"] != MARK:
                continue
            price_e8 = e8(row["mark_price"])
            received.append(int(row["recv_time_us"]))
            told.append(int(row["event_time_ms"]) * US_PER_MS)
            prices.append(price_e8)
        except (KeyError, ValueError, OffGrid) as error:
            raise BrokenFile(f"{path}:{number}: the row cannot be read ({error}); run `mm data check`") from error
    us, told_us, mark_e8 = (np.array(column, np.int64) for column in (received, told, prices))
    usable = mark_e8 > 0  # 0: the exchange has none
    return (np.maximum.accumulate(us)[usable], told_us[usable], mark_e8[usable]), read


def _mids(tape: "Tape", feed: "Feed | None") -> tuple[Ints, Ints]:
    """Whole seconds at which the book has two sides, and the mids then."""
    happened = tape.event_us if feed is None else feed.by_event
    seconds = np.arange(-(-tape.start_us // US_PER_S), tape.end_us // US_PER_S + 1, dtype=np.int64) * US_PER_S
    last = np.searchsorted(happened[tape.top_event], seconds, side="right") - 1
    bid, ask = tape.top_bid_ticks[np.maximum(last, 0)], tape.top_ask_ticks[np.maximum(last, 0)]
    known = (last >= 0) & (bid > 0) & (ask > 0)
    return seconds[known], ((bid + ask) * tape.instrument.tick_e8 // 2)[known]

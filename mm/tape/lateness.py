"""How late a recorded market is by the exchange's clock: `mm.market_data.lateness` for a whole tape."""

from typing import TYPE_CHECKING

import numpy as np

from mm.market_data.lateness import UNKNOWN_US
from mm.tape.columns import DEPTH, TRADE, Ints

if TYPE_CHECKING:
    from mm.tape.tape import Tape

_MOST_US = 1 << 36  # 19 hours; with as many depth messages as a day can have, the sums below fit in 64 bits


def lateness(tape: "Tape", *, strict: bool = False) -> Ints | None:
    """Lateness as of each event, int64[n], µs; None if never late.

    Args:
        strict: Whether the market is `UNKNOWN_US` late before the first measurement; else in time.
    """
    if not tape.meta.clock:
        return np.full(len(tape), UNKNOWN_US) if strict else None
    at = _measured_before(tape)
    known = at >= 0
    least_us = np.array([reading.least_us for reading in tape.meta.clock], np.int64)[at]
    stamped = known & (tape.event_exch_us > 0)
    depth = stamped & (tape.kind == DEPTH)
    late_us = np.where(
        depth | (stamped & (tape.kind == TRADE)), tape.event_us - tape.event_exch_us - np.where(known, least_us, 0), 0
    ).clip(0, _MOST_US)
    # A depth message begins a stretch within which only more counts: each is lifted above all values before it.
    lift = depth.cumsum() * (_MOST_US + 1)
    late_us = np.maximum.accumulate(late_us + lift) - lift
    return late_us if known.all() or not strict else np.where(known, late_us, UNKNOWN_US)


def _measured_before(tape: "Tape") -> Ints:
    seqs = tape.recv_seq
    # A trade that was fetched later, or a message that waited for a snapshot, has another number than its place.
    of_books = np.where((tape.kind == TRADE) | (seqs < 0), np.iinfo(np.int64).max, seqs)
    following = np.minimum.accumulate(of_books[::-1])[::-1]
    placed = np.maximum.accumulate(np.where(tape.kind == TRADE, np.minimum(seqs, following), seqs))
    return np.searchsorted([reading.seq for reading in tape.meta.clock], placed) - 1

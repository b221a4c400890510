"""A tape in the order of the exchange's clock.

Messages have an exchange timestamp and a receive timestamp of our clock; the offset of the two clocks is not recorded.
It is estimated as the minimum difference of the timestamps in a period, minus an assumed latency of the fastest
message (`QUICKEST_US`). With it every exchange timestamp is converted to our clock, and the remaining difference is the
feed latency of a message.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm.clock import US_PER_MS, US_PER_S
from mm.tape.columns import Ints
from mm.tape.tape import DEPTH, GAP, KEYFRAME, TRADE, Tape

BLOCK_US = 600 * US_PER_S  # length of these periods; the offset is interpolated linearly between them
QUICKEST_US = 500  # assumed minimum feed latency: half of a round trip inside one region


@dataclass(frozen=True, eq=False)
class Feed:
    """A tape in the exchange's order.

    Attributes:
        sequence: Positions of the tape's events in the exchange's order, int64[n].
        clock_us: Exchange time of each of them, converted to our clock, ascending, int64[n].
        by_event: The same in the tape's order, int64[n].
        offset_us: Our clock minus the exchange's: the median over the tape.
        median_us: Median feed latency of the stamped messages.
        p99_us: 99th percentile of it.
    """

    sequence: Ints
    clock_us: Ints
    by_event: Ints
    offset_us: int
    median_us: int
    p99_us: int

    def to_dict(self) -> dict[str, float]:
        """Return offset and latencies in ms, as in the summary."""
        return {
            "clock_offset_ms": self.offset_us / US_PER_MS,
            "median_ms": self.median_us / US_PER_MS,
            "p99_ms": self.p99_us / US_PER_MS,
        }


def feed_of(tape: Tape) -> Feed:
    """Return *tape* in the exchange's order.

    Depth messages and trades have an exchange timestamp. Events without one are at their receive time: a snapshot after
    a gap is not available earlier. Only gaps and keyframes are at the time of the book event before them. Book events
    keep their recorded order, and so do trades; no event of the tape's window is before its start.
    """
    stamped = ((tape.kind == DEPTH) | (tape.kind == TRADE)) & (tape.event_exch_us > 0)
    behind = (tape.kind == GAP) | (tape.kind == KEYFRAME)
    late = np.where(stamped, tape.event_us - tape.event_exch_us, 0)
    offset = _offset(tape.event_us, late, stamped)
    happened = np.where(stamped, np.minimum(tape.event_exch_us + offset, tape.event_us), tape.event_us)
    trades = tape.kind == TRADE
    for stream in (trades, ~trades):
        happened[stream] = np.maximum.accumulate(_carried(happened[stream], behind[stream]))
    happened = np.where(tape.event_us < tape.start_us, happened, np.maximum(happened, tape.start_us))
    sequence = np.argsort(happened, kind="stable").astype(np.int64)
    latency = (tape.event_us - happened)[stamped]
    median, p99 = np.quantile(latency, [0.5, 0.99]).astype(np.int64).tolist() if len(latency) else (0, 0)
    middle = int(np.median(offset[stamped])) if len(latency) else 0
    return Feed(sequence, np.ascontiguousarray(happened[sequence]), happened, middle, median, p99)


def _offset(event_us: Ints, late: Ints, stamped: NDArray[np.bool_]) -> Ints:
    """Return our clock minus the exchange's at each event, from the fastest message of each block."""
    us, late = event_us[stamped], late[stamped]
    if not len(us):
        return np.zeros(len(event_us), np.int64)
    block = (us - us[0]) // BLOCK_US
    first = np.flatnonzero(np.diff(block, prepend=-1))
    least = np.minimum.reduceat(late, first)
    middle = us[0] + (block[first] * BLOCK_US) + BLOCK_US // 2
    return np.floor(np.interp(event_us, middle, least)).astype(np.int64) - QUICKEST_US


def _carried(happened: Ints, behind: NDArray[np.bool_]) -> Ints:
    """Return *happened* where each event *behind* another has the instant of that one; the first keeps its own."""
    last = np.maximum.accumulate(np.where(behind, 0, np.arange(len(happened))))
    return happened[last]

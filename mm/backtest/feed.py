"""What the exchange knew before we did: a tape in the order of the exchange's own clock.

The exchange stamps what it sends, and we stamp what we receive; the two clocks differ by an offset that nobody
recorded. The quickest message of a while took next to no time, so the least difference of the stamps is the offset,
but for that quickest journey; with it every stamp of the exchange becomes an instant of our clock, and the
difference that is left is how late a message came.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.clock import US_PER_MS, US_PER_S
from mm.tape.tape import DEPTH, GAP, KEYFRAME, TRADE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Ints = NDArray[np.int64]

BLOCK_US = 600 * US_PER_S  # the offset is the least of each, and moves evenly in between
QUICKEST_US = 500  # a message that takes less is not known: half of a round trip inside one region


@dataclass(frozen=True, eq=False)
class Feed:
    """A tape as the exchange saw it.

    Attributes:
        sequence: Positions of the tape's events in the exchange's order, int64[n].
        clock_us: When each of them happened, by our clock, never falling, int64[n].
        offset_us: How far our clock was ahead of the exchange's: the median over the tape.
        median_us: Of how late the stamped messages came.
        p99_us: Likewise.
    """

    sequence: "Ints"
    clock_us: "Ints"
    offset_us: int
    median_us: int
    p99_us: int

    def to_dict(self) -> dict[str, float]:
        """Return offset and latencies in ms, as the summary shows them."""
        return {
            "clock_offset_ms": self.offset_us / US_PER_MS,
            "median_ms": self.median_us / US_PER_MS,
            "p99_ms": self.p99_us / US_PER_MS,
        }


def feed_of(tape: "Tape") -> Feed:
    """Return *tape* in the exchange's order.

    Depth messages and trades have a stamp of the exchange's. What has none happens when it is received: a snapshot
    behind a gap is not known any earlier. Only gaps and keyframes stand behind the book event before them. Within the
    book's events and within the trades the recorded order stays, and what the tape received happens within it.
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
    journey = (tape.event_us - happened)[stamped]
    median, p99 = np.quantile(journey, [0.5, 0.99]).astype(np.int64).tolist() if len(journey) else (0, 0)
    middle = int(np.median(offset[stamped])) if len(journey) else 0
    return Feed(sequence, np.ascontiguousarray(happened[sequence]), middle, median, p99)


def _offset(event_us: "Ints", late: "Ints", stamped: "NDArray[np.bool_]") -> "Ints":
    """Return our clock less the exchange's at each event, from the quickest message of each block."""
    us, late = event_us[stamped], late[stamped]
    if not len(us):
        return np.zeros(len(event_us), np.int64)
    block = (us - us[0]) // BLOCK_US
    first = np.flatnonzero(np.diff(block, prepend=-1))
    least = np.minimum.reduceat(late, first)
    middle = us[0] + (block[first] * BLOCK_US) + BLOCK_US // 2
    return np.floor(np.interp(event_us, middle, least)).astype(np.int64) - QUICKEST_US


def _carried(happened: "Ints", behind: "NDArray[np.bool_]") -> "Ints":
    """Return instants in which an event that stands behind another has that one's; the first has its own."""
    last = np.maximum.accumulate(np.where(behind, 0, np.arange(len(happened))))
    return happened[last]

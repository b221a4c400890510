# Generated from mm/sim/flow/_day_rows.pyx by `make stubs`; edit that file instead.

"""The bytes that a recorder writes of a simulated market: depth messages, trades, frames of the best levels; the log.

- `Lines` formats each message as a line of the diffs and a frame of the book after it, or as a trade. The lines are
  those of ``mm.dayfolder.day_writer``, byte for byte.
- `log_lines` formats the order log.

Decimals have eight places and are computed in 128 bits, so that every product of a count and a step is exact.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

class Lines:
    """Format messages as the lines of a day folder, and maintain the book that results.

    Args:
        run_id: Name of the run, in every line.
        top_n: Levels per side in the frames.
        tick_e8: Price step, in 1e-8 of the quote asset.
        lot_e8: Quantity step, in 1e-8 of the base asset.
    """
    def __init__(self, run_id: str, top_n: int, tick_e8: int, lot_e8: int) -> None: ...
    def load(self, epoch_id: int, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """Begin an epoch with the book of a snapshot: (ticks, lots) of each level."""
    def of(
        self, messages: NDArray[np.int64], levels: NDArray[np.int64], recv_us: NDArray[np.int64], first_seq: int
    ) -> tuple[bytes, bytes, bytes]:
        """Return the lines of *messages*: those of the diffs, of the frames, and of the trades.

        Args:
            messages: The messages of the exchange, int64[n, 6], as `recorder.Batches.of` returns them.
            levels: The levels of its depth messages.
            recv_us: When each message arrived, µs.
            first_seq: The `recv_seq` of the first message; the others count up by one.
        """

def log_lines(rows: NDArray[np.int64]) -> bytes:
    """Return the rows of an order log as the lines of its file."""

# Generated from mm/sim/flow/_day_rows.pyx by `make stubs`; edit that file instead.

"""Formats the recorded files of a simulated market: depth messages, trades, frames of the best levels, order log.

- `Lines` formats a depth message as a line of the diffs and a frame of the book after it, and a trade message as a line
  of the trades. The lines equal those of ``mm.dayfolder.day_writer``, byte for byte.
- `log_lines` formats the order log.

Decimals have eight places and are computed in 128 bits, so that every product of a count and a step is exact.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

class Lines:
    """Format messages as the lines of a day folder, and maintain the resulting book.

    Args:
        run_id: Id of the run, written in every line.
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
        """Return the lines of *messages*: (diffs, frames, trades).

        Args:
            messages: Messages of the exchange, int64[n, 6], in the format of `recorder.Batches.of`.
            levels: Levels of the depth messages, int64[m, 3].
            recv_us: Receipt time of each message, µs.
            first_seq: `recv_seq` of the first message; it increases by one per message.
        """

def log_lines(rows: NDArray[np.int64]) -> bytes:
    """Return the rows of an order log as the lines of its file."""

# Generated from mm/tape/_level_changes.pyx by `make stubs`; edit that file instead.

"""The rows of a tape's books, sorted by side and price in one pass over the counts of each."""

import numpy as np
from numpy.typing import NDArray

def by_price(
    kind: NDArray[np.uint8],
    first_row: NDArray[np.int64],
    row_side: NDArray[np.int8],
    slot: NDArray[np.int64],
    row_lots: NDArray[np.int64],
    least: int,
    slots: int,
    framed: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of all DEPTH and SNAPSHOT events by slot and side, in order of time within each.

    Args:
        kind, first_row, row_side, row_lots: The columns of the tape.
        slot: Of each row, the number of its price; numbers lie in ``least`` … ``least + slots - 1``.
        least: The least of them.
        slots: How many there are.
        framed: Whether the rows of the first event count, whatever its kind.

    Returns:
        Where the rows of ``2 * (slot - least) + is_bid`` begin, int64[2 * slots + 1]; of each row its event, int32[n],
        and its lots, int64[n].
    """

# Generated from mm/report/_drawn_rows.pyx by `make stubs`; edit that file instead.

"""Single passes over the rows of a chart, where numpy would need many: few of a million prints per day are drawn."""

import numpy as np
from numpy.typing import NDArray

def whole_units(values: NDArray[np.float64], unit: float) -> tuple[NDArray[np.int64], float]:
    """Return *values* as whole *units* above their minimum, plus one, with 0 for NaN; and the minimum, or 0."""

def mark_changes(
    state: NDArray[np.int64], still_us: int, drawn: NDArray[np.uint8], apart_us: NDArray[np.int32]
) -> None:
    """Mark consecutive state rows that a page draws: at each change, before and after it, and one per *still_us*.

    A time between two rows above *still_us* counts as a change, so that both ends of a pause are drawn.

    Args:
        state: Rows with the columns ``STATE_COLUMNS``, of which inventory, cash, fees and mid are compared.
        still_us: Time of which one row is drawn if nothing changes.
        drawn: Set to 1 for the rows to draw; other rows are not set.
        apart_us: Set to the times between rows, at most the greatest of the type.
    """

def ranks_near(
    us: NDArray[np.int64], near: NDArray[np.int64], spans_us: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return a rank per row: the number of *spans_us* around *near* that contain neither it nor the row after it.

    Also return the number of rows below each rank: 0, 1, …, one more than the number of spans.

    Args:
        us, near, spans_us: Ascending.
    """

def far_extremes(
    ranks: NDArray[np.uint8], rank: int, values: NDArray[np.int64], first: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Return the first, minimum, maximum and last row of each share of the rows of *rank* or more, each once.

    Of equal values the first counts. Values too far apart for `VALUE_BITS` are cut by as many bits, counted from the
    minimum and the maximum.

    Args:
        ranks: Of all rows.
        rank: The lowest rank of the rows.
        values: Values of all rows, which are compared.
        first: Index among these rows of the first row of each share, ascending from 0; the last share ends with them.
    """

def envelope_rows(
    us: NDArray[np.float64], values: NDArray[np.float64], low: float, high: float, count: int
) -> tuple[NDArray[np.int64], list[int]]:
    """Return first, minimum, maximum and last row of each of *count* equal columns from *low* to *high*, each once.

    Also return the rows before which a column contains only NaN. No row is NaN; of equal values the first counts.
    """

def points_text(
    x: NDArray[np.float64], y: NDArray[np.float64], before: str, between: str, after: str, whole: bool = False
) -> str:
    """Return the points as path text: *before*, x, *between*, y and *after* of each, rounded to tenths.

    Args:
        x, y: Equally many.
        before, between, after: ASCII.
        whole: Whether x is rounded to whole numbers.
    """

def packed_steps(numbers: NDArray[np.int64]) -> tuple[int, NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float64]]:
    """Return *numbers* as their differences, the first from 0, in the width with the smallest total.

    Returns:
        Bytes per difference: 1, 2 or 4; the differences, little-endian, 0 for those not below half the range of the
        width; the indices of those, and their values.
    """

def pick_prints(
    kind: NDArray[np.uint8],
    event_us: NDArray[np.int64],
    first_row: NDArray[np.int64],
    row_side: NDArray[np.int8],
    row_ticks: NDArray[np.int64],
    row_lots: NDArray[np.int64],
    tick_times: int,
    lot_times: int,
    us: NDArray[np.int64],
    ticks: NDArray[np.number],
    lots: NDArray[np.number],
    buys: int,
    sells: int,
    begin: int,
    stop: int,
) -> tuple[int, int]:
    """Copy instant, price and quantity of the prints among the events *begin* to *stop*, by side of the aggressor.

    Args:
        kind, event_us, first_row, row_side, row_ticks, row_lots: Columns of the tape.
        tick_times, lot_times: Steps of the copied prices and quantities per tick and lot.
        us, ticks, lots: Prints of buyers, and of sellers.
        buys, sells: Their numbers before.
        begin, stop: Events.

    Returns:
        Their numbers afterwards.

    Raises:
        OverflowError: A price or a quantity does not fit.
    """

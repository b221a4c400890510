# Generated from mm/report/_drawn_rows.pyx by `make stubs`; edit that file instead.

"""One pass each over the rows of a chart, where numpy would take many: of a million prints a day few are drawn."""

import numpy as np
from numpy.typing import NDArray

def whole_units(values: NDArray[np.float64], unit: float) -> tuple[NDArray[np.int64], float]:
    """Return *values* as whole *units* above the least of them, plus one, with 0 for NaN; and the least, or 0."""

def ranks_near(
    us: NDArray[np.int64], near: NDArray[np.int64], spans_us: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return of each row how many of *spans_us* hold neither it nor the row after it around one of *near*.

    And how many rows have a rank below each: 0, 1, …, one more than there are spans.

    Args:
        us, near, spans_us: Rising.
    """

def parted(ranks: NDArray[np.uint8], rank: int, inside: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows whose rank is below *rank*, which are *inside* many, and the others."""

def least_and_greatest(
    values: NDArray[np.int64], rows: NDArray[np.int64], first: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of the least and of the greatest value of each share of *rows*, the first of equal ones.

    Values that are too far apart for `VALUE_BITS` are cut by as many bits, counted from the least and the greatest.

    Args:
        values: What is compared.
        rows: Rows of it, one at least.
        first: The first place of each share, rising from 0.
    """

def pick_prints(
    kind: NDArray[np.uint8],
    event_us: NDArray[np.int64],
    first_row: NDArray[np.int64],
    row_side: NDArray[np.int8],
    row_ticks: NDArray[np.int64],
    row_lots: NDArray[np.int64],
    us_ticks_lots: NDArray[np.int64],
    side: NDArray[np.int8],
    done: int,
    begin: int,
    stop: int,
) -> int:
    """Copy instant, ticks, lots and side of the prints among the events *begin* to *stop*.

    They go behind the *done* first ones of both results; what is returned is how many there are by then.
    """

def prints_of(
    side: NDArray[np.int8], sign: int, us: NDArray[np.int64], price: NDArray[np.float64], qty: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return instants, prices and quantities of the prints of one *side*, +1 or -1."""

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

def far_extremes(
    ranks: NDArray[np.uint8], rank: int, values: NDArray[np.int64], first: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Return of each share of the rows that have *rank* or more: first, least, greatest and last row, each once.

    Of equal values the first counts. Values that are too far apart for `VALUE_BITS` are cut by as many bits, counted
    from the least and the greatest.

    Args:
        ranks: Of all rows.
        rank: The least.
        values: Of all rows, what is compared.
        first: Which of these rows each share begins with, rising from 0; the last one ends with them.
    """

def envelope_rows(
    us: NDArray[np.float64], values: NDArray[np.float64], low: float, high: float, count: int
) -> tuple[NDArray[np.int64], list[int]]:
    """Return first, least, greatest and last row of each of *count* equal columns from *low* to *high*, each once.

    And before which of these rows a column has only NaN, which none of them is; of equal values the first counts.
    """

def points_text(
    x: NDArray[np.float64], y: NDArray[np.float64], before: str, between: str, after: str, whole: bool = False
) -> str:
    """Return the points as a path has them: *before*, x, *between*, y and *after* of each, rounded to tenths.

    Args:
        x, y: As many of both.
        before, between, after: ASCII.
        whole: Whether x is rounded to whole numbers.
    """

def packed_steps(numbers: NDArray[np.int64]) -> tuple[int, NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float64]]:
    """Return *numbers* as their differences, the first being from 0, in the width that takes the fewest bytes.

    Returns:
        The bytes of a difference: 1, 2 or 4; the differences, little-endian, 0 where one is not below half the range
        of the width; the places of those, and their values.
    """

def pick_prints(
    kind: NDArray[np.uint8],
    event_us: NDArray[np.int64],
    first_row: NDArray[np.int64],
    row_side: NDArray[np.int8],
    row_ticks: NDArray[np.int64],
    row_lots: NDArray[np.int64],
    bought: NDArray[np.int64],
    sold: NDArray[np.int64],
    begin: int,
    stop: int,
) -> tuple[int, int]:
    """Copy instant, ticks and lots of the prints among the events *begin* to *stop*, by the side of their aggressors.

    What is returned is how many of each there are.
    """

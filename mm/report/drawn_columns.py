"""The columns of a chart as a page holds them: whole units, packed, and of many rows those that are drawn.

All rows near a fill stay, and of the others the extremes of equal shares of the rows.
"""

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.clock import US_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Instants = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Rows = NDArray[np.intp]

CLOSE_S = (1, 2, 5, 10, 30, 60)  # around a fill, in which all is kept where it is no more than half
FAR_US = 1 << 61
_WIDTHS = (1, 2, 4)
_INDEX_BITS = 24  # a column of more rows is not thinned in one go
_VALUE_BITS = 62 - _INDEX_BITS


class Near:
    """Instants around which all rows stay, and how near the rows of each series lie to them, found once per series.

    Args:
        us: Rising.
    """

    def __init__(self, us: "Instants") -> None:
        self._us = us
        self._known: dict[int, tuple[Instants, NDArray[np.uint8], Ints]] = {}  # by identity of the series, held here

    def close(self, us: "Instants", most: int) -> "NDArray[np.bool_]":
        """Return which rows of a series lie within the longest of `CLOSE_S`, and the last before each of them.

        It is the longest that leaves no more than half of *most* rows; no row is close where the shortest leaves more.
        """
        if id(us) not in self._known:
            ranks = self._ranks(us)
            self._known[id(us)] = us, ranks, np.cumsum(np.bincount(ranks, minlength=len(CLOSE_S)))
        _, ranks, counts = self._known[id(us)]
        return ranks < np.searchsorted(counts, most // 2, side="right")

    def _ranks(self, us: "Instants") -> "NDArray[np.uint8]":
        """Return of each row how many of `CLOSE_S` do not hold it, nor the row after it."""
        near = self._us
        if not len(near):
            return np.full(len(us), len(CLOSE_S), np.uint8)
        # rows from one of the instants to the next; there is none before the first and behind the last
        rows = np.diff(np.searchsorted(us, near, side="right"), prepend=0, append=len(us))
        apart_us = np.repeat(np.append(near, FAR_US), rows) - us
        np.minimum(apart_us, us - np.repeat(np.concatenate(([-FAR_US], near)), rows), out=apart_us)
        ranks = np.zeros(len(us), np.uint8)
        for one in CLOSE_S:
            ranks += apart_us > one * US_PER_S
        ranks[:-1] = np.minimum(ranks[:-1], ranks[1:])  # the last before one still holds
        return ranks


def kept(us: "Instants", most: int, near: "Near", thin: "Callable[[Rows, int], Rows]") -> "Rows":
    """Return the rows that stay of a series, so that they are about *most*.

    Args:
        us: Their instants, rising.
        most: How many; where there are no more, all stay.
        near: Around what all rows stay, within the longest of `CLOSE_S` that takes half at most.
        thin: Returns the places of a few of the other rows.
    """
    rows = np.arange(len(us))
    if len(us) <= most:
        return rows
    close = near.close(us, most)
    others = np.flatnonzero(~close)
    return np.sort(np.append(rows[close], others[thin(others, most - int(np.count_nonzero(close)))]))


def evenly(rows: "Rows", most: int) -> "Rows":
    """Return the places of one of several *rows*, so that there are *most* or fewer."""
    return np.arange(0, len(rows), max(1, -(-len(rows) // max(1, most))))


def packed(numbers: "Ints") -> dict[str, Any]:
    """Return *numbers* as their differences, in one, two or four bytes each, whichever is shortest.

    Returns:
        ``bytes`` of a difference; ``steps``, all of them; ``at`` and ``far``, the places (4 bytes) and the values (8,
        floating) of those that do not fit, which are 0 among the steps. Little-endian, base64.
    """
    steps = np.diff(numbers, prepend=0)
    size = np.abs(steps)
    fits = [(width, np.flatnonzero(size >= 1 << 8 * width - 1)) for width in _WIDTHS]
    width, far = min(fits, key=lambda fit: len(steps) * fit[0] + len(fit[1]) * 12)
    near = steps.astype(f"<i{width}")
    near[far] = 0
    return {
        "bytes": width,
        "steps": _text(near),
        "at": _text(far.astype("<u4")),
        "far": _text(steps[far].astype("<f8")),
    }


def _text(array: "NDArray[Any]") -> str:
    return b64encode(array.tobytes()).decode()


def unit_of(values: "Floats") -> float:
    """Return a power of ten that writes *values* with six digits of their range; NaN is passed over."""
    known = values[~np.isnan(values)]
    reach = float(known.max() - known.min()) if len(known) else 0.0
    return float(10.0 ** (np.floor(np.log10(reach)) - 6)) if reach > 0 else 1.0


def whole(values: "Floats", unit: float) -> tuple["Ints", float]:
    """Return *values* as whole *units* above the least of them, plus one, with 0 for NaN; and the least."""
    hole = np.isnan(values)
    low = float(values[~hole].min()) if not hole.all() else 0.0
    return np.where(hole, 0, np.rint((np.nan_to_num(values) - low) / unit) + 1).astype(np.int64), low


def changes(values: "Ints") -> "NDArray[np.intp]":
    """Return where *values* differ from the one before; the first always does."""
    return np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1]))) if len(values) else np.arange(0)


def extremes(values: "Ints", most: int) -> "NDArray[np.intp]":
    """Return the rows to keep of a step function so that *most* or fewer are left.

    Of each equal share of the rows the first, the least, the greatest and the last are kept, so no peak is lost.
    """
    if len(values) <= most:
        return np.arange(len(values))
    first = np.linspace(0, len(values), max(1, most // 4), endpoint=False).astype(np.int64)
    last = np.append(first[1:], len(values)) - 1
    over = max(0, int(values.max() - values.min()).bit_length() - _VALUE_BITS)
    rows = np.arange(len(values))
    least = np.minimum.reduceat((values - values.min()) >> over << _INDEX_BITS | rows, first)
    greatest = np.minimum.reduceat((values.max() - values) >> over << _INDEX_BITS | rows, first)
    mask = (1 << _INDEX_BITS) - 1
    return distinct(np.concatenate((first, least & mask, greatest & mask, last)))


def distinct(rows: "Rows") -> "Rows":
    """Return *rows* in order, each once; `np.unique` does it slower, and imports all of `numpy.ma` for it."""
    ordered = np.sort(rows)
    return ordered[changes(ordered)]

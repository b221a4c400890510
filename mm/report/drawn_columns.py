"""The columns of a chart as stored in a page: integers of a unit, packed, and thinned if there are many rows.

All rows near a fill are kept, and of the others the extremes of equal shares of the rows.
"""

from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.clock import US_PER_S
from mm.dataclass import dataclass
from mm.report._drawn_rows import far_extremes, packed_steps, ranks_near, whole_units
from mm.tape.frames import floats

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Instants = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Rows = NDArray[np.intp]
    Ranks = NDArray[np.uint8]

CLOSE_S = (1, 2, 5, 10, 30, 60)  # spans around fills in which all rows are kept, if that is at most half
_SPANS_US = np.array(CLOSE_S, np.int64) * US_PER_S


@dataclass(frozen=True, eq=False)
class Units:
    """Whole units of a step, converted to floats when indexed: only few of a million prints are drawn.

    Attributes:
        units: Numbers of units.
        step_e8: The step, in 1e-8.
    """

    units: "Ints"
    step_e8: int

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, rows: "Rows") -> "Floats":
        return floats(self.units[rows], self.step_e8)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "Floats":
        return floats(self.units, self.step_e8)


class Near:
    """Instants around which all rows are kept, and the closeness of rows to them, computed once per series.

    Args:
        us: The instants, ascending.
    """

    def __init__(self, us: "Instants") -> None:
        self._us = us
        self._known: dict[int, tuple[Instants, NDArray[np.uint8], Ints]] = {}  # by id of the series kept here

    def ranks(self, us: "Instants", most: int) -> "tuple[Ranks, int]":
        """Return a rank of each row of a series, and the lowest rank of rows that are not close.

        A row is close if it is within the longest span of `CLOSE_S` that keeps at most half of *most* rows; the last
        row before each instant is included. If the shortest span keeps more, no row is close.
        """
        if id(us) not in self._known:
            self._known[id(us)] = us, *ranks_near(us, self._us, _SPANS_US)
        _, ranks, below = self._known[id(us)]
        return ranks, int(np.searchsorted(below[1:-1], most // 2, side="right"))


def drawn_rows(us: "Instants", most: int, near: "Near", thin: "Callable[[Ranks, int, int], Rows]") -> "Rows":
    """Return about *most* rows of a series to draw.

    Args:
        us: Their instants, ascending.
        most: Number of rows; if there are no more, all are kept.
        near: Instants around which all rows are kept, within the longest span of `CLOSE_S` that takes at most half.
        thin: Returns at most a given number of the rows of a given rank or more.
    """
    if len(us) <= most:
        return np.arange(len(us))
    ranks, rank = near.ranks(us, most)
    stay = ranks < rank
    stay[thin(ranks, rank, most - int(np.count_nonzero(stay)))] = True
    return np.flatnonzero(stay)


def evenly(ranks: "Ranks", rank: int, most: int) -> "Rows":
    """Return at most *most* rows, evenly selected from those with *ranks* of *rank* or more."""
    rows = np.flatnonzero(ranks >= rank)
    return rows[:: max(1, -(-len(rows) // max(1, most)))]


class Packed(NamedTuple):
    """Whole numbers as their differences, little-endian.

    Attributes:
        width: Bytes per difference: one, two or four, the one with the smallest total.
        steps: All differences.
        at, far: Indices (4 bytes) and values (8, floating) of those that do not fit, which are 0 in *steps*.
    """

    width: int
    steps: "NDArray[np.uint8]"
    at: "NDArray[np.uint32]"
    far: "Floats"

    @property
    def size(self) -> int:
        """Length of its text."""
        return len(_JSON % (self.width, "", "", "")) + sum(-(-column.nbytes // 3) * 4 for column in self[1:])

    def text(self) -> str:
        """Return it as JSON, with columns in base64."""
        return _JSON % (self.width, *(b64encode(column.data).decode() for column in self[1:]))


_JSON = '{"bytes":%d,"steps":"%s","at":"%s","far":"%s"}'


def packed(numbers: "Ints") -> Packed:
    """Return *numbers* as packed differences."""
    return Packed(*packed_steps(numbers))


def unit_of(values: "Floats") -> float:
    """Return a power of ten that writes *values* with six digits of their range; NaN is ignored."""
    known = values[~np.isnan(values)]
    reach = float(known.max() - known.min()) if len(known) else 0.0
    return float(10.0 ** (np.floor(np.log10(reach)) - 6)) if reach > 0 else 1.0


def whole(values: "Floats", unit: float) -> tuple["Ints", float]:
    """Return *values* as whole *units* above their minimum, plus one, with 0 for NaN; and the minimum."""
    codes, low = whole_units(np.ascontiguousarray(values, np.float64).reshape(-1), unit)
    return codes.reshape(values.shape), low


def extremes(values: "Ints", ranks: "Ranks", rank: int, most: int) -> "Rows":
    """Return at most *most* rows of a step function, of those with *ranks* of *rank* or more.

    Of each equal share of the rows the first, the minimum, the maximum and the last are kept, so that no peak is lost.
    """
    rows = int(np.count_nonzero(ranks >= rank))
    if rows <= most:
        return np.flatnonzero(ranks >= rank)
    shares = np.linspace(0, rows, max(1, most // 4), endpoint=False).astype(np.int64)
    return far_extremes(ranks, rank, values.astype(np.int64, copy=False), shares)

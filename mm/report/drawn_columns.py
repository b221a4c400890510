"""The columns of a chart as a page holds them: whole units, packed, and of many rows those that are drawn.

All rows near a fill stay, and of the others the extremes of equal shares of the rows.
"""

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.clock import US_PER_S
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

CLOSE_S = (1, 2, 5, 10, 30, 60)  # around a fill, in which all is kept where it is no more than half
_SPANS_US = np.array(CLOSE_S, np.int64) * US_PER_S


@dataclass(frozen=True, eq=False)
class Units:
    """Whole units of a step that become floats where they are looked at: of a million prints few are.

    Attributes:
        units: How many.
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
    """Instants around which all rows stay, and how near the rows of each series lie to them, found once per series.

    Args:
        us: Rising.
    """

    def __init__(self, us: "Instants") -> None:
        self._us = us
        self._known: dict[int, tuple[Instants, NDArray[np.uint8], Ints]] = {}  # by identity of the series, held here

    def ranks(self, us: "Instants", most: int) -> "tuple[Ranks, int]":
        """Return a rank of each row of a series, and from which rank on a row is not close.

        Close is what lies within the longest of `CLOSE_S`, the last row before each instant among it: the longest that
        leaves no more than half of *most* rows; no row is close where the shortest leaves more.
        """
        if id(us) not in self._known:
            self._known[id(us)] = us, *ranks_near(us, self._us, _SPANS_US)
        _, ranks, below = self._known[id(us)]
        return ranks, int(np.searchsorted(below[1:-1], most // 2, side="right"))


def drawn_rows(us: "Instants", most: int, near: "Near", thin: "Callable[[Ranks, int, int], Rows]") -> "Rows":
    """Return the rows that stay of a series, so that they are about *most*.

    Args:
        us: Their instants, rising.
        most: How many; where there are no more, all stay.
        near: Around what all rows stay, within the longest of `CLOSE_S` that takes half at most.
        thin: Returns some of the rows that have a rank or more, so many at most.
    """
    if len(us) <= most:
        return np.arange(len(us))
    ranks, rank = near.ranks(us, most)
    stay = ranks < rank
    stay[thin(ranks, rank, most - int(np.count_nonzero(stay)))] = True
    return np.flatnonzero(stay)


def evenly(ranks: "Ranks", rank: int, most: int) -> "Rows":
    """Return one of several rows whose *ranks* are *rank* or more, so that there are *most* or fewer."""
    rows = np.flatnonzero(ranks >= rank)
    return rows[:: max(1, -(-len(rows) // max(1, most)))]


class Packed(NamedTuple):
    """Whole numbers as their differences, little-endian.

    Attributes:
        width: Bytes of a difference: one, two or four, whichever takes the fewest.
        steps: All of them.
        at, far: The places (4 bytes) and the values (8, floating) of those that do not fit, 0 among the steps.
    """

    width: int
    steps: "NDArray[np.uint8]"
    at: "NDArray[np.uint32]"
    far: "Floats"

    @property
    def size(self) -> int:
        """The characters of its text."""
        return len(_JSON % (self.width, "", "", "")) + sum(-(-column.nbytes // 3) * 4 for column in self[1:])

    def text(self) -> str:
        """Return it as JSON, its columns in base64."""
        return _JSON % (self.width, *(b64encode(column.data).decode() for column in self[1:]))


_JSON = '{"bytes":%d,"steps":"%s","at":"%s","far":"%s"}'


def packed(numbers: "Ints") -> Packed:
    """Return *numbers* as a page holds them."""
    return Packed(*packed_steps(numbers))


def unit_of(values: "Floats") -> float:
    """Return a power of ten that writes *values* with six digits of their range; NaN is passed over."""
    known = values[~np.isnan(values)]
    reach = float(known.max() - known.min()) if len(known) else 0.0
    return float(10.0 ** (np.floor(np.log10(reach)) - 6)) if reach > 0 else 1.0


def whole(values: "Floats", unit: float) -> tuple["Ints", float]:
    """Return *values* as whole *units* above the least of them, plus one, with 0 for NaN; and the least."""
    codes, low = whole_units(np.ascontiguousarray(values, np.float64).reshape(-1), unit)
    return codes.reshape(values.shape), low


def extremes(values: "Ints", ranks: "Ranks", rank: int, most: int) -> "Rows":
    """Return rows of a step function whose *ranks* are *rank* or more, so that *most* or fewer are left.

    Of each equal share of the rows the first, the least, the greatest and the last are kept, so no peak is lost.
    """
    rows = int(np.count_nonzero(ranks >= rank))
    if rows <= most:
        return np.flatnonzero(ranks >= rank)
    shares = np.linspace(0, rows, max(1, most // 4), endpoint=False).astype(np.int64)
    return far_extremes(ranks, rank, values.astype(np.int64, copy=False), shares)

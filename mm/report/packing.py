"""Columns of numbers as short text for a page's script: whole numbers, differences in few bytes each, base64.

`zoom.js` unpacks them. A day of quotes and prices is a few bytes a row this way, and neither end takes time for it.
"""

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

_WIDTHS = (1, 2, 4)
_INDEX_BITS = 24  # a column of more rows is not thinned in one go
_VALUE_BITS = 62 - _INDEX_BITS


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
    """Return a power of ten that tells *values* to six digits of their range; NaN is passed over."""
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
    first = np.unique(np.linspace(0, len(values), max(1, most // 4), endpoint=False).astype(np.int64))
    last = np.append(first[1:], len(values)) - 1
    over = max(0, int(values.max() - values.min()).bit_length() - _VALUE_BITS)
    rows = np.arange(len(values))
    least = np.minimum.reduceat((values - values.min()) >> over << _INDEX_BITS | rows, first)
    greatest = np.minimum.reduceat((values.max() - values) >> over << _INDEX_BITS | rows, first)
    mask = (1 << _INDEX_BITS) - 1
    return np.unique(np.concatenate((first, least & mask, greatest & mask, last)))

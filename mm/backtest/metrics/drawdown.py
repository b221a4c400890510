"""How far and how long equity was below its highest point. Instants are µs; what is undefined is None."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.int64]
    # int64, float64, or Python integers where 64 bits are too few
    Numbers = NDArray[Any]


def max_drawdown(equity: "Numbers") -> Any:
    """Return the deepest fall of equity below its highest point so far, 0 or more; None without a row."""
    if len(equity) == 0:
        return None
    return np.max(np.maximum.accumulate(equity) - equity)


def drawdown_duration_us(us: "Column", equity: "Numbers") -> int | None:
    """Return the longest time from a peak to the first row at least as high, or to the end of the data.

    The peak is the last row before equity falls; level stretches are not drawdowns.
    """
    if len(equity) == 0:
        return None
    peak = np.flatnonzero(equity >= np.maximum.accumulate(equity))
    fell = np.diff(peak) > 1
    times = (us[peak[1:]] - us[peak[:-1]])[fell]
    unrecovered = int(us[-1] - us[peak[-1]])
    return max(unrecovered, int(times.max(initial=0)))


def under_water(us: "Column", equity: "Numbers") -> dict[str, Any]:
    """Return how long *equity* was below its highest value so far, its share of all time, and whether it still is.

    Each row counts until the next; ``share`` is None where no time passed, and all are where there is no row.
    """
    if len(equity) == 0:
        return dict.fromkeys(("s", "share", "unrecovered"))
    below = equity < np.maximum.accumulate(equity)
    held = np.diff(us)
    time, total = int(held[below[:-1]].sum()), int(us[-1] - us[0])
    return {"s": time / US_PER_S, "share": time / total if total else None, "unrecovered": bool(below[-1])}

"""What was held, over time: instants in µs, inventory in any one unit. What is undefined is None."""

import math
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics.arithmetic import dot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]

GRID_US = 1_000_000


def inventory_moments(us: "Column", inventory: "Column") -> dict[str, float | None]:
    """Return mean, abs_mean, rms (weighted by the time held) and max (of the size) of *inventory*.

    Without any time between first and last row, the weighted ones are None.
    """
    held = np.diff(us).astype(np.float64)
    size = inventory[:-1].astype(np.float64)
    total = float(held.sum())
    most = float(np.abs(inventory.astype(np.float64)).max()) if len(inventory) else None
    if total == 0:
        return {"mean": None, "abs_mean": None, "max": most, "rms": None}
    return {
        "mean": dot(held, size) / total,
        "abs_mean": dot(held, np.abs(size)) / total,
        "max": most,
        "rms": math.sqrt(dot(held, size**2) / total),
    }


def share_beyond(us: "Column", inventory: "Column", bound: float) -> float | None:
    """Return the share of the time in which the size of *inventory* is *bound* or more; None where no time passed."""
    held = np.diff(us)
    total = int(held.sum())
    return int(held[np.abs(inventory[:-1]) >= bound].sum()) / total if total else None


def half_life_s(us: "Column", inventory: "Column") -> float | None:
    """Return the first lag, in s, at which the autocorrelation of *inventory* (read every second) is below ½.

    None where inventory never changes on that grid.
    """
    if len(us) == 0:
        return None
    grid = np.arange(us[0], us[-1] + 1, GRID_US)
    held = inventory[np.searchsorted(us, grid, side="right") - 1].astype(np.float64)
    if held.min() == held.max():
        return None
    below = np.flatnonzero(autocovariance(held) < 0.5 * held.var() * len(held))
    return float(below[0])


def autocovariance(values: "Floats") -> "Floats":
    """Return Σ of the products of *values* (less their mean) with themselves so many steps later, for every lag."""
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.fft.rfft(values - values.mean(), size)
    return np.fft.irfft(spectrum * spectrum.conj(), size)[: len(values)]

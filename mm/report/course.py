"""The account over time, as the report page draws it: one row a state row, with holes where nothing was known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.arithmetic import quantiles
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.report.run_columns import RunColumns

    Floats = NDArray[np.float64]
    Instants = NDArray[np.int64]

PAUSE_US = 60 * US_PER_S


@dataclass(frozen=True)
class Course:
    """The state rows over time, NaN where there was no valid book or nothing was recorded.

    Attributes:
        us: Instants, rising.
        inventory: Base asset held.
        equity: Marked equity, as change since its first value, or NaN.
        spread: Spread captured until then, in quote asset.
        fees: Fees until then.
    """

    us: "Instants"
    inventory: "Floats"
    equity: "Floats"
    spread: "Floats"
    fees: "Floats"

    @property
    def x(self) -> tuple[float, float]:
        """First and last instant, a second apart at least."""
        return float(self.us[0]), float(max(self.us[-1], self.us[0] + US_PER_S))

    @property
    def carried(self) -> "Floats":
        """What the inventory gained or lost: the rest of equity, so that the parts add up to it at every row."""
        return self.equity - self.spread + self.fees


def course(run: "RunColumns") -> Course:
    """Return the state rows as a course.

    The marks of excluded stretches are old, so they are not shown; a pause of more than a minute becomes a hole, too.
    """
    state = run.state
    us = np.asarray(state["recv_us"], dtype=np.int64)
    inventory, equity = (np.asarray(state[name], dtype=np.float64) for name in ("inventory", "equity"))
    begun = np.searchsorted(run.excluded[:, 0], us, side="right")
    equity = np.where(begun > np.searchsorted(run.excluded[:, 1], us, side="right"), np.nan, equity)
    known = np.flatnonzero(~np.isnan(equity))
    change = equity - equity[known[0]] if len(known) else equity
    after = pauses(us)
    before = after - 1
    spread, fees = _until(us, run)
    return Course(
        us=np.insert(us, after, us[before] + 1),
        inventory=np.insert(inventory, after, inventory[before]),
        equity=np.insert(change, after, np.nan),
        spread=np.insert(spread, after, spread[before]),
        fees=np.insert(fees, after, fees[before]),
    )


def pauses(us: "Instants") -> "NDArray[np.intp]":
    """Return the rows before which nothing was recorded for more than a minute: nights between days."""
    usual = quantiles(np.diff(us), [0.5])[0] if len(us) > 1 else 0.0
    return np.flatnonzero(np.diff(us) > max(PAUSE_US, 10 * usual)) + 1


def _until(us: "Instants", run: "RunColumns") -> tuple["Floats", "Floats"]:
    """Return spread captured and fees paid until each state row; a fill without a mid counts at the account's mark."""
    fills = run.fills
    fill_us, mid = np.asarray(fills["recv_us"], dtype=np.int64), np.asarray(fills["mid"], dtype=np.float64)
    marks = np.asarray(run.state["mid"], dtype=np.float64)
    known = np.flatnonzero(~np.isnan(marks))
    if len(known):
        row = np.searchsorted(known, np.searchsorted(us, fill_us, side="right") - 1, side="right") - 1
        mid = np.where(np.isnan(mid), marks[known[np.maximum(row, 0)]], mid)
    earned = _signs(fills) * np.asarray(fills["qty"], np.float64) * (mid - np.asarray(fills["price"], np.float64))
    row = np.searchsorted(fill_us, us, side="right")
    spread, fees = (
        np.concatenate(([0.0], np.cumsum(part)))[row] for part in (earned, np.asarray(fills["fee"], np.float64))
    )
    return spread, fees


def _signs(fills: Mapping[str, Any]) -> "Floats":
    return np.where(np.asarray(fills["side"]) == "BUY", 1.0, -1.0)

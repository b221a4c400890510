"""The Sharpe ratio as it went: a card of the report page."""

from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics.risk import LEAST_PERIODS, ROLLING, rolling_sharpe
from mm.report.frame import card, nothing, wide
from mm.report.svg import Plot, padded

if TYPE_CHECKING:
    from mm.report.run_columns import RunColumns

WIDE = 1072


def rolling_card(run: "RunColumns") -> str:
    """Return the annual Sharpe ratio of the hour before each minute; nothing for a run of no more than an hour."""
    us = np.asarray(run.state["recv_us"], dtype=np.int64)
    equity = np.asarray(run.state["equity"], dtype=np.float64)
    ends, ratio = rolling_sharpe(us, equity, ~np.isnan(equity))
    if len(ends) <= ROLLING:
        return ""
    hint = (
        f"Annual, of the {ROLLING} minutes before, where {LEAST_PERIODS} of them count and differ. An hour says little "
        "alone; what matters is whether the sign stays."
    )
    known = ratio[~np.isnan(ratio)]
    if len(known) == 0:
        return card("Sharpe ratio, rolling", hint, nothing("Equity hardly ever changed."))
    plot = Plot(
        WIDE, 170, (float(us[0]), float(us[-1])), padded(min(0.0, float(known.min())), max(0.0, float(known.max())))
    )
    chart = plot.picture(
        plot.value_axis(most=5),
        plot.time_axis(),
        plot.path(ends.astype(np.float64), ratio, "line"),
        title="Annual Sharpe ratio of the hour before, over time",
    )
    return card("Sharpe ratio, rolling", hint, wide(chart))

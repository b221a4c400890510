"""The charts of a tape: the mid, the spread, and what was traded, over time."""

from html import escape

import numpy as np

from mm.instrument import E8
from mm.report.backtest_charts import COUNT_BARS, SIDES, merged
from mm.report.frame import ChartPart, nothing
from mm.report.svg import WIDE, Plot, padded, steps
from mm.tape.frames import floats
from mm.tape.tape import Tape

PRICE_HEIGHT, SPREAD_HEIGHT, TRADES_HEIGHT = 290, 130, 150


def tape_parts(tape: Tape) -> list[ChartPart]:
    """Return the charts of a tape's window, from top to bottom; stretches without a valid book are shaded."""
    grid = tape.instrument
    base, quote = escape(grid.base_asset or "base asset"), escape(grid.quote_asset or "quote asset")
    trades = (("buy", "buyers took"), ("sell", "sellers took"))
    return [
        ChartPart("Mid price", quote, _best_chart(tape, "mid"), (("price", "mid"), ("off", "no valid book"))),
        ChartPart("Spread", f"{quote}, best ask less best bid", _best_chart(tape, "spread"), (("line", "spread"),)),
        ChartPart("Traded", f"{base}, in {COUNT_BARS} equal stretches", _trades_chart(tape), trades),
    ]


def _window(tape: Tape) -> tuple[float, float]:
    """Return the first and the last instant that charts show."""
    return float(tape.start_us), float(max(tape.end_us, tape.start_us + 1_000_000))


def _best_chart(tape: Tape, name: str) -> str:
    """Draw the mid or the spread as a step line."""
    bid, ask = tape.top_bid_ticks, tape.top_ask_ticks
    first = max(0, int(np.searchsorted(tape.event_us[tape.top_event], tape.start_us, side="right")) - 1)
    us = np.maximum(tape.event_us[tape.top_event], tape.start_us)[first:]
    units, per = (bid + ask, 2 * E8) if name == "mid" else (ask - bid, E8)
    values = np.where((bid > 0) & (ask > 0), floats(units, tape.instrument.tick_e8, per), np.nan)[first:]
    known = values[~np.isnan(values)]
    if not len(known):
        return nothing("The book was never valid.")
    us, values = np.append(us, tape.end_us), np.append(values, values[-1])
    if name == "mid":
        plot = Plot(WIDE, PRICE_HEIGHT, _window(tape), padded(float(known.min()), float(known.max())))
    else:
        plot = Plot(WIDE, SPREAD_HEIGHT, _window(tape), (0.0, padded(0.0, float(known.max()))[1]))
    edges = np.flatnonzero(np.diff(np.isnan(values), prepend=False, append=False))
    off = np.append(us, us[-1:])[edges].reshape(-1, 2)
    return plot.picture(
        plot.spans(merged(off, plot.x), "off", "no valid book"),
        plot.value_axis(most=6 if name == "mid" else 4),
        plot.time_axis(),
        plot.line(*steps(us, values), "price" if name == "mid" else "line"),
        title=f"{'Mid price' if name == 'mid' else 'Spread'} over time",
    )


def _trades_chart(tape: Tape) -> str:
    """Draw the quantity traded in each of some equal stretches of time: buyers upwards, sellers downwards."""
    at = tape.trades[np.searchsorted(tape.event_us[tape.trades], tape.start_us) :]
    if not len(at):
        return nothing("There are no trades.")
    row = tape.first_row[at]
    side, qty = tape.row_side[row], floats(tape.row_lots[row], tape.instrument.lot_e8)
    edges = np.linspace(*_window(tape), COUNT_BARS + 1)
    sums = {sign: np.histogram(tape.event_us[at], edges, weights=qty * (side == sign))[0] for _, sign, _, _ in SIDES}
    most = max(float(one.max()) for one in sums.values())
    plot = Plot(WIDE, TRADES_HEIGHT, _window(tape), (-1.08 * most, 1.08 * most))
    bars = [plot.columns(edges, sign * sums[sign], kind) for _, sign, kind, _ in SIDES]
    return plot.picture(plot.value_axis(_size, 5), *bars, plot.time_axis(), title="Traded quantity over time")


def _size(value: float) -> str:
    return f"{abs(value):,.6g}"

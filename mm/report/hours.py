"""Fills and PnL by hour of day, and the markouts of the fills."""

from dataclasses import dataclass

import numpy as np

from mm.backtest.metrics.numbers import Summary
from mm.backtest.summary_text import is_decided
from mm.base.arrays import Floats, Ints
from mm.base.estimate import Estimate, estimated
from mm.base.numbers import number
from mm.clock import US_PER_S
from mm.report import figures
from mm.report.figures import BUY, SELL, Figure, signs
from mm.report.frame import Amount, Cell, card, chart, grid, in_row, quote_asset, shown
from mm.report.run_columns import RunColumns

HOURS = 24
HORIZON_S = 60  # horizon of the markouts
LEAST_FILLS, LEAST_BLOCKS = 20, 5  # in an hour, for an interval, as of the markouts
_BLOCK_US = 300 * US_PER_S
_EVERY = 3  # hours between two labels
_HOUR_US = 3_600 * US_PER_S


@dataclass(frozen=True, eq=False)
class HoursOfDay:
    buys: Ints
    sells: Ints
    pnl: Floats
    at_once: list[Estimate]
    later: list[Estimate]
    days: Ints

    @classmethod
    def of(cls, run: RunColumns) -> "HoursOfDay":
        fills, account = run.fills, run.curve
        us, side = np.asarray(fills["recv_us"], dtype=np.int64), np.asarray(fills["side"])
        price, mid = (np.asarray(fills[name], dtype=np.float64) for name in ("price", "mid"))
        sign, hour = np.where(side == "BUY", 1.0, -1.0), _hour(us)
        known = np.flatnonzero(~np.isnan(account.equity))
        gained = np.diff(account.equity[known])
        favour = sign * (run.later(us + HORIZON_S * US_PER_S) - price)
        return cls(
            buys=np.bincount(hour[sign > 0], minlength=HOURS),
            sells=np.bincount(hour[sign < 0], minlength=HOURS),
            pnl=np.asarray(np.bincount(_hour(account.us[known[1:]]), gained, minlength=HOURS), dtype=np.float64),
            at_once=fills_means(hour, sign * (mid - price), us // _BLOCK_US),
            later=fills_means(hour, favour, us // _BLOCK_US),
            days=np.bincount(_hour(np.unique(account.us[known] // _HOUR_US) * _HOUR_US), minlength=HOURS),
        )


def _hour(us: Ints) -> Ints:
    return us // _HOUR_US % HOURS


def fills_means(hour: Ints, values: Floats, block: Ints) -> list[Estimate]:
    known = ~np.isnan(values)
    hour, values, block = hour[known], values[known], block[known]
    return [_mean_of(values[hour == each], block[hour == each]) for each in range(HOURS)]


def _mean_of(values: Floats, block: Ints) -> Estimate:
    _, at = np.unique(block, return_inverse=True)
    fills = np.bincount(at).astype(np.float64)
    enough = len(values) >= LEAST_FILLS and len(fills) >= LEAST_BLOCKS
    sums = np.bincount(at, values).astype(np.float64)
    return estimated(sums, fills, independent=True, least=2 if enough else np.inf)


def hours_card(run: RunColumns, summary: Summary) -> str:
    if not len(run.fills["recv_us"]) or not len(run.state["recv_us"]):
        return ""
    hours, quote = HoursOfDay.of(run), quote_asset(summary)
    if np.count_nonzero(hours.days) < 2:
        return ""
    hint = (
        f"Hours in UTC, over all days. PnL is the change of marked equity, in {quote}; markout is the realised "
        f"half-spread, in {quote} per unit, ± half a 95 % interval by blocks of 5 min, where {LEAST_FILLS} fills "
        f"in {LEAST_BLOCKS} of them give one. From two days on there is a map of hours and days, too."
    )
    head: tuple[str, ...] = ("hour", "fills", "buys", "sells", f"PnL, {quote}", f"half-spread at the fill, {quote}")
    head += (f"markout after {HORIZON_S} s, {quote}",)
    decided = is_decided(summary)
    charts = in_row(chart(fills_figure(hours)), chart(pnl_figure(hours, quote, decided=decided)))
    rows = [_row(hours, hour) for hour in np.flatnonzero(hours.days).tolist()]
    return card("Fills and PnL by hour of day", hint, charts + grid(head, rows))


def _row(hours: HoursOfDay, hour: int) -> tuple[Cell, ...]:
    at_once = _whole(hours.at_once[hour].value)
    buys, sells = int(hours.buys[hour]), int(hours.sells[hour])
    name = f"{hour:02d}:00"
    return (
        name,
        f"{buys + sells:,}",
        f"{buys:,}",
        f"{sells:,}",
        Amount(float(hours.pnl[hour])),
        Amount(at_once),
        shown(hours.later[hour]),
    )


def _whole(value: float | None) -> float | None:
    return None if value is None else round(value, 12)  # sums that cancel leave about 1e-17


def fills_figure(hours: HoursOfDay) -> Figure:
    traces = [
        figures.bars(f"our {word}s", _AXIS["tickvals"], counts.astype(np.int32), colour)
        for word, colour, counts in (("buy", BUY, hours.buys), ("sell", SELL, hours.sells))
    ]
    return figures.chart(traces, _AXIS, 170, title="Fills", unit="number")


def pnl_figure(hours: HoursOfDay, quote: str, *, decided: bool) -> Figure:
    gained = hours.pnl.round(12)
    tips = [f"{hour:02d}:00 UTC: PnL {number(value)}" for hour, value in enumerate(gained.tolist())]
    bars = figures.bars("PnL", _AXIS["tickvals"], gained, signs(gained, decided=decided), tips)
    return figures.chart([bars], _AXIS, 170, title="PnL", unit=quote)


_AXIS = {
    "tickvals": list(range(HOURS)),
    "ticktext": [f"{hour:02d}" if hour % _EVERY == 0 else "" for hour in range(HOURS)],
    "hoverformat": ".0f",
}

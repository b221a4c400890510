"""What a model knows of the next moves: how its quotes, fills or values go with them, here and on another day.

A table of what is to come is right on one day only, whatever it is keyed by: instants, trade ids, prices or the count
of calls. Where the same market is reflected or stretched, it is worth nothing or the contrary; what is concluded from
the market itself is worth as much.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.journal import CANCEL_REQ, Journal, LifeLog
from mm.base.arrays import Floats
from mm.base.estimate import student_quantile
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.tape.tape import Tape

HORIZONS_S = (1, 5, 30)
COMPARISONS = 100  # independent ones, of which all hold in 95 % of cases
LEAST_BLOCKS, MOST_BLOCKS = 10, 200
_CHUNK = 1 << 20  # seconds of orders at once


@dataclass(frozen=True)
class Surplus:
    """What a model knows of the moves on its own day and not on another.

    Attributes:
        what: ``quotes``, ``fills``, ``widths`` or ``values``.
        of: ``price`` or ``trades``.
        own: Correlation with the moves within `horizon_s`; likewise `other`, on the other day.
        t: Difference over its error, by blocks.
    """

    what: str
    of: str
    horizon_s: int
    own: float
    other: float
    t: float
    knows: bool

    def __str__(self) -> str:
        return (
            f"its {self.what} go with the {self.of} of the next {self.horizon_s} s (correlation {self.own:+.2g}), "
            f"there less so ({self.other:+.2g}; t = {self.t:.1f})"
        )


@dataclass(frozen=True, eq=False)
class Acts:
    """What a model does at each second; a second is longer on a stretched day.

    Attributes:
        market: The mid, in ticks, and what was bought less what was sold until then, in lots.
    """

    market: dict[str, Floats]
    series: dict[str, Floats]

    @classmethod
    def of_run(cls, journal: Journal, tape: "Tape", longer: float = 1.0) -> "Acts":
        begin_us, step_us = tape.start_us, US_PER_S * longer
        mid = _mids(tape, step_us)
        series: dict[str, Floats] = {}
        series["quotes"], series["widths"] = _quotes(journal, mid, begin_us, step_us)
        fills = journal.fills
        at = np.ceil((fills.us - begin_us) / step_us).astype(np.int64)
        inside = at < len(mid)
        series["fills"] = np.zeros(len(mid))
        np.add.at(series["fills"], at[inside], (fills.side * fills.lots)[inside])
        return cls({"price": mid, "trades": _bought(tape, step_us, len(mid))}, series)

    @classmethod
    def of_values(cls, us: "np.ndarray", values: Floats, tape: "Tape", longer: float = 1.0) -> "Acts":
        """Make the acts of a signal, by row; a value holds until the next."""
        mid = _mids(tape, US_PER_S * longer)
        grid = tape.start_us + np.arange(len(mid)) * US_PER_S * longer
        at = np.searchsorted(us, grid, side="right") - 1
        series = np.where(at >= 0, values[np.maximum(at, 0)], np.nan) if len(us) else mid * np.nan
        return cls({"price": mid, "trades": _bought(tape, US_PER_S * longer, len(mid))}, {"values": series})

    def surplus(self, other: "Acts", names: Sequence[str]) -> Surplus | None:
        """The surest of what this day's acts of *names* know and the other day's do not; None if it is too short."""
        found = [
            surplus
            for name in names
            for of in self.market
            for horizon_s in HORIZONS_S
            if (surplus := self._surplus(other, name, of, horizon_s)) is not None
        ]
        return max(found, key=lambda one: (one.knows, one.t), default=None)

    def _surplus(self, other: "Acts", name: str, of: str, horizon_s: int) -> Surplus | None:
        count = min(len(self.series[name]), len(other.series[name])) - horizon_s
        blocks = min(count // (2 * horizon_s), MOST_BLOCKS)
        if blocks < LEAST_BLOCKS:
            return None
        own, theirs = (acts._with_moves(name, of, horizon_s, count) for acts in (self, other))
        parts = np.array_split(own - theirs, blocks)
        sums = np.array([part.sum() for part in parts])
        error = sums.std(ddof=1) * math.sqrt(blocks)
        t = float(sums.sum() / error) if error else 0.0
        correlations = [float(each.mean()) for each in (own, theirs)]
        wide = student_quantile(blocks - 1, COMPARISONS)
        return Surplus(name, of, horizon_s, correlations[0], correlations[1], t, t > wide)

    def _with_moves(self, name: str, of: str, horizon_s: int, count: int) -> Floats:
        """The product of each second's act and the move after it, in deviations; a large one counts as one."""
        level = self.market[of]
        move = level[horizon_s : horizon_s + count] - level[:count]
        if name == "widths":
            move = abs(move) - np.nanmean(abs(move)) if np.isfinite(move).any() else move
        act = self.series[name][:count]
        product: Floats = _scaled(np.clip(_standard(act), -1.0, 1.0)) * _scaled(np.clip(_scaled(move), -1.0, 1.0))
        return product


def _standard(values: Floats) -> Floats:
    return _scaled(values - np.nanmean(values)) if np.isfinite(values).any() else np.zeros(len(values))


def _scaled(values: Floats) -> Floats:
    """NaN is 0."""
    filled: Floats = np.nan_to_num(values)
    size = math.sqrt(float((filled**2).mean())) if len(filled) else 0.0
    return filled / size if size else filled


def _mids(tape: "Tape", step_us: float) -> Floats:
    """Return the mids at each step from the begin on, in ticks."""
    grid = tape.start_us + np.arange(int((tape.end_us - tape.start_us) / step_us) + 1) * step_us
    at = np.searchsorted(tape.event_us[tape.top_event], grid, side="right") - 1
    if not len(tape.top_event):
        return np.full(len(grid), np.nan)
    bid, ask = tape.top_bid_ticks[np.maximum(at, 0)], tape.top_ask_ticks[np.maximum(at, 0)]
    return np.where((at >= 0) & (bid > 0) & (ask > 0), (bid + ask) / 2, np.nan)


def _bought(tape: "Tape", step_us: float, count: int) -> Floats:
    """What buyers took less what sellers did until each step, in lots."""
    at = np.ceil((tape.event_us[tape.trades] - tape.start_us) / step_us).astype(np.int64)
    rows = tape.first_row[tape.trades]
    inside = (at >= 0) & (at < count)
    lots = (tape.row_side[rows] * tape.row_lots[rows]).astype(np.float64)
    total: Floats = np.cumsum(np.bincount(at[inside], lots[inside], count))
    return total


def _quotes(journal: Journal, mid: Floats, begin_us: int, step_us: float) -> tuple[Floats, Floats]:
    """How far open orders lean to a side, and how many and near they are, at each step.

    An order counts by exp(−distance from the mid / the usual one).
    """
    orders, log = journal.orders, LifeLog()
    log.add(orders)
    lives = log.lives(int(begin_us + len(mid) * step_us))
    until_us = lives.until_us.copy()
    asked = orders[orders.action == CANCEL_REQ]
    asked = asked[(asked.order_id >= lives.first_id) & (asked.order_id < lives.first_id + len(lives))]
    np.minimum.at(until_us, asked.order_id - lives.first_id, asked.us)
    begin, end = (
        np.clip(np.ceil((us - begin_us) / step_us).astype(np.int64), 0, len(mid)) for us in (lives.sent_us, until_us)
    )
    end = np.maximum(begin, end)
    pull, width = np.zeros(len(mid)), np.zeros(len(mid))
    first = mid[np.minimum(begin, len(mid) - 1)] if len(mid) else mid
    usual = max(float(np.nanmedian(abs(lives.ticks - first))) if np.isfinite(first).any() else 1.0, 0.5)
    order = 0
    lasting = np.cumsum(end - begin)
    while order < len(begin):
        stop = max(int(np.searchsorted(lasting, (lasting[order - 1] if order else 0) + _CHUNK)), order + 1)
        length = end[order:stop] - begin[order:stop]
        which = np.repeat(np.arange(order, stop), length)
        at = np.arange(len(which)) - np.repeat(np.cumsum(length) - length, length) + begin[which]
        side = lives.side[which]
        away = np.maximum(side * (mid[at] - lives.ticks[which]), 0.0)
        near = np.nan_to_num(np.exp(-away / usual))
        pull += np.bincount(at, side * near, len(mid))
        width += np.bincount(at, near, len(mid))
        order = stop
    return pull, width

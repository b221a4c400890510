"""Market inputs of order states: aggressive order flow, ticks swept, spread, and deviation of the mid from its average.

Aggressive orders come in bursts, separately on each side. An order that always rests at one distance is exposed to all
bursts. An order of a strategy that adjusts its quotes to its inventory is not: the strategy moves quotes away from the
side that was just filled, so its orders are near the mid mostly while few aggressive orders arrive, and fill less often
than the former at the same distance. So fill rates are split by the flow: the time since the last aggressive order that
hit the side (up to 0.3 s, up to 3 s, or longer), and the number per second, the mean of exponential averages with time
constants of 30 s and 300 s, in levels of powers of two. The time tracks bursts, the rate the level of the hour.

An aggressive order that takes several price levels leaves few lots near its side's best price, so the next one reaches
farther, until new orders have filled the gap. Ticks swept are therefore summed with decay (time constant 5 s).

Prices also revert: after a rise more aggressive orders sell, and reach farther, than after a fall. This is measured by
the deviation of the mid from its exponential average (time constant 1 s). Deviations and sums are classified by powers
of two.
"""

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from mm.backtest.metrics._market_paths import (
    LEAST_FLOW,
    MOST_CLASS,
    MOST_FLOW,
    SINCE_S,
    decaying_classes,
    flow_levels,
)
from mm.backtest.metrics.arithmetic import changes
from mm.base.arrays import Ints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Path = tuple[Ints, Ints]  # a step function: instants in µs, ascending, and the value from each one on

LEVELS = MOST_FLOW - LEAST_FLOW + 1
FLOWS = len(SINCE_S) * LEVELS
SWEPT = range(MOST_CLASS + 1)  # classes
DEVIATIONS = range(-MOST_CLASS, MOST_CLASS + 1)  # classes
SWEPT_WINDOW_S, DEVIATION_WINDOW_S = 5.0, 1.0


class MarketRows(NamedTuple):
    """Market inputs of order states, as rows that begin with an instant in µs.

    Attributes:
        hits: int64[n, 4], the aggressive orders, as `aggressors` returns them.
        spreads: int64[n, 2], instants at which the spread changes, and the spread in ticks from then on.
        deviations: int64[n, 2], instants at which the class of the mid's deviation changes, and the class from then on.
    """

    hits: Ints
    spreads: Ints
    deviations: Ints

    @classmethod
    def of(cls, tape: "Tape", us: Ints | None = None) -> Self:
        """Return the rows of a tape; *us* as in `aggressors`."""
        us = tape.event_us if us is None else us
        return cls.of_prices(aggressors(tape, us), us[tape.top_event], tape.top_bid_ticks, tape.top_ask_ticks)

    @classmethod
    def of_prices(cls, hits: Ints, us: Ints, bid: Ints, ask: Ints) -> Self:
        """Return the rows of aggressive orders and best prices; prices of an invalid book are left out.

        Args:
            hits: As `aggressors` returns them.
            us: Instants at which the best prices may change, ascending.
            bid: Best bid from then on, in ticks; 0 if there is none.
            ask: Best ask, in the same form.
        """
        valid = (bid > 0) & (bid < ask)
        us, bid, ask = us[valid], bid[valid], ask[valid]
        spreads, mid2 = np.column_stack((us, ask - bid)), bid + ask
        moved = changes(mid2)
        at, classes = decaying_classes(us[moved], np.diff(mid2[moved], prepend=mid2[:1]), DEVIATION_WINDOW_S)
        begin = np.concatenate((us[:1], at[1:]))  # class 0 from the first valid book on; no rows without one
        return cls(hits, spreads[changes(spreads[:, 1])], np.column_stack((begin, classes[: len(begin)])))

    @classmethod
    def joined(cls, days: "Sequence[MarketRows]") -> "MarketRows | None":
        """Return the rows of consecutive days; None without a day. The average of the mid restarts each day."""
        if not days:
            return None
        hits, spreads, deviations = (np.concatenate(rows) for rows in zip(*days, strict=True))
        until_us = np.minimum.accumulate(deviations[::-1, 0])[::-1]  # a day's decay may run past the next day's begin
        return cls(hits, spreads, deviations[deviations[:, 0] <= until_us])


class MarketPaths(NamedTuple):
    """`MarketRows` as step functions of time, one for buy orders and one for sell orders.

    Attributes:
        flow: The number of the flow: the class of the time since the last aggressive order times `LEVELS`, plus the
            level above the lowest.
        swept: The class of the ticks swept, from `SWEPT`.
        spreads: The spread in ticks, equal for both sides.
        deviations: The class of the mid's deviation, from `DEVIATIONS`, positive away from the side's orders.
    """

    flow: "tuple[Path, Path]"
    swept: "tuple[Path, Path]"
    spreads: "tuple[Path, Path]"
    deviations: "tuple[Path, Path]"

    @classmethod
    def of(cls, rows: MarketRows) -> Self:
        """Return the paths of *rows*."""
        (spread_us, ticks), (us, classes) = (np.ascontiguousarray(table.T) for table in rows[1:])
        return cls(*_of_hits(rows.hits), ((spread_us, ticks),) * 2, ((us, classes), (us, -classes)))

    @classmethod
    def of_days(cls, tapes: "Sequence[Tape]") -> Self:
        """Return the paths of consecutive days, at least one."""
        rows = MarketRows.joined([MarketRows.of(tape) for tape in tapes])
        assert rows is not None
        return cls.of(rows)


def _of_hits(hits: Ints) -> "tuple[tuple[Path, Path], tuple[Path, Path]]":
    """Return the flow and the ticks swept of both sides.

    An aggressive order counts in the flow from 1 µs after its first print, in the ticks swept from 1 µs after its last.
    """
    bids, asks = (np.ascontiguousarray(hits[hits[:, 1] == side].T) for side in (1, -1))
    swept_bids, swept_asks = (decaying_classes(us + 1, 2 * depth, SWEPT_WINDOW_S) for *_, us, depth in (bids, asks))
    return (flow_levels(bids[0]), flow_levels(asks[0])), (swept_bids, swept_asks)


def aggressors(tape: "Tape", us: Ints | None = None) -> Ints:
    """Return the aggressive orders of a tape, int64[n, 4]: first print, side hit, last print, and ticks swept.

    The side is +1 for bids. Consecutive prints of one side with equal trade times (or equal instants, without a trade
    time) are one order. The ticks swept are those between the prices of its first and its last print.

    Args:
        tape: The tape.
        us: The instant of each of its events; None for the times of receipt.
    """
    columns = tape.event_exch_us[tape.trades], tape.trade_side, tape.trade_ticks
    return aggressors_of((tape.event_us if us is None else us)[tape.trades], *columns)


def aggressors_of(us: Ints, exch_us: Ints, side: "NDArray[np.int64 | np.int8]", ticks: Ints) -> Ints:
    """Return the aggressive orders of prints, as `aggressors` does.

    Args:
        us: Instants of arrival, ascending.
        exch_us: Trade times; 0 if there is none.
        side: +1 if the aggressor bought, -1 if it sold.
        ticks: Prices in ticks.
    """
    clock, hit = np.where(exch_us > 0, exch_us, us), -side.astype(np.int64)
    first = changes(np.column_stack((clock, hit)))
    last = np.append(first, len(us))[1:] - 1
    return np.column_stack((us[first], hit[first], us[last], np.abs(ticks[last] - ticks[first])))

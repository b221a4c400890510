"""What the states of orders read of a market: aggressive orders, the spread, and how far the mid is from its average.

Aggressive orders come in bursts, and each side has its own. An order that always stands at one distance meets the
bursts as often as they come. One of a strategy that follows its inventory does not: it moves away from the side that
was just filled, so it stands near the mid mostly while few aggressive orders come, and meets fewer than the other one
would at the same distance. So rates of fills are separated by the flow: the time since the last aggressive order that
hit the side, up to 0.3 s, up to 3 s or longer, and how many came per second, the mean of averages over 30 and 300 s in
which older ones count less by e per window, in levels of powers of two. The time follows a burst, the rate the hour.

An aggressive order that takes several prices leaves few lots near its side's best price, and the next one reaches
farther. That lasts until new orders have filled the gap, so the ticks swept are summed, older ones less by e per 5 s.

And prices return: after a rise more aggressive orders sell, and reach farther, than after a fall. That is the deviation
of the mid from its average, in which older prices count less by e per second. Deviations and sums have classes of
powers of two.
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Ints = NDArray[np.int64]
    Path = tuple[Ints, Ints]  # instants in µs, rising, and a number from each one on

LEVELS = MOST_FLOW - LEAST_FLOW + 1
FLOWS = len(SINCE_S) * LEVELS
SWEPT = range(MOST_CLASS + 1)  # classes
DEVIATIONS = range(-MOST_CLASS, MOST_CLASS + 1)  # classes
SWEPT_WINDOW_S, DEVIATION_WINDOW_S = 5.0, 1.0


class MarketRows(NamedTuple):
    """What the states of orders read of a market, as rows that begin with an instant in µs.

    Attributes:
        hits: int64[n, 4], the aggressive orders, as `aggressors` returns them.
        spreads: int64[n, 2], when the spread changes, and its ticks from then on.
        deviations: int64[n, 2], when the mid's deviation from its average changes class, and the class from then on.
    """

    hits: "Ints"
    spreads: "Ints"
    deviations: "Ints"

    @classmethod
    def of(cls, tape: "Tape", us: "Ints | None" = None) -> Self:
        """Return the rows of a tape; *us* as in `aggressors`."""
        us = tape.event_us if us is None else us
        return cls.of_prices(aggressors(tape, us), us[tape.top_event], tape.top_bid_ticks, tape.top_ask_ticks)

    @classmethod
    def of_prices(cls, hits: "Ints", us: "Ints", bid: "Ints", ask: "Ints") -> Self:
        """Return the rows of aggressive orders and best prices; prices without a valid book are left out.

        Args:
            hits: As `aggressors` returns them.
            us: When the best prices may change, rising.
            bid: Best bid from then on, in ticks; 0 for none.
            ask: Best ask, in the same form.
        """
        valid = (bid > 0) & (bid < ask)
        us, bid, ask = us[valid], bid[valid], ask[valid]
        spreads, mid2 = np.column_stack((us, ask - bid)), bid + ask
        moved = changes(mid2)
        at, classes = decaying_classes(us[moved], np.diff(mid2[moved], prepend=mid2[:1]), DEVIATION_WINDOW_S)
        begin = np.concatenate((us[:1], at[1:]))  # 0 from the first valid book on; without one there is no row
        return cls(hits, spreads[changes(spreads[:, 1])], np.column_stack((begin, classes[: len(begin)])))

    @classmethod
    def joined(cls, days: "Sequence[MarketRows]") -> "MarketRows | None":
        """Return the rows of consecutive days; None without a day. The average of the mid begins anew each day."""
        if not days:
            return None
        hits, spreads, deviations = (np.concatenate(rows) for rows in zip(*days, strict=True))
        until_us = np.minimum.accumulate(deviations[::-1, 0])[::-1]  # a deviation decays on after the end of its day
        return cls(hits, spreads, deviations[deviations[:, 0] <= until_us])


class MarketPaths(NamedTuple):
    """What `MarketRows` has, from instant to instant, as buys and as sells see it.

    Attributes:
        flow: The number of the flow: the class of the time since the last aggressive order times `LEVELS`, plus the
            level above the lowest.
        swept: The class of the ticks swept, of `SWEPT`.
        spreads: The ticks of the spread, equal for both sides.
        deviations: The class of the mid's deviation, of `DEVIATIONS`, positive away from the side's orders.
    """

    flow: "tuple[Path, Path]"
    swept: "tuple[Path, Path]"
    spreads: "tuple[Path, Path]"
    deviations: "tuple[Path, Path]"

    @classmethod
    def of(cls, rows: MarketRows) -> Self:
        """Return the paths of *rows*."""
        (spread_us, ticks), (us, classes) = (np.ascontiguousarray(one.T) for one in rows[1:])
        return cls(*_of_hits(rows.hits), ((spread_us, ticks),) * 2, ((us, classes), (us, -classes)))

    @classmethod
    def of_days(cls, tapes: "Sequence[Tape]") -> Self:
        """Return the paths of consecutive days, at least one."""
        rows = MarketRows.joined([MarketRows.of(one) for one in tapes])
        assert rows is not None
        return cls.of(rows)


def _of_hits(hits: "Ints") -> "tuple[tuple[Path, Path], tuple[Path, Path]]":
    """Return the flow and the ticks swept of both sides.

    An aggressive order counts from the µs after its first print in the flow, and after its last one in the ticks swept.
    """
    bids, asks = (np.ascontiguousarray(hits[hits[:, 1] == side].T) for side in (1, -1))
    swept_bids, swept_asks = (decaying_classes(us + 1, 2 * depth, SWEPT_WINDOW_S) for *_, us, depth in (bids, asks))
    return (flow_levels(bids[0]), flow_levels(asks[0])), (swept_bids, swept_asks)


def aggressors(tape: "Tape", us: "Ints | None" = None) -> "Ints":
    """Return the aggressive orders of a tape, int64[n, 4]: first print, side hit, last print, and ticks swept.

    The side is +1 for bids. Prints of one side that follow each other with one trade time, or at one instant without
    it, are of one order. The ticks swept are those between the prices of its first and its last print.

    Args:
        tape: The tape.
        us: When each of its events happened; None for the times of receipt.
    """
    columns = tape.event_exch_us[tape.trades], tape.trade_side, tape.trade_ticks
    return aggressors_of((tape.event_us if us is None else us)[tape.trades], *columns)


def aggressors_of(us: "Ints", exch_us: "Ints", side: "NDArray[np.int64 | np.int8]", ticks: "Ints") -> "Ints":
    """Return the aggressive orders of prints, as `aggressors` does.

    Args:
        us: When they arrived, rising.
        exch_us: Their trade times; 0 where there is none.
        side: +1 where the aggressor bought, -1 where it sold.
        ticks: Their prices.
    """
    clock, hit = np.where(exch_us > 0, exch_us, us), -side.astype(np.int64)
    first = changes(np.column_stack((clock, hit)))
    last = np.append(first, len(us))[1:] - 1
    return np.column_stack((us[first], hit[first], us[last], np.abs(ticks[last] - ticks[first])))

"""The flow that a resting order sees: how many aggressive orders came to its side lately.

Aggressive orders come in bursts, and each side has its own. An order that always stands at one distance meets the
bursts as often as they come. One of a strategy that follows its inventory does not: it moves away from the side that
was just filled, so it stands near the mid mostly while few aggressive orders come, and meets fewer than the other one
would at the same distance. So rates of fills are told apart by the flow.

The flow is the time since the last aggressive order that hit the side, up to 0.3 s, up to 3 s or longer, and how many
came a second: the mean of averages over 30 and 300 s in which older ones count less by e a window, in levels of powers
of two. The former follows a burst, the latter the hour.
"""

from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics._flow_levels import LEAST_FLOW, MOST_FLOW, SINCE_S, flow_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Ints = NDArray[np.int64]
    Flow = tuple[tuple[Ints, Ints], tuple[Ints, Ints]]

LEVELS = MOST_FLOW - LEAST_FLOW + 1
FLOWS = len(SINCE_S) * LEVELS


def aggressors(tape: "Tape", us: "Ints | None" = None) -> "Ints":
    """Return the aggressive orders of a tape, int64[n, 2]: when they came, and the side that they hit (+1: the bids).

    Prints of one side that follow each other with one trade time, or at one instant without it, are of one order.

    Args:
        tape: The tape.
        us: When each of its events happened; None for the times of receipt.
    """
    return aggressors_of(
        (tape.event_us if us is None else us)[tape.trades], tape.event_exch_us[tape.trades], tape.trade_side
    )


def joined(rows: "Sequence[Ints]") -> "Ints | None":
    """Return the rows of days that follow each other as one table; None without a day."""
    return np.concatenate(rows) if rows else None


def aggressors_of(us: "Ints", exch_us: "Ints", side: "NDArray[np.int64 | np.int8]") -> "Ints":
    """Return the aggressive orders of prints, as `aggressors` does.

    Args:
        us: When they arrived, rising.
        exch_us: Their trade times; 0 where there is none.
        side: +1 where the aggressor bought, -1 where it sold.
    """
    clock, hit = np.where(exch_us > 0, exch_us, us), -side.astype(np.int64)
    new = np.ones(len(us), bool)
    new[1:] = (np.diff(clock) != 0) | (np.diff(hit) != 0)
    return np.column_stack((us, hit))[new]


def flow_of_sides(hits: "Ints") -> "Flow":
    """Return of buys and of sells when the flow that they see changes, and its number from then on.

    The number is the class of the time since the last aggressive order times `LEVELS`, plus the level above the lowest.

    Args:
        hits: int64[n, 2], as `aggressors` returns them.
    """
    bids, asks = (flow_levels(np.ascontiguousarray(hits[hits[:, 1] == side, 0])) for side in (1, -1))
    return bids, asks

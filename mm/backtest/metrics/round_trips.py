"""What was bought and sold again: fills matched first in, first out.

The position is what was traded since the start, so inventory that a run begins with takes no part. First in,
first out pairs the n-th lot bought with the n-th lot sold, whichever came first.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.arithmetic import exact_sum, quantiles
from mm.clock import US_PER_S
from mm.instrument import E8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Table
    from mm.backtest.metrics.ledger import Ledger
    from mm.instrument import Instrument

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]

SAFE = 2**62


@dataclass(frozen=True)
class Pairs:
    """Lots bought and sold again, a row for each two fills that share some.

    Attributes:
        buy: Row of the fill that bought.
        sell: Row of the fill that sold.
        lots: What they share, int64, or Python integers where 64 bits are too few.
    """

    buy: "Column"
    sell: "Column"
    lots: "NDArray[Any]"

    @property
    def closing(self) -> "Column":
        """The later fill of each pair."""
        return np.maximum(self.buy, self.sell)


def pairs(fills: "Table") -> Pairs:
    """Return *fills*, in their order, matched first in, first out."""
    side, lots = fills[:, 2], fills[:, 4]
    exact = np.int64 if exact_sum(lots) < SAFE else object
    bought, sold = np.flatnonzero(side > 0), np.flatnonzero(side < 0)
    of_bought, of_sold = np.cumsum(lots[bought].astype(exact)), np.cumsum(lots[sold].astype(exact))
    if len(bought) == 0 or len(sold) == 0:
        return Pairs(bought[:0], sold[:0], lots[:0])
    edges = np.sort(np.concatenate([of_bought, of_sold]))
    # Not np.unique, which imports numpy.ma for longer than all of this takes.
    edges = edges[(np.diff(edges, prepend=0) > 0) & (edges <= min(of_bought[-1], of_sold[-1]))]
    return Pairs(
        buy=bought[np.searchsorted(of_bought, edges)],
        sell=sold[np.searchsorted(of_sold, edges)],
        lots=np.diff(edges, prepend=0),
    )


def realised(fills: "Table", matched: Pairs, account: "Ledger") -> int:
    """Return what the *matched* lots earned before fees, exactly, in units of the ledger."""
    move = fills[matched.sell, 3] - fills[matched.buy, 3]
    largest = int(np.abs(move).max(initial=0)) * int(matched.lots.max(initial=0))
    exact = np.int64 if largest * max(len(move), 1) < SAFE else object
    return 2 * account.half_tl * int((move.astype(exact) * matched.lots.astype(exact)).sum())


def trips(fills: "Table", matched: Pairs, instrument: "Instrument") -> dict[str, Any]:
    """Return the round trips of *matched* lots; money in the quote asset, after the fees of both ends.

    A round trip ends with each fill that closes something, and is of all that it closes; its beginning is the mean
    instant of the lots it closes, and ``holding_s`` the median time from there. A win is above 0. Without a round
    trip, all but ``n`` is None.
    """
    if len(matched.lots) == 0:
        return {"n": 0, **dict.fromkeys(("win_rate", "mean", "median", "best", "worst", "holding_s"))}
    lots = matched.lots.astype(np.float64)
    notional = instrument.tick_e8 * instrument.lot_e8 / (E8 * E8)
    fee = fills[:, 5] / E8 / fills[:, 4]
    earned = lots * ((fills[matched.sell, 3] - fills[matched.buy, 3]) * notional - fee[matched.sell] - fee[matched.buy])
    closing, trip = np.unique(matched.closing, return_inverse=True)
    opened_us = fills[np.minimum(matched.buy, matched.sell), 0] - fills[0, 0]
    result = np.bincount(trip, weights=earned)
    begun_us = np.bincount(trip, weights=lots * opened_us) / np.bincount(trip, weights=lots)
    held_us = fills[closing, 0] - fills[0, 0] - begun_us
    return {
        "n": len(result),
        "win_rate": float(np.count_nonzero(result > 0)) / len(result),
        "mean": float(result.mean()),
        "median": quantiles(result, [0.5])[0],
        "best": float(result.max()),
        "worst": float(result.min()),
        "holding_s": quantiles(held_us, [0.5])[0] / US_PER_S,
    }

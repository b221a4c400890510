"""Where the PnL came from: spread captured, inventory carried, fees paid.

In units of the ledger, so that pnl_total = spread + inventory − fees holds to the last one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.errors import MMError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Table
    from mm.backtest.metrics.ledger import Ledger

    Column = NDArray[np.int64]


@dataclass(frozen=True)
class Pnl:
    """A run's gain from its first to its last state row, in units of the ledger: total = spread + inventory − fees."""

    total: int
    spread: int
    inventory: int
    fees: int


def split(fills: "Table", account: "Ledger") -> Pnl | None:
    """Return the PnL and its parts, or None where no state row has a valid book to mark at.

    Spread is s·q·(m − p) of each fill at the mid it met; inventory is what was held times the move of the mid
    between fills. They are summed from the fills alone and held against the account.

    Raises:
        MMError: If fills and state rows do not add up, which is a fault of the engine.
    """
    if not account.valid.any():
        return None
    rows = fills[:, [2, 3, 4, 5, 8]].tolist()
    held, mark2 = int(account.inventory[0]), int(account.marks2[0])
    spread = inventory = fees = 0
    for (side, ticks, lots, fee_e8, after), now2 in zip(rows, fill_marks(fills, account).tolist(), strict=True):
        spread += side * lots * (now2 - 2 * ticks)
        inventory += held * (now2 - mark2)
        fees += fee_e8
        held, mark2 = after, now2
    inventory += held * (int(account.marks2[-1]) - mark2)
    pnl = Pnl(
        total=int(account.equity[-1]) - int(account.equity[0]),
        spread=spread * account.half_tl,
        inventory=inventory * account.half_tl,
        fees=fees * account.fee,
    )
    residual = pnl.total - (pnl.spread + pnl.inventory - pnl.fees)
    if residual:
        raise MMError(
            f"journal: fills and state rows differ by {account.quote(residual)} of the quote asset over "
            f"{len(rows)} fills; this is a fault of the engine, please report it with the run's manifest"
        )
    return pnl


def fill_marks(fills: "Table", account: "Ledger") -> "Column":
    """Return bid + ask, in ticks, at each fill; where its book was not valid, the mark of the account then."""
    row = np.searchsorted(account.us, fills[:, 0], side="right") - 1
    return np.where(fills[:, 7] > 0, fills[:, 7], account.marks2[np.maximum(row, 0)])

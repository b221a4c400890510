"""Why no order ever reached the book, where none did."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.journal import ACTIONS, REJECT_REASONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ACTION, _REASON = 2, 12  # columns of the order rows
# What stood in the way, and the way out.
WAYS: Mapping[str, str] = {
    "would_cross": "each would have crossed the book when it arrived; quote further from it, or with less latency",
    "insufficient_cash": "there is not enough cash for one; raise INITIAL_CASH, or lower QUOTE_QTY or MIN_NOTIONAL",
    "insufficient_inventory": "there is not enough to sell; raise INITIAL_INVENTORY, or lower QUOTE_QTY",
    "min_notional": "price times quantity is under the least notional; raise QUOTE_QTY, or lower MIN_NOTIONAL",
    "book_invalid": "the book was not valid when they were wanted; see mm data coverage",
    "price_not_positive": "the quote model asks for prices of 0 or less",
    "quantity_below_step": "the quantity is no whole step of the exchange; raise QUOTE_QTY, or lower QTY_STEP",
    "quantity_out_of_range": "the exchange takes no such quantity (LOT_SIZE, QTY_STEP); set another QUOTE_QTY",
    "max_notional": "price times quantity is over the greatest notional of instrument.json; lower QUOTE_QTY",
    "price_out_of_band": "the exchange takes no such price (filters of instrument.json); quote nearer to the market",
}


def hindrance(orders: "NDArray[np.int64]", rested: "NDArray[np.bool_]") -> str | None:
    """Return why none of the orders that were wanted reached the book, in words; None where one did, or none was.

    Args:
        orders: Rows of a journal.
        rested: Of each order that was sent, whether it arrived and was not rejected.
    """
    action, reason = orders[:, _ACTION], orders[:, _REASON]
    if rested.any() or (action == ACTIONS.index("FILL")).any():
        return None
    refused = set(reason[np.isin(action, [ACTIONS.index("SKIP"), ACTIONS.index("REJECT")])].tolist())
    told = [f"{name} ({WAYS[name]})" for code, name in enumerate(REJECT_REASONS) if name and code in refused]
    return f"no order reached the book: {'; '.join(told)}" if told else None

"""The run folder of a trade: the files of a backtest, with the account of the exchange."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm.clock import US_PER_MS
from mm.instrument import E8, Instrument, decimal_text
from mm.live.account.ledger import BookedFill
from mm.live.run.trade_account import BookedPayment
from mm.live.venues.fills import SIDE_NAMES

if TYPE_CHECKING:
    from mm.backtest.journal import Mids, State

FILLS_HEAD = (
    "recv_ms,order_id,side,price,qty,fee,reason,recv_us,mid,inventory_after,"
    "trade_id,client_id,commission,commission_asset"
)
STATE_HEAD = "recv_ms,inventory,cash,mid,mtm_value,open_orders,recv_us,equity"


def write_fills(path: Path, fills: Sequence[BookedFill], mids: "Mids", grid: Instrument) -> int:
    """Write fills as the exchange's text; return the number of fills."""
    at = np.searchsorted(mids.us, [fill.us for fill in fills], side="right") - 1
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(FILLS_HEAD + "\n")
        for one, row in zip(fills, at.tolist(), strict=True):
            mid2 = int(mids.mid2[row]) if row >= 0 else 0
            fill = one.fill
            fee = "" if one.fee_e8 is None else decimal_text(one.fee_e8)
            reason = "exchange:maker" if fill.maker else "exchange:taker"
            file.write(
                f"{one.us // US_PER_MS},{one.order_id},{SIDE_NAMES[fill.side]},{fill.price},{fill.qty},{fee},{reason},"
                f"{one.us},{_mid(mid2, grid)},{decimal_text(one.position_e8)},"
                f"{fill.trade_id},{fill.client_id},{fill.commission},{fill.commission_asset}\n"
            )
    return len(fills)


def write_state(
    path: Path,
    state: "State",
    fills: Sequence[BookedFill],
    start_e8: tuple[int, int],
    grid: Instrument,
    payments: Sequence[BookedPayment] = (),
) -> int:
    """Write states with the ledger's position and cash; return the number of rows."""
    position_e8, cash_e8 = start_e8
    done = paid = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(STATE_HEAD + "\n")
        columns = (column.tolist() for column in (state.us, state.mid2, state.open_orders))
        for row, (us, mid2, open_orders) in enumerate(zip(*columns, strict=True)):
            while done < len(fills) and fills[done].state_row <= row:
                position_e8, cash_e8 = fills[done].position_e8, fills[done].cash_e8
                done += 1
            while paid < len(payments) and payments[paid].state_row <= row:
                if not done or fills[done - 1].state_row < payments[paid].state_row:  # a later fill has its cash
                    cash_e8 = payments[paid].cash_e8
                paid += 1
            worth = equity = ""
            if mid2:
                worth_e8 = position_e8 * mid2 * grid.tick_e8 // (2 * E8)
                worth, equity = decimal_text(worth_e8), decimal_text(cash_e8 + worth_e8)
            file.write(
                f"{us // US_PER_MS},{decimal_text(position_e8)},{decimal_text(cash_e8)},{_mid(mid2, grid)},{worth},"
                f"{open_orders},{us},{equity}\n"
            )
    return len(state)


def _mid(mid2: int, grid: Instrument) -> str:
    return decimal_text(mid2 * grid.tick_e8 // 2) if mid2 else ""

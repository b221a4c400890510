"""Liquidation of a position: the forced orders, at the price at which its margin is used up, and their fee."""

from typing import NamedTuple

from mm.instrument import E8
from mm.margin.brackets import maintenance_e8
from mm.margin.wallet import Contract, Wallet, half_even

CALL_E8 = 8 * E8 // 10
"""Share of the margin balance from which on a maintenance margin is a margin call."""
CLEARANCE_RATE_E8 = 1_250_000
"""Fee of a liquidation, in 1e-8 of the notional, that the documents list for BTCUSDT (``liquidationFee``)."""


def bankrupt_ticks(contract: Contract, equity_e8: int, tick_e8: int, most_ticks: int) -> int:
    """The price at which a position's margin is used up, rounded in favour of the account."""
    amount_e8 = contract.amount_e8
    numerator = contract.mark.e8 * amount_e8 - equity_e8 * E8
    ticks = -(-numerator // (amount_e8 * tick_e8)) if amount_e8 > 0 else -numerator // (-amount_e8 * tick_e8)
    return min(max(ticks, 1), most_ticks)


class ForcedOrder(NamedTuple):
    """An order of a liquidation, and what its position had before it, in 1e-8 of the quote asset.

    Attributes:
        ticks: Its limit, at which the margin would be used up if all of the position traded there.
        margin_e8: The margin of an isolated position.
    """

    ticks: int
    lots: int
    margin_e8: int
    realised_e8: int


def forced_order(
    wallet: Wallet, contract: Contract, tick_e8: int, most_ticks: int, rate_e8: int, *, first: bool
) -> ForcedOrder:
    """Return the order that closes a position; the *first* closes a part, if that may be enough.

    Binance tries one order that lowers the margin a position needs, and stops if the account has it after loss and
    fee (its page "Liquidation protocols"). It does not say how large the order is: here it brings the position into the
    highest lower bracket whose margin would, at mark price and after the fee, be less than the margin balance.
    """
    equity_e8, held = wallet.equity_e8(contract), abs(contract.lots)
    ticks, lots = bankrupt_ticks(contract, equity_e8, tick_e8, most_ticks), held
    others_e8, worth_e8 = wallet.needed_e8(contract) - contract.maintenance_e8, abs(contract.worth_e8)
    lower = [bracket for bracket in contract.brackets[:-1] if bracket.cap_e8 < worth_e8] if first else []
    for bracket in reversed(lower):
        kept = bracket.cap_e8 * E8 // (contract.lot_e8 * contract.mark.e8)
        fee_e8 = _fee_e8(contract, ticks, held - kept, rate_e8)
        kept_e8 = half_even(kept * contract.lot_e8 * contract.mark.e8, E8)
        if kept and equity_e8 - fee_e8 > others_e8 + maintenance_e8(kept_e8, contract.brackets):
            lots = held - kept
            break
    return ForcedOrder(ticks, lots, contract.wallet_e8, contract.realised_e8)


def clear(  # noqa: PLR0913 - a liquidation
    us: int,
    wallet: Wallet,
    contract: Contract,
    order: ForcedOrder,
    traded: int,
    *,
    rate_e8: int,
    fund_e8: int | None = None,
) -> int:
    """Take what goes to the insurance fund for the lots *traded* of an order, and return it, at most what is left.

    Negative is what the fund pays once nothing is held, at most its balance *fund_e8* (None: unlimited). What is left
    of the margin of an isolated position stays with what is held of it.
    """
    left_e8 = wallet.equity_e8(contract)
    if contract.isolated:
        left_e8 = order.margin_e8 + contract.realised_e8 - order.realised_e8 + contract.unrealised_e8
    if left_e8 >= 0:
        paid_e8 = min(left_e8, _fee_e8(contract, order.ticks, traded, rate_e8))
    elif contract.lots:
        paid_e8 = 0
    else:
        paid_e8 = left_e8 if fund_e8 is None else max(left_e8, -max(0, fund_e8))
    wallet.book(us, "INSURANCE_CLEAR", contract.symbol, -paid_e8)
    if contract.isolated and contract.lots:
        contract.wallet_e8 = left_e8 - contract.unrealised_e8 - paid_e8
    return paid_e8


def _fee_e8(contract: Contract, ticks: int, lots: int, rate_e8: int) -> int:
    return half_even(contract.notional_e8(ticks, lots) * rate_e8, E8)

"""Liquidation of a position: the price at which its margin is used up, and the insurance fund's part."""

from mm.instrument import E8
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


def left_e8(wallet: Wallet, contract: Contract, own_e8: int, realised_before_e8: int) -> int:
    """*own_e8* is the margin that an isolated position had."""
    if contract.isolated:
        return own_e8 + contract.realised_e8 - realised_before_e8
    return wallet.equity_e8(contract)


def clearance_e8(left_e8: int, notional_e8: int, rate_e8: int, fund_e8: int | None = None) -> int:
    """What a liquidated account pays to the insurance fund: the fee, at most what is left.

    Negative is what the fund pays, at most its balance *fund_e8* (None: unlimited).
    """
    if left_e8 >= 0:
        return min(left_e8, half_even(notional_e8 * rate_e8, E8))
    return left_e8 if fund_e8 is None else max(left_e8, -max(0, fund_e8))

"""Why an order was refused, in the words of a journal."""

from mm.backtest.journal import REJECT_REASONS
from mm.live.venues.refusals import Refusal, Why

_INSUFFICIENT = {1: "insufficient_cash", -1: "insufficient_inventory"}
_REASONS = {
    Why.CROSSES: "would_cross",
    Why.REDUCE_ONLY: "reduce_only",
    Why.BRACKET: "above_bracket",
    Why.BAND: "price_out_of_band",
    Why.NOTIONAL: "min_notional",
    Why.QUANTITY: "quantity_out_of_range",
    Why.OPEN_ORDERS: "order_limit_10s",
    Why.ORDER_RATE: "order_limit_10s",
}


def reason_of(refusal: Refusal, side: int) -> str:
    if refusal.message in REJECT_REASONS:
        return refusal.message
    if refusal.why is Why.FUNDS:
        return _INSUFFICIENT[side]
    return _REASONS.get(refusal.why, "exchange_refused")

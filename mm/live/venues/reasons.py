"""Why an exchange refused an order, in the words of a journal."""

from mm.backtest.journal import REJECT_REASONS
from mm.live.venues.codes import FILTER_FAILED, TOO_MANY_ORDERS

_INSUFFICIENT = {1: "insufficient_cash", -1: "insufficient_inventory"}
_FILTERS = {  # by a part of the filter's name
    "PERCENT_PRICE": "price_out_of_band",
    "PRICE_FILTER": "price_out_of_band",
    "NOTIONAL": "min_notional",
    "MIN_NOTIONAL": "min_notional",
    "LOT_SIZE": "quantity_out_of_range",
    "MAX_NUM_ORDERS": "order_limit_10s",
}


def reason_of(code: int, message: str, side: int) -> str:
    """Return the journal's reason for a rejection by the exchange.

    Args:
        code: The exchange's error code; 0 if the gateway refused to send.
        message: Message of the exchange or the gateway.
        side: Side of the order.
    """
    if message in REJECT_REASONS:
        return message
    if "immediately match" in message:
        return "would_cross"
    if "insufficient balance" in message:
        return _INSUFFICIENT.get(side, "insufficient_cash")
    if code == TOO_MANY_ORDERS:
        return "order_limit_10s"
    if code == FILTER_FAILED:
        named = [reason for name, reason in _FILTERS.items() if name in message]
        if named:
            return named[0]
    return "exchange_refused"

# The price that the exchange refused last on a side, which is not sent again until the touch has moved.

from libc.stdint cimport int64_t

from mm.backtest._records cimport WOULD_CROSS
from mm.backtest.fills.base cimport Order

cdef struct Refused:
    int64_t ticks           # 0 is none
    int64_t kind
    bint crossed            # whether it would have crossed: then all beyond would too
    int64_t bid_ticks       # the touch at the first question behind the rejection; -1 before that
    int64_t ask_ticks


cdef inline void refused_note(Refused* refused, const Order* order, int reason) noexcept nogil:
    """Note an order that was rejected for its price."""
    refused.ticks, refused.kind, refused.crossed = order.ticks, order.kind, reason == WOULD_CROSS
    refused.bid_ticks = refused.ask_ticks = -1


cdef inline void refused_look(Refused* refused, int64_t bid_ticks, int64_t ask_ticks) noexcept nogil:
    """Take note of the touch at a question; forget the price where it has moved."""
    if refused.ticks == 0:
        return
    if refused.bid_ticks < 0:
        refused.bid_ticks, refused.ask_ticks = bid_ticks, ask_ticks
    elif refused.bid_ticks != bid_ticks or refused.ask_ticks != ask_ticks:
        refused.ticks = 0


cdef inline bint refused_again(const Refused* refused, const Order* order) noexcept nogil:
    """Return whether an order would be rejected as the last one was."""
    if refused.ticks == 0 or order.kind != refused.kind:
        return False
    return order.ticks == refused.ticks or (refused.crossed and order.side * (order.ticks - refused.ticks) > 0)

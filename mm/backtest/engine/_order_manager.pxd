# cython: cdivision=True
# The order manager: adjusts our open orders at a venue to the quotes of the model.

from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport wide
from mm.backtest.engine._own_orders cimport OpenOrders, OwnOrders, orders_follow
from mm.backtest.engine._records cimport Decision, record_state
from mm.backtest.engine._risk cimport Guard
from mm.backtest.engine._venue cimport Touch, OrderVenue
from mm.backtest.engine._volatility cimport Volatility
from mm.backtest.fills.base cimport NEVER, Order, Top
from mm.backtest.quotes.base cimport Ladder, QuoteModel, View, Want
from mm.signals.signal_set cimport SignalSet

cdef class OrderManager:
    cdef OrderVenue venue
    cdef OwnOrders orders
    cdef QuoteModel quotes
    cdef View view
    cdef Volatility volatility
    # rules
    cdef int64_t requote_us, refresh_us, state_us
    cdef int64_t quote_lots
    cdef int64_t room[2]                # lots that open orders may have, as the last quotes bound the position; sells, buys
    cdef int64_t lot_e8                 # lot of the tape, 1e-8 of the base asset
    cdef int64_t levels, level_step_ticks, step_ticks
    cdef wide min_notional_e16
    cdef int64_t least_lots, most_lots  # bounds of a surely valid order, and of its notional
    cdef double least_notional_e16, most_notional_e16
    cdef int64_t amends_allowed         # per order, by the exchange
    cdef int64_t most_amends            # likewise of quotes; 0: never amend
    # timers
    cdef int64_t next_sample_us, next_state_us, next_requote_us
    cdef int64_t next_grid_us           # the earlier of the first two, cached as it is read for each event
    # the last requote
    cdef bint timeless                  # whether equal best prices and inventory give an equal requote, at any time
    cdef bint repeats                   # the same, in the market that is played
    cdef int64_t quoted_bid_ticks, quoted_ask_ticks     # best prices at that requote
    cdef int64_t* skipped               # reasons for not sending, by level; sells, buys
    cdef int64_t skipped_room           # number of levels
    cdef Ladder[2] wanted               # quotes of a model at several prices; sells, buys
    cdef Ladder[2] ladders              # the same, on the exchange's grid, at the last requote
    cdef int64_t[2] ladder_kinds        # order kind of each of these
    cdef bint complete                  # whether each of their prices had its order then
    cdef bint by_price                  # whether orders belong to prices and not to levels, once a model quoted several
    cdef bint awaits_best               # whether a requote follows on the next change of a best price
    cdef int64_t wake_us                # the instant at which the model's last answer asked for a call; NEVER for none
    cdef bint waits                     # whether the next requote tries again: an amendment for its order to rest, or an order for room
    # the decision, if recorded
    cdef bint decides
    cdef int64_t input_seq              # recv_seq of the last played event
    cdef Decision made
    # orders
    cdef int64_t last_id
    cdef bint manual                   # whether the current order is from `place`
    cdef bint strategic                # whether the quote model sends its orders itself
    cdef int refusal                   # why the last order from `place` was not sent
    # risk
    cdef readonly Guard guard
    cdef bint guarded                   # whether there are limits, or `pull` was ever called
    cdef readonly object others         # type: Others | None
    cdef bint paired                    # whether there are other markets
    cdef readonly dict legs             # type: dict[str, LegOrders]
    cdef public object allow            # type: Callable[[], object] | None
    cdef SignalSet signals              # read by the quote model, else None; updated by the engine
    cdef double* shown                  # market signals, then those of our own orders; NULL without the latter
    cdef int64_t market_signals         # number of the former
    cdef readonly object pulled_for     # type: str | None
    cdef object killed_reason           # reason passed to `kill`

    cdef void begin(self, int64_t us, bint samples) noexcept nogil
    cdef void sample(self, Touch* known) noexcept nogil
    cdef double shared_cash(self) noexcept nogil
    cdef void look_for_funds(self) noexcept nogil
    cdef void look_at_refused(self, int64_t side, const Top* top) noexcept nogil
    cdef int requote(self, int64_t us, const Touch* known) except -1 nogil
    cdef int decided(self, int64_t us, const Top* top, const Want* want) except -1 nogil
    cdef int show_fills(self) except -1 nogil
    cdef void show_own(self) noexcept nogil
    cdef int take_signals(self, object rules) except -1
    cdef int show_others(self, int64_t us) except -1
    cdef int kill_legs(self, int64_t us) except -1
    cdef void show_ours(self, int64_t us) noexcept nogil
    cdef int schedule_next_call(self, int64_t us, const Want* want) except -1 nogil
    cdef int adjust_levels(self, int64_t us, const Want* want) except -1 nogil
    cdef int adjust_prices(self, int64_t us, Want* want) except -1 nogil
    cdef int adjust_ladder(self, int64_t us, int64_t side, int64_t kind) except -1 nogil
    cdef bint take_ladder(self, int64_t side, int64_t kind) noexcept nogil
    cdef int tidy_ladder(self, int64_t side, int64_t kind) noexcept nogil
    cdef int make_room(self, int64_t levels) except -1
    cdef int64_t quoted(self, double price, int64_t side) noexcept nogil
    cdef int adjust(
        self, int64_t us, int64_t side, int64_t level, double price, int64_t lots, int64_t kind
    ) except -1 nogil
    cdef int lessen(self, int64_t i, int64_t lots) except -1 nogil
    cdef int request_amend(self, Order* order, int64_t lots) except -1 nogil
    cdef int request_cancel(self, int64_t i, int64_t us, int reason) except -1 nogil
    cdef int send(
        self, int64_t us, int64_t side, int64_t level, int64_t ticks, int64_t lots, int64_t kind, int64_t skipped
    ) except -1 nogil
    cdef wide notional(self, const Order* order) noexcept nogil
    cdef int withdraw(self, int64_t us, int limit) except -1 nogil
    cdef int size_fault(self, const Order* order) noexcept nogil
    cdef bint exceeds_position(self, const Order* order) noexcept nogil
    cdef int64_t place_order(self, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t kind) except -1 nogil
    cdef bint cancel_order(self, int64_t us, int64_t order_id) except -1 nogil
    cdef bint amend_order(self, int64_t order_id, int64_t lots) except -1 nogil


cdef inline int64_t next_after(OrderManager manager, const OpenOrders* open, bint settled) noexcept nogil:
    """Return the next instant of a drawn fill, a sample, a state row, or a requote that may send.

    *open* are the manager's orders, here and below: loops keep the pointer in a register. *settled* is the result of
    `is_settled`.
    """
    cdef int64_t us = min(manager.next_grid_us, open.next_after_us)
    return us if settled else min(us, manager.next_requote_us)


cdef inline bint is_settled(OrderManager manager, const OpenOrders* open, const Top* top) noexcept nogil:
    """Return whether a requote would send nothing, because quotes and orders equal those of the last one.

    Such a requote writes no row and is skipped, as are most requotes of a day.
    """
    return (
        manager.repeats
        and not open.changed
        and top.bid_ticks == manager.quoted_bid_ticks
        and top.ask_ticks == manager.quoted_ask_ticks
    )


cdef inline void look_at_best(OrderManager manager, OpenOrders* open, const Touch* touch, int64_t us) noexcept nogil:
    """Schedule a requote at *us* if one is to follow on a change of a best price, and one has changed."""
    cdef const Top* top = &touch.top
    if not manager.awaits_best or not touch.valid or top.bid_ticks == 0 or top.ask_ticks == 0:
        return
    if top.bid_ticks != manager.quoted_bid_ticks or top.ask_ticks != manager.quoted_ask_ticks:
        manager.awaits_best = False
        orders_follow(open, us)


cdef inline int64_t grid_from(OrderManager manager, int64_t us) noexcept nogil:
    """Return the grid's first remaining requote at or after an instant; NEVER for NEVER."""
    cdef int64_t next_us = manager.next_requote_us
    if us <= next_us or us == NEVER:
        return max(us, next_us)
    return us + (manager.requote_us - 1 - (us - next_us - 1) % manager.requote_us)


cdef inline void pass_requotes(OrderManager manager, int64_t us) noexcept nogil:
    """Skip the grid's requotes before an instant, which would send nothing."""
    cdef int64_t next_us = manager.next_requote_us, step_us = manager.requote_us
    if next_us >= us:
        return
    if us - next_us > 8 * step_us:
        next_us += (us - next_us - 1) // step_us * step_us
    while next_us < us:  # mostly a few steps: a division would cost more than all the rest
        next_us += step_us
    manager.next_requote_us = next_us


cdef inline int run_grid(OrderManager manager, const OpenOrders* open, int64_t us, Touch* known) except -1 nogil:
    """Take the sample and write the state row that are due at `next_grid_us`."""
    if us == manager.next_sample_us:
        manager.sample(known)
    if us == manager.next_state_us:
        record_state(&manager.orders.records, us, &manager.orders.account, open.count)
        manager.next_state_us += manager.state_us
    manager.next_grid_us = min(manager.next_sample_us, manager.next_state_us)
    return 0


cdef inline int run_timers(OrderManager manager, OpenOrders* open, int64_t us, bint settled, Touch* known) except -1 nogil:
    """Run the timers due at an instant: the sample, then the state row, then the requote.

    *known* is the local (delayed) market.
    """
    if us == manager.next_grid_us:
        run_grid(manager, open, us, known)
    if us == manager.next_requote_us or us == open.follow_us:
        if us == open.follow_us:
            open.followed_us = us
            orders_follow(open, manager.wake_us if manager.wake_us > us else NEVER)  # a call without a book ends none
        if not settled:
            manager.requote(us, known)
        if us == manager.next_requote_us:
            manager.next_requote_us += manager.requote_us
    return 0

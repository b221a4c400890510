# cython: cdivision=True
# The order manager: adjusts our open orders at a venue to the quotes of the model.

from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport wide
from mm.backtest.engine._agenda cimport Agenda, agenda_changed, agenda_follow, pass_requotes
from mm.backtest.engine._own_orders cimport OpenOrders, OwnOrders
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
    cdef int64_t refresh_us, state_us
    cdef int64_t quote_lots
    cdef int64_t room[2]                # lots that open orders may have, as the last quotes bound the position; sells, buys
    cdef int64_t lot_e8                 # lot of the tape, 1e-8 of the base asset
    cdef int64_t levels, level_step_ticks, step_ticks
    cdef wide min_notional_e16
    cdef int64_t least_lots, most_lots  # bounds of a surely valid order, and of its notional
    cdef double least_notional_e16, most_notional_e16
    cdef int64_t amends_allowed         # per order, by the exchange
    cdef int64_t most_amends            # likewise of quotes; 0: never amend
    cdef int64_t most_moves             # amendments of an order's price; 0: never
    cdef Agenda* agenda                 # of *orders*
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
    cdef bint waits                     # whether the next requote tries again: an amendment for its order to rest, or an order for room
    # the decision, if recorded
    cdef bint decides
    cdef int64_t input_seq              # recv_seq of the last played event
    cdef Decision made
    # orders
    cdef int64_t last_id, last_turn
    cdef bint manual                   # whether the current order is from `place`
    cdef bint strategic                # whether the quote model sends its orders itself
    cdef bint reduces                   # whether only orders are sent that reduce the position
    cdef int reduces_code               # reason for which others are withheld then
    cdef int refusal                   # why the last order from `place` was not sent
    # risk
    cdef readonly Guard guard
    cdef bint guarded                   # whether there are limits, or `pull` was ever called
    cdef readonly object others         # type: Others | None
    cdef object recorded                # `OwnSeries` of the strategy
    cdef bint paired                    # whether there are other markets
    cdef readonly dict legs             # type: dict[str, LegOrders]
    cdef public object allow            # type: Callable[[], object] | None
    cdef SignalSet signals              # read by the quote model, else None; updated by the engine
    cdef double* shown                  # market signals, then our own orders'; NULL without the latter
    cdef int64_t market_signals         # number of the former
    cdef readonly object pulled_for     # type: str | None
    cdef object killed_reason           # reason passed to `kill`

    cdef void begin(self, int64_t us, bint samples) noexcept nogil
    cdef object journal(self, int64_t us, object events, object rows, object fill_reasons, object expected_fills)
    cdef int act(self, int64_t us, Touch* known) except -1 nogil
    cdef void sample(self, Touch* known) noexcept nogil
    cdef object record_anew(self)
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
    cdef bint move(self, int64_t us, int64_t i, int64_t ticks, int64_t lots) except -1 nogil
    cdef int request_amend(self, Order* order, int64_t lots) except -1 nogil
    cdef int request_cancel(self, int64_t i, int64_t us, int reason) except -1 nogil
    cdef int send(
        self, int64_t us, int64_t side, int64_t level, int64_t ticks, int64_t lots, int64_t kind, int64_t skipped
    ) except -1 nogil
    cdef wide notional(self, const Order* order) noexcept nogil
    cdef int withdraw(self, int64_t us, int limit) except -1 nogil
    cdef int64_t reducible(self, int64_t side) noexcept nogil
    cdef int withdraw_adding(self, int64_t us) except -1 nogil
    cdef int withdraw_for(self, int64_t us, int reason) except -1 nogil
    cdef int size_fault(self, const Order* order) noexcept nogil
    cdef bint exceeds_position(self, const Order* order) noexcept nogil
    cdef int64_t place_order(self, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t kind) except -1 nogil
    cdef bint cancel_order(self, int64_t us, int64_t order_id) except -1 nogil
    cdef bint amend_order(self, int64_t order_id, int64_t lots) except -1 nogil


cdef inline bint is_settled(OrderManager manager, const OpenOrders* open, const Top* top) noexcept nogil:
    """A requote would send nothing: quotes and orders equal the last ones.

    Most requotes of a day are skipped so, and write no row.
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
        agenda_follow(&open.agenda, us)


cdef inline int run_timers(OrderManager manager, OpenOrders* open, int64_t us, bint settled, Touch* known) except -1 nogil:
    """Do what is due by an instant: samples and state rows, each as of its own, then one requote.

    *settled* is the result of `is_settled`, *known* the market as received.
    """
    cdef Agenda* agenda = &open.agenda
    cdef int64_t grid_us
    while True:
        grid_us = min(agenda.sample_us, agenda.state_us)
        if grid_us > us:
            break
        if grid_us == agenda.sample_us:
            manager.sample(known)
        if grid_us == agenda.state_us:
            record_state(&manager.orders.records, grid_us, &manager.orders.account, open.count)
            agenda.state_us += manager.state_us
        agenda_changed(agenda)
    if min(min(agenda.follow_us, agenda.wake_us), agenda.requote_us) > us:
        return 0
    pass_requotes(agenda, us)
    if min(agenda.follow_us, agenda.wake_us) <= us:
        agenda.followed_us, agenda.follow_us = us, NEVER
        if agenda.wake_us <= us:  # a call without a book ends no later one
            agenda.wake_us = NEVER
        agenda_changed(agenda)
    if not settled:
        manager.requote(us, known)
    if us == agenda.requote_us:
        agenda.requote_us += agenda.step_us
    return 0

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The engine of a live market: the order manager of the replay, with a gateway in place of a paper exchange.

It receives market events as they arrive, returns messages for the gateway, and receives its reports. Requotes follow
the grid of the replay; a late one is made at once, and a fill triggers one at once. ``trader.py`` drives it.
"""

cimport cython
from libc.stdint cimport int64_t

from mm.backtest.engine._agenda cimport Agenda
from mm.backtest.engine._event_buffer cimport EventBuffer
from mm.backtest.engine._order_manager cimport OrderManager, look_at_best
from mm.backtest.engine._own_orders cimport OpenOrders, OwnOrders, slot_of
from mm.backtest.engine._records cimport EPOCH_BREAK, record_state
from mm.backtest.engine._venue cimport centre_book, cover, note_mid, note_top, watch_sides
from mm.backtest.fills.base cimport NEEDS_PRINTS, NEVER, SKIPS_REPEATS, Trade
from mm.backtest.quotes.base cimport QuoteModel
from mm.live._gateway_venue cimport GatewayVenue
from mm.tape._book cimport book_apply, book_clear, book_open
from mm.tape._kinds cimport DEPTH, GAP, TRADE

from typing import TYPE_CHECKING

from mm.backtest.journal import REJECT_REASONS, Journal
from mm.backtest.quotes.base import compiled
from mm.backtest.rules import Rules
from mm.backtest.trading_time import TradingTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mm.backtest.engine.live_feed import FeedEvent

CLOSED = "session_closed"
FILL_REASONS = ("exchange:maker", "exchange:taker")


@cython.final
cdef class LiveEngine:
    """One account at one exchange: a live market, an order manager, and a gateway.

    Instants are µs of the local clock and never decrease: an earlier one is replaced by the latest so far.

    Args:
        quotes: A compiled quote model, or any object with ``quote(view)``.
        rules: The rules of the run; its lot may be finer than the exchange's step.
    """

    cdef readonly OrderManager manager
    cdef readonly int64_t now_us
    cdef QuoteModel quotes
    cdef GatewayVenue venue
    cdef EventBuffer buffer
    cdef bint within, reached           # whether the strategy may quote, and its orders reach the exchange
    cdef object time                    # when the strategy may quote
    cdef int64_t turn_us                # when that changes next; below 0 before the first look
    cdef int64_t events_played, rows_played

    def __init__(self, quotes: object, rules: Rules) -> None:
        self.time, self.turn_us = TradingTime.of(quotes, rules.hours), -1
        self.within = self.reached = True
        self.quotes = compiled(quotes)
        self.venue = GatewayVenue(OwnOrders(rules), rules)
        self.manager = OrderManager(self.quotes, self.venue, rules)
        self.buffer = EventBuffer()
        book_open(&self.venue.book, 0, 1)
        self.venue.opened = True

    # ------------------------------------------------------------------ current state

    @property
    def best(self) -> tuple[int, int]:
        """Best bid and ask in ticks; 0 if there is none; both are 0 without a valid book."""
        if not self.venue.touch.valid:
            return 0, 0
        return self.venue.touch.top.bid_ticks, self.venue.touch.top.ask_ticks

    @property
    def inventory_lots(self) -> int:
        return self.venue.orders.account.inventory_lots

    @property
    def cash(self) -> float:
        return self.venue.orders.cash

    @property
    def open_orders(self) -> int:
        """Orders that were sent and whose end was not reported yet."""
        return self.venue.orders.open.count

    @property
    def state_rows(self) -> int:
        """Rows of the state table since the journal was last handed over."""
        return self.venue.orders.records.state.rows

    @property
    def decisions(self) -> int:
        """Number of requotes recorded since the journal was last handed over."""
        return self.venue.orders.records.decisions.rows

    @property
    def next_due_us(self) -> int:
        """The instant of the next timer of `advance`; far in the future before the first book."""
        cdef const Agenda* agenda = &self.venue.orders.open.agenda
        return min(min(agenda.after_us, agenda.requote_us), self.turn_us)

    @property
    def closed_for(self) -> str:
        """Why the market is closed as of the latest instant; empty while it is open."""
        return CLOSED if self.time.is_closed(self.now_us) else ""

    # ------------------------------------------------------------------ the market and the clock

    def feed(self, events: Iterable[FeedEvent]) -> None:
        """Queue events of the market, in order; `advance` applies them.

        Raises:
            UsageError: If one is malformed, or changes a book that is not valid.
        """
        cdef EventBuffer buffer = self.buffer
        cdef int64_t event
        buffer.extend(events, -1)
        for event in range(buffer.events):
            if self.turn_us < buffer.event_us[event]:
                self.turn(buffer.event_us[event] - 1)
            self.happen(event)
        buffer.drop(buffer.events)

    def pass_time(self, us: int) -> None:
        """Let the journal end no earlier than an instant."""
        self.venue.now_us = self.at(us)

    def feed_other(self, name: str, events: Sequence[FeedEvent]) -> None:
        """In order."""
        self.manager.feed_other(name, events)

    cdef int turn(self, int64_t until_us) except -1:
        """Do what is due by an instant when the market opens or closes, or a training ends."""
        cdef int64_t us = until_us if self.turn_us < 0 else self.turn_us
        while us <= until_us:
            self.venue.now_us = max(self.venue.now_us, us)
            self.within = self.time.is_within(us)
            self.cover(us)
            if self.manager.pulled_for == CLOSED:
                self.manager.resume()
            if self.time.is_closed(us) and self.manager.pulled_for is None:  # another reason is kept
                self.manager.pull(CLOSED)
            us = self.turn_us = self.time.next_turn(us)
        return 0

    cdef int happen(self, int64_t event) except -1:
        cdef EventBuffer buffer = self.buffer
        cdef int64_t row = buffer.first_row[event], rows = buffer.first_row[event + 1] - row, us
        cdef int kind = buffer.kind[event]
        us = self.now_us = max(self.now_us, buffer.event_us[event])
        self.venue.touch.market_us = buffer.event_us[event] - buffer.event_late_us[event]
        self.manager.input_seq = max(self.manager.input_seq, buffer.recv_seq[event])
        self.events_played += 1
        self.rows_played += rows
        if self.manager.signals is not None:
            self.manager.signals.take(
                kind, us, buffer.recv_seq[event],
                &buffer.row_side[row], &buffer.row_ticks[row], &buffer.row_lots[row], rows,
            )
        if kind == TRADE:
            self.manager.view.last_trade = Trade(
                us, buffer.row_side[row], buffer.row_ticks[row], buffer.row_lots[row], buffer.event_id[event]
            )
            if self.quotes.needs & NEEDS_PRINTS:
                self.quotes.on_print(&self.manager.view.last_trade)
            return 0
        if kind != DEPTH:
            book_clear(&self.venue.book)
            if kind != GAP and not self.venue.touch.valid:
                self.venue.orders.open.changed = True
            self.venue.touch.valid = kind != GAP
            cover(self.venue, us)
        if rows:
            book_apply(&self.venue.book, &buffer.row_side[row], &buffer.row_ticks[row], &buffer.row_lots[row], rows)
        note_top(self.venue, us, buffer.recv_seq[event], True)
        note_mid(self.venue, us)
        if kind == GAP:
            return self.manager.withdraw_for(us, EPOCH_BREAK)  # there is no book to quote in
        centre_book(&self.venue.book)
        look_at_best(self.manager, &self.venue.orders.open, &self.venue.touch, us)
        if not self.venue.begun:
            self.venue.begun, self.venue.begun_us = True, us
            cover(self.venue, us)
            self.manager.begin(us, not self.quotes.skips & SKIPS_REPEATS)
        return 0

    cdef int cover(self, int64_t us) except -1:
        """Begin or end a stretch of time with a market, as the strategy now may quote."""
        self.venue.trades = self.within and self.reached
        return cover(self.venue, us)

    def advance(self, int64_t us) -> list[tuple[str, int, int, int, int, str]]:
        """Advance to an instant, and return the messages for the gateway, in order.

        Returns:
            (``place``, ``cancel``, ``amend`` or ``move``, order id, side, ticks, lots, kind); a cancel that is followed
            by an order of the same side may be sent as one replacement. An amendment's lots are the new total; a move
            is one with a new price.
        """
        if self.next_due_us <= us:  # else the clock stays: the next event or report happens at its own instant
            us = self.now_us = self.venue.now_us = max(self.now_us, us)
            if self.turn_us <= us:
                self.turn(us)
            self.manager.act(us, &self.venue.touch)
            watch_sides(self.venue, us)
        messages, self.venue.messages = self.venue.messages, []
        return messages


    # ------------------------------------------------------------------ reports of the gateway

    cdef int64_t at(self, int64_t us) noexcept:
        """Return the instant of a report: the latest so far, if that is later."""
        self.now_us = max(us, self.now_us)
        return self.now_us

    def set_reached(self, reached: bool, us: int) -> None:
        """Set whether orders reach the exchange; while they do not, there is no time with a market."""
        self.reached = reached
        self.venue.now_us = self.at(us)  # the journal ends no earlier
        self.cover(self.now_us)

    def accepted(self, order_id: int, us: int) -> None:
        self.venue.accepted(order_id, self.at(us))
        watch_sides(self.venue, self.now_us)

    def rejected(self, order_id: int, us: int, reason: str) -> None:
        """Report that the exchange rejected an order; *reason* is one of ``REJECT_REASONS``."""
        self.venue.rejected(order_id, self.at(us), REJECT_REASONS.index(reason))

    def filled(
        self, order_id: int, us: int, side: int, ticks: int, lots: int, fee_lots: int, fee_e8: int, took: bool
    ) -> None:
        """An execution; one of an order that is not open here has the order id 0 in the journal.

        Args:
            fee_lots: Fee paid in the base asset, in lots.
            fee_e8: Value of the whole fee, in 1e-8 of the quote asset.
        """
        cdef OwnOrders orders = self.venue.orders
        if orders.records.state.rows == 0:  # a fill of an earlier run, before the first book: the position before it
            record_state(&orders.records, self.at(us), &orders.account, orders.open.count)
        self.venue.filled(order_id, self.at(us), side, ticks, lots, fee_lots, fee_e8, took)
        watch_sides(self.venue, self.now_us)

    def paid(self, us: int, funding_e8: int) -> None:
        """Report a payment for the position, such as funding, in 1e-8 of the quote asset; below 0 it was received."""
        self.venue.orders.paid(self.at(us), funding_e8)

    def closed(self, order_id: int, us: int, expired: bool) -> None:
        """Without a last fill."""
        self.venue.closed(order_id, self.at(us), expired)
        watch_sides(self.venue, self.now_us)

    def amended(self, order_id: int, us: int, lots: int, ticks: int = 0) -> None:
        """Report that an order now has *lots* in total, at *ticks* (0: as before); if as many have filled, it has ended."""
        self.venue.amended(order_id, self.at(us), lots, ticks)
        watch_sides(self.venue, self.now_us)

    def amend_failed(self, order_id: int, refused: bool, reason: str = "exchange_refused") -> None:
        """Report that an amendment failed; an order for which it was *refused*, for *reason*, is not amended again."""
        self.venue.amend_failed(order_id, self.now_us, refused, REJECT_REASONS.index(reason))
        watch_sides(self.venue, self.now_us)

    def open_again(self, order_id: int) -> None:
        self.venue.open_again(order_id)

    def hold(self, side: int, until_us: int) -> None:
        """Send no order of a side before an instant, nor before the next requote of the grid, once that has begun."""
        self.venue.hold(side, until_us)

    def pull(self, reason: str, us: int) -> None:
        """Cancel the quotes now, and send none until the manager's `resume`."""
        self.venue.now_us = self.at(us)
        self.manager.pull(reason)

    def reduce_only(self, on: bool, us: int) -> None:
        """Send only orders that reduce the position from now on, or no more."""
        self.venue.now_us = self.at(us)
        self.manager.reduce_only(on)

    def kill(self, reason: str, us: int) -> None:
        """Cancel every order now, and send nothing afterwards."""
        self.venue.now_us = self.at(us)
        self.manager.kill(reason)

    def funds(self, held_lots: int, held_e8: int) -> None:
        """Report what the balances leave to our orders, those open included: base asset in lots, quote asset in 1e-8."""
        self.venue.funds(held_lots, held_e8)

    # ------------------------------------------------------------------ the journal

    def journal(self) -> Journal:
        """Return the journal tables, as a paper exchange does."""
        return self.manager.journal(self.now_us, self.events_played, self.rows_played, FILL_REASONS, None)

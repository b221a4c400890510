"""Requests that change orders: place, amend, cancel, cancel-replace; sent once each, with responses to the states."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from mm.live.audit.log import AuditLog
from mm.live.orders.states import OrderStates
from mm.live.venues.live_orders import LiveOrder, OrderSeen
from mm.live.venues.refusals import Why, unsent
from mm.live.venues.requests import ApiAnswer, OrderApi, Outcome
from mm.live.venues.venue import SymbolVenue


class OrderSender:
    def __init__(
        self,
        venue: SymbolVenue,
        window_ms: int,
        states: OrderStates,
        apis: tuple[OrderApi, OrderApi],
        audit: AuditLog,
        answered: Callable[[str, ApiAnswer], None],
    ) -> None:
        self._venue = venue
        self._window_ms = window_ms
        self._states = states
        self._primary, self._fallback = apis
        self._audit = audit
        self._answered = answered

    def place(self, order: LiveOrder) -> None:
        order.window_ms = self._window_ms
        order.sent_ms = self._primary.request(*self._venue.place(order), partial(self._placed, order))

    def replace(self, old: LiveOrder, new: LiveOrder) -> None:
        """If *old* cannot be cancelled, nothing is placed."""
        new.window_ms = self._window_ms
        new.sent_ms = self._primary.request(*self._venue.replace(old, new), partial(self._replaced, old, new))

    def amend(self, order: LiveOrder) -> None:
        """Unless a cancel has overtaken it."""
        qty = order.amend_qty
        if order.ended or order.cancelling:
            self._states.amend_refused(order, qty, order.us, unsent("the order has ended, or is being cancelled"))
            return
        terms = order.amends, qty
        call = self._venue.amend(order, qty, order.amend_price)
        stamp_ms = self._primary.request(*call, partial(self._amended, order, terms))
        order.amend_until_ms = stamp_ms + self._window_ms

    def unsent(self, order: LiveOrder, us: int, why: str) -> None:
        if order.amend_qty:
            self._states.amend_refused(order, order.amend_qty, us, unsent(why))
        else:
            self._states.refused(order, us, unsent(why))

    def cancel(self, order: LiveOrder, api: OrderApi | None = None) -> None:
        """Cancel by *api* or by the best available one."""
        self._cancelling(order)
        if api is None:
            api = self._primary if self._primary.up else self._fallback
        api.request(*self._venue.cancel(order), partial(self._cancelled, order))

    def cancel_symbol(self, orders: Sequence[LiveOrder]) -> None:
        for order in orders:
            self._cancelling(order)
        done = partial(self._symbol_cancelled, orders)
        self._fallback.request(*self._venue.cancel_symbol(), done)

    def _cancelling(self, order: LiveOrder) -> None:
        self._audit.append("intent", action="cancel", client_id=order.client_id)
        self._states.cancelling(order)
        order.cancel_sent_s = asyncio.get_running_loop().time()

    def _symbol_cancelled(self, orders: Sequence[LiveOrder], answer: ApiAnswer) -> None:
        done = self._venue.seen_all(answer) if answer.outcome is Outcome.DONE else []
        ended = {one.client_id: one for one in done}
        for order in orders:
            if order.client_id in ended:
                self._states.cancelled(order, ended[order.client_id])
            else:
                self._states.cancel_unknown(order)
        self._answered("cancel", answer)

    def _placed(self, order: LiveOrder, answer: ApiAnswer) -> None:
        if answer.outcome is Outcome.DONE:
            found = self._venue.seen(answer)
            if found.exchange_id > 0:
                self._states.seen(found)
            else:
                self._states.place_unknown(order)
        elif answer.outcome is Outcome.UNKNOWN:
            self._states.place_unknown(order, judged=answer.why is Why.CLOCK)
        else:
            self._states.refused(order, answer.us, answer.refusal)
        self._answered("place", answer)

    def _amended(self, order: LiveOrder, terms: tuple[int, str], answer: ApiAnswer) -> None:
        number, qty = terms
        if number != order.amends:  # its outcome is known, and another has followed
            pass
        elif answer.outcome is Outcome.DONE:
            self._states.amended(order, qty, self._venue.amended(answer))
        elif answer.outcome is Outcome.UNKNOWN:
            self._states.amend_unknown(order, qty, judged=answer.why is Why.CLOCK)
        else:
            self._states.amend_refused(order, qty, answer.us, answer.refusal)
        self._answered("amend", answer)

    def _cancelled(self, order: LiveOrder, answer: ApiAnswer) -> None:
        if answer.outcome is Outcome.DONE:
            self._states.cancelled(order, self._venue.seen(answer))
        elif answer.outcome is Outcome.REFUSED:
            self._states.cancel_refused(order, answer.us, answer.refusal)
        else:
            self._states.cancel_unknown(order)
        self._answered("cancel", answer)

    def _replaced(self, old: LiveOrder, new: LiveOrder, answer: ApiAnswer) -> None:
        if answer.outcome is Outcome.UNKNOWN:
            self._states.cancel_unknown(old)
            self._states.place_unknown(new, judged=answer.why is Why.CLOCK)
            self._answered("replace", answer)
            return
        cancelled, placed = self._venue.replaced(answer)
        if isinstance(cancelled, OrderSeen):
            self._states.cancelled(old, cancelled)
        else:
            self._states.cancel_refused(old, answer.us, cancelled)
        if isinstance(placed, OrderSeen):
            self._states.seen(placed)
        else:
            self._states.refused(new, answer.us, placed)
        self._answered("replace", answer)

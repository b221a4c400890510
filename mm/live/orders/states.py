"""The states of orders: a state machine without I/O.

The input is requests, responses, user events, queries and trades, in any order, repeated, late or missing; the output
is ordered steps: what to send (`Ask`, `Fetch`, `Resend`) and what to report (`Accepted`, `Rejected`, `Booked`, …).

- Information of the exchange about an order (`OrderSeen`) is monotonic: the executed quantity rises, the quantity
  falls, a final state stays.
- A fill is booked once, by trade id, only from user events and queried trades. An order is closed only when its booked
  fills add up to the executed quantity of the exchange; until then its trades are fetched.
- An order with an unknown outcome is UNKNOWN until the exchange was queried. "No such order" proves that a request
  failed only once it can no longer arrive (`proves_absence`), or has arrived and was refused for its timestamp.
- An amendment lowers the quantity at the same queue position, or, of a contract, changes the price and quantity: an
  order with these terms at the exchange was amended; one without them was not, once a query proves that the request can
  no longer arrive. The order is open meanwhile, with the worse of both terms, and can be cancelled at any time.
- An order that was presumed gone and reappears is cancelled, and its fills are booked as fills of an earlier run.
"""

from collections.abc import Iterable, Iterator, Mapping
from heapq import nlargest
from types import MappingProxyType

from mm.instrument import e8, short_text
from mm.live.account.ledger import trade_mark
from mm.live.orders.order_steps import (
    EARLIER,
    KEPT_ORDERS,
    Accepted,
    Amended,
    AmendFailed,
    Ask,
    Booked,
    CancelFailed,
    Closed,
    Contradiction,
    Fetch,
    InBook,
    OrderStep,
    Reamend,
    Rejected,
    Resend,
)
from mm.live.venues.fills import AccountFill
from mm.live.venues.live_orders import ENDS, RESTING, Doubt, LiveOrder, OrderSeen, OrderState, is_too_late
from mm.live.venues.refusals import NOT_SENT, OF_THE_ORDER, Refusal, Why, unsent

_MOST_CANCELS = 5


class OrderStates:
    """All orders of a run, and orders of earlier runs that may be open.

    Attributes:
        reset: Why the exchange is not the one whose trades are booked, such as one that was wiped; empty otherwise.
    """

    def __init__(
        self,
        booked: Mapping[int, int] | None = None,
        kept: int = KEPT_ORDERS,
        codes: Mapping[Why, int] = MappingProxyType({}),
    ) -> None:
        self.by_client: dict[str, LiveOrder] = {}
        self.open: dict[str, LiveOrder] = {}
        self._by_exchange: dict[int, LiveOrder] = {}
        self.reset, self.ends = "", 0
        self._booked = dict(booked or {})
        self._earlier = frozenset(self._booked)
        self._ended: list[str] = []
        self._kept, self._codes = kept, codes
        self._steps: list[OrderStep] = []

    def next_steps(self) -> Iterator[OrderStep]:
        """Since the last call, in order, including steps that arise meanwhile."""
        while self._steps:
            steps, self._steps = self._steps, []
            yield from steps

    def forget_trades(self) -> None:
        self._booked.clear()
        self._earlier = frozenset()

    def newest_booked(self, count: int) -> dict[int, int]:
        return {one: self._booked[one] for one in nlargest(count, self._booked)}

    def of_exchange(self, exchange_id: int) -> LiveOrder | None:
        return self._by_exchange.get(exchange_id)

    def in_doubt(self, side: int) -> bool:
        return any(order.doubt is Doubt.PLACE and order.side == side for order in self.open.values())

    # requests

    def add(self, order: LiveOrder) -> None:
        self.by_client[order.client_id] = self.open[order.client_id] = order
        if order.exchange_id > 0:
            self._by_exchange[order.exchange_id] = order

    def add_earlier(self, order: LiveOrder) -> None:
        """It may be open: the exchange is queried, and it is cancelled."""
        order.order_id, order.cancel_wanted = EARLIER, True
        order.state, order.doubt = OrderState.UNKNOWN, Doubt.PLACE
        self.add(order)
        self._steps.append(Ask(order))

    def add_forced(self, order: LiveOrder) -> None:
        """Add an order by which the exchange itself closes our position; it cannot be cancelled."""
        order.order_id, order.state = EARLIER, OrderState.LIVE
        self.add(order)

    def cancelling(self, order: LiveOrder, *, replacing: bool = False) -> None:
        self._forget_amendment(order)
        order.cancel_wanted = order.cancelling = True
        order.cancels += 1
        if order.state is not OrderState.UNKNOWN and not order.ended:
            order.state = OrderState.PENDING_REPLACE if replacing else OrderState.PENDING_CANCEL

    def want_cancel(self, order: LiveOrder) -> None:
        if order.ended:
            return
        self._forget_amendment(order)
        order.cancel_wanted, order.cancels = True, 0
        if order.state in RESTING:
            self._resend(order)

    def _forget_amendment(self, order: LiveOrder) -> None:
        if order.amend_wanted:
            order.amend_wanted = ""
            self._steps.append(AmendFailed(order, order.us, unsent("the order is cancelled instead")))

    def amend_denied(self, order: LiveOrder, us: int, refusal: Refusal) -> None:
        self._steps.append(AmendFailed(order, us, refusal))

    def amending(self, order: LiveOrder, qty: str, price: str = "") -> None:
        order.amend_qty, order.amend_price, order.state = qty, price, OrderState.PENDING_AMEND
        order.amends += 1

    # answers

    def refused(self, order: LiveOrder, us: int, refusal: Refusal) -> None:
        if order.ended or order.exchange_id > 0:
            return
        if refusal.why is Why.DUPLICATE:
            self.place_unknown(order)
            return
        self._reject(order, us, refusal)

    def place_unknown(self, order: LiveOrder, *, judged: bool = False) -> None:
        """*judged*: it was refused for its timestamp."""
        if order.ended or order.exchange_id > 0:
            return
        order.judged = judged
        order.state, order.doubt = OrderState.UNKNOWN, Doubt.PLACE
        self._steps.append(Ask(order))

    def cancel_refused(self, order: LiveOrder, us: int, refusal: Refusal) -> None:
        order.cancelling = False
        if order.ended or order.ending:
            return
        if refusal.why is Why.NO_ORDER:
            self._doubt_cancel(order)
            return
        order.cancel_wanted = False
        if order.doubt is Doubt.NONE:
            order.state = _resting(order) if order.exchange_id > 0 else OrderState.PENDING_NEW
        self._steps.append(CancelFailed(order, us, refusal.code))

    def cancel_unknown(self, order: LiveOrder) -> None:
        order.cancelling = False
        if not order.ended and not order.ending:
            self._doubt_cancel(order)

    def cancelled(self, order: LiveOrder, seen: OrderSeen) -> None:
        order.cancelling = False
        self.seen(seen)

    def amend_refused(self, order: LiveOrder, qty: str, us: int, refusal: Refusal) -> None:
        if order.amend_qty != qty:
            return
        moves = order.amend_price
        self._amend_failed(order, us, refusal)
        if (refusal.why in OF_THE_ORDER or (moves and refusal.why is Why.CROSSES)) and not order.ending:
            self._steps.append(Ask(order))

    def amend_unknown(self, order: LiveOrder, qty: str, *, judged: bool = False) -> None:
        """Without effect if the outcome is known otherwise."""
        if order.amend_qty == qty:
            order.amend_until_ms = 0 if judged else order.amend_until_ms
            order.amend_doubt = True
            self._steps.append(Ask(order))

    def amended(self, order: LiveOrder, qty: str, seen: OrderSeen) -> None:
        """Without the new terms the response is inconclusive."""
        self.seen(seen, moved=True)
        self.amend_unknown(order, qty)

    def amend_shown(self, order: LiveOrder, us: int, query_ms: int) -> bool:
        """False if the query must be repeated: an amendment may still arrive."""
        if order.amend_doubt and not order.ending:
            if not is_too_late(order.amend_until_ms, query_ms):
                return False
            self._amend_failed(order, us, unsent("the request never reached the exchange"))
        return True

    def _amend_failed(self, order: LiveOrder, us: int, refusal: Refusal) -> None:
        self._amend_over(order)
        self._steps.append(AmendFailed(order, us, refusal))

    def _amend_over(self, order: LiveOrder) -> None:
        order.amend_qty, order.amend_price, order.amend_doubt = "", "", False
        if order.state is OrderState.PENDING_AMEND:
            order.state = OrderState.LIVE

    def _doubt_cancel(self, order: LiveOrder) -> None:
        order.state = OrderState.UNKNOWN
        if order.doubt is Doubt.NONE:
            order.doubt = Doubt.CANCEL
        self._steps.append(Ask(order))

    # information about orders

    def seen(
        self,
        seen: OrderSeen,
        fill: AccountFill | None = None,
        *,
        answers: bool = False,
        moved: bool = False,
        firm: bool = False,
    ) -> None:
        """Without effect if the order is not ours; *answers*: it responds to an `Ask`.

        Args:
            moved: Whether it is the response to an amendment.
            firm: Whether the query was sent after the order had ended here, so that the answer cannot be outdated.
        """
        order = self.by_client.get(seen.client_id) or self._by_exchange.get(seen.exchange_id)
        if order is None:
            return
        order.us = seen.us
        ending = seen.state if seen.state in ENDS else None
        order.exchange_us = seen.exchange_us or order.exchange_us
        if seen.exchange_us and ending is not OrderState.REJECTED:
            left_e8 = 0 if ending else max((seen.qty_e8 or order.most_e8) - seen.executed_e8, 0)
            self._steps.append(InBook(order, seen.exchange_us, left_e8))
        if not order.ended and ending is OrderState.REJECTED:
            self._reject(order, seen.us, self._inferred(Why.OTHER, "rejected by the matching engine"))
            return
        new = not order.ended and self._accept(order, seen)
        if order.order_id == EARLIER and seen.qty_e8 > order.qty_e8 and not order.ended:
            order.qty = short_text(seen.qty_e8)  # moved by a request whose answer is not in the log
        if not order.ended and self._has_moved(order, seen, current=moved):
            self._move(order, seen)
        elif 0 < seen.qty_e8 < order.qty_e8 and not order.ended and not (order.amend_price or order.moved_us):
            self._lower(order, seen)
        if fill:
            self._book(order, fill)
        if order.ended:
            if (ending is None or seen.executed_e8 > order.booked_e8) and ending is not OrderState.REJECTED:
                self._shown_again(order, seen, firm=firm)
            return
        order.executed_e8 = max(order.executed_e8, seen.executed_e8)
        if ending:
            self._end(order, ending, seen.executed_e8)
        elif order.ending is None and (new or order.doubt is Doubt.PLACE or (answers and order.doubt is Doubt.CANCEL)):
            self._is_open(order)
        self._settle(order)

    def absent(self, order: LiveOrder, us: int, query_ms: int) -> bool:
        """False if the order may still arrive: query again."""
        if order.ended or order.ending:
            return True
        if not order.proves_absence(query_ms):
            return False
        order.presumed = True
        if order.exchange_id <= 0:
            why = "was refused for its timestamp" if order.judged else "never reached the exchange"
            self._reject(order, us, self._inferred(Why.NO_ORDER, f"the request {why}"))
            return True
        order.us, order.ending, order.doubt = us, OrderState.CANCELED, Doubt.NONE
        self._steps.append(Fetch(order))
        return True

    def listed(self, seen: Iterable[OrderSeen], expected: Iterable[LiveOrder]) -> None:
        """*expected* were known to be open when the list was requested."""
        found = set()
        for one in seen:
            found.add(one.client_id)
            order = self.by_client.get(one.client_id)
            if order is not None and order.ended:
                self._steps.append(Ask(order))
            else:
                self.seen(one)
        for order in expected:
            if order.client_id not in found and not order.ended and not order.ending:
                self._steps.append(Ask(order))

    # fills

    def fill(self, order: LiveOrder, fill: AccountFill) -> None:
        self._book(order, fill)
        if not order.ended:
            self._settle(order)

    def fetched(self, order: LiveOrder) -> None:
        if order.ended:
            return
        if order.presumed and order.ending:
            order.executed_e8 = order.booked_e8
        self._settle(order)

    # internals

    def _accept(self, order: LiveOrder, seen: OrderSeen) -> bool:
        if order.exchange_id > 0 or seen.exchange_id <= 0:
            return False
        order.exchange_id = seen.exchange_id
        self._by_exchange[seen.exchange_id] = order
        self._steps.append(Accepted(order, seen.us))
        return True

    def _lower(self, order: LiveOrder, seen: OrderSeen) -> None:
        wanted_e8 = e8(order.amend_qty) if order.amend_qty else 0
        order.qty = order.amend_qty if seen.qty_e8 == wanted_e8 else short_text(seen.qty_e8)
        if seen.qty_e8 <= wanted_e8:
            self._amend_over(order)
        self._steps.append(Amended(order, seen.us, order.qty))

    def _has_moved(self, order: LiveOrder, seen: OrderSeen, *, current: bool) -> bool:
        """Return whether an order has the terms of its amendment; unless *current*, they may be those of long ago."""
        if not order.amend_price or (seen.price_e8, seen.qty_e8) != (e8(order.amend_price), e8(order.amend_qty)):
            return False
        return current or seen.exchange_us > order.moved_us

    def _move(self, order: LiveOrder, seen: OrderSeen) -> None:
        order.price, order.qty = order.amend_price, order.amend_qty
        order.moved_us = max(order.moved_us, seen.exchange_us, 1)
        self._amend_over(order)
        self._steps.append(Amended(order, seen.us, order.qty, order.price))

    def _book(self, order: LiveOrder, fill: AccountFill) -> None:
        mark = trade_mark(fill)
        known = self._booked.setdefault(fill.trade_id, mark) or mark  # 0: only its id is known
        if known != mark:
            self.reset = f"trade {fill.trade_id} is booked with another order, price, quantity or commission"
        if fill.trade_id in order.trade_ids or known != mark:
            return
        order.trade_ids.add(fill.trade_id)
        order.booked_e8 += e8(fill.qty)
        if fill.trade_id > order.counts_after and fill.trade_id not in self._earlier:
            self._steps.append(Booked(order, EARLIER if order.ended else order.order_id, fill))
        if order.booked_e8 > order.most_e8:
            self._steps.append(Contradiction(order, f"{order.booked_e8} of {order.qty_e8} e-8 are filled"))
        if order.booked_e8 >= order.most_e8 and not order.ended:
            self._end(order, OrderState.FILLED, order.booked_e8)

    def _is_open(self, order: LiveOrder) -> None:
        order.doubt = Doubt.NONE
        if order.cancelling:
            order.state = OrderState.PENDING_CANCEL
            return
        order.state = _resting(order)
        if order.cancel_wanted:
            self._resend(order)
        elif order.amend_wanted:
            self._steps.append(Reamend(order, order.amend_wanted))
            order.amend_wanted = ""

    def _resend(self, order: LiveOrder) -> None:
        if order.cancels < _MOST_CANCELS:
            self._steps.append(Resend(order))
            return
        order.cancel_wanted = False
        self._steps.append(CancelFailed(order, order.us, self._inferred(Why.NOT_CANCELLED).code))

    def _end(self, order: LiveOrder, ending: OrderState, executed_e8: int) -> None:
        if order.ending is None:
            order.ending, order.doubt = ending, Doubt.NONE
        order.executed_e8 = max(order.executed_e8, executed_e8)
        if executed_e8 < order.booked_e8:
            what = f"{ending.value} with {executed_e8} e-8 executed, but {order.booked_e8} are booked"
            self._steps.append(Contradiction(order, what))

    def _settle(self, order: LiveOrder) -> None:
        if order.booked_e8 < order.executed_e8:
            self._steps.append(Fetch(order))
        elif order.ending is not None:
            if order.ending is OrderState.FILLED and (order.amend_price or order.booked_e8 < order.qty_e8):
                order.qty = short_text(order.booked_e8)  # its amendment, or a part of it, was not done
                self._steps.append(Amended(order, order.us, order.qty))
            self._finish(order, order.ending)
            if order.ending is not OrderState.FILLED:
                self._steps.append(Closed(order, order.us, order.ending.value))

    def _reject(self, order: LiveOrder, us: int, refusal: Refusal) -> None:
        self._finish(order, OrderState.REJECTED)
        self._steps.append(Rejected(order, us, refusal))

    def _inferred(self, why: Why, message: str = "") -> Refusal:
        return Refusal(self._codes.get(why, NOT_SENT), message, why)

    def _finish(self, order: LiveOrder, end: OrderState) -> None:
        order.state, order.doubt = end, Doubt.NONE
        order.cancelling = order.cancel_wanted = order.amend_doubt = False
        order.amend_qty = order.amend_price = order.amend_wanted = ""
        self.ends += 1
        self.open.pop(order.client_id, None)
        self._ended.append(order.client_id)
        if len(self._ended) > 2 * self._kept:
            for client_id in self._ended[: self._kept]:
                gone = self.by_client.get(client_id)
                if gone is not None and gone.ended:
                    del self.by_client[client_id]
                    self._by_exchange.pop(gone.exchange_id, None)
            del self._ended[: self._kept]

    def _shown_again(self, order: LiveOrder, seen: OrderSeen, *, firm: bool) -> None:
        if not firm:
            if order.presumed or order.state is OrderState.REJECTED or seen.executed_e8 > order.booked_e8:
                self._steps.append(Ask(order))
            return
        self._steps.append(Contradiction(order, f"{order.state.value} here, {seen.state.value} at the exchange"))
        order.order_id, order.presumed, order.ending = EARLIER, False, None
        order.cancel_sent_s = 0.0
        order.state, order.doubt, order.cancel_wanted, order.cancels = OrderState.UNKNOWN, Doubt.PLACE, True, 0
        self.add(order)
        self.seen(seen)


def _resting(order: LiveOrder) -> OrderState:
    return OrderState.PENDING_AMEND if order.amend_qty else OrderState.LIVE

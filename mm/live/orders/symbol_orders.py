"""Orders of one symbol: sent once their intent is in the audit log, and followed to their end.

`place`, `amend`, `cancel` and `replace` write an intent and return; they never block. Answers and reports of the
exchange go through `OrderStates`, whose steps `act` takes: queries, cancels, reports to the listener.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from mm.live.orders.order_steps import (
    EARLIER,
    Accepted,
    Amended,
    AmendFailed,
    Ask,
    Contradiction,
    Fetch,
    OrderReport,
    OrderStep,
    Reamend,
    Rejected,
    Resend,
)
from mm.live.orders.parts import GatewayParts
from mm.live.orders.pauses import OrderPauses
from mm.live.orders.queries import OrderQueries
from mm.live.orders.readiness import SILENCE_MARGIN_S
from mm.live.orders.reports import Report
from mm.live.orders.sender import OrderSender
from mm.live.venues.live_orders import RESTING, Doubt, LiveOrder, OrderState
from mm.live.venues.refusals import FILTERS, Refusal, Why, unsent
from mm.live.venues.requests import ApiAnswer

UNANSWERED_S = 5.0
"""Time without an answer, or with refusals alone, after which an order is no longer managed, in s."""
_WAITED_S, _LOOK_S = 0.1, 0.001  # an order that has waited so long leaves only once what arrived meanwhile was read


class SymbolOrders:
    """Sends and follows the orders of one symbol.

    Attributes:
        by_id: Orders that have not ended, by the caller's id.
    """

    def __init__(self, parts: GatewayParts) -> None:
        session, run = parts.session, parts.run
        self.by_id: dict[int, LiveOrder] = {}
        self._clock, self._limits, self._venue = session.clock, session.limits, session.venue.orders_of(run.symbol)
        self._audit, self._log, self._ids, self._states = parts.audit, parts.log, parts.ids, parts.states
        self._reports, self._readiness, self._contract = parts.reports, parts.readiness, parts.contract
        self._rules, self._tasks = parts.rules, parts.tasks
        self._window_ms = run.access.recv_window_ms
        self._pauses = OrderPauses(run.symbol, parts.log)
        self._moves_refused: set[str] = set()
        self._waits_s: dict[str, float] = {}
        apis = session.orders, session.rest
        self.sender = OrderSender(self._venue, self._window_ms, self._states, apis, parts.audit, self._answered)
        self.queries = OrderQueries(
            *(session, run, self._states, self._rules),
            fees=parts.fees,
            others=parts.others,
            changed=self.act,
            forgot=self._reports.forget_trades,
            stop_ids=self._contract.sent_ids if self._contract else (),
        )

    def unmanaged(self) -> list[LiveOrder]:
        """Orders that may rest while no request reaches the exchange, or while it refuses to cancel or move them."""
        open_ = [one for one in self._states.open.values() if not one.ending and (one.sent_ms or one.exchange_id > 0)]
        if not self._readiness.ready:
            return open_
        now_s, before = asyncio.get_running_loop().time(), self._waits_s
        waiting = [
            one for one in open_ if one.state not in RESTING or one.cancels or one.client_id in self._moves_refused
        ]
        self._waits_s = {one.client_id: before.get(one.client_id, now_s) for one in waiting}
        return [one for one in waiting if now_s - self._waits_s[one.client_id] >= UNANSWERED_S]

    # the trader's calls

    def place(self, order_id: int, side: int, price: str, qty: str, kind: str, *, reduces: bool = False) -> None:
        """If the order is refused here, the listener hears it in the next iteration of the event loop."""
        reduces = reduces or (self._contract is not None and self._contract.reduces)
        reason = self._reason(side, price, qty, kind, reduces=reduces)
        if reason:
            self._refuse(order_id, side, reason)
            return
        order = self._new(order_id, side, price, qty, kind)
        order.reduces = reduces
        seq = self._write_intent(order)
        self._leave(seq, (order,), self.sender.place)

    def cancel(self, order_id: int) -> None:
        """An order that is not known to be open yet is cancelled as soon as it is.

        An order whose intent is not on disk never leaves; what it was to replace is cancelled.
        """
        order = self.by_id.get(order_id)
        if order is None or order.ended:
            return
        if order.leaving:
            self.keep_back(order, "withdrawn before it was sent")
            self.act_soon()
        elif order.state in RESTING:
            self._send_cancel(order)
        else:
            self._states.want_cancel(order)

    def amend(self, order_id: int, qty: str, price: str = "") -> None:
        """Change an order to *qty* in all, in its place, as soon as it is known to be open. With a *price*, there, or
        not.
        """
        order = self.by_id.get(order_id)
        if order is None or order.ended:
            return
        if not price and (order.doubt is Doubt.PLACE or order.state is OrderState.PENDING_NEW):
            order.amend_wanted = qty
        else:
            self._send_amendment(order, qty, price)
            self.act_soon()

    def replace(self, old_id: int, new_id: int, side: int, price: str, qty: str, kind: str) -> None:
        if not self._venue.can_replace:
            self.cancel(old_id)
            self.place(new_id, side, price, qty, kind)
            return
        old = self.by_id.get(old_id)
        reason = self._reason(side, price, qty, kind, replaces=old)
        if reason is None and (old is None or old.state not in RESTING):
            reason = unsent("the order to be replaced is not known to be open")
        if reason or old is None:
            self._refuse(new_id, side, reason or unsent(""))
            self.cancel(old_id)
            return
        new = self._new(new_id, side, price, qty, kind)
        seq = self._write_intent(new, old)
        self._states.cancelling(old, replacing=True)
        self._leave(seq, (old, new), self.sender.replace)

    # refused here

    def _unable(self) -> Refusal | None:
        if not self._readiness.ready:
            return unsent(self._readiness.why_not())
        if self._audit.failure is not None:
            return unsent(f"the audit log cannot be written: {self._audit.failure}")
        return None

    def _reason(
        self, side: int, price: str, qty: str, kind: str, replaces: LiveOrder | None = None, *, reduces: bool = False
    ) -> Refusal | None:
        unable = self._unable()
        if unable:
            return unable
        if self._states.in_doubt(side):
            return unsent("the outcome of an order of this side is not known yet")
        others = [order for order in self._states.open.values() if order is not replaces]
        return self._limits.refusal() or self._rules.filters.refusal(side, price, qty, kind, others, reduces=reduces)

    def _refuse(self, order_id: int, side: int, refusal: Refusal) -> None:
        us = self._clock.now_us()
        if refusal.why in FILTERS:  # by filters, or a mean price, that may be old
            self._rules.ask()
        self._tell_soon(lambda listener: listener.rejected(order_id, us, side, refusal))
        if pause_s := self._pauses.refused(side, refusal, asyncio.get_running_loop().time()):
            self._tell_soon(lambda listener: listener.paused(side, pause_s))

    def _tell_soon(self, report: Report) -> None:
        asyncio.get_running_loop().call_soon(self._reports.tell, report)

    # sending

    def _new(self, order_id: int, side: int, price: str, qty: str, kind: str) -> LiveOrder:
        return LiveOrder(order_id, self._ids.next(side), side, price, qty, kind)

    def _write_intent(self, order: LiveOrder, replaces: LiveOrder | None = None) -> int:
        terms = {"client_id": order.client_id, "side": order.side, "price": order.price, "qty": order.qty}
        more = {"replaces": replaces.client_id} if replaces else {"reduces": True} if order.reduces else {}
        action = "replace" if replaces else "place"
        seq = self._audit.append("intent", action=action, **terms, kind=order.kind, **more)
        self._states.add(order)
        self.by_id[order.order_id] = order
        return seq

    def _send_amendment(self, order: LiveOrder, qty: str, price: str = "") -> None:
        """If it cannot be sent, report that it failed."""
        if order.state is not OrderState.LIVE:
            reason: Refusal | None = unsent("the order is not known to be open, or a request for it is pending")
        else:
            limits = self._limits.refusal() if price else self._limits.refusal(("REQUEST_WEIGHT",))
            reason = self._unable() or limits or self._rules.filters.no_amendment(order, qty, price)
        if reason:
            self._states.amend_denied(order, self._clock.now_us(), reason)
            return
        terms = {"qty": qty, "price": price} if price else {"qty": qty}
        seq = self._audit.append("intent", action="amend", client_id=order.client_id, **terms)
        self._states.amending(order, qty, price)
        self._leave(seq, (order,), self.sender.amend)

    def _leave(self, seq: int, orders: tuple[LiveOrder, ...], send: Callable[..., None]) -> None:
        """Send orders once their intent, row *seq*, is written; the last one is placed or amended."""
        places = orders[-1].state is OrderState.PENDING_NEW
        if places:
            orders[-1].leaving, orders[-1].replaces = True, orders[0] if len(orders) > 1 else None
        self._tasks.spawn(self._leave_synced(seq, orders, send, places=places))

    async def _leave_synced(
        self, seq: int, orders: tuple[LiveOrder, ...], send: Callable[..., None], *, places: bool
    ) -> None:
        order, loop = orders[-1], asyncio.get_running_loop()
        begin_s = loop.time()
        try:
            await self._audit.synced(seq)
            why = "" if self._readiness.ready else self._readiness.why_not()
        except OSError as error:
            why = f"the audit log cannot be written: {error}"
        if places and loop.time() - begin_s > _WAITED_S:
            while order.leaving and not self._reports.caught_up():  # it may be withdrawn for what is read
                await asyncio.sleep(_LOOK_S)
        if places and not order.leaving:  # withdrawn meanwhile
            return
        waited_ms = round((loop.time() - begin_s) * 1_000)
        if places and not why and waited_ms > self._window_ms:
            why = f"its intent was on disk after {waited_ms} ms, more than RECV_WINDOW_MS: too old to be sent"
        if not why:
            order.leaving, order.replaces = False, None
            send(*orders)
            return
        self.keep_back(order, why)
        self.act()

    def keep_back(self, order: LiveOrder, why: str) -> None:
        """It has not left, and never will."""
        old, order.leaving, order.replaces = order.replaces, False, None
        self.sender.unsent(order, self._clock.now_us(), why)
        if old is not None and not old.ended and old.state is OrderState.PENDING_REPLACE:
            self._send_cancel(old)

    async def close_position(self, side: int, price: str, qty: str) -> None:
        """Send an order once its intent is written, whatever else forbids orders."""
        order = self._new(EARLIER, side, price, qty, "IOC")
        order.reduces = True
        seq = self._write_intent(order)
        with suppress(OSError):
            await self._audit.synced(seq)
        self.sender.place(order)

    def _send_cancel(self, order: LiveOrder) -> None:
        """Send a cancel once the exchange's silence is over."""
        silence_s = self._limits.silence_s
        if silence_s:
            asyncio.get_running_loop().call_later(silence_s + SILENCE_MARGIN_S, self._cancel_later, order)
        else:
            self.sender.cancel(order)

    def _cancel_later(self, order: LiveOrder) -> None:
        if not self.queries.closed:
            self._states.want_cancel(order)
            self.act()

    # what follows from answers and reports

    def _answered(self, action: str, answer: ApiAnswer) -> None:
        if answer.status:
            self._reports.tell(lambda listener: listener.ack_latency(action, answer.seconds))
        if self._limits.silence_s:
            self._readiness.review()
        self.act()

    def act_soon(self) -> None:
        """Act in the next iteration of the event loop: the listener is calling."""
        asyncio.get_running_loop().call_soon(self.act)

    def act(self) -> None:
        """Take the steps that changes of the states ask for."""
        self._do_all(deque(self._states.next_steps()))
        self._readiness.changed.set()

    def _do_all(self, steps: deque[OrderStep]) -> None:
        """After a step that fails the trade ends, but the steps behind it still reach log and listener."""
        try:
            while steps:
                self._do(steps.popleft())
        except Exception as error:
            self._readiness.fail(error)
            self._do_all(steps)

    def _do(self, step: OrderStep) -> None:
        order = step.order
        match step:
            case Ask():
                self.queries.ask(order)
            case Fetch():
                self.queries.fetch(order)
            case Resend():
                self._send_cancel(order)
            case Reamend(qty=qty):
                self._send_amendment(order, qty)
            case Contradiction():
                self._log.error("order_contradiction", client_id=order.client_id, what=step.what)
            case _:
                self._reports.report(step)
                self._note(step)
        if order.ended:
            self.by_id.pop(order.order_id, None)
            self._moves_refused.discard(order.client_id)

    def _note(self, step: OrderReport) -> None:
        side = step.order.side
        if isinstance(step, Accepted):
            self._pauses.accepted(side)
        if isinstance(step, Amended):
            self._moves_refused.discard(step.order.client_id)
        if isinstance(step, AmendFailed) and step.refusal.why is Why.BUSY:
            self._moves_refused.add(step.order.client_id)
        if not isinstance(step, Rejected | AmendFailed):
            return
        why = step.refusal.why
        if why in FILTERS or why is Why.SYMBOL:
            self._rules.ask()
        if why in (Why.SETUP, Why.BRACKET) and self._contract:
            self._contract.setup_due = True
            self.queries.due.set()
        if why is Why.REDUCE_ONLY and self._contract:
            self._contract.only_reducing_taken(step.refusal)
        now_s, refusal = asyncio.get_running_loop().time(), step.refusal
        if why is Why.REDUCE_ONLY and step.order.reduces:
            refusal = refusal._replace(why=Why.RESTRICTED)
        waits = (isinstance(step, Rejected) or why is Why.BUSY) and step.order.order_id != EARLIER
        if waits and (pause_s := self._pauses.refused(side, refusal, now_s)):
            self._reports.tell(lambda listener: listener.paused(side, pause_s))

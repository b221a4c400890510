"""The end of a gateway's orders: cancelled until the exchange lists none, however long that takes."""

import asyncio

from mm.base.waiting import happened
from mm.live.orders.order_steps import EARLIER
from mm.live.orders.parts import GatewayParts
from mm.live.orders.readiness import SILENCE_MARGIN_S
from mm.live.orders.symbol_orders import SymbolOrders
from mm.live.venues.fills import SIDE_NAMES
from mm.live.venues.refusals import Why
from mm.live.venues.requests import Unanswered

STOP_S = 3.0
AGAIN_SAID_S = 30.0
"""Time after which a gateway says again which orders it could not cancel yet, in s."""
BOX_GONE_S = 60.0
"""Time without an answer after which an exchange on this machine is gone, with its orders, in s."""
CLOSED_S = 10.0
"""Time that a kill waits for the end of the order that closes a position, in s."""
_LATEST_S = 1.5  # beyond its receive window, a request may be executed so much later
_STRAY_S = 60.0  # no request is on its way for longer, also where a clock was set and its window ends later
_ROUND_S, _LONGEST_ROUND_S = 0.25, 4.0


class OrderEnding:
    """Cancels all open orders of ours, in rounds, and finds out whether one may still be open."""

    def __init__(self, parts: GatewayParts, orders: SymbolOrders) -> None:
        self._session, self._run, self._audit, self._log = parts.session, parts.run, parts.audit, parts.log
        self._states, self._readiness, self._tasks = parts.states, parts.readiness, parts.tasks
        self._rules, self._contract = parts.rules, parts.contract
        self._orders = orders
        self._begun_s = 0.0
        self._answered_s = self._none_s = 0.0  # of sweeps
        self._none_ms, self._empty = 0, False  # timestamp of the last that listed nothing; whether that is final

    @property
    def left(self) -> tuple[str, ...]:
        """Orders that may be open at the exchange, as texts."""
        return () if self._empty else self._unended()

    def _unended(self) -> tuple[str, ...]:
        return tuple(
            f"{self._run.symbol} {one.client_id} {SIDE_NAMES[one.side]} {one.qty} at {one.price or 'the market'}"
            for one in self._states.open.values()
        )

    def kill(self) -> None:
        """Cancel every open order of ours, at once; nothing is placed from then on."""
        if not self._readiness.killed:
            self._readiness.killed = True
            self._readiness.review()
            self.cancel_all()

    async def end_all(self) -> None:
        """Return once no order is open, or if that is `hopeless`."""
        readiness = self._readiness
        if not readiness.stopping:
            readiness.stopping = True
            self._begun_s = self._answered_s = asyncio.get_running_loop().time()
            readiness.review()
            if not readiness.killed and self._states.open:
                self.cancel_all()
        wait_s = STOP_S
        while not await self._none_open(wait_s) and not self.hopeless():
            self._log.error("orders_left_open", orders="; ".join(self.left), note="they are cancelled until none is")
            wait_s = AGAIN_SAID_S

    def hopeless(self) -> bool:
        """The exchange does not accept the key, a box on this machine is gone, or nothing was ever sent."""
        now_s = asyncio.get_running_loop().time()
        if self._readiness.refused is not None or not self._readiness.was_ready:
            return self._session.rest_refused or now_s - self._begun_s > STOP_S
        return self._session.here and now_s - self._answered_s > BOX_GONE_S

    async def close_position(self) -> None:
        """After a kill, if the knobs want it."""
        closing = None
        if self._contract and self._readiness.killed:
            closing = await self._contract.closing(self._rules.instrument)
        if closing is None:
            return
        if self._audit.failure is not None:
            self._log.error("position_not_closed", why=f"the audit log cannot be written: {self._audit.failure}")
            return
        side, price, qty = closing
        self._log.error("position_closes", side=SIDE_NAMES[side], qty=qty, price=price)
        self._none_s, self._empty = 0.0, False
        await self._orders.close_position(side, price, qty)
        await self._none_open(CLOSED_S)

    async def _none_open(self, within_s: float) -> bool:
        """Return True as soon as no order is known to be open; False after a time, or if it is hopeless."""
        loop, changed = asyncio.get_running_loop(), self._readiness.changed
        ends_s = loop.time() + within_s
        settled_s = self._run.access.recv_window_ms / 1_000 + _LATEST_S
        while self._states.open and not self.hopeless():
            now_s, open_ = loop.time(), self._states.open.values()
            none_s = now_s - self._none_s if self._none_s else 0.0
            if none_s > settled_s and (
                none_s > _STRAY_S or all(one.exchange_id > 0 or one.proves_absence(self._none_ms) for one in open_)
            ):
                self._empty = True
                self._log.warning(
                    "orders_unresolved",
                    orders="; ".join(self._unended()),
                    note="the exchange lists no open order, but does not tell their ends; the next start asks again",
                )
                return True
            if now_s >= ends_s:
                return False
            changed.clear()
            await happened(changed, min(ends_s - now_s, _ROUND_S))
        return not self._states.open

    def cancel_all(self, delay_s: float = _ROUND_S) -> None:
        """Over the connection, if any; by REST what is open *delay_s* later, in rounds until none is."""
        loop, silence_s, orders = asyncio.get_running_loop(), self._session.limits.silence_s, self._orders
        if orders.queries.closed:
            return
        for order in [one for one in self._states.open.values() if one.leaving]:
            orders.keep_back(order, self._readiness.why_not())
            orders.act_soon()
        if silence_s:
            self._answered_s = loop.time() + silence_s
            loop.call_later(silence_s + SILENCE_MARGIN_S, self.cancel_all, delay_s)
            return
        for order in list(self._states.open.values()):
            order.cancel_wanted, order.cancels = True, 0
            left = order.sent_ms or order.order_id == EARLIER
            if self._session.ws.up and left and not order.ending and not order.cancel_sent_s:
                orders.sender.cancel(order)
        if delay_s > _ROUND_S or not self._session.ws.up:
            self._tasks.spawn(self._sweep())
        if self._states.open or delay_s == _ROUND_S:
            loop.call_later(delay_s, self.cancel_all, min(2 * delay_s, _LONGEST_ROUND_S))

    async def _sweep(self) -> None:
        """Cancel by REST, in one request unless other clients' orders are among them."""
        session, clock, sender = self._session, self._session.clock, self._orders.sender
        now_s, stamp_ms = asyncio.get_running_loop().time(), clock.timestamp_ms()
        try:
            ours, foreign = await self._orders.queries.listed(session.rest)
        except Unanswered as error:
            self._answered_s = now_s if error.answer.status else self._answered_s
            if error.answer.why is Why.KEY:
                session.key_answered(refusal=str(error))
            return
        self._answered_s = now_s
        session.key_answered()
        self._none_s = 0.0 if ours else self._none_s or now_s
        self._none_ms = min(stamp_ms, clock.timestamp_ms())  # of the two offsets, if it was measured meanwhile
        if ours and not foreign:
            sender.cancel_symbol(ours)
        for order in ours if foreign else ():
            sender.cancel(order, session.rest)

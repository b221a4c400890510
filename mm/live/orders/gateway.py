"""The gateway: sends orders of the engine to the exchange, and reports their outcome to the engine.

`Gateway.place`, `amend`, `cancel` and `replace` write an intent to the audit log and return; they never block.
Answers and reports of the exchange go through `OrderStates`, which returns steps to take:
queries to the exchange, reports to the listener, rows of the audit log. docs/trading.md lists what is sent when.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from mm.base.waiting import happened
from mm.errors import DataError, Mismatch, MMError, OffGrid, TryLater, parameter
from mm.instrument import Instrument, short_text
from mm.live.account.account_check import AccountCheck
from mm.live.account.background import BackgroundTasks
from mm.live.account.fee_values import FeeValues
from mm.live.account.ledger import KEPT_TRADES
from mm.live.audit.log import AuditLog
from mm.live.orders.access import ClientIds, GatewayRun
from mm.live.orders.contract_watch import SETUP_S, ContractWatch
from mm.live.orders.other_traders import OtherTraders
from mm.live.orders.pauses import OrderPauses
from mm.live.orders.protection import ProtectiveStop
from mm.live.orders.queries import OrderQueries, Unanswered, forced_id
from mm.live.orders.reports import OrderListener, OrderReports, Report
from mm.live.orders.sender import OrderSender
from mm.live.orders.states import OrderStates
from mm.live.orders.steps import (
    EARLIER,
    Accepted,
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
from mm.live.venues.canceller import is_ours
from mm.live.venues.fills import SIDE_NAMES, SIDES
from mm.live.venues.live_orders import AHEAD_MS, RESTING, Doubt, LiveOrder, OrderState
from mm.live.venues.positions import ContractSetup, MarginCalled, StopSeen
from mm.live.venues.refusals import FILTERS, Refusal, Why, unsent
from mm.live.venues.requests import ApiAnswer, Outcome, answer_of
from mm.live.venues.venue import FeeRates, OrderEvent, OrderFilters

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live.account.session import AccountSession
    from mm.live.audit.books import AuditOrder

START_S, STOP_S = 30.0, 3.0
OTHER_S = 10.0
"""Time that a start waits for an order of another trader, whose earlier trades the account has, in s."""
AGAIN_SAID_S = 30.0
"""Time after which a gateway says again which orders it could not cancel yet, in s."""
BOX_GONE_S = 60.0
"""Time without an answer after which an exchange on this machine is gone, with its orders, in s."""
_LATEST_S = 1.5  # beyond its receive window, a request may be executed so much later
_STRAY_S = 60.0  # no request is on its way for longer, also where a clock was set and its window ends later
_ROUND_S, _LONGEST_ROUND_S = 0.25, 4.0
_AGAIN_S, _SILENCE_MARGIN_S = 0.5, 0.001
_FILTERS_EVERY_S = 5.0
DOUBTED_S = 30.0
"""Time after which filters that keep the strategy's orders back are asked for again, in s."""
COMPARE_S = 3.0
"""Longest time that an end waits for the last comparison of account and setup, in s."""
CLOSED_S = 10.0
"""Time that a kill waits for the end of the order that closes a position, in s."""
_COMPARED_LOOK_S = 0.02
_WAITED_S, _LOOK_S = 0.1, 0.001  # an order that has waited so long leaves only once what arrived meanwhile was read


class Gateway:
    """Orders of one symbol, on one account.

    Attributes:
        killed: Whether `cancel_all` was called: nothing is placed any more.
    """

    def __init__(
        self,
        session: "AccountSession",
        run: GatewayRun,
        audit: AuditLog,
        *,
        log: "Logger",
    ) -> None:
        self.ready = self.killed = False
        self.instrument: Instrument
        self._session, self._run, self._audit, self._log = session, run, audit, log
        self._clock, self._limits, self._ws, self._rest = session.clock, session.limits, session.ws, session.rest
        self._venue = session.venue.orders_of(run.symbol)
        self._ids = run.ids or ClientIds(run.run_id, session.around.nonce)
        self._others = OtherTraders(run.symbol, (*run.runs, self._ids.run))
        self._states = OrderStates(run.booked, codes=session.venue.codes)
        self._fees = FeeValues(session.venue.discount_asset)
        self._reports = OrderReports(audit, self._fees, run.account, log)
        window_ms, apis = run.access.recv_window_ms, (session.orders, session.rest)
        self._sender = OrderSender(self._venue, window_ms, self._states, apis, audit, self._report_answer)
        self._orders: dict[int, LiveOrder] = {}
        self._filters: OrderFilters
        self._queries: OrderQueries
        self._reconciled = 0  # the connection that was reconciled
        self._started = self._stopping = self._closed = False
        self._tasks, self._failure, self._differed = BackgroundTasks(self.task_failed), "", ""
        self._was_ready, self._stop_s = False, 0.0
        self._regridded: TryLater | None = None
        self._halted = ""  # the status of the symbol at the start, if it did not trade
        self._filters_s = 0.0  # until when they are not asked for again
        self._doubted_s = 0.0
        self._fees_told: tuple[int, int] | None = None
        self._compared, self._comparing = 0, False  # comparisons of account and setup so far; whether one is under way
        self._pauses, self._setup_differed = OrderPauses(run.symbol, log), ""
        self._answered_s = self._none_s = 0.0  # of sweeps
        self._none_ms, self._empty = 0, False  # timestamp of the last that listed nothing; whether that is final
        self._due = asyncio.Event()
        self._changed = asyncio.Event()
        requests = self._venue.contract
        self._contract = None
        if requests:
            stop = ProtectiveStop(
                *(run.symbol, requests, session),
                ids=self._ids,
                others=self._others,
                audit=audit,
                log=log,
                share=run.contract.protective_stop if run.contract else None,
                adopts=run.access.adopt,
                told=self._tell_stop,
            )
            self._contract = ContractWatch(requests, session, run, self._reports, log, stop)

    def _tell_stop(self, trigger_e8: int | None) -> None:
        self._reports.tell(lambda listener: listener.protective_stop(trigger_e8))

    @property
    def symbol(self) -> str:
        return self._run.symbol

    def bounds_e8(self, side: int) -> tuple[int, int]:
        """Lowest and highest price at the exchange, in 1e-8; 0 for no bound."""
        return self._filters.bounds_e8(side)

    @property
    def check(self) -> AccountCheck | None:
        return self._run.account

    @property
    def setup(self) -> ContractSetup | None:
        return self._contract.setup if self._contract else None

    @property
    def fee_rates(self) -> FeeRates | None:
        return self._fees.rates

    @property
    def fees_e8(self) -> tuple[int, int] | None:
        """Maker and taker, with what the account holds, in 1e-8 of the notional."""
        return self._fees.paid_e8

    @property
    def open_orders(self) -> int:
        return len(self._states.open)

    @property
    def reset(self) -> Mismatch | None:
        why = self._states.reset
        if not why:
            return None
        way_out = (
            f"find out why, then start with {parameter('adopt')} 1, which keeps the PnL and counts its trades anew"
        )
        return Mismatch(f"the venue was reset: {why}; {way_out}")

    @property
    def refused(self) -> MMError | None:
        return self._session.refused

    @property
    def failure(self) -> TryLater | None:
        return TryLater(f"{self._failure}; start it again") if self._failure else None

    @property
    def contested(self) -> TryLater | None:
        return self._others.error

    @property
    def differs(self) -> Mismatch | None:
        account = self._run.account
        if account is not None and account.why and account.lasts:
            by = f"; of another trader is {self._others.before}" if self._others.before else ""
            return Mismatch(f"{account.why}{by}; {account.way_out}")
        return Mismatch(self._setup_differed) if self._setup_differed else None

    @property
    def regridded(self) -> TryLater | None:
        return self._regridded

    @property
    def left(self) -> tuple[str, ...]:
        return () if self._empty else self._unended()

    def _unended(self) -> tuple[str, ...]:
        return tuple(
            f"{self._run.symbol} {one.client_id} {SIDE_NAMES[one.side]} {one.qty} at {one.price or 'the market'}"
            for one in self._states.open.values()
        )

    def attach(self, listener: OrderListener) -> None:
        """Reports come from the event loop, never from inside a call; held ones first."""
        self._reports.attach(listener)

    # the engine's calls

    def place(self, order_id: int, side: int, price: str, qty: str, kind: str, *, reduces: bool = False) -> None:
        """If the order is refused here, the listener hears it in the next iteration of the event loop."""
        reason = self._reason(side, price, qty, kind, reduces=reduces)
        if reason:
            self._refuse(order_id, side, reason)
            return
        order = self._new(order_id, side, price, qty, kind)
        order.reduces = reduces
        seq = self._write_intent(order)
        self._leave(seq, (order,), self._sender.place)

    def cancel(self, order_id: int) -> None:
        """An order that is not known to be open yet is cancelled as soon as it is.

        An order whose intent is not on disk never leaves; what it was to replace is cancelled.
        """
        order = self._orders.get(order_id)
        if order is None or order.ended:
            return
        if order.leaving:
            self._keep_back(order, "withdrawn before it was sent")
            self._act_soon()
        elif order.state in RESTING:
            self._cancel(order)
        else:
            self._states.want_cancel(order)

    def amend(self, order_id: int, qty: str, price: str = "") -> None:
        """To *qty* in all, in its place; as soon as the order is known to be open. With a *price*, there, or not."""
        order = self._orders.get(order_id)
        if order is None or order.ended:
            return
        if not price and (order.doubt is Doubt.PLACE or order.state is OrderState.PENDING_NEW):
            order.amend_wanted = qty
        else:
            self._amend(order, qty, price)
            self._act_soon()

    def replace(self, old_id: int, new_id: int, side: int, price: str, qty: str, kind: str) -> None:
        if not self._venue.can_replace:
            self.cancel(old_id)
            self.place(new_id, side, price, qty, kind)
            return
        old = self._orders.get(old_id)
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
        self._leave(seq, (old, new), self._sender.replace)

    def cancel_all(self) -> None:
        """Every open order of ours, at once; nothing is placed from then on (the kill)."""
        if not self.killed:
            self.killed = True
            self.review()
            self._cancel_round(_ROUND_S)

    # start and stop

    async def start(self) -> None:
        """Connect, log on, subscribe, reconcile; return when orders can be sent. Raises UsageError, DataError or
        TryLater.
        """
        await self._session.measure(self._rest)
        answer = await answer_of(self._rest.request, self._venue.terms())
        if answer.outcome is not Outcome.DONE and answer.why is not Why.SYMBOL:
            why = self._why() if self._limits.silence_s else f"{answer.code} {answer.message}"
            raise TryLater(f"the exchange does not answer ({why}); check REST_URL and the network, or wait")
        terms = self._venue.terms_of(answer)
        self.instrument, self._filters, self._halted = terms.instrument, terms.filters, terms.halted
        self._limits.known(terms.limits)
        if self._contract:
            await self._contract.check()
        self._queries = OrderQueries(
            *(self._run, self._states, self._clock, self._filters, self._session.holdings, self._fees, self._limits),
            venues=(self._session.venue, self._venue),
            others=self._others,
            api=lambda: self._session.api,
            changed=self._act,
            forgot=self._reports.forget_trades,
        )
        self._fees.trade(terms.instrument)
        self._others.begun_us = self._clock.timestamp_ms() * 1_000
        self._started = True
        for order in self._run.earlier:
            self._states.add_earlier(self._earlier(order))
        self._act()
        self._session.join(self)
        self._tasks.spawn(self._keep_reconciled())
        if self._contract:
            self._queries.stop_ids = self._contract.sent_ids
            self._contract.begin(self._tasks, self.instrument)
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while not (self.ready or self.killed or self._ws.failure or self._failure or self._differs()):
                    if self._states.reset or self.contested or (self._halted and self._compared):
                        break
                    self._changed.clear()
                    await self._changed.wait()
        if self._differs() and not (self.killed or self._states.reset):
            await self._look_for_other()
        if error := self._ws.failure or self.failure or self.contested or self.reset:
            raise error
        if self._halted:
            await self._end_halted()
        foreign = self._queries.foreign_orders
        if self._contract and foreign and not self._run.access.adopt:
            raise Mismatch(
                "{}: {} open orders are of somebody else, whose fills change the position; cancel them, or start with "
                "{adopt} 1, which does",
                self.symbol,
                foreign,
            )
        if (mismatch := self.differs) and not self.killed:
            raise mismatch
        if not self.ready and not self.killed:
            raise TryLater(f"the exchange is not ready after {START_S:g} s: {self._why()}; check WS_API_URL")

    async def _look_for_other(self) -> None:
        with suppress(Unanswered):
            await self._queries.note_last_trade()
        if self._others.before and self._run.last_trade_id is None:
            self._others.found = self._others.before
        elif self._others.before:
            with suppress(TimeoutError):
                async with asyncio.timeout(OTHER_S):
                    while not (self.contested or self._ws.failure or self._failure):
                        self._changed.clear()
                        await self._changed.wait()

    async def _end_halted(self) -> None:
        """In a symbol that does not trade, again if it is refused; raise TryLater."""
        self._cancel_round(_ROUND_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while self._states.open and not (self._ws.failure or self._failure):
                    self._changed.clear()
                    await self._changed.wait()
        raise TryLater(f"{self.symbol} does not trade: its status is {self._halted}; start it again once it trades")

    async def stop(self, *, compares: bool = False) -> None:
        """Cancel open orders, and close once none is open at the exchange, however long that takes.

        *compares* is whether account and setup are compared once more then, for what `differs` says of the next start.
        It gives up if the exchange no longer accepts the key, if a box on this machine is gone, and if it never became
        ready: then nothing was sent.
        """
        if not self._started or self._closed:
            return
        if not self._stopping:
            self._stopping = True
            self._stop_s = self._answered_s = asyncio.get_running_loop().time()
            self.review()
            if not self.killed and self._states.open:
                self._cancel_round(_ROUND_S)
        wait_s = STOP_S
        while not await self._none_open(wait_s) and not self._hopeless():
            self._log.error("orders_left_open", orders="; ".join(self.left), note="they are cancelled until none is")
            wait_s = AGAIN_SAID_S
        if compares and self._was_ready and not (self.killed or self.refused or self._failure or self._states.reset):
            await self._compare_last()
        if self._contract and not self._hopeless():
            await self._close_position()
            await self._contract.end(killed=self.killed)
        self._closed = self._queries.closed = True
        self._session.leave(self)
        await self._tasks.end()

    async def _compare_last(self) -> None:
        """Wait for a last comparison of the account, and until a difference is confirmed, but not for long."""
        account, needed = self._run.account, self._compared + 1 + self._comparing
        self.setup_changed()
        self._due.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(COMPARE_S):
                while self._compared < needed or (account is not None and account.pending):
                    await asyncio.sleep(_COMPARED_LOOK_S)

    async def _close_position(self) -> None:
        closing = await self._contract.closing(self.instrument) if self._contract and self.killed else None
        if closing is None:
            return
        if self._audit.failure is not None:
            self._log.error("position_not_closed", why=f"the audit log cannot be written: {self._audit.failure}")
            return
        side, price, qty = closing
        self._log.error("position_closes", side=SIDE_NAMES[side], qty=qty, price=price)
        order = self._new(EARLIER, side, price, qty, "IOC")
        order.reduces = True
        self._none_s, self._empty = 0.0, False
        seq = self._write_intent(order)
        with suppress(OSError):
            await self._audit.synced(seq)
        self._sender.place(order)
        await self._none_open(CLOSED_S)

    async def _none_open(self, within_s: float) -> bool:
        """As soon as that is known; False after a time, or if it is hopeless."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + within_s
        settled_s = self._run.access.recv_window_ms / 1_000 + _LATEST_S
        while self._states.open and not self._hopeless():
            now_s = loop.time()
            none_s = now_s - self._none_s if self._none_s else 0.0
            if none_s > settled_s and (none_s > _STRAY_S or self._all_arrived()):
                self._empty = True
                self._log.warning(
                    "orders_unresolved",
                    orders="; ".join(self._unended()),
                    note="the exchange lists no open order, but does not tell their ends; the next start asks again",
                )
                return True
            if now_s >= ends_s:
                return False
            self._changed.clear()
            await happened(self._changed, min(ends_s - now_s, _ROUND_S))
        return not self._states.open

    def _all_arrived(self) -> bool:
        return all(one.exchange_id > 0 or one.proves_absence(self._none_ms) for one in self._states.open.values())

    def _hopeless(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        if self.refused is not None or not self._was_ready:
            return self._session.rest_refused or now_s - self._stop_s > STOP_S
        return self._session.here and now_s - self._answered_s > BOX_GONE_S

    def _earlier(self, found: "AuditOrder") -> LiveOrder:
        order = LiveOrder(EARLIER, found.client_id, SIDES[found.side], found.price, found.qty, "LIMIT")
        order.exchange_id = found.order_id or 0
        # The log only has times of our clock, which may be off by seconds; the order was sent before now.
        order.sent_ms = self._clock.timestamp_ms() + AHEAD_MS
        order.window_ms = self._run.access.recv_window_ms
        if len(self._run.booked) >= KEPT_TRADES:
            order.counts_after = min(self._run.booked) - 1  # older trades are booked, but no longer known
        return order

    # sending

    def _unable(self) -> Refusal | None:
        if not self.ready:
            return unsent(self._why())
        if self._audit.failure is not None:
            return unsent(f"the audit log cannot be written: {self._audit.failure}")
        return None

    def _amend(self, order: LiveOrder, qty: str, price: str = "") -> None:
        """If it cannot be sent, report that it failed."""
        reason = self._no_amendment(order, qty, price)
        if reason:
            self._states.amend_denied(order, self._clock.now_us(), reason)
            return
        terms = {"qty": qty, "price": price} if price else {"qty": qty}
        seq = self._audit.append("intent", action="amend", client_id=order.client_id, **terms)
        self._states.amending(order, qty, price)
        self._leave(seq, (order,), self._sender.amend)

    def _no_amendment(self, order: LiveOrder, qty: str, price: str) -> Refusal | None:
        if order.state is not OrderState.LIVE:
            return unsent("the order is not known to be open, or a request for it is pending")
        limits = self._limits.refusal() if price else self._limits.refusal(("REQUEST_WEIGHT",))
        return self._unable() or limits or self._filters.no_amendment(order, qty, price)

    def _reason(
        self, side: int, price: str, qty: str, kind: str, replaces: LiveOrder | None = None, *, reduces: bool = False
    ) -> Refusal | None:
        unable = self._unable()
        if unable:
            return unable
        if self._states.in_doubt(side):
            return unsent("the outcome of an order of this side is not known yet")
        others = [order for order in self._states.open.values() if order is not replaces]
        return self._limits.refusal() or self._filters.refusal(side, price, qty, kind, others, reduces=reduces)

    def _refuse(self, order_id: int, side: int, refusal: Refusal) -> None:
        us = self._clock.now_us()
        if refusal.why in FILTERS:  # by filters, or a mean price, that may be old
            self._ask_filters()
        self._tell_soon(lambda listener: listener.rejected(order_id, us, side, refusal))
        if pause_s := self._pauses.refused(side, refusal, asyncio.get_running_loop().time()):
            self._tell_soon(lambda listener: listener.paused(side, pause_s))

    def _tell_soon(self, report: Report) -> None:
        asyncio.get_running_loop().call_soon(self._reports.tell, report)

    def _new(self, order_id: int, side: int, price: str, qty: str, kind: str) -> LiveOrder:
        return LiveOrder(order_id, self._ids.next(side), side, price, qty, kind)

    def _write_intent(self, order: LiveOrder, replaces: LiveOrder | None = None) -> int:
        terms = {"client_id": order.client_id, "side": order.side, "price": order.price, "qty": order.qty}
        more = {"replaces": replaces.client_id} if replaces else {"reduces": True} if order.reduces else {}
        action = "replace" if replaces else "place"
        seq = self._audit.append("intent", action=action, **terms, kind=order.kind, **more)
        self._states.add(order)
        self._orders[order.order_id] = order
        return seq

    def _leave(self, seq: int, orders: tuple[LiveOrder, ...], send: Callable[..., None]) -> None:
        """Once their intent, row *seq*, is written; the last order is placed or amended."""
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
            why = "" if self.ready else self._why()
        except OSError as error:
            why = f"the audit log cannot be written: {error}"
        if places and loop.time() - begin_s > _WAITED_S:
            while order.leaving and not self._reports.caught_up():  # it may be withdrawn for what is read
                await asyncio.sleep(_LOOK_S)
        if places and not order.leaving:  # withdrawn meanwhile
            return
        waited_ms = round((loop.time() - begin_s) * 1_000)
        if places and not why and waited_ms > self._run.access.recv_window_ms:
            why = f"its intent was on disk after {waited_ms} ms, more than RECV_WINDOW_MS: too old to be sent"
        if not why:
            order.leaving, order.replaces = False, None
            send(*orders)
            return
        self._keep_back(order, why)
        self._act()

    def _keep_back(self, order: LiveOrder, why: str) -> None:
        old, order.leaving, order.replaces = order.replaces, False, None
        self._sender.unsent(order, self._clock.now_us(), why)
        if old is not None and not old.ended and old.state is OrderState.PENDING_REPLACE:
            self._cancel(old)

    def _act_soon(self) -> None:
        """In the next iteration of the event loop: the listener is calling."""
        asyncio.get_running_loop().call_soon(self._act)

    def _cancel(self, order: LiveOrder) -> None:
        silence_s = self._limits.silence_s
        if silence_s:
            asyncio.get_running_loop().call_later(silence_s + _SILENCE_MARGIN_S, self._cancel_later, order)
        else:
            self._sender.cancel(order)

    def _cancel_later(self, order: LiveOrder) -> None:
        if not self._closed:
            self._states.want_cancel(order)
            self._act()

    def _cancel_round(self, delay_s: float) -> None:
        """Over the connection, if any; by REST what is open *delay_s* later."""
        loop, silence_s = asyncio.get_running_loop(), self._limits.silence_s
        if self._closed:
            return
        for order in [one for one in self._states.open.values() if one.leaving]:
            self._keep_back(order, self._why())
            self._act_soon()
        if silence_s:
            self._answered_s = loop.time() + silence_s
            loop.call_later(silence_s + _SILENCE_MARGIN_S, self._cancel_round, delay_s)
            return
        for order in list(self._states.open.values()):
            order.cancel_wanted, order.cancels = True, 0
            left = order.sent_ms or order.order_id == EARLIER
            if self._ws.up and left and not order.ending and not order.cancel_sent_s:
                self._sender.cancel(order)
        if delay_s > _ROUND_S or not self._ws.up:
            self._tasks.spawn(self._sweep())
        if self._states.open or delay_s == _ROUND_S:
            loop.call_later(delay_s, self._cancel_round, min(2 * delay_s, _LONGEST_ROUND_S))

    async def _sweep(self) -> None:
        """By REST, in one request unless other clients' orders are among them."""
        now_s, stamp_ms = asyncio.get_running_loop().time(), self._clock.timestamp_ms()
        try:
            ours, foreign = await self._queries.listed(self._rest)
        except Unanswered as error:
            self._answered_s = now_s if error.answer.status else self._answered_s
            if error.answer.why is Why.KEY:
                self._session.key_answered(refusal=str(error))
            return
        self._answered_s = now_s
        self._session.key_answered()
        self._none_s = 0.0 if ours else self._none_s or now_s
        self._none_ms = min(stamp_ms, self._clock.timestamp_ms())  # of the two offsets, if it was measured meanwhile
        if ours and not foreign:
            self._sender.cancel_symbol(ours)
        for order in ours if foreign else ():
            self._sender.cancel(order, self._rest)

    # answers

    def _report_answer(self, action: str, answer: ApiAnswer) -> None:
        if answer.status:
            self._reports.tell(lambda listener: listener.ack_latency(action, answer.seconds))
        if self._limits.silence_s:
            self.review()
        self._act()

    def _ask_filters(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._regridded is None and now_s >= self._filters_s:
            self._filters_s = now_s + _FILTERS_EVERY_S
            self._tasks.spawn(self._compare_filters())

    def doubt_rules(self) -> None:
        """From time to time, since the start's filters keep orders back."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._doubted_s + DOUBTED_S:
            self._doubted_s = now_s
            self._ask_filters()

    async def _compare_filters(self) -> None:
        symbol, before = self._run.symbol, self.instrument
        answer = await answer_of(self._session.api.request, self._venue.terms())
        if answer.outcome is not Outcome.DONE and answer.why is not Why.SYMBOL:
            self._filters_s = 0.0
            return
        try:
            terms = self._venue.terms_of(answer)
        except DataError:
            self._regridded = TryLater(f"{symbol} was delisted: the exchange does not list it any more")
            return
        except MMError as error:
            self._log.warning("filters_unknown", why=str(error))
            return
        if terms.halted:
            self._log.warning("filters_unknown", why=f"{symbol} does not trade: its status is {terms.halted}")
            self._reports.tell(lambda listener: listener.untraded())
            return
        now = terms.instrument
        if now != before or terms.filters.most_orders != self._filters.most_orders:
            sizes = [("tick_size", before.tick_e8, now.tick_e8), ("step_size", before.lot_e8, now.lot_e8)]
            named = [f"{name} from {short_text(old)} to {short_text(new)}" for name, old, new in sizes if old != new]
            what = f"grid of {symbol}: {', '.join(named)}" if named else f"filters of {symbol}"
            self._regridded = TryLater(f"the exchange has changed the {what}; start it again")
        with suppress(Unanswered, msgspec.MsgspecError, OffGrid):  # the next reconcile asks again
            await self._queries.mean_price()

    # the connection

    def connected(self) -> None:
        self._log.info("gateway_connected", connections=self._session.connections)
        self._due.set()

    def disconnected(self, why: str) -> None:
        self._log.warning("gateway_disconnected", why=why)
        self._reconciled = 0
        if self._started:
            self._queries.payments_due, self._queries.recognised = True, False
        if self._run.account:
            self._run.account.disconnected()
        self.review()
        self._changed.set()
        self._due.set()

    def events_lost(self, kind: str, why: str) -> None:
        self._log.warning("event_unreadable", kind=kind, why=why)
        self._due.set()

    def balances_changed(self) -> None:
        self._report_balances()

    def payments_due(self, us: int) -> None:
        self._queries.announce_payment(us)
        self._due.set()

    def margin_called(self, found: MarginCalled) -> None:
        self._log.error("margin_call", symbols=", ".join(found.symbols), at_us=found.us)
        self._audit.append("breach", limit="MARGIN_CALL", message=f"the exchange's margin call of {found.us} µs")
        self._reports.tell(lambda listener: listener.margin_called(found.us))
        if self._contract:
            self._contract.margin_called()

    def setup_changed(self) -> None:
        if self._contract:
            self._contract.setup_due = True
            self._due.set()

    def stop_event(self, found: StopSeen) -> None:
        if self._contract and self._contract.stop:
            self._contract.stop.heard(found)
            if found.order_id:
                self._due.set()

    def order_event(self, found: OrderEvent, us: int) -> None:
        by_client, (own_id, other_id) = self._states.by_client, found.client_ids
        order = by_client.get(own_id) or by_client.get(other_id) or self._states.of_exchange(found.exchange_id)
        if order is None and (what := self._forced_by(found)):
            order = self._forced(found, what)
        if order is None:
            seen = found.seen(own_id, us)
            new = seen.state is OrderState.LIVE and not seen.executed_e8
            if self._others.sees_event(own_id, seen.exchange_us, new=new):
                self.review()
            elif is_ours(own_id):
                self._due.set()
            return
        self._states.seen(found.seen(order.client_id, us), found.fill(order.client_id))
        self._act()
        if self._fees.asks:
            self._due.set()  # the reconcile reads the price

    def _forced_by(self, found: OrderEvent) -> str:
        if self._others.has_written(found.client_ids[0]):
            return ""
        sent = self._contract is not None and found.exchange_id in self._contract.sent_ids
        return found.forced or ("protective stop" if sent else "")

    def _forced(self, found: OrderEvent, what: str) -> LiveOrder:
        own_id = forced_id(found.client_ids[0], found.exchange_id)
        side, qty = found.side, short_text(found.seen(own_id, 0).qty_e8)
        order = LiveOrder(EARLIER, own_id, side, "", qty, "IOC", exchange_id=found.exchange_id)
        self._states.add_forced(order)
        self._log.error("position_forced", what=what, side=SIDE_NAMES[side], qty=qty)
        self._audit.append("breach", limit="FORCED", message=f"{what} of {qty} by {own_id}")
        self._reports.tell(lambda listener: listener.forced(what))
        return order

    def _report_balances(self, *, current: bool = True) -> None:
        held = self._session.holdings.balances
        if current:
            funds_e8 = self._venue.ours_e8(self.instrument, held, self._states.open.values())
            self._reports.tell(lambda listener: listener.funds(*funds_e8))
        self._reports.tell(lambda listener: listener.balances(held))

    async def _keep_reconciled(self) -> None:
        said = ""
        while True:
            interval_s = self._run.access.reconcile_interval_s
            await happened(self._due, min(interval_s, SETUP_S) if self._setup_differed else interval_s)
            self._due.clear()
            self._comparing = True
            connection, ends = self._session.connections if self._ws.up else 0, self._states.ends
            try:
                await self._queries.reconcile()
            except (Unanswered, msgspec.MsgspecError, OffGrid) as error:
                if str(error) != said:
                    said = str(error)
                    self._log.warning("reconcile_failed", why=said)
                if isinstance(error, Unanswered) and error.answer.why is Why.SYMBOL:
                    self._ask_filters()
                await asyncio.sleep(max(_AGAIN_S, self._limits.silence_s))
                self._due.set()
                continue
            said = ""
            if self._states.reset:
                self.review()
                return
            self._report_balances(current=ends == self._states.ends)
            self._compare_fees()
            settled = self._account_compared()
            await self._compare_setup()
            self._compared, self._comparing = self._compared + 1, False
            if settled and connection and self._ws.up and connection == self._session.connections:
                self._reconciled = connection
            self.review()

    def _differs(self) -> str:
        return self._run.account.why if self._run.account else ""

    def _compare_fees(self) -> None:
        before, now = self._fees_told, self._fees.paid_e8
        if now is None or now == before:
            return
        self._fees_told = now
        if before is not None:
            pairs = zip(("maker", "taker"), before, now, strict=True)
            changes = {role: f"{short_text(old)} to {short_text(new)}" for role, old, new in pairs if old != new}
            self._log.warning("fee_rates_changed", **changes, note="quotes use them from the next start on")
        self._reports.tell(lambda listener: listener.fee_rates(*now))

    async def _compare_setup(self) -> None:
        if self._contract is None:
            return
        try:
            await self._contract.look_at_setup()
        except (DataError, msgspec.MsgspecError) as error:
            self._log.warning("setup_unreadable", why=str(error))
        why = self._contract.differs
        if why and why != self._setup_differed:
            self._log.error("setup_differs", why=why, note="nothing is placed until it is as before")
            self._audit.append("breach", limit="SETUP", message=why)
        self._setup_differed = why

    def _account_compared(self) -> bool:
        """Report a new difference; False, and reconcile again soon, if one is not confirmed."""
        account = self._run.account
        if account is None:
            return True
        if account.why and account.why != self._differed:
            self._log.error("account_differs", why=account.why, note="nothing is placed until they agree")
            self._audit.append("breach", limit="ACCOUNT", message=account.why)
        self._differed = account.why
        if account.pending:
            asyncio.get_running_loop().call_later(_AGAIN_S, self._due.set)
        return not account.pending

    def _why(self) -> str:
        if self.killed or self._stopping:
            return "killed" if self.killed else "stopping"
        if self._limits.silence_s:
            return f"the exchange has blocked requests for {self._limits.silence_s:.1f} s"
        trouble = self._failure or self._states.reset or str(self.contested or "")
        if trouble or not self._ws.up:
            return trouble or self._ws.trouble
        return (
            (f"the symbol does not trade ({self._halted})" if self._halted else "")
            or self._differs()
            or self._setup_differed
            or ("" if self._reconciled == self._session.connections else "not reconciled")
        )

    def review(self) -> None:
        why = self._why()
        if self.ready == bool(why):
            self.ready = not why
            self._was_ready = self._was_ready or self.ready
            self._reports.tell(lambda listener: listener.ready_changed(not why, why))
        if self._limits.silence_s and not self.killed:
            asyncio.get_running_loop().call_later(self._limits.silence_s + _SILENCE_MARGIN_S, self.review)
        self._changed.set()

    def task_failed(self, error: BaseException) -> None:
        """The work of a task for the orders, or a report, is not done: send nothing more."""
        self._failure = self._failure or f"a task of the gateway failed: {error!r}"
        self._log.error("gateway_task_failed", why=repr(error))
        self.review()

    # the steps that follow

    def _act(self) -> None:
        self._do_all(deque(self._states.next_steps()))
        self._changed.set()

    def _do_all(self, steps: deque[OrderStep]) -> None:
        """After a step that fails the trade ends, but the steps behind it still reach log and listener."""
        try:
            while steps:
                self._do(steps.popleft())
        except Exception as error:
            self.task_failed(error)
            self._do_all(steps)

    def _note(self, step: OrderReport) -> None:
        side = step.order.side
        if isinstance(step, Accepted):
            self._pauses.accepted(side)
        if not isinstance(step, Rejected | AmendFailed):
            return
        why = step.refusal.why
        if why in FILTERS or why is Why.SYMBOL:
            self._ask_filters()
        if why is Why.SETUP:
            self.setup_changed()
        if why is Why.RESTRICTED and self._contract:
            self._contract.rules_due.set()
        now_s = asyncio.get_running_loop().time()
        waits = (isinstance(step, Rejected) or why is Why.BUSY) and step.order.order_id != EARLIER
        if waits and (pause_s := self._pauses.refused(side, step.refusal, now_s)):
            self._reports.tell(lambda listener: listener.paused(side, pause_s))

    def _do(self, step: OrderStep) -> None:
        order = step.order
        match step:
            case Ask():
                self._queries.ask(order)
            case Fetch():
                self._queries.fetch(order)
            case Resend():
                self._cancel(order)
            case Reamend(qty=qty):
                self._amend(order, qty)
            case Contradiction():
                self._log.error("order_contradiction", client_id=order.client_id, what=step.what)
            case _:
                self._reports.report(step)
                self._note(step)
        if order.ended:
            self._orders.pop(order.order_id, None)

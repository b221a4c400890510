"""The gateway: sends orders of the engine to the exchange, and reports their outcome to the engine.

Its parts, by who calls them: `SymbolOrders` (the trader), `SessionEvents` (the account's session), `Reconciliation`
(a task), `Readiness` (the run: may orders be sent, must the trade end), `OrderEnding` (a kill, an end), `SymbolRules`
(what the exchange says of the symbol). docs/trading.md lists what is sent when.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from mm.errors import TryLater
from mm.live.account.background import BackgroundTasks
from mm.live.account.fee_values import FeeValues
from mm.live.account.ledger import KEPT_TRADES
from mm.live.audit.log import AuditLog
from mm.live.orders.access import ClientIds, GatewayRun
from mm.live.orders.contract_watch import ContractWatch
from mm.live.orders.ending import OrderEnding
from mm.live.orders.order_steps import EARLIER
from mm.live.orders.other_traders import OtherTraders
from mm.live.orders.parts import GatewayParts
from mm.live.orders.protection import ProtectiveStop
from mm.live.orders.readiness import Readiness
from mm.live.orders.reconciliation import Reconciliation
from mm.live.orders.reports import OrderReports
from mm.live.orders.session_events import SessionEvents
from mm.live.orders.states import OrderStates
from mm.live.orders.symbol_orders import SymbolOrders
from mm.live.orders.symbol_rules import SymbolRules
from mm.live.venues.fills import SIDES
from mm.live.venues.live_orders import AHEAD_MS, LiveOrder
from mm.live.venues.requests import Unanswered, together

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live.account.session import AccountSession
    from mm.live.audit.books import AuditOrder

START_S = 30.0
OTHER_S = 10.0
"""Time that a start waits for an order of another trader, whose earlier trades the account has, in s."""


class Gateway:
    """Orders of one symbol, on one account: the parts, their start and their end.

    Attributes:
        reports: Of orders and the account, to a listener that attaches itself: from the event loop, never from inside
            a call; held ones first.
        fees: The account's commission rates, once they were read.
        contract: None for a symbol whose assets the account holds.
    """

    def __init__(self, session: "AccountSession", run: GatewayRun, audit: AuditLog, *, log: "Logger") -> None:
        self._session, self._run = session, run
        ids = run.ids or ClientIds(run.run_id, session.around.nonce)
        self._others = others = OtherTraders(run.symbol, (*run.runs, ids.run))
        self.states = states = OrderStates(run.booked, codes=session.venue.codes)
        self.fees = fees = FeeValues(session.venue.discount_asset)
        self.reports = reports = OrderReports(audit, fees, run.account, log)
        self.contract: ContractWatch | None = None
        if requests := session.venue.orders_of(run.symbol).contract:
            stop = ProtectiveStop(
                *(run.symbol, requests, session),
                ids=ids,
                others=others,
                audit=audit,
                log=log,
                share=run.contract.protective_stop if run.contract else None,
                adopts=run.access.adopt,
                told=lambda trigger_e8: reports.tell(lambda listener: listener.protective_stop(trigger_e8)),
            )
            self.contract = ContractWatch(requests, session, run, reports, log, stop)
        self.readiness = Readiness(session, run, states, others, self.contract, reports, log)
        self._tasks = BackgroundTasks(self.readiness.fail)
        self.rules = SymbolRules(run.symbol, session, reports, self._tasks, log)
        parts = GatewayParts(
            session=session,
            run=run,
            audit=audit,
            log=log,
            ids=ids,
            states=states,
            others=others,
            fees=fees,
            reports=reports,
            contract=self.contract,
            readiness=self.readiness,
            tasks=self._tasks,
            rules=self.rules,
        )
        self.orders = SymbolOrders(parts)
        self.ending = OrderEnding(parts, self.orders)
        self._reconciliation = Reconciliation(parts, self.orders)
        self._events = SessionEvents(parts, self.orders, self._reconciliation)
        self._started = False

    @property
    def reconciled_s(self) -> float:
        return self._reconciliation.reconciled_s

    async def left_to_guardian(self) -> bool:
        """After a start that has failed: whether the position could not be reconciled for too long."""
        return await self._reconciliation.count_failure()

    async def start(self) -> None:
        """Connect, log on, subscribe, reconcile; return when orders can be sent. Raises UsageError, DataError or
        TryLater.
        """
        session, run, readiness = self._session, self._run, self.readiness
        await session.measure(session.rest)
        await together(self._read_rules(), *([self.contract.check()] if self.contract else []))
        self.fees.trade(self.rules.instrument)
        self._others.begun_us = session.clock.timestamp_ms() * 1_000
        self._started = True
        for order in run.earlier:
            self.states.add_earlier(self._earlier(order))
        self.orders.act()
        session.join(self._events)
        self._tasks.spawn(self._reconciliation.keep())
        if self.contract:
            self.contract.begin(self._tasks, self.rules.instrument)
        await readiness.wait(self._is_decided, START_S)
        if readiness.account_differs and not (readiness.killed or self.states.reset):
            await self._look_for_other()
        if error := readiness.lost or readiness.contested or readiness.reset:
            raise error
        if readiness.halted:
            self.ending.cancel_all()
            await readiness.wait(lambda: not self.states.open or readiness.lost, START_S)
            raise TryLater(
                f"{run.symbol} does not trade: its status is {readiness.halted}; start it again once it trades"
            )
        if (mismatch := readiness.differs) and not readiness.killed:
            raise mismatch
        if not readiness.ready and not readiness.killed:
            raise TryLater(f"the exchange is not ready after {START_S:g} s: {readiness.why_not()}; check WS_API_URL")

    async def _read_rules(self) -> None:
        self.readiness.halted = await self.rules.read()

    def _earlier(self, found: "AuditOrder") -> LiveOrder:
        run = self._run
        order = LiveOrder(EARLIER, found.client_id, SIDES[found.side], found.price, found.qty, "LIMIT")
        order.exchange_id = found.order_id or 0
        # The log only has times of our clock, which may be off by seconds; the order was sent before now.
        order.sent_ms = self._session.clock.timestamp_ms() + AHEAD_MS
        order.window_ms = run.access.recv_window_ms
        if len(run.booked) >= KEPT_TRADES:
            order.counts_after = min(run.booked) - 1  # older trades are booked, but no longer known
        return order

    def _is_decided(self) -> bool:
        """Whether a start goes on, or fails."""
        one = self.readiness
        ends = one.ready or one.killed or one.lost or one.account_differs or self.states.reset or one.contested
        differs = self.contract is not None and self.contract.differs
        return bool(ends or differs or (one.halted and self._reconciliation.compared))

    async def _look_for_other(self) -> None:
        with suppress(Unanswered):
            await self.orders.queries.note_last_trade()
        others, readiness = self._others, self.readiness
        if others.before and self._run.last_trade_id is None:
            others.found = others.before
        elif others.before:
            await readiness.wait(lambda: readiness.contested or readiness.lost, OTHER_S)

    async def stop(self, *, compares: bool = False) -> None:
        """Cancel open orders, and close once none is open at the exchange, however long that takes.

        *compares* is whether account and setup are compared once more then, for what `Readiness.differs` says of the
        next start. It gives up if the exchange no longer accepts the key, if a box on this machine is gone, and if it
        never became ready: then nothing was sent.
        """
        readiness, queries = self.readiness, self.orders.queries
        if not self._started or queries.closed:
            return
        await self.ending.end_all()
        fails = readiness.killed or readiness.refused or readiness.failure or readiness.reset
        if compares and readiness.was_ready and not fails:
            await self._reconciliation.compare_last()
        if self.contract and not self.ending.hopeless():
            await self.ending.close_position()
            await self.contract.end(killed=readiness.killed)
        queries.closed = True
        self._session.leave(self._events)
        await self._tasks.end()

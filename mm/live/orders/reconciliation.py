"""The reconciliation of a gateway with the exchange, again and again, and what is compared after each."""

import asyncio
import time
from contextlib import suppress

import msgspec

from mm.base.waiting import happened
from mm.errors import DataError, OffGrid
from mm.instrument import short_text
from mm.live.orders.contract_watch import SETUP_S
from mm.live.orders.parts import GatewayParts
from mm.live.orders.symbol_orders import SymbolOrders
from mm.live.venues.refusals import Why
from mm.live.venues.requests import Unanswered

COMPARE_S = 3.0
"""Longest time that an end waits for the last comparison of account and setup, in s."""
_AGAIN_S, _COMPARED_LOOK_S = 0.5, 0.02


class Reconciliation:
    """Comparisons with the exchange: at the start, after each connection, at the knob's interval, and when one is due.

    Attributes:
        compared: How often account and setup were compared.
        reconciled_s: When that last succeeded, or the begin, in s of the monotonic clock.
    """

    def __init__(self, parts: GatewayParts, orders: SymbolOrders) -> None:
        self.compared, self._comparing, self.reconciled_s = 0, False, time.monotonic()
        self._session, self._run, self._account = parts.session, parts.run, parts.run.account
        self._venue, self._rules = parts.session.venue.orders_of(parts.run.symbol), parts.rules
        self._states, self._fees, self._reports, self._audit = parts.states, parts.fees, parts.reports, parts.audit
        self._contract, self._readiness, self._log = parts.contract, parts.readiness, parts.log
        self._queries = orders.queries
        self._differed = ""
        self._fees_told: tuple[int, int] | None = None
        self._left = False  # the position, to the guardian
        self._unreconciled = parts.run.unreconciled

    async def keep(self) -> None:
        """Ends only if the exchange was reset."""
        said, due, session = "", self._queries.due, self._session
        while True:
            interval_s = self._run.access.reconcile_interval_s
            differs = self._contract is not None and self._contract.differs
            await happened(due, min(interval_s, SETUP_S) if differs else interval_s)
            due.clear()
            self._comparing = True
            connection, ends = session.connections if session.ws.up else 0, self._states.ends
            try:
                await self._queries.reconcile()
            except (Unanswered, msgspec.MsgspecError, OffGrid) as error:
                if str(error) != said:
                    said = str(error)
                    self._log.warning("reconcile_failed", why=said)
                if isinstance(error, Unanswered) and error.answer.why is Why.SYMBOL:
                    self._rules.ask()
                await self.count_failure()
                await asyncio.sleep(max(_AGAIN_S, session.limits.silence_s))
                due.set()
                continue
            said = ""
            if self._states.reset:
                self._readiness.review()
                return
            self.report_balances(current=ends == self._states.ends)
            self._compare_fees()
            settled = self._account_compared()
            await self._compare_setup()
            self.compared, self._comparing = self.compared + 1, False
            if settled and connection and session.ws.up and connection == session.connections:
                self._readiness.reconciled, self.reconciled_s, self._left = connection, time.monotonic(), False
                if self._unreconciled:
                    await asyncio.to_thread(self._unreconciled.end)
            self._readiness.review()

    async def count_failure(self) -> bool:
        """Count the time without a reconcile, over earlier processes too; return whether the guardian is to act."""
        if self._unreconciled:
            self.reconciled_s = await asyncio.to_thread(self._unreconciled.begin, self.reconciled_s)
            self._leave_to_guardian()
        return self._left

    def _leave_to_guardian(self) -> None:
        """Place nothing beside a guardian that closes the position."""
        after_s = self._run.contract.flatten_after_s if self._run.contract else None
        if after_s is None or self._left or time.monotonic() - self.reconciled_s < after_s:
            return
        self._left, self._readiness.reconciled = True, 0
        why = f"the position could not be reconciled for {after_s:g} s"
        self._log.error("position_unreconciled", why=why, note="the guardian closes it; quotes wait for a reconcile")
        self._audit.append("breach", limit="FLATTEN_AFTER_S", message=why)
        self._readiness.review()

    async def compare_last(self) -> None:
        """Wait for a last comparison of the account, and until a difference is confirmed, but not for long."""
        account, needed = self._account, self.compared + 1 + self._comparing
        if self._contract:
            self._contract.setup_due = True
        self._queries.due.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(COMPARE_S):
                while self.compared < needed or (account is not None and account.pending):
                    await asyncio.sleep(_COMPARED_LOOK_S)

    def report_balances(self, *, current: bool = True) -> None:
        """Unless *current*, orders have ended since the balances, which leave less to orders than there is."""
        held = self._session.holdings.balances
        if current:
            funds_e8 = self._venue.ours_e8(self._rules.instrument, held, self._states.open.values())
            self._reports.tell(lambda listener: listener.funds(*funds_e8))
        self._reports.tell(lambda listener: listener.balances(held))

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

    def _account_compared(self) -> bool:
        """Report a new difference; False, and reconcile again soon, if one is not confirmed."""
        account = self._account
        if account is None:
            return True
        if account.why and account.why != self._differed:
            self._log.error("account_differs", why=account.why, note="nothing is placed until they agree")
            self._audit.append("breach", limit="ACCOUNT", message=account.why)
        self._differed = account.why
        if account.pending:
            asyncio.get_running_loop().call_later(_AGAIN_S, self._queries.due.set)
        return not account.pending

    async def _compare_setup(self) -> None:
        if self._contract is None:
            return
        before = self._contract.differs
        self._contract.foreign = 0 if self._run.access.adopt else self._queries.foreign_orders
        try:
            await self._contract.look_at_setup()
        except (DataError, msgspec.MsgspecError) as error:
            self._log.warning("setup_unreadable", why=str(error))
        why = self._contract.differs
        if why and why != before:
            self._log.error("setup_differs", why=why, note="nothing is placed until it is as before")
            self._audit.append("breach", limit="SETUP", message=why)

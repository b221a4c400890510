"""Whether orders of a symbol may be sent; if not, why, and whether that ends the trade."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from mm.errors import Mismatch, MMError, TryLater, parameter
from mm.live.orders.access import GatewayRun
from mm.live.orders.contract_watch import ContractWatch
from mm.live.orders.other_traders import OtherTraders
from mm.live.orders.reports import OrderReports
from mm.live.orders.states import OrderStates

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live.account.session import AccountSession

SILENCE_MARGIN_S = 0.001
"""A request follows the exchange's silence by so much, in s."""


class Readiness:
    """Whether the orders of one symbol are ready, by what every other part of a gateway finds.

    Attributes:
        was_ready: Whether it ever was: before, nothing was sent.
        killed: Nothing is placed any more.
        stopping: Nor at an end.
        halted: The status of the symbol at the start, if it did not trade.
        reconciled: The number of the connection that was reconciled; 0 if none was.
        changed: Set after each change of an order or of these, for who waits for one.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that can be amiss
        self,
        session: "AccountSession",
        run: GatewayRun,
        states: OrderStates,
        others: OtherTraders,
        contract: ContractWatch | None,
        reports: OrderReports,
        log: "Logger",
    ) -> None:
        self.ready = self.was_ready = self.killed = self.stopping = False
        self.halted, self.reconciled = "", 0
        self.changed = asyncio.Event()
        self._session, self._account, self._states, self._others = session, run.account, states, others
        self._contract, self._reports, self._log = contract, reports, log
        self._failure = ""

    def why_not(self) -> str:
        """Empty if orders may be sent."""
        if self.killed or self.stopping:
            return "killed" if self.killed else "stopping"
        session = self._session
        if silence := session.limits.silence_text:
            return silence
        trouble = self._failure or self._states.reset or str(self.contested or "")
        if trouble or not session.ws.up:
            return trouble or session.ws.trouble
        return (
            (f"the symbol does not trade ({self.halted})" if self.halted else "")
            or self.account_differs
            or (self._contract.differs if self._contract else "")
            or ("" if self.reconciled == session.connections else "not reconciled")
        )

    def review(self) -> None:
        """Tell a change to the listener; again once the exchange's silence is over."""
        why = self.why_not()
        if self.ready == bool(why):
            self.ready = not why
            self.was_ready = self.was_ready or self.ready
            self._reports.tell(lambda listener: listener.ready_changed(not why, why))
        if (silence_s := self._session.limits.silence_s) and not self.killed:
            asyncio.get_running_loop().call_later(silence_s + SILENCE_MARGIN_S, self.review)
        self.changed.set()

    def fail(self, error: BaseException) -> None:
        """The work of a task for the orders, or a report, is not done: send nothing more."""
        self._failure = self._failure or f"a task of the gateway failed: {error!r}"
        self._log.error("gateway_task_failed", why=repr(error))
        self.review()

    async def wait(self, condition: Callable[[], object], most_s: float) -> None:
        """Wait until *condition* holds after a change, or *most_s* have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()

    # what ends a trade, or fails its start

    @property
    def lost(self) -> MMError | None:
        """The connection or a task has failed for good."""
        return self._session.ws.failure or self.failure

    @property
    def failure(self) -> TryLater | None:
        return TryLater(f"{self._failure}; start it again") if self._failure else None

    @property
    def refused(self) -> MMError | None:
        """The exchange does not accept the key any more."""
        return self._session.refused

    @property
    def contested(self) -> TryLater | None:
        return self._others.error

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
    def account_differs(self) -> str:
        return self._account.why if self._account else ""

    @property
    def differs(self) -> Mismatch | None:
        """Difference of the account or its setup, as last compared: also the next start would fail."""
        account = self._account
        if account is not None and account.why and account.lasts:
            by = f"; of another trader is {self._others.before}" if self._others.before else ""
            return Mismatch(f"{account.why}{by}; {account.way_out}")
        return Mismatch(self._contract.differs) if self._contract and self._contract.differs else None

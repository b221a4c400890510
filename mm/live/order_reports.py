"""Reports of order events: first as a row of the audit log, then to the listener."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from mm.instrument import decimal_text
from mm.live.account_check import AccountCheck
from mm.live.fee_values import FeeValues
from mm.live.ledger import AccountFill
from mm.live.live_orders import (
    EARLIER,
    Accepted,
    Amended,
    AmendFailed,
    Booked,
    CancelFailed,
    Closed,
    OrderReport,
    Rejected,
)
from mm.live.order_access import AuditSink


class OrderListener(Protocol):
    """The reports of a gateway, in order; *order_id* is the caller's, `EARLIER` for an order of an earlier run."""

    def accepted(self, order_id: int, us: int, exchange_id: int) -> None:
        """The exchange has accepted an order."""

    def rejected(self, order_id: int, us: int, code: int, message: str) -> None:
        """An order was never open; *code* 0: it was not sent."""

    def filled(self, order_id: int, fill: AccountFill) -> None:
        """A fill, once."""

    def closed(self, order_id: int, us: int, status: str) -> None:
        """An order has ended unfilled or partly filled: CANCELED or EXPIRED."""

    def cancel_failed(self, order_id: int, us: int, code: int) -> None:
        """An order is still open."""

    def amended(self, order_id: int, us: int, qty: str) -> None:
        """An order has the smaller total quantity *qty*; if this is filled already, it has ended."""

    def amend_failed(self, order_id: int, us: int, code: int, message: str) -> None:
        """The quantity of an order is unchanged; *code* 0: the amendment was not sent, or never arrived."""

    def balances(self, free: Mapping[str, str], locked: Mapping[str, str]) -> None:
        """The balances by asset, all known ones."""

    def ready_changed(self, ready: bool, why: str) -> None:
        """The gateway's readiness for orders has changed."""

    def ack_latency(self, action: str, seconds: float) -> None:
        """A request was answered after *seconds*."""


class OrderReports:
    """Writes and forwards reports.

    Args:
        audit: Receives a row for each report.
        listener: Receives reports about its orders; for orders of earlier runs only fills.
        fees: Values the commissions of fills.
        account: Expects balances with the fills; None for no check.
    """

    def __init__(
        self, audit: AuditSink, listener: OrderListener, fees: FeeValues, account: AccountCheck | None = None
    ) -> None:
        self._audit, self._listener, self._fees, self._account = audit, listener, fees, account

    def take(self, step: OrderReport) -> None:
        """Write an event of an order, and report it."""
        if isinstance(step, Booked):
            fill = self._fees.valued(step.fill)
            self._audit.append("fill", **fill.row())
            if self._account:
                self._account.filled(fill)
            self._listener.filled(step.order_id, fill)
            return
        report = self._write_amendment(step) if isinstance(step, Amended | AmendFailed) else self._write(step)
        if step.order.order_id != EARLIER:
            report()

    def _write(self, step: Accepted | Rejected | Closed | CancelFailed) -> Callable[[], None]:
        """Write the row of a step, and return the function that reports it."""
        order, listener = step.order, self._listener
        names = {"client_id": order.client_id, "order_id": order.exchange_id}
        match step:
            case Accepted():
                self._audit.append("ack", action="place", **names)
                return partial(listener.accepted, order.order_id, step.us, order.exchange_id)
            case Rejected():
                reason = {"code": step.code, "message": step.message}
                self._audit.append("reject", action="place", client_id=order.client_id, **reason)
                return partial(listener.rejected, order.order_id, step.us, step.code, step.message)
            case Closed():
                self._audit.append("cancel", **names, status=step.status, filled=decimal_text(order.booked_e8))
                return partial(listener.closed, order.order_id, step.us, step.status)
            case CancelFailed():
                self._audit.append("reject", action="cancel", client_id=order.client_id, code=step.code, message="")
                return partial(listener.cancel_failed, order.order_id, step.us, step.code)

    def _write_amendment(self, step: Amended | AmendFailed) -> Callable[[], None]:
        """Write the row of an amendment step, and return the function that reports it."""
        order, listener = step.order, self._listener
        if isinstance(step, Amended):
            names = {"client_id": order.client_id, "order_id": order.exchange_id}
            self._audit.append("ack", action="amend", **names, qty=step.qty)
            return partial(listener.amended, order.order_id, step.us, step.qty)
        reason = {"code": step.code, "message": step.message}
        self._audit.append("reject", action="amend", client_id=order.client_id, **reason)
        return partial(listener.amend_failed, order.order_id, step.us, step.code, step.message)

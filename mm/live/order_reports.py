"""What became of orders, to those who wait for it: a row of the audit log first, then a report to the listener."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from mm.instrument import decimal_text
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
    """What a gateway reports, in order; *order_id* is the caller's, `EARLIER` of an order of an earlier run."""

    def accepted(self, order_id: int, us: int, exchange_id: int) -> None:
        """The exchange has taken an order."""

    def rejected(self, order_id: int, us: int, code: int, message: str) -> None:
        """An order was never open; *code* 0: it was not sent."""

    def filled(self, order_id: int, fill: AccountFill) -> None:
        """A fill, once."""

    def closed(self, order_id: int, us: int, status: str) -> None:
        """An order has ended with something left: CANCELED or EXPIRED."""

    def cancel_failed(self, order_id: int, us: int, code: int) -> None:
        """An order is still open."""

    def amended(self, order_id: int, us: int, qty: str) -> None:
        """An order has *qty* in all, less than before; where as much is filled, it has ended."""

    def amend_failed(self, order_id: int, us: int, code: int, message: str) -> None:
        """An order has the quantity that it had; *code* 0: no amendment was sent, or it never arrived."""

    def balances(self, free: Mapping[str, str], locked: Mapping[str, str]) -> None:
        """The balances by asset, all that are known."""

    def ready_changed(self, ready: bool, why: str) -> None:
        """Orders can be sent from now on, or not any more."""

    def ack_latency(self, action: str, seconds: float) -> None:
        """A request was answered after so long."""


class OrderReports:
    """Write and report.

    Args:
        audit: Gets a row for each.
        listener: Gets those of its orders; of the orders of earlier runs fills alone.
    """

    def __init__(self, audit: AuditSink, listener: OrderListener) -> None:
        self._audit, self._listener = audit, listener

    def take(self, step: OrderReport) -> None:
        """Write what became of an order, and report it."""
        if isinstance(step, Booked):
            self._audit.append("fill", **step.fill.row())
            self._listener.filled(step.order_id, step.fill)
            return
        report = self._write_amendment(step) if isinstance(step, Amended | AmendFailed) else self._write(step)
        if step.order.order_id != EARLIER:
            report()

    def _write(self, step: Accepted | Rejected | Closed | CancelFailed) -> Callable[[], None]:
        """Write the row of a step, and return what reports it."""
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
        """Write the row of a step of an amendment, and return what reports it."""
        order, listener = step.order, self._listener
        if isinstance(step, Amended):
            names = {"client_id": order.client_id, "order_id": order.exchange_id}
            self._audit.append("ack", action="amend", **names, qty=step.qty)
            return partial(listener.amended, order.order_id, step.us, step.qty)
        reason = {"code": step.code, "message": step.message}
        self._audit.append("reject", action="amend", client_id=order.client_id, **reason)
        return partial(listener.amend_failed, order.order_id, step.us, step.code, step.message)

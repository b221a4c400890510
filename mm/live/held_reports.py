"""The reports of a gateway, held back until there is a listener.

A gateway reconciles before trading starts, and its findings (balances, fills of an earlier run) determine the initial
account of an engine.
"""

from collections.abc import Mapping

from mm.live.ledger import AccountFill
from mm.live.order_reports import OrderListener


class HeldReports:
    """An `OrderListener` that forwards all reports in order, once `release` sets the next listener.

    Attributes:
        last_balances: Free and locked balance by asset, as the exchange's text; empty before the first report.
    """

    def __init__(self) -> None:
        self.last_balances: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
        self._listener: OrderListener | None = None
        self._held: list[tuple[str, tuple[object, ...]]] = []

    def release(self, listener: OrderListener) -> None:
        """Forward the held reports, and from now on every report at once."""
        while self._held:  # including reports that the listener causes meanwhile
            name, terms = self._held.pop(0)
            getattr(listener, name)(*terms)
        self._listener = listener

    def accepted(self, order_id: int, us: int, exchange_id: int) -> None:
        """Handle the acceptance of an order."""
        if self._listener is None:
            self._held.append(("accepted", (order_id, us, exchange_id)))
        else:
            self._listener.accepted(order_id, us, exchange_id)

    def rejected(self, order_id: int, us: int, code: int, message: str) -> None:
        """Handle a rejection."""
        if self._listener is None:
            self._held.append(("rejected", (order_id, us, code, message)))
        else:
            self._listener.rejected(order_id, us, code, message)

    def filled(self, order_id: int, fill: AccountFill) -> None:
        """Handle a fill."""
        if self._listener is None:
            self._held.append(("filled", (order_id, fill)))
        else:
            self._listener.filled(order_id, fill)

    def closed(self, order_id: int, us: int, status: str) -> None:
        """Handle the end of an order."""
        if self._listener is None:
            self._held.append(("closed", (order_id, us, status)))
        else:
            self._listener.closed(order_id, us, status)

    def cancel_failed(self, order_id: int, us: int, code: int) -> None:
        """Handle a failed cancel."""
        if self._listener is None:
            self._held.append(("cancel_failed", (order_id, us, code)))
        else:
            self._listener.cancel_failed(order_id, us, code)

    def amended(self, order_id: int, us: int, qty: str) -> None:
        """Handle a lowered quantity of an order."""
        if self._listener is None:
            self._held.append(("amended", (order_id, us, qty)))
        else:
            self._listener.amended(order_id, us, qty)

    def amend_failed(self, order_id: int, us: int, code: int, message: str) -> None:
        """Handle a failed amendment."""
        if self._listener is None:
            self._held.append(("amend_failed", (order_id, us, code, message)))
        else:
            self._listener.amend_failed(order_id, us, code, message)

    def balances(self, free: Mapping[str, str], locked: Mapping[str, str]) -> None:
        """Handle the balances."""
        self.last_balances = (dict(free), dict(locked))
        if self._listener is None:
            self._held.append(("balances", (free, locked)))
        else:
            self._listener.balances(free, locked)

    def ready_changed(self, ready: bool, why: str) -> None:
        """Handle a change of the gateway's readiness."""
        if self._listener is None:
            self._held.append(("ready_changed", (ready, why)))
        else:
            self._listener.ready_changed(ready, why)

    def ack_latency(self, action: str, seconds: float) -> None:
        """Handle the latency of a response."""
        if self._listener is not None:
            self._listener.ack_latency(action, seconds)

"""The reports of a gateway, held until there is somebody to take them.

A gateway reconciles before anything can be traded, and what it finds (balances, fills of an earlier run) decides with
what account an engine begins.
"""

from collections.abc import Mapping

from mm.live.ledger import AccountFill
from mm.live.order_reports import OrderListener


class HeldReports:
    """An `OrderListener` that passes everything on in order, once `release` gives the next one.

    Attributes:
        last_balances: Free and locked by asset, in the exchange's text; empty before the first report.
    """

    def __init__(self) -> None:
        self.last_balances: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
        self._taker: OrderListener | None = None
        self._held: list[tuple[str, tuple[object, ...]]] = []

    def release(self, taker: OrderListener) -> None:
        """Pass on what was held, and from now on everything at once."""
        while self._held:  # also what the taker causes while it takes
            name, terms = self._held.pop(0)
            getattr(taker, name)(*terms)
        self._taker = taker

    def accepted(self, order_id: int, us: int, exchange_id: int) -> None:
        """Take the acceptance of an order."""
        if self._taker is None:
            self._held.append(("accepted", (order_id, us, exchange_id)))
        else:
            self._taker.accepted(order_id, us, exchange_id)

    def rejected(self, order_id: int, us: int, code: int, message: str) -> None:
        """Take a rejection."""
        if self._taker is None:
            self._held.append(("rejected", (order_id, us, code, message)))
        else:
            self._taker.rejected(order_id, us, code, message)

    def filled(self, order_id: int, fill: AccountFill) -> None:
        """Take a fill."""
        if self._taker is None:
            self._held.append(("filled", (order_id, fill)))
        else:
            self._taker.filled(order_id, fill)

    def closed(self, order_id: int, us: int, status: str) -> None:
        """Take the end of an order."""
        if self._taker is None:
            self._held.append(("closed", (order_id, us, status)))
        else:
            self._taker.closed(order_id, us, status)

    def cancel_failed(self, order_id: int, us: int, code: int) -> None:
        """Take that a cancel came to nothing."""
        if self._taker is None:
            self._held.append(("cancel_failed", (order_id, us, code)))
        else:
            self._taker.cancel_failed(order_id, us, code)

    def amended(self, order_id: int, us: int, qty: str) -> None:
        """Take that the quantity of an order was lowered."""
        if self._taker is None:
            self._held.append(("amended", (order_id, us, qty)))
        else:
            self._taker.amended(order_id, us, qty)

    def amend_failed(self, order_id: int, us: int, code: int, message: str) -> None:
        """Take that an amendment came to nothing."""
        if self._taker is None:
            self._held.append(("amend_failed", (order_id, us, code, message)))
        else:
            self._taker.amend_failed(order_id, us, code, message)

    def balances(self, free: Mapping[str, str], locked: Mapping[str, str]) -> None:
        """Take the balances."""
        self.last_balances = (dict(free), dict(locked))
        if self._taker is None:
            self._held.append(("balances", (free, locked)))
        else:
            self._taker.balances(free, locked)

    def ready_changed(self, ready: bool, why: str) -> None:
        """Take that orders can be sent, or not any more."""
        if self._taker is None:
            self._held.append(("ready_changed", (ready, why)))
        else:
            self._taker.ready_changed(ready, why)

    def ack_latency(self, action: str, seconds: float) -> None:
        """Take how long an answer took."""
        if self._taker is not None:
            self._taker.ack_latency(action, seconds)

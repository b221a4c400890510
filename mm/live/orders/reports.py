"""Reports of order events and transfers: booked, then as a row of the audit log, then to the listener."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from mm.instrument import decimal_text
from mm.live.account.account_check import AccountCheck
from mm.live.account.fee_values import FeeValues
from mm.live.audit.books import VENUE_RESET
from mm.live.audit.log import AuditLog
from mm.live.orders.order_steps import (
    EARLIER,
    Accepted,
    Amended,
    AmendFailed,
    Booked,
    CancelFailed,
    Closed,
    InBook,
    OrderReport,
    Rejected,
)
from mm.live.venues.balances import Balances, Transfer
from mm.live.venues.fills import AccountFill
from mm.live.venues.positions import MarginSeen, PositionIncome, PositionSeen, RuleSeen
from mm.live.venues.refusals import Refusal

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger


class OrderListener:
    """The reports of a gateway, in order; *order_id* is the caller's, `EARLIER` for an order of an earlier run."""

    def accepted(self, order_id: int, us: int, exchange_id: int) -> None: ...

    def in_book(self, order_id: int, exchange_us: int, left_e8: int) -> None:
        """The book has *left_e8* from *exchange_us* on; reports may come twice."""

    def rejected(self, order_id: int, us: int, side: int, refusal: Refusal) -> None: ...

    def paused(self, side: int, seconds: float) -> None:
        """No order of *side* is to be sent for a time: the last one would be refused again."""

    def filled(self, order_id: int, fill: AccountFill) -> None: ...

    def closed(self, order_id: int, us: int, status: str) -> None:
        """Unfilled or partly filled: CANCELED or EXPIRED."""

    def cancel_failed(self, order_id: int, us: int, code: int) -> None: ...

    def amended(self, order_id: int, us: int, qty: str, price: str = "", exchange_us: int = 0) -> None:
        """An order has the total quantity *qty*; if this is filled already, it has ended. With a *price* it was moved
        there, at *exchange_us* by the exchange's clock.
        """

    def amend_failed(self, order_id: int, us: int, refusal: Refusal) -> None: ...

    def transferred(self, found: Transfer) -> None: ...

    def paid(self, found: PositionIncome) -> None: ...

    def position(self, found: PositionSeen) -> None: ...

    def margin(self, found: MarginSeen) -> None: ...

    def margin_called(self, us: int) -> None:
        """The exchange has told at *us* that the margin of the position is low."""

    def forced(self, what: str) -> None:
        """The exchange has closed a part of the position by an order of its own: *what* it has done."""

    def countdown(self, until_us: int) -> None:
        """The exchange cancels all orders of the symbol at *until_us*, unless it is asked again; 0: not any more."""

    def reduce_only(self, *, on: bool) -> None:
        """The exchange takes only orders that reduce the position, or others again."""

    def trading_rules(self, found: Sequence[RuleSeen]) -> None:
        """How near the account's orders are to break the exchange's trading rules."""

    def protective_stop(self, trigger_e8: int | None) -> None:
        """The trigger price, 1e-8, of the stop that rests for the position; 0: none rests; None: none is needed."""

    def balances(self, held: Balances) -> None: ...

    def fee_rates(self, maker_e8: int, taker_e8: int) -> None:
        """The account's commission rates, in 1e-8 of the notional, at first and after each change."""

    def caught_up(self) -> bool:
        return True

    def untraded(self) -> None:
        """The exchange has refused an order, and says that the symbol does not trade now."""

    def funds(self, base_e8: int, quote_e8: int) -> None:
        """What the balances leave to the orders of the symbol, those that are open included; in 1e-8."""

    def ready_changed(self, ready: bool, why: str) -> None: ...

    def ack_latency(self, action: str, seconds: float) -> None: ...


POSITION_ROW_S = 60.0
"""Time between two rows of a position that only moves with its mark price, in s."""
_MOVING = {"mark_e8": 0, "unrealized_e8": 0, "liquidation_e8": 0, "maintenance_e8": 0, "initial_e8": 0, "us": 0}
Report = Callable[[OrderListener], None]


class OrderReports:
    """Writes and forwards reports, in order; until there is a listener they are held.

    A gateway reconciles before trading starts, and its findings determine the initial account of an engine.
    """

    def __init__(
        self,
        audit: AuditLog,
        fees: FeeValues,
        account: AccountCheck | None = None,
        log: "Logger | None" = None,
    ) -> None:
        self._audit, self._fees, self._account, self._log = audit, fees, account, log
        if account is not None:
            account.booked, account.paid = self._transferred, self._paid
        self._listener: OrderListener | None = None
        self._position, self._again_s = PositionSeen(), 0.0  # as last written, and when it is written again
        self._held: list[Report] = []

    def attach(self, listener: OrderListener) -> None:
        while self._held:  # including reports that the listener causes meanwhile
            self._held.pop(0)(listener)
        self._listener = listener

    def caught_up(self) -> bool:
        return self._listener is None or self._listener.caught_up()

    def tell(self, report: Report) -> None:
        if self._listener is None:
            self._held.append(report)
        else:
            report(self._listener)

    def report(self, step: OrderReport) -> None:
        if isinstance(step, Booked):
            fill, order_id = self._fees.valued(step.fill), step.order_id
            self._audit.append("fill", **fill.row())
            if self._account:
                self._account.filled(fill, order_id)
            self.tell(lambda listener: listener.filled(order_id, fill))
            return
        if isinstance(step, InBook):
            own_id, since_us, left_e8 = step.order.order_id, step.exchange_us, step.left_e8
            if own_id != EARLIER:
                self.tell(lambda listener: listener.in_book(own_id, since_us, left_e8))
            return
        report = self._write(step)
        if step.order.order_id != EARLIER:
            self.tell(report)

    def position(self, found: PositionSeen) -> None:
        """Tell the position as the exchange shows it now, once it has changed or is old."""
        before, now_s = self._position, monotonic()
        if found._replace(**_MOVING) != before._replace(**_MOVING) or (found.qty_e8 and now_s >= self._again_s):
            self._position, self._again_s = found, now_s + POSITION_ROW_S
            self._audit.append("position", **found.row(), **({"us": found.us} if found.us else {}))
        self.tell(lambda listener: listener.position(found))

    def forget_trades(self, why: str) -> None:
        closed = self._account.forget_trades() if self._account else {}
        self._audit.append("adopt", what=VENUE_RESET, why=why, **closed)
        if self._log:
            note = "its trades count from now on; position and PnL stay"
            if closed:
                note = "its trades count from now on; the position went with it, and is booked as closed at its entry"
            self._log.warning("venue_reset_adopted", why=why, note=note, **closed)

    def _transferred(self, found: Transfer) -> None:
        shown = {"asset": found.asset, "amount": decimal_text(found.amount_e8), "source": found.source}
        self._audit.append("transfer", **shown, **({"us": found.us} if found.us else {}))
        if self._log:
            self._log.warning("account_transfer", **shown)
        self.tell(lambda listener: listener.transferred(found))

    def _paid(self, found: PositionIncome) -> None:
        shown = {"asset": found.asset, "amount": decimal_text(found.amount_e8), "kind": found.kind}
        self._audit.append("payment", id=found.id, **shown, us=found.us)
        if self._log:
            self._log.info("account_payment", **shown, at_us=found.us)
        self.tell(lambda listener: listener.paid(found))

    def _write(self, step: Accepted | Rejected | Closed | CancelFailed | Amended | AmendFailed) -> Report:
        order, own_id, us = step.order, step.order.order_id, step.us
        client = {"client_id": order.client_id}
        both = client | {"order_id": order.exchange_id}
        both |= {"exchange_us": order.exchange_us} if order.exchange_us else {}
        match step:
            case Accepted():
                exchange_id = order.exchange_id
                self._audit.append("ack", action="place", **both)
                return lambda listener: listener.accepted(own_id, us, exchange_id)
            case Rejected(refusal=refusal):
                self._audit.append("reject", action="place", **client, code=refusal.code, message=refusal.message)
                return lambda listener: listener.rejected(own_id, us, order.side, refusal)
            case Closed(status=status):
                self._audit.append("cancel", **both, status=status, filled=decimal_text(order.booked_e8))
                return lambda listener: listener.closed(own_id, us, status)
            case CancelFailed(code=code):
                self._audit.append("reject", action="cancel", **client, code=code, message="")
                return lambda listener: listener.cancel_failed(own_id, us, code)
            case Amended(qty=qty, price=price):
                self._audit.append("ack", action="amend", **both, qty=qty, **({"price": price} if price else {}))
                since_us = order.exchange_us
                return lambda listener: listener.amended(own_id, us, qty, price, since_us)
            case AmendFailed(refusal=refusal):
                self._audit.append("reject", action="amend", **client, code=refusal.code, message=refusal.message)
                return lambda listener: listener.amend_failed(own_id, us, refusal)

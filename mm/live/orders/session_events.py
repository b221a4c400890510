"""What the session of an account tells a gateway: events of the user's stream, and the state of the connection."""

from mm.instrument import short_text
from mm.live.orders.order_steps import EARLIER
from mm.live.orders.parts import GatewayParts
from mm.live.orders.queries import forced_id
from mm.live.orders.reconciliation import Reconciliation
from mm.live.orders.symbol_orders import SymbolOrders
from mm.live.venues.canceller import is_ours
from mm.live.venues.fills import SIDE_NAMES
from mm.live.venues.live_orders import LiveOrder, OrderState
from mm.live.venues.positions import MarginCalled, StopSeen
from mm.live.venues.venue import OrderEvent


class SessionEvents:
    """The member of an `AccountSession` for the orders of one symbol."""

    def __init__(self, parts: GatewayParts, orders: SymbolOrders, reconciliation: Reconciliation) -> None:
        self.symbol, self.check = parts.run.symbol, parts.run.account
        self._session, self._audit, self._log = parts.session, parts.audit, parts.log
        self._states, self._others, self._reports = parts.states, parts.others, parts.reports
        self._fees, self._contract, self._readiness = parts.fees, parts.contract, parts.readiness
        self._orders, self._queries = orders, orders.queries
        self.review, self.task_failed = parts.readiness.review, parts.readiness.fail
        self.balances_changed = reconciliation.report_balances

    def connected(self) -> None:
        self._log.info("gateway_connected", connections=self._session.connections)
        self._queries.due.set()

    def disconnected(self, why: str) -> None:
        self._log.warning("gateway_disconnected", why=why)
        self._readiness.reconciled = 0
        self._queries.payments_due, self._queries.recognised = True, False
        if self.check:
            self.check.disconnected()
        self.review()
        self._queries.due.set()

    def events_lost(self, kind: str, why: str) -> None:
        self._log.warning("event_unreadable", kind=kind, why=why)
        self._queries.due.set()

    def payments_due(self, us: int) -> None:
        self._queries.announce_payment(us)
        self._queries.due.set()

    def margin_called(self, found: MarginCalled) -> None:
        self._log.error("margin_call", symbols=", ".join(found.symbols), at_us=found.us)
        self._audit.append("breach", limit="MARGIN_CALL", message=f"the exchange's margin call of {found.us} µs")
        self._reports.tell(lambda listener: listener.margin_called(found.us))
        if self._contract:
            self._contract.margin_called()

    def setup_changed(self) -> None:
        if self._contract:
            self._contract.setup_due = True
            self._queries.due.set()

    def stop_event(self, found: StopSeen) -> None:
        if self._contract and self._contract.stop:
            self._contract.stop.heard(found)
            if found.order_id:
                self._queries.due.set()

    def order_event(self, found: OrderEvent, us: int) -> None:
        by_client, (own_id, other_id) = self._states.by_client, found.client_ids
        order = by_client.get(own_id) or by_client.get(other_id) or self._states.of_exchange(found.exchange_id)
        if order is None and not self._others.has_written(own_id):
            stopped = self._contract is not None and found.exchange_id in self._contract.sent_ids
            what = found.forced or ("protective stop" if stopped else "")
            order = self._forced(found, what) if what else None
        if order is None:
            seen = found.seen(own_id, us)
            new = seen.state is OrderState.LIVE and not seen.executed_e8
            if self._others.sees_event(own_id, seen.exchange_us, new=new):
                self.review()
            elif is_ours(own_id):
                self._queries.due.set()
            return
        self._states.seen(found.seen(order.client_id, us), found.fill(order.client_id))
        self._orders.act()
        if self._fees.asks:
            self._queries.due.set()  # the reconcile reads the price

    def _forced(self, found: OrderEvent, what: str) -> LiveOrder:
        """An order by which the exchange closes our position."""
        own_id = forced_id(found.client_ids[0], found.exchange_id)
        side, qty = found.side, short_text(found.seen(own_id, 0).qty_e8)
        order = LiveOrder(EARLIER, own_id, side, "", qty, "IOC", exchange_id=found.exchange_id)
        self._states.add_forced(order)
        self._log.error("position_forced", what=what, side=SIDE_NAMES[side], qty=qty)
        self._audit.append("breach", limit="FORCED", message=f"{what} of {qty} by {own_id}")
        self._reports.tell(lambda listener: listener.forced(what))
        return order

"""The orders and trades of users, as they ask for them: by id, by name, open or of the past."""

from base64 import b32encode
from collections.abc import Iterable
from hashlib import blake2b

from mm.sim.exchange.order import Execution, Fill, Order, PreventedMatch

_KEEP = 100_000


class UserOrders:
    """Remembers every open order, and the latest of those that ended.

    Args:
        numbers: Of the accounts.
        keep: Orders and trades of an account that are kept at least.

    Attributes:
        by_id: All orders by the core's id.
    """

    def __init__(self, numbers: Iterable[int], keep: int = _KEEP) -> None:
        self.by_id: dict[int, Order] = {}
        self._keep = keep
        self._names = 0
        self._own: dict[int, dict[int, Order]] = {number: {} for number in numbers}
        self._open: dict[int, dict[int, Order]] = {number: {} for number in self._own}
        self._named: dict[tuple[int, str], Order] = {}
        self._fills: dict[int, list[Fill]] = {number: [] for number in self._own}
        self._prevented: dict[int, dict[int, PreventedMatch]] = {number: {} for number in self._own}

    def new_name(self) -> str:
        """Return a name for an order or a request that has none."""
        self._names += 1
        return b32encode(blake2b(self._names.to_bytes(8, "big"), digest_size=14).digest()).decode()[:22]

    def add(self, order: Order) -> None:
        """Remember an order that the core accepted."""
        own = self._own[order.account]
        self.by_id[order.order_id] = own[order.order_id] = order
        self._open[order.account][order.order_id] = order
        self._named[order.account, order.client_id] = order
        if len(own) > 2 * self._keep:
            self._forget(own)

    def rename(self, order: Order, old_client_id: str) -> None:
        """Find an order by its new name from now on."""
        if self._named.get((order.account, old_client_id)) is order:
            del self._named[order.account, old_client_id]
        self._named[order.account, order.client_id] = order

    def note(self, number: int, execution: Execution) -> None:
        """Remember the trade, or the prevented one, of an execution."""
        if execution.fill:
            fills = self._fills[number]
            fills.append(execution.fill)
            if len(fills) > 2 * self._keep:
                del fills[: self._keep]
        if execution.prevented:
            prevented = self._prevented[number]
            prevented[execution.prevented.match_id] = execution.prevented
            if len(prevented) > 2 * self._keep:
                self._prevented[number] = dict(list(prevented.items())[self._keep :])

    def open(self, number: int) -> list[Order]:
        """Return an account's open orders, oldest first."""
        orders = self._open[number]
        for order_id in [order_id for order_id, order in orders.items() if not order.is_open]:
            del orders[order_id]
        return list(orders.values())

    def all(self, number: int) -> list[Order]:
        """Return an account's orders, oldest first."""
        return list(self._own[number].values())

    def fills(self, number: int) -> list[Fill]:
        """Return an account's trades, oldest first."""
        return self._fills[number]

    def prevented(self, number: int) -> list[PreventedMatch]:
        """Return an account's trades with itself that did not happen, oldest first."""
        return list(self._prevented[number].values())

    def find(self, number: int, order_id: int | None, client_id: str) -> tuple[Order | None, bool]:
        """Return the order of an account that an id, a name or both mean, and whether the two agree."""
        if order_id is None:
            return self._named.get((number, client_id)), True
        order = self._own[number].get(order_id)
        return order, order is None or not client_id or order.client_id == client_id

    def _forget(self, own: dict[int, Order]) -> None:
        for order in [order for order in list(own.values())[: self._keep] if not order.is_open]:
            del own[order.order_id], self.by_id[order.order_id]
            if self._named.get((order.account, order.client_id)) is order:
                del self._named[order.account, order.client_id]

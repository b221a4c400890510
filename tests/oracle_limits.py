"""The oracle's record of sent and rejected orders, by docs/specification/engine.md: rate limits, refused prices."""

from collections.abc import Callable

from mm import Rules
from oracle_market import Order

SPANS_US = {"order_limit_10s": 10_000_000, "order_limit_day": 86_400_000_000}


class OrderCount:
    """The count of orders sent and credited back, recomputed each time."""

    def __init__(self, rules: Rules) -> None:
        self.limits = {"order_limit_10s": rules.orders_per_10s, "order_limit_day": rules.orders_per_day}
        self.changes: list[tuple[int, int]] = []

    def sent(self, us: int) -> None:
        self.changes.append((us, 1))

    def filled(self, us: int, maker: bool) -> None:
        """Credit orders back for the first fill of an order."""
        self.changes.append((us, -5 if maker else -1))

    def reached(self, us: int) -> str:
        """Return the limit that forbids one more order now, or an empty text."""
        return next((name for name, most in self.limits.items() if most and self.within(name, us) >= most), "")

    def within(self, name: str, us: int) -> int:
        count, span_us = 0, SPANS_US[name]
        for at, change in self.changes:
            if at // span_us == us // span_us:
                count = max(count + change, 0)
        return count


class Refused:
    """The last order per side that was rejected for its price, and the best prices since then."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[Order, str, list[tuple[int, int]]]] = {}
        self.by_own: set[int] = set()  # sides whose order would have met one of ours

    def note(self, order: Order, reason: str, by_own: bool) -> None:
        if reason in ("would_cross", "price_out_of_band"):
            self.orders[order.side] = order, reason, []
            self.by_own = self.by_own - {order.side} | ({order.side} if by_own and reason == "would_cross" else set())

    def look(self, touch: tuple[int, int], meets_own: Callable[[Order], bool]) -> None:
        """Record the best prices; drop rejections from before they changed, or whose order of ours has ended."""
        for side, (order, _, touches) in list(self.orders.items()):
            if side in self.by_own:
                if not meets_own(order):
                    del self.orders[side]
                continue
            touches.append(touch)
            if touch != touches[0]:
                del self.orders[side]

    def again(self, order: Order) -> bool:
        """Return whether an order has the rejected price, or crosses further than an order that crossed."""
        if order.manual or order.side not in self.orders:
            return False
        before, reason, _ = self.orders[order.side]
        further = reason == "would_cross" and order.side * (order.ticks - before.ticks) > 0
        return order.kind == before.kind and (order.ticks == before.ticks or further)

"""How many orders an account may send that do not trade."""

from dataclasses import dataclass, field
from typing import Any

from mm.clock import US_PER_S
from mm.sim.exchange.api_error import TOO_MANY, ApiError

_MAKER_CREDIT = 5
_NAMES = {US_PER_S: ("SECOND", "S"), 86_400 * US_PER_S: ("DAY", "D")}


@dataclass(frozen=True, slots=True)
class OrderLimit:
    """Orders per interval.

    Attributes:
        unit_us: A second or a day.
        number: How many of them make the interval, which begins at a multiple of itself.
        limit: Most orders.
    """

    unit_us: int
    number: int
    limit: int

    @property
    def span_us(self) -> int:
        """Return the length of the interval."""
        return self.unit_us * self.number

    @property
    def header(self) -> str:
        """Return the name of the header that carries the count."""
        return f"X-MBX-ORDER-COUNT-{self.number}{_NAMES[self.unit_us][1]}"

    def entry(self) -> dict[str, Any]:
        """Return the limit as exchangeInfo lists it."""
        return {
            "rateLimitType": "ORDERS",
            "interval": _NAMES[self.unit_us][0],
            "intervalNum": self.number,
            "limit": self.limit,
        }

    def exceeded(self, us: int) -> ApiError:
        """Return the error of an order too many."""
        name = _NAMES[self.unit_us][0]
        return ApiError(
            -1015,
            f"Too many new orders; current limit is {self.limit} orders per {self.number} {name}.",
            TOO_MANY,
            retry_us=us - us % self.span_us + self.span_us,
        )


ORDER_LIMITS = (OrderLimit(US_PER_S, 10, 100), OrderLimit(86_400 * US_PER_S, 1, 200_000))


@dataclass(slots=True)
class OrderCount:
    """Orders of one account in the running intervals; an order that trades is given back."""

    _began_us: list[int] = field(default_factory=lambda: [0] * len(ORDER_LIMITS))
    _counts: list[int] = field(default_factory=lambda: [0] * len(ORDER_LIMITS))

    def counts(self, us: int) -> list[int]:
        """Return the orders of each interval that runs at *us*."""
        for at, limit in enumerate(ORDER_LIMITS):
            began_us = us - us % limit.span_us
            if began_us != self._began_us[at]:
                self._began_us[at], self._counts[at] = began_us, 0
        return self._counts

    def exceeded(self, us: int) -> ApiError | None:
        """Return the error of one more order, None where it is allowed."""
        for limit, count in zip(ORDER_LIMITS, self.counts(us), strict=True):
            if count >= limit.limit:
                return limit.exceeded(us)
        return None

    def add(self, us: int) -> None:
        """Count an order."""
        self._counts = [count + 1 for count in self.counts(us)]

    def filled(self, us: int, is_maker: bool) -> None:
        """Give orders back for the first trade of one: five if it rested, else one."""
        credit = _MAKER_CREDIT if is_maker else 1
        self._counts = [max(0, count - credit) for count in self.counts(us)]

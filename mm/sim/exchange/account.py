"""One user's money: free and locked balances of the two assets, exact."""

from dataclasses import dataclass, field

from mm.sim.exchange.order_count import OrderCount


@dataclass(slots=True)
class Balance:
    """What an account has of one asset, in 1e-8 of it.

    Attributes:
        free: Not bound by an order.
        locked: Bound by open orders.
    """

    free: int = 0
    locked: int = 0

    @property
    def total(self) -> int:
        """Return free and locked together."""
        return self.free + self.locked

    def lock(self, amount: int) -> None:
        """Bind *amount* to an order; it was checked to be free."""
        self.free -= amount
        self.locked += amount

    def unlock(self, amount: int) -> None:
        """Set *amount* free again."""
        self.lock(-amount)


@dataclass(slots=True)
class Account:
    """One user of the exchange.

    Attributes:
        number: Below `core.MARKET_ACCOUNT`.
        name: For the ready line.
        base: Balance of the base asset.
        quote: Balance of the quote asset.
        count: Orders that it sent and that did not trade.
        updated_us: Instant of the last change, µs.
    """

    number: int
    name: str
    base: Balance = field(default_factory=Balance)
    quote: Balance = field(default_factory=Balance)
    count: OrderCount = field(default_factory=OrderCount)
    updated_us: int = 0

    def pays_with(self, side: int) -> Balance:
        """Return the balance that an order of *side* spends: the quote asset of a buyer (+1)."""
        return self.quote if side > 0 else self.base

    def receives(self, side: int) -> Balance:
        """Return the balance that an order of *side* earns: the base asset of a buyer (+1)."""
        return self.base if side > 0 else self.quote

    def check(self) -> None:
        """Raise AssertionError where a balance is negative: an order spent what its account did not have."""
        for balance in (self.base, self.quote):
            assert balance.free >= 0 <= balance.locked, self

"""The users of the exchange: their money, exact, and how many orders they may send that do not trade."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from mm.clock import US_PER_S
from mm.instrument import E8, Instrument
from mm.sim.exchange.api_error import TOO_MANY, ApiError
from mm.sim.exchange.keys import ApiKey

_MAKER_CREDIT = 5
_UNIT_NAMES = {US_PER_S: ("SECOND", "S"), 86_400 * US_PER_S: ("DAY", "D")}
BASE_FUNDS_E8, QUOTE_FUNDS_E8 = 10**3 * E8, 10**6 * E8
_USER_NAMES = ("alice", "bob")
_QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR")
_LETTERS = 3


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
        return f"X-MBX-ORDER-COUNT-{self.number}{_UNIT_NAMES[self.unit_us][1]}"

    def entry(self) -> dict[str, Any]:
        """Return the limit as exchangeInfo lists it."""
        return {
            "rateLimitType": "ORDERS",
            "interval": _UNIT_NAMES[self.unit_us][0],
            "intervalNum": self.number,
            "limit": self.limit,
        }

    def exceeded(self, us: int) -> ApiError:
        """Return the error of an order too many."""
        name = _UNIT_NAMES[self.unit_us][0]
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
class UserAccount:
    """One user of the exchange.

    Attributes:
        number: Below 1000: from there on accounts are the market's.
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


def two_users() -> list[UserAccount]:
    """Return two accounts, numbered from 1, each with 10⁶ of the quote asset and 10³ of the base asset."""
    return [
        UserAccount(number, name, Balance(BASE_FUNDS_E8), Balance(QUOTE_FUNDS_E8))
        for number, name in enumerate(_USER_NAMES, start=1)
    ]


def with_assets(instrument: Instrument) -> Instrument:
    """Return *instrument* with names of its assets: its own, else what its symbol ends with is the quote asset."""
    if instrument.base_asset and instrument.quote_asset:
        return instrument
    symbol = instrument.symbol
    quote = next((one for one in _QUOTES if symbol.endswith(one) and symbol != one), symbol[-_LETTERS:])
    return replace(instrument, base_asset=symbol.removesuffix(quote) or symbol, quote_asset=quote)


def described(accounts: Iterable[UserAccount], keys: Iterable[ApiKey]) -> list[dict[str, Any]]:
    """Return of each account what its user needs in order to sign, as the ready line shows it."""
    by_account = {key.account: key for key in keys}
    return [
        {
            "name": account.name,
            "api_key": by_account[account.number].key,
            "secret": by_account[account.number].secret,
            "ed25519_private_key": by_account[account.number].private_pem,
        }
        for account in accounts
    ]

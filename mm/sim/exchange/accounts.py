"""The exchange's users: exact balances, and limits on their unfilled orders."""

from dataclasses import dataclass, field, replace
from typing import Any

from mm.clock import US_PER_S
from mm.instrument import E8, Instrument, assets_of
from mm.sim.exchange.api_error import TOO_MANY, ApiError

MINUTE_US = 60 * US_PER_S
DAY_US = 1_440 * MINUTE_US
_UNITS_US = {"SECOND": US_PER_S, "MINUTE": MINUTE_US, "DAY": DAY_US}
_MAKER_CREDIT = 5
BASE_FUNDS_E8, QUOTE_FUNDS_E8 = 10**3 * E8, 10**6 * E8
USER_NAMES = ("alice", "bob")
_LETTERS = 3


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit of *limit* events of *kind* in each span of *number* units, which begins at a multiple of its length."""

    kind: str
    interval: str
    number: int
    limit: int

    @property
    def span_us(self) -> int:
        return _UNITS_US[self.interval] * self.number

    def end_us(self, us: int) -> int:
        return us - us % self.span_us + self.span_us

    def entry(self) -> dict[str, Any]:
        return {
            "rateLimitType": self.kind,
            "interval": self.interval,
            "intervalNum": self.number,
            "limit": self.limit,
        }


ORDER_LIMITS = (RateLimit("ORDERS", "SECOND", 10, 100), RateLimit("ORDERS", "DAY", 1, 200_000))


@dataclass(slots=True)
class OrderCount:
    limits: tuple[RateLimit, ...] = ORDER_LIMITS
    unfilled: bool = True
    _ends_us: list[int] = field(init=False)
    _counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._ends_us, self._counts = [0] * len(self.limits), [0] * len(self.limits)

    def counts(self, us: int) -> list[int]:
        for at, limit in enumerate(self.limits):
            if us >= self._ends_us[at]:
                self._ends_us[at], self._counts[at] = limit.end_us(us), 0
        return self._counts

    def entries(self, us: int) -> list[dict[str, Any]]:
        return [limit.entry() | {"count": count} for limit, count in zip(self.limits, self.counts(us), strict=True)]

    def headers(self, us: int) -> dict[str, str]:
        return {
            f"X-MBX-ORDER-COUNT-{limit.number}{limit.interval[0]}": str(count)
            for limit, count in zip(self.limits, self.counts(us), strict=True)
        }

    def exceeded(self, us: int) -> ApiError | None:
        for limit, count in zip(self.limits, self.counts(us), strict=True):
            if count >= limit.limit:
                text = f"current limit is {limit.limit} orders per {limit.number} {limit.interval}."
                return ApiError(-1015, f"Too many new orders; {text}", TOO_MANY, retry_us=limit.end_us(us))
        return None

    def add(self, us: int) -> None:
        self._counts = [count + 1 for count in self.counts(us)]

    def filled(self, us: int, is_maker: bool) -> None:
        """Give credit at the first trade of an order: five if it rested, else one."""
        if not self.unfilled:
            return
        credit = _MAKER_CREDIT if is_maker else 1
        self._counts = [max(0, count - credit) for count in self.counts(us)]


@dataclass(slots=True)
class Balance:
    free: int = 0
    locked: int = 0

    def lock(self, amount: int) -> None:
        self.free -= amount
        self.locked += amount


@dataclass(slots=True)
class UserAccount:
    number: int
    name: str
    base: Balance = field(default_factory=Balance)
    quote: Balance = field(default_factory=Balance)
    count: OrderCount = field(default_factory=OrderCount)
    updates: list[int] = field(default_factory=lambda: [0])
    others: dict[str, Balance] = field(default_factory=dict)

    def beside(self, instrument: Instrument) -> "UserAccount":
        """Return the account at a further symbol: the same quote asset and order counts, and funds of its base."""
        base = self.others[instrument.base_asset] = Balance(BASE_FUNDS_E8)
        return UserAccount(self.number, self.name, base, self.quote, self.count, self.updates)

    @property
    def updated_us(self) -> int:
        return self.updates[-1]

    def updated(self, us: int) -> None:
        self.updates[-1] = us

    def pays_with(self, side: int) -> Balance:
        return self.quote if side > 0 else self.base

    def receives(self, side: int) -> Balance:
        return self.pays_with(-side)

    def check(self) -> None:
        for balance in (self.base, self.quote):
            assert balance.free >= 0 <= balance.locked, self


def two_users() -> list[UserAccount]:
    return [
        UserAccount(number, name, Balance(BASE_FUNDS_E8), Balance(QUOTE_FUNDS_E8))
        for number, name in enumerate(USER_NAMES, start=1)
    ]


def with_assets(instrument: Instrument) -> Instrument:
    """Derive missing asset names from the symbol, which ends in the quote asset."""
    if instrument.base_asset and instrument.quote_asset:
        return instrument
    symbol = instrument.symbol
    quote = assets_of(symbol)[1] or symbol[-_LETTERS:]
    return replace(instrument, base_asset=symbol.removesuffix(quote) or symbol, quote_asset=quote)

"""Terms of all contracts, and the insurance fund that they share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mm.clock import US_PER_S
from mm.instrument import E8

FIRST_FUND_E8 = 1_000_000 * E8


class FundRow(NamedTuple):
    us: int
    symbol: str
    amount_e8: int
    why: str


@dataclass(slots=True)
class Fund:
    balance_e8: int = FIRST_FUND_E8
    rows: list[FundRow] = field(default_factory=list)

    def book(self, us: int, symbol: str, amount_e8: int, why: str) -> None:
        if amount_e8:
            self.balance_e8 += amount_e8
            self.rows.append(FundRow(us, symbol, amount_e8, why))


@dataclass(kw_only=True)
class UsdmTerms:
    """Terms of all contracts; funding is paid at multiples of *interval_us* since midnight UTC.

    Attributes:
        waits: Of each contract, what returns the conditional orders of an account.
    """

    rate_e8: int = 10_000
    interval_us: int = 8 * 3_600 * US_PER_S
    fund: Fund = field(default_factory=Fund)
    algo_ids: int = 0
    waits: list[Callable[[int], Sequence[object]]] = field(default_factory=list)

"""Accounts of contracts: a wallet for all of them, and the position in each."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mm.instrument import Instrument
from mm.margin.wallet import Contract, Wallet
from mm.sim.exchange.accounts import OrderCount, RateLimit, UserAccount

ORDER_LIMITS = (RateLimit("ORDERS", "SECOND", 10, 300), RateLimit("ORDERS", "MINUTE", 1, 1_200))


@dataclass(slots=True)
class FuturesAccount(UserAccount):
    """One user of USD-M; *wallet* is for all contracts, *contract* is the position in the exchange's own."""

    wallet: Wallet = field(default_factory=lambda: Wallet(0))
    contract: Contract = field(init=False)

    def beside(self, instrument: Instrument) -> "FuturesAccount":  # noqa: ARG002 - the funds are the same
        account = replace(self, count=self.count, updates=self.updates)
        account.others = self.others
        return account

    def check(self) -> None:
        assert self.contract.lots or not (self.contract.cost_e8 or self.contract.wallet_e8), self


def futures_users(names: Sequence[str], balance_e8: int) -> list[FuturesAccount]:
    return [
        FuturesAccount(number, name, count=OrderCount(ORDER_LIMITS, unfilled=False), wallet=Wallet(balance_e8))
        for number, name in enumerate(names, start=1)
    ]

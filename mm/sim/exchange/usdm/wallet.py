"""Accounts of contracts: a wallet for all of them, and the positions in each."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mm.instrument import Instrument
from mm.margin.wallet import BOTH, LONG, SHORT, Contract, Wallet
from mm.sim.exchange.accounts import OrderCount, RateLimit, UserAccount

ORDER_LIMITS = (RateLimit("ORDERS", "SECOND", 10, 300), RateLimit("ORDERS", "MINUTE", 1, 1_200))


@dataclass(slots=True)
class FuturesAccount(UserAccount):
    """One user of USD-M.

    Attributes:
        wallet: For all contracts.
        contracts: The positions in the exchange's own contract, by their side.
    """

    wallet: Wallet = field(default_factory=lambda: Wallet(0))
    contracts: dict[str, Contract] = field(default_factory=dict)

    @property
    def contract(self) -> Contract:
        """The position of one-way mode."""
        return self.contracts[BOTH]

    @property
    def held(self) -> list[Contract]:
        """The position of one-way mode, or both of hedge mode."""
        return [one for one in self.contracts.values() if (one.position_side != BOTH) is self.wallet.hedged]

    def beside(self, instrument: Instrument) -> "FuturesAccount":  # noqa: ARG002 - the funds are the same
        account = replace(self, count=self.count, updates=self.updates, contracts={})
        account.others = self.others
        return account

    def check(self) -> None:
        for side, contract in self.contracts.items():
            assert contract.lots or not (contract.cost_e8 or contract.wallet_e8), self
            assert contract.lots * {LONG: 1, SHORT: -1}.get(side, contract.lots) >= 0, self


def futures_users(names: Sequence[str], balance_e8: int) -> list[FuturesAccount]:
    return [
        FuturesAccount(number, name, count=OrderCount(ORDER_LIMITS, unfilled=False), wallet=Wallet(balance_e8))
        for number, name in enumerate(names, start=1)
    ]

"""The account at one exchange: what its symbols in this process share beside the limits over all accounts."""

from collections.abc import Sequence
from dataclasses import dataclass

from mm.live.account.account_check import SharedBalances
from mm.live.account.session import AccountSession
from mm.live.knobs import VenueUrls
from mm.live.venues.keys import Credentials


@dataclass(frozen=True)
class ExchangeAccount:
    """The account at one exchange."""

    market: str
    urls: VenueUrls
    credentials: Credentials
    session: AccountSession
    symbols: Sequence[str]
    balances: SharedBalances

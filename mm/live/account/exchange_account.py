"""What the symbols of an exchange's account share in this process, beside the limits over all accounts."""

from collections.abc import Sequence
from dataclasses import dataclass

from mm.live.account.account_check import SharedBalances
from mm.live.account.session import AccountSession
from mm.live.knobs import VenueUrls
from mm.live.venues.keys import Credentials


@dataclass(frozen=True)
class ExchangeAccount:
    market: str
    urls: VenueUrls
    credentials: Credentials
    session: AccountSession
    symbols: Sequence[str]
    balances: SharedBalances

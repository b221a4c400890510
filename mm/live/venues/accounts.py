"""The accounts of exchanges, by the name of their market in ``MARKET``."""

from mm.base.markets import SPOT
from mm.live.venues.binance_spot import SpotAccount
from mm.live.venues.binance_usdm import UsdmAccount
from mm.live.venues.venue import AccountVenue


def account_of(market: str) -> AccountVenue:
    return SpotAccount() if market == SPOT else UsdmAccount()

"""The accounts of exchanges, by the name of their market in ``MARKET``."""

from mm.errors import UsageError
from mm.live.venues.venue import AccountVenue
from mm.markets.market import load
from mm.markets.registry import MARKETS


def account_of(name: str) -> AccountVenue:
    """Raises UsageError for a market without orders."""
    market = MARKETS[name]
    if market.account_at is None:
        traded = ", ".join(known for known in MARKETS if MARKETS[known].account_at)
        raise UsageError("{market} {}: {} is recorded and played only; trade {}", name, market.title, traded)
    account: AccountVenue = load(market.account_at)()
    return account

"""Who trades on the exchange from outside: two users with money, and the names of what they trade."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from mm.instrument import E8, Instrument
from mm.sim.exchange.account import Account, Balance
from mm.sim.exchange.keys import ApiKey

BASE_FUNDS_E8, QUOTE_FUNDS_E8 = 10**3 * E8, 10**6 * E8
_NAMES = ("alice", "bob")
_QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR")
_LETTERS = 3


def two_users() -> list[Account]:
    """Return two accounts, numbered from 1, each with 10⁶ of the quote asset and 10³ of the base asset."""
    return [
        Account(number, name, Balance(BASE_FUNDS_E8), Balance(QUOTE_FUNDS_E8))
        for number, name in enumerate(_NAMES, start=1)
    ]


def with_assets(instrument: Instrument) -> Instrument:
    """Return *instrument* with names of its assets: its own, else what its symbol ends with is the quote asset."""
    if instrument.base_asset and instrument.quote_asset:
        return instrument
    symbol = instrument.symbol
    quote = next((one for one in _QUOTES if symbol.endswith(one) and symbol != one), symbol[-_LETTERS:])
    return replace(instrument, base_asset=symbol.removesuffix(quote) or symbol, quote_asset=quote)


def described(accounts: Iterable[Account], keys: Iterable[ApiKey]) -> list[dict[str, Any]]:
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

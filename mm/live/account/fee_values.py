"""The value of commissions that the exchange takes in an asset other than base and quote, such as BNB."""

from collections.abc import Iterable
from dataclasses import replace

from mm.instrument import Instrument, e8
from mm.live.account.ledger import most_fee_e8
from mm.live.venues.balances import Balances
from mm.live.venues.fills import AccountFill
from mm.live.venues.venue import FeeRates


class FeeValues:
    """Prices of assets in which commissions are paid, and the account's commission rates.

    *paid_e8* are the maker and taker rates that apply with what the account holds.
    """

    def __init__(self, discount_asset: str = "") -> None:
        self.prices_e8: dict[str, int] = {}
        self.rates: FeeRates | None = None
        self.paid_e8: tuple[int, int] | None = None
        self._own: frozenset[str] = frozenset()
        self._quote = ""
        self._discount_asset = discount_asset
        self._assets = {discount_asset} if discount_asset else set()
        self._asked = frozenset(self._assets)

    @property
    def asks(self) -> bool:
        return not self._assets <= self._asked

    def trade(self, instrument: Instrument) -> None:
        self._own, self._quote = frozenset((instrument.base_asset, instrument.quote_asset)), instrument.quote_asset

    def update(self, rates: FeeRates, held: Balances) -> None:
        free, locked = held.get(self._discount_asset, ("0", "0"))
        self.rates, self.paid_e8 = rates, rates.paid_e8(held=e8(free) + e8(locked) > 0)

    def needed(self) -> Iterable[tuple[str, str]]:
        self._asked = frozenset(self._assets)
        return [(asset, self._quote) for asset in sorted(self._assets - self._own) if self._quote]

    def valued(self, fill: AccountFill) -> AccountFill:
        """Return the fill with the price of the commission's asset, or without one with its largest value."""
        if fill.commission_asset in self._own or not e8(fill.commission):
            return fill
        self._assets.add(fill.commission_asset)
        price_e8 = self.prices_e8.get(fill.commission_asset)
        if price_e8 is not None:
            return replace(fill, rate_e8=price_e8)
        rates = self.rates
        rate_e8 = None if rates is None else rates.maker_e8 if fill.maker else rates.taker_e8
        return replace(fill, most_e8=most_fee_e8(fill, rate_e8))

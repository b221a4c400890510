"""The value of commissions that the exchange takes in an asset other than base and quote, such as BNB.

A fill carries the price of that asset as of the last reconcile. Without a price it carries the largest value that the
commission can have by the account's commission rate, which the limits on losses use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mm.instrument import Instrument, e8
from mm.live.account.ledger import most_fee_e8
from mm.live.venues.fills import AccountFill


class FeeValues:
    """Prices of assets in which commissions are paid, and the account's commission rates.

    Args:
        discount_asset: An asset in which they may be paid, whatever is traded; empty for none.

    Attributes:
        prices_e8: Price by asset, in 1e-8 of the quote asset.
        rates_e8: Commission rate of a taker and of a maker, in 1e-8 of the notional; empty if not known.
    """

    def __init__(self, discount_asset: str = "") -> None:
        self.prices_e8: dict[str, int] = {}
        self.rates_e8: Mapping[bool, int] = {}
        self._own: frozenset[str] = frozenset()
        self._quote = ""
        self._assets = {discount_asset} if discount_asset else set()
        self._asked = frozenset(self._assets)

    @property
    def asks(self) -> bool:
        """Whether an asset has been paid in since prices were last asked for."""
        return not self._assets <= self._asked

    def trade(self, instrument: Instrument) -> None:
        """Set the instrument, which names the base and the quote asset."""
        self._own, self._quote = frozenset((instrument.base_asset, instrument.quote_asset)), instrument.quote_asset

    def needed(self) -> Iterable[tuple[str, str]]:
        """Return the assets whose price is needed, each with the asset of the price."""
        self._asked = frozenset(self._assets)
        return [(asset, self._quote) for asset in sorted(self._assets - self._own) if self._quote]

    def valued(self, fill: AccountFill) -> AccountFill:
        """Return a fill with the price of its commission's asset, or without one with its largest value."""
        if fill.commission_asset in self._own or not e8(fill.commission):
            return fill
        self._assets.add(fill.commission_asset)
        price_e8 = self.prices_e8.get(fill.commission_asset)
        if price_e8 is not None:
            return replace(fill, rate_e8=price_e8)
        return replace(fill, most_e8=most_fee_e8(fill, self.rates_e8.get(fill.maker)))

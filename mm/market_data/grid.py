"""Decimal texts of one symbol as whole numbers, checked once each, and the steps they turn out to be multiples of."""

from collections.abc import Iterable
from math import gcd

from mm.errors import OffGrid
from mm.instrument import e8
from mm.market_data.local_orderbook import Level

REMEMBERED_TEXTS = 200_000


class Grid:
    """Prices and quantities in 1e-8, remembered by their text: the same few thousand come again and again.

    Attributes:
        tick_e8: The price step that prices must be multiples of; None while it is not known.
        seen_tick_e8: Greatest common divisor of all prices so far; 0 before the first.
        seen_step_e8: That of all quantities.
    """

    def __init__(self, tick_e8: int | None = None) -> None:
        self.tick_e8 = tick_e8
        self.seen_tick_e8 = 0
        self.seen_step_e8 = 0
        self._prices: dict[str, int] = {}
        self._qtys: dict[str, int] = {}

    def price(self, text: str) -> int:
        """Return a price in 1e-8; raises OffGrid where it is no decimal above zero."""
        value = self._prices.get(text)
        if value is None:
            value = _remember(self._prices, text, least=1)
            self.seen_tick_e8 = gcd(self.seen_tick_e8, value)
        return value

    def qty(self, text: str) -> int:
        """Return a quantity in 1e-8; raises OffGrid where it is no decimal of zero or more."""
        value = self._qtys.get(text)
        if value is None:
            value = _remember(self._qtys, text, least=0)
            self.seen_step_e8 = gcd(self.seen_step_e8, value)
        return value

    def check(self, levels: Iterable[Level]) -> None:
        """Raise OffGrid where a price or a quantity of *levels* is not what `price` and `qty` take."""
        for price, qty in levels:
            self.price(price)
            self.qty(qty)

    def off_tick(self, prices: Iterable[str]) -> str | None:
        """Return the first of *prices* that is no multiple of the known tick; None where all are, or none is known."""
        tick = self.tick_e8
        return next((text for text in prices if self.price(text) % tick), None) if tick else None


def _remember(known: dict[str, int], text: str, *, least: int) -> int:
    value = e8(text)
    if value < least:
        raise OffGrid(f"{text} is {'negative' if value else 'zero'}, which the exchange never sends here")
    if len(known) >= REMEMBERED_TEXTS:
        known.clear()
    known[text] = value
    return value

"""What any room asks of a market: its names, its money, the rule of its ids, and how its days are kept.

A market is declared once, by the module of its exchange (`mm.markets.binance`, `mm.markets.bybit`), and registered in
`MARKETS`. What needs more than a declaration, the decoder of its messages or the account of a trader, is named by its
address, ``module:NAME``, and imported when it is asked for: a help text needs none of it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mm.errors import UsageError
from mm.markets.sequence import CONTIGUOUS, SequenceRule
from mm.markets.trade_ids import TradeNumbers


@dataclass(frozen=True, kw_only=True)
class Market:
    """A market of an exchange.

    Attributes:
        name: In ``MARKET`` and ``OTHERS``.
        venue: In ``schema.json``.
        title: As people write it.
        contract: Positions under margin with funding and mark prices; without it, balances.
        best_prices: Whether a day has a file of the best prices, each change.
        rule: How ids say that an update follows.
        matched_times: Whether updates have a time of matching (`T`) beside the one of sending.
        sequenced: Whether updates and trades have a number of the matching engine (`seq`), which joins them.
        trade_numbers: What a `trade_id` of its days is.
        book_depths: Levels a side of its book streams, each a window of the best; the first is the usual one.
        fees: Usual maker and taker fee; None: the common default.
        inverse: Pattern of the exchange's symbols of contracts that pay in the coin, which no replay knows.
        recorded_as: Its names in captures of cryptofeed.
        frames: Pattern of its exchange's frames, by which a capture is taken for one of that exchange.
        connections: Pattern of the addresses that serve it, where captures hold connections of several markets.
        feed_at: Address of its `Feed`.
        account_at: Address of the class of a trader's account; None: it is recorded and played only.
        box_at: Address of a function that makes it for the exchange in a box.
    """

    name: str
    venue: str
    title: str
    contract: bool = False
    best_prices: bool = False
    rule: SequenceRule = CONTIGUOUS
    matched_times: bool = False
    sequenced: bool = False
    trade_numbers: TradeNumbers = TradeNumbers.EXCHANGE
    book_depths: tuple[int, ...] = ()
    fees: tuple[str, str] | None = None
    inverse: str = "(?!)"
    recorded_as: tuple[str, ...] = ()
    frames: str = ""
    connections: str = ""
    feed_at: str
    account_at: str | None = None
    box_at: str | None = None


def load(address: str) -> Any:
    """Return what stands at *address*, ``module:NAME``."""
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)


class Markets(Mapping[str, Market]):
    """The registered markets, by name and by venue."""

    def __init__(self, *markets: Market) -> None:
        self._by_name = {market.name: market for market in markets}

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Market:
        """Raises UsageError with the known names."""
        market = self._by_name.get(name)
        if market is None:
            raise UsageError("{market} is {!r}, which is not a known market; use one of {}", name, ", ".join(self))
        return market

    def is_inverse(self, symbol: str) -> bool:
        """Return whether one of the exchanges names a contract so that pays in the coin."""
        return any(re.search(market.inverse, symbol) for market in self._by_name.values())

    def add(self, market: Market) -> Market:
        """Register a market of one's own; its name and venue must be new."""
        if market.name in self._by_name or any(known.venue == market.venue for known in self._by_name.values()):
            raise UsageError("{market} {!r}: its name or its venue {!r} is taken", market.name, market.venue)
        self._by_name[market.name] = market
        return market

    def of_venue(self, venue: str) -> Market:
        """Return the market that ``schema.json`` names; raises UsageError for an unknown one."""
        for market in self._by_name.values():
            if market.venue == venue:
                return market
        known = ", ".join(market.venue for market in self._by_name.values())
        raise UsageError(f"venue {venue!r} of a day is not known; this version of mm reads {known}")

"""Contracts whose profit is not price times quantity in the quote asset, by the names of exchanges and symbols.

The replay knows only linear accounts. An inverse contract has a size in the quote asset, and pays in the base asset; a
quanto one pays in a third asset. Some exchanges count linear contracts, whose size must then be given.
"""

import re

from mm.errors import BrokenFile, Sentence
from mm.market_data.captures import FilePlace
from mm.markets.registry import MARKETS

_INVERSE = {
    "binance-delivery": ".",
    "bitmex": r"^(?!.*USDT)",
    "deribit": r"^(?!.*_USD[CT])",
    "okex-swap": r"-USD(-|$)",
    "okex-futures": r"-USD-",
    "okex-options": r"-USD-",
    "huobi-dm": ".",
    "huobi-dm-swap": ".",
    "huobi-dm-options": ".",
    "cryptofacilities": r"^(PI|FI|IV|IN|RR)_",
    "bybit": r"USD([FGHJKMNQUVXZ]\d\d)?$",
    "bybit-options": ".",
    "gate-io-futures": r"_USD$",
    "kucoin-futures": r"(USDM|M[FGHJKMNQUVXZ]\d\d)$",
    "phemex": r"^[A-Z0-9]*USD$",
    "bitget-futures": r"(USD|_DMCBL)$",
    "delta": r"^(?!.*USDT)",
}
"""Patterns of the inverse and quanto symbols of an exchange, as Tardis names them."""
_COUNTED = {
    *("bitmex", "okex-swap", "okex-futures", "huobi-dm-linear-swap", "gate-io-futures", "kucoin-futures", "phemex"),
    *("delta",),
}
"""Exchanges whose quantities are numbers of contracts."""


def require_linear(exchange: str, symbol: str, place: FilePlace, row: int, *, counted: bool) -> None:
    """BrokenFile for an inverse symbol, or one counted in contracts of unknown size (not *counted*)."""
    name, upper = exchange.lower(), symbol.upper()
    of = f"{symbol} of {exchange}" if exchange else symbol
    if MARKETS.is_inverse(upper) or re.search(_INVERSE.get(name, "(?!)"), upper):
        raise BrokenFile(
            f"{place.path}:{row}: {of} is an inverse or quanto contract: it pays in another asset than it is priced "
            f"in, and the replay knows only price times quantity; import a linear contract, such as one in USDT"
        )
    if name in _COUNTED and not counted:
        raise place.broken(
            f"quantities of {of} are numbers of contracts, not of the base asset",
            Sentence("give {contract_size}, the base asset of one contract"),
            row,
        )

"""The entry of a symbol in exchangeInfo: grid, filters, limits."""

import msgspec

from mm.errors import DataError
from mm.instrument import Instrument, from_exchange_info
from mm.live.venues.binance import ApiLimit
from mm.live.venues.filters import OrderChecks

TRADING = "TRADING"


class _Filter(msgspec.Struct):
    filterType: str
    maxNumOrders: int = 0


class _Symbol(msgspec.Struct):
    symbol: str
    status: str = TRADING
    filters: list[_Filter] = []


class _InfoBody(msgspec.Struct):
    symbols: list[msgspec.Raw] = []
    rateLimits: list[ApiLimit] = []


class SymbolInfo:
    """Raises DataError if the exchange lacks it."""

    def __init__(self, body: bytes, symbol: str) -> None:
        info = msgspec.json.decode(body, type=_InfoBody)
        found = None
        for raw in info.symbols:
            one = msgspec.json.decode(raw, type=_Symbol)
            if one.symbol == symbol:
                found = one
                self.instrument: Instrument = from_exchange_info(msgspec.json.decode(raw), "exchangeInfo")
        if found is None:
            raise DataError(f"the exchange has no symbol {symbol}; set --symbol to one that its exchangeInfo lists")
        self.halted = "" if found.status == TRADING else found.status
        most_orders = max((one.maxNumOrders for one in found.filters if one.filterType == "MAX_NUM_ORDERS"), default=0)
        self.filters = OrderChecks(self.instrument, most_orders)
        self.limits = info.rateLimits

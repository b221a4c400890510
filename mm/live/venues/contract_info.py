"""A contract's entry in the exchangeInfo of USD-M: grid, filters, limits, and whether it can be traded here."""

from collections.abc import Iterable, Sequence

import msgspec

from mm.errors import DataError, UsageError
from mm.instrument import Instrument, from_exchange_info
from mm.live.venues.binance import ApiLimit
from mm.live.venues.filters import OrderChecks
from mm.live.venues.live_orders import LiveOrder
from mm.live.venues.refusals import Refusal, Why

PERPETUAL, TRADING = "PERPETUAL", "TRADING"


class _ContractFilter(msgspec.Struct):
    filterType: str
    limit: int = 0


class _Contract(msgspec.Struct):
    symbol: str
    status: str = TRADING
    contractType: str = PERPETUAL
    quoteAsset: str = ""
    marginAsset: str = ""
    filters: list[_ContractFilter] = []


class _Body(msgspec.Struct):
    symbols: list[msgspec.Raw] = []
    rateLimits: list[ApiLimit] = []


class ContractChecks(OrderChecks):
    """Checks of a contract's orders; the price band is around the mark price."""

    def no_amendment(self, order: LiveOrder, qty: str, price: str = "") -> Refusal | None:
        if price:
            return self.refusal(order.side, price, qty, order.kind, ())
        why = f"{self.instrument.symbol}: a modified order loses its place, so none is amended at its price"
        return Refusal(0, why, Why.AMENDMENT)


class ContractInfo:
    """Raises DataError if the exchange lacks it, UsageError if it is no perpetual settled in its quote asset."""

    def __init__(self, body: bytes, symbol: str) -> None:
        info = msgspec.json.decode(body, type=_Body)
        named = ((msgspec.json.decode(one, type=_Named).symbol, one) for one in info.symbols)
        raw = next((one for name, one in named if name == symbol), None)
        if raw is None:
            raise DataError(f"the exchange has no symbol {symbol}; set --symbol to one that its exchangeInfo lists")
        found = msgspec.json.decode(raw, type=_Contract)
        _check(found)
        self.halted = "" if found.status == TRADING else found.status
        self.instrument: Instrument = from_exchange_info(msgspec.json.decode(raw), "exchangeInfo")
        most = max((one.limit for one in found.filters if one.filterType == "MAX_NUM_ORDERS"), default=0)
        self.filters = ContractChecks(self.instrument, most)
        self.limits: Sequence[ApiLimit] = info.rateLimits


class _Named(msgspec.Struct):
    symbol: str = ""


def _check(one: _Contract) -> None:
    if one.contractType != PERPETUAL:
        raise UsageError(
            f"{one.symbol} is not a perpetual (its contractType is {one.contractType or 'empty'}); trade one that is, "
            f"as exchangeInfo lists them"
        )
    if one.marginAsset != one.quoteAsset:
        raise UsageError(
            f"{one.symbol} is not linear: its margin is in {one.marginAsset}, its price in {one.quoteAsset}; trade a "
            f"contract that is settled in its quote asset"
        )


def unlimited(orders: Iterable[LiveOrder]) -> tuple[int, int]:  # noqa: ARG001 - as of a symbol with balances
    return _MOST_E8, _MOST_E8


_MOST_E8 = 2**62

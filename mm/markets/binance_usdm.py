"""Binance USD-M futures as a `Feed`.

A depth update has the last id of the previous update (`pu`), and the ids in between belong to other symbols; so it
counts as the ids from ``pu + 1`` on, and the rule of `mm.ids` applies: the first update after a snapshot has ``pu <=
lastUpdateId < u``, then each `pu` must equal the previous `u`.

Streams have a path for each kind (developers.binance.com, since 2026-03-06): ``/public`` carries depth and trades,
``/market`` aggregates and mark prices. The recorder connects to the first and requests payments by REST.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Raw, Struct

from mm.clock import US_PER_MS
from mm.errors import OffGrid, UsageError
from mm.instrument import e8
from mm.markets.binance import USDM
from mm.markets.binance_spot import BinanceSpot, Messages
from mm.markets.binance_trades import Aggregates, SpannedTrades
from mm.markets.grid import Grid
from mm.markets.messages import (
    AggTrade,
    Answer,
    DepthSnapshot,
    DepthUpdate,
    ForceOrder,
    Funding,
    Limits,
    MarkPrice,
    Message,
    PastTrades,
    RestRequest,
    TradePrint,
    Unreadable,
    WrongMarket,
)

_COIN_M = ("dstream.", "dapi.")
_SPOT_HOSTS = ("stream.binance.com", "data-stream.binance.vision", "api.binance.com", "data-api.binance.vision")
_DEPTH_WEIGHTS = ((5, 2), (10, 2), (20, 2), (50, 2), (100, 5), (500, 10), (1_000, 20))
"""Levels that a snapshot can have, and its request weight."""
_AGGREGATES, _AGGREGATES_WEIGHT = "/fapi/v1/aggTrades", 20
_PAYMENTS = 24
_MARK_PRICE = msgspec.json.Decoder(MarkPrice)
_FORCE_ORDER = msgspec.json.Decoder(ForceOrder)


class _Payment(Struct, gc=False):
    fundingTime: int
    fundingRate: str
    markPrice: str = ""


_PAYMENT_LIST = msgspec.json.Decoder(list[_Payment])


class _Listed(Struct):
    symbol: str


class _Listing(Struct):
    symbols: list[_Listed]


class UsdmMessages(Messages):
    def __init__(self, symbol: str, grid: Grid, *, packs: bool = False) -> None:
        if re.search(USDM.inverse, symbol):
            raise WrongMarket(f"symbol {symbol}, a coin-margined contract,")
        super().__init__(symbol, grid, packs=packs)

    def _own_host(self, url: str) -> None:
        check_usdm_host(url)

    def _own_event(self, event: str) -> None:
        pass

    def _own_stream(self, name: str, base: str, speed: str) -> None:
        pass

    def _own_message(self, kind: str, symbol: str, body: bytes | str | Raw) -> Message:
        name = kind.partition("@")[0]
        if name not in ("markPrice", "forceOrder") or symbol != self._symbol:
            return super()._own_message(kind, symbol, body)
        if name == "forceOrder":
            return _FORCE_ORDER.decode(body)
        message = _MARK_PRICE.decode(body)
        e8(message.p), e8(message.r)
        return message

    def _own_trade(self, trade: TradePrint | AggTrade) -> None:
        pass

    def _own_ids(self, update: DepthUpdate) -> None:
        if update.pu is None:
            raise WrongMarket("a depth update without 'pu'")
        if not update.pu < update.U <= update.u:
            raise Unreadable(f"a depth update from U={update.U} to u={update.u} after pu={update.pu}")
        update.U = update.pu + 1

    def _own_snapshot(self, snapshot: DepthSnapshot) -> None:
        if snapshot.E is None:
            raise WrongMarket("a depth snapshot without 'E'")


def check_usdm_host(url: str) -> None:
    host = urlsplit(url).netloc
    if host.partition(":")[0] in _SPOT_HOSTS or host.startswith(_COIN_M):
        raise WrongMarket(f"host {host!r}")


class BinanceUsdm(BinanceSpot):
    """Binance USD-M futures, or an exchange with the same API."""

    market = USDM
    bases = "wss://fstream.binance.com", "https://fapi.binance.com"
    limits = Limits(weight=1_920, weight_window_s=60.0, connections=290, connections_window_s=300.0)
    headers: Mapping[str, str] = MappingProxyType({})

    def decoder(self, symbol: str, grid: Grid, *, packs: bool = False) -> UsdmMessages:
        return UsdmMessages(symbol, grid, packs=packs)

    def check_address(self, url: str) -> None:
        check_usdm_host(url)

    def stream_url(self, base: str, symbol: str, trade_stream: str) -> str:
        if trade_stream != "trade":
            raise UsageError(
                "{trade_stream} {}: USD-M sends it under /market, the depth under /public, and only one connection is "
                "recorded; use trade",
                trade_stream,
            )
        stream = quote(symbol.lower())
        return f"{base}/public/stream?streams={stream}@depth@100ms/{stream}@trade"

    def depth(self, symbol: str, limit: int) -> RestRequest:
        return RestRequest("/fapi/v1/depth", {"symbol": symbol, "limit": str(limit)}, dict(_DEPTH_WEIGHTS)[limit])

    def levels(self, wanted: int) -> int:
        return next((most for most, _ in _DEPTH_WEIGHTS if wanted <= most), _DEPTH_WEIGHTS[-1][0])

    def exchange_info(self, symbol: str) -> RestRequest:  # noqa: ARG002 - it is of all symbols
        return RestRequest("/fapi/v1/exchangeInfo", {}, 1)

    def trade_history(self, *, aggregates: bool) -> Sequence[PastTrades]:
        """Without a key the exchange serves only aggregates."""
        kind = Aggregates if aggregates else SpannedTrades
        return (kind(_AGGREGATES, _AGGREGATES_WEIGHT),)

    def last_trade(self) -> RestRequest:
        return Aggregates(_AGGREGATES, _AGGREGATES_WEIGHT).last()

    def refuses_symbol(self, answer: Answer, symbol: str) -> bool:
        try:
            listed = msgspec.json.decode(answer.body, type=_Listing).symbols
        except (ValueError, msgspec.MsgspecError):
            return False
        return answer.cause is None and all(entry.symbol != symbol for entry in listed)

    def funding(self) -> RestRequest | None:
        return RestRequest("/fapi/v1/fundingRate", {"limit": str(_PAYMENTS)}, 1)

    def payments(self, body: bytes) -> Sequence[Funding]:
        payments = [Funding(paid.fundingTime, paid.fundingRate, paid.markPrice) for paid in _PAYMENT_LIST.decode(body)]
        return sorted(paid for paid in payments if _are_decimals(paid))

    def time(self) -> RestRequest:
        return RestRequest("/fapi/v1/time", {}, 1)


BINANCE_USDM = BinanceUsdm()


def _are_decimals(payment: Funding) -> bool:
    try:
        return e8(payment.mark_price) > 0 and payment.paid_ms * US_PER_MS < (1 << 62) and e8(payment.rate) is not None
    except OffGrid:
        return False

"""Binance Spot as a `Venue`: addresses, weights and limits; the types of its messages are in `messages`."""

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

import msgspec

from mm.clock import exchange_us
from mm.market_data.grid import Grid
from mm.market_data.messages import Messages, check_spot_host
from mm.market_data.venue import Limits, RestRequest

_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))
_INFO_WEIGHT = 20
_USED_WEIGHT = "X-MBX-USED-WEIGHT-1M"
_HEADERS = MappingProxyType({"X-MBX-TIME-UNIT": "MICROSECOND"})


class _Time(msgspec.Struct):
    serverTime: int


class BinanceSpot:
    """Binance Spot, or an exchange that speaks as it does.

    The limits are 6,000 of weight per minute and 300 attempts to connect in five minutes; a fifth of the one and ten of
    the other are left to others at the same address.
    """

    name = "binance-spot"
    limits = Limits(weight=4_800, weight_window_s=60.0, connections=290, connections_window_s=300.0)
    headers: Mapping[str, str] = _HEADERS

    def decoder(self, symbol: str, grid: Grid, *, packs: bool = False) -> Messages:
        """Return the reader of the messages of *symbol*."""
        return Messages(symbol, grid, packs=packs)

    def check_address(self, url: str) -> None:
        """Raise Futures where *url* serves futures, whose update ids follow another rule."""
        check_spot_host(url)

    def stream_url(self, base: str, symbol: str, trade_stream: str) -> str:
        """Return the address of the depth stream (100 ms) and of *trade_stream* of *symbol*, with stamps in µs."""
        stream = quote(symbol.lower())
        return f"{base}/stream?streams={stream}@depth@100ms/{stream}@{trade_stream}&timeUnit=MICROSECOND"

    def depth(self, symbol: str, limit: int) -> RestRequest:
        """Return the request for the best *limit* levels per side, at most 5,000."""
        weight = next(weight for most, weight in _DEPTH_WEIGHTS if limit <= most)
        return RestRequest("/api/v3/depth", {"symbol": symbol, "limit": str(limit)}, weight)

    def exchange_info(self, symbol: str) -> RestRequest:
        """Return the request for the filters and the status of *symbol*."""
        return RestRequest("/api/v3/exchangeInfo", {"symbol": symbol}, _INFO_WEIGHT)

    def time(self) -> RestRequest:
        """Return the request for the exchange's time."""
        return RestRequest("/api/v3/time", {}, 1)

    def server_time_us(self, body: bytes) -> int | None:
        """Return the time in the answer to `time`, in µs; None where it has none."""
        try:
            return exchange_us(msgspec.json.decode(body, type=_Time).serverTime)
        except (ValueError, msgspec.MsgspecError):
            return None

    def used_weight(self, headers: Mapping[str, str]) -> int | None:
        """Return the exchange's own count of the weight used in the last minute."""
        used = headers.get(_USED_WEIGHT, "")
        return int(used) if used.isascii() and used.isdigit() else None


BINANCE_SPOT = BinanceSpot()
"""The venue that is recorded."""

"""Binance USD-M futures as a `MarketVenue`, and the funding payments of perpetuals.

A depth update has the last id of the previous update (`pu`), and the ids in between belong to other symbols; so it
counts as the ids from ``pu + 1`` on, and the rule of `mm.ids` applies: the first update after a snapshot has ``pu <=
lastUpdateId < u``, then each `pu` must equal the previous `u`.

Streams have a path for each kind (developers.binance.com, since 2026-03-06): ``/public`` carries depth and trades,
``/market`` aggregates and mark prices. The recorder connects to the first and requests payments by REST.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Raw, Struct

from mm.clock import US_PER_MS, iso
from mm.dayfolder.layout import USDM
from mm.errors import OffGrid, UsageError
from mm.instrument import e8
from mm.market_data.binance_spot import BINANCE_SPOT, BinanceSpot, Messages
from mm.market_data.binance_trades import Aggregates, SpannedTrades
from mm.market_data.grid import Grid
from mm.market_data.venue import (
    AggTrade,
    Answer,
    DepthSnapshot,
    DepthUpdate,
    ForceOrder,
    Funding,
    Limits,
    MarketVenue,
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
        if COIN_M.search(symbol):
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

    name = USDM
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
MARKETS: Mapping[str, MarketVenue] = {"spot": BINANCE_SPOT, "usdm": BINANCE_USDM}
"""Venues by their name in ``MARKET``."""


def market_of(venue: str | None) -> MarketVenue:
    """An older day without a venue in ``schema.json`` is Spot."""
    return BINANCE_USDM if venue == USDM else BINANCE_SPOT


COIN_M = re.compile(r"USD_(PERP|\d{6})$")
"""Symbols of COIN-M: inverse contracts, perpetual or dated."""
NEAR_S = 60
"""Maximum age, in s, of the last mark price before a payment: the rate is updated every minute."""
_HOUR_MS = 3_600_000
_INTERVALS_H = (1, 2, 4, 8)
_EARLY_MS = 5_000  # a mark price may name the next payment so long before its own time
_NO_MARKS = "the day has no mark prices before it"
FUNDING_HOURS = 8
"""Hours between payments, from midnight UTC on, of a symbol whose mark prices say nothing else."""


class FundingDoubt(NamedTuple):
    """A payment (ms) whose rate and price did not arrive at its time, and why."""

    paid_ms: int
    why: str


class FundingState:
    """Reports each funding payment of a perpetual once, from REST responses or from mark prices.

    A payment without a mark price in the minute before it gets the last rate and the next price, with a doubt. Other
    payments due while mark prices paused are only doubts: contracts pay every 1, 2, 4 or 8 hours.

    Args:
        since_us: Earlier payments are ignored.
    """

    def __init__(self, since_us: int = 0) -> None:
        self._last_ms = since_us // US_PER_MS
        self._before: MarkPrice | None = None
        self._passed_us: int | None = None
        self._first_us: int | None = None
        self._interval_ms = 0  # of the last two payments without a pause; 0: not seen, or changed since

    def marked(self, now: MarkPrice) -> list[Funding | FundingDoubt]:
        before, self._before = self._before, now
        if before is None:
            return [*self._since_start(now)]
        if not before.T or not now.T:
            return []
        paused = now.E - before.E > NEAR_S * 1_000
        is_due = now.T > before.T and (paused or now.E > before.T - _EARLY_MS)
        late = before.T - before.E > NEAR_S * 1_000
        paid = self.new([Funding(before.T, before.r, now.p if late else before.p)]) if is_due else []
        why = f"no mark price from {iso(before.E * US_PER_MS)} to {iso(now.E * US_PER_MS)}"
        doubtful = {payment.paid_ms for payment in paid if late}
        if paused:
            both = _intervals_ms(before) & _intervals_ms(now)
            if not both:  # it changed meanwhile
                self._interval_ms = 0
            step_ms = self._least_ms(both or _intervals_ms(before) | _intervals_ms(now))
            doubtful |= {
                ms for ms in _multiples(step_ms, before.T if is_due else before.E, now.E) if ms > self._last_ms
            }
        elif now.T != before.T:
            self._interval_ms = now.T - before.T if is_due else 0
        return [*paid, *(FundingDoubt(ms, why) for ms in sorted(doubtful))]

    def passed(self, us: int) -> list[FundingDoubt]:
        """Doubt the payments before *us*, the time of a message, that no mark price reported."""
        first, self._passed_us = self._passed_us, us
        if first is None:
            self._first_us = us
        period = FUNDING_HOURS * _HOUR_MS * US_PER_MS
        if self._before is not None or first is None or us // period == first // period:
            return []
        due_us = us - us % period
        self._last_ms = max(self._last_ms, due_us // US_PER_MS)
        return [FundingDoubt(due_us // US_PER_MS, _NO_MARKS)]

    def ended(self, us: int) -> list[FundingDoubt]:
        before = self._before
        if before is None or not before.T or us <= before.T * US_PER_MS:
            return []
        why = f"the last mark price was received at {iso(before.E * US_PER_MS)}"
        later = _multiples(self._least_ms(_intervals_ms(before)), before.T, us // US_PER_MS)
        return [FundingDoubt(ms, why) for ms in (before.T - before.T % 1_000, *later)]

    def unanswered(self, from_us: int, to_us: int) -> list[FundingDoubt]:
        step_ms = self._interval_ms or FUNDING_HOURS * _HOUR_MS
        why = f"the exchange did not answer from {iso(from_us)} on"
        return [FundingDoubt(ms, why) for ms in _multiples(step_ms, from_us // US_PER_MS, to_us // US_PER_MS)]

    def _since_start(self, now: MarkPrice) -> list[FundingDoubt]:
        if self._first_us is None or not now.T:
            return []
        due = _multiples(self._least_ms(_intervals_ms(now)), self._first_us // US_PER_MS, now.E)
        period = FUNDING_HOURS * _HOUR_MS  # these were doubted when they passed
        return [FundingDoubt(ms, _NO_MARKS) for ms in due if ms % period]

    def _least_ms(self, possible: Collection[int]) -> int:
        return self._interval_ms if self._interval_ms in possible else min(possible, default=_HOUR_MS)

    def new(self, payments: Sequence[Funding]) -> list[Funding]:
        new = []
        if len(payments) > 1:
            self._interval_ms = (payments[-1].paid_ms - payments[-2].paid_ms) // 1_000 * 1_000 or self._interval_ms
        for payment in payments:
            paid_ms = payment.paid_ms - payment.paid_ms % 1_000
            if paid_ms > self._last_ms:
                self._last_ms = paid_ms
                new.append(payment._replace(paid_ms=paid_ms))
        return new


def _intervals_ms(mark: MarkPrice) -> set[int]:
    lengths = (hours * _HOUR_MS for hours in _INTERVALS_H)
    return {length for length in lengths if (mark.E // length + 1) * length == mark.T - mark.T % 1_000}


def _multiples(step_ms: int, after_ms: int, up_to_ms: int) -> range:
    return range((after_ms // step_ms + 1) * step_ms, up_to_ms + 1, step_ms)


def _are_decimals(payment: Funding) -> bool:
    try:
        return e8(payment.mark_price) > 0 and payment.paid_ms * US_PER_MS < (1 << 62) and e8(payment.rate) is not None
    except OffGrid:
        return False

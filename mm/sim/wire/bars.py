"""Klines and tickers in the exchange's formats, the same in every market."""

from collections.abc import Mapping
from typing import Any

from mm.instrument import decimal_text
from mm.sim.exchange import api_error
from mm.sim.exchange.accounts import DAY_US, MINUTE_US
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.klines import HOUR_US, INTERVALS, Intervals, Kline
from mm.sim.exchange.parameters import Parameter
from mm.sim.exchange.trades import TradeBar
from mm.sim.wire.answers import NONE_ID, ZERO, GridTexts, Json

_UNITS_US = {"m": (MINUTE_US, 59), "h": (HOUR_US, 23), "d": (DAY_US, 7)}
_ZONE_MINUTES = (-12 * 60, 14 * 60)


def _interval(_: str, text: str) -> str:
    if text not in INTERVALS:
        raise ApiError(-1120, "Invalid interval.")
    return text


def _minute_interval(name: str, text: str) -> str:
    if text == "1s":
        raise ApiError(-1120, "Invalid interval.")
    return _interval(name, text)


def zone_us(text: str) -> int | None:
    sign = -1 if text.startswith("-") else 1
    hours, _, minutes = text.lstrip("+-").partition(":")
    if not (hours.isascii() and hours.isdigit() and len(hours) <= 2 and (minutes or "0").isdigit()):
        return None
    shift = sign * (60 * int(hours) + int(minutes or "0"))
    return shift * MINUTE_US if _ZONE_MINUTES[0] <= shift <= _ZONE_MINUTES[1] else None


def _zone(name: str, text: str) -> int:
    shift_us = zone_us(text)
    if shift_us is None:
        raise api_error.not_valid(name)
    return shift_us


def _window(name: str, text: str) -> int:
    unit_us, most = _UNITS_US.get(text[-1:], (0, 0))
    if not (text[:-1].isascii() and text[:-1].isdigit() and 1 <= int(text[:-1]) <= most):
        raise api_error.not_valid(name)
    return int(text[:-1]) * unit_us


INTERVAL, MINUTE_INTERVAL = Parameter(_interval), Parameter(_minute_interval)
ZONE, WINDOW = Parameter(_zone, 0), Parameter(_window, DAY_US)


def intervals_of(name: str, zone: str = "") -> Intervals:
    return Intervals(name, (zone_us(zone) or 0) if zone else 0)


def kline(texts: GridTexts, made: Kline) -> list[Any]:
    bar = made.bar
    return [
        texts.stamp(made.us),
        *(texts.price(at) for at in (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks)),
        texts.qty(bar.volume_lots),
        texts.stamp(made.end_us - 1),
        texts.worth(bar.turnover_tl),
        bar.trades,
        texts.qty(bar.bought_lots),
        texts.worth(bar.bought_tl),
        "0",
    ]


def sampled_kline(texts: GridTexts, made: Kline) -> list[Any]:
    bar = made.bar
    prices = [decimal_text(at) for at in (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks)]
    return [texts.stamp(made.us), *prices, "0", texts.stamp(made.end_us - 1), "0", bar.trades, "0", "0", "0"]


def kline_event(texts: GridTexts, made: Kline, interval: str, *, closed: bool, symbol: str = "") -> Json:
    """Without a *symbol* it is of a continuous contract."""
    row, bar = kline(texts, made), made.bar
    names = {"t": row[0], "T": row[6], **({"s": symbol} if symbol else {}), "i": interval}
    ids = {"f": bar.first_id, "L": bar.last_id}
    prices = {"o": row[1], "c": row[4], "h": row[2], "l": row[3]}
    return (
        names
        | ids
        | prices
        | {"v": row[5], "n": bar.trades, "x": closed, "q": row[7], "V": row[9], "Q": row[10]}
        | {"B": "0"}
    )


def statistics(exchange: Exchange, texts: GridTexts, bar: TradeBar | None) -> Json:
    ticks = (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks) if bar else (0, 0, 0, 0)
    names = ("openPrice", "highPrice", "lowPrice", "lastPrice")
    moved = bar.close_ticks - bar.open_ticks if bar else 0
    # The percentage change has three decimal places, rounded towards zero.
    thousandths = abs(moved) * 100_000 // bar.open_ticks if bar else 0
    return {
        "priceChange": decimal_text(moved * exchange.rules.instrument.tick_e8),
        "priceChangePercent": decimal_text(-thousandths if moved < 0 else thousandths, 3),
        "weightedAvgPrice": texts.mean_price(bar.turnover_tl, bar.volume_lots) if bar else ZERO,
        **{name: texts.price(at) for name, at in zip(names, ticks, strict=True)},
        "volume": texts.qty(bar.volume_lots if bar else 0),
        "quoteVolume": texts.worth(bar.turnover_tl if bar else 0),
        "firstId": bar.first_id if bar else NONE_ID,
        "lastId": bar.last_id if bar else NONE_ID,
        "count": bar.trades if bar else 0,
    }


def best_prices(exchange: Exchange) -> Json:
    _, bids, asks = exchange.depth(1)
    (bid, bid_qty), (ask, ask_qty) = (levels[0] if levels else (ZERO, ZERO) for levels in (bids, asks))
    return {"bidPrice": bid, "bidQty": bid_qty, "askPrice": ask, "askQty": ask_qty}


def weight_of_klines(given: Mapping[str, str]) -> int:
    text = given.get("limit", "500")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 1
    return next((weight for most, weight in ((99, 1), (499, 2), (1_000, 5)) if limit <= most), 10)

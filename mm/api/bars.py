"""Bars from a public service, and a synthetic market that follows them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray

from mm.backtest.engine.live_feed import FeedEvent
from mm.clock import US_PER_S, zone_of
from mm.errors import BrokenFile, DataError, TryLater, UsageError
from mm.instrument import E8, Instrument
from mm.tape.freshest import Row
from mm.tape.tape import DEPTH, SNAPSHOT, TRADE

YAHOO, ALPHAVANTAGE = "yahoo", "alphavantage"
ADDRESSES = {YAHOO: "https://query1.finance.yahoo.com", ALPHAVANTAGE: "https://www.alphavantage.co"}
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "60m": 60}
_RANGES = {"1m": "1d", "5m": "5d", "15m": "1mo", "30m": "1mo", "60m": "1mo"}
_MOST_BYTES = 32_000_000
_TIMEOUTS = httpx.Timeout(30.0, connect=10.0)
_WAY_OUT = "try again later, or use --data-source synthetic (DATA_SOURCE), which needs no network"
STEPS = 60
"""Number of parts of a bar; each has one print and one book."""
HALF_SPREAD = 1  # ticks from the mid to each best price
LEVELS = 10
_REFUSALS = ("Error Message", "Note", "Information")


class Bar(NamedTuple):
    us: int
    open_e8: int
    high_e8: int
    low_e8: int
    close_e8: int
    volume_e8: int


def load_bars(source: str, symbol: str, interval: str, *, address: str | None = None, key: str = "") -> list[Bar]:
    """Return the newest bars, oldest first; *symbol* is the service's. Raises UsageError, TryLater or DataError."""
    base = (address or ADDRESSES[source]).rstrip("/")
    if source == YAHOO:
        parameters = {"interval": interval, "range": _RANGES[interval], "includePrePost": "false"}
        content = _answer(f"{base}/v8/finance/chart/{quote(symbol, safe='')}", parameters)
        rows = _of_yahoo(content, base, symbol)
    else:
        if not key:
            raise UsageError(f"--data-source {source} needs a key; set ALPHAVANTAGE_API_KEY, or give --api-key")
        parameters = {
            "function": "TIME_SERIES_INTRADAY", "symbol": symbol, "interval": f"{MINUTES[interval]}min",
            "outputsize": "full", "apikey": key,
        }  # fmt: skip
        content = _answer(f"{base}/query", parameters)
        rows = _of_alphavantage(content, base, symbol)
    bars = sorted(_checked(rows, base, symbol))
    if not bars:
        raise DataError(f"{base}: no bars of {symbol} at {interval}; choose another symbol or --bar-interval")
    for earlier, later in pairwise(bars):
        if earlier.us == later.us:
            raise BrokenFile(f"{base}: two bars of {symbol} begin at {later.us} µs")
    return bars


def _answer(url: str, parameters: Mapping[str, str]) -> Any:
    try:
        with (
            httpx.Client(timeout=_TIMEOUTS, headers={"User-Agent": "Mozilla/5.0"}) as client,
            client.stream("GET", url, params=dict(parameters)) as answer,
        ):
            data = b""
            for chunk in answer.iter_bytes():
                data += chunk
                if len(data) > _MOST_BYTES:
                    raise BrokenFile(f"{url}: more than {_MOST_BYTES:,} bytes")
            status = answer.status_code
    except httpx.TransportError as error:
        raise TryLater(f"{url}: it cannot be reached ({type(error).__name__}); {_WAY_OUT}") from None
    if status == 429 or status >= 500:
        raise TryLater(f"{url}: it responds with status {status}; {_WAY_OUT}")
    try:
        return json.loads(data, parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        raise BrokenFile(f"{url}: it responds with status {status} and {data[:80]!r}, which is not JSON") from None


_Row = tuple[int, Sequence[Any]]


def _of_yahoo(content: Any, base: str, symbol: str) -> Iterable[_Row]:
    try:
        chart = content["chart"]
        if chart["error"]:
            raise DataError(f"{base}: {symbol}: {chart['error']['description']}")
        (result,) = chart["result"]
        (values,) = result["indicators"]["quote"]
        columns = [values.get(name, []) for name in ("open", "high", "low", "close", "volume")]
        stamps = result.get("timestamp", [])
        rows = list(zip(stamps, *columns, strict=True))
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise BrokenFile(f"{base}: the response for {symbol} is not in the form of a chart ({error!r})") from error
    for stamp, *row in rows:
        if None not in row:
            yield int(stamp) * US_PER_S, row


def _of_alphavantage(content: Any, base: str, symbol: str) -> Iterable[_Row]:
    """Read bars whose instants are in the response's own time zone."""
    if isinstance(content, dict) and (refusal := next((content[word] for word in _REFUSALS if word in content), None)):
        raise DataError(f"{base}: {symbol}: {refusal}")
    try:
        zone = zone_of(content["Meta Data"]["6. Time Zone"])
        (series,) = (value for name, value in content.items() if name.startswith("Time Series"))
        for stamp, row in series.items():
            at = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
            names = ("1. open", "2. high", "3. low", "4. close", "5. volume")
            yield round(at.timestamp()) * US_PER_S, [row[name] for name in names]
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise BrokenFile(f"{base}: the response for {symbol} is not in the form of a series ({error!r})") from error


def _checked(rows: Iterable[_Row], base: str, symbol: str) -> Iterable[Bar]:
    for us, values in rows:
        try:
            opened, high, low, close, volume = (int((Decimal(value) * E8).to_integral_value()) for value in values)
        except (InvalidOperation, TypeError, ValueError, OverflowError):
            raise BrokenFile(f"{base}: the bar of {symbol} at {us} µs has {values}, not five numbers") from None
        if not 0 < low <= min(opened, close) <= max(opened, close) <= high or volume < 0:
            texts = [str(value) for value in values]
            raise BrokenFile(f"{base}: the bar of {symbol} at {us} µs has open, high, low, close, volume {texts}")
        yield Bar(us, opened, high, low, close, volume)


# The market


def bar_events(bars: Sequence[Bar], span_us: int, grid: Instrument, seed: int) -> Iterator[FeedEvent]:
    """Make a market that follows *bars*, oldest first; equal bars and seed give equal events."""
    usual = sum(bar.volume_e8 for bar in bars) // len(bars) // grid.lot_e8 // STEPS
    event_id, mid, shown = 0, 0, dict[tuple[int, int], int]()

    def book(us: int) -> FeedEvent:
        nonlocal event_id, shown
        event_id, kind, wanted = event_id + 1, DEPTH if shown else SNAPSHOT, _book(mid, level_lots)
        rows: list[Row] = [(*place, 0) for place in shown if place not in wanted]
        rows += [(*place, size) for place, size in wanted.items()]
        shown = wanted
        return FeedEvent(kind, us, event_id, event_id, rows)

    for bar in bars:
        rng = np.random.default_rng([seed, bar.us])
        path, lots = _path(bar, grid, rng), _prints(bar, grid, rng)
        level_lots, coins = int(max(lots.max(), usual, 1)) + 1, rng.integers(0, 2, STEPS)
        mid = mid or int(path[0])
        yield book(bar.us)
        for step, after in enumerate(path.tolist()):
            us = bar.us + step * span_us // STEPS
            if lots[step]:
                event_id += 1
                side = 1 if after > mid or (after == mid and coins[step]) else -1
                yield FeedEvent(TRADE, us, event_id, event_id, [(side, mid + side * HALF_SPREAD, int(lots[step]))])
            mid = after
            yield book(us)


def _book(mid: int, lots: int) -> dict[tuple[int, int], int]:
    places = [(side, mid - side * (HALF_SPREAD + away)) for side in (1, -1) for away in range(LEVELS)]
    return {place: lots for place in places if place[1] > 0}


def _path(bar: Bar, grid: Instrument, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return prices in ticks: open first, close last, both extremes in between, none exceeded."""
    opened, high, low, close = (
        max(HALF_SPREAD + 1, round(price / grid.tick_e8))
        for price in (bar.open_e8, bar.high_e8, bar.low_e8, bar.close_e8)
    )
    first, second = (low, high) if close >= opened else (high, low)
    at = [0, *sorted(rng.choice(np.arange(1, STEPS - 1), 2, replace=False).tolist()), STEPS - 1]
    path = np.empty(STEPS)
    for (begin, a), (end, b) in pairwise(zip(at, (opened, first, second, close), strict=True)):
        walk = np.concatenate([[0.0], rng.normal(size=end - begin).cumsum()])
        walk -= np.linspace(0.0, 1.0, end - begin + 1) * walk[-1]
        noise = walk * (high - low) / STEPS**0.5
        path[begin : end + 1] = np.linspace(a, b, end - begin + 1) + noise
    mids: NDArray[np.int64] = np.rint(np.clip(path, low, high)).astype(np.int64)
    return mids


def _prints(bar: Bar, grid: Instrument, rng: np.random.Generator) -> NDArray[np.int64]:
    weights = rng.exponential(size=STEPS)
    shares = np.concatenate([[0.0], weights.cumsum() / weights.sum()])
    shares[-1] = 1.0
    parts: NDArray[np.int64] = np.diff(np.floor(shares * (bar.volume_e8 // grid.lot_e8))).astype(np.int64)
    return parts

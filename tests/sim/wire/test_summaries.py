"""Klines and tickers of a box, by REST and as streams, against sums over its own trades that are made here."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from mm.sim.wire.box import LOCKSTEP_US, Box
from mm.sim.wire.spot import SPOT
from mm.sim.wire.usdm.market import UsdmMarket
from simulation import make_box
from usdm_desk import run

SYMBOL, OTHER, MINUTE_MS = "SIMUSDT", "BOXUSDT", 60_000
BEGIN_MS = LOCKSTEP_US // 1_000
MARKETS = [("spot", "/api/v3/"), ("usdm", "/fapi/v1/")]


def served(market: str, *symbols: str) -> Box:
    """Return a box of a market with simulated traders, in lockstep."""
    speaks = UsdmMarket() if market == "usdm" else SPOT
    more: dict[str, Any] = {"begins_us": LOCKSTEP_US, "scenario": "poisson", "limits": False}
    first, *others = symbols or (SYMBOL,)
    box = make_box(symbol=first, speed=0, market=speaks, **more)
    for other in others:
        make_box(symbol=other, beside=box, **more)
    return box


def trades_of(box: Box) -> list[tuple[int, int, Decimal, Decimal, bool]]:
    """Return all trades: id, ms, price, quantity, whether the taker bought."""
    truth = box.truth
    return [
        (one.trade_id, one.us // 1_000, Decimal(one.price), Decimal(one.qty), not one.is_buyer_maker)
        for one in truth.trades(truth.first_trade_id, truth.last_trade_id)
    ]


def summed(trades: list[tuple[int, int, Decimal, Decimal, bool]], begin_ms: int, end_ms: int) -> list[Any] | None:
    """Return open, high, low, close, volume, turnover, count and what takers bought, by hand."""
    inside = [one for one in trades if begin_ms <= one[1] < end_ms]
    if not inside:
        return None
    prices = [price for _, _, price, _, _ in inside]
    worth = [(price * quantity, quantity, bought) for _, _, price, quantity, bought in inside]
    volume, turnover = sum(one[1] for one in worth), sum(one[0] for one in worth)
    taken = sum(one[1] for one in worth if one[2]), sum(one[0] for one in worth if one[2])
    return [prices[0], max(prices), min(prices), prices[-1], volume, turnover, len(inside), *taken]


def numbers(row: list[Any]) -> list[Any]:
    """Return the numbers of a kline as `summed` has them."""
    return [Decimal(str(row[at])) for at in (1, 2, 3, 4, 5, 7, 8, 9, 10)]


@pytest.mark.parametrize(("market", "root"), MARKETS)
@pytest.mark.parametrize(("interval", "minutes"), [("1m", 1), ("3m", 3), ("1h", 60)])
def test_klines_are_the_sums_of_the_trades(market: str, root: str, interval: str, minutes: int) -> None:
    """Each row, from its begin to its end; the last one is in progress."""

    async def case() -> None:
        async with served(market).open() as box, httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http:
            await box.advance(seconds=3 * 60 + 31)
            trades = trades_of(box)
            rows = (await http.get(f"{root}klines", params={"symbol": SYMBOL, "interval": interval})).json()
            assert len(trades) > 100
            assert len(rows) == -(-211 // (60 * minutes))
            for row in rows:
                assert row[6] - row[0] == minutes * MINUTE_MS - 1
                assert numbers(row) == summed(trades, row[0], row[6] + 1)
            assert sum(row[8] for row in rows) == len(trades)

    run(case)


@pytest.mark.parametrize(("market", "root"), MARKETS)
def test_klines_of_a_span_and_without_trades(market: str, root: str) -> None:
    """Start, end and limit; a minute without a trade has the last price and no volume."""

    async def case() -> None:
        box = make_box(
            symbol=SYMBOL,
            begins_us=LOCKSTEP_US,
            speed=0,
            limits=False,
            market=SPOT if market == "spot" else UsdmMarket(),
        )
        async with box.open(), httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http:

            async def rows(**more: Any) -> list[Any]:
                return (await http.get(f"{root}klines", params={"symbol": SYMBOL, "interval": "1m"} | more)).json()

            assert await rows() == []
            core = box.exchange._core  # the market's own orders, whose trades are known
            for minute, ticks, lots in ((0, 10_000, 3), (3, 10_010, 5)):
                await box.advance(seconds=max(0, minute * 60 + 10 - (box.scheduler.done_us - LOCKSTEP_US) / 1e6))
                core.submit(box.scheduler.done_us, 1_000, -1, ticks, lots)
                core.submit(box.scheduler.done_us, 1_001, 1, ticks, lots)
                box.exchange._drain()
            await box.advance(seconds=120)
            found = await rows()
            assert [row[0] for row in found] == [BEGIN_MS + at * MINUTE_MS for at in range(6)]
            assert [Decimal(row[4]) for row in found] == [
                Decimal(one) for one in ("100", "100", "100", "100.1", "100.1", "100.1")
            ]
            assert [row[8] for row in found] == [1, 0, 0, 1, 0, 0]
            assert await rows(limit=2) == found[-2:]
            assert await rows(startTime=BEGIN_MS + 1, limit=2) == found[1:3]
            assert await rows(startTime=BEGIN_MS, endTime=BEGIN_MS + MINUTE_MS) == found[:2]
            assert await rows(startTime=BEGIN_MS + 10**9) == []

    run(case)


def test_seconds_zones_windows_and_days_of_spot() -> None:
    """Klines of a second, a day that begins in a time zone, the rolling window and the trading day."""

    async def case() -> None:
        async with served("spot").open() as box, httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http:
            await box.advance(seconds=121)
            trades = trades_of(box)

            async def ask(path: str, **params: Any) -> Any:
                return (await http.get(f"/api/v3/{path}", params={"symbol": SYMBOL} | params)).json()

            rows = await ask("uiKlines", interval="1s", limit=100)
            assert len(rows) == 100
            for row in rows:
                if row[8]:
                    assert numbers(row) == summed(trades, row[0], row[0] + 1_000)
            (day,) = await ask("klines", interval="1d", timeZone="+05:45")
            assert (day[0] + 345 * MINUTE_MS) % (24 * 60 * MINUTE_MS) == 0
            assert numbers(day) == summed(trades, 0, 10**15)
            window = await ask("ticker", windowSize="1m")
            exact = summed(trades, window["openTime"], window["closeTime"] + 1)
            assert exact
            assert [
                Decimal(window[name])
                for name in ("openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume")
            ] == exact[:6]
            today = await ask("ticker/tradingDay")
            assert (today["count"], today["openTime"] % (24 * 60 * MINUTE_MS)) == (len(trades), 0)
            for bad in ({"interval": "7m"}, {"interval": "1m", "timeZone": "+99"}):
                assert (await ask("klines", **bad))["code"] in (-1120, -1130)

    run(case)


def test_mark_index_premium_and_continuous_klines_of_a_contract() -> None:
    """The mark price of each second makes a minute's bar; the index is the same, the premium is none."""

    async def case() -> None:
        async with served("usdm").open() as box, httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http:
            told: list[tuple[int, Decimal]] = []
            box.exchange.hear_marks(lambda one: told.append((one.us // 1_000, Decimal(one.mark_e8) / 10**8)))  # type: ignore[attr-defined]
            await box.advance(seconds=185)

            async def ask(path: str, **params: Any) -> Any:
                return (await http.get(f"/fapi/v1/{path}", params={"interval": "1m"} | params)).json()

            marks = await ask("markPriceKlines", symbol=SYMBOL)
            for row in marks[1:3]:
                prices = [price for at, price in told if row[0] <= at <= row[6]]
                assert [Decimal(text) for text in row[1:5]] == [prices[0], max(prices), min(prices), prices[-1]]
                assert row[8] == len(prices) == 60
            assert await ask("indexPriceKlines", pair=SYMBOL) == marks
            assert {text for row in await ask("premiumIndexKlines", symbol=SYMBOL) for text in row[1:5]} == {
                "0.00000000"
            }
            own = await ask("continuousKlines", pair=SYMBOL, contractType="PERPETUAL")
            assert own == await ask("klines", symbol=SYMBOL)
            assert (await ask("continuousKlines", pair=SYMBOL, contractType="NEXT_QUARTER"))["code"] == -4104
            assert (await ask("indexPriceKlines", pair="NOPE"))["code"] == -4144

    run(case)


async def heard(box: Box, path: str, seconds: float) -> list[Any]:
    """Return the messages of a connection while the time passes."""
    async with connect(f"{box.ws_url}{path}", proxy=None, compression=None, ping_interval=None) as socket:
        await box.advance(seconds=seconds)
        await socket.send('{"method": "LIST_SUBSCRIPTIONS", "id": 1}')
        messages = []
        async for text in socket:
            message = json.loads(text)
            if isinstance(message, dict) and message.get("id") == 1:
                return messages
            messages.append(message)
    raise AssertionError


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_kline_stream_sends_each_minute_until_it_is_closed(market: str) -> None:
    """What was sent of a minute at each instant is the sum of the trades before that instant."""

    async def case() -> None:
        async with served(market).open() as box:
            events = await heard(box, f"/ws/{SYMBOL.lower()}@kline_1m", 121)
            trades = trades_of(box)
            assert all(earlier["E"] < later["E"] for earlier, later in pairwise(events))
            assert len([one for one in events if one["k"]["x"]]) == 2
            for event in events:
                line = event["k"]
                exact = summed(trades, line["t"], min(event["E"], line["T"] + 1))
                if exact is None:  # no trade yet in this minute: the price before it
                    before = [price for _, at, price, _, _ in trades if at < line["t"]]
                    exact = [before[-1]] * 4 + [Decimal(0)] * 5
                assert exact == [Decimal(str(line[name])) for name in "ohlcvqnVQ"]
                assert event["E"] % (250 if market == "usdm" else 2_000) == 0

    run(case)


def test_continuous_kline_mean_and_window_streams() -> None:
    """Their names, and that their numbers are those of REST at the same instant."""

    async def case() -> None:
        async with served("usdm").open() as box:
            (*_, last) = await heard(box, f"/ws/{SYMBOL.lower()}_perpetual@continuousKline_1m", 20)
            assert (last["e"], last["ps"], last["ct"], last["k"]["i"]) == (
                "continuous_kline",
                SYMBOL,
                "PERPETUAL",
                "1m",
            )
        async with served("spot").open() as box, httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http:
            names = f"{SYMBOL.lower()}@avgPrice/{SYMBOL.lower()}@ticker_1h/{SYMBOL.lower()}@miniTicker"
            events = {one["e"]: one for one in await heard(box, f"/ws/{names}", 20)}
            assert set(events) == {"avgPrice", "1hTicker", "24hrMiniTicker"}
            day = (await http.get("/api/v3/ticker/24hr", params={"symbol": SYMBOL})).json()
            assert events["24hrMiniTicker"]["c"] in (day["lastPrice"], events["1hTicker"]["c"])
            mean = summed(trades_of(box), 0, events["avgPrice"]["E"])
            assert mean
            assert abs(Decimal(events["avgPrice"]["w"]) - mean[5] / mean[4]) < Decimal("1e-8")

    run(case)


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_ticker_arrays_have_all_symbols_at_one_instant(market: str) -> None:
    """Of each symbol the day as it was before that instant."""

    async def case() -> None:
        async with served(market, SYMBOL, OTHER).open() as box:
            arrays = await heard(box, "/ws/!ticker@arr", 6)
            assert {one["s"] for one in arrays[-1]} | {one["s"] for one in arrays[-2]} == {SYMBOL, OTHER}
            for array in arrays:
                assert len({one["E"] for one in array}) == 1
                for ticker in array:
                    exact = summed(trades_of(box.symbols[ticker["s"]]), 0, ticker["E"])
                    assert exact
                    assert [Decimal(str(ticker[name])) for name in "ohlcvqn"] == exact[:7]
                    assert Decimal(ticker["p"]) == exact[3] - exact[0]

    run(case)


def test_streams_of_all_contracts() -> None:
    """Mark prices as one array, the best prices of each, and the states of contracts."""

    async def case() -> None:
        async with served("usdm", SYMBOL, OTHER).open() as box:
            marks = await heard(box, "/market/ws/!markPrice@arr@1s", 3)
            assert [sorted(one["s"] for one in array) for array in marks] == [[OTHER, SYMBOL]] * 3
            best = await heard(box, "/public/ws/!bookTicker", 11)
            assert {one["s"] for one in best} == {SYMBOL, OTHER}
            assert {one["E"] % 5_000 for one in best} == {0}
            box.exchange.rules = box.exchange.rules.of_status("SETTLING")
            (told,) = await heard(box, "/market/ws/!contractInfo", 1)
            assert (told["e"], told["s"], told["cs"]) == ("contractInfo", SYMBOL, "SETTLING")

    run(case)

"""The legs of a trader: symbols of its strategy's other markets in which it sends orders."""

import json
from pathlib import Path

import pytest
from test_trade_symbols import FIRST, SECOND

from mm.backtest.rules import Account
from mm.cli.task_knobs import BinanceMarket, Recorder, Sources
from mm.commands.trade import legs_of
from mm.errors import UsageError
from mm.live.knobs import OrderAccess
from mm.play.knobs import Day, Models, OtherMarkets


def knobs(market="spot", **others):
    found = {OtherMarkets: OtherMarkets(others=json.dumps(others)), Models: Models(), Account: Account()}
    source = {Sources: Sources(symbol=FIRST), Recorder: Recorder(), OrderAccess: OrderAccess()}
    return {**found, **source, BinanceMarket: BinanceMarket(market=market)}


def test_leg_is_a_symbol_of_the_account_or_of_the_one_in_another_market():
    leg = {"symbol": SECOND, "orders": {}}
    assert [*legs_of({FIRST: knobs(second=leg)})] == [SECOND]
    assert legs_of({FIRST: knobs(second={"symbol": SECOND, "market": "usdm"})}) == {}
    for own, other in (("spot", "usdm"), ("usdm", "spot")):
        assert [*legs_of({FIRST: knobs(own, second={**leg, "market": own})})] == [SECOND]
        urls = {"ws_url": "ws://h", "rest_url": "http://h", "ws_api_url": "ws://h/w"}
        elsewhere = {"symbol": FIRST, "orders": {}, "market": other, "data_root": "elsewhere", **urls}
        ((key, found),) = legs_of({FIRST: knobs(own, second=elsewhere)}).items()
        assert (key, found.symbol, found.objects[BinanceMarket].market) == (f"{FIRST}.{other}", FIRST, other)
        assert (found.objects[Recorder].ws_url, found.objects[Recorder].rest_url) == ("ws://h", "http://h")
        assert (found.objects[OrderAccess].ws_api_url, found.objects[Sources].data_root) == (
            "ws://h/w",
            Path("elsewhere"),
        )
        day = found.day(Day(symbol=FIRST, day="20260105", out_dir=Path("here")))
        assert (day.symbol, day.out_root, day.data_root) == (FIRST, Path("out") / other, Path("elsewhere"))
        assert day.out_dir == Path("here") / other


def test_legs_of_another_place_or_another_strategy_are_refused():
    leg = {"symbol": SECOND, "orders": {}}
    for elsewhere in ({"data_root": "other"}, {"rest_url": "http://127.0.0.1:1"}, {"ws_url": "ws://127.0.0.1:1"}):
        with pytest.raises(UsageError, match=f"second has orders and {next(iter(elsewhere))}, but is"):
            legs_of({FIRST: knobs(second={**leg, **elsewhere})})
    for own_days in ({}, {"data_root": "data"}):
        with pytest.raises(UsageError, match="second has orders in another market, whose days"):
            legs_of({FIRST: knobs(second={**leg, "market": "usdm", **own_days})})
    itself = {"symbol": FIRST, "orders": {}}
    twice = {**leg, "market": "usdm", "data_root": "other"}
    for symbols, key in (
        ({FIRST: knobs(second=leg), SECOND: knobs()}, SECOND),
        ({FIRST: knobs(a=leg, b=leg)}, SECOND),
        ({FIRST: knobs("usdm", second={**itself, "market": "usdm"})}, FIRST),
        ({FIRST: knobs(a=twice, b=twice)}, f"{SECOND}.usdm"),
    ):
        with pytest.raises(UsageError, match=f"{FIRST} has orders in {key}, whose"):
            legs_of(symbols)
    with pytest.raises(UsageError, match="order_latency_ms"):
        legs_of({FIRST: knobs(second={**leg, "orders": {"order_latency_ms": -1}})})

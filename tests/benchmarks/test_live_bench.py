"""The load of a measured trader, and the attribution of its requests to messages of their symbols."""

import json
from functools import partial

import msgspec
import pytest

from benchmarks import live
from benchmarks.live import GOAL, Stopwatch
from benchmarks.live_venue import Load, MovingFeed, OrderApi, head, moved_us, stamped


def messages(symbol, count):
    """Return so many messages of a symbol, each sent at a µs of its own; the first of ten moves the best prices."""
    feed = MovingFeed(symbol, levels=3).messages()
    return [stamped(head(symbol), next(feed), 1_000 + number) for number in range(count)]


def test_goal_is_four_symbols_seven_hundred_assets_two_thousand_messages():
    """Each symbol has its own messages and its own balance, and the account as many assets as are asked for."""
    assert (len(GOAL.traded), GOAL.assets, GOAL.rate) == (4, 700, 2_000)
    answer = msgspec.json.decode(OrderApi(GOAL).answer({"id": 1, "method": "account.status"}))
    held = {one["asset"] for one in answer["result"]["balances"]}
    assert len(held) == 700
    assert {symbol.removesuffix("USDT") for symbol in GOAL.traded} | {"USDT"} <= held
    first, second = (messages(symbol, 1)[0] for symbol in GOAL.traded[:2])
    assert json.loads(first)["data"]["s"] != json.loads(second)["data"]["s"]


def test_only_a_move_of_the_best_prices_is_timed():
    """By the time that the exchange has put into the message."""
    first, *others = messages("BTCUSDT", 10)
    assert moved_us(head("BTCUSDT"), first + others[0]) == 1_000
    assert [moved_us(head("BTCUSDT"), message) for message in others] == [0] * 9
    assert moved_us(head("BTCUSDT"), first[20:]) == 0  # the rest of a message that was read in two parts


def test_a_request_is_attributed_to_the_move_of_its_symbol(monkeypatch):
    """Of several symbols another one's message may be the last one read; processor time stands beside the wall."""
    clocks = {"perf_counter": 0.0, "thread_time": 0.0}
    for name in list(clocks):
        monkeypatch.setattr(live.time, name, partial(clocks.get, name))
    watch = Stopwatch()
    take = {symbol: watch.wrap_market(lambda _: None, symbol) for symbol in ("BTCUSDT", "C01USDT")}
    send = watch.wrap_send(lambda _: None)
    take["BTCUSDT"](messages("BTCUSDT", 1)[0])
    clocks.update(perf_counter=2.0, thread_time=0.5)
    take["C01USDT"](messages("C01USDT", 1)[0])
    clocks.update(perf_counter=3.0, thread_time=1.0)
    send(b'{"method":"order.place","params":{"symbol":"BTCUSDT","side":"BUY"}}')
    first, second = watch.moves
    assert (first.first_s, first.worked_s) == (3.0, 1.0)
    assert second.first_s == 0.0
    send(b'{"method":"order.place","params":{"symbol":"C01USDT","side":"BUY"}}')
    assert (second.first_s, second.worked_s) == (1.0, 0.5)
    assert sum(count for _, count in watch.arrivals) == 2


@pytest.mark.parametrize("load", [Load(), GOAL])
def test_measured_rows_have_wall_and_processor_time(load):
    """Median and 99th percentile of each."""
    keys = [f"{key}_{name}" for key in ("first", "last", "worked", "sent") for name in ("p10", "p50", "p90", "p99")]
    rows = live._rows(load, [dict.fromkeys([*keys, "followed", "core", "reached"], 1.0)], is_goal=load is GOAL)
    names = [row.name for row in rows]
    for what in ("to first order", "processor time"):
        assert {f"{what}, p50", f"{what}, p99"} <= {", ".join(name.split(", ")[-2:]) for name in names}

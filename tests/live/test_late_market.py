"""A line that grows late, and a process that was stopped: no order by a market that has gone on."""

import json
import os
import signal
import time

import numpy as np
import pytest
from pair_box import pair_of
from shadowed import CHANCE, shadowed, strategy
from test_trade_symbols import CALM, FIRST, SECOND, SYMBOLS, account
from trader_rig import STEP, TraderRig
from trading_box import STILL, ended, page, venue

from boxed import quicken
from state_servers import free_port

SEEN = ("market", "symbol", "data_root", "ws_url", "rest_url")
GROWING = "at time 3 do delay delay_s=6 grow_s=3"
FAST = {
    "REQUOTE_INTERVAL_MS": "50",
    "QUOTE_MODEL": "fixed_spread",
    "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}',
    "MAX_ORDERS_PER_S": "100",
    "MAX_POSITION": "100",
    "LATENCY_THRESHOLD_MS": "60000",
}


def test_shadow_of_a_line_that_grows_late_stops_quoting_as_its_replay_does(monkeypatch):
    """Nothing is ever silent, and a limit on silence alone would see nothing."""
    quicken(monkeypatch)

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(8)

    done = shadowed(scenario, GROWING, knobs=strategy(**CHANCE), scenario_name="zero_intelligence")
    assert done.found.same, done.found.first_difference
    assert done.found.rows["breaches_live"] > 0
    stale = [row for row in done.journal.breaches.tolist() if row[1] == 5]  # FEED_STALE_S of LIMITS
    assert stale, done.journal.breaches
    last_us = done.journal.decisions[-1, 0]
    orders = done.journal.orders
    placed_us = orders[orders[:, 2] == 0, 0]  # PLACE
    assert stale[0][0] < last_us - 1_000_000
    assert not np.any(placed_us > stale[0][0])


def test_trader_that_was_stopped_sends_nothing_before_it_has_read_the_rest():
    """It is decided on the last of what came meanwhile, and at once."""
    waiting = []
    rig = TraderRig(unread=lambda: bool(waiting))
    rig.wire.take()
    rig.trader.act()
    waiting.append("messages")
    rig.feed("depth", (1, 10_001, STEP), after_us=2_000_000)
    rig.trader.act(rig.us + 100)
    rig.feed("depth", (1, 10_000, STEP), (1, 10_001, 0), after_us=1_000)
    assert rig.wire.take() == []
    waiting.clear()
    rig.feed("depth", (-1, 10_001, STEP), after_us=1_000)
    assert [action for action, *_ in rig.wire.take()] == ["replace"]  # of the ask, which the book now holds alone


def test_trader_that_cannot_read_fast_enough_cancels_and_quotes_once_it_has():
    """Orders would rest at old prices as long as the rest lasts."""
    waiting = ["messages"]
    rig = TraderRig(unread=lambda: bool(waiting))
    for order_id in (1, 2):
        rig.trader.accepted(order_id, rig.us, 90 + order_id)
    rig.trader.ready_changed(True, "")
    rig.wire.take()
    rig.us += 2_000_000
    for _ in range(7):
        rig.feed("depth", (1, 10_000, 6 * STEP), after_us=90_000)
    assert sorted(rig.wire.take()) == [("cancel", 1), ("cancel", 2)]
    for order_id in (1, 2):
        rig.trader.closed(order_id, rig.us, "CANCELED")
    rig.feed("depth", (1, 10_000, 7 * STEP), after_us=90_000)
    assert rig.wire.take() == []
    assert rig.trader.lost == "messages wait to be read"
    waiting.clear()
    rig.feed("depth", (1, 10_000, 8 * STEP), after_us=300_000)
    assert [action for action, *_ in rig.wire.take()] == ["place", "place"]
    assert "messages_unread" in rig.notes.logged


def test_order_that_waited_leaves_only_once_the_rest_is_read():
    """The gateway asks the trader, which first decides on what has come."""
    waiting = []
    rig = TraderRig(unread=lambda: bool(waiting))
    assert rig.trader.caught_up()
    waiting.append("messages")
    rig.us += 2_000_000
    assert not rig.trader.caught_up()
    waiting.clear()
    assert rig.trader.caught_up()


@pytest.mark.slow
@pytest.mark.parametrize("of", ["any", "line"])
@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_trade_on_a_line_that_grows_late_has_no_orders_and_says_why(tmp_path, market, of):
    """It is not ready, its page shows the age, and it trades again once the line is in time.

    Where answers are late too, an order ends once its late acknowledgement has come.
    """
    port = free_port()
    flags = ("--market", "usdm") if market == "usdm" else ()
    knobs = {**FAST, "MARKET": market, "METRICS_PORT": str(port), "FEED_STALE_S": "2"}
    with venue(tmp_path, *flags) as box, box.trader(**knobs) as process:
        box.until(lambda: box.sent() > 2, "orders", process=process)
        box.post("/sim/faults", f"at time 0 do delay delay_s=6 grow_s=6 for_s=25 of={of}")
        box.until(lambda: "market is" in ready(port), "unreadiness", seconds=15, process=process)
        time.sleep(1)
        box.until(lambda: of == "any" or not box.account()["openOrders"], "the ends", seconds=10, process=process)
        before = box.sent()
        for _ in range(20):
            assert box.account()["openOrders"] == []
            time.sleep(0.2)
        assert box.sent() == before
        found = {line.partition("{")[0]: line.split()[-1] for line in page(port) if line[:1] != "#"}
        assert float(found["mm_book_age_seconds"]) > 2
        assert float(found["mm_market_late_seconds"]) > 2
        box.until(lambda: box.sent() > before, "orders in time again", seconds=60, process=process)
        code, output, _ = ended(process)
        assert code == 0, output
        assert "market_late" in output


@pytest.mark.slow
@pytest.mark.parametrize("late", ["own", "leg", "other"])
def test_trade_of_two_markets_quotes_in_neither_while_one_is_late(tmp_path, late):
    """Its own, that of its leg, or another one that it only sees: it says which, and goes on once all are in time."""
    port = free_port()
    with pair_of(tmp_path) as pair:
        more = {**FAST, "QUOTE_QTY": "0.2", "METRICS_PORT": str(port), "FEED_STALE_S": "2"}
        if late != "other":
            more |= {"QUOTE_MODEL": "pair:Hedge", "QUOTE_PARAMS_JSON": "{}"}
        else:
            more["OTHERS"] = json.dumps({"other": {k: v for k, v in pair.leg_terms().items() if k in SEEN}})
        own, box = pair.boxes[pair.own], pair.boxes[pair.own if late == "own" else pair.leg]
        with pair.trader(**more) as process:
            own.until(lambda: own.sent() > 2, "orders", process=process)
            box.post("/sim/faults", "at time 0 do delay delay_s=6 grow_s=6 for_s=20 of=any")
            words = ("market is", "FEED_STALE_S")
            own.until(lambda: any(word in ready(port) for word in words), "unreadiness", 15, process)
            time.sleep(1)
            own.until(lambda: not any(pair.open().values()), "the ends of all orders", 15, process)
            before = own.sent()
            for _ in range(15):
                assert not any(pair.open().values())
                time.sleep(0.2)
            assert own.sent() == before
            own.until(lambda: own.sent() > before, "orders in time again", seconds=60, process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        assert "market_late" in output or "FEED_STALE_S" in output


@pytest.mark.slow
def test_late_stream_of_one_symbol_pulls_its_quotes_and_no_others(tmp_path):
    """Its messages are late and never silent; the account and the other symbol are in time."""
    port, knobs = free_port(), {**FAST, **CALM, "FEED_STALE_S": "1.5"}
    with account(tmp_path) as box, box.trader(**knobs, METRICS_PORT=str(port)) as process:
        box.until(lambda: all(placed(box.of(symbol), 0) for symbol in SYMBOLS), "orders", process=process)
        late, in_time = SECOND, FIRST
        streams = {
            one["streams"][0].partition("@")[0].upper(): one["id"] for one in box.get("/sim/state")["connections"]
        }
        box.post("/sim/faults", f"at time 0 on {streams[late]} do lag delay_s=2.2 of=any for_s=15")
        box.until(lambda: late in ready(port), "unreadiness", 20, process)
        assert in_time not in ready(port)
        box.until(lambda: not box.account(symbol=late)["openOrders"], "the ends of its orders", 10, process)
        before = [placed(box.of(symbol), 0) for symbol in (late, in_time)]
        for _ in range(15):
            assert box.account(symbol=late)["openOrders"] == []
            time.sleep(0.2)
        after = [placed(box.of(symbol), 0) for symbol in (late, in_time)]
        assert len(after[0]) == len(before[0])
        assert len(after[1]) > len(before[1])
        box.until(lambda: len(placed(box.of(late), 0)) > len(after[0]), "its quotes in time", 60, process)
        code, output, _ = ended(process)
    assert code == 0, output
    assert "market_late" in output


def ready(port):
    """Return what a trader's page says of its readiness."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


@pytest.mark.slow
def test_stopped_process_reads_the_rest_before_it_sends(tmp_path):
    """The market has moved by a tenth meanwhile: no order is priced by the old one, with any limit on its age."""
    knobs = {**FAST, **STILL, "MAX_MOVE": "0.5", "PRICE_BAND": "0.5", "MAX_DAILY_LOSS": "100000", "MAX_DRAWDOWN": "0.5"}
    with venue(tmp_path, "--scenario", "empty") as box:
        resting = [box.place_resting("BUY", "99.00"), box.place_resting("SELL", "101.00")]
        with box.trader(**knobs) as process:
            box.until_with_updates(lambda: box.sent() > 1, "orders", process)
            for bid in (109, 99, 109, 99):
                os.kill(process.pid, signal.SIGSTOP)
                stopped_us = box.account()["now_us"]
                for order in resting:
                    box.cancel(order)
                resting = [box.place_resting(side, f"{bid + more}.00") for side, more in (("BUY", 0), ("SELL", 2))]
                time.sleep(1)
                os.kill(process.pid, signal.SIGCONT)
                box.until_with_updates(lambda: placed(box, stopped_us), "an order", process)  # noqa: B023
                prices = [float(one["price"]) for one in placed(box, stopped_us)]
                assert all(abs(price - bid - 1) < 5 for price in prices), prices
            code, output, _ = ended(process)
            assert code == 0, output


def placed(box, since_us):
    """Return the orders of the trader that reached the exchange since an instant."""
    return [one for one in box.account(since_us)["orders"] if one["time"] > since_us]

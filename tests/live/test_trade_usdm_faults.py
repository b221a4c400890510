"""``mm trade --market usdm`` with the faults of the exchange in a box: after each, position and wallet are equal."""

import json
import time
from decimal import Decimal

import pytest
from trading_box import ended
from usdm_box import contract_box

MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")
MOST = Decimal("6")  # the position limit: two orders, and what one whose cancel is on its way may fill beside it
SETTLES_S, LONGEST_S = 120, 1200
FAULTS = [
    "ack_lost n=2",
    "ack_lost n=2 undone=1",
    "ack_late n=2 delay_s=0.6",
    *(f"error code={code}" for code in (-1006, -1007, -1021)),
    *(f"error code={code} undone=1" for code in (-1006, -1007, -1015, -1021, -2019)),
    "error code=-2011 path=order.cancel undone=1",
    "drop of=user n=4",
    "duplicate of=user n=4",
    "swap of=user n=3",
    "lag of=user delay_s=0.3 for_s=1",
    "stall of=user for_s=1.5",
    "terminate",
    "close of=user code=1006",
    "reset of=both",
    "status path=order.place code=503",
    "status path=order.place code=429 retry_after=1",
    "fill_on_cancel n=2",
    "restart books=kept for_s=0.5",
    "restart books=lost for_s=0.5",
    "half_open of=user",
]
OF_MOVES = [
    "ack_lost n=2 path=order.modify",
    "ack_lost n=2 path=order.modify undone=1",
    "ack_late n=2 delay_s=0.6 path=order.modify",
    *(f"error code={code} path=order.modify" for code in (-1007, -1021)),
    *(f"error code={code} path=order.modify undone=1" for code in (-1007, -1015, -2013, -2019, -5022, -5027)),
    "fill_on_cancel n=2 path=order.modify",
    *(one for one in FAULTS if "of=" in one or "restart" in one or one == "terminate"),
]
OF_REQUESTS = ("ack_lost", "ack_late", "error", "status", "fill_on_cancel")


@pytest.fixture(scope="module", params=["0", "1"], ids=["replaces", "moves"])
def trading(request, tmp_path_factory):
    limits = {"MAX_POSITION": str(MOST), "LATENCY_THRESHOLD_MS": "60000", "MAX_OPEN_ORDERS": "3"}
    limits["ORDER_MODIFY"] = request.param
    with contract_box(tmp_path_factory.mktemp("faults"), *MARKET, longest_s=LONGEST_S) as box:
        with box.trader(**limits) as process:
            box.until(lambda: len(box.account()["trades"]) > 1, "fills", process=process)
            yield box, process, request.param == "1"
            code, output, _ = ended(process)
        assert code == 0, output
        assert box.account()["openOrders"] == []
        box.check_books()
        _check_exposure(box)
        moved = [row for row in box.rows("ack") if row["action"] == "amend" and "price" in row]
        assert bool(moved) is (request.param == "1")


def _check_exposure(box):
    """Assert that no trade has led beyond the limit on the position."""
    position = Decimal(0)
    for one in box.account()["trades"]:
        position += Decimal(one["qty"]) * (1 if one["side"] == "BUY" else -1)
        assert abs(position) <= MOST, one


@pytest.mark.slow
@pytest.mark.parametrize("fault", list(dict.fromkeys([*FAULTS, *OF_MOVES])))
def test_books_match_exchange_after_fault(trading, fault):
    """Quoting goes on, and each trade is booked once."""
    box, process, moves = trading
    if fault not in (OF_MOVES if moves else FAULTS):
        pytest.skip("this trade sends no such request")
    since_us = box.get("/sim/state")["now_us"]
    box.post("/sim/faults", f"at time 0 do {fault}")
    of_requests = fault.split()[0] in OF_REQUESTS

    def booked():
        return {row["trade_id"] for row in box.rows("fill")} == {one["id"] for one in box.account()["trades"]}

    def placed():
        after = box.account(since_us)["requests"]
        hits = [number for number, one in enumerate(after) if one["faults"]] if of_requests else [-1]
        return hits and any((one["outcome"] or {}).get("status") == 200 for one in after[hits[-1] + 1 :])

    box.until(placed, f"an order after {fault}", SETTLES_S, process=process)
    box.until(booked, f"the fills of {fault}", SETTLES_S, process=process)


@pytest.mark.slow
def test_listen_key_that_is_ended_elsewhere_is_replaced(tmp_path):
    """Nothing tells its end: the stream stays open, and is silent."""
    with contract_box(tmp_path) as box:
        with box.trader() as process:
            box.until(lambda: len(box.account()["trades"]) > 1, "fills", process=process)
            assert box.signed("DELETE", "v1/listenKey", "alice") == {}
            time.sleep(8)
            since_us = box.get("/sim/state")["now_us"]
            box.until(lambda: box.account(since_us)["trades"], "fills", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        assert "it did not tell of an order" in output
        assert "gateway_connected connections=2" in output
        box.check_books()


def test_contract_that_stops_trading_pulls_the_quotes_until_it_trades_again(tmp_path):
    """A refusal says it first, since the status is asked for every quarter of an hour: few orders are tried in vain."""
    with contract_box(tmp_path) as box:
        with box.trader() as process:
            box.until(lambda: box.account()["openOrders"], "quotes", process=process)
            box.post("/sim/status", json.dumps({"status": "SETTLING"}))
            box.until(lambda: box.rows("reject"), "a refusal", process=process)
            box.until(lambda: not box.account()["openOrders"], "no orders", 10, process)
            until_s = time.monotonic() + 5
            box.until(lambda: time.monotonic() > until_s, "a while", process=process)
            refused = [row["code"] for row in box.rows("reject") if row["action"] == "place"]
            assert refused.count(-4141) <= 8
            box.post("/sim/status", json.dumps({"status": "TRADING"}))
            box.until(lambda: box.account()["openOrders"], "quotes", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        assert "exchange_info status=SETTLING" in output
        box.check_books()


@pytest.mark.slow
def test_mark_price_that_has_moved_is_asked_for_once_an_order_is_refused_by_it(tmp_path):
    """Orders are kept back by the mark price that was known last: it is not that of the last reconcile."""
    with contract_box(tmp_path) as box:
        box.post("/sim/mark", json.dumps({"price": "80"}))
        time.sleep(1.5)  # it counts from the next second on
        with box.trader(RECONCILE_INTERVAL_S="600") as process:
            box.until(lambda: box.rows("mark"), "a mid", process=process)
            box.post("/sim/mark", json.dumps({"price": None}))
            box.until(lambda: box.account()["trades"], "fills", 30, process)
            code, output, _ = ended(process)
        assert code == 0, output
        box.check_books()

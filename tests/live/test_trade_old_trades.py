"""Trades and orders that the exchange tells only by their ids, or no longer: USD-M's seven and ninety days."""

import pytest
from trading_box import ended
from usdm_box import contract_box

DAY_MS = 86_400_000


def later(box, days):
    """Let the exchange's clock show a later day; what has happened keeps its time."""
    box.post("/sim/faults", f"at time 0 do clock_offset ms={days * DAY_MS}")


def test_exchange_tells_trades_of_seven_days_and_orders_of_ninety(tmp_path):
    """A trade id or an order id finds older trades; an order that ended unfilled is known for three days."""
    with contract_box(tmp_path) as box:
        named = {"symbol": box.ready["symbol"]}
        filled = box.order("BUY", "1", "alice")["orderId"]
        unfilled = box.place_resting("BUY", "96.00", user="alice")
        box.cancel(unfilled, "alice")
        trades = box.signed("GET", "v1/userTrades", "alice", **named)
        assert trades
        later(box, 6)
        assert box.signed("GET", "v1/userTrades", "alice", **named) == trades
        codes = [box.signed("GET", "v1/order", "alice", **named, orderId=one).get("code") for one in (filled, unfilled)]
        assert codes == [None, -2013]
        later(box, 2)
        assert box.signed("GET", "v1/userTrades", "alice", **named) == []
        for by in ({"fromId": 0}, {"orderId": filled}, {"startTime": trades[0]["time"]}):
            assert box.signed("GET", "v1/userTrades", "alice", **named, **by) == trades
        span = {"startTime": trades[0]["time"], "endTime": trades[0]["time"] + 8 * DAY_MS}
        assert box.signed("GET", "v1/userTrades", "alice", **named, **span)["code"] == -1127
        later(box, 90)
        assert box.signed("GET", "v1/order", "alice", **named, orderId=filled)["code"] == -2013


@pytest.mark.slow
def test_ledgers_old_and_new_go_on_after_weeks_without_a_trade(tmp_path):
    """No old fill is booked into a new ledger, and none twice into the old one; 98 days later neither."""
    with contract_box(tmp_path) as box:

        def traded(**terms):
            with box.trader(**terms) as process:
                box.until(lambda: box.account()["openOrders"], "orders", process=process)
                code, output, _ = ended(process)
            assert code == 0, output

        with box.trader() as process:
            box.until(lambda: len(box.rows("fill")) > 1, "fills", process=process)
            assert ended(process)[0] == 0
        assert box.run("trade", "flatten", "--max-cost", "1000").returncode in (0, 75)
        if box.position:
            box.order("SELL" if box.position > 0 else "BUY", str(abs(box.position)), "alice")
        old = {row["trade_id"] for row in box.rows("fill")}
        later(box, 8)
        traded(OUT_ROOT="new")
        logs = "".join(path.read_text() for path in (tmp_path / "new" / "audit").rglob("*.ndjson"))
        assert not any(f'"trade_id":{one},' in logs for one in old)
        later(box, 90)
        traded(OUT_ROOT="new")

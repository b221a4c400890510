"""A fill whose event was lost before a kill -9: the next start books it, though later ones are booked."""

import pytest
from trading_box import STILL, ended, venue
from trading_truth import log_rows
from usdm_box import contract_box

KNOBS = {
    **STILL,
    "QUOTE_MODEL": "fixed_spread",
    "QUOTE_PARAMS_JSON": '{"delta_ticks": 20}',
    "QUOTE_QTY": "2",
    "MAX_POSITION": "100",
    "REQUOTE_INTERVAL_MS": "600000",
    "RECONCILE_INTERVAL_S": "600",
}
BOXES = {"spot": venue, "usdm": contract_box}


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["first", "both"])
@pytest.mark.parametrize("market", BOXES)
def test_fill_of_a_lost_event_is_booked_though_it_is_older_than_the_first_booked_one(tmp_path, market, lost):
    with BOXES[market](tmp_path, "--scenario", "empty", longest_s=90) as box:
        for side, price in (("BUY", "99"), ("SELL", "101")):
            box.place_resting(side, price)
        with box.trader(**KNOBS) as process:
            box.until_with_updates(lambda: len(box.account()["openOrders"]) == 2, "orders", process)
            fault = "drop n=2" if lost == "first" else "stall"  # an order's event and the balances, or all
            box.post("/sim/faults", f"at time 0 do {fault} of=user")
            box.order("SELL", "1")
            box.order("BUY", "1")
            if lost == "first":
                box.until(lambda: box.rows("fill"), "the second fill", process=process)
            process.kill()
            process.communicate()
        assert len(box.rows("fill")) == (1 if lost == "first" else 0)
        with box.trader(**KNOBS) as process:
            before = box.sent()
            box.until_with_updates(lambda before=before: box.sent() > before, "orders", process)
            code, output, _ = ended(process)
        assert (code, box.rows("transfer")) == (0, []), output
        booked = sorted(row["trade_id"] for row in log_rows(box) if row["type"] == "fill")
        assert booked == sorted(int(one["id"]) for one in box.account()["trades"])

"""``mm trade`` with ORDER_AMEND=1: quotes that shrink with the inventory amend their orders, also with faults.

A fill of the nearest level makes the more distant ones smaller.
"""

import json
from collections import Counter

import pytest
from trading_box import ended, venue
from trading_truth import assert_all_known, assert_equal_books, booked, largest_exposure

MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "1")
SHRINKS = {"model": ["fixed_spread", {"delta_ticks": 3}], "steps": [["fushimi_size", {"eta": 0.9}], ["post_only", {}]]}
KNOBS = {
    "ORDER_AMEND": "1",
    "QUOTE_MODEL": "steps",
    "QUOTE_PARAMS_JSON": json.dumps(SHRINKS),
    "QUOTE_QTY": "0.5",
    "QUOTE_LEVELS": "3",
    "MAX_OPEN_ORDERS": "6",
    "MAX_POSITION": "5",
    "LATENCY_THRESHOLD_MS": "60000",
}
AMEND, SETTLES_S = "order.amend.keepPriority", 60
FAULTS = [f"ack_lost path={AMEND}", f"error code=-1007 path={AMEND} undone=1", f"fill_on_cancel path={AMEND}"]


def amended(box, sides=("BUY", "SELL")):
    """Return how many orders of *sides* the exchange has amended."""
    events = [one.get("event", one) for one in box.account()["events"]]
    return sum(one.get("e") == "executionReport" and one["x"] == "REPLACED" and one["S"] in sides for one in events)


@pytest.mark.slow
def test_amended_orders_match_exchange_despite_faults(tmp_path):
    """Each fault hits the next amendment, or its events; the log contains every intent, and it verifies."""
    with venue(tmp_path, *MARKET, "--limits", "off") as box:
        with box.trader(**KNOBS) as process:
            box.until(lambda: amended(box), "amendments", process=process)
            for fault in FAULTS:
                before = amended(box)
                box.post("/sim/faults", f"at time 0 do {fault}")
                box.until(lambda before=before: amended(box) > before, f"amendments after {fault}", process=process)
                assert_all_known(box)
            for side in ("BUY", "SELL"):
                box.until(lambda side=side: amended(box, [side]), f"an amendment of a {side}", process=process)
            known = {int(one["id"]) for one in box.account()["trades"]}
            box.until(lambda: known <= booked(box).keys(), "the fills", SETTLES_S, process=process)
            code, output, _ = ended(process)
            assert code == 0, output
        assert_equal_books(box)
        assert largest_exposure(box) <= 5
        assert "AMEND" in {row["action"] for row in box.table("orders")}
        for column in ("bid_sent", "ask_sent"):
            assert any("amend" in row[column] for row in box.table("decisions"))
        (log,) = box.logs()
        assert box.run("audit", "verify", str(log)).returncode == 0
        rows = Counter((row["type"], row.get("action")) for row in box.rows())
        assert rows["intent", "amend"] >= rows["ack", "amend"] > 0
        shown = json.loads(box.run("state", "show", "--json").stdout.splitlines()[-1])
        theirs = {one["clientOrderId"]: one["origQty"] for one in box.account()["orders"]}
        assert {name: float(qty) for name, qty in theirs.items()} == quantities(shown)


def quantities(shown):
    """Return the quantities of the state store's orders, by client id."""
    return {row["client_id"]: float(row["qty"]) for row in shown["orders"] if row["order_id"]}


@pytest.mark.slow
def test_start_after_sigkill_during_amendment_matches_exchange(tmp_path):
    """The exchange has amended the order, but its answer and event never arrived."""
    with venue(tmp_path, *MARKET, "--limits", "off") as box:
        with box.trader(AUDIT_SYNC="1", **KNOBS) as process:
            box.until(lambda: amended(box), "amendments", process=process)
            box.post("/sim/faults", f"at time 0 do stall of=user for_s=30\nat time 0 do ack_lost n=100 path={AMEND}")
            before = amended(box)
            box.until(lambda: amended(box) > before, "an amendment without an answer", process=process)
            process.kill()
        assert_all_known(box)
        with box.trader(AUDIT_SYNC="1", **KNOBS) as process:
            before = box.sent()
            box.until(lambda: box.sent() > before, "new orders", process=process)
            code, output, _ = ended(process)
            assert code == 0, output
        assert_equal_books(box)
        theirs = {one["clientOrderId"]: float(one["origQty"]) for one in box.account()["orders"]}
        assert theirs == quantities(json.loads(box.run("state", "show", "--json").stdout.splitlines()[-1]))

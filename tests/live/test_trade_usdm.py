"""``mm trade --market usdm`` at its door: quotes, fills, ends, flatten and cancel, with the exchange's own books."""

import json
import re
from decimal import Decimal

import pytest
from trading_box import ended
from usdm_box import contract_box


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    with contract_box(tmp_path_factory.mktemp("usdm")) as found:
        yield found


def traded(box, fills=3, **variables):
    """Trade until there are some fills, and end; return exit code and output."""
    with box.trader(**variables) as trader:
        box.filled(fills, trader)
        code, text, _ = ended(trader)
    return code, text


@pytest.mark.slow
def test_trade_books_position_and_wallet_as_the_exchange_does(box):
    """Fills, profits and commissions are the exchange's, to the last digit; nothing is left open."""
    code, text = traded(box)
    assert code == 0, text
    assert box.account()["openOrders"] == []
    box.check_books()
    stop = box.rows("stop")[-1]
    assert Decimal(stop["position"]) == box.position
    fills = box.table("fills")
    assert sum(Decimal(row["qty"]) * (1 if row["side"] == "BUY" else -1) for row in fills) == box.position


def test_notes_are_on_the_fees_that_fills_paid(box):
    """The exchange took .02 %, two ticks of .01 at 100; the default of MAKER_FEE_RATE is five times as much."""
    traded(box, fills=1)
    warnings = json.loads((box.folders()[-1] / "summary.json").read_text())["warnings"]
    assert not any(line.startswith("spot_fees") for line in warnings)
    for line in warnings:
        if line.startswith("fee_not_earned"):
            assert 1.9 < float(re.search(r"the maker fee ([\d.]+) ticks", line)[1]) < 2.1
    rate = Decimal(box.account()["trades"][-1]["commission"]) / Decimal(box.account()["trades"][-1]["quoteQty"])
    assert round(rate, 6) == Decimal("0.0002")


def test_post_only_orders_are_sent_as_such(box):
    """A maker's order never takes: it is GTX at the exchange."""
    traded(box, fills=1)
    orders = [one for one in box.account()["orders"] if one["clientOrderId"].startswith("mm-")]
    assert orders
    assert {one["timeInForce"] for one in orders} == {"GTX"}


def test_second_start_goes_on_with_the_position(box):
    """The ledger of the first run is the beginning of the second; no difference is found."""
    code, text = traded(box, fills=2)
    assert code == 0, text
    assert "account_differs" not in text
    box.check_books()
    assert box.rows("start")[-1]["contract"] is True


def test_state_store_has_entry_price_margin_and_liquidation_price(box):
    """What a reader of its tables needs of a contract; the entry price is the exchange's, the rest of its instant."""

    def positions_seen():
        return [one for one in box.rows("position") if Decimal(one["qty"])]

    while not box.position or not positions_seen():  # a run may end before the exchange has told its position
        traded(box, fills=1)
    (row,) = json.loads(box.run("state", "show", "--json").stdout)["positions"]
    theirs = box.account()["positions"][0]
    assert Decimal(row["position"]) == box.position
    assert Decimal(row["entry_price"]) == Decimal(theirs["entryPrice"])
    assert Decimal(row["funding"]) == sum(Decimal(one["amount"]) for one in box.rows("payment"))
    seen = positions_seen()[-1]
    names = ("mark_price", "margin", "maintenance_margin", "liquidation_price")
    shown = {name: Decimal(row[name] or 0) for name in names}
    assert shown == {name: Decimal(seen[name]) for name in names}
    assert row["seen_us"] == seen["us"]
    notional = abs(Decimal(seen["qty"])) * shown["mark_price"]
    assert abs(shown["margin"] - notional / 20) < Decimal("1e-7")
    assert abs(shown["maintenance_margin"] - notional * Decimal("0.004")) < Decimal("1e-7")


def test_flatten_closes_the_position_by_an_order_that_only_reduces(box):
    """First the cost is stated, then one order closes; the books agree."""
    while not (held := box.position):
        traded(box, fills=1)
    stated = box.run("trade", "flatten")
    assert stated.returncode == 0, stated.stderr
    assert box.position == held
    for _ in range(5):  # the book may have moved since the plan
        done = box.run("trade", "flatten", MAX_COST="50")
        assert done.returncode in (0, 75), done.stdout + done.stderr
        if done.returncode == 0:
            break
    assert box.position == 0
    last = box.account()["orders"][-1]
    assert (last["reduceOnly"], last["timeInForce"]) == (True, "IOC")
    box.check_books()


@pytest.mark.slow
def test_flatten_closes_what_is_worth_less_than_the_least_notional(tmp_path):
    """Nobody trades but two people: .113 are bought from us and .1 sold back, and 1.3 USDT of a least 5 are left."""
    with contract_box(tmp_path, "--scenario", "empty") as quiet:
        for side, price in (("BUY", "99.90"), ("SELL", "100.10")):
            quiet.place_resting(side, price)

        def quoted():
            quiet.cancel(quiet.place_resting("BUY", "99.50"))  # a market that says nothing is quoted by nobody
            return len(quiet.account()["openOrders"]) == 2

        with quiet.trader() as trader:
            for side, quantity, held in (("BUY", "0.113", "-0.113"), ("SELL", "0.1", "-0.013")):
                quiet.until(quoted, "both quotes", process=trader)
                quiet.order(side, quantity)
                quiet.until(lambda held=held: quiet.position == Decimal(held), "the fill", process=trader)
            code, text, _ = ended(trader)
        assert code == 0, text
        done = quiet.run("trade", "flatten", MAX_COST="50")
        assert done.returncode == 0, done.stdout + done.stderr
        assert quiet.position == 0
        quiet.check_books()


def test_cancel_ends_our_orders_after_a_kill(box):
    """A trader that is killed at once leaves orders: the command ends ours, and no others."""
    left = []
    while not left:  # a kill between a cancel and the next order leaves none
        with box.trader(KILL_GUARD="0") as trader:
            box.until(lambda: box.account()["openOrders"], "orders", process=trader)
            trader.kill()
            trader.communicate(timeout=60)
        left = box.account()["openOrders"]
    done = box.run("trade", "cancel", "--json")
    assert done.returncode in (0, 75), done.stderr
    assert len(json.loads(done.stdout.splitlines()[-1])["ended"]) <= len(left)  # one may have filled since
    assert box.account()["openOrders"] == []


def test_kill_nine_leaves_nothing_open(box):
    """The guardian cancels by REST of its own; the next start books what has filled meanwhile."""
    with box.trader() as trader:
        box.until(lambda: box.account()["openOrders"], "orders", process=trader)
        trader.kill()
        trader.communicate(timeout=60)
    box.until(lambda: not box.account()["openOrders"], "no order", 35)  # the exchange's countdown needs 40
    code, text = traded(box, fills=1)
    assert code == 0, text
    box.check_books()

"""Starts of ``mm trade --market usdm`` that must not trade: one line, an exit code, nothing sent."""

import json

import pytest
from trading_box import ended
from usdm_box import contract_box


@pytest.fixture
def box(tmp_path):
    with contract_box(tmp_path) as found:
        yield found


def refused(box, code, *words, **variables):
    """Assert that a start ends with *code* and one line that has *words*, and sends no order."""
    sent = box.sent()
    done = box.run("trade", **variables)
    assert done.returncode == code, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for word in words:
        assert word in last
    assert box.sent() == sent


def test_hedge_mode_is_refused(box):
    """Long and short positions apart have no one position to quote around."""
    assert box.signed("POST", "v1/positionSide/dual", "alice", dualSidePosition="true")["code"] == 200
    refused(box, 3, "hedge mode")


def test_position_opened_by_hand_is_refused(box):
    """It is not of our fills: neither its result nor its risk is ours."""
    box.order("BUY", "3", "alice")
    refused(box, 3, "3.00000000 SIMUSDT at the exchange", "ADOPT")
    assert box.position == 3


def test_setup_that_differs_is_refused_and_stays(box):
    """Leverage and margin type are checked, and never changed."""
    symbol = box.ready["symbol"]
    box.signed("POST", "v1/leverage", "alice", symbol=symbol, leverage=7)
    refused(box, 3, "leverage is 7", LEVERAGE="5")
    refused(box, 3, "margin type is cross", MARGIN_TYPE="isolated")
    config = box.signed("GET", "v1/symbolConfig", "alice", symbol=symbol)[0]
    assert (config["leverage"], config["marginType"]) == (7, "CROSSED")


def test_position_above_the_bracket_is_refused(box):
    """At a high leverage the exchange allows less than MAX_POSITION."""
    box.signed("POST", "v1/leverage", "alice", symbol=box.ready["symbol"], leverage=125)
    refused(box, 2, "MAX_POSITION", "125", MAX_POSITION="100000000")


def test_symbol_in_settlement_is_tried_again_by_a_supervisor(box):
    """It takes no orders now."""
    box.post("/sim/status", json.dumps({"status": "SETTLING"}))
    refused(box, 75, "SETTLING")


def test_inventory_of_a_contract_is_refused(box):
    """A ledger of a contract begins without a position."""
    refused(box, 2, "INITIAL_INVENTORY", INITIAL_INVENTORY="1")


def test_open_orders_of_others_are_refused(box):
    """In one-way mode whatever they fill changes our position."""
    box.place_resting("BUY", "96.00", user="alice")
    refused(box, 3, "of somebody else")


@pytest.mark.parametrize("name", ["LEVERAGE", "MARGIN_TYPE", "MAX_MARGIN_RATIO", "KILL_CLOSES", "FLATTEN_AFTER_S"])
def test_knobs_of_contracts_are_refused_on_spot(box, name):
    """A knob without effect is a mistake."""
    values = {"LEVERAGE": "5", "MARGIN_TYPE": "cross", "MAX_MARGIN_RATIO": "0.5", "KILL_CLOSES": "1"}
    value = (values | {"FLATTEN_AFTER_S": "60"})[name]
    refused(box, 2, name, "MARKET", MARKET="spot", **{name: value})


def test_refused_key_is_named_and_not_tried_again(box):
    """A supervisor starts what ended with 75 for ever, but not what ended with 2; a single refusal is asked again."""
    box.post("/sim/faults", "at time 0 do revoke n=1")
    with box.trader() as process:
        box.until(lambda: box.account()["openOrders"], "orders", process=process)
        code, output, _ = ended(process)
        assert code == 0, output
    box.post("/sim/faults", "at time 0 do revoke")
    refused(box, 2, "-2015", "BINANCE_API_KEY")

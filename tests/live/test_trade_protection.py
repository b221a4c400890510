"""The protective stop and the exchange's trading rules at the door of a trade: the exchange in a box keeps both."""

import json
import signal
from decimal import Decimal

import pytest
from trading_box import ended
from usdm_box import contract_box

STOP = {"PROTECTIVE_STOP": "0.2"}


@pytest.fixture
def box(tmp_path):
    with contract_box(tmp_path) as found:
        yield found


def waiting(box):
    """Return the trader's orders that wait for a price."""
    return box.signed("GET", "v1/openAlgoOrders", box.user, symbol=box.ready["symbol"])


def protected(box, process):
    """Wait for a position and the stop that closes it; return the stop."""

    def found():
        held, stops = box.position, waiting(box)
        return held and stops and (stops[0]["side"] == "SELL") == (held > 0) and stops[0]

    return box.until(found, "a protected position", process=process)


def logged(box):
    return "".join(path.read_text() for path in box.folder.glob("out/logs/**/run.log"))


@pytest.mark.slow
def test_stop_outlives_the_guardian_and_cancel_ends_it(box):
    """The guardian ends the quotes of a killed trader, not the stop; mm trade cancel ends what is left of ours."""
    with box.trader(**STOP) as trader:
        stop = protected(box, trader)
        trader.send_signal(signal.SIGKILL)
        trader.wait()
        box.until(lambda: not box.account()["openOrders"], "the guardian")
    assert (stop["orderType"], stop["closePosition"], stop["workingType"]) == ("STOP_MARKET", True, "MARK_PRICE")
    assert len(waiting(box)) == 1
    done = box.run("trade", "cancel")
    assert done.returncode == 0, done.stderr
    assert waiting(box) == []


@pytest.mark.slow
def test_its_trigger_closes_the_position_while_nobody_is_there(box):
    """A mark price beyond it: nothing is left, and the books of the next start are the exchange's, with a row why."""
    with box.trader(KILL_GUARD="0", **STOP) as trader:
        stop = protected(box, trader)
        trader.send_signal(signal.SIGKILL)
        trader.wait()
    price = Decimal(stop["triggerPrice"]) * (Decimal("0.99") if stop["side"] == "SELL" else Decimal("1.01"))
    box.post("/sim/mark", json.dumps({"price": str(price.quantize(Decimal("0.01")))}))
    box.until(lambda: box.position == 0 or not waiting(box), "the trigger")
    box.post("/sim/mark", json.dumps({"price": None}))
    with box.trader(**STOP) as trader:
        box.until(lambda: box.account()["openOrders"], "orders", process=trader)
        code, text, _ = ended(trader)
    assert code == 0, text
    box.check_books()
    sent = [row for row in box.rows("fill") if stop["clientAlgoId"] in row["client_id"]]
    assert sent, text


@pytest.mark.slow
def test_orderly_end_leaves_it_and_flatten_ends_it(box):
    """It is said that it stays; cancel and flatten leave nothing."""
    with box.trader(**STOP) as trader:
        protected(box, trader)
        code, text, _ = ended(trader)
    assert code == 0, text
    if box.position:
        assert "protective_stop_stays" in text
        (stop,) = waiting(box)
        assert stop["clientAlgoId"].startswith("mm-")
    for _ in range(5):
        if box.run("trade", "flatten", MAX_COST="50").returncode == 0:
            break
    assert box.position == 0
    assert waiting(box) == []
    box.check_books()


@pytest.mark.slow
def test_trading_rules_are_said_before_and_when_they_bite(box):
    """Near: a line. Broken: the exchange refuses with -4400 what does not only reduce, and the line says until when."""
    rule = {"user": box.user, "indicator": "GCR", "value": "0.9", "trigger": "0.99", "locked_s": "0"}
    box.post("/sim/trading_rule", json.dumps(rule))
    with box.trader() as trader:
        box.until(lambda: "trading_rule_near" in logged(box), "the warning", process=trader)
        box.post("/sim/trading_rule", json.dumps({**rule, "value": "0.995", "locked_s": "600"}))
        box.until(lambda: "trading_rule_broken" in logged(box), "the error", process=trader)
        assert "-4400" in logged(box)
        box.post("/sim/trading_rule", json.dumps({**rule, "value": "0.5"}))
        box.until(lambda: "trading_rule_kept" in logged(box), "its end", process=trader)
        code, text, _ = ended(trader)
    assert code == 0, text
    assert box.account()["openOrders"] == []

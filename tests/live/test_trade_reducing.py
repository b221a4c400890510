"""Where the exchange takes only orders that reduce the position, and a setup that a start would refuse."""

import json
from contextlib import ExitStack

import pytest
from trading_box import ended
from usdm_box import contract_box

BOTH = {"BUY", "SELL"}


@pytest.fixture
def box(tmp_path):
    with contract_box(tmp_path) as found:
        yield found


def logged(box):
    return "".join(path.read_text() for path in box.folder.glob("out/logs/**/run.log"))


def orders(box):
    """Return sides of the open orders, and whether all of them can only reduce."""
    found = box.signed("GET", "v1/openOrders", box.user, symbol=box.ready["symbol"])
    return {one["side"] for one in found}, all(one["reduceOnly"] for one in found)


def refusals(box, code):
    return sum(row["code"] == code for row in box.rows("reject"))


@pytest.mark.slow
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_side_that_reduces_quotes_on_while_a_trading_rule_is_broken(box, side):
    """What is held is closed by quotes, at most as much as is held, and then nothing is quoted until the lock ends."""
    away = "SELL" if side == "BUY" else "BUY"
    rule = {"user": box.user, "indicator": "GCR", "value": "0.995", "trigger": "0.99", "locked_s": "600"}
    with box.trader(QUOTE_QTY="2") as trader:
        box.taken(1, trader, side)
        box.post("/sim/trading_rule", json.dumps(rule))
        box.until(lambda: "reduce_only" in logged(box), "the state", process=trader)
        box.until(lambda: orders(box) == ({away}, True), "quotes that only reduce", process=trader)
        refused = refusals(box, -4400)
        assert refused <= 4

        def closed():
            box.signed("POST", "v1/order", symbol=box.ready["symbol"], side=side, type="MARKET", quantity="1")
            return box.position == 0

        box.until(closed, "the end of the position", process=trader)
        box.until(lambda: orders(box)[0] == set(), "no quotes", process=trader)
        assert refusals(box, -4400) == refused
        assert box.position == 0
        box.post("/sim/trading_rule", json.dumps({**rule, "value": "0.5", "locked_s": "0"}))
        box.until(lambda: orders(box) == (BOTH, False), "quotes of both sides", process=trader)
        code, text, _ = ended(trader)
    assert code == 0, text
    box.check_books()


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
def test_side_that_reduces_quotes_on_above_a_lowered_bracket(box, again):
    """Also after a start; below the bracket both sides quote again."""
    with ExitStack() as traders:
        process = traders.enter_context(box.trader(MAX_POSITION="40"))
        held = box.taken(5, process)
        box.post("/sim/faults", f"at time 0 do filters bracket={held * 100 - 200}")
        if again:
            assert ended(process)[0] == 0
            process = traders.enter_context(box.trader(MAX_POSITION="40"))
        box.until(lambda: orders(box) == ({"SELL"}, True), "quotes that only reduce", process=process)

        def below():
            box.signed("POST", "v1/order", symbol=box.ready["symbol"], side="BUY", type="MARKET", quantity="1")
            return box.position < held - 3

        box.until(below, "a smaller position", process=process)
        box.until(lambda: orders(box) == (BOTH, False), "quotes of both sides", process=process)
        code, text, _ = ended(process)
    assert code == 0, text
    assert "position_above_bracket" in logged(box)
    box.check_books()


@pytest.mark.slow
def test_leverage_raised_by_hand_above_the_bracket_pulls_the_quotes(box):
    """As a start refuses it, before and after; set back, it quotes on."""

    def leverage(value):
        answer = box.signed("POST", "v1/leverage", "alice", symbol=box.ready["symbol"], leverage=value)
        assert answer["leverage"] == value, answer

    knobs = {"MAX_POSITION": "1000", "RECONCILE_INTERVAL_S": "2"}
    with box.trader(**knobs) as trader:
        box.until(lambda: orders(box)[0] == BOTH, "quotes", process=trader)
        leverage(125)
        box.until(lambda: orders(box)[0] == set(), "no quotes", process=trader)
        assert "setup_differs" in logged(box)
        leverage(20)
        box.until(lambda: orders(box)[0] == BOTH, "quotes again", process=trader)
        leverage(125)
        box.until(lambda: orders(box)[0] == set(), "no quotes again", process=trader)
        code, text, _ = ended(trader)
    assert code == 3, text
    done = box.run("trade", **knobs)
    assert done.returncode == 2, done.stderr
    assert "MAX_POSITION" in done.stderr
    leverage(20)
    with box.trader(**knobs) as trader:
        box.until(lambda: orders(box)[0] == BOTH, "quotes of the next start", process=trader)
        assert ended(trader)[0] == 0
    box.check_books()


@pytest.mark.slow
def test_orders_of_others_in_a_contract_pull_the_quotes(box):
    """Their fills change the position; once they are gone, it quotes on."""
    with box.trader(RECONCILE_INTERVAL_S="2") as trader:
        box.until(lambda: orders(box)[0] == BOTH, "quotes", process=trader)
        theirs = box.place_resting("BUY", "96.00", user="alice")

        def own():
            return [one for one in box.account()["openOrders"] if one["clientOrderId"].startswith("mm-")]

        box.until(lambda: not own(), "no quotes of ours", process=trader)
        box.cancel(theirs, user="alice")
        box.until(own, "quotes again", process=trader)
        code, text, _ = ended(trader)
    assert code == 0, text

"""Hands on the account while a trader runs: a position, a mode or a leverage that somebody else has set."""

import pytest
from trading_box import ended, venue
from usdm_box import contract_box

BOXES = {"spot": venue, "usdm": contract_box}


def line(output):
    """Return the error that a command ended with."""
    return next((text for text in output.splitlines() if text.startswith("error:")), "")


@pytest.mark.slow
@pytest.mark.parametrize("market", BOXES)
def test_trade_by_hand_ends_a_trade_with_what_the_next_start_says(market, tmp_path):
    """Also where the end comes right after it, before any reconcile."""
    with BOXES[market](tmp_path) as box:
        with box.trader() as process:
            box.until(lambda: box.rows("ack"), "an order", process=process)
            box.order("BUY", "3", "alice")
            code, output, _ = ended(process)
        assert (code, "the account differs" in line(output)) == (3, True), output
        assert box.account()["openOrders"] == []
        done = box.run("trade")
        assert (done.returncode, "the account differs" in line(done.stderr)) == (3, True), done.stderr


def test_adopt_accepts_no_position_of_a_contract(tmp_path):
    """Its risk would be in no limit, and no flatten would close it."""
    with contract_box(tmp_path) as box:
        box.order("BUY", "3", "alice")
        done = box.run("trade", ADOPT="1")
        assert (done.returncode, "ADOPT accepts no position" in line(done.stderr)) == (3, True), done.stderr
        assert box.position == 3


@pytest.mark.slow
def test_hedge_mode_in_the_middle_pulls_the_quotes_until_it_is_off(tmp_path):
    """A few orders are refused; the trade goes on by itself, and an end meanwhile says what a start says."""
    with contract_box(tmp_path) as box:

        def set_hedged(text):
            """Switch the mode in a moment without orders of the trader."""
            box.signed("DELETE", "v1/allOpenOrders", "alice", symbol=box.ready["symbol"])
            box.signed("POST", "v1/positionSide/dual", "alice", dualSidePosition=text)
            return box.signed("GET", "v1/positionSide/dual", "alice")["dualSidePosition"] is (text == "true")

        terms = {"QUOTE_QTY": "0.1", "QUOTE_PARAMS_JSON": '{"delta_ticks": 300}', "PRICE_BAND": "0.1"}
        with box.trader(**terms) as process:
            box.until(lambda: box.rows("ack"), "an order", process=process)
            box.until(lambda: set_hedged("true"), "hedge mode", process=process)
            breach = lambda: any(row.get("limit") == "SETUP" for row in box.rows("breach"))  # noqa: E731
            box.until(breach, "the setup differs", process=process)
            assert len([row for row in box.rows("reject") if row["code"] == -4061]) < 10
            assert box.account()["openOrders"] == []
            acks = len(box.rows("ack"))
            assert set_hedged("false")
            box.until(lambda: len(box.rows("ack")) > acks, "an order again", process=process)
            box.until(lambda: set_hedged("true"), "hedge mode", process=process)
            code, output, _ = ended(process)
        assert (code, "hedge mode" in line(output)) == (3, True), output


@pytest.mark.slow
def test_leverage_set_by_hand_is_said_and_refused_only_where_it_was_asked_for(tmp_path):
    """With LEVERAGE the quotes wait for it; without, there is a line."""
    with contract_box(tmp_path) as box:
        for leverage, terms, words in ((7, {}, ""), (9, {"LEVERAGE": "7"}, "its leverage is 9")):
            with box.trader(**terms) as process:
                acks = len(box.rows("ack"))
                box.until(lambda acks=acks: len(box.rows("ack")) > acks, "an order", process=process)
                box.signed("POST", "v1/leverage", "alice", symbol=box.ready["symbol"], leverage=leverage)
                code, output, _ = ended(process)
            assert "setup_changed" in output
            assert (code, words in line(output)) == (3 if words else 0, True), output

"""A key that the exchange refuses in the middle of a trade."""

import json
import time

import pytest
from test_trade_symbols import CALM, SYMBOLS, account
from trading_box import venue

from support import in_time

FAR = '{"gamma": 1e-9, "k": 0.02, "sigma": 1e-9}'  # quotes that no trade reaches


@pytest.mark.slow
def test_key_that_is_revoked_ends_the_trade_with_one_line(tmp_path):
    """The second refusal, after a new connection, ends it with 2; nothing is placed any more."""
    with venue(tmp_path, "--scenario", "poisson", "--A", "6", longest_s=600) as box:
        with box.trader() as process:
            box.until(lambda: box.account()["openOrders"], "orders", process=process)
            box.post("/sim/faults", "at time 0 do error code=-2015 undone=1 n=1000000 path=order.place")
            _, said = process.communicate(timeout=240)
        assert process.returncode == 2, said
        (line,) = [text for text in said.splitlines() if text.startswith("error:")]
        assert "-2015" in line
        assert "BINANCE_API_KEY" in line
        assert box.account()["openOrders"] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["HMAC", "ED25519"])
def test_revoked_key_ends_the_trade_with_2_and_the_open_orders(tmp_path, kind):
    """The answer to a session has no id, as documented; nothing can be cancelled, so the orders are named."""
    with venue(tmp_path, longest_s=600) as box:
        variables = box.ed25519(tmp_path / "key.pem") if kind == "ED25519" else {}
        with box.trader(**variables, QUOTE_PARAMS_JSON=FAR) as process:
            box.until(lambda: len(box.account()["openOrders"]) == 2, "orders", process=process)
            box.post("/sim/faults", "at time 0 do revoke")
            began_s = time.monotonic()
            _, said = process.communicate(timeout=240)
        assert process.returncode == 2, said
        assert in_time(time.monotonic() - began_s, 15)
        (line,) = [text for text in said.splitlines() if text.startswith("error:")]
        assert "-2015" in line
        left = box.account()["openOrders"]
        assert left
        assert all(one["clientOrderId"] in line for one in left)
        written = " ".join(box.rows("stop")[-1]["open"])
        assert all(one["clientOrderId"] in written for one in left), "its last row says what may rest"
        assert not (tmp_path / "out" / "risk" / "SIMUSDT.none_open").exists()
        watched = box.run("watchdog", "--once", "--json", SYMBOL="")
        shown = json.loads(watched.stdout)["symbols"]["SIMUSDT"]["orders_left_open"]
        assert {one["clientOrderId"] for one in left} <= set(shown)
        killed = box.run("risk", "kill")
        assert killed.returncode == 75, "a kill of it empties nothing"
        assert "may be open" in killed.stderr


@pytest.mark.slow
def test_revoked_key_names_the_open_orders_of_all_symbols(tmp_path):
    with account(tmp_path) as box:
        with box.trader(**CALM, QUOTE_PARAMS_JSON=FAR) as process:
            open_in = lambda: [box.account(symbol=symbol)["openOrders"] for symbol in SYMBOLS]  # noqa: E731
            box.until(lambda: all(len(orders) == 2 for orders in open_in()), "orders", process=process)
            box.post("/sim/faults", "at time 0 do revoke")
            _, said = process.communicate(timeout=240)
        assert process.returncode == 2, said
        (line,) = [text for text in said.splitlines() if text.startswith("error:")]
        left = open_in()
        assert all(left)
        assert all(one["clientOrderId"] in line for orders in left for one in orders)
        assert f"mm trade cancel --symbol {','.join(SYMBOLS)}" in line

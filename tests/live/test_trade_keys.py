"""A key that the exchange refuses in the middle of a trade."""

import pytest
from trading_box import venue


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

"""``mm trade`` of a symbol that is not ASCII, at an exchange in a box that serves it."""

import pytest
from trading_box import ended, venue

SYMBOL = "币安人生USDT"


@pytest.mark.slow
def test_symbol_of_another_alphabet_is_traded(tmp_path):
    """Orders are signed, fills come back, and every file of the run has the symbol's name."""
    with venue(tmp_path, "--symbol", SYMBOL) as box:
        with box.trader() as process:
            box.until(lambda: box.account()["trades"], "fills", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        fills = [(str(trade["price"]), str(trade["qty"])) for trade in box.account()["trades"]]
        assert [(row["price"], row["qty"]) for row in box.rows("fill")][: len(fills)] == fills
        assert len(box.table("fills")) >= len(fills) > 0

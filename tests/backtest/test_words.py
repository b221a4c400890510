"""The terminal's table of a backtest: plain numbers, no sign before nothing, a dash for what is undefined."""

from journals import books, seeded

from mm.backtest.result import Result
from mm.backtest.words import told


def test_headlines_are_the_summarys_numbers():
    """What a person reads is what summary.json holds."""
    summary = Result(seeded(300).journal(), books()).summary
    lines = {line[:18].strip(): line[18:] for line in told(summary).splitlines()}
    assert lines["PnL"] == f"{summary['pnl_total']:,.4f}"
    assert lines["orders"] == f"{summary['n_orders']:,}"
    assert lines["fills"].startswith(f"{summary['n_fills']:,}")


def test_small_quantities_have_no_exponent_and_nothing_has_no_sign():
    """1e-06 BTC and -0.0000 are what a program says."""
    odd = {"quote_qty": 1e-6, "base_asset": "BTC", "fees": 0.0, "sharpe": None}
    text = told(Result(seeded(300).journal(), books()).summary | odd)
    assert "quote             0.000001 BTC" in text
    assert "-0.0000" not in text
    assert "Sharpe, drawdown  –, " in text
    assert "null: " not in text

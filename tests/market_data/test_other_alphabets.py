"""Symbols that are not ASCII: the exchange lists some, and every file and address has their name."""

import boxed as boxed_market
import mm
from boxed import recorded

SYMBOL = "币安人生USDT"


def test_symbol_of_another_alphabet_is_recorded_checked_read_and_backtested(tmp_path, monkeypatch):
    """From the stream's address to the summary."""
    monkeypatch.setattr(boxed_market, "SYMBOL", SYMBOL)

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(3)
        await boxed.caught_up()

    day = recorded(scenario, root=tmp_path)
    assert (day.path.parent.name, day.anomalies()) == (SYMBOL, [])
    tape = mm.load_day(day.path)
    assert (tape.symbol, len(tape.trades)) == (SYMBOL, len(day.trades))
    result = mm.backtest(tape, ("fixed_spread", {"delta_ticks": 1}), "trade_cross")
    assert result.summary["symbol"] == SYMBOL

"""Days of two symbols in one call are refused by name."""

from dataclasses import replace

import pytest

import mm
from mm import Rules, Tape
from mm.backtest.fills.base import TradeCross
from mm.backtest.quotes.simple import FixedSpread
from mm.errors import UsageError
from strategies import SIM

ONE = Tape.of(SIM, [(1_000_000, "snapshot", [(99, 5)], [(101, 5)]), (2_000_000, "depth", [(99, 6)], [])])
OTHER = replace(ONE, symbol="BBBUSDT")
RULES = Rules(ONE.instrument.tick_e8, ONE.instrument.lot_e8, quote_lots=1)

CALLS = {
    "backtest": mm.backtest,
    "backtest of objects": lambda tapes: mm.backtest(tapes, FixedSpread(delta_ticks=1), TradeCross(), RULES),
    "backtest of a generator": lambda tapes: mm.backtest(iter(tapes), FixedSpread(delta_ticks=1), TradeCross(), RULES),
    "calibrate": mm.calibrate,
    "build_schedule": mm.build_schedule,
    "walkforward": lambda tapes: mm.walkforward(tapes, rules=RULES),
}


@pytest.mark.parametrize("call", CALLS)
def test_days_of_two_symbols_are_refused_by_name(call):
    """They would be played or fitted as one market if their grids agree."""
    with pytest.raises(UsageError, match=rf"{ONE.symbol}.*BBBUSDT"):
        CALLS[call]([ONE, OTHER])

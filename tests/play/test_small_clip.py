"""A clip that no exchange would accept is noted, of whatever strategy."""

import pytest

import mm
from mm.instrument import Instrument
from mm.tape.tape import Tape

BOOK = [
    (0, "snapshot", [(1_224, 5_000)], [(1_226, 5_000)]),
    (60_000_000, "depth", [(1_223, 7)], []),
]


@pytest.mark.parametrize(
    ("symbol", "qty", "noted"), [("NEXOUSDT", "0.35", True), ("NEXOUSDT", "5", False), ("NEXOBTC", "0.35", False)]
)
def test_a_clip_below_a_dollar_is_noted(symbol, qty, noted):
    """The value of other assets than dollars is not known here."""
    tape = Tape.of(Instrument(symbol, tick_e8=100_000, lot_e8=1_000_000), BOOK)
    result = mm.backtest(tape, quote_qty=qty, sensitivity=False)
    assert any(text.startswith("small_clip: ") for text in result.summary["warnings"]) is noted

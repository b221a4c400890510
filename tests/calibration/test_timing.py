"""Prints of one instant and the age of the book, counted by hand."""

from dataclasses import replace

from small_tapes import book, tape, trade

from mm.calibration.timing import timing
from mm.instrument import Instrument
from mm.tape.tape import Tape


def test_prints_of_one_side_and_trade_time_share_an_instant():
    """Two of five: the second buy at 20 and the third; the sale at 20 stands alone."""
    events = [book(5, 100, 102), *(trade(30 + n, 1, 102, 20) for n in range(3)), trade(40, -1, 100, 20)]
    found = timing([tape([*events, trade(50, 1, 102, 45)], 0, 100)])
    assert found["same_instant_share"] == 2 / 5


def test_the_book_is_as_old_as_the_message_that_shows_the_trade_is_late():
    """Trades at 20 and 30 ms, messages at 25 and 40 ms: 5 and 10 ms; the last trade is never shown."""
    events = [(ms * 1000, kind) for ms, kind in ((5, "b"), (20, "t"), (25, "b"), (30, "t"), (40, "b"), (50, "t"))]
    built = [book(us, 100, 102, us) if kind == "b" else trade(us, 1, 102) for us, kind in events]
    made = tape(built, 0, 60_000)
    stamped = replace(made, event_exch_us=made.event_us)
    assert timing([stamped])["book_age_ms_p50"] == 7.5


def test_a_tape_without_trades_has_no_timing():
    """Nothing to measure is not zero."""
    bare = Tape.of(Instrument("SIMUSDT", 1_000_000, 100_000), [(0, "snapshot", [(100, 1)], [(102, 1)])])
    assert timing([bare]) == {"same_instant_share": None, "book_age_ms_p50": None}

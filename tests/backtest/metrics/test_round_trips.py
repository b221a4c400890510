"""First in, first out, by hand: what is a trade, what it earned, how long it was held."""

import pytest

from journals import Scribe, books
from mm.backtest.metrics.summary import summarise

TICK, LOT = 0.01, 1e-5


def traded(*fills, fee_rate=0.0, initial_lots=0):
    """The summary of (side, ticks, lots) a second apart."""
    scribe = Scribe(fee_rate=fee_rate, initial_lots=initial_lots)
    scribe.move(20_000)
    scribe.state()
    for side, ticks, lots in fills:
        scribe.wait(1_000_000)
        scribe.fill(scribe.place(side, ticks, lots), side, ticks, lots)
    scribe.wait(1_000_000)
    scribe.state()
    return summarise(scribe.journal(), books(scribe.instrument))


def test_a_fill_that_closes_two_is_one_trade():
    """3 bought at 100 and 1 at 90, 4 sold at 110: one trade of 3·10 + 1·20, held one and a half seconds on average."""
    summary = traded((1, 100, 3), (1, 90, 1), (-1, 110, 4))
    trips = summary["round_trips"]
    assert trips["n"] == 1
    assert trips["mean"] == trips["best"] == pytest.approx(50 * TICK * LOT)
    assert trips["holding_s"] == pytest.approx(1.75)
    assert summary["pnl_unrealised"] == 0.0


def test_a_fill_that_turns_the_position_closes_and_opens():
    """Sold 2 at 100, bought 5 at 90, sold 3 at 80: a win of 20 and a loss of 30."""
    trips = traded((-1, 100, 2), (1, 90, 5), (-1, 80, 3))["round_trips"]
    assert (trips["n"], trips["win_rate"]) == (2, 0.5)
    assert trips["best"] == pytest.approx(20 * TICK * LOT)
    assert trips["worst"] == pytest.approx(-30 * TICK * LOT)
    assert trips["median"] == pytest.approx(-5 * TICK * LOT)


def test_what_the_run_began_with_is_not_traded():
    """A sale out of the initial inventory opens a trade that a purchase closes."""
    trips = traded((-1, 110, 2), (1, 100, 2), initial_lots=1_000)["round_trips"]
    assert (trips["n"], trips["win_rate"]) == (1, 1.0)


def test_fees_of_both_ends_decide_whether_it_was_a_win():
    """Bought and sold at one price, a trade loses what both fills paid, and no gain is none."""
    free = traded((1, 10_000, 1_000), (-1, 10_000, 1_000))["round_trips"]
    paid = traded((1, 10_000, 1_000), (-1, 10_000, 1_000), fee_rate=0.001)["round_trips"]
    assert (free["mean"], free["win_rate"]) == (0.0, 0.0)
    assert paid["mean"] == pytest.approx(-2 * 0.001 * 100.0 * 0.01)


def test_what_stays_open_is_unrealised():
    """4 bought at 10 ticks under the mid, 1 sold at it: 10 ticks realised, 30 left at the mid."""
    summary = traded((1, 9_990, 4), (-1, 10_000, 1))
    assert summary["pnl_realised"] == pytest.approx(10 * TICK * LOT)
    assert summary["pnl_unrealised"] == pytest.approx(30 * TICK * LOT)
    assert summary["pnl_total"] == pytest.approx(40 * TICK * LOT)


def test_without_a_round_trip_nothing_is_said_of_them():
    """Two purchases are no trade, and the reason is told."""
    summary = traded((1, 100, 1), (1, 100, 1))
    assert summary["round_trips"]["n"] == 0
    assert summary["round_trips"]["win_rate"] is None
    assert any("nothing was bought and sold again" in line for line in summary["warnings"])


def test_quantities_beyond_64_bits_are_matched_exactly():
    """Ten fills of 2⁶⁰ lots add up to more than an int64 holds."""
    many = 2**60
    trips = traded(*[(1, 1, many), (-1, 2, many)] * 5)["round_trips"]
    assert (trips["n"], trips["win_rate"]) == (5, 1.0)

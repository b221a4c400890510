"""How far the mid moves against an order that was hit."""

import csv

import pytest
from small_tapes import book, gap, tape, trade

from mm.calibration.adverse_selection import AdverseMove, adverse_selection, write_adverse_selection
from mm.calibration.meter import Meter
from mm.calibration.recipe import Recipe

S = 1_000_000


def moves(told, end_us, **recipe):
    """Return ``{(delta, side, horizon): (hits, move, kept)}``."""
    rows = adverse_selection(Meter(tape(told, 0, end_us), Recipe(**recipe)))
    return {(row.delta_ticks, row.side, row.horizon_s): (row.hits, row.mean_move_ticks, row.kept_ticks) for row in rows}


SOLD = [book(0, 100, 102), trade(5 * S, -1, 99, 7), book(5 * S + 1, 98, 101), book(8 * S, 99, 102)]


def test_a_bought_price_that_falls_is_a_move_against_the_order():
    """Mid 101 before the sweep, 99.5 a second later, 100.5 after five: 1.5 and 0.5 ticks against bids at 1 and 2."""
    found = moves(SOLD, 20 * S)
    assert found == {
        (delta, side, horizon): (1, move, delta - move)
        for delta in (1, 2)
        for side in ("bid", "both")
        for horizon, move in ((1, 1.5), (5, 0.5))
    }


def test_a_sold_price_that_rises_is_one_too():
    told = [book(0, 100, 102), trade(5 * S, 1, 102, 7), book(5 * S + 1, 102, 103)]
    assert moves(told, 8 * S)[1, "ask", 1] == (1, 1.5, -0.5)


def test_the_last_seconds_of_a_day_have_no_second_look():
    """30 s after the sweep nothing is recorded; nor is 5 s where the day ends after 3."""
    assert {horizon for _, _, horizon in moves(SOLD, 20 * S)} == {1, 5}
    assert {horizon for _, _, horizon in moves(SOLD, 8 * S)} == {1}


def test_a_break_of_the_book_ends_the_look():
    told = [book(0, 100, 102), trade(5 * S, -1, 99, 7), gap(7 * S), book(8 * S, 50, 52)]
    assert {horizon for _, _, horizon in moves(told, 100 * S)} == {1}


def test_mean_and_error_of_several_blocks_by_hand():
    """Three sweeps in three blocks of five minutes, with moves 1, 0 and -1: mean 0, error √(3/2 · 2) / 3."""
    told = [book(0, 100, 102)]
    for number, bid in enumerate((99, 100, 101)):
        at = (10 + 300 * number) * S
        told += [book(at, 100, 102), trade(at + 1, -1, 100, number + 1), book(at + 2, bid, bid + 2)]
    rows = adverse_selection(Meter(tape(told, 0, 1000 * S), Recipe()))
    (row,) = [row for row in rows if (row.side, row.horizon_s) == ("both", 5)]
    assert (row.hits, row.mean_move_ticks) == (3, 0)
    assert row.se_ticks == pytest.approx((3 / 2 * 2) ** 0.5 / 3)


def test_one_block_has_no_error():
    rows = adverse_selection(Meter(tape(SOLD, 0, 20 * S), Recipe()))
    assert {row.se_ticks for row in rows} == {None}


def test_the_file_has_a_row_for_each_distance_side_and_horizon(tmp_path):
    path = tmp_path / "adverse_selection.csv"
    write_adverse_selection(path, [AdverseMove(1.5, "bid", 5, 3, 0.25, None, 1.25)])
    assert list(csv.DictReader(path.read_text().splitlines())) == [
        {
            "delta_ticks": "1.5",
            "side": "bid",
            "horizon_s": "5",
            "hits": "3",
            "mean_move_ticks": "0.25",
            "se_ticks": "",
            "kept_ticks": "1.25",
        }
    ]


def test_a_day_without_a_hit_has_no_row():
    assert adverse_selection(Meter(tape([book(0, 100, 102)], 0, 10 * S), Recipe())) == []

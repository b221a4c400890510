"""One config for all methods: the truth of a synthetic day, whichever way it is measured."""

import csv
import json
import math
from dataclasses import replace
from statistics import fmean, stdev

import pytest

from mm.calibration.calibrate import (
    AdverseMove,
    adverse_selection,
    artefact,
    calibrate,
    measure,
    permutations,
    timing,
    write_adverse_selection,
)
from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.fit_result import PoissonFit
from mm.calibration.sweeps import HitRule
from mm.instrument import Instrument
from mm.tape.tape import Tape
from small_tapes import book, gap, trade
from small_tapes import tape as small_tape

A, K = 1.2, 0.4


@pytest.mark.parametrize("method", ["marks", "ladder", "fixed"])
def test_every_method_finds_the_truth(tape, method):
    """A and k are within 4 standard errors of the parameters of the day."""
    runs = {}
    fit = measure(
        tape, CalibrationConfig(method=method, seed=5), keep=lambda name, play: runs.setdefault(name, play())
    ).fit
    assert fit.usable, fit.reason
    assert (fit.method, fit.symbol, fit.day, fit.reference) == (method, "SIMUSDT", "20260105", "mid")
    # `fixed` takes its errors from blocks: those of its likelihood count one tape six times.
    low, high = fit.ci95_k_block if method == "fixed" else fit.ci95_k
    assert abs(fit.k - K) < 4 * max((high - low) / 3.92, fit.se_k)
    low, high = fit.ci95_A_block if method == "fixed" else fit.ci95_A
    assert abs(fit.A - A) < 4 * (high - low) / 3.92
    assert set(runs) == {"marks": set(), "ladder": {"ladder", *(f"ladder_{n}" for n in range(1, 8))}}.get(
        method, {f"delta_{delta}" for delta in (1, 2, 3, 5, 8, 13)}
    )


def test_the_artefact_says_how_it_was_measured(days):
    """Every choice, where the sweeps went, each state of the spread, each day, and what the mid did."""
    config = CalibrationConfig(rule=HitRule(order_e8=50_000_000, queue_ahead=0.5))
    found = measure(days, config)
    content = artefact(found)
    assert content["alternatives"]["curves"][0]["name"] == "exponential"
    assert content["alternatives"]["best"] in {curve["name"] for curve in content["alternatives"]["curves"]}
    assert artefact(replace(found, curves=None))["alternatives"] is None
    assert content["A"] == found.fit.A
    assert content["options"]["calib_order_qty"] == 0.5
    assert content["options"]["calib_queue_ahead"] == 0.5
    assert content["options"]["calib_deltas"] is None
    counts = content["measured"]
    assert counts["sweeps"] == sum(
        counts[name] for name in ("counted", "unreachable", "beyond", "no_book", "unexposed")
    )
    assert sum(state["share"] for state in content["by_spread"]) == pytest.approx(1)
    assert [row["day"] for row in content["by_day"]] == ["20260105", "20260106"]
    assert abs(content["volatility"]["sigma_ticks_per_sqrt_s"] - 0.4) < 0.1
    assert PoissonFit.from_json(content, "x.json").A == found.fit.A
    json.dumps(content, allow_nan=False)
    simulated = artefact(measure(days[0], CalibrationConfig(method="ladder", seed=9)))
    assert simulated["options"]["seed"] == 9
    assert simulated["options"]["calib_deltas"] == [1, 2, 3, 5, 8, 13]
    assert simulated["by_day"] == []


def test_methods_agree_on_one_day(tape):
    """The same market, measured in three ways: A and k differ by no more than their errors allow."""
    fits = {
        method: measure(tape, CalibrationConfig(method=method, seed=3)).fit for method in ("marks", "ladder", "fixed")
    }
    for method in ("ladder", "fixed"):
        one, other = fits["marks"], fits[method]
        for low_high, value in (("ci95_k_block", "k"), ("ci95_A_block", "A")):
            errors = [(high - low) / 3.92 for low, high in (getattr(one, low_high), getattr(other, low_high))]
            assert abs(getattr(one, value) - getattr(other, value)) < 4 * math.hypot(*errors), (method, value)
    assert fits["marks"].se_k < fits["ladder"].se_k / 2


def test_the_spread_of_a_ladders_orders_stands_beside_it(tape):
    """Mean and standard deviation of each order's own fit, and the marks."""
    config = CalibrationConfig(method="ladder", dwell_ms=5_000, permutations=3)
    found = measure(tape, config)
    beside = permutations(found)
    fits = [calibrate(tape, replace(config, seed=seed, permutations=1)) for seed in (0, 1, 2)]
    assert beside.count == 3
    assert (beside.A, beside.k) == pytest.approx((fmean(fit.A for fit in fits), fmean(fit.k for fit in fits)))
    assert (beside.sd_A, beside.sd_k) == pytest.approx((stdev(fit.A for fit in fits), stdev(fit.k for fit in fits)))
    assert (beside.marks_A, beside.marks_k) == (calibrate(tape).A, calibrate(tape).k)
    assert "3 permutations" in str(beside)
    assert artefact(found, permuted=beside)["permutations"]["sd_k"] == beside.sd_k
    assert permutations(measure(tape)) is None


S = 1_000_000


def test_prints_of_one_side_and_trade_time_share_an_instant():
    """Two of five: the second buy at 20 and the third; the sale at 20 is single."""
    events = [book(5, 100, 102), *(trade(30 + n, 1, 102, 20) for n in range(3)), trade(40, -1, 100, 20)]
    found = timing([small_tape([*events, trade(50, 1, 102, 45)], 0, 100)])
    assert found["same_instant_share"] == 2 / 5


def test_the_book_is_as_old_as_the_message_that_shows_the_trade_is_late():
    """Trades at 20 and 30 ms, messages at 25 and 40 ms: 5 and 10 ms; the last trade is never shown."""
    events = [(ms * 1000, kind) for ms, kind in ((5, "b"), (20, "t"), (25, "b"), (30, "t"), (40, "b"), (50, "t"))]
    built = [book(us, 100, 102, us) if kind == "b" else trade(us, 1, 102) for us, kind in events]
    made = small_tape(built, 0, 60_000)
    stamped = replace(made, event_exch_us=made.event_us)
    assert timing([stamped])["book_age_ms_p50"] == 7.5


def test_a_tape_without_trades_has_no_timing():
    """Nothing to measure is not zero."""
    bare = Tape.of(Instrument("SIMUSDT", 1_000_000, 100_000), [(0, "snapshot", [(100, 1)], [(102, 1)])])
    assert timing([bare]) == {"same_instant_share": None, "book_age_ms_p50": None}


S = 1_000_000


def moves(told, end_us, **config):
    """Return ``{(delta, side, horizon): (hits, move, kept)}``."""
    rows = adverse_selection(Calibrator(small_tape(told, 0, end_us), CalibrationConfig(**config)))
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
    rows = adverse_selection(Calibrator(small_tape(told, 0, 1000 * S), CalibrationConfig()))
    (row,) = [row for row in rows if (row.side, row.horizon_s) == ("both", 5)]
    assert (row.hits, row.mean_move_ticks) == (3, 0)
    assert row.se_ticks == pytest.approx((3 / 2 * 2) ** 0.5 / 3)


def test_one_block_has_no_error():
    rows = adverse_selection(Calibrator(small_tape(SOLD, 0, 20 * S), CalibrationConfig()))
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
    assert adverse_selection(Calibrator(small_tape([book(0, 100, 102)], 0, 10 * S), CalibrationConfig())) == []

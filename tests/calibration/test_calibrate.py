"""Calibration of whole days: every method recovers the parameters of a synthetic day."""

import csv
import json
import math
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrators import calibrator_of, config_of
from mm import CalibrationConfig, PoissonFit, Tape, calibrate
from mm.calibration.calibrate import artefact, measure, permutations, timing
from mm.calibration.moves import AdverseMove, Hits, adverse_selection, write_adverse_selection
from mm.instrument import Instrument
from small_tapes import book, gap, trade
from small_tapes import tape as small_tape

A, K = 1.2, 0.4


@pytest.mark.slow
@pytest.mark.parametrize("method", ["marks", "ladder", "fixed"])
def test_every_method_recovers_true_parameters(tape, method):
    """A and k are within 4 standard errors of the parameters of the day."""
    runs = {}
    fit = measure(
        tape,
        CalibrationConfig(reference="mid", method=method, seed=5),
        keep=lambda name, play: runs.setdefault(name, play(all_rows=True)),
    ).fit
    assert fit.usable, fit.reason
    assert (fit.method, fit.symbol, fit.day, fit.reference) == (method, "SIMUSDT", "20260105", "mid")
    # `fixed` takes its errors from blocks: its likelihood counts one tape six times.
    low, high = fit.ci95_k_block if method == "fixed" else fit.ci95_k
    assert abs(fit.k - K) < 4 * max((high - low) / 3.92, fit.se_k)
    low, high = fit.ci95_A_block if method == "fixed" else fit.ci95_A
    assert abs(fit.A - A) < 4 * (high - low) / 3.92
    assert set(runs) == {"marks": set(), "ladder": {"ladder", *(f"ladder_{n}" for n in range(1, 8))}}.get(
        method, {f"delta_{delta}" for delta in (1, 2, 3, 5, 8, 13)}
    )


@pytest.mark.slow
def test_artefact_contains_options_and_measurements(days):
    """All options, sweep counts, spread states, days and the volatility of the mid."""
    config = config_of(hit={"order_e8": 50_000_000, "queue_ahead": 0.5})
    measurement = measure(days, config)
    content = artefact(measurement)
    assert content["alternatives"]["curves"][0]["name"] == "exponential"
    assert content["alternatives"]["best"] in {curve["name"] for curve in content["alternatives"]["curves"]}
    assert artefact(replace(measurement, curves=None))["alternatives"] is None
    assert content["A"] == measurement.fit.A
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
    assert PoissonFit.from_json(content, "x.json").A == measurement.fit.A
    json.dumps(content, allow_nan=False)
    simulated = artefact(measure(days[0], CalibrationConfig(reference="mid", method="ladder", seed=9)))
    assert simulated["options"]["seed"] == 9
    assert simulated["options"]["calib_deltas"] == [1, 2, 3, 5, 8, 13]
    assert simulated["by_day"] == []


@pytest.mark.slow
def test_methods_agree_on_one_day(tape):
    """Three measurements of one market: A and k differ by no more than their errors allow."""
    fits = {
        method: measure(tape, CalibrationConfig(reference="mid", method=method, seed=3)).fit
        for method in ("marks", "ladder", "fixed")
    }
    for method in ("ladder", "fixed"):
        one, other = fits["marks"], fits[method]
        for low_high, value in (("ci95_k_block", "k"), ("ci95_A_block", "A")):
            errors = [(high - low) / 3.92 for low, high in (getattr(one, low_high), getattr(other, low_high))]
            assert abs(getattr(one, value) - getattr(other, value)) < 4 * math.hypot(*errors), (method, value)
    once = measure(
        tape, CalibrationConfig(reference="mid", method="ladder", seed=3, permutations=1)
    ).fit  # the others are means of eight
    assert fits["marks"].se_k < once.se_k / 2
    assert fits["marks"].se_k < fits["ladder"].se_k


@pytest.mark.slow
def test_permutations_report_mean_and_deviation_of_single_fits(tape):
    """Mean and standard deviation over the fit of each permutation, next to the marks."""
    config = CalibrationConfig(reference="mid", method="ladder", dwell_ms=5_000, permutations=3)
    measurement = measure(tape, config)
    summary = permutations(measurement)
    fits = [calibrate(tape, replace(config, seed=seed, permutations=1)) for seed in (0, 1, 2)]
    assert summary.count == 3
    assert (summary.A, summary.k) == pytest.approx((fmean(fit.A for fit in fits), fmean(fit.k for fit in fits)))
    assert (summary.sd_A, summary.sd_k) == pytest.approx((stdev(fit.A for fit in fits), stdev(fit.k for fit in fits)))
    assert (summary.marks_A, summary.marks_k) == (calibrate(tape).A, calibrate(tape).k)
    assert "3 permutations" in str(summary)
    assert artefact(measurement, permuted=summary)["permutations"]["sd_k"] == summary.sd_k
    assert permutations(measure(tape)) is None


S = 1_000_000


def test_same_instant_share_counts_prints_of_one_side_and_trade_time():
    """Two of five: the second and third buy at 20; the sale at 20 is single."""
    events = [book(5, 100, 102), *(trade(30 + n, 1, 102, 20) for n in range(3)), trade(40, -1, 100, 20)]
    found = timing([small_tape([*events, trade(50, 1, 102, 45)], 0, 100)])
    assert found["same_instant_share"] == 2 / 5


def test_book_age_is_delay_until_message_after_trade():
    """Trades at 20 and 30 ms, messages at 25 and 40 ms: 5 and 10 ms; no message follows the last trade."""
    events = [(ms * 1000, kind) for ms, kind in ((5, "b"), (20, "t"), (25, "b"), (30, "t"), (40, "b"), (50, "t"))]
    built = [book(us, 100, 102, us) if kind == "b" else trade(us, 1, 102) for us, kind in events]
    tape = small_tape(built, 0, 60_000)
    stamped = replace(tape, event_exch_us=tape.event_us)
    assert timing([stamped])["book_age_ms_p50"] == 7.5


def test_timing_without_trades_is_none():
    """Missing data is None, not zero."""
    tape = Tape.of(Instrument("SIMUSDT", 1_000_000, 100_000), [(0, "snapshot", [(100, 1)], [(102, 1)])])
    assert timing([tape]) == {"same_instant_share": None, "book_age_ms_p50": None}


def moves(events, end_us, **config):
    """Return ``{(delta, side, horizon): (hits, move, kept)}``."""
    rows = adverse_selection(
        calibrator_of(small_tape(events, 0, end_us), CalibrationConfig(**{"reference": "mid", **config}))
    )
    return {(row.delta_ticks, row.side, row.horizon_s): (row.hits, row.mean_move_ticks, row.kept_ticks) for row in rows}


SOLD = [book(0, 100, 102), trade(5 * S, -1, 99, 7), book(5 * S + 1, 98, 101), book(8 * S, 99, 102)]


def test_falling_mid_is_adverse_to_bid():
    """Mid 101 before the sweep, 99.5 after 1 s, 100.5 after 5 s: 1.5 and 0.5 ticks against bids at 1 and 2."""
    found = moves(SOLD, 20 * S)
    assert found == {
        (delta, side, horizon): (1, move, delta - move)
        for delta in (1, 2)
        for side in ("bid", "both")
        for horizon, move in ((1, 1.5), (5, 0.5))
    }


def test_rising_mid_is_adverse_to_ask():
    events = [book(0, 100, 102), trade(5 * S, 1, 102, 7), book(5 * S + 1, 102, 103)]
    assert moves(events, 8 * S)[1, "ask", 1] == (1, 1.5, -0.5)


def test_horizon_beyond_end_of_day_is_left_out():
    """30 s after the sweep nothing is recorded; neither is 5 s when the day ends after 3."""
    assert {horizon for _, _, horizon in moves(SOLD, 20 * S)} == {1, 5}
    assert {horizon for _, _, horizon in moves(SOLD, 8 * S)} == {1}


def test_horizon_across_gap_is_left_out():
    events = [book(0, 100, 102), trade(5 * S, -1, 99, 7), gap(7 * S), book(8 * S, 50, 52)]
    assert {horizon for _, _, horizon in moves(events, 100 * S)} == {1}


def test_mean_and_error_over_blocks_match_manual_calculation():
    """Three sweeps in three blocks of five minutes, with moves 1, 0 and -1: mean 0, error √(3/2 · 2) / 3."""
    events = [book(0, 100, 102)]
    for number, bid in enumerate((99, 100, 101)):
        at = (10 + 300 * number) * S
        events += [book(at, 100, 102), trade(at + 1, -1, 100, number + 1), book(at + 2, bid, bid + 2)]
    rows = adverse_selection(calibrator_of(small_tape(events, 0, 1000 * S)))
    (row,) = [row for row in rows if (row.side, row.horizon_s) == ("both", 5)]
    assert (row.hits, row.mean_move_ticks) == (3, 0)
    assert row.se_ticks == pytest.approx((3 / 2 * 2) ** 0.5 / 3)


def test_single_block_has_no_error():
    rows = adverse_selection(calibrator_of(small_tape(SOLD, 0, 20 * S)))
    assert {row.se_ticks for row in rows} == {None}


def test_csv_has_row_per_distance_side_and_horizon(tmp_path):
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
            "low_ticks": "",
            "high_ticks": "",
        }
    ]


def test_day_without_hits_has_no_rows():
    assert (
        adverse_selection(calibrator_of(small_tape([book(0, 100, 102)], 0, 10 * S), CalibrationConfig(reference="mid")))
        == []
    )


@given(
    st.sampled_from((1, 2, 8)),
    st.sets(st.integers(0, 40), min_size=1),
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(-1, 60), st.integers(0, 2), st.sampled_from((0.5, -1.0, 2.5, np.nan)))
    ),
)
def test_moves_at_probes_equal_evaluation_of_each_probe(per_tick, places, rows):
    """A probe whole ticks from the touch is hit by deeper sweeps; unknown moves do not count."""
    places, rows = np.array(sorted(places)), [row for row in rows if row[1] >= row[0]]
    touch, depth, block = (np.array([row[one] for row in rows], np.int64) for one in range(3))
    moves = np.array([row[3] for row in rows], float)
    counts, sums = Hits(touch, depth, block, moves[:, None]).at_probes(0, places, per_tick)
    for at, place in enumerate(places.tolist()):
        hit = [
            (into, gone)
            for touch, depth, into, gone in rows
            if touch <= place <= depth and (place - touch) % per_tick == 0 and not np.isnan(gone)
        ]
        for number in range(len(counts)):
            found = [gone for into, gone in hit if into == number]
            assert (counts[number, at], sums[number, at]) == (len(found), sum(found))

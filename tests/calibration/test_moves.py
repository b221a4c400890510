"""Adverse moves per window: against the table of the whole day, a plain loop, and their use in quotes."""

from bisect import bisect_left, bisect_right
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mm
from mm import CalibrationConfig, Schedule, WindowPlan, build_schedule
from mm.backtest.models import queue_prob_power
from mm.calibration import moves as adverse_moves
from mm.calibration.calibrate import measure
from mm.calibration.calibrator import Calibrator
from mm.calibration.config import FillsMeasured
from mm.calibration.intensities import intensity_of
from mm.calibration.moves import LEAST_HITS, adverse_selection, move_of_best_distance, moves_between
from mm.calibration.reference import CLOSED
from small_tapes import book, trade
from small_tapes import tape as tape_of

US = 1_000_000


@pytest.mark.parametrize("reference", ["mid", "best", "micro"])
def test_moves_of_whole_day_equal_adverse_selection_table(tape, reference):
    """``adverse_selection.csv`` sums each distance separately; the fit uses sums over all distances at once."""
    measurement = measure(tape, CalibrationConfig(reference=reference))
    rows = [one for one in adverse_selection(measurement.calibrator) if (one.side, one.horizon_s) == ("both", 5)]
    expected = {one.delta_ticks: one.mean_move_ticks for one in rows if one.hits >= LEAST_HITS}
    assert len(expected) > 3
    assert dict(measurement.fit.adverse_moves) == pytest.approx(expected)


def test_moves_of_window_equal_loop_over_sweeps(tape):
    """Mid five seconds after each sweep, if still inside the window."""
    calibrator = Calibrator(tape, CalibrationConfig(reference="mid"))
    start_us, end_us = tape.start_us + 300 * US, tape.start_us + 900 * US
    marks = calibrator.marks[0]
    us, mid2 = marks.path.us.tolist(), marks.path.mid2.tolist()
    moves = {}
    for side in (1, -1):
        hits, touches = marks.hits(side, start_us, end_us)
        for at, row, depth, touch in zip(
            hits.us.tolist(), hits.row.tolist(), hits.depth.tolist(), touches, strict=True
        ):
            if at + 5 * US <= end_us:
                move = side * (mid2[row] - mid2[bisect_right(us, at + 5 * US) - 1]) / 2
                for place in range(int(touch), depth + 1, 2):
                    moves.setdefault(place / 2, []).append(move)
    found = moves_between(calibrator, start_us, end_us)
    expected = {delta: sum(each) / len(each) for delta, each in moves.items() if len(each) >= LEAST_HITS}
    assert len(found) > 3
    for delta, move in found:
        assert move == pytest.approx(expected[delta]), delta


@pytest.mark.slow
@given(st.data())
def test_shared_moves_equal_separate_window_count(data):
    """Also for sweeps cut by a border: prints of one trade time that are partly in the window."""
    seconds, reaches = st.integers(0, 40), st.sampled_from((None, 1, 3, 6))
    rows = data.draw(st.lists(st.tuples(seconds, st.sampled_from((1, -1)), st.integers(0, 4)), min_size=2, max_size=60))
    rows = sorted(rows, key=lambda row: row[0])
    day = [book(0, 100, 102)]
    for number, (second, side, deep) in enumerate(rows, 1):
        at = second * US + number
        day.append(book(at, 100 + number % 3, 102 + number % 3))
        ticks = 102 + deep if side == 1 else 100 - deep
        exch = (second // 4 + 1) * 4 * US  # prints of several seconds are one aggressive order
        day.append(trade(at, side, ticks, exch))
    with patch.object(adverse_moves, "LEAST_HITS", 1):
        calibrator = Calibrator(
            tape_of(day, 0, 50 * US), CalibrationConfig(reference="mid", max_delta_ticks=data.draw(reaches))
        )
        borders = st.integers(0, 50 * US)
        for _ in range(4):
            start_us, end_us = sorted((data.draw(borders), data.draw(borders)))
            assert dict(moves_between(calibrator, start_us, end_us)) == pytest.approx(
                plain_moves(calibrator, start_us, end_us)
            )


def plain_moves(calibrator, start_us, end_us):
    """Return the mean move at each distance by a loop over the sweeps of the window."""
    marks, moves = calibrator.marks[0], {}
    last = int(2 * calibrator.reach(start_us, end_us))
    us, mid2, touch = (one.tolist() for one in (marks.path.us, marks.path.mid2, marks.path.touch[1]))
    for side in (1, -1):
        hits, touches = marks.hits(side, start_us, end_us)
        for at, row, depth, near in zip(hits.us.tolist(), hits.row.tolist(), hits.depth.tolist(), touches, strict=True):
            later_row = bisect_right(us, at + 5 * US) - 1
            if at + 5 * US <= end_us and near <= last and CLOSED not in touch[row : later_row + 1]:
                for place in range(int(near), min(depth, last) + 1, 2):
                    moves.setdefault(place / 2, []).append(side * (mid2[row] - mid2[later_row]) / 2)
    return {delta: sum(each) / len(each) for delta, each in moves.items()}


def test_moves_under_fill_model_follow_simulated_fills(tape):
    """Fills of simulated orders in the window; fills whose five seconds end after it are excluded."""
    config = CalibrationConfig(
        reference="mid",
        method="fixed",
        deltas=(0.5, 1.5),
        fills=FillsMeasured("queue_prob_power", {}, queue_prob_power),
    )
    journals, moves = [], {}

    def keep(_, play):
        run = play()
        journals.append(run.result.journal)
        return run

    calibrator = Calibrator(tape, config, keep=keep)
    start_us, end_us = tape.start_us + 300 * US, tape.start_us + 900 * US
    for journal in journals:
        us, mid2 = (column.tolist() for column in journal.mids.T)
        for at, _, side, ticks, *_ in journal.fills.tolist():
            if start_us <= at and at + 5 * US <= end_us:
                before, after = mid2[bisect_left(us, at) - 1], mid2[bisect_right(us, at + 5 * US) - 1]
                moves.setdefault(max(side * (before - 2 * ticks) / 2, 0.5), []).append(side * (before - after) / 2)
    expected = {delta: sum(each) / len(each) for delta, each in moves.items() if len(each) >= LEAST_HITS}
    assert expected
    assert dict(moves_between(calibrator, start_us, end_us)) == pytest.approx(expected, abs=0.02)


def test_move_of_best_distance_maximises_expected_gain():
    """Far away the fills are too few; near the mid the moves cost too much."""
    moves = ((0.5, 0.6), (1.0, 0.7), (3.0, 0.9))
    assert move_of_best_distance(moves, lambda _: np.array([1.0, 0.6, 0.01])) == 0.7
    assert move_of_best_distance((), np.exp) is None


@pytest.fixture(scope="module")
def schedule(tape):
    """Return three segments with the moves of their training windows."""
    return build_schedule(
        Calibrator(tape, CalibrationConfig(reference="mid")), WindowPlan(train_window_min=15, step_min=10)
    )


def test_segments_contain_moves_of_their_training_window(tape, schedule):
    """Equal to a calibrator of the training window alone, and kept by the file."""
    for segment in schedule.segments:
        alone = Calibrator(
            tape.between(segment.train_start_us, segment.train_end_us), CalibrationConfig(reference="mid")
        )
        moves = moves_between(alone, segment.train_start_us, segment.train_end_us)
        rate = partial(intensity_of(replace(schedule, segments=(segment,))).at, segment.start_us, 1)
        best, move = max(moves, key=lambda pair, rate=rate: rate(pair[0]) * (pair[0] - pair[1]))
        assert move_of_best_distance(moves, lambda delta, rate=rate: list(map(rate, delta.tolist()))) == move
        assert segment.adverse_ticks == pytest.approx(move), best
    assert Schedule.from_json(schedule.to_json(), "the test") == schedule
    assert len({segment.adverse_ticks for segment in schedule.segments}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("model", ["optimal_curve", "expected_value"])
def test_quotes_use_moves_of_current_segment(tape, schedule, model):
    """Equal moves in all segments quote like the parameter of that value; an explicit parameter replaces them."""

    def orders(moves, **params):
        segments = tuple(replace(one, adverse_ticks=move) for one, move in zip(schedule.segments, moves, strict=True))
        return mm.backtest(
            tape,
            model,
            "poisson",
            fit=replace(schedule, segments=segments),
            quote_params_json=params,
            sensitivity=False,
        ).journal.orders.tolist()

    count = len(schedule.segments)
    same, none = orders([1.5] * count), orders([None] * count)
    assert same == orders([None] * count, adverse_ticks=1.5) == orders([0.2] * count, adverse_ticks=1.5)
    assert none == orders([None] * count, adverse_ticks=0.0) != same
    mixed = orders([1.5] + [None] * (count - 1))
    change_us = schedule.segments[1].start_us
    assert [row for row in mixed if row[0] < change_us] == [row for row in same if row[0] < change_us]
    assert mixed not in (same, none)

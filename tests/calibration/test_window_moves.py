"""Moves after fills in a window: as the whole day's table has them, as a plain reading has them, and in quotes."""

from bisect import bisect_left, bisect_right
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mm
from mm.backtest.models import queue_prob_power
from mm.calibration import window_moves
from mm.calibration.calibrate import adverse_selection, measure
from mm.calibration.calibrator import CalibrationConfig, Calibrator, FillsMeasured
from mm.calibration.intensities import intensity_of
from mm.calibration.reference import CLOSED
from mm.calibration.schedule import Schedule, build_schedule
from mm.calibration.window_moves import LEAST_HITS, WindowMoves, move_of_best_distance
from mm.calibration.windows import WindowPlan
from small_tapes import book, trade
from small_tapes import tape as tape_of

US = 1_000_000


@pytest.mark.parametrize("reference", ["mid", "best", "micro"])
def test_of_whole_days_they_are_those_of_the_table(tape, reference):
    """``adverse_selection.csv`` adds up each distance by itself; these are sums over all distances at once."""
    found = measure(tape, CalibrationConfig(reference=reference))
    rows = [one for one in adverse_selection(found.calibrator) if (one.side, one.horizon_s) == ("both", 5)]
    wanted = {one.delta_ticks: one.mean_move_ticks for one in rows if one.hits >= LEAST_HITS}
    assert len(wanted) > 3
    assert dict(found.fit.adverse_moves) == pytest.approx(wanted)


def test_of_a_window_they_are_those_of_its_sweeps(tape):
    """One sweep after another, with the mid of five seconds later, if the window still holds it."""
    calibrator = Calibrator(tape, CalibrationConfig())
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
    found = WindowMoves(calibrator).between(start_us, end_us)
    wanted = {delta: sum(each) / len(each) for delta, each in moves.items() if len(each) >= LEAST_HITS}
    assert len(found) > 3
    for delta, move in found:
        assert move == pytest.approx(wanted[delta]), delta


@given(st.data())
def test_sweeps_followed_once_are_those_of_each_window(data):
    """Also those that a border cuts: prints of one trade time, of which the window holds a part."""
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
    with patch.object(window_moves, "LEAST_HITS", 1):
        calibrator = Calibrator(tape_of(day, 0, 50 * US), CalibrationConfig(max_delta_ticks=data.draw(reaches)))
        moves = WindowMoves(calibrator)
        borders = st.integers(0, 50 * US)
        for _ in range(4):
            start_us, end_us = sorted((data.draw(borders), data.draw(borders)))
            assert dict(moves.between(start_us, end_us)) == pytest.approx(plain_moves(calibrator, start_us, end_us))


def plain_moves(calibrator, start_us, end_us):
    """Return the mean move at each distance, one sweep of the window after another."""
    marks, moves = calibrator.marks[0], {}
    last = int(2 * calibrator.reach(start_us, end_us))
    us, mid2, touch = (one.tolist() for one in (marks.path.us, marks.path.mid2, marks.path.touch[1]))
    for side in (1, -1):
        hits, touches = marks.hits(side, start_us, end_us)
        for at, row, depth, near in zip(hits.us.tolist(), hits.row.tolist(), hits.depth.tolist(), touches, strict=True):
            then = bisect_right(us, at + 5 * US) - 1
            if at + 5 * US <= end_us and near <= last and CLOSED not in touch[row : then + 1]:
                for place in range(int(near), min(depth, last) + 1, 2):
                    moves.setdefault(place / 2, []).append(side * (mid2[row] - mid2[then]) / 2)
    return {delta: sum(each) / len(each) for delta, each in moves.items()}


def test_under_a_fill_model_they_follow_its_fills(tape):
    """The fills of the simulated orders in the window, and no fill whose five seconds end behind it."""
    config = CalibrationConfig(
        method="fixed", deltas=(0.5, 1.5), fills=FillsMeasured("queue_prob_power", {}, queue_prob_power)
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
    wanted = {delta: sum(each) / len(each) for delta, each in moves.items() if len(each) >= LEAST_HITS}
    assert wanted
    assert dict(WindowMoves(calibrator).between(start_us, end_us)) == pytest.approx(wanted, abs=0.02)


def test_the_dearest_is_where_an_order_is_worth_most():
    """Far away the fills are too few, near by the moves take all."""
    moves = ((0.5, 0.6), (1.0, 0.7), (3.0, 0.9))
    assert move_of_best_distance(moves, lambda _: np.array([1.0, 0.6, 0.01])) == 0.7
    assert move_of_best_distance((), np.exp) is None


@pytest.fixture(scope="module")
def schedule(tape):
    """Three segments, each with what its own training window showed."""
    return build_schedule(Calibrator(tape, CalibrationConfig()), WindowPlan(train_window_min=15, step_min=10))


def test_segments_carry_what_their_training_window_showed(tape, schedule):
    """Measured again in a calibrator that never saw anything else; and a file keeps it."""
    for one in schedule.segments:
        alone = Calibrator(tape.between(one.train_start_us, one.train_end_us), CalibrationConfig())
        moves = WindowMoves(alone).between(one.train_start_us, one.train_end_us)
        rate = partial(intensity_of(replace(schedule, segments=(one,))).at, one.start_us, 1)
        best, move = max(moves, key=lambda pair, rate=rate: rate(pair[0]) * (pair[0] - pair[1]))
        assert move_of_best_distance(moves, lambda delta, rate=rate: list(map(rate, delta.tolist()))) == move
        assert one.adverse_ticks == pytest.approx(move), best
    assert Schedule.from_json(schedule.to_json(), "the test") == schedule
    assert len({one.adverse_ticks for one in schedule.segments}) > 1


@pytest.mark.parametrize("model", ["optimal_curve", "expected_value"])
def test_quotes_count_with_the_moves_of_the_segment_in_force(tape, schedule, model):
    """Segments of equal moves quote as that number of one's own does, others do not; a number of one's own replaces
    them."""

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

"""Samples of predictors against outcomes counted event by event in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_tapes import TEST, one_tape
from markets import SECOND, hinted
from mm import Tape
from mm.errors import FitError
from mm.predict.samples import SWEEP_US, Task, distances_of, samples_of
from mm.signals.compute import compute
from named import is_kind

HORIZON_US = SECOND // 2
SIGNALS = ("spread", "imbalance_5")


def rows_of(tape):
    """Yield instant, values and mid in ticks of each row."""
    (piece,) = list(compute(tape, (*SIGNALS, "mid")))
    for us, *values, mid in zip(piece.recv_us.tolist(), *piece.values.tolist(), strict=True):
        yield us, values, math.nan if math.isnan(mid) else round(mid * 2e8 / tape.instrument.tick_e8) / 2


def plain(tape, target, distances):
    """Yield (us, side, row, outcome) of every sample."""
    rows = list(rows_of(tape))
    gaps = tape.event_us[is_kind(tape, "gap")].tolist()
    events = np.flatnonzero(is_kind(tape, "trade"))
    prints = [(int(tape.event_us[e]), *map(int, tape.rows(int(e))[0][:2])) for e in events]

    def mid_at(row_us, us):
        if not rows or us > rows[-1][0] or any(row_us < gap <= us for gap in gaps):
            return math.nan
        return [mid for at, _, mid in rows if at <= us][-1]

    if target == "adverse":
        before = None
        for us, side, _ in prints:
            first = before is None or before[1] != side or us - before[0] > SWEEP_US
            before = us, side
            earlier = [row for row in rows if row[0] < us]
            if first and earlier:
                row_us, values, mid = earlier[-1]
                against = side * (mid_at(row_us, us + HORIZON_US) - mid)
                yield us, (side + 1) // 2, values, math.nan if math.isnan(against) else float(against > 0)
        return
    for us, values, mid in rows:
        move = mid_at(us, us + HORIZON_US) - mid
        if target == "return":
            yield us, 0, values, move
            continue
        for side, sign in enumerate((1, -1)):
            for distance in distances:
                if math.isnan(move):
                    continue
                price = math.floor(mid - distance) if sign > 0 else math.ceil(mid + distance)
                best = mid - sign * values[0] / 2
                if sign * (price - best) > 0:
                    continue
                reached = any(
                    us < at <= us + HORIZON_US and -sign == taker and sign * (price - ticks) >= 0
                    for at, taker, ticks in prints
                )
                yield us, side, [*values, sign * (mid - price)], float(reached)


@given(one_tape(SECOND // 5), st.sampled_from(["return", "adverse", "fill"]))
@settings(max_examples=60, deadline=None)
def test_samples_equal_plain_python(drawn, target):
    """For any books, prints and gaps."""
    tape, _ = drawn
    distances = (0.5, 1.0, 2.5) if target == "fill" else ()
    expected = [one for one in plain(tape, target, distances) if not any(map(math.isnan, [*one[2], one[3]]))]
    task = Task(target, HORIZON_US / SECOND, SIGNALS, distances)
    if not expected:
        with pytest.raises(FitError, match="no sample of"):
            samples_of([tape], task)
        return
    found = samples_of([tape], task)
    assert (np.diff(found.us) >= 0).all()
    assert (found.until_us - found.us == HORIZON_US).all()
    columns = found.us.tolist(), found.side.tolist(), found.rows.tolist(), found.outcome.tolist()
    assert sorted(map(str, zip(*columns, strict=True))) == sorted(
        str((us, side, [float(one) for one in row], float(outcome))) for us, side, row, outcome in expected
    )


@given(st.integers(300, 900), st.sampled_from(["return", "adverse", "fill"]))
@settings(max_examples=12, deadline=None)
def test_later_events_do_not_change_samples(cut, target):
    """A truncated tape has the same samples, except those with outcomes after its end."""
    tape, task = hinted(0.9, 1000), Task(target, 2.0, SIGNALS, (0.5, 1.0) if target == "fill" else ())
    end_us = (cut + 1) * SECOND
    short, whole = samples_of([tape.between(tape.start_us, end_us)], task), samples_of([tape], task)
    complete = whole.at(whole.until_us <= short.until_us.max())
    for name in ("us", "side", "rows", "outcome", "mid_ticks"):
        assert np.array_equal(getattr(complete, name), getattr(short, name)), name
    assert short.until_us.max() <= end_us


@pytest.mark.parametrize("target", ["return", "adverse", "fill"])
def test_window_of_day_has_samples_of_its_time(target):
    """The tape of a window begins at the previous snapshot; earlier samples do not count."""
    tape, task = hinted(0.9, 1000), Task(target, 2.0, SIGNALS, (0.5, 1.0) if target == "fill" else ())
    window = tape.between(400 * SECOND, tape.end_us)
    assert window.event_us[0] < 400 * SECOND
    found, whole = samples_of([window], task), samples_of([tape], task)
    later = whole.at(whole.us >= 400 * SECOND)
    for name in ("us", "side", "rows", "outcome", "mid_ticks"):
        assert np.array_equal(getattr(later, name), getattr(found, name)), name


def test_many_samples_are_thinned_evenly(monkeypatch):
    """Each part of the day counts."""
    monkeypatch.setattr("mm.predict.samples.MOST_SAMPLES", 100)
    for task in (Task("return", 1.0, SIGNALS), Task("fill", 1.0, SIGNALS, (0.5, 1.0))):
        found = samples_of([hinted(0.5, 1000)], task)
        assert 80 <= len(found) <= 100
        assert np.median(found.us) == pytest.approx(501 * SECOND, rel=0.05)


def test_distances_come_from_prints():
    """All prints of this market are at the touch, half a tick from the mid; without prints there are none."""
    assert distances_of([hinted(0.5, 100)]) == (0.5,)
    with pytest.raises(FitError, match="no print beyond the mid"):
        distances_of([Tape.of(TEST, [(SECOND, "snapshot", [(9, 5)], [(10, 5)])])])

"""One pass over the rows of a chart finds the same as plain Python row by row."""

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import engine_chance
from mm.instrument import Instrument
from mm.report import _drawn_rows
from mm.report.drawn_columns import Units
from mm.report.run_columns import market_of
from mm.tape.columns import TRADE
from mm.tape.tape import Tape

NUMBERS = st.floats(-1e9, 1e9) | st.just(math.nan)


@given(st.lists(NUMBERS, max_size=30), st.sampled_from([0.01, 0.5, 1.0, 3.7]))
@example([math.nan] * 5, 1.0)
@example([0.0, 1e14, math.nan, -1e14, 3.0], 0.01)
@example([0.5, 1.5, 2.5, 3.5, 4.5], 1.0)
def test_whole_units_round_like_python(values, unit):
    """Halves go to even, and NaN is 0, in the vectorised path and in the path for distant values."""
    known = [value for value in values if not math.isnan(value)]
    low = min(known, default=0.0)
    codes, least = _drawn_rows.whole_units(np.array(values, np.float64), unit)
    assert least == low
    expected = [0 if math.isnan(value) else round((value - low) / unit) + 1 for value in values]
    near = max(known, default=0.0) - low < unit * 2**53  # beyond, a float holds no odd number
    assert codes.tolist() == (expected if near else pytest.approx(expected, rel=1e-15))


@given(
    st.lists(st.integers(0, 3_000), max_size=30).map(sorted),
    st.lists(st.integers(0, 3_000), max_size=5).map(sorted),
    st.lists(st.integers(0, 1_000), min_size=1, max_size=4, unique=True).map(sorted),
)
def test_rank_counts_spans_without_the_row_and_the_next(us, near, spans):
    """Rows below each rank are counted as well."""
    ranks, below = _drawn_rows.ranks_near(np.array(us, np.int64), np.array(near, np.int64), np.array(spans, np.int64))
    ranks_of_rows = [sum(all(abs(at_us - other) > span for other in near) for span in spans) for at_us in us]
    expected = [min(ranks_of_rows[at : at + 2]) for at in range(len(ranks_of_rows))]
    assert ranks.tolist() == expected
    assert below.tolist() == [sum(at_us < rank for at_us in expected) for rank in range(len(spans) + 2)]


@given(st.lists(st.integers(-(2**44), 2**44) | st.integers(0, 3), min_size=1, max_size=40), st.data())
def test_far_extremes_finds_first_least_greatest_and_last_per_share(values, data):
    """Values whose range exceeds 38 bits are compared without their lowest bits, from either end."""
    rank = data.draw(st.integers(0, 3))
    ranks = data.draw(st.lists(st.integers(0, 4), min_size=len(values), max_size=len(values)))
    rows = [row for row, rank_of_row in enumerate(ranks) if rank_of_row >= rank]
    assume(rows)
    first = [0, *sorted(data.draw(st.sets(st.integers(1, len(rows)), max_size=4)) - {len(rows)})]
    found = _drawn_rows.far_extremes(
        np.array(ranks, np.uint8), rank, np.array(values, np.int64), np.array(first, np.int64)
    )
    taken = [values[row] for row in rows]
    cut = max(0, (max(taken) - min(taken)).bit_length() - 38)
    expected = []
    for begin, stop in zip(first, [*first[1:], len(rows)], strict=True):
        share = rows[begin:stop]
        least = min(share, key=lambda row: (values[row] - min(taken)) >> cut)
        greatest = min(share, key=lambda row: (max(taken) - values[row]) >> cut)
        expected += sorted({share[0], least, greatest, share[-1]})
    assert found.tolist() == expected


@given(st.lists(NUMBERS, max_size=60), st.integers(1, 9), st.data())
def test_envelope_finds_first_least_greatest_and_last_per_column(values, count, data):
    """Rows at the edge are in the last column, and a column of NaN alone is a hole."""
    us = sorted(data.draw(st.lists(st.integers(0, 1_000), min_size=len(values), max_size=len(values))))
    rows, holes = _drawn_rows.envelope_rows(np.array(us, np.float64), np.array(values, np.float64), 0.0, 1e3, count)
    columns = {}
    for row, at in enumerate(us):
        columns.setdefault(min(int(at * (count / 1_000)), count - 1), []).append(row)
    expected, parted, hole = [], [], False
    for column in columns.values():
        known = [row for row in column if not math.isnan(values[row])]
        if known:
            parted += [len(expected)] if hole and expected else []
            found = [known[0], min(known, key=values.__getitem__), max(known, key=values.__getitem__), known[-1]]
            expected += sorted(set(found))
        hole = not known
    assert (rows.tolist(), holes) == (expected, parted)


POINT = st.floats(0.05, 1_100) | st.integers(1, 44_000).map(lambda one: one / 40) | st.floats()


@given(st.lists(st.tuples(POINT, POINT), max_size=9), st.booleans())
@example([(0.25, 12.35), (0.35, 0.05), (1e7 - 0.01, 0.15), (2.5, 3.5)], True)
@example([(math.nextafter(one, 0), math.nextafter(one, 9e9)) for one in (0.05, 0.25, 12.35, 99.95, 1e7)], False)
@example([(-0.0, 0.04), (math.nan, math.inf), (1e300, -3.25)], False)
def test_points_of_a_path_are_rounded_like_python(points, whole):
    """Halves and their neighbours, by their exact decimal values."""
    x, y = (np.array([one[at] for one in points], np.float64) for at in (0, 1))
    expected = "".join(f"M{one:.{0 if whole else 1}f} {other:.1f}z" for one, other in points)
    assert _drawn_rows.points_text(x, y, "M", " ", "z", whole) == expected


@given(st.lists(st.integers(-200, 200) | st.integers(-(2**16), 2**16) | st.integers(-(2**40), 2**40), max_size=40))
@example([127, 255, 127, -1, 128])
@example([-(2**31), 0, 2**31 - 1])
def test_differences_are_packed_in_the_smallest_width(numbers):
    """Steps of at least half the range of the width are kept apart with their place, and are 0 among the others."""
    steps = [number - before for number, before in zip(numbers, [0, *numbers], strict=False)]
    large = {width: [at for at, step in enumerate(steps) if abs(step) >= 1 << 8 * width - 1] for width in (1, 2, 4)}
    expected = min(large, key=lambda width: len(steps) * width + 12 * len(large[width]))
    width, near, at, far = _drawn_rows.packed_steps(np.array(numbers, np.int64))
    assert width == expected
    assert at.tolist() == large[width]
    assert far.tolist() == [float(steps[place]) for place in large[width]]
    assert near.view(f"<i{width}").tolist() == [
        0 if place in large[width] else number for place, number in enumerate(steps)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_prints_are_the_trades_of_a_tape_split_by_side(seed, monkeypatch):
    """Events are read in pieces; windows are tested too."""
    monkeypatch.setattr("mm.report.run_columns.EVENTS", 7)
    for whole in engine_chance.case_of(seed).tapes:
        for tape in (whole, whole.between((2 * whole.start_us + whole.end_us) // 3, whole.end_us)):
            market, grid = market_of([tape]), tape.instrument
            events = [at for at in range(len(tape)) if tape.kind[at] == TRADE and tape.event_us[at] >= tape.start_us]
            rows = [tape.rows(at)[0] for at in events]
            for sign, found in market.prints.items():
                expected = [
                    (us, *row[1:])
                    for us, row in zip(tape.event_us[events].tolist(), rows, strict=True)
                    if row[0] == sign
                ]
                assert found.us.tolist() == [us for us, _, _ in expected]
                assert found.price.tolist() == [ticks * grid.tick_e8 / 1e8 for _, ticks, _ in expected]
                assert found.qty.tolist() == [lots * grid.lot_e8 / 1e8 for _, _, lots in expected]


@pytest.mark.parametrize("far", [2**31 - 1, 2**31, 2**40])
def test_prints_use_the_width_of_the_largest_number(far, monkeypatch):
    """A number that needs more than four bytes follows others that do not, in prices and in quantities."""
    monkeypatch.setattr("mm.report.run_columns.EVENTS", 2)
    rows = [(1, 12, 3), (-1, 10, far), (1, 12, far), (1, far, 4), (1, 13, 5)]
    quotes = (0, "snapshot", [(10, 1)], [(far + 1, 1)])
    tape = Tape.of(Instrument("SIM", 1, 1), [quotes, *((at, "trade", *row) for at, row in enumerate(rows, 1))])
    for sign, found in market_of([tape]).prints.items():
        expected = [(at, *row[1:]) for at, row in enumerate(rows, 1) if row[0] == sign]
        assert list(zip(found.us.tolist(), found.ticks.tolist(), found.lots.tolist(), strict=True)) == expected


def test_units_convert_to_the_nearest_floats():
    """One, some or all of them; also beyond the exact integers of a float."""
    units = [1, 2**53 + 1, -(2**61) - 1, 3, 5]
    expected, converted = [7 * unit / 10**8 for unit in units], Units(np.array(units, np.int64), 7)
    assert (np.asarray(converted).tolist(), converted[1:3].tolist(), len(converted)) == (expected, expected[1:3], 5)


def test_prints_of_days_on_several_grids_share_a_common_step():
    """Two days; the second has another tick and another lot."""
    events = [(1, "snapshot", [(10, 1)], [(12, 1)]), (2, "trade", 1, 12, 3), (3, "trade", -1, 10, 2)]
    first = Tape.of(Instrument("SIM", 6, 100), events)
    other = Tape.of(Instrument("SIM", 4, 30), [(us + 10, *rest) for us, *rest in events])
    found = market_of([first, other]).prints[1]
    assert found.us.tolist() == [2, 12]
    assert found.price.tolist() == [12 * 6 / 1e8, 12 * 4 / 1e8]
    assert found.qty.tolist() == [3 * 100 / 1e8, 3 * 30 / 1e8]

"""One pass over the rows of a chart finds what plain Python finds row by row."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import engine_chance
from mm.report import _drawn_rows
from mm.report.run_columns import market_of
from mm.tape.columns import TRADE

NUMBERS = st.floats(-1e9, 1e9) | st.just(math.nan)


@given(st.lists(NUMBERS, max_size=30), st.sampled_from([0.01, 0.5, 1.0, 3.7]))
@example([math.nan] * 5, 1.0)
@example([0.0, 1e14, math.nan, -1e14, 3.0], 0.01)
@example([0.5, 1.5, 2.5, 3.5, 4.5], 1.0)
def test_whole_units_are_those_that_python_rounds_to(values, unit):
    """Halves go to even, and NaN is 0, whether vectors are rounded or, of far values, each by itself."""
    known = [one for one in values if not math.isnan(one)]
    low = min(known, default=0.0)
    codes, least = _drawn_rows.whole_units(np.array(values, np.float64), unit)
    assert least == low
    expected = [0 if math.isnan(one) else round((one - low) / unit) + 1 for one in values]
    near = max(known, default=0.0) - low < unit * 2**53  # beyond, a float holds no odd number
    assert codes.tolist() == (expected if near else pytest.approx(expected, rel=1e-15))


@given(
    st.lists(st.integers(0, 3_000), max_size=30).map(sorted),
    st.lists(st.integers(0, 3_000), max_size=5).map(sorted),
    st.lists(st.integers(0, 1_000), min_size=1, max_size=4, unique=True).map(sorted),
)
def test_a_rank_is_how_many_spans_hold_neither_a_row_nor_the_next(us, near, spans):
    """And the rows below each rank are counted."""
    ranks, below = _drawn_rows.ranks_near(np.array(us, np.int64), np.array(near, np.int64), np.array(spans, np.int64))
    own = [sum(all(abs(one - other) > span for other in near) for span in spans) for one in us]
    expected = [min(own[at : at + 2]) for at in range(len(own))]
    assert ranks.tolist() == expected
    assert below.tolist() == [sum(one < rank for one in expected) for rank in range(len(spans) + 2)]
    for rank in range(len(spans) + 2):
        rows, others = _drawn_rows.parted(ranks, rank, int(below[rank]))
        assert rows.tolist() == [row for row, one in enumerate(expected) if one < rank]
        assert others.tolist() == [row for row, one in enumerate(expected) if one >= rank]


@given(st.lists(st.integers(-(2**44), 2**44) | st.integers(0, 3), min_size=1, max_size=40), st.data())
def test_of_each_share_the_first_least_and_greatest_are_found(values, data):
    """Values farther apart than 38 bits hold are compared without their last ones, from either end."""
    rows = sorted(data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1)))
    first = [0, *sorted(data.draw(st.sets(st.integers(1, len(rows)), max_size=4)) - {len(rows)})]
    found = _drawn_rows.least_and_greatest(*(np.array(one, np.int64) for one in (values, rows, first)))
    taken = [values[row] for row in rows]
    cut = max(0, (max(taken) - min(taken)).bit_length() - 38)
    for place, (begin, stop) in enumerate(zip(first, [*first[1:], len(rows)], strict=True)):
        share = range(begin, stop)
        assert found[0][place] == min(share, key=lambda at: (taken[at] - min(taken)) >> cut)
        assert found[1][place] == min(share, key=lambda at: (max(taken) - taken[at]) >> cut)


@pytest.mark.parametrize("seed", range(20))
def test_prints_are_the_trades_of_a_tape_and_parted_by_their_side(seed, monkeypatch):
    """Piece by piece of the events, windows among them."""
    monkeypatch.setattr("mm.report.run_columns.EVENTS", 7)
    for whole in engine_chance.case_of(seed).tapes:
        for tape in (whole, whole.between((2 * whole.start_us + whole.end_us) // 3, whole.end_us)):
            market, grid = market_of([tape]), tape.instrument
            events = [at for at in range(len(tape)) if tape.kind[at] == TRADE and tape.event_us[at] >= tape.start_us]
            rows = [tape.rows(at)[0] for at in events]
            assert market.trade_us.tolist() == [tape.event_us[at] for at in events]
            assert market.trade_side.tolist() == [side for side, _, _ in rows]
            assert market.trade_price.tolist() == [ticks * grid.tick_e8 / 1e8 for _, ticks, _ in rows]
            assert market.trade_qty.tolist() == [lots * grid.lot_e8 / 1e8 for _, _, lots in rows]
            for sign in (1, -1):
                found = _drawn_rows.prints_of(
                    market.trade_side, sign, market.trade_us, market.trade_price, market.trade_qty
                )
                taken = market.trade_side == sign
                columns = (market.trade_us, market.trade_price, market.trade_qty)
                for own, column in zip(found, columns, strict=True):
                    assert own.tolist() == column[taken].tolist()

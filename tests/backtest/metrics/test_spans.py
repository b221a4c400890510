"""The time with a market: covered clock, periods and blocks, against loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journals import Scribe, run_terms
from mm.backtest.journal import Stretches
from mm.backtest.metrics.pnl import account_of
from mm.backtest.metrics.spans import PERIOD_US, PeriodBlocks, Spans, block_sizes

LENGTHS = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), max_size=8)


def spans_of(lengths, unit=1):
    """Return spans of the lengths at odd places, with those at even ones between them."""
    ends = np.cumsum([unit * length for pair in lengths for length in pair]).reshape(-1, 2)
    return Spans.of(Stretches(ends))


@given(LENGTHS, st.lists(st.integers(0, 7_000), max_size=9))
def test_clock_counts_the_covered_time_before_an_instant(lengths, instants):
    spans = spans_of(lengths)
    parts = list(zip(spans.begin_us.tolist(), spans.end_us.tolist(), strict=True))
    expected = [sum(begin <= at < end for begin, end in parts for at in range(us)) for us in instants]
    assert spans.clock(np.array(instants, np.int64)).tolist() == expected
    assert spans.covered_us == sum(end - begin for begin, end in parts)


@given(LENGTHS, LENGTHS, st.sampled_from([1, 3_600_000_000]))
def test_common_time_is_that_of_both_also_of_days(first, second, unit):
    """Lengths of hours, in µs, have products beyond 64 bits."""
    one, two = spans_of(first, unit), spans_of(second, unit)
    both, edges = one.within(two), unit * np.arange(max(one.end_us.max(initial=0), two.end_us.max(initial=0)) // unit)
    covered = [np.diff(spans.clock(np.append(edges, edges[-1:] + unit))) > 0 for spans in (one, two, both)]
    assert (covered[2] == (covered[0] & covered[1])).all()


@given(LENGTHS)
def test_periods_are_the_whole_minutes_of_each_span_from_its_begin(lengths):
    spans = spans_of(lengths, PERIOD_US // 60)
    expected = [
        at
        for begin, end in zip(spans.begin_us.tolist(), spans.end_us.tolist(), strict=True)
        for at in range(begin, end - PERIOD_US + 1, PERIOD_US)
    ]
    assert spans.periods.tolist() == expected
    assert spans.period_counts.sum() == len(expected)


@pytest.mark.parametrize(
    ("size", "sizes"),
    [(0, []), (14, []), (15, [15]), (30, [30]), (44, [44]), (45, [30, 15]), (74, [30, 44]), (75, [30, 30, 15])],
)
def test_block_under_half_full_joins_the_one_before_or_is_none(size, sizes):
    assert list(block_sizes(size, 30)) == sizes


@given(LENGTHS, st.integers(1, 120))
def test_no_block_bridges_two_spans(lengths, length):
    spans = spans_of(lengths)
    blocks = spans.blocks(length)
    ends = spans.clock(blocks.end_us) - spans.clock(blocks.begin_us)
    assert (ends == blocks.end_us - blocks.begin_us).all()
    assert ends.sum() == spans.covered_us
    inside = blocks.index_of(np.concatenate((blocks.begin_us, blocks.end_us - 1)))
    assert inside.tolist() == 2 * list(range(len(blocks.begin_us)))


@given(st.lists(st.integers(0, 100), max_size=8), st.integers(1, 40), st.integers(0, 9))
def test_blocks_of_periods_sum_within_spans(counts, length, seed):
    values = np.random.default_rng(seed).normal(size=(sum(counts), 2))
    expected, left_out, at = [], 0, 0
    for count in counts:
        sizes = list(block_sizes(count, length))
        left_out += bool(count and not sizes)
        first = at
        for size in sizes:
            expected.append(values[first : first + size].sum(axis=0))
            first += size
        at += count
    blocks = PeriodBlocks.of(counts, length)
    assert blocks.sums(values) == pytest.approx(np.array(expected).reshape(-1, 2))
    assert blocks.left_out == left_out


def test_move_over_an_outage_is_in_no_period():
    """One lot is held while the book is gone for 90 s: the move of 100 half ticks is left out, not a minute's loss."""
    scribe = Scribe()
    scribe.move(2_000)
    scribe.state()
    scribe.fill(scribe.place(1, 1_000, 1), 1, 1_000, 1)
    scribe.wait(130 * 10**6)
    scribe.state()
    scribe.move(0)
    scribe.wait(90 * 10**6)
    scribe.state()
    scribe.move(1_900)
    scribe.wait(500_000)
    scribe.state()
    scribe.wait(60 * 10**6)
    scribe.move(1_910)
    scribe.state()
    account = account_of(scribe.journal(), run_terms())
    lost = account.half_tl * (1_910 - 2_000) - account.fee * scribe.fees_e8
    assert account.changes.tolist() == [0, 0, 0]
    assert account.left_out == pytest.approx(account.quote(lost))

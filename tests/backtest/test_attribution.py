"""Where the PnL came from: the identity, markouts by hand, and money beyond 64 bits."""

import math
import statistics
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from journals import BTCUSDT, START_US, Scribe, scribes

from mm.backtest import attribution
from mm.errors import MMError
from mm.instrument import Instrument

S = 1_000_000
CASH_E8 = 1_000 * 10**8


def accounted(scribe):
    return attribution.ledger(scribe.journal().state, scribe.instrument, CASH_E8)


@settings(max_examples=100, deadline=None)
@given(scribes())
def test_pnl_is_spread_and_inventory_less_fees_to_the_last_unit(scribe):
    """Each part recomputed another way: the inventory's row by row over the state, in fractions."""
    journal, account = scribe.journal(), accounted(scribe)
    pnl = attribution.split(journal.fills, account)
    marks = attribution.last_valid(journal.state[:, 4]).tolist()
    if not any(marks):
        assert pnl is None
        return
    assert pnl.total == pnl.spread + pnl.inventory - pnl.fees
    half_tick = Fraction(scribe.instrument.tick_e8, 2 * 10**8)
    lot = Fraction(scribe.instrument.lot_e8, 10**8)
    rows = list(zip(journal.state[:, 1].tolist(), marks, strict=True))
    carried = sum(held * (now - before) for (held, before), (_, now) in pairwise(rows))
    assert Fraction(pnl.inventory, account.per_quote) == carried * half_tick * lot
    assert Fraction(pnl.fees, account.per_quote) == Fraction(int(journal.fills[:, 5].sum()), 10**8)


@settings(max_examples=50, deadline=None)
@given(scribes())
def test_equity_is_cash_and_inventory_at_the_mark(scribe):
    """Unit by unit, from the instrument alone."""
    account, grid = accounted(scribe), scribe.instrument
    for row, equity, mark in zip(scribe.states, account.equity.tolist(), account.marks2.tolist(), strict=True):
        _, held, cash_tl, fees_e8, _, _ = row
        tick_lot = Fraction(grid.tick_e8 * grid.lot_e8, 10**16)
        expected = Fraction(CASH_E8 - fees_e8, 10**8) + (cash_tl + Fraction(held * mark, 2)) * tick_lot
        assert Fraction(equity, account.per_quote) == expected


def test_money_beyond_64_bits_stays_exact():
    """Where products would overflow, the account goes on in Python's own integers."""
    scribe = Scribe(instrument=Instrument("BIGUSDT", tick_e8=3, lot_e8=7))
    scribe.move(2 * 10**12 + 1)
    scribe.state()
    scribe.fill(scribe.place(1, 10**12, 9 * 10**6), 1, 10**12, 9 * 10**6)
    scribe.wait(S)
    scribe.move(2 * 10**12 + 5)
    scribe.state()
    account = accounted(scribe)
    pnl = attribution.split(scribe.journal().fills, account)
    assert account.equity.dtype == object
    assert Fraction(pnl.spread + pnl.inventory, account.per_quote) == 5 * 9 * 10**6 * Fraction(21, 2 * 10**16)


def test_books_that_do_not_add_up_are_a_fault_of_the_engine():
    """A fill that the state rows do not know is not smoothed over."""
    scribe = Scribe()
    scribe.move(17_400_000)
    scribe.state()
    scribe.fill(scribe.place(1, 8_699_990, 100), 1, 8_699_990, 100)
    journal = scribe.journal()
    journal.state[-1, 3] += 1
    with pytest.raises(MMError, match=r"differ by -1e-08 of the quote asset"):
        attribution.split(journal.fills, attribution.ledger(journal.state, BTCUSDT, CASH_E8))


def test_marks_are_carried_over_stretches_without_a_book():
    """The last valid mid marks until the next; before the first, the first does."""
    assert attribution.last_valid(np.array([0, 0, 7, 0, 9, 0])).tolist() == [7, 7, 7, 7, 9, 9]
    assert attribution.last_valid(np.array([0, 0])).tolist() == [0, 0]


def marked_run():
    """Mid 100 → 101 after 2 s, none from 6 s to 9 s, then 97; fills at 0, 1 s, 3 s, 8.5 s; ends at 12 s."""
    scribe = Scribe(fee_rate=0.0)
    scribe.move(20_000)
    scribe.state()
    for side, ticks, lots, wait_us, mid2 in [
        (1, 9_990, 100, S, 0),
        (-1, 10_020, 50, S, 20_200),
        (1, 10_095, 300, 0, 0),
    ]:
        scribe.fill(scribe.place(side, ticks, lots), side, ticks, lots)
        scribe.wait(wait_us)
        scribe.move(mid2 or scribe.mid2)
    scribe.wait(4 * S)
    scribe.move(0)
    scribe.wait(3 * S)
    scribe.move(19_400)
    scribe.wait(3 * S)
    scribe.state()
    return scribe.journal()


def test_effective_half_spread_is_weighted_by_quantity():
    """100 lots at 10 ticks, 50 at 20 and 300 at 5, a tick being 0.01."""
    mean = attribution.effective_half_spread(marked_run().fills, BTCUSDT)
    assert mean.value == pytest.approx((100 * 10 + 50 * 20 + 300 * 5) / 450 * 0.01)
    assert mean.left_out == 0


@pytest.mark.parametrize(
    ("horizon", "expected", "left_out"),
    [
        (1, -50 * 100 / 450 * 0.01, 0),
        # At 5 s after the first fill the mid is 101; 6 s and 7 s have no book.
        (5, 100 * 0.01, 2),
        (8, (50 * 300 + 300 * -400) / 350 * 0.01, 1),
        (11, (100 * -300 + 50 * 300) / 150 * 0.01, 1),
        (12, -300 * 0.01, 2),
        (13, None, 3),
    ],
)
def test_adverse_selection_reads_the_mid_in_force_then(horizon, expected, left_out):
    """A step function; no book, or no data, at that instant leaves the fill out and counts it."""
    mean = attribution.adverse_selection(marked_run(), BTCUSDT, horizon)
    assert mean.value == pytest.approx(expected)
    assert mean.left_out == left_out


def test_the_error_takes_fills_of_five_minutes_as_one():
    """Cluster sums of the weighted scores, with the factor G/(G − 1)."""
    scribe = Scribe(fee_rate=0.0)
    scribe.move(20_000)
    earned = [(0, 10, 100), (S, 14, 200), (400 * S, 2, 100), (900 * S, 6, 50), (910 * S, 4, 70)]
    for at_us, ticks, lots in earned:
        scribe.wait(START_US + at_us - scribe.us)
        scribe.fill(scribe.place(1, 10_000 - ticks, lots), 1, 10_000 - ticks, lots)
    weights = [lots for _, _, lots in earned]
    mean = sum(ticks * lots for _, ticks, lots in earned) / sum(weights)
    scores = {}
    for at_us, ticks, lots in earned:
        block = (START_US + at_us) // (300 * S)
        scores[block] = scores.get(block, 0) + lots * (ticks - mean)
    factor = len(scores) / (len(scores) - 1)
    error = math.sqrt(factor * sum(score**2 for score in scores.values())) / sum(weights) * 0.01
    assert attribution.effective_half_spread(scribe.journal().fills, BTCUSDT).error == pytest.approx(error)


def test_the_error_is_that_of_a_mean_where_every_block_has_one_fill():
    """Equal weights, one fill a block: the textbook's s/√n."""
    scribe = Scribe(fee_rate=0.0)
    scribe.move(20_000)
    earned = [3, 8, 1, 9, 4]
    for ticks in earned:
        scribe.fill(scribe.place(1, 10_000 - ticks, 100), 1, 10_000 - ticks, 100)
        scribe.wait(300 * S)
    expected = statistics.stdev(earned) / math.sqrt(len(earned)) * 0.01
    assert attribution.effective_half_spread(scribe.journal().fills, BTCUSDT).error == pytest.approx(expected)


def test_fills_without_a_mid_are_left_out_of_spreads():
    """They keep their place in the PnL, at the last valid mark."""
    journal = marked_run()
    journal.fills[1, 7] = 0
    assert attribution.effective_half_spread(journal.fills, BTCUSDT).left_out == 1
    account = attribution.ledger(journal.state, BTCUSDT, CASH_E8)
    assert attribution.fill_marks(journal.fills, account)[1] == 20_000
    assert attribution.split(journal.fills, account) is not None


def test_before_the_first_book_there_is_no_mid():
    """Instants before any row, and runs without one."""
    journal = marked_run()
    assert attribution.mid2_at(journal.mids, np.array([START_US - 1, START_US])).tolist() == [0, 20_000]
    assert attribution.mid2_at(journal.mids[:0], np.array([START_US])).tolist() == [0]


def test_no_fills_have_no_mean():
    """Undefined, not zero."""
    journal = replace(marked_run(), fills=marked_run().fills[:0])
    assert attribution.adverse_selection(journal, BTCUSDT, 1) == attribution.Mean(None, None, 0)

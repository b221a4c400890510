"""Where the PnL came from: the identity to the last unit, and money beyond 64 bits."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings

from journals import BTCUSDT, Scribe, scribes
from mm.backtest.metrics.attribution import split
from mm.backtest.metrics.ledger import last_valid, ledger
from mm.errors import MMError
from mm.instrument import Instrument

S = 1_000_000
CASH_E8 = 1_000 * 10**8


def accounted(scribe):
    return ledger(scribe.journal().state, scribe.instrument, CASH_E8)


@settings(max_examples=100, deadline=None)
@given(scribes())
def test_pnl_is_spread_and_inventory_less_fees_to_the_last_unit(scribe):
    """Each part recomputed another way: the inventory's row by row over the state, in fractions."""
    journal, account = scribe.journal(), accounted(scribe)
    pnl = split(journal.fills, account)
    marks = last_valid(journal.state[:, 4]).tolist()
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
    pnl = split(scribe.journal().fills, account)
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
        split(journal.fills, ledger(journal.state, BTCUSDT, CASH_E8))

"""The account at every state row, recomputed in fractions."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings

from journals import scribes
from mm.backtest.metrics.ledger import last_valid, ledger

CASH_E8 = 1_000 * 10**8


@settings(max_examples=50, deadline=None)
@given(scribes())
def test_equity_is_cash_and_inventory_at_the_mark(scribe):
    """Unit by unit, from the instrument alone."""
    account, grid = ledger(scribe.journal().state, scribe.instrument, CASH_E8), scribe.instrument
    for row, equity, mark in zip(scribe.states, account.equity.tolist(), account.marks2.tolist(), strict=True):
        _, held, cash_tl, fees_e8, _, _ = row
        tick_lot = Fraction(grid.tick_e8 * grid.lot_e8, 10**16)
        expected = Fraction(CASH_E8 - fees_e8, 10**8) + (cash_tl + Fraction(held * mark, 2)) * tick_lot
        assert Fraction(equity, account.per_quote) == expected


def test_marks_are_carried_over_stretches_without_a_book():
    """The last valid mid marks until the next; before the first, the first does."""
    assert last_valid(np.array([0, 0, 7, 0, 9, 0])).tolist() == [7, 7, 7, 7, 9, 9]
    assert last_valid(np.array([0, 0])).tolist() == [0, 0]

"""Funding of the target inventory is no result of the quotes, from the very row of its payment on."""

import numpy as np
import pytest

from engine_tapes import TEST
from mm.backtest.metrics.pnl import account_series

TARGET, PAID_E8 = 7, 3_000


def series(payment_us, row_us):
    """Return the account of a target that is held while a payment is due, with state rows at some instants."""
    fees = [PAID_E8 if us >= payment_us else 0 for us in row_us]
    rows = [(us, TARGET, 0, fee, 200, 0) for us, fee in zip(row_us, fees, strict=True)]
    return account_series(np.array(rows, np.int64), TEST, 10**9, TARGET, [(payment_us, PAID_E8)])


@pytest.mark.parametrize("row_us", [(0, 10, 20), (0, 9, 20), (0, 9, 10, 11, 20), (0, 10, 20, 30)])
def test_payment_for_the_target_changes_equity_and_not_the_quotes(row_us):
    account = series(10, row_us)
    assert account.quoting.tolist() == [0] * len(row_us)
    assert account.quote(account.equity[-1] - account.equity[0]) == -PAID_E8 / 1e8

"""A run without an order says which rule was in the way."""

import numpy as np

from mm.backtest.hindrances import WAYS, hindrance
from mm.backtest.journal import ACTIONS, ORDER_COLUMNS, REJECT_REASONS, STATUSES


def rows(*told: tuple[str, str, str]) -> np.ndarray:
    """Return order rows of (action, status, reason)."""
    table = np.zeros((len(told), len(ORDER_COLUMNS)), np.int64)
    for row, (action, status, reason) in zip(table, told, strict=True):
        row[[2, 3, 12]] = ACTIONS.index(action), STATUSES.index(status), REJECT_REASONS.index(reason)
    return table


SKIP = ("SKIP", "REJECTED", "min_notional")
CROSSED = [("PLACE", "SENT", ""), ("REJECT", "REJECTED", "would_cross")]


def test_each_rule_is_named_once_and_has_a_way_out():
    """Those that were not sent, and those that the exchange turned away."""
    told = hindrance(rows(SKIP, SKIP, *CROSSED))
    assert told.startswith("no order reached the book: would_cross (each would have crossed")
    assert "; min_notional (price times quantity is under the least notional; raise QUOTE_QTY" in told
    assert set(WAYS) == set(REJECT_REASONS) - {""}


def test_nothing_is_said_where_an_order_rested_or_filled_or_none_was_wanted():
    """A skip here and there is no hindrance; orders that travelled past the end met none either."""
    assert hindrance(rows(SKIP, ("PLACE", "LIVE", ""))) is None
    assert hindrance(rows(SKIP, ("FILL", "FILLED", ""))) is None
    assert hindrance(rows(("PLACE", "SENT", ""))) is None
    assert hindrance(rows()) is None

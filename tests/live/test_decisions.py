import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.journal import (
    AMENDED,
    CANCELLED,
    KEPT,
    PLACED,
    REJECT_REASONS,
    SKIP_SHIFT,
    SKIPPED,
    Decisions,
    Journal,
)
from mm.instrument import Instrument
from mm.live.run.decisions import COLUMNS, DecisionLags, action_text, decisions_of, lag_quantiles, write_decisions

GRID = Instrument("SIMUSDT", 1_000_000, 1_000)


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        (0, ""),
        (KEPT, "keep"),
        (AMENDED, "amend"),
        (AMENDED | SKIPPED | REJECT_REASONS.index("max_position") << SKIP_SHIFT, "amend skip max_position"),
        (PLACED, "place"),
        (CANCELLED, "cancel"),
        (CANCELLED | PLACED, "cancel place"),
        (SKIPPED | REJECT_REASONS.index("min_notional") << SKIP_SHIFT, "skip min_notional"),
        (CANCELLED | SKIPPED | REJECT_REASONS.index("order_limit_day") << SKIP_SHIFT, "cancel skip order_limit_day"),
    ],
)
def test_action_text_describes_sent_actions(actions, text):
    assert action_text(actions) == text


def test_decision_row_contains_market_quotes_and_actions(tmp_path):
    """Prices and quantities are decimals, and missing quotes are empty cells."""
    table = Decisions(
        [[1_000, 7, 99, 101, 98, 20, 0, -1, PLACED, CANCELLED], [2_000, 9, 99, 101, 98, 20, 102, 5, KEPT, 0]]
    )
    assert write_decisions(tmp_path / "d.csv", table, [30, 40], GRID) == 2
    head, first, second = (tmp_path / "d.csv").read_text().splitlines()
    assert head == ",".join(COLUMNS)
    assert first == "1000,7,30,0.99,1.01,0.98,0.0002,,,place,cancel"
    assert second == "2000,9,40,0.99,1.01,0.98,0.0002,1.02,0.00005,keep,"
    write_decisions(tmp_path / "d.csv", table, (), GRID)
    assert (tmp_path / "d.csv").read_text().splitlines()[1].startswith("1000,7,,0.99")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=30))
def test_each_decision_has_the_lag_of_its_call(calls):
    """With any number of decisions between two calls."""
    made, now_us, expected = 0, 1_000, []
    lags = DecisionLags(lambda: made, lambda: now_us)
    for more, passes in calls:
        now_us += passes
        expected += [now_us - us for us in range(made, made + more)]
        made += more
        lags.note()
    table = Decisions.empty(made)
    table.us = np.arange(made)
    assert lags.lags_us(table).tolist() == expected


def test_quantiles_are_observed_lags():
    assert lag_quantiles([5, 1, 3]) == {"p50": 3, "p90": 5, "p99": 5, "max": 5}
    assert lag_quantiles([]) == {"p50": None, "p90": None, "p99": None, "max": None}


def test_journal_without_decisions_raises_value_error():
    with pytest.raises(ValueError, match="do not record"):
        decisions_of(Journal(*[np.empty((0, 1), np.int64)] * 4))

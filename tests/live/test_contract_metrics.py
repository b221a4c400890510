"""Metrics of a contract: the margin ratio that a limit reads, the profit at the mark price, what has a sample when."""

import pytest

from mm.instrument import E8
from mm.live.pages.contract_metrics import RATIO, ContractMetrics
from mm.live.venues.positions import MarginSeen, PositionSeen


def with_margin(equity_e8, maintenance_e8):
    metrics = ContractMetrics()
    metrics.margin = MarginSeen(equity_e8, maintenance_e8, 0)
    return metrics


@pytest.mark.parametrize(
    ("equity_e8", "maintenance_e8", "ratio"),
    [
        (100 * E8, 5 * E8, 0.05),
        (100 * E8, 0, 0.0),
        (0, 0, 0.0),
        (-E8, 0, 0.0),
        (0, 1, float("inf")),
        (-100 * E8, 5 * E8, float("inf")),
        (1, 5, 5.0),
    ],
)
def test_margin_ratio_without_equity_is_above_every_limit(equity_e8, maintenance_e8, ratio):
    """A negative quotient would be below every limit when the account has lost more than it has."""
    metrics = with_margin(equity_e8, maintenance_e8)
    assert metrics.ratio == ratio
    assert dict(metrics.filled())[RATIO] == [("", {}, ratio)]


def test_margin_ratio_is_unknown_before_it_was_seen():
    assert ContractMetrics().ratio is None
    assert dict(ContractMetrics().filled())[RATIO] == []


@pytest.mark.parametrize(("held", "more"), [(2, 6), (-2, -6), (0, 0)])
def test_position_is_worth_more_or_less_at_the_mark_price(held, more):
    metrics = ContractMetrics()
    assert metrics.at_mark_e8(held * E8, 100 * E8) == 0
    metrics.position = PositionSeen(held * E8, mark_e8=103 * E8)
    assert metrics.at_mark_e8(held * E8, 100 * E8) == more * E8


def test_a_flat_position_has_no_entry_no_mark_and_no_liquidation():
    """A sample of 0 would look like a price."""
    metrics = ContractMetrics()
    metrics.position = PositionSeen(mark_e8=103 * E8, entry_e8=1, liquidation_e8=7)
    shown = {family.name for family, found in metrics.filled() if found}
    assert shown.isdisjoint(
        {"mm_position_entry_price", "mm_position_mark_price", "mm_position_liquidation_price"},
    )
    assert metrics.health()["position"]["liquidation_price"] == "0.00000007"
    metrics.position = PositionSeen(E8, 100 * E8, 103 * E8)
    assert "mm_position_liquidation_price" not in {family.name for family, found in metrics.filled() if found}

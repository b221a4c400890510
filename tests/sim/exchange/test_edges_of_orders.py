"""Edges of orders that no larger scenario meets: what is locked, what counts, what a smaller order may be."""

import pytest

from exchange_rig import ALICE, BOB, BUY, SELL, Desk
from mm.instrument import E8
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CancelRequest, NewOrder
from usdm_rig import Pit


def test_an_amendment_counts_what_self_trade_prevention_took() -> None:
    """Of 5 lots a decrement took 2, so that 4 in all leave 2; what is locked is what they cost."""
    desk = Desk()
    order = desk.limit(ALICE, BUY, 10_000, 5_000)
    desk.limit(ALICE, SELL, 10_000, 2_000, stp="DECREMENT", time_in_force="IOC")
    assert (order.left_lots, desk.money(ALICE)[3]) == (3_000, 300 * E8)
    desk.exchange.amend(desk.us, ALICE, CancelRequest(order_id=order.order_id), 4_000)
    assert (order.left_lots, desk.money(ALICE)[3]) == (2_000, 200 * E8)


def test_a_market_order_by_quote_keeps_to_the_quantity_step() -> None:
    """100 USDT at 30 buy 3.333, and with steps of a tenth 3.3."""
    desk = Desk(step_lots=100, multiplier_down_e8=E8 // 10)
    desk.limit(BOB, SELL, 3_000, 10_000)
    assert desk.market(ALICE, BUY, quote_e8=100 * E8).filled_lots == 3_300


def test_the_market_trades_with_an_order_after_those_ahead_of_it() -> None:
    desk = Desk()
    ahead = desk.limit(BOB, BUY, 10_000, 3_000)
    order = desk.limit(ALICE, BUY, 10_000, 2_000)
    desk.exchange.trade_with(order, 1_500)
    assert (ahead.status, order.filled_lots) == ("FILLED", 1_500)


def test_a_replacement_beyond_the_order_count_is_not_reported_as_rejected() -> None:
    """The order ends, and of the new one nothing was ever sent to the engine."""
    desk = Desk()
    orders = [desk.limit(ALICE, BUY, 9_000 - at, 1_000) for at in range(100)]
    desk.reported[ALICE].clear()
    request = CancelRequest(order_id=orders[0].order_id, when_exceeded_cancel=True)
    new = NewOrder(side=BUY, type="LIMIT", ticks=9_500, lots=1_000)
    outcome = desk.exchange.cancel_replace(desk.us, ALICE, request, new)
    assert isinstance(outcome.placed, ApiError)
    assert desk.kinds(ALICE) == ["CANCELED", "POSITION"]


def test_the_largest_notional_binds_no_market_order_and_the_smallest_symbol_trades_at_market() -> None:
    desk = Desk(most_notional_e8=200 * E8)
    desk.limit(BOB, SELL, 10_000, 2_000)
    desk.limit(BOB, SELL, 10_000, 2_000)
    assert desk.market(ALICE, BUY, 3_000).status == "FILLED"
    with pytest.raises(ApiError, match="NOTIONAL"):
        desk.limit(ALICE, BUY, 9_999, 3_000)
    assert Desk(most_qty_e8=E8 // 1_000).rules.most_market_lots == 1


def test_leverage_of_an_isolated_contract_without_a_position_may_fall() -> None:
    pit = Pit()
    pit.exchange.set_isolated(pit.us, ALICE, True)
    pit.exchange.set_leverage(pit.us, ALICE, 10)
    pit.exchange.set_leverage(pit.us, ALICE, 5)
    pit.trade(ALICE, BOB, 10_000, 1_000)
    with pytest.raises(ApiError) as refused:
        pit.exchange.set_leverage(pit.us, ALICE, 3)
    assert refused.value.code == -4161

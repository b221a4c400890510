"""Accounts: balances, open orders and order counts are bounded."""

import pytest

from exchange_rig import ALICE, BOB, BUY, SELL, START_US, Desk
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import NewOrder


def error_of(error: ApiError) -> tuple[int, str, int]:
    """Return code, message and HTTP status of an error."""
    return error.code, error.msg, error.http_status


def maker(side: int, ticks: int, lots: int) -> NewOrder:
    """Return a LIMIT_MAKER order."""
    return NewOrder(side=side, type="LIMIT_MAKER", ticks=ticks, lots=lots)


def test_order_beyond_free_balance_is_rejected() -> None:
    """10⁶ USDT buy 10⁴ at 100.00, and not one lot more; nor can 10³ SIM sell 1000.001."""
    desk = Desk()
    for side, lots in ((BUY, 10_000_001), (SELL, 1_000_001)):
        with pytest.raises(ApiError) as caught:
            desk.limit(ALICE, side, 10_000, lots)
        assert error_of(caught.value) == (-2010, "Account has insufficient balance for requested action.", 400)
    desk.limit(ALICE, BUY, 10_000, 10_000_000)
    with pytest.raises(ApiError):
        desk.limit(ALICE, BUY, 10_000, 100)
    desk.limit(BOB, BUY, 10_000, 100)


def test_orders_over_rate_limit_are_rejected_until_interval_ends() -> None:
    """100 in ten seconds that do not trade; one that trades as maker gives five back."""
    desk = Desk()
    for step in range(100):
        desk.limit(ALICE, BUY, 9_990 - step, 1_000)
    with pytest.raises(ApiError) as caught:
        desk.limit(ALICE, BUY, 9_000, 1_000)
    assert error_of(caught.value) == (-1015, "Too many new orders; current limit is 100 orders per 10 SECOND.", 429)
    assert caught.value.retry_us == START_US + 10_000_000
    desk.limit(BOB, SELL, 9_990, 1_000)
    for step in range(5):
        desk.limit(ALICE, BUY, 9_000 - step, 1_000)
    with pytest.raises(ApiError):
        desk.limit(ALICE, BUY, 8_900, 1_000)
    desk.us += 10_000_000
    desk.limit(ALICE, BUY, 8_900, 1_000)


def test_an_order_that_trades_in_parts_gives_back_once() -> None:
    """By its first trade: the others are of the same order."""
    desk = Desk()
    orders = [desk.limit(ALICE, BUY, 9_990 - step, 1_000) for step in range(20)]
    for lots in (100, 300, 600):
        desk.exchange.trade_with(orders[0], lots)
        assert desk.exchange.accounts[ALICE].count.counts(desk.us) == [15, 15]


def test_orders_are_not_counted_without_limits() -> None:
    """`--limits off`."""
    desk = Desk(limits=False)
    for step in range(150):
        desk.limit(ALICE, BUY, 9_990 - step, 1_000)


def test_open_orders_per_account_are_limited() -> None:
    """MAX_NUM_ORDERS."""
    desk = Desk(most_orders=2)
    desk.limit(ALICE, BUY, 9_990, 1_000)
    desk.limit(ALICE, BUY, 9_980, 1_000)
    with pytest.raises(ApiError) as caught:
        desk.limit(ALICE, BUY, 9_970, 1_000)
    assert error_of(caught.value) == (-1013, "Filter failure: MAX_NUM_ORDERS", 400)

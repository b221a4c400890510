"""Orders of contracts: what the exchange refuses, what a modification does, what may only reduce."""

from collections.abc import Callable
from typing import Any

import pytest

from mm.instrument import E8
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CancelRequest
from mm.sim.exchange.usdm.exchange import Modification
from usdm_rig import ALICE, BOB, Pit

BUY, SELL = 1, -1


def refused(code: int, act: Callable[..., Any], *arguments: Any, **more: Any) -> None:
    """Check that a call is refused with a code."""
    with pytest.raises(ApiError) as caught:
        act(*arguments, **more)
    assert caught.value.code == code


def test_a_modified_order_has_no_self_trade_prevention() -> None:
    """It is NONE from then on, whatever it was: the order trades with its own account."""
    pit = Pit()
    pit.limit(ALICE, SELL, 10_000, 1_000)
    bid = pit.limit(ALICE, BUY, 9_990, 1_000, stp="EXPIRE_TAKER")
    moved = pit.modify(ALICE, bid, 10_000, 1_000)
    assert (moved.status, moved.request.stp) == ("FILLED", "NONE")


def test_an_order_needs_its_margin_and_no_more() -> None:
    """At 20 times, 10⁶ are margin for 20·10⁶: 200,000 at 100."""
    pit = Pit()
    pit.limit(ALICE, BUY, 10_000, 200_000_000)
    assert pit.wallet(ALICE).available_e8 == 0
    refused(-2019, pit.limit, ALICE, BUY, 10_000, 1_000)
    pit.limit(ALICE, SELL, 10_100, 100_000_000)
    pit.exchange.cancel_all(pit.us, ALICE)
    assert pit.wallet(ALICE).available_e8 == 10**6 * E8


def test_the_larger_side_of_the_open_orders_counts() -> None:
    """Buys and sells cannot both add to a position, and an order that closes one needs nothing."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 1_000)
    contract = pit.contract(ALICE)
    assert (contract.position_margin_e8, contract.order_margin_e8) == (5 * E8, 0)
    pit.limit(ALICE, SELL, 10_000, 2_000)
    assert contract.order_margin_e8 == 0
    pit.limit(ALICE, BUY, 10_000 - 100, 1_000, stp="NONE")
    assert contract.order_margin_e8 == 495_000_000


def test_an_order_beyond_the_mark_price_needs_what_it_would_lose() -> None:
    """A buy at 102 with the mark price at 100 loses 2 a unit at once."""
    pit = Pit()
    pit.wallet(ALICE).balance_e8 = 7 * E8
    refused(-2019, pit.limit, ALICE, BUY, 10_200, 1_000)
    pit.wallet(ALICE).balance_e8 = 71 * E8 // 10
    pit.limit(ALICE, BUY, 10_200, 1_000)


def test_a_position_may_not_leave_the_brackets_of_its_leverage() -> None:
    """At 125 times a notional of 50,000 is the most."""
    pit = Pit()
    pit.exchange.set_leverage(pit.us, ALICE, 125)
    refused(-2027, pit.limit, ALICE, BUY, 10_000, 500_001)
    pit.limit(ALICE, BUY, 10_000, 500_000)
    refused(-2027, pit.limit, ALICE, BUY, 9_999, 1_000)
    refused(-4028, pit.exchange.set_leverage, pit.us, ALICE, 126)
    pit.exchange.set_leverage(pit.us, ALICE, 20)
    pit.limit(ALICE, BUY, 9_999, 1_000)
    refused(-2027, pit.exchange.set_leverage, pit.us, ALICE, 125)


@pytest.mark.parametrize(
    ("code", "ticks", "lots", "more"),
    [
        (-4016, 10_501, 1_000, {}),
        (-4024, 9_499, 1_000, {}),
        (-4164, 10_000, 49, {}),
        (-5022, 10_000, 1_000, {"time_in_force": "GTX"}),
        (-5021, 10_000, 1_001, {"time_in_force": "FOK"}),
        (-2022, 10_000, 1_000, {"reduce_only": True}),
    ],
)
def test_refused_orders_leave_no_trace(code: int, ticks: int, lots: int, more: dict[str, Any]) -> None:
    """No order, no event, no margin."""
    pit = Pit()
    pit.limit(BOB, SELL, 10_000, 1_000)
    refused(code, pit.limit, ALICE, BUY, ticks, lots, **more)
    assert (pit.exchange.users.all(ALICE), pit.events[ALICE]) == ([], [])
    assert pit.contract(ALICE).open_e8() == (0, 0)


def test_a_market_order_needs_a_price_near_the_mark() -> None:
    """A book that is 5 % away is not traded with."""
    pit = Pit()
    pit.market_order(SELL, 10_501, 1_000)
    refused(-4131, pit.market, ALICE, BUY, 100)
    pit.market_order(SELL, 10_500, 1_000)
    assert pit.market(ALICE, BUY, 100).status == "FILLED"


def test_a_fok_order_fills_wholly() -> None:
    """Over several levels, without own ones."""
    pit = Pit()
    pit.limit(BOB, SELL, 10_000, 1_000)
    pit.limit(ALICE, SELL, 10_001, 1_000)
    pit.limit(BOB, SELL, 10_002, 1_000)
    refused(-5021, pit.limit, ALICE, BUY, 10_001, 1_001, time_in_force="FOK")
    assert pit.limit(ALICE, BUY, 10_002, 2_000, time_in_force="FOK").status == "FILLED"


def test_a_modified_order_keeps_its_id_and_loses_its_place() -> None:
    """As the documentation says of every modification."""
    pit = Pit()
    first, second = pit.limit(ALICE, BUY, 9_990, 1_000), pit.limit(BOB, BUY, 9_990, 1_000)
    pit.modify(ALICE, first, 9_990, 500)
    pit.market_order(SELL, 9_990, 1_000)
    assert (second.status, first.status, first.order_id) == ("FILLED", "NEW", 1)
    assert pit.kinds(ALICE) == ["NEW", "AMENDMENT"]
    pit.market_order(SELL, 9_990, 300)
    assert (first.filled_lots, first.left_lots) == (300, 200)
    pit.modify(ALICE, first, 9_980, 400)
    assert (first.status, first.left_lots) == ("PARTIALLY_FILLED", 100)
    pit.market_order(SELL, 9_980, 100)
    assert first.status == "FILLED"
    pit.check()


def test_a_modification_may_trade_at_once() -> None:
    """The amendment is reported first."""
    pit = Pit()
    order = pit.limit(ALICE, BUY, 9_990, 1_000)
    pit.limit(BOB, SELL, 10_000, 600)
    pit.modify(ALICE, order, 10_000, 1_000)
    assert pit.kinds(ALICE) == ["NEW", "AMENDMENT", "TRADE", "ORDER"]
    assert (order.filled_lots, order.left_lots) == (600, 400)


def test_modifications_that_end_an_order() -> None:
    """One that may only rest and would take; one with no more than was filled."""
    pit = Pit()
    resting = pit.limit(ALICE, BUY, 9_990, 1_000, time_in_force="GTX")
    pit.limit(BOB, SELL, 10_000, 1_000)
    refused(-5022, pit.modify, ALICE, resting, 10_000, 1_000)
    assert (resting.status, pit.kinds(ALICE)) == ("CANCELED", ["NEW", "CANCELED"])
    partly = pit.limit(ALICE, BUY, 10_000, 1_500)
    assert partly.filled_lots == 1_000
    assert pit.modify(ALICE, partly, 10_000, 1_000).status == "CANCELED"
    assert pit.exchange.users.open(ALICE) == []


def test_refused_modifications_leave_the_order() -> None:
    """Same values, a bad price, another side, too much margin, no LIMIT order, no order."""
    pit = Pit()
    order = pit.limit(ALICE, BUY, 9_990, 1_000)
    refused(-5027, pit.modify, ALICE, order, 9_990, 1_000)
    refused(-4024, pit.modify, ALICE, order, 9_000, 1_000)
    refused(-2019, pit.modify, ALICE, order, 9_990, 300_000_000)
    request = CancelRequest(order_id=order.order_id)
    refused(-1117, pit.exchange.modify, pit.us, ALICE, request, Modification(SELL, 9_991, 1_000))
    refused(-2013, pit.exchange.modify, pit.us, BOB, request, Modification(BUY, 9_991, 1_000))
    assert (order.status, order.request.ticks, order.lots) == ("NEW", 9_990, 1_000)
    pit.exchange.cancel_all(pit.us, ALICE)
    refused(-2013, pit.modify, ALICE, order, 9_991, 1_000)


def test_a_modification_replaces_the_margin_of_its_order() -> None:
    """The order's own margin counts as free."""
    pit = Pit()
    order = pit.limit(ALICE, BUY, 9_999, 199_000_000)
    pit.modify(ALICE, order, 10_000, 199_000_000)
    assert order.request.ticks == 10_000


def test_order_that_only_reduces_expires_once_a_resting_order_has_closed_what_it_was_for() -> None:
    """Whichever side of the trade took."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 1_000)
    reducing = pit.limit(ALICE, -1, 10_100, 600, reduce_only=True)
    pit.limit(ALICE, -1, 10_050, 800)
    pit.limit(BOB, 1, 10_050, 400, time_in_force="IOC")
    assert (pit.contract(ALICE).lots, reducing.status) == (600, "NEW")
    pit.limit(BOB, 1, 10_050, 100, time_in_force="IOC")
    assert (pit.contract(ALICE).lots, reducing.status) == (500, "EXPIRED")


def test_orders_that_only_reduce_never_exceed_the_position() -> None:
    """A taking one is cut; resting ones share the position; what no longer fits expires, the newest first."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 1_000)
    first = pit.limit(ALICE, SELL, 10_050, 600, reduce_only=True)
    refused(-2022, pit.limit, ALICE, SELL, 10_060, 401, reduce_only=True)
    second = pit.limit(ALICE, SELL, 10_060, 400, reduce_only=True)
    refused(-2022, pit.limit, ALICE, BUY, 9_900, 100, reduce_only=True)
    pit.market_order(BUY, 10_000, 500)
    pit.limit(ALICE, SELL, 10_000, 300, time_in_force="IOC")
    assert (first.status, second.status) == ("NEW", "EXPIRED")
    pit.market_order(BUY, 10_000, 5_000)
    closing = pit.market(ALICE, SELL, 5_000, reduce_only=True)
    assert (closing.lots, closing.status, pit.contract(ALICE).lots) == (700, "FILLED", 0)
    assert first.status == "EXPIRED"
    pit.check()


def test_an_order_that_only_reduces_needs_neither_margin_nor_a_notional() -> None:
    """So that a position can always be closed."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 1_000)
    pit.wallet(ALICE).balance_e8 = 0
    assert pit.wallet(ALICE).available_e8 < 0
    refused(-2019, pit.limit, ALICE, BUY, 9_999, 1_000)
    pit.limit(ALICE, SELL, 10_010, 1, reduce_only=True)
    pit.limit(ALICE, SELL, 10_010, 900)


def test_an_order_that_only_reduces_needs_none_beside_orders_that_would_turn_the_position() -> None:
    """Counted with them it would: they alone would lead to a short of 1,500, with it to one of 2,000."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 1_000)
    pit.limit(ALICE, SELL, 10_050, 2_500)
    before = pit.contract(ALICE).open_e8()
    pit.wallet(ALICE).balance_e8 = 0
    assert pit.wallet(ALICE).available_e8 < 0
    refused(-2019, pit.limit, ALICE, SELL, 10_010, 500)
    pit.limit(ALICE, SELL, 10_010, 500, reduce_only=True)
    assert pit.contract(ALICE).open_e8() == before


def test_self_trades_end_the_resting_order_by_default() -> None:
    """EXPIRE_MAKER: the taker goes on with others."""
    pit = Pit()
    own = pit.limit(ALICE, SELL, 10_000, 1_000)
    other = pit.limit(BOB, SELL, 10_001, 1_000)
    taker = pit.limit(ALICE, BUY, 10_001, 1_000)
    assert (own.status, other.status, taker.status) == ("EXPIRED_IN_MATCH", "FILLED", "FILLED")
    assert pit.contract(ALICE).lots == 1_000
    pit.check()


def test_a_contract_that_is_not_trading_refuses_orders_and_lets_cancel() -> None:
    """As in a settlement."""
    pit = Pit()
    order = pit.limit(ALICE, BUY, 9_990, 1_000)
    pit.exchange.rules = pit.exchange.rules.of_status("SETTLING")
    refused(-4141, pit.limit, ALICE, BUY, 9_990, 1_000)
    assert pit.exchange.cancel(pit.us, ALICE, CancelRequest(order_id=order.order_id)).status == "CANCELED"


def test_order_counts_are_three_hundred_in_ten_seconds_whatever_fills() -> None:
    """A modification counts like an order, a cancel does not."""
    pit = Pit(limits=True)
    order = pit.limit(ALICE, BUY, 9_990, 1_000)
    for at in range(149):
        pit.modify(ALICE, order, 9_980 + at % 2, 1_000)
        pit.market_order(SELL, 10_000, 100)
        pit.market(ALICE, BUY, 100)
    pit.modify(ALICE, order, 9_970, 1_000)
    refused(-1015, pit.limit, ALICE, BUY, 9_990, 1_000)
    refused(-1015, pit.modify, ALICE, order, 9_971, 1_000)
    pit.pass_s(10)
    pit.limit(ALICE, BUY, 9_990, 1_000)
    assert pit.exchange.account(ALICE).count.counts(pit.us) == [1, 301]


def test_a_countdown_cancels_unless_it_is_renewed() -> None:
    """A dead-man switch, of one account, to the millisecond of the exchange's time."""
    pit = Pit()
    orders = [pit.limit(who, BUY, 9_990, 1_000) for who in (ALICE, BOB)]
    pit.exchange.count_down(pit.us, ALICE, 1_500)
    pit.pass_s(1)
    pit.exchange.count_down(pit.us, ALICE, 1_500)
    pit.pass_s(1.499)
    assert [order.status for order in orders] == ["NEW", "NEW"]
    pit.pass_s(3)
    assert [order.status for order in orders] == ["CANCELED", "NEW"]
    assert orders[0].updated_us == pit.us - 2_999_000
    pit.limit(ALICE, BUY, 9_990, 1_000)
    pit.exchange.count_down(pit.us, ALICE, 500)
    pit.exchange.count_down(pit.us, ALICE, 0)
    pit.pass_s(5)
    assert len(pit.exchange.users.open(ALICE)) == 1

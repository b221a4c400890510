"""Orders: every type, and the operations on resting orders."""

import pytest

from exchange_rig import ALICE, BOB, BUY, SELL, START_US, Desk
from mm.instrument import E8
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CancelRequest, ExecutionReport, NewOrder, UserOrder


def error_of(error: ApiError) -> tuple[int, str, int]:
    """Return code, message and HTTP status of an error."""
    return error.code, error.msg, error.http_status


def maker(side: int, ticks: int, lots: int) -> NewOrder:
    """Return a LIMIT_MAKER order."""
    return NewOrder(side=side, type="LIMIT_MAKER", ticks=ticks, lots=lots)


def test_ioc_order_fills_available_quantity_and_expires() -> None:
    """The remainder expires and never rests."""
    desk = Desk()
    desk.limit(BOB, SELL, 10_000, 1_000)
    order = desk.limit(ALICE, BUY, 10_000, 3_000, time_in_force="IOC")
    assert (order.status, order.filled_lots) == ("EXPIRED", 1_000)
    assert desk.kinds(ALICE) == ["NEW", "TRADE", "EXPIRED", "POSITION"]
    assert desk.exchange.depth(5)[1:] == ([], [])


def test_fok_order_is_filled_completely_or_not_at_all() -> None:
    """3 are requested where 1 rests; then 1 is requested."""
    desk = Desk()
    desk.limit(BOB, SELL, 10_000, 1_000)
    expired = desk.limit(ALICE, BUY, 10_000, 3_000, time_in_force="FOK")
    assert (expired.status, expired.filled_lots) == ("EXPIRED", 0)
    assert desk.money(ALICE) == (1_000 * E8, 0, 10**6 * E8, 0)
    filled = desk.limit(ALICE, BUY, 10_000, 1_000, time_in_force="FOK")
    assert (filled.status, filled.filled_lots) == ("FILLED", 1_000)


def test_limit_maker_order_that_would_match_is_rejected() -> None:
    """Nothing is locked for it and nothing is reported; the next order has id 2."""
    desk = Desk()
    desk.limit(BOB, SELL, 10_000, 1_000)
    with pytest.raises(ApiError) as caught:
        desk.exchange.place(desk.us, ALICE, maker(BUY, 10_000, 1_000))
    assert error_of(caught.value) == (-2010, "Order would immediately match and take.", 400)
    assert desk.money(ALICE)[3] == 0
    assert desk.reported[ALICE] == []
    assert desk.exchange.place(desk.us, ALICE, maker(BUY, 9_999, 1_000)).order_id == 2


def test_market_buy_by_quote_quantity_spends_it() -> None:
    """150.05 USDT buy 1 at 100.00, and of the rest at 100.10 a quantity on the grid: 0.5 of it cost 50.05."""
    desk = Desk()
    desk.limit(BOB, SELL, 10_000, 1_000)
    desk.limit(BOB, SELL, 10_010, 5_000)
    order = desk.market(ALICE, BUY, quote_e8=150_05000000)
    assert (order.status, order.lots, order.spent_tl) == ("FILLED", 1_500, 10_000 * 1_000 + 10_010 * 500)
    assert desk.money(ALICE)[2] == 10**6 * E8 - 150_05000000


def test_market_sell_by_quote_quantity_earns_it() -> None:
    """250 USDT are earned by 1 at 101.00 and 1.49 at 100.00, to within one lot."""
    desk = Desk()
    desk.limit(BOB, BUY, 10_100, 1_000)
    desk.limit(BOB, BUY, 10_000, 5_000)
    order = desk.market(ALICE, SELL, quote_e8=250 * E8)
    assert (order.status, order.lots) == ("FILLED", 2_490)
    assert order.spent_tl == 10_100 * 1_000 + 10_000 * 1_490


def test_market_order_by_quote_expires_where_book_ends() -> None:
    """It is FILLED only if all of the quote quantity was spent."""
    desk = Desk()
    desk.limit(BOB, SELL, 10_000, 1_000)
    order = desk.market(ALICE, BUY, quote_e8=150 * E8)
    assert (order.status, order.filled_lots) == ("EXPIRED", 1_000)
    assert desk.kinds(ALICE)[:3] == ["NEW", "TRADE", "EXPIRED"]
    trade = desk.reported[ALICE][1]
    assert isinstance(trade, ExecutionReport)
    assert trade.order.status == "PARTIALLY_FILLED"


def test_market_order_by_quote_is_rejected_on_empty_book() -> None:
    """Its quantity follows from the opposite orders; without any it has none."""
    desk = Desk()
    with pytest.raises(ApiError) as caught:
        desk.market(ALICE, BUY, quote_e8=150 * E8)
    assert error_of(caught.value) == (-2010, "Order book liquidity is less than symbol minimum quantity.", 400)


def test_unaffordable_market_buy_is_rejected_before_it_trades() -> None:
    """The book is unchanged."""
    desk = Desk()
    desk.core.submit(desk.us, 1_000, SELL, 10_000, 30_000_000)
    before = desk.exchange.depth(5)
    with pytest.raises(ApiError, match="insufficient balance"):
        desk.market(ALICE, BUY, 10_000_001)
    assert desk.exchange.depth(5) == before


def test_client_order_id_is_unique_among_open_orders() -> None:
    """It may be used again once the order is gone, and another account may use it at any time."""
    desk = Desk()
    first = desk.limit(ALICE, BUY, 9_990, 1_000, client_id="mine")
    desk.limit(BOB, BUY, 9_990, 1_000, client_id="mine")
    with pytest.raises(ApiError) as caught:
        desk.limit(ALICE, BUY, 9_980, 1_000, client_id="mine")
    assert error_of(caught.value) == (-2010, "Duplicate order sent.", 400)
    desk.exchange.cancel(desk.us, ALICE, CancelRequest(order_id=first.order_id))
    again = desk.limit(ALICE, BUY, 9_980, 1_000, client_id="mine")
    assert desk.exchange.users.find(ALICE, None, "mine") == (again, True)


def test_cancel_releases_locked_money() -> None:
    """Also the remainder of a partially filled order."""
    desk = Desk()
    order = desk.limit(ALICE, BUY, 10_000, 3_000, client_id="mine")
    desk.market(BOB, SELL, 1_000)
    desk.us += 5
    cancelled = desk.exchange.cancel(desk.us, ALICE, CancelRequest(client_id="mine", request_id="away"))
    assert (cancelled, cancelled.cancel_id) == (order, "away")
    assert (order.status, order.filled_lots, order.updated_us) == ("CANCELED", 1_000, START_US + 5)
    assert desk.money(ALICE) == (1_000_99900000, 0, 999_900 * E8, 0)
    execution = desk.reported[ALICE][-2]
    assert isinstance(execution, ExecutionReport)
    assert (execution.kind, execution.client_id, execution.old_client_id) == ("CANCELED", "away", "mine")


@pytest.mark.parametrize(
    "request_",
    [
        CancelRequest(order_id=2),
        CancelRequest(client_id="other"),
        CancelRequest(order_id=1, client_id="other"),
        CancelRequest(order_id=3),
    ],
)
def test_cancel_without_matching_open_order_is_rejected(request_: CancelRequest) -> None:
    """An unknown id, an unknown client id, an id and a client id that differ, and the order of another user."""
    desk = Desk()
    desk.limit(ALICE, BUY, 9_990, 1_000, client_id="mine")
    ended = desk.limit(ALICE, BUY, 9_990, 1_000, time_in_force="IOC")
    theirs = desk.limit(BOB, BUY, 9_990, 1_000, client_id="theirs")
    assert (ended.order_id, theirs.order_id) == (2, 3)
    with pytest.raises(ApiError) as caught:
        desk.exchange.cancel(desk.us, ALICE, request_)
    assert error_of(caught.value) == (-2011, "Unknown order sent.", 400)
    assert desk.exchange.depth(1)[1] == [("99.90000000", "2.00000000")]


def test_cancel_restrictions_check_order_status() -> None:
    """ONLY_NEW and ONLY_PARTIALLY_FILLED each accept one of the two orders."""
    desk = Desk()
    fresh = desk.limit(ALICE, BUY, 9_990, 1_000)
    partially_filled = desk.limit(ALICE, BUY, 10_000, 2_000)
    desk.market(BOB, SELL, 1_000)
    for order, restrictions in ((partially_filled, "ONLY_NEW"), (fresh, "ONLY_PARTIALLY_FILLED")):
        with pytest.raises(ApiError) as caught:
            desk.exchange.cancel(desk.us, ALICE, CancelRequest(order_id=order.order_id, restrictions=restrictions))
        assert error_of(caught.value) == (-2011, "Order was not canceled due to cancel restrictions.", 400)
    for order, restrictions in ((fresh, "ONLY_NEW"), (partially_filled, "ONLY_PARTIALLY_FILLED")):
        desk.exchange.cancel(desk.us, ALICE, CancelRequest(order_id=order.order_id, restrictions=restrictions))
    assert desk.exchange.users.open(ALICE) == []


def test_cancel_all_cancels_all_orders_of_the_account() -> None:
    """Those of others stay; without open orders the request is rejected."""
    desk = Desk()
    own = [desk.limit(ALICE, BUY, 9_990 - step, 1_000) for step in range(3)]
    desk.limit(BOB, BUY, 9_000, 1_000)
    cancelled = desk.exchange.cancel_all(desk.us, ALICE)
    assert cancelled == own
    assert len({one.cancel_id for one in cancelled}) == 1
    assert desk.exchange.depth(5)[1] == [("90.00000000", "1.00000000")]
    with pytest.raises(ApiError, match="Unknown order sent"):
        desk.exchange.cancel_all(desk.us, ALICE)


def test_amended_order_keeps_queue_position() -> None:
    """The example of the exchange's documentation: second in a queue of three, 5.5 becomes 5 and is filled second."""
    desk = Desk()
    first = desk.limit(BOB, BUY, 8_700, 1_000)
    mine = desk.limit(ALICE, BUY, 8_700, 5_500, client_id="mine")
    last = desk.limit(BOB, BUY, 8_700, 4_000)
    desk.exchange.amend(desk.us, ALICE, CancelRequest(client_id="mine", request_id="less"), 5_000)
    assert [row[0] for row in desk.core.orders(BUY)] == [first.order_id, mine.order_id, last.order_id]
    assert (mine.lots, mine.client_id, mine.status) == (5_000, "less", "NEW")
    assert desk.money(ALICE)[3] == 435 * E8
    assert desk.kinds(ALICE)[-2:] == ["REPLACED", "POSITION"]
    desk.core.submit(desk.us, 1_000, SELL, 8_700, 6_000)
    desk.exchange.advance(desk.us)
    assert (first.status, mine.status, last.status) == ("FILLED", "FILLED", "NEW")


def test_amended_quantity_includes_filled_quantity() -> None:
    """It is the quantity of the whole order: of 3 with 1 filled, amended to 2, 1 is left."""
    desk = Desk()
    order = desk.limit(ALICE, BUY, 10_000, 3_000)
    desk.market(BOB, SELL, 1_000)
    _, amendment = desk.exchange.amend(desk.us, ALICE, CancelRequest(order_id=order.order_id), 2_000)
    assert (order.lots, order.left_lots, order.status) == (2_000, 1_000, "PARTIALLY_FILLED")
    assert (amendment.old_lots, amendment.new_lots) == (3_000, 2_000)


@pytest.mark.parametrize(
    ("lots", "msg"),
    [
        (3_000, "The requested action would change no state; rejecting."),
        (3_001, "Order amend (quantity increase) is not supported."),
        (1_000, "The request to amend the order has been rejected."),
    ],
)
def test_amendment_must_reduce_remaining_quantity(lots: int, msg: str) -> None:
    """The same quantity, a larger one, and one that is already filled are rejected."""
    desk = Desk()
    order = desk.limit(ALICE, BUY, 10_000, 3_000)
    desk.market(BOB, SELL, 1_000)
    with pytest.raises(ApiError) as caught:
        desk.exchange.amend(desk.us, ALICE, CancelRequest(order_id=order.order_id), lots)
    assert error_of(caught.value) == (-2038, msg, 400)
    assert (order.lots, order.left_lots) == (3_000, 2_000)


def test_number_of_amendments_per_order_is_limited() -> None:
    """MAX_NUM_ORDER_AMENDS."""
    desk = Desk(most_amends=2)
    order = desk.limit(ALICE, BUY, 10_000, 3_000)
    for lots in (2_900, 2_800):
        desk.exchange.amend(desk.us, ALICE, CancelRequest(order_id=order.order_id), lots)
    with pytest.raises(ApiError) as caught:
        desk.exchange.amend(desk.us, ALICE, CancelRequest(order_id=order.order_id), 2_700)
    assert error_of(caught.value) == (-2038, "Filter failure: MAX_NUM_ORDER_AMENDS", 400)


def test_amendment_rejects_client_id_of_another_open_order() -> None:
    """It may keep its own client id."""
    desk = Desk()
    order = desk.limit(ALICE, BUY, 10_000, 3_000, client_id="mine")
    desk.limit(ALICE, BUY, 9_990, 3_000, client_id="other")
    with pytest.raises(ApiError, match="Duplicate order sent"):
        desk.exchange.amend(desk.us, ALICE, CancelRequest(order_id=order.order_id, request_id="other"), 2_000)
    desk.exchange.amend(desk.us, ALICE, CancelRequest(order_id=order.order_id, request_id="mine"), 2_000)
    assert desk.exchange.users.find(ALICE, None, "mine") == (order, True)


def replace(desk: Desk, order_id: int, new: NewOrder, **options: bool) -> tuple[object, object]:
    """Cancel and replace, and return the outcome of the cancel and of the order: done, an error's message, or None."""
    done = desk.exchange.cancel_replace(desk.us, ALICE, CancelRequest(order_id=order_id, **options), new)
    cancelled = "done" if isinstance(done.cancelled, UserOrder) else done.cancelled.msg
    placed = "done" if isinstance(done.placed, UserOrder) else done.placed and done.placed.msg
    return cancelled, placed


def test_replacement_can_spend_money_released_by_cancel() -> None:
    """The first order locks all money; the second needs it."""
    desk = Desk()
    order = desk.limit(ALICE, BUY, 10_000, 10_000_000)
    new = NewOrder(side=BUY, type="LIMIT", ticks=9_990, lots=10_000_000)
    assert replace(desk, order.order_id, new) == ("done", "done")
    assert desk.exchange.depth(5)[1] == [("99.90000000", "10000.00000000")]


def test_failed_cancel_stops_replacement_only_if_requested() -> None:
    """A replacement that is not tried still counts as an order."""
    desk = Desk()
    assert replace(desk, 77, maker(BUY, 9_990, 1_000)) == ("Unknown order sent.", None)
    assert desk.exchange.accounts[ALICE].count.counts(desk.us) == [1, 1]
    assert replace(desk, 77, maker(BUY, 9_990, 1_000), stop_on_failure=False) == ("Unknown order sent.", "done")


def test_failed_replacement_keeps_cancel() -> None:
    """The owner gets both reports: CANCELED, then REJECTED with the reason."""
    desk = Desk()
    order = desk.limit(ALICE, BUY, 9_990, 1_000)
    desk.limit(BOB, SELL, 10_000, 1_000)
    outcome = replace(desk, order.order_id, maker(BUY, 10_000, 1_000))
    assert outcome == ("done", "Order would immediately match and take.")
    assert order.status == "CANCELED"
    executions = [one for one in desk.reported[ALICE] if isinstance(one, ExecutionReport)]
    assert [one.kind for one in executions] == ["NEW", "CANCELED", "REJECTED"]
    assert (executions[-1].reject_reason, executions[-1].order.status) == ("WOULD_MATCH_IMMEDIATELY", "REJECTED")


def test_filter_failure_rejects_replacement_before_cancel() -> None:
    """Filters are checked first; after a failure nothing is done."""
    desk = Desk()
    order = desk.limit(ALICE, BUY, 9_990, 1_000)
    with pytest.raises(ApiError, match="Filter failure: NOTIONAL"):
        replace(desk, order.order_id, maker(BUY, 9_990, 1))
    assert order.status == "NEW"


def test_replacement_over_rate_limit_cancels_only_if_requested() -> None:
    """orderRateLimitExceededMode: by default nothing is done, else only the cancel."""
    desk = Desk()
    orders = [desk.limit(ALICE, BUY, 9_990 - step, 1_000) for step in range(100)]
    with pytest.raises(ApiError, match="Too many new orders"):
        replace(desk, orders[0].order_id, maker(BUY, 9_000, 1_000))
    assert orders[0].status == "NEW"
    outcome = replace(desk, orders[0].order_id, maker(BUY, 9_000, 1_000), when_exceeded_cancel=True)
    assert outcome == ("done", "Too many new orders; current limit is 100 orders per 10 SECOND.")


def test_position_is_reported_after_each_change_of_balances() -> None:
    """One for each user and each action, with the balances at that time."""
    desk = Desk()
    desk.limit(ALICE, BUY, 10_000, 1_000)
    desk.limit(BOB, SELL, 10_000, 2_000)
    assert desk.kinds(ALICE) == ["NEW", "POSITION", "TRADE", "POSITION"]
    assert desk.kinds(BOB) == ["NEW", "TRADE", "POSITION"]


def test_listeners_receive_rows_before_the_answer() -> None:
    """A listener that reads the rows has the book of the answer."""
    desk = Desk()
    desk.limit(ALICE, BUY, 10_000, 1_000)
    assert [row[1] for row in desk.rows] == [1, 4, 3]
    assert desk.rows[-1][9] == desk.exchange.depth(1)[0]


def test_old_orders_are_dropped_but_open_orders_are_kept() -> None:
    """Memory stays flat for a client that sends orders all day."""
    desk = Desk(limits=False)
    desk.exchange.users._keep = 10
    kept = desk.limit(ALICE, BUY, 9_000, 1_000)
    for _ in range(50):
        desk.exchange.cancel(desk.us, ALICE, CancelRequest(order_id=desk.limit(ALICE, BUY, 9_990, 1_000).order_id))
    assert len(desk.exchange.users.all(ALICE)) <= 21
    assert desk.exchange.users.open(ALICE) == [kept]
    assert len(desk.exchange.users.by_id) == len(desk.exchange.users.all(ALICE))

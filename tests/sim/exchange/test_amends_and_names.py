"""An order is amended to more than it has filled, and the client id of an order that has ended is free."""

import pytest

from exchange_rig import ALICE, BOB, BUY, SELL, Desk
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CancelRequest


def amended(desk: Desk, order_id: int, lots: int) -> int:
    """Amend an order of alice's; return what is left of it."""
    order, _ = desk.exchange.amend(desk.us, ALICE, CancelRequest(order_id=order_id), lots)
    return order.left_lots


@pytest.mark.parametrize(("lots", "left"), [(401, 1), (999, 599)])
def test_an_order_is_amended_to_more_than_it_has_filled(lots: int, left: int) -> None:
    desk = Desk()
    order = desk.limit(ALICE, BUY, 9_990, 1_000)
    desk.limit(BOB, SELL, 9_990, 400)
    assert amended(desk, order.order_id, lots) == left


@pytest.mark.parametrize("lots", [400, 399, 1_000, 1_001])
def test_an_order_is_not_amended_to_what_it_has_filled_or_to_as_much_as_before(lots: int) -> None:
    """Nothing would be left of it: that is a cancel, and the exchange has another request for it."""
    desk = Desk()
    order = desk.limit(ALICE, BUY, 9_990, 1_000)
    desk.limit(BOB, SELL, 9_990, 400)
    with pytest.raises(ApiError) as caught:
        amended(desk, order.order_id, lots)
    assert caught.value.code == -2038
    assert (order.left_lots, order.is_open) == (600, True)


@pytest.mark.parametrize("end", ["cancelled", "filled"])
def test_client_id_of_an_order_that_has_ended_is_free(end: str) -> None:
    desk = Desk()
    desk.limit(ALICE, BUY, 9_990, 1_000, client_id="again")
    with pytest.raises(ApiError, match="Duplicate"):
        desk.limit(ALICE, BUY, 9_980, 1_000, client_id="again")
    if end == "filled":
        desk.limit(BOB, SELL, 9_990, 1_000)
    else:
        desk.exchange.cancel(desk.us, ALICE, CancelRequest(client_id="again"))
    assert desk.limit(ALICE, BUY, 9_980, 1_000, client_id="again").is_open

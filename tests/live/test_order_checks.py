"""The local order checks refuse exactly the orders that the exchange refuses."""

import json
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exchange_rig import ALICE, INSTRUMENT, Desk
from mm.errors import DataError
from mm.instrument import E8, decimal_text
from mm.live.venues.filters import OrderChecks, ours_e8
from mm.live.venues.live_orders import LiveOrder
from mm.live.venues.refusals import Refusal, Why
from mm.live.venues.symbol_info import SymbolInfo
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CancelRequest, UserOrder

LOT_E8 = INSTRUMENT.lot_e8
INFO = {"symbols": [Desk().rules.entry()], "rateLimits": []}


def checks() -> OrderChecks:
    return SymbolInfo(json.dumps(INFO).encode(), "SIMUSDT").filters


@given(st.integers(2, 20), st.integers(0, 19), st.integers(0, 25), st.sampled_from([9_000, 10_000, 10_100]))
def test_amendment_check_agrees_with_exchange(lots: int, filled: int, less: int, ticks: int) -> None:
    """Below its quantity, above its filled quantity, of a size that the filters allow; 50 lots are 0.05 here."""
    desk, ours, filled = Desk(), checks(), min(filled, lots - 1)
    order = desk.limit(ALICE, +1, ticks, 50 * lots)
    if filled:
        desk.exchange.trade_with(order, 50 * filled)
    kept = LiveOrder(1, order.client_id, +1, f"{ticks / 100:.2f}", decimal_text(50 * lots, 3), "LIMIT")
    kept.booked_e8 = filled * 50 * (E8 // 1_000)
    refusal = ours.no_amendment(kept, decimal_text(50 * less, 3))
    refused = False
    try:
        if less == 0:
            raise ApiError(-1013, "newQty")  # as `read_amend` does
        desk.exchange.amend(desk.us, ALICE, CancelRequest(order_id=order.order_id), 50 * less)
    except ApiError:
        refused = True
    assert (refusal is not None) == refused


def test_amendment_is_refused_if_symbol_does_not_allow_it() -> None:
    """``amendAllowed`` of exchangeInfo."""
    entry = {**Desk().rules.entry(), "amendAllowed": False}
    found = SymbolInfo(json.dumps({"symbols": [entry]}).encode(), "SIMUSDT")
    refusal = found.filters.no_amendment(LiveOrder(1, "c", +1, "100", "2", "LIMIT"), "1")
    assert refusal == Refusal(-1013, "SIMUSDT: orders are not amended here (amendAllowed)", Why.FILTER)
    assert found.instrument.filters.max_amends == 10


@given(
    st.sampled_from([+1, -1]),
    st.one_of(st.integers(1, 100_000), st.sampled_from([1, 2_000, 1_999, 50_000, 50_001])),
    st.one_of(st.integers(1, 1_000_000), st.sampled_from([5, 6, 49, 50, 51])),
)
def test_filter_checks_agree_with_exchange(side: int, ticks: int, lots: int) -> None:
    """Each order that the balance covers is refused by both with the same code, or by neither."""
    desk, ours = Desk(), checks()
    ours.average_e8 = 100 * E8
    refusal = ours.refusal(side, f"{ticks / 100:.2f}", decimal_text(lots, 3), "LIMIT", [])
    code = 0
    try:
        desk.limit(ALICE, side, ticks, lots)
    except ApiError as error:
        assume(error.code != -2010)
        code = error.code
    assert (refusal or (0, ""))[0] == code


@pytest.mark.parametrize(
    ("qty", "reduces", "refused"), [("0.05", True, False), ("0.05", False, True), ("0", True, True)]
)
def test_least_notional_binds_no_order_that_only_reduces(qty: str, reduces: bool, refused: bool) -> None:
    """As a contract's exchange has it: the rest of a position can always be closed."""
    ours = checks()
    assert ours.instrument.min_notional_e8 > 0.05 * 99 * E8
    assert bool(ours.refusal(-1, "99", qty, "LIMIT", [], reduces=reduces)) is refused


@pytest.mark.parametrize(("price", "qty"), [("100.001", "1"), ("100", "0.0001"), ("-1", "1"), ("1e2", "1"), ("", "1")])
def test_off_grid_order_is_refused_as_filter_failure(price: str, qty: str) -> None:
    """The check returns a refusal and raises no exception."""
    assert (checks().refusal(+1, price, qty, "LIMIT", []) or (0, ""))[0] == -1013


@given(st.data())
def test_what_is_left_to_our_orders_changes_with_fills_alone(data: st.DataObject) -> None:
    """Placed, filled in part, amended, replaced and cancelled orders of both sides, at the exchange's own balances."""
    desk = Desk()
    ours: dict[int, tuple[UserOrder, LiveOrder]] = {}
    for number in range(data.draw(st.integers(1, 12))):
        action = data.draw(st.sampled_from(["place", "fill", "amend", "cancel"]))
        if action == "place" or not ours:
            side = data.draw(st.sampled_from([-1, 1]))
            ticks, lots = 10_000 - side * data.draw(st.integers(1, 40)), data.draw(st.integers(60, 999))
            order = desk.limit(ALICE, side, ticks, lots)
            text = (f"{ticks / 100:.2f}", decimal_text(lots, 3), "LIMIT")
            ours[number] = order, LiveOrder(number, order.client_id, side, *text)
        else:
            order, mine = ours[data.draw(st.sampled_from(sorted(ours)))]
            less = data.draw(st.integers(1, max(order.left_lots - 1, 1)))
            if action == "fill":
                desk.exchange.trade_with(order, less)
            elif action == "amend" and less < order.left_lots and order.lots - less >= 60:
                desk.exchange.amend(desk.us, ALICE, CancelRequest(order_id=order.order_id), order.lots - less)
                mine.qty = decimal_text(order.lots, 3)
            elif action == "cancel":
                desk.exchange.cancel(desk.us, ALICE, CancelRequest(order_id=order.order_id))
            if action == "cancel":
                ours = {key: pair for key, pair in ours.items() if pair[0] is not order}
        ours = {key: pair for key, pair in ours.items() if pair[0].left_lots}
        for order, mine in ours.values():
            mine.booked_e8 = order.filled_lots * LOT_E8
        base_free, base_locked, quote_free, quote_locked = map(decimal_text, desk.money(ALICE))
        found = {"SIM": (base_free, base_locked), "USDT": (quote_free, quote_locked)}
        base_e8, quote_e8 = 1_000 * E8, 1_000_000 * E8
        for fill in desk.exchange.users.fills(ALICE):
            base_e8 += fill.side * fill.lots * LOT_E8 - (fill.fee_e8 if fill.side > 0 else 0)
            quote_e8 -= fill.side * fill.lots * fill.ticks * LOT_E8 // 100 + (fill.fee_e8 if fill.side < 0 else 0)
        assert ours_e8(INSTRUMENT, found, [mine for _, mine in ours.values()]) == (base_e8, quote_e8)


def test_what_others_lock_is_not_left_to_our_orders() -> None:
    """1,000 of which another symbol locks 300: a bid of 600 that rests, and its replacement, have 700."""
    ours = [LiveOrder(1, "a", +1, "100", "6", "LIMIT"), LiveOrder(2, "b", -1, "101", "2", "LIMIT")]
    found = {"SIM": ("3", "4"), "USDT": ("100", "900")}
    assert ours_e8(INSTRUMENT, found, ours) == (5 * E8, 700 * E8)
    assert ours_e8(INSTRUMENT, {"USDT": ("400", "600")}, ours) == (0, 1_000 * E8)


def test_what_an_order_has_executed_it_no_longer_locks() -> None:
    """Also before its fills are booked."""
    order = LiveOrder(1, "a", +1, "100", "6", "LIMIT")
    order.executed_e8 = 4 * E8
    assert ours_e8(INSTRUMENT, {"USDT": ("100", "900")}, [order]) == (0, 300 * E8)
    small = LiveOrder(1, "a", +1, "0.00001", "0.0001", "LIMIT")  # a tenth of the smallest amount
    assert ours_e8(INSTRUMENT, {"USDT": ("0", "1")}, [small]) == (0, 1)


@pytest.mark.parametrize(("side", "least", "most"), [(+1, "50", "110"), (-1, "90", "200")])
def test_prices_of_bids_and_of_asks_have_ranges_of_their_own(side: int, least: str, most: str) -> None:
    """PERCENT_PRICE_BY_SIDE, around a mean price of 100."""
    entry = Desk().rules.entry()
    ranges = dict(zip(("bidMultiplierUp", "bidMultiplierDown"), ("1.1", "0.5"), strict=True))
    ranges |= dict(zip(("askMultiplierUp", "askMultiplierDown"), ("2", "0.9"), strict=True))
    filters = [{**one, **ranges} if one["filterType"] == "PERCENT_PRICE_BY_SIDE" else one for one in entry["filters"]]
    ours = SymbolInfo(json.dumps({"symbols": [entry | {"filters": filters}]}).encode(), "SIMUSDT").filters
    ours.average_e8 = 100 * E8
    for price, off in ((least, "-0.01"), (most, "0.01")):
        beyond = f"{Decimal(price) + Decimal(off)}"
        assert ours.refusal(side, price, "1", "LIMIT", []) is None
        assert "PERCENT_PRICE" in (ours.refusal(side, beyond, "1", "LIMIT", []) or (0, ""))[1]


def test_number_of_open_orders_is_limited() -> None:
    """MAX_NUM_ORDERS counts resting orders."""
    ours = checks()
    many = [LiveOrder(number, "a", +1, "100", "1", "LIMIT") for number in range(200)]
    assert "MAX_NUM_ORDERS" in (ours.refusal(+1, "100", "1", "LIMIT_MAKER", many) or (0, ""))[1]
    assert ours.refusal(+1, "100", "1", "LIMIT_MAKER", many[1:]) is None
    many[0].cancelling = True  # the one that it replaces, or whose cancel was sent before
    assert ours.refusal(+1, "100", "1", "LIMIT_MAKER", many) is None


def test_market_order_without_price_is_accepted() -> None:
    """Its value is not known here."""
    assert checks().refusal(+1, "", "0.001", "MARKET", []) is None


def test_unknown_symbol_raises_error_and_a_halted_one_has_its_status() -> None:
    """Grid and filters of a halted one are known: what rests in it is cancelled."""
    halted = {"symbols": [{**INFO["symbols"][0], "status": "BREAK"}]}
    assert SymbolInfo(json.dumps(halted).encode(), "SIMUSDT").halted == "BREAK"
    assert not SymbolInfo(json.dumps(INFO).encode(), "SIMUSDT").halted
    with pytest.raises(DataError, match="no symbol OTHER"):
        SymbolInfo(json.dumps(INFO).encode(), "OTHER")

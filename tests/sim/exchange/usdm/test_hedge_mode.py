"""Hedge mode: a long and a short position in one contract, their margin, funding, liquidation and deleveraging."""

from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mm.instrument import E8
from mm.margin.brackets import BRACKETS
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CancelRequest
from mm.sim.exchange.usdm.exchange import Modification
from plain_margin import maintenance
from usdm_rig import ALICE, BOB, CAROL, Pit

SIDES = {"LONG": 1, "SHORT": -1}


def hedged(*names: str, **terms: Any) -> Pit:
    """Return a contract whose first user is in hedge mode."""
    pit = Pit(*names, **terms)
    pit.exchange.set_hedged(pit.us, ALICE, hedged=True)
    return pit


def opened(pit: Pit, side: str, lots: int, ticks: int = 10_000, who: int = BOB) -> None:
    """Let Alice open or add to a position of a side."""
    pit.limit(ALICE, SIDES[side], ticks, lots, position_side=side)
    pit.limit(who, -SIDES[side], ticks, lots, time_in_force="IOC")


def closing(pit: Pit, side: str, lots: int, ticks: int = 10_000, **more: object) -> object:
    """Let Alice send an order that closes."""
    return pit.limit(ALICE, -SIDES[side], ticks, lots, position_side=side, reduce_only=True, **more)


def test_each_side_has_its_own_cost_profit_and_margin() -> None:
    """Neither nets with the other; what is closed is realised at the cost of its own side."""
    pit = hedged()
    opened(pit, "LONG", 3_000, 9_900)
    opened(pit, "SHORT", 2_000, 10_100)
    pit.mark(100)
    long, short = (pit.contract(ALICE, side) for side in SIDES)
    assert (long.lots, short.lots, pit.contract(ALICE).lots) == (3_000, -2_000, 0)
    assert (long.unrealised_e8, short.unrealised_e8) == (3 * E8, 2 * E8)
    assert (long.margin_e8, short.margin_e8) == (15 * E8, 10 * E8)
    wallet = pit.wallet(ALICE)
    assert wallet.available_e8 == wallet.balance_e8 + 5 * E8 - 25 * E8
    assert wallet.cross_maintenance_e8 == long.maintenance_e8 + short.maintenance_e8
    pit.limit(BOB, 1, 10_000, 1_000)
    closing(pit, "LONG", 1_000)
    assert (long.lots, pit.income(ALICE, "REALIZED_PNL")) == (2_000, [E8])
    pit.check()


def test_an_order_that_closes_needs_no_margin_and_no_more_than_is_held() -> None:
    """What rests counts for an order that rests, not for one that takes; a move of it neither."""
    pit = hedged()
    pit.wallet(ALICE).balance_e8 = 20 * E8
    opened(pit, "LONG", 3_000)
    pit.wallet(ALICE).balance_e8 = 2 * E8
    resting = closing(pit, "LONG", 2_000, 10_100)
    for lots, more in ((1_001, {}), (3_001, {"time_in_force": "IOC"})):
        with pytest.raises(ApiError, match="-2022"):
            closing(pit, "LONG", lots, 10_100, **more)
    with pytest.raises(ApiError, match="-2022"):
        closing(pit, "SHORT", 1)
    with pytest.raises(ApiError, match="-2019"):
        pit.limit(ALICE, 1, 10_000, 1_000, position_side="LONG")
    request = CancelRequest(order_id=resting.order_id)  # type: ignore[attr-defined]
    with pytest.raises(ApiError, match="-2022"):
        pit.exchange.modify(pit.us, ALICE, request, Modification(-1, 10_200, 3_001))
    pit.exchange.modify(pit.us, ALICE, request, Modification(-1, 10_200, 3_000))
    pit.limit(BOB, 1, 9_990, 2_500)
    closing(pit, "LONG", 2_500, 9_990, time_in_force="IOC")
    assert (pit.contract(ALICE, "LONG").lots, resting.status) == (500, "EXPIRED")  # type: ignore[attr-defined]


def test_funding_is_paid_by_the_long_and_received_by_the_short() -> None:
    """One payment a side."""
    pit = hedged(rate_e8=100_000, interval_us=60_000_000)
    opened(pit, "LONG", 3_000)
    opened(pit, "SHORT", 1_000)
    pit.us = pit.exchange.next_payment_us(pit.us)
    pit.exchange.advance(pit.us)
    assert sorted(pit.income(ALICE, "FUNDING_FEE")) == [-3 * E8 // 10, E8 // 10]
    assert pit.exchange.open_interest_e8 == 3 * E8
    pit.check()


def test_the_losing_side_is_liquidated_first_and_the_other_stays_if_it_has_its_margin() -> None:
    """Isolated: the long alone. Cross: both, once nothing is left."""
    for isolated in (False, True):
        pit = hedged()
        if isolated:
            pit.exchange.set_isolated(pit.us, ALICE, True)
        opened(pit, "LONG", 100_000)
        opened(pit, "SHORT", 20_000)
        if not isolated:
            pit.wallet(ALICE).balance_e8 = 520 * E8
            pit._begins_e8 = pit.money_e8()
        pit.market_order(1, 9_430, 30_000)
        pit.mark(94)
        forced = [one.order for one in pit.exchange.forced]
        assert forced[0].request.position_side == "LONG"
        assert pit.contract(ALICE, "LONG").lots == 0
        assert pit.contract(ALICE, "SHORT").lots == (-20_000 if isolated else 0)
        pit.check()


def test_a_hedged_position_falls_with_what_is_not_hedged() -> None:
    """A margin call names both cross positions; their one liquidation price is where the margin is used up."""
    pit = hedged()
    opened(pit, "LONG", 100_000)
    opened(pit, "SHORT", 60_000)
    pit.wallet(ALICE).balance_e8 = 300 * E8
    pit._begins_e8 = pit.money_e8()
    wallet, (long, short) = pit.wallet(ALICE), (pit.contract(ALICE, side) for side in SIDES)
    price_e8 = wallet.liquidation_e8(long)
    assert price_e8 == wallet.liquidation_e8(short)
    pit.mark(f"{(price_e8 + E8 // 100) / E8:.8f}")
    (call,) = [one for one in pit.events[ALICE] if type(one).__name__ == "MarginCall"]
    assert {one.position_side for one in call.positions} == set(SIDES)  # type: ignore[union-attr]
    assert not pit.exchange.forced
    pit.mark(f"{(price_e8 - E8 // 100) / E8:.8f}")
    assert pit.exchange.forced
    pit.check()


@given(
    st.integers(1, 3_000_000),
    st.integers(1, 3_000_000),
    st.integers(9_000, 11_000),
    st.integers(9_000, 11_000),
    st.integers(10, 10**7),
)
def test_the_liquidation_price_of_both_sides_is_that_of_fractions(
    long: int, short: int, bought: int, sold: int, start: int
) -> None:
    """At it the margin balance is the maintenance margin of both, each by its own bracket."""
    pit = hedged()
    wallet = pit.wallet(ALICE)
    wallet.balance_e8 = start * E8
    for side, lots, ticks in (("LONG", long, bought), ("SHORT", -short, sold)):
        contract = pit.contract(ALICE, side)
        contract.lots, contract.cost_e8 = lots, lots * ticks * 1_000
    price = Fraction(wallet.liquidation_e8(pit.contract(ALICE, "LONG")), E8)
    rows = [(Fraction(one.cap_e8, E8), Fraction(one.rate_e8, E8)) for one in BRACKETS]

    def spare(price: Fraction) -> Fraction:
        amounts = Fraction(long, 1_000), Fraction(short, 1_000)
        equity = start + amounts[0] * (price - Fraction(bought, 100)) + amounts[1] * (Fraction(sold, 100) - price)
        return equity - sum((maintenance(amount * price, rows) for amount in amounts), Fraction(0))

    assume(price)
    assert max(long, short) * price <= 1_800_000_000_000
    assert abs(spare(price)) <= Fraction(long + short, 1_000) / E8 + Fraction(1, 10**6)


def test_the_most_profitable_opposite_side_is_deleveraged() -> None:
    """Of a user in hedge mode too: only the side opposite to what nobody takes."""
    pit = Pit("alice", "bob", "carol", fund_e8=0)
    pit.exchange.set_hedged(pit.us, CAROL, hedged=True)
    pit.wallet(ALICE).balance_e8 = 600 * E8
    pit.limit(CAROL, -1, 10_000, 100_000, position_side="SHORT")
    pit.limit(ALICE, 1, 10_000, 100_000, time_in_force="IOC")
    pit.limit(CAROL, 1, 10_000, 30_000, position_side="LONG")
    pit.limit(BOB, -1, 10_000, 30_000, time_in_force="IOC")
    pit._begins_e8 = pit.money_e8()
    pit.mark(90)
    adl = [(one.account, one.order.request.position_side) for one in pit.exchange.forced if one.adl]
    assert (CAROL, "SHORT") in adl
    assert (CAROL, "LONG") not in adl
    assert pit.contract(CAROL, "LONG").lots == 30_000
    pit.check()


def test_settlement_and_modes_leave_nothing_behind() -> None:
    """Both sides close; then the mode may be changed again."""
    pit = hedged()
    opened(pit, "LONG", 3_000)
    opened(pit, "SHORT", 2_000)
    with pytest.raises(ApiError, match="-4068"):
        pit.exchange.set_hedged(pit.us, ALICE, hedged=False)
    pit.mark("101.235")
    pit.exchange.settle()
    assert [pit.contract(ALICE, side).lots for side in SIDES] == [0, 0]
    pit.exchange.set_hedged(pit.us, ALICE, hedged=False)
    pit.check()


@given(
    st.lists(
        st.tuples(st.sampled_from([*SIDES]), st.booleans(), st.integers(60, 90_000), st.integers(9_800, 10_200)),
        min_size=1,
        max_size=10,
    ),
    st.lists(st.integers(60, 160), min_size=1, max_size=4),
    st.sampled_from([0, 300, 10**6]),
    st.booleans(),
)
def test_whatever_falls_no_money_appears_and_no_side_turns(
    steps: list[tuple[str, bool, int, int]], marks: list[int], fund: int, isolated: bool
) -> None:
    """Random opening and closing orders, then marks, of two hedged users and one in one-way mode."""
    pit = Pit("alice", "bob", "carol", fund_e8=fund * E8, interval_us=7_000_000, rate_e8=50_000)
    for number in (ALICE, BOB, CAROL):
        pit.wallet(number).balance_e8 = 3_000 * E8
    for number in (ALICE, BOB):
        pit.exchange.set_hedged(pit.us, number, hedged=True)
    if isolated:
        pit.exchange.set_isolated(pit.us, ALICE, True)
    pit._begins_e8 = pit.money_e8()
    for at, (side, closes, lots, ticks) in enumerate(steps):
        way = -SIDES[side] if closes else SIDES[side]
        with suppress(ApiError):
            pit.limit((ALICE, BOB)[at % 2], way, ticks, lots, position_side=side, reduce_only=closes)
            pit.limit(CAROL, -way, ticks, lots, time_in_force="IOC")
        pit.check()
    for price in marks:
        pit.market_order(1, price * 100 - 50, 3_000)
        pit.mark(price, 3)
        pit.check()
    assert pit.fund.balance_e8 >= 0

"""Positions, wallets and margins: equal to plain decimals, and nothing comes from nowhere."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.instrument import E8
from mm.margin.brackets import BRACKETS, bracket_of, maintenance_e8, most_notional_e8
from mm.margin.wallet import Contract, Mark
from plain_wallet import PlainWallet
from usdm_rig import ALICE, BOB, CAROL, Pit

ORDERS = st.tuples(
    st.sampled_from([ALICE, BOB, CAROL]),
    st.sampled_from([1, -1]),
    st.integers(9_700, 10_300),
    st.integers(60, 4_000),
    st.sampled_from(["GTC", "GTC", "IOC"]),
)
STEPS = st.lists(st.one_of(ORDERS, st.just("fund"), st.just("market")), min_size=1, max_size=25)


def in_decimals(amount_e8: int) -> Decimal:
    return Decimal(amount_e8) / E8


@given(STEPS, st.sampled_from([1, 7, 10_000, -123_457]))
def test_wallets_equal_plain_decimals_and_money_is_conserved(steps: list, rate_e8: int) -> None:
    """Trades of three users and a market, with funding: balances, costs and equities to the last digit."""
    pit = Pit("alice", "bob", "carol", rate_e8=rate_e8, interval_us=10_000_000)
    plain = {number: PlainWallet(Decimal(1_000_000)) for number in (ALICE, BOB, CAROL)}
    seen = dict.fromkeys(plain, 0)
    for step in steps:
        if step == "fund":
            pit.us = pit.exchange.next_payment_us(pit.us)
            pit.exchange.advance(pit.us)
            mark = in_decimals(pit.exchange.payments[-1].mark_e8)
            for wallet in plain.values():
                wallet.fund(mark, Decimal(rate_e8) / E8)
        elif step == "market":
            pit.market_order(1, 9_800, 500)
            pit.market_order(-1, 10_200, 500)
        else:
            who, side, ticks, lots, time_in_force = step
            pit.limit(who, side, ticks, lots, time_in_force=time_in_force, stp="EXPIRE_MAKER")
        for number, wallet in plain.items():
            for fill in pit.exchange.users.fills(number)[seen[number] :]:
                rate = Decimal("0.0002") if fill.is_maker else Decimal("0.0005")
                wallet.trade(fill.side, Decimal(fill.ticks) / 100, Decimal(fill.lots) / 1_000, rate)
            seen[number] = len(pit.exchange.users.fills(number))
        pit.check()
    mark = in_decimals(pit.exchange.mark.e8)
    for number, wallet in plain.items():
        contract = pit.contract(number)
        assert in_decimals(pit.wallet(number).balance_e8) == wallet.balance
        assert (in_decimals(contract.amount_e8), in_decimals(contract.cost_e8)) == (wallet.quantity, wallet.cost)
        assert [in_decimals(one) for one in pit.income(number, "REALIZED_PNL")] == [
            one for one in wallet.realised if one
        ]
        assert wallet.equity(mark) == wallet.equity_by_cash(mark)


def test_a_position_that_turns_has_the_price_of_its_last_trades() -> None:
    """What closes realises its profit at the old entry; what is left is open at the new price."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 1_000)
    pit.trade(ALICE, BOB, 10_100, 1_000)
    assert pit.contract(ALICE).entry_e8 == 10_050 * E8 // 100
    pit.trade(BOB, ALICE, 10_200, 3_000)
    assert pit.income(ALICE, "REALIZED_PNL") == [3 * E8]
    assert (pit.contract(ALICE).lots, pit.contract(ALICE).entry_e8) == (-1_000, 102 * E8)
    assert pit.income(BOB, "REALIZED_PNL") == [-3 * E8]
    pit.check()


def test_break_even_covers_the_fees_of_opening() -> None:
    """As in the documentation's example: an entry of 0.385 with a fee of 0.02 % breaks even at 0.385077."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 1_000)
    assert pit.contract(ALICE).break_even_e8 == E8 * 10_002 // 100
    assert pit.contract(BOB).break_even_e8 == E8 * 9_995 // 100
    pit.trade(BOB, ALICE, 10_300, 600)  # what is left has paid its share of the fees
    assert pit.contract(ALICE).break_even_e8 == E8 * 10_002 // 100
    assert pit.contract(BOB).break_even_e8 == E8 * 9_995 // 100


def test_brackets_are_continuous_and_those_of_the_documentation() -> None:
    """A deduction makes the maintenance margin continuous at each border."""
    assert [one.cum_e8 // E8 for one in BRACKETS[:6]] == [0, 50, 950, 11_450, 131_450, 481_450]
    for lower, upper in pairwise(BRACKETS):
        assert lower.cap_e8 == upper.floor_e8
        assert lower.maintenance_e8(lower.cap_e8) == upper.maintenance_e8(lower.cap_e8)
        assert lower.leverage > upper.leverage
        assert lower.rate_e8 < upper.rate_e8
    assert maintenance_e8(100_000 * E8) == 450 * E8
    assert (bracket_of(50_000 * E8).number, bracket_of(50_000 * E8 + 1).number) == (1, 2)
    assert (most_notional_e8(125), most_notional_e8(20), most_notional_e8(21)) == (
        50_000 * E8,
        100_000_000 * E8,
        70_000_000 * E8,
    )


def test_margins_are_rounded_down_as_the_documentation_prints_them() -> None:
    """49.72023376 at 20 times: 2.48601168 of initial margin."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 500)
    pit.contract(ALICE).mark.e8 = 9_944_046_752
    assert pit.contract(ALICE).worth_e8 == 4_972_023_376
    assert pit.contract(ALICE).position_margin_e8 == 248_601_168
    assert pit.contract(ALICE).maintenance_e8 == 19_888_093


@pytest.mark.parametrize("isolated", [False, True])
@given(
    st.integers(10_000, 2_000_000),
    st.sampled_from([1, -1]),
    st.sampled_from([2, 5, 20]),
    st.sampled_from([0, 300_000, -300_000]),
)
def test_at_the_liquidation_price_the_margin_is_what_must_be_kept(
    isolated: bool, lots: int, side: int, leverage: int, other_lots: int
) -> None:
    """By definition; a tenth of a cent beyond it there is too little, and as much before it enough.

    The margin of a position of another contract, at its own mark price, must be kept as well.
    """
    pit = Pit()
    lot = {
        "lot_e8": E8 // 1_000,
        "unit_e16": E8 * E8 // 100_000,
        "mark": Mark(50 * E8),
        "orders": list,
        "most_at_e8": most_notional_e8,
    }
    other = Contract(symbol="OTHER", **lot, lots=other_lots, cost_e8=other_lots * 51 * E8 // 1_000)
    pit.wallet(ALICE).contracts["OTHER"] = other
    pit.exchange.set_leverage(pit.us, ALICE, leverage)
    if isolated:
        pit.exchange.set_isolated(pit.us, ALICE, True)
    pit.wallet(ALICE).balance_e8 = lots * 100 // 1_000 * E8 // leverage * 2 + 1_000 * E8
    pit.trade(*((ALICE, BOB) if side > 0 else (BOB, ALICE)), 10_000, lots)
    contract, wallet = pit.contract(ALICE), pit.wallet(ALICE)
    price_e8 = wallet.liquidation_e8(contract)
    if not price_e8:
        assert side > 0
        return
    for away_e8, enough in ((100_000, True), (-100_000, False)):
        contract.mark.e8 = price_e8 + side * away_e8
        assert (wallet.equity_e8(contract) > wallet.needed_e8(contract)) is enough

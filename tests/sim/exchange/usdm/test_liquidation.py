"""Funding, isolated margin, margin calls, liquidations, the insurance fund, auto-deleveraging."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_rig import INSTRUMENT
from mm.instrument import E8
from mm.margin.wallet import half_even
from mm.sim.exchange.api_error import ApiError
from usdm_rig import ALICE, BOB, CAROL, Pit


def poor(pit: Pit, who: int = ALICE, balance: int = 600, lots: int = 100_000) -> None:
    """Give a user a long position of 100 at 100 with little margin behind it."""
    pit.wallet(who).balance_e8 = balance * E8
    pit._begins_e8 = pit.money_e8()
    pit.trade(who, BOB, 10_000, lots)


def test_funding_is_paid_at_its_instants_at_the_mark_price() -> None:
    """Longs pay shorts; the mark price of the same second counts, and one payment has one row."""
    pit = Pit(rate_e8=25_000, interval_us=60_000_000)
    pit.trade(ALICE, BOB, 10_000, 1_003)
    pit.exchange.set_mark(9_990_000_001)
    pit.us = pit.exchange.next_payment_us(pit.us)
    pit.exchange.advance(pit.us)
    # 1.003 * 99.90000001 * 0.00025 = 0.0250499250025075
    assert (pit.income(ALICE, "FUNDING_FEE"), pit.income(BOB, "FUNDING_FEE")) == ([-2_504_993], [2_504_993])
    assert [tuple(one)[1:] for one in pit.exchange.payments] == [(25_000, 9_990_000_001)]
    pit.pass_s(59)
    assert len(pit.income(ALICE, "FUNDING_FEE")) == 1
    pit.pass_s(1)
    assert len(pit.income(ALICE, "FUNDING_FEE")) == 2
    assert pit.kinds(ALICE)[-2:] == ["FUNDING_FEE", "FUNDING_FEE"]
    pit.check()


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**13), st.integers(-(10**7), 10**7))
def test_funding_is_rounded_as_in_a_backtest(lots: int, mark_e8: int, rate_e8: int) -> None:
    """Half to even, of the exact product: the same expression as the paper exchange's."""
    per_lot = Fraction(INSTRUMENT.lot_e8 * mark_e8 * rate_e8, E8 * E8)
    assert half_even(lots * INSTRUMENT.lot_e8 * mark_e8 * rate_e8, E8 * E8) == round(lots * per_lot)


def test_funding_without_an_interval_is_every_eight_hours_from_midnight() -> None:
    """The documentation's times."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 1_000)
    pit.pass_s(24 * 3_600)
    assert [one.us // 3_600_000_000 % 24 for one in pit.exchange.payments] == [16, 0, 8]
    assert pit.income(ALICE, "FUNDING_FEE") == [-E8 // 100] * 3


def test_an_isolated_position_has_a_margin_of_its_own() -> None:
    """It is taken at opening, returned in parts at closing, and pays its own funding."""
    pit = Pit(interval_us=60_000_000)
    pit.exchange.set_isolated(pit.us, ALICE, True)
    pit.trade(ALICE, BOB, 10_000, 1_000)
    contract, wallet = pit.contract(ALICE), pit.wallet(ALICE)
    assert (contract.wallet_e8, wallet.cross_e8) == (5 * E8, wallet.balance_e8 - 5 * E8)
    assert wallet.available_e8 == wallet.cross_e8  # the position needs none of the rest
    order = pit.limit(ALICE, 1, 9_900, 1_000)
    assert wallet.available_e8 == wallet.cross_e8 - 99 * E8 // 20
    pit.exchange.end(order)
    pit.exchange.add_margin(pit.us, ALICE, 3 * E8)
    pit.us = pit.exchange.next_payment_us(pit.us)
    pit.exchange.advance(pit.us)
    assert contract.wallet_e8 == 8 * E8 - E8 // 100
    with pytest.raises(ApiError, match="-4051"):
        pit.exchange.add_margin(pit.us, ALICE, -3 * E8)
    pit.exchange.add_margin(pit.us, ALICE, -2 * E8)
    pit.trade(BOB, ALICE, 10_100, 500)
    assert contract.wallet_e8 == (6 * E8 - E8 // 100) // 2
    with pytest.raises(ApiError, match="-4048"):
        pit.exchange.set_isolated(pit.us, ALICE, False)
    pit.trade(BOB, ALICE, 10_100, 500)
    assert (contract.wallet_e8, wallet.cross_e8) == (0, wallet.balance_e8)
    pit.check()


def test_a_margin_call_comes_once_and_before_a_liquidation() -> None:
    """From 80 % of the margin balance on; again after there was enough."""
    pit = Pit()
    poor(pit)
    pit.mark("94.50")
    assert "MARGIN_CALL" not in pit.kinds(ALICE)
    pit.mark("94.45", 3)
    assert pit.kinds(ALICE).count("MARGIN_CALL") == 1
    pit.mark("94.50")
    pit.mark("94.45")
    assert pit.kinds(ALICE).count("MARGIN_CALL") == 2
    assert pit.contract(ALICE).lots == 100_000
    pit.mark("94.30")
    assert pit.contract(ALICE).lots == 0


@pytest.mark.parametrize(("more_e8", "lots"), [(1, 100_000), (0, 0)])
def test_a_position_is_liquidated_when_its_margin_is_what_must_be_kept(more_e8: int, lots: int) -> None:
    """Not only below; with the smallest amount more it stays."""
    pit = Pit()
    poor(pit)
    pit.mark(95)
    wallet, contract = pit.wallet(ALICE), pit.contract(ALICE)
    wallet.balance_e8 -= wallet.equity_e8(contract) - wallet.needed_e8(contract) - more_e8
    pit.pass_s(1)
    assert contract.lots == lots


@pytest.mark.parametrize(("side", "mark", "ticks"), [(1, 94, 9_403), (-1, 106, 10_594)])
def test_price_of_no_margin_is_rounded_in_favour_of_what_is_left(side: int, mark: int, ticks: int) -> None:
    """599.995 less a fee of 2, or of 5 for the taker, behind 100 at 100: 94.02005, and 105.94995."""
    pit = Pit()
    pit.wallet(ALICE).balance_e8 = 600 * E8 - E8 // 200
    pit.trade(*((ALICE, BOB) if side > 0 else (BOB, ALICE)), 10_000, 100_000)
    pit.mark(mark)
    (forced,) = pit.exchange.forced
    assert forced.order.request.ticks == ticks


def test_a_liquidation_trades_on_the_book_at_no_less_than_nothing_left() -> None:
    """Open orders end first; what is left of the margin pays the fee; nothing below zero."""
    pit = Pit()
    poor(pit)
    resting = pit.limit(ALICE, 1, 9_600, 100)
    pit.market_order(1, 9_450, 60_000)
    pit.market_order(1, 9_420, 60_000)
    pit.mark(94)
    assert (resting.status, pit.contract(ALICE).lots) == ("CANCELED", 0)
    (forced,) = pit.exchange.forced
    assert (forced.order.client_id.startswith("autoclose-"), forced.order.status) == (True, "FILLED")
    prices = [fill.ticks for fill in pit.exchange.users.fills(ALICE)[1:]]
    assert prices == [9_450, 9_420]
    assert all(fill.fee_e8 == 0 for fill in pit.exchange.users.fills(ALICE)[1:])
    left_e8 = 600 * E8 - 10_000 * E8 * 2 // 10_000 - (60 * 550 + 40 * 580) * E8 // 100
    assert pit.income(ALICE, "INSURANCE_CLEAR") == [-left_e8]
    assert (pit.wallet(ALICE).balance_e8, pit.fund.rows[-1].amount_e8) == (0, left_e8)
    pit.check()


def large(pit: Pit, *, isolated: bool = False) -> None:
    """Give Alice a long position of 200,000 at 100, in the fifth bracket, with 1,054,000 behind it after the fee."""
    pit.wallet(BOB).balance_e8 = 10**9 * E8
    pit.wallet(ALICE).balance_e8 = 10**7 * E8
    if isolated:
        pit.exchange.set_isolated(pit.us, ALICE, True)
    pit.trade(ALICE, BOB, 10_000, 200_000_000)
    if isolated:
        pit.contract(ALICE).wallet_e8 = 1_054_000 * E8
    else:
        pit.wallet(ALICE).balance_e8 = 1_054_000 * E8
    pit._begins_e8 = pit.money_e8()


@pytest.mark.parametrize("isolated", [False, True])
def test_a_large_position_is_liquidated_in_part_if_that_is_enough(isolated: bool) -> None:
    """To the cap of the fourth bracket, 12,000,000: the fee of the part is less than the margin it frees."""
    pit = Pit()
    large(pit, isolated=isolated)
    resting = pit.limit(ALICE, -1, 10_400, 100)
    cross_e8 = pit.wallet(ALICE).cross_e8
    pit.market_order(1, 9_599, 300_000_000)
    pit.mark(96)  # worth 19,200,000; 254,000 are left, and 252,550 needed
    assert not pit.exchange.forced
    pit.mark("95.98")  # 250,000 are left, 252,470 needed
    (forced,) = pit.exchange.forced
    kept = 12_000_000 * 100_000 // 9_598  # lots of 0.001
    assert (resting.status, forced.order.status, forced.order.lots) == ("CANCELED", "FILLED", 200_000_000 - kept)
    contract, wallet = pit.contract(ALICE), pit.wallet(ALICE)
    assert contract.lots == kept
    sold = 200_000_000 - kept
    fee_e8 = half_even(forced.order.request.ticks * sold * 1_000 * 1_250_000, E8)
    assert pit.income(ALICE, "INSURANCE_CLEAR") == [-fee_e8]
    assert wallet.equity_e8(contract) == 250_000 * E8 + sold * 1_000 - fee_e8  # sold a tick above the mark
    assert wallet.cross_e8 == (cross_e8 if isolated else wallet.equity_e8(contract) - contract.unrealised_e8)
    pit.check()
    pit.pass_s(5)
    assert contract.lots == kept, "it has its margin again"
    pit.mark(95)
    assert contract.lots == 0
    assert [one.order.request.ticks > 9_000 for one in pit.exchange.forced] == [True] * len(pit.exchange.forced)
    pit.check()


def test_the_book_may_not_take_enough_of_a_part() -> None:
    """The rest of that order expires; since the margin is still missing, all of the position is closed."""
    pit = Pit()
    large(pit)
    pit.market_order(1, 9_590, 1_000_000)
    pit.mark("95.98")
    first, *others = (one.order for one in pit.exchange.forced)
    assert (first.status, first.filled_lots, first.lots) == ("EXPIRED", 1_000_000, 200_000_000 - 125_026_047)
    assert sum(one.filled_lots for one in others) == 199_000_000
    assert pit.contract(ALICE).lots == 0
    pit.check()


def test_the_insurance_fund_takes_over_what_the_book_does_not() -> None:
    """At the price at which nothing is left, then to the market at the mark price: what that loses, the fund pays."""
    pit = Pit()
    poor(pit)
    pit.mark(93)
    assert pit.contract(ALICE).lots == 0
    assert pit.fund.rows[0].amount_e8 < 0
    assert pit.fund.balance_e8 + pit.wallet(ALICE).balance_e8 == 10**6 * E8 + 600 * E8 - 2 * E8 - 700 * E8
    assert [kind for kind in pit.kinds(ALICE) if kind in ("NEW", "TRADE", "CALCULATED")][-2:] == ["NEW", "CALCULATED"]
    assert pit.exchange.settlement.market.base.free == 100 * E8
    pit.check()


def test_without_a_fund_the_most_profitable_opposite_positions_close() -> None:
    """Bob has more return on his margin than Carol, so that he is first; both are told by adl_autoclose."""
    pit = Pit("alice", "bob", "carol", fund_e8=0)
    pit.wallet(BOB).balance_e8 = 10_000 * E8
    poor(pit, lots=60_000, balance=520)
    pit.trade(ALICE, CAROL, 9_999, 40_000)
    pit.mark(90)
    first, second = (one for one in pit.exchange.forced if one.adl)
    assert [first.account, second.account] == [BOB, CAROL]
    assert {first.order.client_id, second.order.client_id} == {"adl_autoclose"}
    assert first.order.lots == 60_000
    ids = [pit.exchange.users.fills(one)[-1].trade_id for one in (BOB, CAROL, ALICE)]
    assert (ids[0] + 1, ids[1]) == (ids[1], ids[2]), "ids follow those of the book"
    assert [one.aside for one in pit.exchange.tape.trades.latest(2)] == [True, True]
    assert pit.exchange.aggregates.since_id(0, 10)[-1].last_id == ids[0] - 1
    assert [pit.contract(one).lots for one in (ALICE, BOB, CAROL)] == [0, 0, 0]
    assert pit.fund.balance_e8 >= 0
    pit.check()


def test_the_market_takes_what_nobody_who_is_deleveraged_has() -> None:
    """Bob has six tenths of the opposite position, the simulated market the rest."""
    pit = Pit(fund_e8=0)
    poor(pit, lots=60_000)
    pit.market_order(-1, 10_000, 40_000)
    pit.limit(ALICE, 1, 10_000, 40_000, time_in_force="IOC")
    assert pit.contract(ALICE).lots == 100_000
    pit.mark(90)
    assert [(one.account, one.order.lots) for one in pit.exchange.forced if one.adl] == [(BOB, 60_000)]
    assert [pit.contract(one).lots for one in (ALICE, BOB)] == [0, 0]
    pit.check()


def test_of_two_with_the_same_loss_the_one_with_less_leverage_is_deleveraged_last() -> None:
    """A return below zero counts over the leverage, one above it times the leverage."""
    pit = Pit("alice", "bob", "carol")
    for seller in (BOB, CAROL):
        pit.trade(ALICE, seller, 10_000, 1_000)
    pit.wallet(BOB).balance_e8 = 50 * E8
    for mark, sign in ((101, -1), (99, 1)):
        pit.mark(mark)
        ranks = [pit.exchange.rank(one) for one in (BOB, CAROL)]
        assert ranks[0] > ranks[1]
        assert all(sign * rank > 0 for rank in ranks)
    share, leverage = Fraction(1, 100), Fraction(99, 51)
    assert pit.exchange.rank(BOB) == share * leverage
    pit.mark(101)
    assert pit.exchange.rank(BOB) == -share / Fraction(101, 49)


def test_profit_that_is_not_realised_cannot_be_withdrawn() -> None:
    """It is margin for orders, and no money yet."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 1_000)
    pit.mark(150)
    wallet = pit.wallet(ALICE)
    assert wallet.available_e8 > wallet.cross_e8
    with pytest.raises(ApiError, match="-2018"):
        pit.exchange.transfer(ALICE, "USDT", -wallet.cross_e8 - 1)
    pit.exchange.transfer(ALICE, "USDT", -wallet.cross_e8)
    assert wallet.balance_e8 == 0
    with pytest.raises(ApiError, match="-2018"):
        pit.exchange.transfer(BOB, "USDT", -pit.wallet(BOB).available_e8 - 1)


def test_an_isolated_position_loses_its_own_margin_alone() -> None:
    """The rest of the wallet is not touched."""
    pit = Pit()
    pit.exchange.set_isolated(pit.us, ALICE, True)
    pit.trade(ALICE, BOB, 10_000, 100_000)
    assert pit.contract(ALICE).wallet_e8 == 500 * E8
    pit.mark(95)
    assert pit.contract(ALICE).lots == 0
    assert pit.wallet(ALICE).balance_e8 >= (10**6 - 502) * E8
    pit.check()


def test_a_user_with_enough_margin_is_never_liquidated() -> None:
    """A fall of half the price costs half the notional and no more."""
    pit = Pit()
    pit.trade(ALICE, BOB, 10_000, 1_000)
    pit.mark(50, 5)
    assert (pit.contract(ALICE).lots, pit.exchange.forced) == (1_000, [])


@given(
    st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(60, 90_000)), min_size=1, max_size=6),
    st.lists(st.integers(60, 160), min_size=1, max_size=6),
    st.sampled_from([0, 300, 10**6]),
    st.booleans(),
)
def test_whatever_falls_no_money_appears(
    trades: list[tuple[int, int]], marks: list[int], fund: int, isolated: bool
) -> None:
    """Liquidations, takeovers and deleveraging of three users, with any fund, conserve money and positions."""
    pit = Pit("alice", "bob", "carol", fund_e8=fund * E8, interval_us=7_000_000, rate_e8=50_000)
    for number in (ALICE, BOB, CAROL):
        pit.wallet(number).balance_e8 = 3_000 * E8
    if isolated:
        pit.exchange.set_isolated(pit.us, BOB, True)
    pit._begins_e8 = pit.money_e8()
    users = (ALICE, BOB, CAROL)
    for at, (side, lots) in enumerate(trades):
        with suppress(ApiError):  # too little margin
            pit.limit(users[at % 3], side, 10_000, lots)
            pit.limit(users[(at + 1) % 3], -side, 10_000, lots, time_in_force="IOC")
        pit.check()
    for price in marks:
        pit.market_order(1, price * 100 - 50, 3_000)
        pit.mark(price, 3)
        pit.check()
    assert pit.fund.balance_e8 >= 0


def test_a_settlement_leaves_no_position_and_no_money_behind() -> None:
    """Cross and isolated, long and short, against each other and against the market."""
    pit = Pit("alice", "bob", "carol")
    pit.exchange.set_isolated(pit.us, BOB, isolated=True)
    pit.trade(ALICE, BOB, 10_000, 3_000)
    pit.market_order(-1, 10_010, 500)
    pit.market(CAROL, 1, 500)
    pit.mark("101.235")
    pit.exchange.settle()
    assert [pit.contract(who).lots for who in (ALICE, BOB, CAROL)] == [0, 0, 0]
    assert pit.income(ALICE, "REALIZED_PNL") == [3 * (10_124 - 10_000) * 10**6]
    pit.check()

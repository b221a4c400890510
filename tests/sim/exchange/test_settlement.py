"""Settlement: balances change with every trade, exactly to 1e-8, and both assets are conserved."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_rig import ALICE, BOB, BUY, INSTRUMENT, SELL, Desk
from mm.instrument import E8
from mm.sim.exchange.accounts import BASE_FUNDS_E8, QUOTE_FUNDS_E8
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CancelRequest, NewOrder
from mm.sim.exchange.rules import STP_MODES
from mm.sim.exchange.settlement import fee_e8
from mm.sim.matching._core import Matching
from plain_matching import PlainMatching


class PlainCore(PlainMatching):
    """The plain engine with a log like that of the compiled core."""

    def take_log(self) -> np.ndarray:
        """Return the rows as an array."""
        return np.array(super().take_log(), np.int64).reshape(-1, 10)


MARKET_MAKER = 1_000
KINDS = ("limit", "ioc", "fok", "maker", "market", "quote", "cancel", "amend", "replace", "flow")


def test_resting_buy_locks_price_times_quantity() -> None:
    """Money of an open order cannot be spent twice: 2.5 SIM at 99.90 lock 249.75 USDT."""
    desk = Desk()
    desk.limit(ALICE, BUY, 9_990, 2_500)
    assert desk.money(ALICE) == (1_000 * E8, 0, 999_750_25000000, 249_75000000)


def test_resting_sell_locks_its_quantity() -> None:
    """A sell locks the base asset."""
    desk = Desk()
    desk.limit(BOB, SELL, 10_010, 2_500)
    assert desk.money(BOB) == (997_50000000, 2_50000000, 10**6 * E8, 0)


def test_taker_pays_resting_price_and_keeps_the_difference() -> None:
    """Bob sells 1 at 100.00; Alice bids 100.50 for 3: one trade at 100.00, and 2 rest at 100.50.

    Alice pays 100.00 and locks 201.00; she receives 1 SIM less 0.001 SIM. Bob receives 100.00 less 0.10.
    """
    desk = Desk()
    desk.limit(BOB, SELL, 10_000, 1_000)
    order = desk.limit(ALICE, BUY, 10_050, 3_000)
    assert desk.money(ALICE) == (1_000_99900000, 0, (1_000_000 - 100 - 201) * E8, 201 * E8)
    assert desk.money(BOB) == (999 * E8, 0, 1_000_099_90000000, 0)
    assert (order.status, order.filled_lots, order.left_lots, order.spent_tl) == (
        "PARTIALLY_FILLED",
        1_000,
        2_000,
        10_000 * 1_000,
    )
    fees = desk.exchange.settlement.fees
    assert (fees.base.free, fees.quote.free) == (100_000, 10_000_000)


def test_market_order_pays_level_by_level() -> None:
    """2 SIM of 1 at 100.00 and 5 at 100.10 cost 200.10 USDT."""
    desk = Desk()
    desk.limit(BOB, SELL, 10_010, 5_000)
    desk.limit(BOB, SELL, 10_000, 1_000)
    order = desk.market(ALICE, BUY, 2_000)
    assert [(fill.ticks, fill.lots, fill.fee_e8) for fill in order.fills] == [
        (10_000, 1_000, 100_000),
        (10_010, 1_000, 100_000),
    ]
    assert desk.money(ALICE) == (1_001_99800000, 0, 999_799_90000000, 0)


def test_fee_uses_configured_maker_and_taker_rates() -> None:
    """A maker without a fee, and a taker at 0.0005."""
    desk = Desk(maker_rate_e8=0, taker_rate_e8=50_000)
    desk.limit(BOB, SELL, 10_000, 1_000)
    desk.market(ALICE, BUY, 1_000)
    assert desk.money(ALICE)[0] == 1_000 * E8 + E8 - 50_000
    assert desk.money(BOB)[2] == 10**6 * E8 + 100 * E8


def test_fees_are_rounded_half_even() -> None:
    """As in a backtest: 0.5 of the last place is rounded to the even neighbour."""
    rate = E8 // 10
    assert [fee_e8(amount, rate) for amount in (4, 5, 6, 15, 25, 35)] == [0, 0, 1, 2, 2, 4]


def test_expired_market_order_releases_unspent_money() -> None:
    """Nothing stays locked for an order that is gone."""
    desk = Desk()
    desk.limit(BOB, SELL, 10_000, 1_000)
    order = desk.market(ALICE, BUY, 5_000)
    assert (order.status, order.filled_lots) == ("EXPIRED", 1_000)
    assert desk.money(ALICE) == (1_000_99900000, 0, 999_900 * E8, 0)


def test_market_accounts_pay_no_fee_and_their_gains_are_counted() -> None:
    """Accounts of the simulated market have no balance."""
    desk = Desk()
    desk.core.submit(desk.us, MARKET_MAKER, SELL, 10_000, 4_000)
    desk.market(ALICE, BUY, 1_000)
    market = desk.exchange.settlement.market
    assert (market.base.free, market.quote.free) == (-E8, 100 * E8)


@st.composite
def actions(draw: st.DrawFn) -> tuple[str, int, int, int, int, str]:
    """Return one action: kind, account, side, ticks, lots and STP mode."""
    return (
        draw(st.sampled_from(KINDS)),
        draw(st.sampled_from([ALICE, BOB])),
        draw(st.sampled_from([BUY, SELL])),
        draw(st.integers(9_998, 10_002)),
        draw(st.integers(60, 400)),
        draw(st.sampled_from(STP_MODES)),
    )


def perform(desk: Desk, action: tuple[str, int, int, int, int, str]) -> None:
    kind, who, side, ticks, lots, stp = action
    own = desk.exchange.users.open(who)
    if kind in ("limit", "ioc", "fok"):
        desk.limit(who, side, ticks, lots, stp=stp, time_in_force={"limit": "GTC"}.get(kind, kind.upper()))
    elif kind == "maker":
        desk.exchange.place(desk.us, who, NewOrder(side=side, type="LIMIT_MAKER", ticks=ticks, lots=lots))
    elif kind == "market":
        desk.market(who, side, lots, stp=stp)
    elif kind == "quote":
        desk.market(who, side, quote_e8=lots * E8 // 10, stp=stp)
    elif kind == "flow":
        desk.core.submit(desk.us, MARKET_MAKER, side, ticks, lots)
        desk.exchange.advance(desk.us)
    elif own and kind == "cancel":
        desk.exchange.cancel(desk.us, who, CancelRequest(order_id=own[lots % len(own)].order_id))
    elif own and kind == "amend":
        order = own[lots % len(own)]
        desk.exchange.amend(desk.us, who, CancelRequest(order_id=order.order_id), max(1, order.lots - lots % 90))
    elif own and kind == "replace":
        new = NewOrder(side=side, type="LIMIT", ticks=ticks, lots=lots, stp=stp)
        desk.exchange.cancel_replace(desk.us, who, CancelRequest(order_id=own[lots % len(own)].order_id), new)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(actions(), min_size=20, max_size=60))
def test_both_assets_are_conserved(sequence: list[tuple[str, int, int, int, int, str]]) -> None:
    """Users, the market and the fees together always hold the initial funds; locks are those of the open orders."""
    desk = Desk(limits=False, most_orders=1_000)
    exchange = desk.exchange
    for action in sequence:
        with suppress(ApiError):
            perform(desk, action)
        settled = [*exchange.accounts.values(), exchange.settlement.market, exchange.settlement.fees]
        assert sum(one.base.free + one.base.locked for one in settled) == 2 * BASE_FUNDS_E8
        assert sum(one.quote.free + one.quote.locked for one in settled) == 2 * QUOTE_FUNDS_E8
        for number, account in exchange.accounts.items():
            account.check()
            orders = exchange.users.open(number)
            bids_tl = sum(one.request.ticks * one.left_lots for one in orders if one.request.side > 0)
            assert account.quote.locked == bids_tl * desk.rules.tl_e8
            asks_lots = sum(one.left_lots for one in orders if one.request.side < 0)
            assert account.base.locked == asks_lots * INSTRUMENT.lot_e8
            assert all(one.lots == one.filled_lots + one.prevented_lots + one.left_lots for one in orders)
        resting = {row[0]: row[3] for side in (BUY, SELL) for row in desk.core.orders(side) if row[1] < MARKET_MAKER}
        assert resting == {one.order_id: one.left_lots for who in (ALICE, BOB) for one in exchange.users.open(who)}


@settings(max_examples=15, deadline=None)
@given(st.lists(actions(), min_size=10, max_size=40))
def test_exchange_reports_are_equal_with_both_engines(sequence: list[tuple[str, int, int, int, int, str]]) -> None:
    """The server uses the compiled engine; users get the same reports with the plain one."""
    desks = [Desk(core=core, limits=False) for core in (Matching(), PlainCore())]
    for action in sequence:
        for desk in desks:
            with suppress(ApiError):
                perform(desk, action)
    compiled, plain = desks
    assert compiled.reported == plain.reported
    assert compiled.rows == plain.rows
